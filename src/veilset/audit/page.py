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
)
from veilset.pages.audit_figures import Figure, key_numbers
from veilset.pages.frame import Page, render_frame
from veilset.pages.markup import el
from veilset.pages.parts import count, unbroken

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
            key_numbers(found),
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
            "files": ("Files", files_section(found, tables, figures)),
            "card": ("Data-set card", card_section(found, card_text)),
            "made": ("Make it again", made_section(found)),
        },
        footer=_FOOTER,
    )
    return render_frame(page)
