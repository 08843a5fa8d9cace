# SPDX-License-Identifier: Apache-2.0
"""Files that are written while others are read: only what fails in writing is told of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from veilset.dataset.sentences import unwritable


@contextmanager
def writes_to(place: str) -> Iterator[None]:
    """Say of a block that only writes that its target cannot be written, if it cannot.

    Raises:
        RunError: If the system refuses it: the disk is full, or read-only.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(place, error) from error


def open_target(file: Path | int, place: str) -> BinaryIO:
    """Open a file to write, or a descriptor, which stays open.

    Whatever the stream writes raises ``RunError`` itself, so that an ``OSError`` of a block that
    writes it is one of what the block reads.

    Args:
        file: The file.
        place: What it is called in messages.

    Raises:
        RunError: If it cannot be opened.
    """
    with writes_to(place):
        return cast(BinaryIO, io.BufferedWriter(_Target(file, place)))


class _Target(io.FileIO):
    def __init__(self, file: Path | int, place: str) -> None:
        self._place = place
        super().__init__(file, "wb", closefd=not isinstance(file, int))

    def write(self, data: Any, /) -> int:
        with writes_to(self._place):
            return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        with writes_to(self._place):
            return super().truncate(size)

    def close(self) -> None:
        # Where files lie on a network, a full disk may be told of only here.
        with writes_to(self._place):
            super().close()
