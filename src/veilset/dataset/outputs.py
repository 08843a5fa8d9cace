# SPDX-License-Identifier: Apache-2.0
"""The place of an output before a run writes into it."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from veilset.dataset.locations import Location
from veilset.dataset.stores import open_store
from veilset.errors import RunError
from veilset.runs import LEDGER, STARTED, make_folder

_WRITTEN = ("obfuscated", "untouched")
"""Outcomes of images that are in the output."""


def check_output(out: Location, record: Path) -> None:
    """Refuse an output that holds things which no run of ours put there.

    Args:
        out: The output.
        record: The folder of the run that would write it.

    Raises:
        RunError: If it is not empty and there is nothing to resume, if it is a file, cannot be
            reached, or if it is gone, or empty, although a run wrote into it.
    """
    store = open_store(out)
    started = (record / STARTED).exists()
    if isinstance(store.root, Path):
        if not store.root.exists():
            if started:
                raise RunError(
                    f"The record {record} tells of a run into {out}, which is gone. "
                    "Restore the folder, or delete the record to start again."
                )
            return
        if not store.root.is_dir():
            raise RunError(f"{out} is not a folder. Choose another name for the output.")
    try:
        is_usable = store.is_there()
        is_empty = is_usable and store.is_empty()
    except OSError as error:
        raise RunError(
            f"{store.root} cannot be listed ({error.strerror}). Check its permissions."
        ) from error
    if not is_usable:
        raise RunError(
            f"{store.root} cannot be written to: there is no such bucket, or a file of that name. "
            "Check the URL."
        )
    if started and is_empty and _has_counted(record, _WRITTEN):
        raise RunError(
            f"The record {record} tells of images in {out}, which is empty. "
            "Restore them, or delete the record to start again."
        )
    if not started and not is_empty:
        raise RunError(
            f"The folder {store.root} is not empty, and there is no run to resume in {record}. "
            "Choose a new folder for the output, or empty this one."
        )


def make_output(out: Location) -> None:
    """Make the folder of an output; an object store needs none.

    Raises:
        RunError: If it cannot be made.
    """
    root = open_store(out).root
    if isinstance(root, Path):
        make_folder(root)


def _has_counted(folder: Path, names: Collection[str]) -> bool:
    """Whether the ledger of a run, finished or not, counts an image under one of some names.

    Raises:
        RunError: If an entry of it is damaged.
    """
    for path in (folder / LEDGER).glob("[0-9]*.json"):
        try:
            counts = json.loads(path.read_bytes())["counts"]
        except (ValueError, KeyError) as error:
            raise RunError(
                f"{path} is not an entry of a ledger. Delete it to redo that shard."
            ) from error
        if any(counts.get(name) for name in names):
            return True
    return False
