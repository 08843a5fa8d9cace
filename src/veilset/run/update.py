# SPDX-License-Identifier: Apache-2.0
"""The records of a release are put aside, so that an update can take results over from them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from veilset.errors import RunError
from veilset.files import write_atomically
from veilset.locks import lock_folder
from veilset.records.removals import require_settled
from veilset.runs import json_bytes, make_folder, read_manifest

BEFORE = "before"
MARK = "update.json"
FORMAT = "veilset-update/1"
STAGES = ("annotations", "obfuscate", "verify")
_PAGES = ("report.html", "report.json")


def begin_update(record: Path, check: Callable[[], object]) -> Path:
    """Put the records of a finished release aside, or go on with an update that was begun.

    Killed at any instant, the same call goes on.

    Args:
        record: Folder of the records.
        check: Called before anything is put aside: it raises what would stop the update.

    Returns:
        Folder that the records are in now: ``before/1`` of the first update, and so on.

    Raises:
        RunError: If there is no finished release, or somebody works on it.
    """
    mark = record / MARK
    if not mark.exists():
        _check_finished(record)
        check()
        number = 1 + max((int(each.name) for each in _earlier(record)), default=0)
        make_folder(record / BEFORE / str(number))
        _write_mark(mark, number, is_aside=False)
    try:
        state = json.loads(mark.read_bytes())
        folder, is_aside = record / BEFORE / str(state["before"]), bool(state["is_aside"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{mark} is damaged. Restore it: it says how far the update is.") from error
    if not is_aside:
        try:
            _put_aside(record, folder)
            _write_mark(mark, state["before"], is_aside=True)
        except OSError as error:
            raise RunError(
                f"The records in {record} cannot be moved to {folder} ({error.strerror}). "
                "Mend that, then run the same command again: it goes on from here."
            ) from error
    return folder


def end_update(record: Path) -> None:
    """Say that the update is finished."""
    (record / MARK).unlink(missing_ok=True)


def refuse_unfinished_update(record: Path) -> None:
    """Refuse to run on a release that is being updated.

    Raises:
        RunError: If it is.
    """
    if (record / MARK).exists():
        raise RunError(
            f"An update of the release of {record} was not finished. Run the same command with "
            "--update to finish it."
        )


def _check_finished(record: Path) -> None:
    require_settled(record)
    for name in STAGES[:2]:
        read_manifest(record / name)


def _earlier(record: Path) -> list[Path]:
    folder = record / BEFORE
    return [each for each in folder.iterdir() if each.name.isdigit()] if folder.exists() else []


def _put_aside(record: Path, folder: Path) -> None:
    for name in STAGES:
        if (record / name).exists():
            lock_fd = lock_folder(record / name)
            try:
                (record / name).rename(folder / name)
            finally:
                os.close(lock_fd)
    # It may show what is not in the release any more.
    for name in _PAGES:
        (record / name).unlink(missing_ok=True)


def _write_mark(mark: Path, number: int, *, is_aside: bool) -> None:
    write_atomically(mark, json_bytes({"format": FORMAT, "before": number, "is_aside": is_aside}))
