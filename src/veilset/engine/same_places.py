# SPDX-License-Identifier: Apache-2.0
"""Whether a worker on another machine sees the same files as the one that sent it.

A folder may be missing there, or be another one under the same name: an empty mount point, a
folder of that machine's own disk. Read from, it would turn every image into one that is
missing; written to, it would swallow the results.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from veilset.errors import RunError
from veilset.files import part_path
from veilset.protocols import Places


@dataclass(frozen=True, slots=True)
class Sighting:
    """What this machine sees, for workers to compare.

    Attributes:
        places: The paths.
        cwd: Where relative ones start.
        entries: One name in each folder that is read, None if it is empty; the size in bytes
            of each file.
    """

    places: Places
    cwd: Path
    entries: dict[Path, str | int | None]


def sight(places: Places) -> Sighting:
    """Note what this machine sees."""
    return Sighting(places, Path.cwd(), {path: _mark(path) for path in places.reads})


def _mark(path: Path) -> str | int | None:
    if path.is_file():
        return path.stat().st_size
    with os.scandir(path) as entries:
        return next((entry.name for entry in entries), None)


def enter_places(sighting: Sighting, node: str) -> list[Path]:
    """Check the paths from a worker, and leave a sign in each folder that is written to.

    Args:
        sighting: What the machine that sent the worker sees.
        node: Name of the worker's machine, for messages.

    Returns:
        The signs: files that the sending machine has to find, and deletes.

    Raises:
        RunError: If a path is missing or another one; the message names it and the machine.
    """
    places = sighting.places
    relative = [path for path in _all(places) if not path.is_absolute()]
    if relative:
        try:
            os.chdir(sighting.cwd)
        except OSError as error:
            raise _not_seen(sighting.cwd / relative[0], node) from error
    for path, mark in sighting.entries.items():
        _check_read(path, mark, node)
    signs = []
    for folder in (places.run, *places.writes):
        sign = part_path(folder / uuid4().hex)
        try:
            sign.touch(exist_ok=False)
        except FileNotFoundError as error:
            raise _not_seen(folder, node) from error
        except OSError as error:
            raise RunError(
                f"The node {node} cannot write to {folder} ({error.strerror}). "
                "Mend that, then run the same command again."
            ) from error
        signs.append(sign)
    return signs


def take_signs(signs: list[Path], node: str) -> None:
    """Delete the signs of a worker.

    Raises:
        RunError: If one is not here: the worker's folder is another one of the same name.
    """
    for sign in signs:
        try:
            sign.unlink()
        except FileNotFoundError as error:
            raise _not_shared(sign.parent, node) from error


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
