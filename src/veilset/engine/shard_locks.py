# SPDX-License-Identifier: Apache-2.0
"""Locks that keep two processes, on any machine, from writing the files of one shard.

An engine on several machines cannot always know that a worker is gone: the machine may only
be cut off, and a killed command leaves workers that live a moment longer. So each worker
locks the byte of its shard, in a file beside the record. The system lets go of it when the
process ends, however it ends; on a shared file system the lock holds across machines.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from uuid import uuid4

from veilset.errors import RunError
from veilset.locks import Answer, try_lock, unlock

log = logging.getLogger(__name__)

FILE = ".workers"
PATIENCE_S = 60.0
_EVERY_S = 0.1


class ShardLocks:
    """The lock file of a run, open in one process: it must not be opened twice there."""

    def __init__(self, folder: Path, *, is_worker: bool = False) -> None:
        """Open the file. A worker does not make it: one that comes late must not work.

        Raises:
            RunError: If it cannot be written, or is missing for a worker.
        """
        self.folder = folder
        flags = os.O_RDWR | os.O_CLOEXEC | (0 if is_worker else os.O_CREAT)
        try:
            self._fd = os.open(folder / FILE, flags, 0o644)
        except FileNotFoundError as error:
            raise RunError(
                f"The run in {folder} has ended meanwhile. Run the same command again."
            ) from error
        except OSError as error:
            raise RunError(
                f"The folder {folder} cannot be written to ({error.strerror}). "
                "Choose a place where you may write."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)

    def sign(self) -> str:
        """Write a text into the file that no other run has; give it.

        A worker that finds it there sees the same folder, and is of this command.
        """
        text = uuid4().hex
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text.encode(), 0)
        return text

    @contextmanager
    def shard(self, index: int, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Hold a shard for this process while the block lasts.

        Raises:
            RunError: If another process still holds it when the patience, in seconds, ends.
        """
        if not self._acquire(1, index, patience_s):
            raise RunError(
                f"Shard {index} of the run in {self.folder} is held by a process that does not "
                "end. Stop it, then run the same command again: it goes on from here."
            )
        try:
            yield
        finally:
            unlock(self._fd, (1, index))

    def await_none(self, *, patience_s: float = PATIENCE_S) -> bool:
        """Wait until no process holds a shard; False if one still does at the end."""
        if not self._acquire(0, 0, patience_s):
            return False
        unlock(self._fd, (0, 0))
        return True

    def _acquire(self, length: int, start: int, patience_s: float) -> bool:
        until = time.monotonic() + patience_s
        while True:
            answer = try_lock(self._fd, (length, start))
            if answer is Answer.NO_LOCKS:
                # The run's own lock then is all that there is.
                log.warning(
                    "%s lies where parts of files cannot be locked: whether workers of an earlier "
                    "command still write there is not known.",
                    self.folder,
                )
            if answer is not Answer.HELD:
                return True
            if time.monotonic() > until:
                return False
            time.sleep(_EVERY_S)


def await_earlier_workers(folder: Path, *, patience_s: float = PATIENCE_S) -> None:
    """Wait for the workers of a command that was killed, and take their lock file away.

    Raises:
        RunError: If one still works when the patience, in seconds, ends.
    """
    if not (folder / FILE).exists():
        return
    with ShardLocks(folder) as locks:
        if not locks.await_none(patience_s=patience_s):
            raise RunError(
                f"Workers of an earlier command still write into the run in {folder}. "
                "Stop them (they end with their Ray job), then run the same command again."
            )
        (folder / FILE).unlink(missing_ok=True)
