# SPDX-License-Identifier: Apache-2.0
"""A redaction layer that is open for reading: what is to be hidden, found by content.

A layer comes from other people, as a file. Nothing in it is believed before it was checked:
a batch when it is first used, since one that is damaged could hide the wrong places.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from veilset.annotations.layer_format import (
    CHECKSUM_KEY,
    COORDINATES,
    DIGEST_BYTES,
    FACTS_KEY,
    N_BATCHES,
    LayerFacts,
    batch_checksum,
    digests_of,
    layer_schema,
)
from veilset.errors import AnnotationError
from veilset.files import sha256_file
from veilset.types import Annotations, ImageRecord, Region, Status


class Layer:
    """A redaction layer, mapped into memory. Safe to call from several threads.

    It pickles as its path, so that each process maps the same pages of the same file.

    Attributes:
        path: The file.
        facts: How the regions are to be hidden, and what the layer is made from.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a layer.

        Raises:
            AnnotationError: If the file is missing, damaged, or no layer of this version.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        self._batches: dict[int, tuple[Any, pa.RecordBatch]] = {}
        self._names_lock = threading.Lock()
        self._names: Any = None
        try:
            self._state = _state(self.path)
            self._reader = pa.ipc.open_file(pa.memory_map(str(self.path)))
            schema = self._reader.schema
        except (pa.ArrowException, OSError) as error:
            raise AnnotationError(
                f"{self.path} cannot be opened as a redaction layer: it is missing, damaged or "
                "something else. Check the path, or fetch it again."
            ) from error
        try:
            self.facts = LayerFacts.from_metadata(schema.metadata or {})
        except AnnotationError as error:
            message = f"{self.path} {error} Make it anew with 'veilset layer'."
            raise AnnotationError(message) from error
        self._facts_text = bytes(schema.metadata[FACTS_KEY])
        self.has_names = "image_id" in schema.names
        if not schema.equals(layer_schema(has_names=self.has_names)):
            raise self._damaged("it does not have the columns of a layer")
        if self._reader.num_record_batches != N_BATCHES:
            raise self._damaged("it is not whole")

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (self.path.absolute(), self._state)

    @property
    def sha256(self) -> str:
        """Digest of the file, lower-case hex; it is read for this."""
        return sha256_file(self.path)

    def __len__(self) -> int:
        """Number of different contents that the layer knows."""
        return sum(len(self._batch(index)[0]) for index in range(N_BATCHES))

    def find(self, record: ImageRecord, digest: str) -> Annotations:
        """Give what is known about an image, found by its content alone.

        Args:
            record: The image; only to tell, where its content is not in the layer, whether
                another content of that name is.
            digest: SHA-256 of its file, lower-case hex.

        Returns:
            ``looked``, with the regions to be hidden; or ``could_not_look`` with the reason
            ``changed`` or ``not-looked``.

        Raises:
            AnnotationError: If the layer is damaged.
        """
        key = bytes.fromhex(digest)
        digests, batch = self._batch(key[0])
        wanted = np.array([key], dtype=f"S{DIGEST_BYTES}")
        at = int(np.searchsorted(digests, wanted)[0])
        # NumPy drops zero bytes at the end of a value; the bytes themselves are compared.
        if at == len(digests) or digests[at : at + 1].tobytes() != key:
            return self._not_found(record.image_id)
        return Annotations(
            record.image_id,
            Status.LOOKED,
            tuple(_region(row) for row in batch.column("regions")[at].as_py()),
            width=batch.column("width")[at].as_py(),
            height=batch.column("height")[at].as_py(),
            sha256=digest,
        )

    def _not_found(self, image_id: str) -> Annotations:
        reason = "not-looked"
        message = (
            "The layer does not know this file: nobody said what is in it. Get the file from "
            "which the layer was made, or run detect on yours."
        )
        if self._knows_name(image_id):
            reason = "changed"
            message = (
                "The layer knows another file of this name: these bytes are not those that were "
                "searched. Get the original file."
            )
        return Annotations(image_id, Status.COULD_NOT_LOOK, reason=reason, message=message)

    def _knows_name(self, image_id: str) -> bool:
        """Whether an image of the layer was called so; 8 bytes of memory for each, once asked."""
        if not self.has_names:
            return False
        with self._names_lock:
            if self._names is None:
                self._names = np.sort(np.concatenate([self._hashes(i) for i in range(N_BATCHES)]))
        at = int(np.searchsorted(self._names, hash(image_id)))
        return bool(at < len(self._names) and self._names[at] == hash(image_id))

    def _hashes(self, index: int) -> Any:
        names = self._batch(index)[1].column("image_id")
        return np.fromiter((hash(name) for name in names.to_pylist()), np.int64, len(names))

    def _batch(self, index: int) -> tuple[Any, pa.RecordBatch]:
        with self._lock:
            if index not in self._batches:
                self._batches[index] = self._checked_batch(index)
            return self._batches[index]

    def _checked_batch(self, index: int) -> tuple[Any, pa.RecordBatch]:
        try:
            read = self._reader.get_batch_with_custom_metadata(index)
            # Offsets of a damaged file may lead anywhere: they are checked before use.
            read.batch.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(type(error).__name__) from error
        batch = read.batch
        said = dict(read.custom_metadata or {}).get(CHECKSUM_KEY)
        if _has_nulls(batch) or said != batch_checksum(batch, self._facts_text):
            raise self._damaged("its content is not what was written")
        digests = digests_of(batch)
        firsts = digests.view(np.uint8).reshape(-1, DIGEST_BYTES)[:, 0]
        if (firsts != index).any() or (digests[1:] <= digests[:-1]).any():
            raise self._damaged("its digests are not in order")
        if not _has_usable_boxes(batch):
            raise self._damaged("a box is turned inside out or not finite")
        return digests, batch

    def _damaged(self, why: str) -> AnnotationError:
        return AnnotationError(
            f"The redaction layer {self.path} is damaged ({why}). Fetch it again."
        )


def _open_again(path: Path, state: tuple[int, int]) -> Layer:
    layer = Layer(path)
    if layer._state != state:
        raise AnnotationError(
            f"The redaction layer {path} was replaced while it was in use. Start again."
        )
    return layer


def _state(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def _region(row: dict[str, Any]) -> Region:
    return Region((row["x0"], row["y0"], row["x1"], row["y1"]), kind=row["kind"])


def _has_nulls(batch: pa.RecordBatch) -> bool:
    items = batch.column("regions").flatten()
    columns = [*batch.columns, items, *(items.field(i) for i in range(items.type.num_fields))]
    return any(column.null_count for column in columns)


def _has_usable_boxes(batch: pa.RecordBatch) -> bool:
    items = batch.column("regions").flatten()
    x0, y0, x1, y1 = (np.asarray(items.field(name)) for name in COORDINATES)
    is_finite = all(np.isfinite(each).all() for each in (x0, y0, x1, y1))
    return bool(is_finite and (x0 <= x1).all() and (y0 <= y1).all())
