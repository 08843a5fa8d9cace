# SPDX-License-Identifier: Apache-2.0
"""Errors that tell of the machine or of a mount, and not of the file at hand.

What is written down of an image is there for good: a run that is resumed passes over it. So what
the system lacks for a while stops the run, and the same command goes on once it is there again.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import socket
from collections.abc import Iterator

from veilset.errors import RunError

# By name: not every system has all of them. EIO is not among them: it is told of one bad sector
# too, and a run that it stops would never get past that file (see ``dataset.patience``). ENXIO
# and ENODEV are what opening a socket or a device gives, EACCES what a single file may.
_SERVICE = "Make sure that the disk, the network folder or the service is there"
_REMEDIES = {
    "ENOSPC EDQUOT EFBIG EROFS": "Make room, for temporary files too (TMPDIR)",
    "EMFILE ENFILE": "Allow more open files (ulimit -n), or give fewer --workers",
    "ENOMEM ENOBUFS": "Make memory free, or give fewer --workers",
    "ESTALE ETIMEDOUT ENETDOWN ENETUNREACH ENETRESET EHOSTDOWN EHOSTUNREACH ENOTCONN ECONNABORTED "
    "ECONNREFUSED ECONNRESET ESHUTDOWN ENOLINK ENOMEDIUM ENOKEY EKEYEXPIRED EKEYREVOKED": _SERVICE,
}
_REMEDY_OF = {
    getattr(errno, name): remedy
    for names, remedy in _REMEDIES.items()
    for name in names.split()
    if hasattr(errno, name)
}

# With any number, or none: libraries raise them with a text alone.
_OF_A_CONNECTION = (ConnectionError, TimeoutError, socket.gaierror)

# Of OpenVINO, ONNX Runtime and PyTorch, which have no class for it.
_NO_MEMORY = re.compile("bad_alloc|[Ff]ailed to allocate|can't alloc")

_LONGEST_CHAIN = 16

_MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
_ROOM_FOR_AN_IMAGE = min(4 << 30, _MEMORY // 2)
"""More bytes than an image within the limits takes, in all its forms at once; or of a small machine
as many as it may give: one that has no more than 4 GiB would always refuse them."""


def is_fault(error: BaseException) -> bool:
    """Whether an error is of the machine: it would have come with any file.

    A want of memory is, if there is no room now even for an image within the limits. Else it
    asked for more than any such image does: a broken file says that it is that large. Of the
    memory of a GPU nobody can tell which it is.
    """
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return _is_short_of_memory()
    is_of_system = isinstance(error, OSError) and error.errno in _REMEDY_OF
    return is_of_system or isinstance(error, _OF_A_CONNECTION)


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
    if isinstance(error, OSError):
        # Its other text may be an address, with a password.
        remedy, why = _REMEDY_OF.get(error.errno or 0, _SERVICE), error.strerror
    else:
        remedy, why = _REMEDY_OF[errno.ENOMEM], "there is not enough memory"
    raise RunError(
        f"{what} could not be worked on: {why or type(error).__name__}. {remedy}, "
        "then run the same command again: it goes on from here."
    ) from error


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Go through an error and those that led to it.

    A library raises its own error over that of the system.
    """
    each: BaseException | None = error
    # An error can be its own cause.
    for _ in range(_LONGEST_CHAIN):
        if each is None:
            return
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _is_short_of_memory() -> bool:
    """Whether the system refuses room for an image. It is asked for and not used: that is quick."""
    try:
        mmap.mmap(-1, _ROOM_FOR_AN_IMAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return True
    return False
