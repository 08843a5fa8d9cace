# SPDX-License-Identifier: Apache-2.0
"""Who works on which run: a lock on its folder, which the system frees however a process ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from veilset.errors import RunError
from veilset.files import writing
from veilset.locks import LOCK, Answer, keep_if_ours, try_lock


class Claim:
    """A run that is this process's alone until the ``with`` block ends."""

    def __init__(self, lock_fd: int) -> None:
        self._lock_fd = lock_fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._lock_fd)


def claim(folder: Path) -> Claim | None:
    """Claim the run in a folder, which is made if missing; None if another process has it.

    What the run's folder holds has to be read after this, not before: the process that had it
    may just have finished it.

    Raises:
        RunError: If files cannot be locked there, or the folder cannot be written to.
    """
    path = folder / LOCK
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        # Not handed on to programs that are started: they would hold it after this process.
        lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    answer = keep_if_ours(lock_fd, path)
    if answer is Answer.OURS:
        return Claim(lock_fd)
    if answer is Answer.HELD:
        return None
    raise _without_locks(folder)


def wait_for_lock(path: Path, *, is_shared: bool = False) -> int:
    """Lock a file as soon as others let it; held until the descriptor that it gives is closed.

    Raises:
        OSError: If the file cannot be opened.
        RunError: If files cannot be locked there.
    """
    lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if try_lock(lock_fd, waits=True, is_shared=is_shared) is not Answer.OURS:
            raise _without_locks(path.parent)
    except BaseException:
        os.close(lock_fd)
        raise
    return lock_fd


def _without_locks(folder: Path) -> RunError:
    return RunError(
        f"{folder} lies where files cannot be locked, so that processes cannot share the "
        "runs. Run one process on a local disk, or use a file system with locks."
    )
