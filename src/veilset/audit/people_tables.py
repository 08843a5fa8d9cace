# SPDX-License-Identifier: Apache-2.0
"""What the audit's page tells of estimates by category, and the box that warns of estimates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veilset.pages.audit_figures import PEOPLE_LIMIT
from veilset.pages.markup import Content, Markup, el, join
from veilset.pages.parts import caution, count, ends_of, note, percent, table


def people_warning() -> Markup:
    """Give the box that stands wherever ages or genders are shown."""
    return caution(PEOPLE_LIMIT)


def by_category_tables(found: Mapping[str, Any]) -> list[Content]:
    """Give the shares of ages and of genders in the categories with the most estimates.

    Args:
        found: Numbers of the audit.

    Returns:
        Nothing where a single category, or none, has estimates: that is the whole data set.
    """
    parts: list[Content] = []
    for name in ("age", "gender"):
        told = (found["people"][name] or {}).get("by_category")
        if told and told["n_categories"] > 1:
            parts.append(_table(name, told))
    if parts:
        parts.append(note(
            "Below each share its 95 % interval, in percent; faces of one image are alike and "
            "count as fewer. "
            "Where the images of two categories differ, as in size or sharpness, the errors of "
            "the estimates differ too, and so do the shares."
        ))  # fmt: skip
    return parts


def _table(name: str, told: Mapping[str, Any]) -> Markup:
    most = told["most"]
    rows = [
        (
            each["name"]
            if each["name"] == each["category"]
            else join(each["name"], el("small", each["category"])),
            join(f"{each['n']:,}", el("small", f"in {count(each['n_images'], 'image')}",
                                      class_="ends")),
            *(
                join(percent(share["value"]),
                     el("small", ends_of(share).removesuffix(" %"), class_="ends"))
                for share in each["shares"]
            ),
        )
        for each in most
    ]  # fmt: skip
    which = f"the {len(most)} of {told['n_categories']:,} categories with the most estimates"
    if len(most) == told["n_categories"]:
        which = f"all {len(most)} categories with estimates"
    link = el("a", "Table of all of them", href=f"tables/{name}_by_category.csv")
    headers = ("Category", "Estimates", *told["labels"])
    numbers = range(1, len(headers))
    inner = table(f"Estimated {name} by category: {which}", headers, rows, numbers=numbers)
    return join(el("div", inner, class_="dense"), el("p", link, class_="note"))
