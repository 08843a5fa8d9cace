# SPDX-License-Identifier: Apache-2.0
"""The table of models on a page: where they come from, and what may be done with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from veilset.pages.markup import Content, Markup, el, join
from veilset.pages.parts import plain, table

_COMMERCIAL = {True: "allowed", False: "forbidden", None: "not known"}
_HEADERS = ("Model", "Used for", "Origin", "Licence", "Commercial use", "SHA-256")


def models_table(caption: str, used: Iterable[tuple[Mapping[str, Any], str]]) -> Markup | str:
    """Give a row for each model, however often it was used; "" without any.

    Args:
        caption: Of the table.
        used: Model cards as JSON values, each with what it was used for.
    """
    uses: dict[str, list[str]] = {}
    cards: dict[str, Mapping[str, Any]] = {}
    for card, use in used:
        key = f"{card['name']} {card['sha256']}"
        uses.setdefault(key, []).append(use)
        cards[key] = card
    if not cards:
        return ""
    rows = [_row(card, uses[key]) for key, card in cards.items()]
    return el("div", table(caption, _HEADERS, rows), class_="models")


def _row(card: Mapping[str, Any], uses: Iterable[str]) -> tuple[Content, ...]:
    return (
        card["name"],
        ", ".join(uses),
        join(plain(card["origin"]), el("small", card["note"]) if card.get("note") else ""),
        card["licence"],
        _COMMERCIAL.get(card["commercial_ok"], ""),
        el("code", card["sha256"][:12] or "none", title=card["sha256"]),
    )
