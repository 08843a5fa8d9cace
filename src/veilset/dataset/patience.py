# SPDX-License-Identifier: Apache-2.0
"""Reading from disks that fail: one bad sector must neither stop a run nor hide a dead disk.

The system says EIO of both. So a read is tried again; if it fails for good, what could be read
before is read anew from the disk. Where that works, the one file is bad, and is recorded as
unreadable: a run that stopped at it would stop at it each time. Where it does not, the run stops.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import TypeVar

from veilset.errors import RunError
from veilset.faults import is_fault

_PAUSES_S = (0.1, 0.5)
"""How long is waited before each further try."""

_Answer = TypeVar("_Answer")


def read_again(read: Callable[[], _Answer]) -> _Answer:
    """Read, and again after a moment where the disk fails.

    Raises:
        OSError: If it cannot be read.
    """
    for pause_s in _PAUSES_S:
        try:
            return read()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        time.sleep(pause_s)
    return read()


def check_disk(error: OSError, place: str, read_other: Callable[[], object]) -> None:
    """Make sure after an error that the disk can still be read; only EIO raises that question.

    Args:
        error: What reading one file has come to.
        place: The folder or container, for the message.
        read_other: Reads something else from the same disk.

    Raises:
        RunError: If that fails too.
    """
    if error.errno != errno.EIO:
        return
    try:
        read_other()
    except OSError as other:
        # It may be gone or shut meanwhile, which says nothing about the disk.
        if other.errno == errno.EIO or is_fault(other):
            raise RunError(
                f"{place} cannot be read any more ({error.strerror}), and not only one file of it. "
                "Mend the disk or its connection, then run the same command again: it goes on "
                "from here."
            ) from error


def read_from_disk(descriptor: int) -> None:
    """Read the beginning of an open file, from the disk and not from what the system has kept.

    Raises:
        OSError: If it cannot be read.
    """
    if hasattr(os, "posix_fadvise"):  # macOS has none, and keeps what it has read
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.pread(descriptor, 1, 0)
