# SPDX-License-Identifier: Apache-2.0
"""Files that leave a data set which is a release, and the folders that this leaves empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from veilset.dataset.containers import ContainerReader
from veilset.dataset.folder import FolderReader
from veilset.dataset.sidecars import SidecarReader
from veilset.dataset.stores import Store
from veilset.protocols import Reader, Shard, Writer
from veilset.types import ImageRecord

_AT_ONCE = 1024


def delete_images(reader: Reader, writer: Writer, image_ids: Iterable[str]) -> None:
    """Make sure that images which are files of their own are not in a release.

    Args:
        reader: The release.
        writer: Writes there.
        image_ids: Names of the images; they need not be there.

    Raises:
        RunError: If one cannot be deleted.
    """
    root = getattr(reader, "root", None)
    names = iter(image_ids)
    while some := list(islice(names, _AT_ONCE)):
        shard = Shard(0, tuple(map(ImageRecord, some)))
        with reader.open_shard(shard) as source, writer.open_shard(shard, source) as target:
            for record in shard.records:
                target.discard(record)
        if isinstance(root, Path):
            for name in some:
                _drop_empty_folders(root, name)


def delete_containers(release: ContainerReader[Any, Any], source: ContainerReader[Any, Any]) -> int:
    """Delete the containers of a release that its source has no more; give their number.

    Raises:
        DatasetError: If one of the two cannot be listed.
        RunError: If one cannot be deleted.
    """
    n_deleted = 0
    for name in _only_in(release.containers(), source.containers()):
        release.store.delete(name)
        _drop_folders_of(release.store, name)
        n_deleted += 1
    return n_deleted


def delete_sidecars(release: Reader, source: Reader) -> None:
    """Delete the files of a release that tell of images and that its source has no more, if any.

    Raises:
        DatasetError: If one of them cannot be used.
        RunError: If one cannot be deleted.
    """
    if not (isinstance(release, SidecarReader) and isinstance(source, SidecarReader)):
        return
    there = {sidecar.name for sidecar in source.sidecars()}
    gone = [sidecar.name for sidecar in release.sidecars() if sidecar.name not in there]
    if gone and isinstance(release, FolderReader):
        for name in gone:
            release.store.delete(name)
            _drop_folders_of(release.store, name)


def _only_in(ours: Iterable[str], theirs: Iterable[str]) -> Iterator[str]:
    """Go through the names that only the first has, as both stream by in order."""
    others = iter(theirs)
    other = next(others, None)
    for name in ours:
        key = ImageRecord(name).order_key
        while other is not None and ImageRecord(other).order_key < key:
            other = next(others, None)
        if other != name:
            yield name


def _drop_folders_of(store: Store, name: str) -> None:
    if isinstance(store.root, Path):
        _drop_empty_folders(store.root, name)


def _drop_empty_folders(root: Path, name: str) -> None:
    """Delete the folders that a file leaves empty: their names may tell something."""
    for folder in Path(name).parents:
        if folder != Path():
            # Not empty, or not there any more: both are well.
            with suppress(OSError):
                (root / folder).rmdir()
