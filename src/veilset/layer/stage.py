# SPDX-License-Identifier: Apache-2.0
"""Layer: annotation set in, a redaction layer out, which is published without any pixels.

Whoever has the originals applies it (``veilset obfuscate --layer``, ``veilset.torch``) and gets
the bytes of the release.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from veilset.annotations.hiding import check_hiding, is_hidden
from veilset.annotations.layer_format import SUFFIX, LayerFacts
from veilset.annotations.layer_writer import write_layer_file
from veilset.annotations.store import AnnotationSet, detection_of
from veilset.errors import ConfigError, RunError
from veilset.files import sha256_file
from veilset.images.encode import DEFAULT_QUALITY
from veilset.plugins import make_obfuscator
from veilset.records.removals import Removals, require_settled
from veilset.types import Annotations, Status


@dataclass(frozen=True, slots=True)
class LayerConfig:
    """Everything that decides a layer, and with it the output of whoever applies it.

    Attributes:
        method: Name of the obfuscator plugin.
        parameters: Its parameters; what is not named keeps its default.
        kinds: Kinds of regions to hide; empty for all.
        min_score: Regions of a detector with a lower score are left out, in [0, 1]; never
            one that people reviewed.
        metadata: ``safe`` or ``strip``: what embedded metadata survives.
        quality: Quality of re-encoded lossy WebP and AVIF, 1 to 100.
        seed: Decides whatever is random in a method.
        names: Whether the layer says what the images are called.
    """

    method: str = "veil"
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    min_score: float = 0.0
    metadata: str = "safe"
    quality: int = DEFAULT_QUALITY
    seed: int = 0
    names: bool = True

    def __post_init__(self) -> None:
        check_hiding(self.metadata, self.min_score, self.quality)


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """What a layer came to.

    Attributes:
        path: The file.
        sha256: Its digest, lower-case hex.
        n_bytes: Its size.
        n_images: Images of the annotation set that are in it.
        n_regions: Their regions that are to be hidden.
        n_contents: Different contents in it; copies of an image count once.
        n_merged: Contents that lay under several names with different regions: the layer has
            the regions of all of them.
        left_out: Images that are not in it, by their status, or ``removed``.
    """

    path: Path
    sha256: str
    n_bytes: int
    n_images: int
    n_regions: int
    n_contents: int
    n_merged: int
    left_out: Mapping[str, int]


def write_layer(
    annotations: str | Path,
    path: str | Path,
    config: LayerConfig | None = None,
    *,
    record: str | Path | None = None,
) -> LayerSummary:
    """Write a redaction layer: where to hide what, by content, and how; no pixels.

    It holds of each image that was looked at the digest, the size and the regions to be
    hidden (box and kind), and its name if ``config.names``. Scores, landmarks, attributes and
    estimates stay behind. The same set and settings give the same bytes.

    Args:
        annotations: Finished annotation set, made with its images.
        path: The file to write, ``*.arrow``; it must not be there yet.
        config: Settings; None for the defaults.
        record: Folder of records of a release (``OUT.veilset``): what was withdrawn from it is
            not in the layer, so that whoever applies it cannot release it either.

    Raises:
        AnnotationError: If the set cannot be used, or lacks digests.
        ConfigError, PluginError: If the method or a setting cannot be used.
        RunError: If the file is there, or cannot be written; if ``record`` is no folder of
            records, or something is being withdrawn.
    """
    config, path = config or LayerConfig(), Path(path)
    if path.suffix != SUFFIX:
        raise ConfigError(f"A layer is a file that ends with {SUFFIX}, and {path} does not.")
    if path.exists():
        raise RunError(f"{path} is there already. Choose another name, or delete it.")
    known = AnnotationSet(Path(annotations))
    known.require_images()
    known.require_kinds(config.kinds)
    facts, removals = _facts(known, config), _removals(record)
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()

    def rows() -> Iterator[Annotations]:
        for row in known:
            if row.status is not Status.LOOKED:
                left_out[row.status.value] += 1
                continue
            if removals.cover(row.image_id, row.sha256):
                left_out["removed"] += 1
                continue
            hidden = [r for r in row.regions if is_hidden(r, config.kinds, config.min_score)]
            counts.update(n_images=1, n_regions=len(hidden))
            yield replace(row, regions=tuple(hidden))

    def counted() -> LayerFacts:
        return replace(
            facts,
            n_images=counts["n_images"],
            n_regions=counts["n_regions"],
            left_out=dict(sorted(left_out.items())),
        )

    written = write_layer_file(path, rows(), counted, has_names=config.names)
    return LayerSummary(
        path=path,
        sha256=sha256_file(path),
        n_bytes=path.stat().st_size,
        n_images=counts["n_images"],
        n_regions=counts["n_regions"],
        n_contents=written.n_contents,
        n_merged=written.n_merged,
        left_out=dict(left_out),
    )


def _facts(known: AnnotationSet, config: LayerConfig) -> LayerFacts:
    """Give what the layer says of itself, without the counts."""
    card = make_obfuscator(config.method, config.parameters).card
    return LayerFacts(
        method=card.name,
        version=card.version,
        summary=card.summary,
        parameters=dict(card.parameters),
        kinds=tuple(sorted(config.kinds)),
        min_score=config.min_score,
        metadata=config.metadata,
        quality=config.quality,
        seed=config.seed,
        n_images=0,
        n_regions=0,
        left_out={},
        annotations_sha256=str(known.manifest["outputs_sha256"]),
        effort=detection_of(known.manifest).get("detector_settings", {}).get("effort"),
    )


def _removals(record: str | Path | None) -> Removals:
    """Give what was withdrawn from a release; nothing without one."""
    if record is None:
        return Removals()
    record = Path(record)
    if not (record / "obfuscate").is_dir():
        raise RunError(
            f"{record} is no folder of records of a release. Give OUT.veilset, beside the output."
        )
    require_settled(record)
    return Removals.read(record)
