# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all, and their digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from veilset.errors import RunError

# Hidden, so that no reader takes a half-written file for an image; the same name every
# time, so that a killed run leaves nothing behind once it has been resumed.
PART_PREFIX = ".veilset-part-"


def ordered_name(number: int) -> str:
    """Give a number as a text that sorts among its like as numbers do, however large they get.

    Five digits; from 100,000 on letters before them say which hundred thousand it is.

    Example:
        >>> [ordered_name(number) for number in (7, 99_999, 100_000, 2_599_999, 2_600_000)]
        ['00007', '99999', 'a00000', 'y99999', 'za00000']
    """
    block, rest = divmod(number, 100_000)
    if not block:
        return f"{rest:05d}"
    # The last letter only leads to further ones, so that there is always a next.
    n_further, letter = divmod(block - 1, 25)
    return f"{'z' * n_further}{chr(ord('a') + letter)}{rest:05d}"


def sha256_hex(data: bytes) -> str:
    """Give the SHA-256 of some bytes, lower-case hex.

    Example:
        >>> sha256_hex(b"")[:12]
        'e3b0c44298fc'
    """
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Give the SHA-256 of a file, lower-case hex, reading it piece by piece."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def part_path(path: Path) -> Path:
    """Give the temporary name, in the same folder, under which a file is written."""
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:24]
    return path.with_name(PART_PREFIX + name)


def discard_part(part: Path) -> None:
    """Delete a temporary file; what hinders that does not hide why it is deleted."""
    with suppress(OSError):
        part.unlink()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it; its folder must exist.

    A process killed at any instant leaves the old file, or none, or the new one. It is
    not forced to the disk: after a power cut, digests tell what was lost.

    Raises:
        RunError: If it cannot be written: the disk is full, or read-only.
    """
    part = part_path(path)
    try:
        with writing(path), part.open("wb") as stream:
            stream.write(data)
        with writing(path):
            part.replace(path)
    except BaseException:
        discard_part(part)
        raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of a block that writes a file that it cannot be written, if it cannot.

    Raises:
        RunError: If the system refuses it: the disk is full, or read-only.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise RunError(
            f"{path} cannot be written ({why}). "
            "Mend that, then run the same command again: it goes on from here."
        ) from error
