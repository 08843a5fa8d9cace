# SPDX-License-Identifier: Apache-2.0
"""From a place to a data set: which layout lies there, and what reads and writes it."""

from __future__ import annotations

import os
from pathlib import Path

from veilset.dataset.containers import ContainerReader, ContainerWriter
from veilset.dataset.folder import IMAGE_SUFFIXES, FolderReader, FolderWriter
from veilset.dataset.webdataset import (
    COMPRESSED_SUFFIXES,
    TAR_SUFFIX,
    WebDatasetReader,
)
from veilset.errors import ConfigError, DatasetError
from veilset.protocols import Reader, Writer

AUTO, FOLDER, WEBDATASET = "auto", "folder", "webdataset"
LAYOUTS = (AUTO, FOLDER, WEBDATASET)

_TARS = (TAR_SUFFIX, *COMPRESSED_SUFFIXES)


def open_reader(location: str | Path, layout: str = AUTO) -> Reader:
    """Open a data set.

    Args:
        location: Folder of images or of tar files, nested in any way, or one tar file.
        layout: ``folder``, ``webdataset``, or ``auto`` to look which it is.

    Raises:
        ConfigError: If there is no such layout.
        DatasetError: If the place is missing, no data set, or may not be read, or if the
            layout cannot be told because it holds tar files and images.
    """
    location = Path(location)
    if layout not in LAYOUTS:
        raise ConfigError(f"There is no layout {layout!r}. Choose: {', '.join(LAYOUTS)}.")
    if layout == AUTO:
        layout = detect_layout(location)
    return WebDatasetReader(location) if layout == WEBDATASET else FolderReader(location)


def open_folder(location: str | Path, what_for: str) -> FolderReader:
    """Open a folder of images for what can use no other layout.

    Args:
        location: The folder.
        what_for: What it is opened for, for the message.

    Raises:
        DatasetError: If it is missing, may not be read, or holds tar files.
    """
    location = Path(location)
    if detect_layout(location) == WEBDATASET:
        raise DatasetError(
            f"{location} holds tar files, and {what_for} takes a folder of images. Unpack the tar "
            "files into a folder, each into one of its own name, and give that."
        )
    return FolderReader(location)


def open_writer(location: str | Path, like: Reader) -> Writer:
    """Give what writes a data set of the same layout as another; nothing is made yet.

    Args:
        location: Folder in which it is to lie.
        like: The data set that it is made from.
    """
    if isinstance(like, ContainerReader):
        return ContainerWriter(Path(location))
    return FolderWriter(Path(location))


def detect_layout(location: Path) -> str:
    """Give the layout of what lies at a place, told from the names of the files.

    Raises:
        DatasetError: If it holds tar files and images, so that neither can be meant.
    """
    if location.is_file():
        return WEBDATASET if location.name.lower().endswith(_TARS) else FOLDER
    tar = image = ""
    folders = [str(location)]
    while folders and not (tar and image):
        for path, is_folder in _visible(folders.pop()):
            if is_folder:
                folders.append(path)
            elif path.lower().endswith(_TARS):
                tar = tar or path
            elif path[path.rfind(".") :].lower() in IMAGE_SUFFIXES:
                image = image or path
    if tar and image:
        raise DatasetError(
            f"{location} holds tar files ({tar}) and images ({image}). Give a folder of one of "
            "the two, or say with --layout which of them is the data set."
        )
    return WEBDATASET if tar else FOLDER


def _visible(folder: str) -> list[tuple[str, bool]]:
    """Give the paths in a folder that are not hidden, and which are folders; links are files."""
    try:
        with os.scandir(folder) as entries:
            return [
                (entry.path, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.name.startswith(".")
            ]
    except OSError:
        # What cannot be listed is refused, with a sentence, by what reads the layout.
        return []
