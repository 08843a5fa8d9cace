# SPDX-License-Identifier: Apache-2.0
"""What waits in files without a name, because memory is to hold none of it."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Collection, Iterator
from typing import BinaryIO, Generic, TypeVar, cast

from veilset.dataset.fetched import Fetched

_Value = TypeVar("_Value")


class Spool:
    """Images that wait in a nameless file until all of a container are there.

    They come in any order and from several threads, and memory is to hold none of them.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._n_bytes = 0
        self._places: dict[str, tuple[int, int]] = {}

    def put(self, image_id: str, data: bytes) -> None:
        """Take one image; OSError if there is no room for it."""
        with self._lock:
            self._stream.write(data)
            self._places[image_id] = self._n_bytes, len(data)
            self._n_bytes += len(data)

    def drop(self, image_id: str) -> None:
        """Forget one image, if it is there."""
        with self._lock:
            self._places.pop(image_id, None)

    def flush(self) -> None:
        """Make everything readable that was put; to be called once, before reading."""
        self._stream.flush()

    def ids(self) -> Collection[str]:
        """Give the ``image_id`` of every image that is there."""
        return self._places.keys()

    def size(self, image_id: str) -> int:
        """Give the number of bytes of an image; KeyError if it is not there."""
        return self._places[image_id][1]

    def read(self, image_id: str) -> bytes:
        """Give the bytes of an image; KeyError if it is not there."""
        at, n_bytes = self._places[image_id]
        return b"".join(pieces(self._stream.fileno(), at, at + n_bytes))

    def pieces(self, image_id: str) -> Iterator[bytes]:
        """Go through the bytes of an image, a megabyte at a time."""
        at, n_bytes = self._places[image_id]
        return pieces(self._stream.fileno(), at, at + n_bytes)


class Shelf(Generic[_Value]):
    """Values by name, in a nameless file; memory holds the names. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: Fetched | None = None
        self._places: dict[str, tuple[int, int]] = {}

    def put(self, name: str, value: _Value) -> None:
        """Keep a value; it has to pickle."""
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._file = self._file or Fetched()
            at = self._file.size()
            os.pwrite(self._file.descriptor, data, at)
            self._places[name] = at, len(data)

    def get(self, name: str) -> _Value | None:
        """Give the value that was put last under a name, None if there is none."""
        with self._lock:
            if self._file is None or name not in self._places:
                return None
            at, n_bytes = self._places[name]
            data = os.pread(self._file.descriptor, n_bytes, at)
        # Written by this process a moment ago, into a file that no other can name.
        return cast(_Value, pickle.loads(data))  # noqa: S301


def pieces(descriptor: int, start: int, stop: int) -> Iterator[bytes]:
    """Go through the bytes of a file from ``start`` to ``stop``, a megabyte at a time.

    It ends earlier where the file does.
    """
    while start < stop and (piece := os.pread(descriptor, min(1 << 20, stop - start), start)):
        yield piece
        start += len(piece)
