# SPDX-License-Identifier: Apache-2.0
"""The page of an audit: one HTML file without a script, a request or a picture of a face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from veilset.audit.background import (
    card_section,
    files_section,
    images_section,
    limits_section,
    made_section,
)
from veilset.audit.card import summarize
from veilset.audit.estimated import estimated_section
from veilset.audit.groups import disparity_section, people_section
from veilset.audit.results import TableFile
from veilset.audit.sections import (
    categories_section,
    regions_section,
    sizes_section,
    supercategories_section,
    unbroken,
)
from veilset.pages.audit_figures import Figure
from veilset.pages.frame import Page, render_frame
from veilset.pages.markup import Content, Markup, el
from veilset.pages.parts import count, percent

_FOOTER = (
    "Made by Veilset from an annotation set. This page holds no script, makes no request, and "
    "shows no image of the data set."
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
    population, within = found["population"], found["config"]["within"]
    page = Page(
        title=f"{found['data_set']}: audit",
        brand="audit",
        heading=found["data_set"],
        details=(
            f"{found['plural']} in {count(population['n_images'], 'image')}",
            f"below {within}" if within else "",
            f"annotation set {found['annotations']['outputs_sha256'][:12]}",
        ),
        opening=el(
            "section",
            el("p", unbroken(summarize(found)), class_="lede"),
            _numbers(found),
            aria_label="In short",
        ),
        skip="Skip to the numbers",
        sections={
            "regions": ("How many", regions_section(found, figures)),
            "categories": ("Categories", categories_section(found, figures)),
            "supercategories": ("Supercategories", supercategories_section(found, figures)),
            "sizes": ("How large", sizes_section(found, figures)),
            "people": ("Age and gender", people_section(found, figures)),
            "estimated": ("What was estimated", estimated_section(found)),
            "disparity": ("Disparity", disparity_section(found, figures)),
            "images": ("What was searched", images_section(found)),
            "limits": ("Limits", limits_section(found)),
            "files": ("Files", files_section(tables, figures)),
            "card": ("Data-set card", card_section(found, card_text)),
            "made": ("Make it again", made_section(found)),
        },
        footer=_FOOTER,
    )
    return render_frame(page)


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
