# SPDX-License-Identifier: Apache-2.0
"""Annotations that are a folder of small files, one for each image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from veilset.errors import AnnotationError
from veilset.files import sha256_file

MAX_BYTES = 1 << 24
"""Bytes of the longest file that speaks of one image."""


def walk(folder: Path, suffix: str) -> Iterator[tuple[str, Path]]:
    """Go through the files below a folder that have a suffix, in the order of their paths.

    Links and hidden entries are passed over. Memory holds the names of one folder and of
    those that lead to it.

    Yields:
        The path below the folder, POSIX, and the file.

    Raises:
        AnnotationError: If a folder cannot be listed.
    """
    # A stack instead of recursion: a tree may be deeper than Python's stack.
    stack = [_entries(folder, "")]
    while stack:
        name, is_folder = next(stack[-1], ("", False))
        if not name:
            stack.pop()
        elif is_folder:
            stack.append(_entries(folder, f"{name}/"))
        elif name.lower().endswith(suffix):
            yield name, folder / name


def _entries(root: Path, prefix: str) -> Iterator[tuple[str, bool]]:
    """Give the path of each entry of a folder, sorted, and whether it is a folder."""
    folder = root / prefix
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.name.startswith(".") and not entry.is_symlink()
            )
    except OSError as error:
        raise AnnotationError(
            f"The folder {folder} cannot be listed ({error.strerror}). Check the path."
        ) from error
    return ((prefix + name, is_folder) for name, is_folder in found)


def read_small(path: Path) -> bytes:
    """Give the bytes of a file that speaks of one image.

    Raises:
        AnnotationError: If it cannot be read, or is longer than such a file can be.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be read ({error.strerror}). Check the path."
        ) from error
    if len(data) > MAX_BYTES:
        raise AnnotationError(
            f"{path} is longer than {MAX_BYTES:,} bytes, too long for a file about one image. "
            "Check the folder."
        )
    return data


def read_small_text(path: Path) -> str:
    """Give the text of such a file, UTF-8.

    Raises:
        AnnotationError: As ``read_small``, or if it is no UTF-8.
    """
    try:
        return read_small(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8. Save it as UTF-8.") from error


def digest(path: Path) -> str:
    """Give the SHA-256 of a file, or of the names and digests of all files of a folder."""
    if not path.is_dir():
        return sha256_file(path)
    total = hashlib.sha256()
    for name, file in walk(path, ""):
        total.update(f"{sha256_file(file)}  {name}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()
