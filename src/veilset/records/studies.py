# SPDX-License-Identifier: Apache-2.0
"""What a study found, read back from its folder: for the report, which imports no stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilset.errors import RunError

FORMAT = "veilset-study-results/1"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StudyResults:
    """The numbers of a study that a report needs.

    Attributes:
        reference: Setting that drops are measured against.
        roots: Folder of each setting that is one, as the study knew it.
        numbers: All of ``study.json``.
    """

    reference: str
    roots: Mapping[str, Path]
    numbers: Mapping[str, Any]

    def setting_of(self, folder: Path) -> str:
        """Name the setting whose images lie in a folder, "" if there is none."""
        for name, root in self.roots.items():
            if root.resolve() == folder.resolve():
                return name
        return ""

    def table(self, name: str) -> Mapping[str, Any] | None:
        """Give a table by name, None if the study has none of it."""
        found = [each for each in self.numbers["tables"] if each["name"] == name]
        return found[0] if found else None

    def rows(self, name: str, **wanted: str) -> list[Row]:
        """Give the rows of a table that have these values."""
        table = self.table(name)
        return [
            row
            for row in (table["rows"] if table else ())
            if all(row.get(key) == value for key, value in wanted.items())
        ]


def read_results(folder: Path) -> StudyResults:
    """Read the results of an evaluated study.

    Args:
        folder: Its folder.

    Raises:
        RunError: If the folder holds no study, or one that is not evaluated or is damaged.
    """
    started = _read(folder / "started.json", "Give the folder that 'veilset study' wrote.")
    numbers = _read(folder / "study.json", "Run 'veilset study evaluate' first.")
    if numbers.get("format") != FORMAT:
        raise RunError(
            f"{folder / 'study.json'} is of the format {numbers.get('format')!r}, not {FORMAT}. "
            "Evaluate the study again."
        )
    roots = {
        name: Path(setting["root"])
        for name, setting in started.get("settings", {}).items()
        if setting["kind"] == "folder"
    }
    return StudyResults(numbers["reference"], roots, numbers)


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} is missing or not readable. {remedy}") from error
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON. {remedy}") from error
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged. {remedy}")
    return found
