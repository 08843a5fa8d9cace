# SPDX-License-Identifier: Apache-2.0
"""``study.json``: written, read again, and turned into tables and figures for people.

``written.json`` beside the tables names their files, so that those of an earlier evaluation go
when they are not written any more, and nothing else ever does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from veilset.audit.raster import import_resvg, write_figures
from veilset.errors import RunError
from veilset.files import write_atomically, writing
from veilset.pages.study_figures import draw_study_figures
from veilset.runs import json_bytes, make_folder
from veilset.study.evaluate import FORMAT
from veilset.study.layout import StudyPaths
from veilset.study.render import TABLE_SUFFIXES, write_tables
from veilset.study.tables import Table

WRITTEN, WRITTEN_FORMAT = "written.json", "veilset-study-written/1"
# A record that was edited must not name a file anywhere else.
_OURS = re.compile(r"(tables/[^/\0]+\.(csv|md|tex|parquet)|figures/[^/\0]+\.(svg|png))")


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

    Files that were written here before and are not any more are removed: a table of other
    settings does not stay beside those of the study as it is. Files that are not on record are
    left alone. A call that was ended within leaves a record of all that may be there.

    Args:
        found: What ``read_results`` gave.
        folder: Made if missing.

    Raises:
        RunError: If a file cannot be written or removed, or the record is damaged.
        MissingExtraError: If the library that draws PNG files is not installed; nothing is
            written then.
    """
    import_resvg()
    tables = [Table.from_json(table) for table in found["tables"]]
    figures = draw_study_figures(found["figures"])
    now = {f"tables/{table.name}{suffix}" for table in tables for suffix in TABLE_SUFFIXES}
    now |= {f"figures/{name}{suffix}" for name in figures for suffix in (".svg", ".png")}
    make_folder(folder)
    before = _files_before(folder / WRITTEN)
    _record(folder, before | now)
    paths = StudyPaths(folder)
    write_tables(paths.tables, tables)
    write_figures(paths.figures, figures)
    for name in sorted(before - now):
        with writing(folder / name):
            (folder / name).unlink(missing_ok=True)
    _record(folder, now)


def _files_before(path: Path) -> set[str]:
    """Give the names of the files that an earlier call wrote."""
    try:
        record = json.loads(path.read_bytes())
        names, is_known = record["files"], record["format"] == WRITTEN_FORMAT
        if is_known and all(_OURS.fullmatch(name) for name in names):
            return set(names)
    except FileNotFoundError:
        return set()
    except (ValueError, KeyError, TypeError):
        pass
    raise RunError(
        f"{path} is damaged, or of another version. Delete it, and the folders tables and figures "
        "beside it, then run 'veilset study tables' again."
    )


def _record(folder: Path, names: set[str]) -> None:
    values = {"format": WRITTEN_FORMAT, "files": sorted(names)}
    write_atomically(folder / WRITTEN, json_bytes(values))
