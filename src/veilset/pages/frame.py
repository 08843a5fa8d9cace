# SPDX-License-Identifier: Apache-2.0
"""The frame of every page: one HTML file with one style, and a policy against every request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

from veilset.pages.markup import Markup, el, escape, join
from veilset.pages.parts import note

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Page:
    """What is put into the frame.

    Attributes:
        title: For the browser.
        brand: What kind of page it is, beside the name of the program.
        heading: What it is about.
        details: The line below the heading; empty ones are left out.
        opening: What comes first, a section.
        skip: What the link for the keyboard that leads there says.
        sections: By anchor: title for the links, and content, "" for none.
        footer: The last line.
    """

    title: str
    brand: str
    heading: str
    details: Sequence[str]
    opening: Markup
    skip: str
    sections: Mapping[str, tuple[str, Markup | str]]
    footer: str


def render_frame(page: Page) -> bytes:
    """Give a page: one HTML file without a script and without a request.

    Returns:
        UTF-8; the same for the same argument.
    """
    style = page_style()
    shown = {anchor: each for anchor, each in page.sections.items() if each[1]}
    header = join(
        el("p", "Veilset", el("span", page.brand), class_="brand"),
        el("h1", page.heading),
        note(" · ".join(each for each in page.details if each)),
    )
    links = [el("a", title, href=f"#{anchor}") for anchor, (title, _) in shown.items()]
    text = Template(_read("page.html")).substitute(
        policy=escape(content_policy(style)),
        title=escape(page.title),
        style=style,
        skip=escape(page.skip),
        header=header,
        opening=page.opening,
        navigation=join(links),
        sections=join(content for _, content in shown.values()),
        footer=note(page.footer),
    )
    return text.encode("utf-8")


@cache
def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def page_style() -> str:
    """Give the style sheet: one palette, light and dark, for desk, phone and paper."""
    return _read("page.css")


def content_policy(style: str) -> str:
    """Give the content security policy of a page with exactly this style sheet.

    Nothing may be fetched or run; pictures come from the page itself.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
