# SPDX-License-Identifier: Apache-2.0
"""Out of the output: files are deleted, containers that hold an image are written anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from veilset.dataset.containers import ContainerReader
from veilset.dataset.folder import FolderReader
from veilset.dataset.sidecars import SidecarReader
from veilset.dataset.withdraw import delete_images
from veilset.errors import DatasetError, DecodeError
from veilset.files import sha256_hex
from veilset.protocols import Reader, Shard, Writer
from veilset.records.outcomes import ImageOutcome, OutcomeTable
from veilset.types import ImageRecord
from veilset.verify.trees import digest_file


def containers_of(reader: Reader, image_ids: Iterable[str]) -> dict[str, set[str]]:
    """Give the containers that hold, or held, some images, with the names of those in each.

    The container of an image that is a file of its own is "".
    """
    found: dict[str, set[str]] = {}
    for image_id in image_ids:
        inside = reader if isinstance(reader, ContainerReader) else None
        name = inside.container_of(image_id) if inside is not None else ""
        if name or inside is None:
            found.setdefault(name, set()).add(image_id)
    return found


def files_with_images(reader: Reader, containers: Iterable[str]) -> list[str]:
    """Give the files that are written anew: those that hold the images, or tell of them.

    Args:
        reader: The output.
        containers: Names of containers, as ``containers_of`` gives them.
    """
    if isinstance(reader, SidecarReader):
        return [sidecar.name for sidecar in reader.sidecars()]
    return [name for name in containers if name]


def check_unchanged(
    reader: Reader, outcomes: OutcomeTable, names: Iterable[str], listed: Mapping[str, str]
) -> None:
    """Refuse to write a file anew that is not what was released: that would vouch for it.

    Args:
        reader: The output.
        outcomes: What was released.
        names: Names of the files, as ``files_with_images`` gives them.
        listed: Digest of each as it was verified; none for what was not.

    Raises:
        DatasetError: If one was changed.
    """
    for name in names:
        digest, _ = digest_file_of(reader, name)
        is_same = listed.get(name, digest) == digest
        for record, data in _images(reader, name):
            row = outcomes.find(record)
            is_same = is_same and row is not None and row.sha256_out == sha256_hex(data)
        if not is_same:
            raise DatasetError(
                f"{name} in the output is not the file that was released, so it cannot be vouched "
                "for when it is written anew. Restore it, or verify the release to learn what "
                "changed. Nothing was removed."
            )


def take_out(
    reader: Reader, writer: Writer, outcomes: OutcomeTable, containers: Mapping[str, set[str]]
) -> list[tuple[ImageOutcome, str]]:
    """Make sure that images are in the output no more; can be done twice.

    Args:
        reader: The output.
        writer: Writes there.
        outcomes: What was released.
        containers: Names of the images, by container, as ``containers_of`` gives them.

    Returns:
        Outcomes of released images that went because they shared a sample with one of those,
        each with the name of such a one.
    """
    went = []
    for container, image_ids in containers.items():
        if not container:
            delete_images(reader, writer, sorted(image_ids))
            continue
        _rewrite(reader, writer, container, image_ids)
        left = {record.image_id for record in _records(reader, container)}
        went += [
            (row, _nearest(row.image_id, image_ids))
            for row in _released(outcomes, container, image_ids)
            if row.image_id not in left | image_ids
        ]
    return went


def digest_file_of(reader: Reader, name: str) -> tuple[str, int]:
    """Give SHA-256 and size of a file of the output, reading it piece by piece."""
    if not isinstance(reader, ContainerReader | FolderReader):
        raise TypeError(f"{type(reader).__name__} does not say where its files lie")
    try:
        return digest_file(reader.store, name)
    except DecodeError as error:
        raise DatasetError(f"{name} in the output: {error}") from error


def _rewrite(reader: Reader, writer: Writer, container: str, image_ids: set[str]) -> None:
    shard = Shard(0, tuple(_records(reader, container)), container)
    if not any(record.image_id in image_ids for record in shard.records):
        return
    with reader.open_shard(shard) as source, writer.open_shard(shard, source) as target:
        for record in shard.records:
            if record.image_id in image_ids:
                target.discard(record)
            else:
                target.write(record, source.read(record))


def _records(reader: Reader, container: str) -> list[ImageRecord]:
    with _containers(reader).open_container(container) as opened:
        return list(opened.records())


def _images(reader: Reader, container: str) -> Iterator[tuple[ImageRecord, bytes]]:
    if not isinstance(reader, ContainerReader):
        return
    with _containers(reader).open_container(container) as opened:
        for record in opened.records():
            try:
                yield record, opened.read(record)
            except DecodeError as error:
                raise DatasetError(f"{record.image_id} in the output: {error}") from error


def _released(
    outcomes: OutcomeTable, container: str, image_ids: set[str]
) -> Iterator[ImageOutcome]:
    """Go through the images that were released in a container."""
    for index in outcomes.shards_of(image_ids):
        for row in outcomes.read_shard(index):
            if row.outcome.is_released and row.image_id.startswith(f"{container}/"):
                yield row


def _nearest(image_id: str, image_ids: Iterable[str]) -> str:
    """Give the image, of some, whose name is the most like that of one of its sample."""

    def n_shared(other: str) -> int:
        pairs = zip(image_id, other, strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), len(other))

    return max(sorted(image_ids), key=n_shared)


def _containers(reader: Reader) -> ContainerReader[Any, Any]:
    if not isinstance(reader, ContainerReader):
        raise TypeError("images of this data set are files of their own")
    return reader
