# SPDX-License-Identifier: Apache-2.0
"""From a place to a data set: which layout lies there, and what reads and writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from veilset.dataset.coco import SUFFIX as JSON_SUFFIX
from veilset.dataset.coco import CocoReader
from veilset.dataset.containers import ContainerReader, ContainerWriter
from veilset.dataset.folder import IMAGE_SUFFIXES, FolderReader, FolderWriter, has_suffix
from veilset.dataset.listed import SUFFIXES as LIST_SUFFIXES
from veilset.dataset.listed import ListReader
from veilset.dataset.locations import Location, is_url, join, location_of
from veilset.dataset.parquet import PARQUET_SUFFIX, ParquetReader
from veilset.dataset.sidecars import SidecarReader, SidecarWriter
from veilset.dataset.stores import open_place
from veilset.dataset.webdataset import (
    COMPRESSED_SUFFIXES,
    TAR_SUFFIX,
    WebDatasetReader,
)
from veilset.errors import ConfigError, DatasetError
from veilset.protocols import Reader, Writer

AUTO, FOLDER, WEBDATASET, PARQUET = "auto", "folder", "webdataset", "parquet"
LIST, COCO = "list", "coco"
LAYOUTS = (AUTO, FOLDER, WEBDATASET, PARQUET, LIST, COCO)

_READERS: Mapping[str, Callable[[Location], Reader]] = {
    FOLDER: FolderReader,
    WEBDATASET: WebDatasetReader,
    PARQUET: ParquetReader,
    LIST: ListReader,
    COCO: CocoReader,
}
_TARS = (TAR_SUFFIX, *COMPRESSED_SUFFIXES)
_NOUNS = {WEBDATASET: "tar files", PARQUET: "Parquet files", FOLDER: "images"}


def open_reader(location: Location, layout: str = AUTO) -> Reader:
    """Open a data set.

    Args:
        location: Folder of images, of tar files or of Parquet files, nested in any way; or one
            tar or Parquet file, one list of images, or one JSON of COCO's form.
        layout: ``folder``, ``webdataset``, ``parquet``, ``list``, ``coco``, or ``auto`` to look
            which it is. A folder is of the layout ``coco`` only if that is said.

    Raises:
        ConfigError: If there is no such layout.
        DatasetError: If the place is missing, no data set, or may not be read, or if the
            layout cannot be told because it holds files of two.
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
        DatasetError: If it is missing, may not be read, is at a URL, or holds tar or
            Parquet files.
    """
    if is_url(location):
        raise DatasetError(
            f"{location} is a URL, and {what_for} takes a local folder of images. Copy the images "
            "into one, and give that."
        )
    location = location_of(location)
    layout = detect_layout(location)
    if layout in (WEBDATASET, PARQUET):
        raise DatasetError(
            f"{location} holds {_NOUNS[layout]}, and {what_for} takes a folder of images. Unpack "
            "them into a folder, each into one of its own name, and give that."
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
        DatasetError: If it holds files of two layouts, so that neither can be meant.
    """
    store, single = open_place(location)
    if single:
        name = single.lower()
        if name.endswith(LIST_SUFFIXES):
            return LIST
        if name.endswith(JSON_SUFFIX):
            return COCO
        return _layout_of(name) or FOLDER
    found: dict[str, str] = {}
    folders = [""]
    while folders and len(found) < 2:
        for path, is_folder in store.visible(folders.pop()):
            if is_folder:
                folders.append(path)
            elif layout := _layout_of(path.lower()):
                found.setdefault(layout, path)
    if len(found) > 1:
        both = [
            f"{noun} ({store.place(found[layout])})"
            for layout, noun in _NOUNS.items()
            if layout in found
        ]
        raise DatasetError(
            f"{store.root} holds {' and '.join(both)}. Give a folder of one kind, or say with "
            "--layout which of them is the data set."
        )
    return next(iter(found), FOLDER)


def _layout_of(name: str) -> str:
    """Give the layout that a file belongs to by its name in lower case, "" if to none."""
    if name.endswith(_TARS):
        return WEBDATASET
    if name.endswith(PARQUET_SUFFIX):
        return PARQUET
    return FOLDER if has_suffix(name, IMAGE_SUFFIXES) else ""
