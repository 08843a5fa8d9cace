# SPDX-License-Identifier: Apache-2.0
"""What a report tells people: the verdict, what a reason means, what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from veilset.pages.parts import count
from veilset.report.facts import State, Verified
from veilset.report.gather import Facts

REASONS: Mapping[str, tuple[str, str]] = {
    "unreadable": ("Not an image, or corrupt", "Restore the file from its source, or remove it."),
    "truncated": ("The file ends too early", "Copy it again from its source, or remove it."),
    "animated": ("Has several frames", "Save the frame you need as a still image."),
    "multi-picture": (
        "Holds several pictures",
        "Save the main picture alone: the others would not be searched.",
    ),
    "unsupported": (
        "A format, colour mode or depth that cannot be written safely",
        "Convert it to an 8-bit RGB JPEG or PNG.",
    ),
    "over-limit": (
        "Over the limit of pixels or bytes",
        "Make it smaller, or raise the limit if you trust its source.",
    ),
    "missing": ("Was listed, then gone", "Restore the file and run again."),
    "changed": (
        "Not the file that was searched",
        "Keep the data set still during a run; run detect again.",
    ),
    "not-looked": ("Nobody searched it", "Run detect on it, into a new annotation set."),
    "sample": (
        "Another image of its sample failed",
        "Mend that one; a sample is published whole or not at all.",
    ),
    "error": ("Something unexpected", "See the log for the place, and report it."),
}
"""What a reason of a failure means, and what to do."""

POLICIES: Mapping[str, str] = {
    "safe": (
        "Kept: colour profile, orientation, resolution, capture settings. Removed: previews, "
        "position, dates, names, serial numbers, maker notes, comments, everything unknown."
    ),
    "strip": "Kept: colour profile and orientation. Everything else is removed.",
}

LIMITS = (
    (
        "This hides faces, not people.",
        "A hidden face does not make a person unknown. Body, clothes, tattoos, place, "
        "companions, text in the picture and the same photograph elsewhere can still identify.",
    ),
    (
        "Detectors miss faces.",
        "Small, turned, covered, painted or dark faces are missed most. Verification searches "
        "harder, yet sees only what its detectors see; a face that none of them finds stays.",
    ),
    (
        "A lower bound.",
        "The number of missed faces that verification finds is what machines find. "
        "People who look at a sample will find at least as many.",
    ),
    (
        "Obfuscation can be attacked.",
        "A recogniser trained on obfuscated faces does better than one that was not. The contract "
        "limits how much of a region is left; it does not say that nobody is recognised.",
    ),
    (
        "File names are published too.",
        "Names and folders of the output are those of the originals. If they name people, "
        "rename them first. This page names files as well: read it before you pass it on.",
    ),
)


class Tone(StrEnum):
    """Which colour a verdict has."""

    PASS = "pass"  # noqa: S105  no password
    LEAK = "leak"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict on a release.

    Attributes:
        code: For machines.
        tone: Its colour.
        title: In a few words.
        meaning: What that means, in an honest sentence or two.
    """

    code: str
    tone: Tone
    title: str
    meaning: str


def headline(facts: Facts) -> Headline:
    """Judge a release by its records; whatever was not verified is never said to have passed."""
    if facts.produced is None:
        return Headline(
            "not_obfuscated", Tone.WARN, "Not obfuscated",
            "No finished obfuscation is on record, so there is no output to judge. "
            "The numbers below are those of the search alone.",
        )  # fmt: skip
    if facts.verified is None:
        return Headline("not_verified", Tone.WARN, "Not verified", _why_not_verified(facts))
    return _judged(facts, facts.verified)


def _why_not_verified(facts: Facts) -> str:
    todo = "Run veilset verify before you publish it."
    if facts.stale:
        return f"A verification is on record, but it does not count. {facts.stale} {todo}"
    if facts.stages["verify"].state is State.UNFINISHED:
        return f"The verification was stopped before its end, so it says nothing yet. {todo}"
    return (
        "Nothing has checked this output. That obfuscation ended without an error does not "
        f"show that every face was found, or that every file is what it should be. {todo}"
    )


def _judged(facts: Facts, verified: Verified) -> Headline:
    n_leaks, n_errors = verified.verdicts["leak"], verified.verdicts["error"]
    if n_leaks:
        also = f" {count(n_errors, 'other')} could not be checked." if n_errors else ""
        return Headline(
            "leak", Tone.LEAK, f"{count(n_leaks, 'file')} with a leak",
            "Do not publish this output: it shows or holds what it must not, in the files "
            f"listed under Verification.{also}",
        )  # fmt: skip
    if n_errors:
        return Headline(
            "unchecked", Tone.LEAK, f"{count(n_errors, 'file')} could not be checked",
            "Do not publish this output: no leak was found in what could be checked, but for "
            "the files listed under Verification nobody knows.",
        )  # fmt: skip
    if not facts.n_published:
        return Headline(
            "empty", Tone.WARN, "Nothing was published",
            "No image could be processed, so the output holds none. The reasons are below.",
        )  # fmt: skip
    return Headline("passed", Tone.PASS, "Passed: no leak found", _what_passed(verified))


def _what_passed(verified: Verified) -> str:
    n_searched = sum(n for why, n in verified.looked_again.items() if why)
    again = (
        f"detectors searched {n_searched:,} of them again"
        if n_searched
        else "no detector searched them again, as was asked for"
    )
    n_review = verified.verdicts["review"]
    review = (
        f" {count(n_review, 'image')} should be looked at by a person before publication."
        if n_review
        else ""
    )
    return (
        f"Each of the {verified.n_checked:,} images of the output was compared with its original "
        f"and its record, and {again}; nothing was found that counts as a leak.{review} This is no "
        "proof that no face is left: detectors miss faces, in verification too."
    )
