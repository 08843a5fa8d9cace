# SPDX-License-Identifier: Apache-2.0
"""The page: sections put into the frame, with a policy that forbids every request."""

from __future__ import annotations

from collections.abc import Sequence

from veilset.pages.frame import Page, render_frame
from veilset.pages.markup import Content, Markup, el, join
from veilset.pages.parts import moment
from veilset.report.attacked import attack_section
from veilset.report.audited import audit_section
from veilset.report.background import (
    done_section,
    limits_section,
    models_section,
    reproduce_section,
    time_section,
)
from veilset.report.contact_sheet import Thumbnail
from veilset.report.gather import Facts
from veilset.report.sections import (
    failures_section,
    images_section,
    output_size,
    regions_section,
    sheet_section,
    verification_section,
)
from veilset.report.studied import study_section
from veilset.report.wording import Headline

_FOOTER = (
    "Made by Veilset from the records of the runs named above. This page holds no script, makes "
    "no request, and shows no original."
)


def render_page(facts: Facts, verdict: Headline, thumbnails: Sequence[Thumbnail]) -> bytes:
    """Give the page: one HTML file without a script and without a request.

    Args:
        facts: What is known of the release.
        verdict: The judgement on it.
        thumbnails: Pictures of outputs that passed verification.

    Returns:
        UTF-8; the same for the same arguments.
    """
    made = facts.stages["obfuscate"].manifest
    method = made.get("config", {}).get("method", {}).get("name")
    page = Page(
        title=f"{facts.output}: {verdict.title}",
        brand="release report",
        heading=facts.output,
        details=(
            f"from {facts.source}" if facts.source else "",
            f"method {method}" if method else "",
            f"obfuscated {moment(made['finished_at'])}" if made else "",
            output_size(facts),
        ),
        opening=el("section", _verdict(facts, verdict), aria_labelledby="verdict-title"),
        skip="Skip to the verdict",
        sections={
            "verification": ("Verification", verification_section(facts, verdict.meaning)),
            "failures": ("Failures", failures_section(facts)),
            "images": ("Images", images_section(facts)),
            "regions": ("Regions", regions_section(facts)),
            "audit": ("Who is in the data set", audit_section(facts.audited)),
            "study": ("What it costs", study_section(facts.studied)),
            "attack": ("What it buys", attack_section(facts.attacked)),
            "outputs": ("Outputs", sheet_section(facts, thumbnails)),
            "done": ("What was done", done_section(facts)),
            "models": ("Models", models_section(facts)),
            "time": ("Time", time_section(facts)),
            "limits": ("Limits", limits_section()),
            "reproduce": ("Make it again", reproduce_section(facts)),
        },
        footer=_FOOTER,
    )
    return render_frame(page)


def _verdict(facts: Facts, verdict: Headline) -> Markup:
    numbers = [
        el("div", el("dt", label), el("dd", value), class_=tone or None)
        for label, value, tone in _key_numbers(facts)
    ]
    return join(
        el(
            "div",
            el("h2", verdict.title, id="verdict-title"),
            el("p", verdict.meaning),
            el("p", el("a", "What this does not promise", href="#limits")),
            *_warnings(facts),
            class_=f"verdict {verdict.tone.value}",
        ),
        el("dl", *numbers, class_="numbers"),
    )


def _warnings(facts: Facts) -> list[Markup]:
    if facts.verified is None:
        return []
    found = facts.stages["verify"].manifest.get("extra", {}).get("warnings", [])
    return [el("p", each["message"], class_="alert") for each in found]


def _key_numbers(facts: Facts) -> list[tuple[str, Content, str]]:
    numbers: list[tuple[str, Content, str]] = []
    if facts.produced:
        made = facts.produced
        n_failed = made.outcomes["failed"]
        withdrawn = [("withdrawn", made.outcomes["removed"], "")]
        numbers += [
            ("images seen", made.n_images, ""),
            ("obfuscated", made.outcomes["obfuscated"], ""),
            ("untouched", made.outcomes["untouched"], ""),
            ("failed, not in the output", n_failed, "warn" if n_failed else ""),
            *(each for each in withdrawn if each[1]),
            ("regions hidden", made.n_regions, ""),
        ]
    elif facts.searched:
        found = facts.searched
        numbers += [
            ("images seen", found.n_images, ""),
            ("searched", found.statuses["looked"], ""),
            ("could not be searched", found.statuses["could_not_look"], ""),
            ("regions found", found.n_regions, ""),
        ]
    if facts.verified:
        n_leaks = facts.verified.verdicts["leak"]
        n_review = facts.verified.verdicts["review"]
        numbers.append(("with a leak", n_leaks, "leak" if n_leaks else ""))
        numbers.append(("to review", n_review, "warn" if n_review else ""))
    elif facts.produced:
        numbers.append(("verified", "no", "warn"))
    return numbers
