# SPDX-License-Identifier: Apache-2.0
"""What the face study of ImageNet printed, for comparison where the data set is ILSVRC."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from veilset.files import sha256_hex

PaperCell = Mapping[str, Any]
"""``value`` and perhaps ``sem``, in percent as printed, and ``source``: the line of the text."""


@cache
def _numbers() -> dict[str, Any]:
    file = resources.files("veilset.study") / "files" / "paper_numbers.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def is_ilsvrc(classes: Iterable[str]) -> bool:
    """Whether these are the 1,000 categories of ILSVRC 2012, by their WordNet identifiers.

    Example:
        >>> is_ilsvrc(["n01440764", "n02102040"])
        False
    """
    listed = "\n".join(sorted(classes))
    digest = sha256_hex(listed.encode("utf-8", "surrogateescape"))
    return digest == str(_numbers()["classes_sha256"])


def paper_rows(table: str) -> Mapping[str, Mapping[str, PaperCell]]:
    """Give what was printed in a table, by row and column; what cannot be read is absent.

    Args:
        table: As ``table_3``; with ``_released``, what the README of the released code prints.

    Raises:
        KeyError: If there is no such table.

    Example:
        >>> paper_rows("table_3")["average"]["top1.blurred.drop"]["value"]
        0.7
    """
    rows: Mapping[str, Mapping[str, PaperCell]] = _numbers()["tables"][table]
    return rows


def paper_cell(table: str, row: str, column: str) -> dict[str, float | None] | None:
    """Give a printed number as a cell of our tables, a share; None if it was not printed.

    Example:
        >>> paper_cell("table_8", "resnet18", "top5.original")
        {'mean': 0.892, 'sem': 0.0, 'n': None}
        >>> paper_cell("table_8", "resnet18", "top5.red") is None
        True
    """
    found = paper_rows(table).get(row, {}).get(column)
    if found is None:
        return None
    sem = found.get("sem")
    return {
        "mean": _share(found["value"]),
        "sem": None if sem is None else _share(sem),
        "n": None,
    }


def _share(percent: float) -> float:
    # Without the digits that a division by 100 adds.
    return round(percent / 100, 9)
