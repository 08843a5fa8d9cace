# SPDX-License-Identifier: Apache-2.0
"""Whether a tar file is another one, with nothing changed, added or gone but its images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from veilset.dataset.tar_index import (
    Member,
    TarIndex,
    carried,
    carried_over,
    end_mark,
    padding,
    read_range,
    released_header,
)


def find_difference(
    source: int, index: TarIndex, other: BinaryIO, written: Mapping[str, int]
) -> str:
    """Say where a tar file is not what its source and its images make it, "" if it is.

    Everything is compared byte by byte: headers, contents, the order, what fills the blocks
    and what follows the end. The content of images is left to those who know what it should be.

    Args:
        source: Descriptor of the tar file that it was made from.
        index: Of that.
        other: The tar file.
        written: Number of bytes of each image that is in it, by ``image_id``; of the others the
            whole sample has to be gone.

    Raises:
        OSError: If it cannot be read.
    """
    descriptor = other.fileno()
    at = 0
    for member, is_there in carried(index, written):
        for piece, n_unknown in _expected(source, member, is_there, written):
            if read_range(descriptor, at, at + len(piece)) != piece:
                return f"It differs at byte {at:,}, where {member.name!r} should be."
            at += len(piece) + n_unknown
    mark = end_mark(at)
    if os.fstat(descriptor).st_size != at + len(mark) or (
        read_range(descriptor, at, at + len(mark)) != mark
    ):
        return f"It should end at byte {at:,}, and does not."
    return ""


def _expected(
    descriptor: int, member: Member, is_there: bool, written: Mapping[str, int]
) -> Iterator[tuple[bytes, int]]:
    """Go through what is expected of a member: bytes, and how many of any value follow them."""
    if not is_there:
        return
    if member.record:
        n_bytes = written[member.record.image_id]
        yield released_header(descriptor, member, n_bytes), n_bytes
        yield padding(n_bytes), 0
        return
    for piece in carried_over(descriptor, member):
        yield piece, 0
