# SPDX-License-Identifier: Apache-2.0
"""Write a redaction layer: rows in the order of a data set in, sorted by content out.

Rows wait in a nameless file, in 256 piles by the first byte of their digest; one pile at a
time is sorted in memory.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import pyarrow as pa

from veilset.annotations.layer_format import (
    CHECKSUM_KEY,
    DIGEST_BYTES,
    FACTS_KEY,
    N_BATCHES,
    LayerFacts,
    batch_checksum,
    layer_schema,
    region_row,
)
from veilset.errors import AnnotationError, RunError
from veilset.files import discard_part, part_path
from veilset.types import Annotations

_PILE_BYTES = 64 * 1024
"""A pile is put away when it is so large: together they take 16 MiB at most."""

_Row: TypeAlias = tuple[str, int, int, str, list[dict[str, float | str]]]
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Written:
    """What a layer came to.

    Attributes:
        n_contents: Different contents in it.
        n_merged: Contents that lay under several names with different regions: the layer has
            the regions of all of them.
    """

    n_contents: int
    n_merged: int


class _Piles:
    """Rows by the first byte of their digest, on disk."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._waiting: list[list[bytes]] = [[] for _ in range(N_BATCHES)]
        self._n_waiting = [0] * N_BATCHES
        self._chunks: list[list[tuple[int, int]]] = [[] for _ in range(N_BATCHES)]
        self._end = 0

    def add(self, row: Annotations) -> None:
        index = int(row.sha256[:2], 16)
        regions = [region_row(region) for region in row.regions]
        line = _to_json((row.sha256, row.width, row.height, row.image_id, regions)).encode()
        self._waiting[index].append(line)
        self._n_waiting[index] += len(line)
        if self._n_waiting[index] >= _PILE_BYTES:
            self._put_away(index)

    def rows(self, index: int) -> list[_Row]:
        """Give the rows of a pile, by digest; those of the same in the order they came in."""
        descriptor = self._stream.fileno()
        self._put_away(index)
        self._stream.flush()
        chunks = (os.pread(descriptor, size, at) for at, size in self._chunks[index])
        rows = [json.loads(line) for chunk in chunks for line in chunk.splitlines()]
        return sorted(rows, key=lambda row: str(row[0]))

    def _put_away(self, index: int) -> None:
        if self._waiting[index]:
            data = b"\n".join(self._waiting[index]) + b"\n"
            self._stream.write(data)
            self._chunks[index].append((self._end, len(data)))
            self._end += len(data)
            self._waiting[index], self._n_waiting[index] = [], 0


def write_layer_file(
    path: Path, rows: Iterable[Annotations], facts: Callable[[], LayerFacts], *, has_names: bool
) -> Written:
    """Write a layer; it appears whole or not at all.

    Memory holds one of 256 parts of the rows, whatever their number.

    Args:
        path: The file; one that is there is replaced.
        rows: Images that were looked at, each with its digest and the regions to be hidden.
        facts: Gives what the layer says of itself, once all rows were taken.
        has_names: Whether the layer says what the images were called.

    Raises:
        AnnotationError: If a row has no digest or size.
        RunError: If it cannot be written.
    """
    part = part_path(path)
    try:
        with tempfile.TemporaryFile(dir=path.parent) as stream:
            piles = _Piles(stream)
            for row in rows:
                _check_row(row)
                piles.add(row)
            written = _write(part, piles, facts(), has_names)
        part.replace(path)
    except OSError as error:
        discard_part(part)
        raise RunError(
            f"The layer {path} cannot be written ({error.strerror or error}). Choose a folder "
            "that is there, where you may write, on a disk with room."
        ) from error
    except BaseException:
        discard_part(part)
        raise
    return written


def _check_row(row: Annotations) -> None:
    if len(row.sha256) != 2 * DIGEST_BYTES or not (row.width and row.height):
        raise AnnotationError(
            f"The annotation set has no digest or no size of the image {row.image_id!r}, by which "
            "a layer finds it. Import the set again together with the photographs."
        )


def _write(part: Path, piles: _Piles, facts: LayerFacts, has_names: bool) -> Written:
    schema = layer_schema(has_names=has_names).with_metadata(facts.to_metadata())
    n_contents = n_merged = 0
    with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for index in range(N_BATCHES):
            contents = list(_merged(piles.rows(index)))
            n_contents += len(contents)
            n_merged += sum(is_merged for _, is_merged in contents)
            batch = _batch([row for row, _ in contents], schema)
            checksum = batch_checksum(batch, schema.metadata[FACTS_KEY])
            writer.write_batch(batch, custom_metadata={CHECKSUM_KEY: checksum})
    return Written(n_contents, n_merged)


def _merged(rows: list[_Row]) -> Iterator[tuple[_Row, bool]]:
    """Make one row of those of the same content; say whether their regions differed."""
    at = 0
    while at < len(rows):
        digest, width, height, image_id, regions = rows[at]
        together, is_merged = list(regions), False
        at += 1
        while at < len(rows) and rows[at][0] == digest:
            is_merged = is_merged or rows[at][4] != regions
            together += [region for region in rows[at][4] if region not in together]
            at += 1
        yield (digest, width, height, image_id, together), is_merged


def _batch(rows: list[_Row], schema: pa.Schema) -> pa.RecordBatch:
    columns = {
        "sha256": [bytes.fromhex(row[0]) for row in rows],
        "width": [row[1] for row in rows],
        "height": [row[2] for row in rows],
        "regions": [row[4] for row in rows],
        "image_id": [row[3] for row in rows],
    }
    arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
