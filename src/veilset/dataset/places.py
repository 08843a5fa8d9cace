# SPDX-License-Identifier: Apache-2.0
"""From a place to a data set: which layout lies there, and what reads and writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from veilset.dataset.coco import SUFFIX as JSON_SUFFIX
from veilset.dataset.coco import CocoReader
from veilset.dataset.containers import ContainerReader, ContainerWriter
from veilset.dataset.folder import IMAGE_SUFFIXES, FolderReader, FolderWriter, has_suffix
from veilset.dataset.listed import SUFFIXES as LIST_SUFFIXES
from veilset.dataset.listed import ListReader
from veilset.dataset.sidecars import SidecarReader, SidecarWriter
from veilset.dataset.stores import Location, join, location_of, open_place, open_store
from veilset.dataset.webdataset import (
    COMPRESSED_SUFFIXES,
    TAR_SUFFIX,
    WebDatasetReader,
)
from veilset.errors import ConfigError, DatasetError
from veilset.protocols import Reader, Writer

AUTO, FOLDER, WEBDATASET, LIST, COCO = "auto", "folder", "webdataset", "list", "coco"
LAYOUTS = (AUTO, FOLDER, WEBDATASET, LIST, COCO)

_READERS: Mapping[str, Callable[[Location], Reader]] = {
    FOLDER: FolderReader,
    WEBDATASET: WebDatasetReader,
    LIST: ListReader,
    COCO: CocoReader,
}
_TARS = (TAR_SUFFIX, *COMPRESSED_SUFFIXES)


def open_reader(location: Location, layout: str = AUTO) -> Reader:
    """Open a data set.

    Args:
        location: Folder of images or of tar files, nested in any way; or one tar file, one
            list of images, or one JSON of COCO's form.
        layout: ``folder``, ``webdataset``, ``list``, ``coco``, or ``auto`` to look which it
            is. A folder is of the layout ``coco`` only if that is said.

    Raises:
        ConfigError: If there is no such layout.
        DatasetError: If the place is missing, no data set, or may not be read, or if the
            layout cannot be told because it holds tar files and images.
    """
    location = location_of(location)
    if layout not in LAYOUTS:
        raise ConfigError(f"There is no layout {layout!r}. Choose: {', '.join(LAYOUTS)}.")
    if layout == AUTO:
        layout = detect_layout(location)
    return _READERS[layout](location)


def open_release(location: Location, inputs: Mapping[str, Any]) -> Reader:
    """Open the output of a run as a data set of the layout in which it was read.

    Args:
        location: The output.
        inputs: What the data set that it was made from said in ``describe``.

    Raises:
        DatasetError: As ``open_reader``.
    """
    told_by = inputs.get("list") or inputs.get("json")
    layout = str(inputs["layout"])
    return open_reader(join(location, str(told_by)) if told_by else location, layout)


def open_folder(location: Location, what_for: str) -> FolderReader:
    """Open a folder of images for what can use no other layout.

    Args:
        location: The folder.
        what_for: What it is opened for, for the message.

    Raises:
        DatasetError: If it is missing, may not be read, is at a URL, or holds tar files.
    """
    location = location_of(location)
    if not isinstance(location, Path):
        raise DatasetError(
            f"{open_store(location).root} is a URL, and {what_for} takes a local folder of images. "
            "Copy the images into one, and give that."
        )
    if detect_layout(location) == WEBDATASET:
        raise DatasetError(
            f"{location} holds tar files, and {what_for} takes a folder of images. Unpack the tar "
            "files into a folder, each into one of its own name, and give that."
        )
    return FolderReader(location)


def open_writer(location: Location, like: Reader) -> Writer:
    """Give what writes a data set of the same layout as another; nothing is made yet.

    Args:
        location: Folder in which it is to lie.
        like: The data set that it is made from.
    """
    if isinstance(like, ContainerReader):
        return ContainerWriter(location)
    if isinstance(like, SidecarReader):
        return SidecarWriter(location, like)
    return FolderWriter(location)


def detect_layout(location: Location) -> str:
    """Give the layout of what lies at a place, told from the names of the files.

    Raises:
        DatasetError: If it holds tar files and images, so that neither can be meant.
    """
    store, single = open_place(location)
    if single:
        name = single.lower()
        if name.endswith(LIST_SUFFIXES):
            return LIST
        if name.endswith(JSON_SUFFIX):
            return COCO
        return WEBDATASET if name.endswith(_TARS) else FOLDER
    tar = image = ""
    folders = [""]
    while folders and not (tar and image):
        for path, is_folder in store.visible(folders.pop()):
            if is_folder:
                folders.append(path)
            elif path.lower().endswith(_TARS):
                tar = tar or path
            elif has_suffix(path, IMAGE_SUFFIXES):
                image = image or path
    if tar and image:
        raise DatasetError(
            f"{store.root} holds tar files ({store.place(tar)}) and images ({store.place(image)}). "
            "Give a folder of one of the two, or say with --layout which of them is the data set."
        )
    return WEBDATASET if tar else FOLDER
