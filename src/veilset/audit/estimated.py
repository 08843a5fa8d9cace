# SPDX-License-Identifier: Apache-2.0
"""The section of the audit's page about what was estimated from the images, and with what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from veilset.pages.markup import Content, Markup, el
from veilset.pages.models import models_table
from veilset.pages.parts import count, folded, listed, name, note, section, table

Found = Mapping[str, Any]


def estimated_section(found: Found) -> Markup | str:
    """Tell what was estimated, in how many images, by which models; "" if nothing was."""
    look = found["look"]
    if not look:
        return ""
    return section(
        "estimated",
        "What was estimated",
        note(
            f"{count(look['n_opened'], 'searched image')} were opened for this. What follows are "
            "guesses of models that nobody has checked, each with its model below."
        ),
        el("ul", [el("li", each) for each in _told(look)], class_="limits"),
        models_table("Models", ((card, card["used_for"]) for card in look["models"])),
        *_failures(look),
    )


def _told(look: Mapping[str, Any]) -> Iterator[Content]:
    if look["demographics"]:
        n_not = look["n_faces"] - look["n_estimated"]
        rest = f"; {n_not:,} could not be judged and have no estimate" if n_not else ""
        yield (
            f"Age and gender of {look['n_estimated']:,} of {count(look['n_faces'], 'face')}{rest}."
        )
    if look["classify"]:
        yield (
            f"The category of {count(look['n_classified'], 'image')}: the likeliest label, however "
            "likely."
        )
    if look["nsfw"] and not look["n_candidates"]:
        yield "No candidate for an NSFW region was found, which does not show that there is none."
    elif look["nsfw"]:
        yield (
            f"{count(look['n_candidates'], 'candidate')} for NSFW regions in "
            f"{count(look['n_images_with_candidates'], 'image')}. Most candidates of such "
            "detectors are false alarms, and what is no candidate may still be one: people have "
            "to review them. They are in the annotation set of this audit, of kind nsfw."
        )


def _failures(look: Mapping[str, Any]) -> Iterator[Content]:
    failures = look["failures"]
    if not failures["n"]:
        return
    reasons = ", ".join(f"{n:,} {why}" for why, n in failures["by_reason"].items())
    yield note(f"The look failed at {count(failures['n'], 'image')}: {reasons}.")
    if look["n_changed"]:
        yield note(
            f"{count(look['n_changed'], 'file')} changed since the annotations were made: regions "
            "of another picture say nothing, so these images count as not searched."
        )
    rows = [
        (name(each["image_id"]), el("code", each["reason"]), each["message"])
        for each in failures["first"]
    ]
    yield folded(
        f"Which images ({len(rows):,} of {failures['n']:,})",
        table("Images at which the look failed", ("Image", "Reason", "Message"), rows),
        listed(len(rows), failures["n"], "annotations/seen/shard-*.parquet"),
    )
