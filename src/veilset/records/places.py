# SPDX-License-Identifier: Apache-2.0
"""Where the records of a release lie: in a folder beside the data set, never inside it.

The output is a data set of the same layout and nothing else, so that whatever reads the
original reads it too; boxes, failures and reports are not published by accident.
"""

from __future__ import annotations

import os
from pathlib import Path

from veilset.errors import RunError


def record_folder(out: Path) -> Path:
    """Give the folder of records that belongs to an output folder.

    Example:
        >>> record_folder(Path("photos-private")).name
        'photos-private.veilset'
    """
    real = out.resolve()
    return real.with_name(real.name + ".veilset")


def check_output(out: Path, record: Path) -> None:
    """Refuse an output folder that holds things which no run of ours put there.

    Args:
        out: The output folder.
        record: The folder of the run that would write it.

    Raises:
        RunError: If it is not empty and there is nothing to resume, if it is a file, or if
            it is gone although a run wrote into it.
    """
    started = (record / "started.json").exists()
    if not out.exists():
        if started:
            raise RunError(
                f"The record {record} tells of a run into {out}, which is gone. "
                "Restore the folder, or delete the record to start again."
            )
        return
    if not out.is_dir():
        raise RunError(f"{out} is not a folder. Choose another name for the output.")
    with os.scandir(out) as entries:
        is_empty = next(entries, None) is None
    if not started and not is_empty:
        raise RunError(
            f"The folder {out} is not empty, and there is no run to resume in {record}. "
            "Choose a new folder for the output, or empty this one."
        )
