# SPDX-License-Identifier: Apache-2.0
"""The images of an annotation set, in its order, each looked up in the data set as both go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Self

from veilset.annotations.store import AnnotationSet
from veilset.errors import AnnotationError
from veilset.protocols import Reader, Shard
from veilset.types import ImageRecord

GONE = "The image is not in the data set any more. Restore it, or search the data set again."


@dataclass(frozen=True, slots=True)
class AnnotatedImages:
    """A ``Reader`` of the images that an annotation set names.

    Those that the data set does not list are given with ``GONE`` as their problem and never
    read: a name in a file cannot lead out of the data set.

    Attributes:
        known: The annotation set.
        photos: The data set.
        within: Only images below this folder; "" for all.
    """

    known: AnnotationSet
    photos: Reader
    within: str = ""

    def count(self) -> int:
        """Give the number of images that the annotation set names."""
        if not self.within:
            return int(self.known.manifest["n_images"])
        return sum(1 for _ in self._names())

    def shards(self, shard_size: int) -> Iterator[Shard]:
        """Go through the images, ``shard_size`` at a time."""
        index, batch = 0, []
        for record in self._records(shard_size):
            batch.append(record)
            if len(batch) == shard_size:
                yield Shard(index, tuple(batch))
                index, batch = index + 1, []
        if batch:
            yield Shard(index, tuple(batch))

    def passed_over(self) -> Mapping[str, int]:
        """Give what lies in the data set and is not part of it."""
        return self.photos.passed_over()

    @contextmanager
    def open_shard(self, shard: Shard) -> Iterator[Self]:
        """Open a shard; its images may lie anywhere in the data set, and are read one by one."""
        yield self

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image."""
        return self.photos.read(record)

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """Give what identifies the data set and the annotation set in a run manifest."""
        return {
            **self.photos.describe(),
            "annotations_sha256": self.known.manifest["outputs_sha256"],
        }

    def require_some(self) -> None:
        """Refuse a set that speaks of other images, before anything is written.

        Raises:
            AnnotationError: If none of its images is in the data set and below ``within``.
        """
        records = self._records(1024)
        first = next(records, None)
        if first is None:
            below = f" below {self.within!r}" if self.within else ""
            raise AnnotationError(
                f"The annotation set {self.known.folder} names no image{below}, so there is "
                "nothing to look at. Check the folder."
            )
        if all(record.problem == GONE for record in chain([first], records)):
            raise AnnotationError(
                f"None of the images of the annotation set {self.known.folder} is in the data "
                f"set: its first is {first.image_id!r}. Give the folder that it was made from."
            )

    def _names(self) -> Iterator[str]:
        prefix = f"{self.within.strip('/')}/" if self.within else ""
        return (name for name in self.known.image_ids() if name.startswith(prefix))

    def _records(self, n_at_once: int) -> Iterator[ImageRecord]:
        """Join the names of the set with the data set's list; both are in the same order."""
        listed = (each for shard in self.photos.shards(n_at_once) for each in shard.records)
        here = next(listed, None)
        for name in self._names():
            wanted = ImageRecord(name)
            key = wanted.order_key
            while here is not None and here.order_key < key:
                here = next(listed, None)
            if here is not None and here.image_id == name:
                yield here
            else:
                yield ImageRecord(name, GONE)
