# SPDX-License-Identifier: Apache-2.0
"""``study.json``: written, read again, and turned into tables and figures for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from veilset.audit.raster import write_figures
from veilset.errors import RunError
from veilset.files import write_atomically
from veilset.pages.study_figures import draw_study_figures
from veilset.runs import json_bytes, make_folder
from veilset.study.evaluate import FORMAT
from veilset.study.layout import StudyPaths
from veilset.study.render import write_tables
from veilset.study.tables import Table


def write_results(paths: StudyPaths, found: Mapping[str, Any]) -> Path:
    """Write what was evaluated; the same results give the same bytes.

    Raises:
        RunError: If it cannot be written.
    """
    write_atomically(paths.results, json_bytes(found))
    return paths.results


def read_results(paths: StudyPaths) -> dict[str, Any]:
    """Read what was evaluated.

    Raises:
        RunError: If nothing was, or the file is damaged or of another version.
    """
    path = paths.results
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        if found["format"] != FORMAT:
            raise RunError(
                f"{path} is of another version. Run 'veilset study evaluate' to write it again."
            )
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing. Run 'veilset study evaluate' first.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} is damaged ({type(error).__name__}). Run 'veilset study evaluate' again."
        ) from error
    return found


def write_tables_and_figures(found: Mapping[str, Any], folder: Path) -> None:
    """Write the tables and the figures of a study into ``tables`` and ``figures`` of a folder.

    Args:
        found: What ``read_results`` gave.
        folder: Made if missing.

    Raises:
        RunError: If a file cannot be written.
        MissingExtraError: If the library that draws PNG files is not installed.
    """
    make_folder(folder)
    paths = StudyPaths(folder)
    write_tables(paths.tables, [Table.from_json(table) for table in found["tables"]])
    write_figures(paths.figures, draw_study_figures(found["figures"]))
