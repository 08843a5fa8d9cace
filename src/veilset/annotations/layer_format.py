# SPDX-License-Identifier: Apache-2.0
"""The form of a redaction layer: one Arrow IPC file; ``docs/layer.md`` describes it.

It has 256 record batches. Batch ``i`` holds the images whose SHA-256 begins with the byte
``i``, sorted by it, so that an image is found by its content in a memory map.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilset.annotations.hiding import check_hiding
from veilset.errors import AnnotationError, PluginError
from veilset.plugins import make_obfuscator
from veilset.protocols import MethodCard, Obfuscator
from veilset.types import Region

FORMAT = "veilset-layer/1"
SUFFIX = ".arrow"
N_BATCHES = 256
DIGEST_BYTES = 32

FACTS_KEY = b"layer"
CHECKSUM_KEY = b"sha256"
COORDINATES = ("x0", "y0", "x1", "y1")

_FACTS_TYPES: Mapping[str, Any] = {
    "method": str, "version": int, "summary": str, "parameters": dict, "kinds": list,
    "min_score": (int, float), "metadata": str, "quality": int, "seed": int, "n_images": int,
    "n_regions": int, "left_out": dict, "annotations_sha256": str, "effort": (str, type(None)),
}  # fmt: skip


def layer_schema(*, has_names: bool) -> pa.Schema:
    """Give the columns of a layer.

    Args:
        has_names: Whether it says what the images were called.

    Example:
        >>> layer_schema(has_names=False).names
        ['sha256', 'width', 'height', 'regions']
    """
    coordinates = [pa.field(name, pa.float64(), nullable=False) for name in COORDINATES]
    region = pa.struct([*coordinates, pa.field("kind", pa.string(), nullable=False)])
    fields = [
        pa.field("sha256", pa.binary(DIGEST_BYTES), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("regions", pa.list_(pa.field("item", region, nullable=False)), nullable=False),
    ]
    if has_names:
        fields.append(pa.field("image_id", pa.string(), nullable=False))
    return pa.schema(fields)


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What a layer says of itself: how its regions are to be hidden, and what it is made from.

    Attributes:
        method: Name of the method.
        version: Version of the method.
        summary: The method in one sentence, for people.
        parameters: Every parameter of the method, resolved.
        kinds: Kinds of regions that are in the layer; empty for all.
        min_score: Regions of a detector with a lower score are not in it, in [0, 1].
        metadata: The metadata policy.
        quality: Quality of re-encoded lossy WebP and AVIF, 1 to 100.
        seed: Decides whatever is random in the method.
        n_images: Images of the annotation set that are in the layer.
        n_regions: Their regions.
        left_out: Images that are not in it, by their status (nobody looked at them, or could), or
            ``removed``: withdrawn from the release.
        annotations_sha256: Digest of the annotation set.
        effort: Effort of the detection behind it, None if not known.
    """

    method: str
    version: int
    summary: str
    parameters: Mapping[str, str | int | float | bool]
    kinds: tuple[str, ...]
    min_score: float
    metadata: str
    quality: int
    seed: int
    n_images: int
    n_regions: int
    left_out: Mapping[str, int]
    annotations_sha256: str
    effort: str | None

    def to_metadata(self) -> dict[bytes, bytes]:
        """Give the metadata of the file's schema; the same facts give the same bytes."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return {b"veilset": FORMAT.encode(), FACTS_KEY: text.encode()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes]) -> Self:
        """Read what ``to_metadata`` gave.

        Raises:
            AnnotationError: If it is not of this format, or says something impossible.
        """
        found = metadata.get(b"veilset", b"").decode(errors="replace")
        if found != FORMAT:
            raise AnnotationError(f"is no redaction layer of this version ({FORMAT}).")
        try:
            values = json.loads(metadata[FACTS_KEY])
            kept = {name: values[name] for name in _FACTS_TYPES}
            if not all(isinstance(kept[name], kind) for name, kind in _FACTS_TYPES.items()):
                raise TypeError
            check_hiding(kept["metadata"], kept["min_score"], kept["quality"])
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise AnnotationError("does not say how its regions are to be hidden.") from error
        return cls(**kept | {"kinds": tuple(str(kind) for kind in kept["kinds"])})

    def make_obfuscator(self) -> Obfuscator:
        """Build the method that the layer asks for.

        Raises:
            PluginError: If the installed method is of another version, or not installed.
            ConfigError: If it does not have the parameters.
        """
        obfuscator = make_obfuscator(self.method, self.parameters)
        card: MethodCard = obfuscator.card
        if (card.version, dict(card.parameters)) != (self.version, dict(self.parameters)):
            raise PluginError(
                f"The layer asks for version {self.version} of the method {self.method!r}, and "
                f"version {card.version} is installed or takes other parameters. Install the "
                "version of the package that brings it with which the layer was made."
            )
        return obfuscator


def region_row(region: Region) -> dict[str, float | str]:
    """Give what a layer holds of a region: where it is, and its kind.

    Example:
        >>> region_row(Region((1, 2, 3.5, 4), score=0.9))
        {'x0': 1.0, 'y0': 2.0, 'x1': 3.5, 'y1': 4.0, 'kind': 'face'}
    """
    box = zip(COORDINATES, (float(value) for value in region.box_xyxy), strict=True)
    return {**dict(box), "kind": region.kind}


def batch_checksum(batch: pa.RecordBatch, facts: bytes) -> bytes:
    """Give the SHA-256, lower-case hex, of what a batch says, however Arrow lays it out.

    Args:
        batch: Of ``layer_schema``, without nulls.
        facts: What the layer says of itself, as in its metadata: no batch counts without it.
    """
    digest = hashlib.sha256(b"%d %d\0" % (batch.num_rows, len(facts)) + facts)
    for part in _parts(batch):
        digest.update(part)
    return digest.hexdigest().encode()


def _parts(batch: pa.RecordBatch) -> Iterator[bytes]:
    yield digests_of(batch).tobytes()
    for name in ("width", "height"):
        yield np.asarray(batch.column(name), dtype="<i4").tobytes()
    regions = batch.column("regions")
    yield np.asarray(pc.list_value_length(regions), dtype="<i4").tobytes()
    items = regions.flatten()
    for name in COORDINATES:
        yield np.asarray(items.field(name), dtype="<f8").tobytes()
    yield from _texts(items.field("kind"))
    if "image_id" in batch.schema.names:
        yield from _texts(batch.column("image_id"))


def _texts(column: pa.Array) -> Iterator[bytes]:
    yield np.asarray(pc.binary_length(column), dtype="<i4").tobytes()
    yield "".join(column.to_pylist()).encode()


def digests_of(batch: pa.RecordBatch) -> Any:
    """Give the digests of a batch as they lie in the file, ``(N,)`` of 32 bytes each."""
    column = batch.column("sha256")
    where = column.buffers()[1]
    if where is None or not len(column):
        return np.zeros(0, dtype=f"S{DIGEST_BYTES}")
    at = column.offset * DIGEST_BYTES
    return np.frombuffer(where, dtype=f"S{DIGEST_BYTES}", count=len(column), offset=at)
