# SPDX-License-Identifier: Apache-2.0
"""Files that tell of the images of a data set and are none themselves: lists, COCO's JSON.

A release has them too, each without what it says of images that are not in the release.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from veilset.dataset.folder import FolderWriter
from veilset.dataset.locations import Location, location_of
from veilset.types import ImageRecord


def parent_of(place: Location) -> tuple[Location, str]:
    """Give the folder that a place lies in, and the name of the place there.

    Example:
        >>> parent_of(Path("photos/train.txt")), parent_of("s3://bucket/train.txt")
        ((PosixPath('photos'), 'train.txt'), ('s3://bucket', 'train.txt'))
    """
    place = location_of(place)
    if isinstance(place, Path):
        place = place if place.name not in ("", "..") else place.resolve()
        return place.parent, place.name
    above, _, name = place.rstrip("/").rpartition("/")
    return above, name


class Sidecar(Protocol):
    """A file that tells of images. Holds no open file."""

    @property
    def name(self) -> str:
        """POSIX path below the root of the data set."""

    def released(self, gone: Collection[str]) -> Iterator[bytes]:
        """Give the file as it belongs into a release, piece by piece.

        What is taken out in two steps leaves the same bytes as in one.

        Args:
            gone: ``image_id`` of the images of the data set that are not in the release.

        Raises:
            DatasetError: If it cannot be read, or is damaged.
        """


@runtime_checkable
class SidecarReader(Protocol):
    """A data set that has such files."""

    def sidecars(self) -> Sequence[Sidecar]:
        """Give them in the order of data sets.

        Raises:
            DatasetError: If one cannot be used.
        """


class SidecarWriter(FolderWriter):
    """Writes images into a folder, and at the end the files that tell of them."""

    def __init__(self, root: Location, source: SidecarReader) -> None:
        """Say where to.

        Args:
            root: The folder.
            source: The data set that is written anew, or the one in that folder.
        """
        super().__init__(root)
        self.source = source

    def discard(self, record: ImageRecord) -> None:
        """Make sure that nothing is there under that image's name."""
        # A list may name what lies below another image, where nothing can be.
        if self.store.facts(record.image_id) is not None:
            super().discard(record)

    def finish(self, gone: Iterable[str]) -> None:
        """Write what tells of the images. What is right already is not written again.

        Raises:
            DatasetError, RunError: If it cannot be read, or cannot be written.
        """
        failed = frozenset(gone)
        for sidecar in self.source.sidecars():
            if self._is_right(sidecar, failed):
                continue
            with self.store.create(sidecar.name) as target:
                target.writelines(sidecar.released(failed))

    def _is_right(self, sidecar: Sidecar, failed: Collection[str]) -> bool:
        # Not touched, its times stay, and a finished verification still holds.
        try:
            with self.store.open(sidecar.name, follow=False) as stream:
                return not find_difference(sidecar, failed, stream)
        except OSError:
            return False


def find_difference(sidecar: Sidecar, gone: Collection[str], other: BinaryIO) -> str:
    """Say where a file is not what a release should have, "" if it is.

    Args:
        sidecar: The file of the data set.
        gone: As ``Sidecar.released``.
        other: The file of the release, from its beginning.

    Raises:
        OSError: If it cannot be read.
        DatasetError: As ``Sidecar.released``.
    """
    at = 0
    for piece in sidecar.released(gone):
        if other.read(len(piece)) != piece:
            return f"It differs between byte {at:,} and byte {at + len(piece):,}."
        at += len(piece)
    return f"It should end at byte {at:,}, and does not." if other.read(1) else ""
