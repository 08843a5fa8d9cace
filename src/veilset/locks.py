# SPDX-License-Identifier: Apache-2.0
"""Locks of files: held by a process until it ends, however it ends.

That another process holds a lock, that a file system has none, and that asking failed are three
things. Where there are no locks, a run is refused (``lock_folder``), and so is a share of a study
(``study.claims``): two commands at once would spoil it unseen. Only the locks of single shards go
on without (``engine.shard_locks``), since the run's own lock stands above them.
"""

from __future__ import annotations

import errno
import fcntl
import os
from enum import Enum
from pathlib import Path

from veilset.errors import RunError

LOCK = "lock"
"""Name of the file in the folder of a run that is locked."""

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
# ENOLCK comes from Lustre without -o flock and from NFS without its lock service, the others from
# file systems in user space that lack the call.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Answer(Enum):
    """What came of asking for a lock."""

    OURS = "ours"
    HELD = "held by another process"
    NO_LOCKS = "files cannot be locked there"


def try_lock(
    descriptor: int,
    part: tuple[int, int] | None = None,
    *,
    waits: bool = False,
    is_shared: bool = False,
) -> Answer:
    """Ask for the only lock on an open file, or for one of several.

    Args:
        descriptor: Of the file; the lock on the whole file is held until it is closed.
        part: Length and start of the bytes to lock (POSIX), a length of 0 for all that follow;
            None for the whole file (BSD).
        waits: Whether to wait until nobody else holds it.
        is_shared: Whether others may hold a shared lock beside it.

    Raises:
        OSError: If asking fails for another reason than those of ``Answer``.
    """
    how = (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB)
    try:
        if part is None:
            fcntl.flock(descriptor, how)
        else:
            fcntl.lockf(descriptor, how, *part)
    except OSError as error:
        if error.errno in _HELD:
            return Answer.HELD
        if error.errno in _NO_LOCKS:
            return Answer.NO_LOCKS
        raise
    return Answer.OURS


def unlock(descriptor: int, part: tuple[int, int]) -> None:
    """Let go of some bytes of a file; nothing is to be done where there are no locks.

    Raises:
        OSError: If that fails for another reason.
    """
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, *part)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def keep_if_ours(descriptor: int, path: Path) -> Answer:
    """Try to lock a whole file, as ``try_lock``; close it unless the lock is ours.

    Raises:
        RunError: If that fails for another reason than that it is held or that there are no locks.
    """
    try:
        answer = try_lock(descriptor)
    except OSError as error:
        os.close(descriptor)
        raise RunError(
            f"{path} cannot be locked ({error.strerror}). "
            "Mend that, then run the same command again: it goes on from here."
        ) from error
    if answer is not Answer.OURS:
        os.close(descriptor)
    return answer


def lock_folder(folder: Path) -> int:
    """Hold the folder of a run for this process, until the descriptor that it gives is closed.

    The system lets go of it however the process ends.

    Raises:
        RunError: If another process holds it, it cannot be written to, or there are no locks.
    """
    try:
        lock_fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RunError(
            f"The folder {folder} cannot be written to ({error.strerror}). "
            "Choose a place where you may write."
        ) from error
    answer = keep_if_ours(lock_fd, folder / LOCK)
    if answer is Answer.OURS:
        return lock_fd
    if answer is Answer.HELD:
        raise RunError(
            f"Another process is working on the run in {folder}. Wait for it, or stop it."
        )
    raise RunError(
        f"{folder} lies where files cannot be locked, so that two commands could write the same "
        "run. Choose a place on a local disk, or mount the file system with locks (Lustre: "
        "-o flock)."
    )
