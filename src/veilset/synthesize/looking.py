# SPDX-License-Identifier: Apache-2.0
"""Stage 3, first half: what is seen of each face, once, on any engine.

An annotation set in, one of the same images out. A face that can be drawn anew has its 68
landmarks, and the logits of the classifier: how sure it is of each attribute. So that another
selection need not look again, the set is kept; it tells of clear faces, and is readable by its
owner only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.engine.roots import roots_of
from veilset.engine.shard_work import Body, OpenShard, describe_failure, shard_worker
from veilset.engine.steps import Steps
from veilset.errors import ConfigError, DecodeError, RunError
from veilset.files import sha256_hex
from veilset.images.crops import cut
from veilset.images.decode import DEFAULT_MAX_PIXELS, decode_image
from veilset.networks.face_crop import face_crop
from veilset.networks.factor_generator import FACE_ATTRIBUTES, ellipse_of
from veilset.networks.landmarks import LandmarkFinder, five_landmarks
from veilset.protocols import Places, Reader, Shard, ShardReader, ShardWork
from veilset.types import Annotations, Image, ImageRecord, Region, Status

if TYPE_CHECKING:
    from veilset.synthesize.attribute_training import AttributeClassifier

STAGE = "synthesize-look"
FACE = "face"

LOGITS = "attribute_logits"
"""Under it stand the logits, in the order of the classifier, a space between."""
NOT_DRAWN = "not_drawn"
"""Under it stands why a face has no landmarks."""
TOO_SMALL, NO_FACE = "too small", "no face that landmarks fit"

AWAY = 0.2
"""Landmarks that are farther from those of the detector, by the side of the box, are not of the
same face: the mean over the eyes, the nose and the corners of the mouth."""


@dataclass(frozen=True, slots=True)
class LookConfig:
    """What decides what is seen.

    Attributes:
        least_side_px: A face whose shorter side is below it is too small.
        max_pixels: Largest photograph that is opened.
        shard_size: Photographs in a shard, the unit of work and of resume.
    """

    least_side_px: float = 24.0
    max_pixels: int = DEFAULT_MAX_PIXELS
    shard_size: int = 256

    def __post_init__(self) -> None:
        if not self.least_side_px > 0 or self.shard_size < 1:
            raise ConfigError(
                f"Faces of {self.least_side_px} px in shards of {self.shard_size} photographs "
                "cannot be looked at. Give a side above 0 and shards from 1 on."
            )


@dataclass(slots=True)
class LookTask:
    """The work on shards; predictor and classifier are made where it runs."""

    reader: Reader
    folder: Path
    annotations: Path
    classifier: Path
    config: LookConfig
    n_threads: int

    def places(self) -> Places:
        """Give the paths that the work touches."""
        reads = (*roots_of(self.reader), self.annotations, self.classifier)
        return Places(self.folder, reads=reads)

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        """Make predictor, classifier and threads; give the work."""
        from veilset.synthesize.attribute_training import AttributeClassifier
        from veilset.synthesize.machine import Machine

        known, finder = AnnotationSet(self.annotations), LandmarkFinder()
        classifier = AttributeClassifier.load(self.classifier)

        @contextmanager
        def open_shard(shard: Shard) -> Iterator[OpenShard[Annotations]]:
            with self.reader.open_shard(shard) as source:
                look = _Look(source, known, finder, classifier, self.config)

                def treat(records: Sequence[ImageRecord], steps: Steps) -> list[Annotations]:
                    return [look.row(record, steps) for record in records]

                yield OpenShard(treat)

        body = Body(
            open=open_shard,
            count=count_looked,
            write=lambda index, rows: write_annotations(self.folder, index, rows),
            is_failed=lambda row: row.status is not Status.LOOKED,
        )
        # Each face on one thread: no sum depends on how many there are.
        with Machine(threads=1).computing(), shard_worker(body, self.n_threads) as work:
            yield work


def count_looked(row: Annotations) -> dict[str, int]:
    """Give what an image adds to the counts of the run."""
    found = Counter({**{str(status): 0 for status in Status}, "faces": 0})
    found[str(row.status)] += 1
    for region in row.regions:
        if region.kind == FACE:
            reason = region.attributes.get(NOT_DRAWN)
            found[f"faces: {reason}" if reason else "faces"] += 1
    return dict(found)


@dataclass(frozen=True, slots=True)
class _Look:
    source: ShardReader
    known: AnnotationSet
    finder: LandmarkFinder
    classifier: AttributeClassifier
    config: LookConfig

    def row(self, record: ImageRecord, steps: Steps) -> Annotations:
        """Look at one image; never raises for a bad one."""
        row = self.known.find(record)
        if row.status is not Status.LOOKED:
            return row
        # Of an earlier selection nothing is taken over.
        row = replace(row, regions=tuple(map(_plain, row.regions)))
        try:
            return self._look(record, row, steps)
        except DecodeError as error:
            reason, message = error.reason, str(error)
        except RunError:
            raise
        except Exception as error:  # noqa: BLE001  one bad file never stops the run
            reason, message = "error", describe_failure(record.image_id, error)
        return Annotations(record.image_id, Status.COULD_NOT_LOOK, reason=reason, message=message)

    def _look(self, record: ImageRecord, row: Annotations, steps: Steps) -> Annotations:
        with steps.waiting("read"):
            data = self.source.read(record)
        digest = sha256_hex(data)
        if row.sha256 and row.sha256 != digest:
            raise DecodeError("changed", "The file is not the one that was searched.")
        if not any(region.kind == FACE for region in row.regions):
            return row
        with steps("decode"):
            image, info = decode_image(data, max_pixels=self.config.max_pixels, check_end=False)
        if row.width and (row.width, row.height) != info.size_wh:
            raise DecodeError("changed", "The image has not the size that was searched.")
        regions = tuple(
            self._face(region, image, steps) if region.kind == FACE else region
            for region in row.regions
        )
        return replace(row, regions=regions)

    def _face(self, region: Region, image: Image, steps: Steps) -> Region:
        """Give a face with its landmarks and logits, or without landmarks and with the reason."""
        x0, y0, x1, y1 = region.box_xyxy
        if min(x1 - x0, y1 - y0) < self.config.least_side_px:
            return _left(region, TOO_SMALL)
        with steps("landmarks"):
            points = self.finder.find(image, region.box_xyxy)
        found = replace(region, landmarks_xy=tuple((float(x), float(y)) for x, y in points))
        prepared = self.classifier.card["faces"]["config"]
        ellipse = ellipse_of(found, prepared["margin"])
        if ellipse is None or _differ(region, found):
            return _left(region, NO_FACE)
        with steps("attributes"):
            crop = face_crop(ellipse, context=prepared["context"], aspect=prepared["aspect"])
            try:
                picture = cut(image, crop, self.classifier.size_hw)
            except ConfigError:
                # Far outside of the image.
                return _left(region, NO_FACE)
            (logits,) = self.classifier.scores(picture[None])
        text = " ".join(f"{value:.3f}" for value in logits)
        return replace(found, attributes={**region.attributes, LOGITS: text})


def _plain(region: Region) -> Region:
    ours = (LOGITS, NOT_DRAWN, FACE_ATTRIBUTES)
    kept = {key: value for key, value in region.attributes.items() if key not in ours}
    return replace(region, attributes=kept)


def _left(region: Region, reason: str) -> Region:
    return replace(region, landmarks_xy=(), attributes={**region.attributes, NOT_DRAWN: reason})


def _differ(region: Region, found: Region) -> bool:
    """Say whether the detector saw the eyes, the nose and the mouth of another face."""
    if len(region.landmarks_xy) != 5:
        return False
    five = five_landmarks(np.asarray(found.landmarks_xy))
    away = np.hypot(*(five - np.asarray(region.landmarks_xy)).T).mean()
    x0, y0, x1, y1 = region.box_xyxy
    return bool(away > AWAY * np.sqrt((x1 - x0) * (y1 - y0)))
