# SPDX-License-Identifier: Apache-2.0
"""Nameless local files that several threads read: nothing is left of them after a kill."""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import suppress
from typing import BinaryIO, cast


class Fetched:
    """A file without a name. It is gone when nobody refers to it any more.

    Attributes:
        descriptor: Of the file, open for reading and writing.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as stream:
            self.descriptor = os.dup(stream.fileno())

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self.descriptor)

    def size(self) -> int:
        """Give the number of bytes."""
        return os.fstat(self.descriptor).st_size


def fetched_stream(fetched: Fetched) -> BinaryIO:
    """Open a file to read; each stream has a place of its own in it."""
    return cast(BinaryIO, io.BufferedReader(_Window(fetched)))


class _Window(io.RawIOBase):
    """Reads by offset: a descriptor that is shared has one place for all who share it."""

    def __init__(self, fetched: Fetched) -> None:
        self._fetched = fetched
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fetched.descriptor

    # Any buffer does; the standard library has no name for that before Python 3.12.
    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        n_bytes = os.preadv(self._fetched.descriptor, [buffer], self._at)
        self._at += n_bytes
        return n_bytes

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._fetched.size()}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at
