# SPDX-License-Identifier: Apache-2.0
"""Groups from a file: photographs of different groups never meet in a question."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from veilset.attack.people.asking import Material
from veilset.errors import ConfigError

COLUMNS = ["image_id", "group"]

_N_TOLD = 3


def with_groups(material: Material, path: Path) -> Material:
    """Give each photograph the group that a file says.

    Args:
        material: What questions are made of.
        path: CSV with the header ``image_id,group``, UTF-8. Photographs that do not take part
            may be in it.

    Returns:
        The same, with groups.

    Raises:
        ConfigError: If the file cannot be read or is none of these, names a photograph twice
            in two groups, or does not name one that takes part.
    """
    groups = _read(path)
    missing = [each.image_id for each in material.candidates if each.image_id not in groups]
    if missing:
        told = ", ".join(missing[:_N_TOLD]) + (", ..." if len(missing) > _N_TOLD else "")
        raise ConfigError(
            f"{path} gives no group to {len(missing):,} of {len(material.candidates):,} "
            f"photographs that take part: {told}. Add a line for each."
        )
    candidates = tuple(replace(each, group=groups[each.image_id]) for each in material.candidates)
    return replace(material, candidates=candidates)


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, strict=True, skipinitialspace=True)
            lines = [(rows.line_num, row) for row in rows if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = str(error)
        if isinstance(error, OSError):
            why = error.strerror or why
        elif isinstance(error, UnicodeDecodeError):
            why = "it is no UTF-8 text"
        raise ConfigError(
            f"The groups {path} cannot be read ({why}). Give CSV with the header image_id,group."
        ) from error
    if not lines or [word.strip() for word in lines[0][1]] != COLUMNS:
        header = ",".join(lines[0][1])[:60] if lines else "nothing"
        raise ConfigError(
            f"{path} begins with {header!r}. Give CSV with the header image_id,group."
        )
    groups: dict[str, str] = {}
    for at, row in lines[1:]:
        if len(row) != len(COLUMNS) or not all(word.strip() for word in row):
            raise ConfigError(f"{path}, line {at}: give a photograph and its group, both.")
        image_id, group = row[0], row[1].strip()
        if groups.setdefault(image_id, group) != group:
            raise ConfigError(
                f"{path}, line {at}: {image_id!r} is in two groups. Leave one of the lines."
            )
    return groups
