# SPDX-License-Identifier: Apache-2.0
"""The count of answers as JSON values, as CSV and as a Markdown table."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from veilset.attack.people.counting import Count, SettingCount
from veilset.pages.markdown import plain
from veilset.spreadsheets import csv_text
from veilset.types import Measurement


def as_json(count: Count) -> dict[str, Any]:
    """Give a count as JSON values; shares in [0, 1]."""
    settings = [asdict(each) | {"is_above_chance": each.is_above_chance} for each in count.settings]
    return asdict(count) | {"settings": settings, "notes": list(count.notes)}


def as_csv(count: Count) -> str:
    """Give a row for each setting; shares in [0, 1], empty where nothing is known."""
    rows = [_row(each, count.chance) for each in count.settings]
    return csv_text(rows[0], (row.values() for row in rows)) if rows else ""


def _row(each: SettingCount, chance: float) -> dict[str, str | int | float]:
    row: dict[str, str | int | float] = {"setting": each.setting}
    for name in ("right", "right_if_named", "cannot_tell", "seconds"):
        row |= _cells(name, getattr(each, name))
    return row | {
        "n_right": each.n_right,
        "n_answers": each.n_answers,
        "n_questions": each.n_questions,
        "n_assessors": each.n_assessors,
        "chance": chance,
        "p": each.p,
        "p_holm": each.p_holm,
        "is_above_chance": int(each.is_above_chance),
    }


def _cells(name: str, found: Measurement | None) -> dict[str, str | float]:
    if found is None:
        return {name: "", f"{name}_low": "", f"{name}_high": "", f"{name}_n": ""}
    return {
        name: found.value,
        f"{name}_low": found.low,
        f"{name}_high": found.high,
        f"{name}_n": found.n,
    }


def as_markdown(count: Count) -> str:
    """Give a table for people, and the notes below it."""
    head = (
        "| setting | right | of those who named somebody | cannot tell | seconds, median "
        "| right / answers | questions | people | p against chance | p, Holm | above chance |"
    )
    lines = [head, "|---|" + "--:|" * 9 + "---|"]
    for each in count.settings:
        cells = [
            plain(each.setting),
            _share(each.right),
            _share(each.right_if_named),
            _share(each.cannot_tell),
            _span(each.seconds, 1, "") if each.seconds else "–",
            f"{each.n_right:,} / {each.n_answers:,}",
            f"{each.n_questions:,}",
            f"{each.n_assessors:,}",
            _p(each.p),
            _p(each.p_holm),
            "yes" if each.is_above_chance else "not shown",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    notes = [f"- {plain(note)}" for note in ("In brackets: 95 % intervals.", *count.notes)]
    return "\n".join([*lines, "", *notes, ""])


def _share(found: Measurement | None) -> str:
    return _span(found, 100, " %") if found else "–"


def _span(found: Measurement, times: int, unit: str) -> str:
    value, low, high = (f"{each * times:.1f}" for each in (found.value, found.low, found.high))
    return f"{value}{unit} ({low}–{high})"


def _p(value: float) -> str:
    """Write a probability.

    Example:
        >>> _p(0.0371), _p(3e-9)
        ('0.037', '< 0.001')
    """
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
