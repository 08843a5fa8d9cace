# SPDX-License-Identifier: Apache-2.0
"""Whether a worker on another machine sees the same files as the one that sent it.

A folder may be missing there, or be another one under the same name: an empty mount point, a
folder of that machine's own disk. Read from, it would turn every image into one that is
missing; written to, it would swallow the results.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from veilset.engine.shard_locks import FILE
from veilset.errors import RunError
from veilset.files import part_path
from veilset.protocols import Places


@dataclass(frozen=True, slots=True)
class Sighting:
    """What this machine sees, for workers to compare.

    Attributes:
        places: The paths.
        run_text: What is written in the lock file of the run.
        cwd: Where relative ones start.
        entries: One name in each folder that is read, None if it is empty; the size in bytes
            of each file.
    """

    places: Places
    run_text: str
    cwd: Path
    entries: dict[Path, str | int | None]


def sight(places: Places, run_text: str) -> Sighting:
    """Note what this machine sees."""
    entries = {path: _mark(path) for path in places.reads}
    return Sighting(places, run_text, Path.cwd(), entries)


def _mark(path: Path) -> str | int | None:
    if path.is_file():
        return path.stat().st_size
    try:
        with os.scandir(path) as entries:
            return next((entry.name for entry in entries), None)
    except OSError:
        # The worker will not see it either, and says so.
        return None


def check_places(sighting: Sighting, node: str) -> None:
    """Check from a worker the run and what it is to read; go where relative paths start.

    Args:
        sighting: What the machine that sent the worker sees.
        node: Name of the worker's machine, for messages.

    Raises:
        RunError: If a path is missing or another one; the message names it and the machine.
    """
    check_reads(sighting, node)
    places = sighting.places
    if not places.run.is_dir():
        raise _not_seen(places.run, node)
    try:
        text = (places.run / FILE).read_text()
    except FileNotFoundError as error:
        raise _not_shared(places.run, node) from error
    if text != sighting.run_text:
        raise _not_shared(places.run, node)


def check_reads(sighting: Sighting, node: str) -> None:
    """Check from a worker what it is to read, and not the run; else as ``check_places``."""
    relative = [path for path in _all(sighting.places) if not path.is_absolute()]
    if relative:
        try:
            os.chdir(sighting.cwd)
        except OSError as error:
            raise _not_seen(sighting.cwd / relative[0], node) from error
    for path, mark in sighting.entries.items():
        _check_read(path, mark, node)


def leave_signs(places: Places, number: int, node: str) -> dict[Path, str]:
    """Leave a sign in each folder that a worker writes to, besides that of the run.

    Args:
        places: The paths.
        number: Number of the worker; no two have the same one at a time. A command that is
            killed just now leaves the sign behind, and the next one takes it away.
        node: Name of the worker's machine, for messages.

    Returns:
        What is written in each file; the sending machine has to find it, and deletes it.

    Raises:
        RunError: If a folder is missing or cannot be written to.
    """
    signs = {}
    for folder in places.writes:
        sign, text = part_path(folder / f"worker {number}"), uuid4().hex
        try:
            sign.write_text(text)
        except FileNotFoundError as error:
            raise _not_seen(folder, node) from error
        except OSError as error:
            raise RunError(
                f"The node {node} cannot write to {folder} ({error.strerror}). "
                "Mend that, then run the same command again."
            ) from error
        signs[sign] = text
    return signs


def take_signs(signs: Mapping[Path, str], node: str) -> None:
    """Delete the signs of a worker.

    Raises:
        RunError: If one is not here: the worker's folder is another one of the same name.
    """
    for sign, text in signs.items():
        try:
            found = sign.read_text()
            sign.unlink()
        except FileNotFoundError as error:
            raise _not_shared(sign.parent, node) from error
        if found != text:
            raise _not_shared(sign.parent, node)


def _all(places: Places) -> tuple[Path, ...]:
    return (places.run, *places.reads, *places.writes)


def _check_read(path: Path, mark: str | int | None, node: str) -> None:
    if isinstance(mark, int):
        if not path.is_file():
            raise _not_seen(path, node)
        if path.stat().st_size != mark:
            raise _not_shared(path, node)
    elif not path.is_dir():
        raise _not_seen(path, node)
    elif mark is not None and not os.path.lexists(path / mark):
        raise _not_shared(path, node)


def _not_seen(path: Path, node: str) -> RunError:
    return RunError(
        f"The node {node} does not see {path}. Every node of the cluster has to see the data "
        "set and the output under the same path: mount them there, or use --engine local."
    )


def _not_shared(path: Path, node: str) -> RunError:
    return RunError(
        f"{path} on the node {node} is not the one of this machine. Every node of the cluster "
        "has to see the same files under it: mount them there, or use --engine local."
    )
