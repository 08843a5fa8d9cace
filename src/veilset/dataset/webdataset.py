# SPDX-License-Identifier: Apache-2.0
"""A data set in tar files, as WebDataset has it: a sample is what shares a key.

A tar file is a shard. It is read where it lies, never unpacked; written anew, it has the same
name and the same members in the same order, and the content of what is no image is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from veilset.dataset.containers import ContainerReader
from veilset.dataset.patience import check_disk, read_again, read_from_disk
from veilset.dataset.sentences import unreadable
from veilset.dataset.spools import Spool
from veilset.dataset.tar_compare import find_difference
from veilset.dataset.tar_index import (
    TarIndex,
    carried,
    carried_over,
    end_mark,
    padding,
    read_index,
    read_range,
    released_header,
    released_images,
)
from veilset.errors import DatasetError, DecodeError
from veilset.faults import stop_at_fault
from veilset.types import ImageRecord

TAR_SUFFIX = ".tar"
COMPRESSED_SUFFIXES = (
    ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst",
)  # fmt: skip


class OpenTar:
    """A tar file that is open for reading, from several threads at once."""

    def __init__(self, stream: BinaryIO, index: TarIndex, max_file_bytes: int) -> None:
        self.descriptor = stream.fileno()
        self.index = index
        self.max_file_bytes = max_file_bytes

    def records(self) -> Sequence[ImageRecord]:
        """Give its images, in the order of data sets."""
        return [member.record for member in self.index.images() if member.record]

    def passed_over(self) -> Mapping[str, int]:
        """Give the members that are hidden, links or devices, counted."""
        return Counter(m.left_out for m in self.index.members if m.left_out)

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image.

        Raises:
            DecodeError: If it cannot be used, is not there, or is larger than the limit.
            RunError: If not the file is at fault, but the machine or the whole disk.
        """
        member = self.index.by_id.get(record.image_id)
        if member is None or member.record is None:
            raise DecodeError("missing", "The image is not in the tar file any more.")
        if member.record.problem:
            raise DecodeError("unsupported", member.record.problem)
        if member.size > self.max_file_bytes:
            raise DecodeError(
                "over-limit",
                f"The image has {member.size:,} bytes, the limit is "
                f"{self.max_file_bytes:,}. Make it smaller.",
            )
        try:
            data = read_again(
                lambda: read_range(self.descriptor, member.data, member.data + member.size)
            )
        except OSError as error:
            stop_at_fault(error, record.image_id)
            container = record.image_id.removesuffix(f"/{member.name}")
            check_disk(error, container, lambda: read_from_disk(self.descriptor))
            raise unreadable(error) from error
        if len(data) != member.size:
            raise DecodeError("truncated", "The tar file was cut while it was read.")
        return data

    def released(self, written: Collection[str]) -> Collection[str]:
        """Give the written images whose whole sample is in the output."""
        return released_images(self.index, written)

    def rewrite(self, images: Spool, target: BinaryIO) -> None:
        """Write the tar file anew with other images."""
        source = self.descriptor
        for member, is_there in carried(self.index, images.ids()):
            if not is_there:
                continue
            if member.record is None:
                target.writelines(carried_over(source, member))
            else:
                image_id = member.record.image_id
                n_bytes = images.size(image_id)
                target.write(released_header(source, member, n_bytes))
                target.writelines(images.pieces(image_id))
                target.write(padding(n_bytes))
        target.write(end_mark(target.tell()))

    def find_difference(self, other: BinaryIO, written: Mapping[str, int]) -> str:
        """Say where another tar file differs from this one but for its images."""
        return find_difference(self.descriptor, self.index, other, written)


class WebDatasetReader(ContainerReader[TarIndex, OpenTar]):
    """Reads a folder of tar files, nested in any way, or a single tar file.

    Hidden members, and links and devices among them, are no part of the data set; they are
    counted in ``passed_over``. Files beside the tar files are passed over too.
    """

    layout = "webdataset"
    suffixes = (TAR_SUFFIX,)
    noun = "tar file"

    def _index(self, stream: BinaryIO, name: str, place: str) -> TarIndex:
        return read_index(stream, name, place)

    @contextmanager
    def _opened(self, stream: BinaryIO, index: TarIndex, name: str) -> Iterator[OpenTar]:
        yield OpenTar(stream, index, self.max_file_bytes)

    def _check_name(self, name: str) -> None:
        if name.lower().endswith(COMPRESSED_SUFFIXES):
            raise DatasetError(
                f"{self.store.place(name)} is compressed. Unpack it to a plain .tar file: "
                "images do not get smaller."
            )

    def _why_not(self, name: str) -> str:
        return "" if name.lower().endswith(COMPRESSED_SUFFIXES) else super()._why_not(name)
