# SPDX-License-Identifier: Apache-2.0
"""The page: sections put into the frame, with a policy that forbids every request."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Template

from veilset.pages.frame import content_policy, page_style
from veilset.pages.markup import Content, Markup, el, escape, join
from veilset.pages.parts import moment
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
from veilset.report.wording import Headline

_TEMPLATES = Path(__file__).with_name("templates")

_SECTIONS = (
    ("verification", "Verification"),
    ("failures", "Failures"),
    ("images", "Images"),
    ("regions", "Regions"),
    ("outputs", "Outputs"),
    ("done", "What was done"),
    ("models", "Models"),
    ("time", "Time"),
    ("limits", "Limits"),
    ("reproduce", "Make it again"),
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
    style = page_style()
    main = {
        "verification": verification_section(facts, verdict.meaning),
        "failures": failures_section(facts),
        "images": images_section(facts),
        "regions": regions_section(facts),
        "outputs": sheet_section(facts, thumbnails),
        "done": done_section(facts),
        "models": models_section(facts),
        "time": time_section(facts),
        "limits": limits_section(),
        "reproduce": reproduce_section(facts),
    }
    links = [el("a", title, href=f"#{anchor}") for anchor, title in _SECTIONS if main[anchor]]
    page = Template(_template("report.html")).substitute(
        policy=escape(content_policy(style)),
        title=escape(f"{facts.output}: {verdict.title}"),
        style=style,
        header=_header(facts),
        verdict=_verdict(facts, verdict),
        navigation=join(links),
        sections=join(main[anchor] for anchor, _ in _SECTIONS),
    )
    return page.encode("utf-8")


@cache
def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _header(facts: Facts) -> Markup:
    made = facts.stages["obfuscate"].manifest
    method = made.get("config", {}).get("method", {}).get("name")
    details = [
        f"from {facts.source}" if facts.source else "",
        f"method {method}" if method else "",
        f"obfuscated {moment(made['finished_at'])}" if made else "",
        output_size(facts),
    ]
    return join(
        el("p", "Veilset", el("span", "release report"), class_="brand"),
        el("h1", facts.output),
        el("p", " · ".join(each for each in details if each), class_="note"),
    )


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
        numbers += [
            ("images seen", made.n_images, ""),
            ("obfuscated", made.outcomes["obfuscated"], ""),
            ("untouched", made.outcomes["untouched"], ""),
            ("failed, not in the output", n_failed, "warn" if n_failed else ""),
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
