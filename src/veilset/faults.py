# SPDX-License-Identifier: Apache-2.0
"""Errors that tell of the machine or of a mount, and not of the file at hand.

What is written down of an image is there for good: a run that is resumed passes over it. So what
the system lacks for a while stops the run, and the same command goes on once it is there again.
"""

from __future__ import annotations

import errno
import mmap

from veilset.errors import RunError

# By name: not every system has all of them. EIO is not among them: it is told of one bad sector
# too, and a run that it stops would never get past that file (see ``dataset.patience``). ENXIO
# and ENODEV are what opening a socket or a device gives, EACCES what a single file may.
_REMEDIES = {
    "ENOSPC EDQUOT EFBIG EROFS": "Make room, for temporary files too (TMPDIR)",
    "EMFILE ENFILE": "Allow more open files (ulimit -n), or give fewer --workers",
    "ENOMEM ENOBUFS": "Make memory free, or give fewer --workers",
    "ESTALE ETIMEDOUT ENETDOWN ENETUNREACH ENETRESET EHOSTDOWN EHOSTUNREACH ENOTCONN ECONNABORTED "
    "ECONNREFUSED ECONNRESET ESHUTDOWN ENOLINK ENOMEDIUM ENOKEY EKEYEXPIRED EKEYREVOKED": (
        "Make sure that the disk or the network folder is there"
    ),
}
_REMEDY_OF = {
    getattr(errno, name): remedy
    for names, remedy in _REMEDIES.items()
    for name in names.split()
    if hasattr(errno, name)
}

_ROOM_FOR_AN_IMAGE = 4 << 30
"""More bytes than an image within the limits takes, in all its forms at once."""


def is_fault(error: BaseException) -> bool:
    """Whether an error is of the machine: it would have come with any file.

    A ``MemoryError`` is, if there is no room now even for an image within the limits. Else it
    asked for more than any such image does: a broken file says that it is that large.
    """
    if isinstance(error, MemoryError):
        return _is_short_of_memory()
    return isinstance(error, OSError) and error.errno in _REMEDY_OF


def stop_at_fault(error: BaseException, what: str) -> None:
    """Stop the run if an error is of the machine; do nothing if it is of the file.

    Args:
        error: What was raised.
        what: What was worked on, for the message.

    Raises:
        RunError: If it is of the machine.
    """
    if not is_fault(error):
        return
    number = error.errno if isinstance(error, OSError) else None
    remedy = _REMEDY_OF[errno.ENOMEM if number is None else number]
    why = error.strerror if isinstance(error, OSError) else "there is not enough memory"
    raise RunError(
        f"{what} could not be worked on: {why}. {remedy}, "
        "then run the same command again: it goes on from here."
    ) from error


def _is_short_of_memory() -> bool:
    """Whether the system refuses room for an image. It is asked for and not used: that is quick."""
    try:
        mmap.mmap(-1, _ROOM_FOR_AN_IMAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return True
    return False
