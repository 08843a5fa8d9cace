# SPDX-License-Identifier: Apache-2.0
"""The files below a folder, in the order of data sets; what leads out of it is not followed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from veilset.errors import DatasetError
from veilset.files import PART_PREFIX
from veilset.types import ImageRecord

WhyNot = Callable[[str], str]
"""Says of a path below the root why that file is not wanted, "" if it is."""


class FileTree:
    """Lists the files of a local folder that are wanted, sorted by the parts of their path.

    Hidden files and folders are passed over. A link to a file inside the tree is a file like
    any other; a link that leaves the tree, or leads to a folder, is never followed.
    """

    def __init__(self, root: Path, why_not: WhyNot, ignored: Counter[str]) -> None:
        """Prepare a walk.

        Args:
            root: The folder.
            why_not: Says why a file is not wanted.
            ignored: Counts what is passed over: ``hidden``, ``link out of the data set``,
                ``link to a folder``, ``link that leads nowhere``, ``not a regular file``, and
                what ``why_not`` says.
        """
        self._root = root
        self._real_root = root.resolve()
        self._why_not = why_not
        self._ignored = ignored

    def records(self) -> Iterator[ImageRecord]:
        """Go through the wanted files; memory holds the names of the folders that lead to one.

        Raises:
            DatasetError: If a folder cannot be listed.
        """
        # A stack instead of recursion: a tree may be deeper than Python's stack.
        stack = [self._entries("")]
        while stack:
            name, is_folder, is_link = next(stack[-1], ("", False, False))
            if not name:
                stack.pop()
            elif is_folder:
                stack.append(self._entries(f"{name}/"))
            elif reason := self._reason_against(name, is_link=is_link):
                self._ignored[reason] += 1
            else:
                yield named(name)

    def _entries(self, prefix: str) -> Iterator[tuple[str, bool, bool]]:
        """Give the path of each entry of a folder, whether it is a folder, and whether a link."""
        names, folders, links = self._scan(f"{self._root}/{prefix}")
        return ((prefix + name, name in folders, name in links) for name in names)

    def _scan(self, folder: str) -> tuple[list[str], set[str], set[str]]:
        """Give the sorted visible names of a folder, and which are folders and links."""
        names: list[str] = []
        folders: set[str] = set()
        links: set[str] = set()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        if not entry.name.startswith(PART_PREFIX):
                            self._ignored["hidden"] += 1
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.add(entry.name)
                    elif entry.is_symlink():
                        links.add(entry.name)
                    elif not entry.is_file():
                        self._ignored["not a regular file"] += 1
                        continue
                    names.append(entry.name)
        except OSError as error:
            raise DatasetError(
                f"The folder {folder} cannot be listed ({error.strerror}). Check its permissions."
            ) from error
        names.sort(key=_place)
        return names, folders, links

    def _reason_against(self, name: str, *, is_link: bool) -> str:
        """Say why a file is not part of the data set, "" if it is."""
        if is_link:
            try:
                target = (self._root / name).resolve(strict=True)
            except (OSError, RuntimeError):
                return "link that leads nowhere"
            if not target.is_relative_to(self._real_root):
                return "link out of the data set"
            if target.is_dir():
                return "link to a folder"
            if not target.is_file():
                return "not a regular file"
        return self._why_not(name)


def named(image_id: str) -> ImageRecord:
    """Give the record of a file by its name as the system gave it (``surrogateescape``)."""
    try:
        image_id.encode("utf-8")
    except UnicodeEncodeError:
        readable = image_id.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return ImageRecord(readable, "The file name is not valid UTF-8. Rename the file.")
    return ImageRecord(image_id)


def _place(name: str) -> tuple[str, str]:
    """Give what a name in a folder is sorted by: first the name that it is listed by.

    Tables are searched by that one, and one that is not UTF-8 sorts elsewhere by itself.
    """
    return named(name).image_id, name


def list_everything(root: Path) -> Iterator[tuple[str, str]]:
    """Go through all that is below a folder, in the order of data sets; no link is followed.

    Yields:
        Path below the folder, as the system gave it, and ``file``, ``link``, ``folder`` (one
        with nothing below it) or ``other``.

    Raises:
        OSError: If a folder cannot be listed.
    """
    # A stack instead of recursion: an attacker's tree may be deeper than Python's stack.
    stack = [(iter(_scan(str(root))), str(root), "")]
    while stack:
        entries, folder, prefix = stack[-1]
        name, kind = next(entries, ("", ""))
        if not kind:
            stack.pop()
            continue
        if kind == "folder":
            inside = _scan(f"{folder}/{name}")
            if inside:
                stack.append((iter(inside), f"{folder}/{name}", f"{prefix}{name}/"))
                continue
        yield prefix + name, kind


def _scan(folder: str) -> list[tuple[str, str]]:
    """Give name and kind of everything in a folder, sorted."""
    with os.scandir(folder) as entries:
        found = [(entry.name, _kind(entry)) for entry in entries]
    return sorted(found, key=lambda each: _place(each[0]))


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"
