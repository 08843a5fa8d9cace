# SPDX-License-Identifier: Apache-2.0
"""The files below a folder, in the order of data sets; what leads out of it is not followed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from veilset.errors import DatasetError
from veilset.files import PART_PREFIX
from veilset.types import ImageRecord


@dataclass(slots=True)
class Ignored:
    """Entries that are not part of the data set, counted by why.

    Attributes:
        counts: ``hidden``, ``not an image``, ``link out of the data set``, ``link to a
            folder``, ``not a regular file``.
    """

    counts: Counter[str] = field(default_factory=Counter)


class FileTree:
    """Lists the files of a tree that are wanted, sorted by the parts of their path.

    Hidden files and folders are passed over. A link to a file inside the tree is a file like
    any other; a link that leaves the tree, or leads to a folder, is never followed.

    Attributes:
        root: The folder.
        ignored: What was passed over in the last walk.
    """

    def __init__(self, root: Path, why_not: Callable[[Path], str]) -> None:
        """Open the folder.

        Args:
            root: The folder.
            why_not: Says why a file is not wanted, "" if it is.

        Raises:
            DatasetError: If it is missing, no folder, or may not be read.
        """
        if not root.exists():
            raise DatasetError(f"There is no folder {root}. Check the path.")
        if not root.is_dir():
            raise DatasetError(f"{root} is not a folder. Give the folder that holds the images.")
        if not os.access(root, os.R_OK | os.X_OK):
            raise DatasetError(f"The folder {root} may not be read. Check its permissions.")
        self.root = root
        self.ignored = Ignored()
        self.real_root = root.resolve()
        self._why_not = why_not

    def records(self) -> Iterator[ImageRecord]:
        """Go through the wanted files; memory holds the names of the folders that lead to one.

        Raises:
            DatasetError: If a folder cannot be listed.
        """
        self.ignored = Ignored()
        yield from self._records(self.root, "")

    def _records(self, folder: Path, prefix: str) -> Iterator[ImageRecord]:
        names, folders, links = self._scan(folder)
        for name in names:
            if name in folders:
                yield from self._records(folder / name, f"{prefix}{name}/")
                continue
            reason = self._reason_against(folder / name, is_link=name in links)
            if reason:
                self.ignored.counts[reason] += 1
            else:
                yield named(prefix + name)

    def _scan(self, folder: Path) -> tuple[list[str], set[str], set[str]]:
        """Give the sorted visible names of a folder, and which are folders and links."""
        names: list[str] = []
        folders: set[str] = set()
        links: set[str] = set()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        if not entry.name.startswith(PART_PREFIX):
                            self.ignored.counts["hidden"] += 1
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.add(entry.name)
                    elif entry.is_symlink():
                        links.add(entry.name)
                    elif not entry.is_file():
                        self.ignored.counts["not a regular file"] += 1
                        continue
                    names.append(entry.name)
        except OSError as error:
            raise DatasetError(
                f"The folder {folder} cannot be listed ({error.strerror}). Check its permissions."
            ) from error
        names.sort()
        return names, folders, links

    def _reason_against(self, path: Path, *, is_link: bool) -> str:
        """Say why a file is not part of the data set, "" if it is."""
        if is_link:
            try:
                target = path.resolve(strict=True)
            except (OSError, RuntimeError):
                return "link that leads nowhere"
            if not target.is_relative_to(self.real_root):
                return "link out of the data set"
            if target.is_dir():
                return "link to a folder"
            if not target.is_file():
                return "not a regular file"
        return self._why_not(path)


def named(image_id: str) -> ImageRecord:
    """Give the record of a file by its name as the system gave it (``surrogateescape``)."""
    try:
        image_id.encode("utf-8")
    except UnicodeEncodeError:
        readable = image_id.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return ImageRecord(readable, "The file name is not valid UTF-8. Rename the file.")
    return ImageRecord(image_id)
