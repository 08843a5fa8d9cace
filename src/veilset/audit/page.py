# SPDX-License-Identifier: Apache-2.0
"""The page of an audit: one HTML file without a script, a request or a picture of a face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from veilset.audit.background import (
    card_section,
    files_section,
    images_section,
    limits_section,
    made_section,
)
from veilset.audit.card import summarize
from veilset.audit.figures import Figure
from veilset.audit.groups import disparity_section, people_section
from veilset.audit.results import TableFile
from veilset.audit.sections import (
    categories_section,
    regions_section,
    sizes_section,
    supercategories_section,
    unbroken,
)
from veilset.pages.frame import content_policy, page_style
from veilset.pages.markup import Content, Markup, el, escape, join
from veilset.pages.parts import count, percent

_HERE = Path(__file__).parent

_SECTIONS = (
    ("regions", "How many"),
    ("categories", "Categories"),
    ("supercategories", "Supercategories"),
    ("sizes", "How large"),
    ("people", "Age and gender"),
    ("disparity", "Disparity"),
    ("images", "What was searched"),
    ("limits", "Limits"),
    ("files", "Files"),
    ("card", "Data-set card"),
    ("made", "Make it again"),
)


def render_page(
    found: Mapping[str, Any],
    figures: Mapping[str, Figure],
    tables: Sequence[TableFile],
    card_text: str,
) -> bytes:
    """Give the page.

    Args:
        found: Numbers of the audit.
        figures: Its figures, by name.
        tables: The files beside it.
        card_text: The text for the card of the data set.

    Returns:
        UTF-8; the same for the same arguments.
    """
    style = page_style() + _read("audit.css")
    main = {
        "regions": regions_section(found, figures),
        "categories": categories_section(found, figures),
        "supercategories": supercategories_section(found, figures),
        "sizes": sizes_section(found, figures),
        "people": people_section(found, figures),
        "disparity": disparity_section(found, figures),
        "images": images_section(found),
        "limits": limits_section(found),
        "files": files_section(tables, figures),
        "card": card_section(found, card_text),
        "made": made_section(found),
    }
    links = [el("a", title, href=f"#{anchor}") for anchor, title in _SECTIONS if main[anchor]]
    page = Template(_read("audit.html")).substitute(
        policy=escape(content_policy(style)),
        title=escape(f"{found['data_set']}: audit"),
        style=style,
        header=_header(found),
        lede=el("p", unbroken(summarize(found)), class_="lede"),
        numbers=_numbers(found),
        navigation=join(links),
        sections=join(main[anchor] for anchor, _ in _SECTIONS),
    )
    return page.encode("utf-8")


@cache
def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _header(found: Mapping[str, Any]) -> Markup:
    within = found["config"]["within"]
    details = [
        f"{found['plural']} in {count(found['population']['n_images'], 'image')}",
        f"below {within}" if within else "",
        f"annotation set {found['annotations']['outputs_sha256'][:12]}",
    ]
    return join(
        el("p", "Veilset", el("span", "audit"), class_="brand"),
        el("h1", found["data_set"]),
        el("p", " · ".join(each for each in details if each), class_="note"),
    )


def _numbers(found: Mapping[str, Any]) -> Markup:
    counted = found["per_image"]
    statuses = found["images"]["statuses"]
    n_not = statuses["not_looked"] + statuses["could_not_look"]
    numbers: list[tuple[str, Content, str]] = [
        ("images searched", counted["n_looked"], ""),
        ("not searched", n_not, "warn" if n_not else ""),
    ]
    if counted["n_looked"]:
        numbers += [
            (f"with a {found['noun']}", counted["n_with"], ""),
            ("of the searched", percent(counted["share_with"]["value"]), ""),
            (found["plural"], counted["n_regions"], ""),
        ]
    if found["categories"]["n_judged"] > 1:
        half = found["categories"]["above"][0]["n_above"]
        numbers.append(("categories above a half", half, ""))
    return el(
        "dl",
        [el("div", el("dt", label), el("dd", value), class_=tone or None)
         for label, value, tone in numbers],
        class_="numbers",
    )  # fmt: skip
