# SPDX-License-Identifier: Apache-2.0
"""The sections of the audit's page about where its numbers come from and where they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from veilset.audit.card import limits_of, missing_fields
from veilset.audit.config import DataCard
from veilset.audit.results import TableFile
from veilset.pages.audit_figures import Figure
from veilset.pages.figures import share_bar
from veilset.pages.markup import Content, Markup, el, join
from veilset.pages.parts import (
    card,
    caution,
    count,
    folded,
    note,
    pairs,
    percent,
    section,
    settings,
    table,
)

_ORIGINS = {
    "detected": "found by a detector, seen by no person",
    "imported": "came from a file of another tool",
    "reviewed": "drawn or confirmed by a person",
}
# Settings that decide nothing unless images are looked at.
_OF_LOOK = ("device", "precision", "runtime", "commercial_ok", "max_pixels", "shard_size")
_STATUSES = (
    ("looked", "Searched", "shares on this page are of these"),
    ("not_looked", "Not searched", "nobody and nothing has looked"),
    ("could_not_look", "Could not be searched", "unreadable or refused; see the reasons"),
)

Found = Mapping[str, Any]


def images_section(found: Found) -> Markup:
    """Tell what was searched, what was not, and where the regions come from."""
    images, population = found["images"], found["population"]
    n = population["n_images"]
    rows = [
        (
            join(label, el("small", meaning)),
            images["statuses"][key],
            percent(images["statuses"][key] / n),
            share_bar(images["statuses"][key] / n),
        )
        for key, label, meaning in _STATUSES
    ]
    states = table(f"Images, n = {n:,}", ("State", "Number", "Share", ""), rows, numbers=(1, 2))
    parts: list[Content] = [el("div", states, class_="states")]
    if images["reasons"]:
        told_ = ", ".join(
            f"{count_:,} {why or 'not told'}" for why, count_ in images["reasons"].items()
        )
        parts.append(note(f"Could not be searched because: {told_}."))
    if population["n_not_in_set"]:
        parts.append(
            note(f"Not in the annotation set, and so not searched: "
                 f"{count(population['n_not_in_set'], 'image')}.")
        )  # fmt: skip
    if population["n_gone"]:
        parts.append(
            note("Not in the data set any more, though the annotation set names them, and left "
                 f"out: {count(population['n_gone'], 'image')}.")
        )  # fmt: skip
    if not population["is_listed"]:
        text = "The data set itself was not read: images that the set does not name are not known."
        parts.append(note(text))
    return section("images", "What was searched", *parts, _regions_told(found))


def _regions_told(found: Found) -> Markup:
    regions = found["regions"]
    kinds = [(each["kind"], each["n_regions"], each["n_images"]) for each in regions["kinds"]]
    origins = [
        (join(origin, el("small", _ORIGINS.get(origin, ""))), n)
        for origin, n in regions["origins"].items()
    ]
    least = found["config"]["min_score"]
    text = f"Counted on this page: kind {found['kind']}"
    text += f", score at least {least:g}" if least else ", every score"
    return el(
        "div",
        card(
            "Regions by kind",
            table(f"{text}.", ("Kind", "Regions", "Images"), kinds, numbers=(1, 2)),
        ),
        card(
            "Regions by origin",
            table("Of the counted ones.", ("Origin", "Regions"), origins, numbers=(1,)),
        ),
        class_="cards",
    )


def limits_section(found: Found) -> Markup:
    """Tell what these numbers do not say."""
    items = [el("li", text) for text in limits_of(found)]
    return section("limits", "What these numbers cannot say", el("ul", *items, class_="limits"))


def files_section(
    found: Found, tables: Sequence[TableFile], figures: Mapping[str, Figure]
) -> Markup:
    """Link the tables and figures that lie beside the page."""
    rows = [
        (
            join(each.name.replace("_", " "), el("small", each.about)),
            each.n_rows,
            el("a", "CSV", href=f"tables/{each.name}.csv"),
            el("a", "Parquet", href=f"tables/{each.name}.parquet"),
        )
        for each in tables
    ]
    drawn = [
        (
            each.title,
            el("a", "SVG", href=f"figures/{each.name}.svg"),
            el("a", "PNG", href=f"figures/{each.name}.png"),
        )
        for each in figures.values()
    ]
    return section(
        "files",
        "Files",
        _private_alert(found),
        table("Tables beside this page", ("Table", "Rows", "", ""), rows, numbers=(1,)),
        folded("Figures as files", table("Light colours, for a paper", ("Figure", "", ""), drawn))
        if drawn
        else "",
        note("All numbers: ", el("a", "audit.json", href="audit.json"), ". For catalogues of data "
             "sets: ", el("a", "croissant.json", href="croissant.json"), " (Croissant 1.0)."),
    )  # fmt: skip


def _private_alert(found: Found) -> Markup | str:
    """Warn of the pictures that lie in the folder of the audit; none of them is named."""
    if not found["labelled"]:
        return ""
    text = (
        "The folder of this audit also holds labelled pictures of people, in a folder of their "
        "own that is private. They must not be published with it: delete them first."
    )
    return caution(text)


def card_section(found: Found, text: str) -> Markup:
    """Show the text for the card of the data set, and say what is missing in it."""
    missing = missing_fields(DataCard(**found["config"]["card"]))
    # Escaping writes ends of lines out, as it must in names; these are our own.
    lines = [join(line, Markup("\n")) for line in text.splitlines()]
    remark = (
        f"Catalogues also ask for: {', '.join(missing)}. Only the owner can tell; nothing was "
        "made up."
        if missing
        else ""
    )
    return section(
        "card",
        "Data-set card",
        note("For the card of the data set, in Markdown; also in ",
             el("a", "card.md", href="card.md"), "."),
        el("div", el("pre", *lines, class_="card-text"), class_="card"),
        note(remark) if remark else "",
    )  # fmt: skip


def _looked_at(found: Found) -> list[tuple[str, Content]]:
    if not found["look"]:
        return []
    source = found["look"]["source"]
    digest = source["outputs_sha256"]
    return [("of the set", el("code", digest[:16], title=digest)),
            ("by the stage", source["stage"])]  # fmt: skip


def made_section(found: Found) -> Markup:
    """Tell what the audit was made from and with."""
    source = found["annotations"]
    of_look = () if found["look"] else _OF_LOOK
    shown = {
        key: value
        for key, value in found["config"].items()
        if value and value != "none" and key != "card" and key not in of_look
    }
    items: list[tuple[str, Content]] = [
        (
            "annotation set",
            el("code", source["outputs_sha256"][:16], title=source["outputs_sha256"]),
        ),
        ("made by the stage", source["stage"]),
        *_looked_at(found),
        ("models", ", ".join(source["models"]) or "none"),
        ("Veilset", found["veilset"]),
    ]
    return section(
        "made",
        "Make it again",
        note("The same inputs and settings give the same numbers, with any number of threads."),
        el(
            "div",
            card("From", pairs(items)),
            card("Settings", pairs(settings(shown))),
            class_="cards",
        ),
    )
