# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all, and their digests."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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


def make_private(folder: Path) -> None:
    """Make a folder, with its parents, that its owner alone may read; narrow one that is there.

    Raises:
        OSError: If it cannot be made, or the rights of one that is there not be changed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def finite(value: Any) -> Any:
    """Give a value as JSON can hold it: None for numbers that are not finite, at any depth.

    Example:
        >>> finite({"value": 0.5, "interval": (-math.inf, math.inf)})
        {'value': 0.5, 'interval': [None, None]}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def read_object(path: Path, remedy: str, keys: Collection[str] = ()) -> dict[str, Any]:
    """Read a JSON object that Veilset wrote; what is not finite in an older one is None.

    Args:
        path: The file.
        remedy: What to do if it is damaged: a sentence or two.
        keys: What it has to hold.

    Raises:
        RunError: If it cannot be read, is no JSON object, or lacks a key.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}). {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: it is not valid JSON. {remedy}") from error
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged: it is no JSON object. {remedy}")
    for key in keys:
        if key not in found:
            raise RunError(f"{path} is damaged: it lacks {key!r}. {remedy}")
    whole: dict[str, Any] = finite(found)
    return whole


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
