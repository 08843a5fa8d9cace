# SPDX-License-Identifier: Apache-2.0
"""From a place to a data set: which layout lies there, and what reads and writes it."""

from __future__ import annotations

from pathlib import Path

from veilset.dataset.folder import FolderReader, FolderWriter
from veilset.protocols import Reader, Writer


def open_reader(location: str | Path) -> Reader:
    """Open a data set.

    Args:
        location: Folder of images.

    Raises:
        DatasetError: If it is missing, no data set, or may not be read.
    """
    return FolderReader(Path(location))


def open_writer(location: str | Path, like: Reader) -> Writer:
    """Give what writes a data set of the same layout as another; nothing is made yet.

    Args:
        location: Where it is to lie.
        like: The data set that it is made from.
    """
    return FolderWriter(Path(location))
