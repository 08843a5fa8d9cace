# SPDX-License-Identifier: Apache-2.0
"""A small release of drawn pictures, and detectors that see what was drawn.

A "face" is a square of strong texture with a coloured nose: magenta is seen by every
detector, cyan by the strong one only. An obfuscated nose is not seen by any.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from veilset import plugins
from veilset.annotations.store import write_annotations
from veilset.dataset.folder import FolderReader
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.errors import ConfigError
from veilset.files import sha256_hex
from veilset.obfuscate.stage import ObfuscateConfig, obfuscate_dataset
from veilset.protocols import Detector, DetectorSettings, ShardReport
from veilset.records.outcomes import OutcomeTable, write_outcomes
from veilset.records.verdicts import CODES, ImageVerdict, Verdict, VerdictTable
from veilset.runs import Run, RunSummary
from veilset.types import Annotations, Image, ModelCard, Region, Status
from veilset.verify.stage import VerifyConfig, verify_dataset

CELL = 80
FACE = (16, 16, 64, 64)
MAGENTA, CYAN = (255, 0, 255), (0, 255, 255)
QUIET = VerifyConfig(detector="planted", second_detectors=(), recheck_sample=0.0)


def draw(columns: int, rows: int, faces: Mapping[tuple[int, int], tuple[int, int, int]]) -> Image:
    """Draw a picture of ``columns`` x ``rows`` cells with faces in some of them."""
    random = np.random.default_rng(columns * 100 + rows + 7 * len(faces))
    coarse = random.integers(60, 190, (rows * 4, columns * 4, 3), dtype=np.uint8)
    picture = np.kron(coarse, np.ones((CELL // 4, CELL // 4, 1), np.uint8))
    x0, y0, x1, y1 = FACE
    for (column, row), colour in faces.items():
        face = picture[row * CELL + y0 : row * CELL + y1, column * CELL + x0 : column * CELL + x1]
        face[...] = np.kron(
            random.integers(0, 256, (12, 12, 1), dtype=np.uint8), np.ones((4, 4, 3), np.uint8)
        )
        face[16:32, 16:32] = colour
    return np.ascontiguousarray(picture)


def faces_in(image: Image, colours: Sequence[tuple[int, int, int]]) -> list[Region]:
    """Find the noses of some colours, and give the squares around them."""
    found = []
    for colour in colours:
        is_nose = np.asarray((np.abs(image.astype(int) - colour) < 70).all(axis=2))
        rows, columns = np.nonzero(is_nose)
        for cell in sorted({(y // CELL, x // CELL) for y, x in zip(rows, columns, strict=True)}):
            inside = is_nose[
                cell[0] * CELL : (cell[0] + 1) * CELL, cell[1] * CELL : (cell[1] + 1) * CELL
            ]
            if inside.sum() >= 100:
                ys, xs = np.nonzero(inside)
                x, y = cell[1] * CELL + xs.mean(), cell[0] * CELL + ys.mean()
                box = (x - 24.0, y - 24.0, x + 24.0, y + 24.0)
                found.append(Region(box, score=0.9 if colour == MAGENTA else 0.8))
    return found


@dataclass(frozen=True)
class Planted:
    """Sees magenta noses, and cyan ones from ``balanced`` up."""

    effort: str
    batch_size: int = 3

    @property
    def card(self) -> ModelCard:
        return ModelCard("planted", "drawn for a test", "Apache-2.0", commercial_ok=True)

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        return {"effort": self.effort}

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        colours = [MAGENTA] if self.effort == "fast" else [MAGENTA, CYAN]
        return [tuple(faces_in(image, colours)) for image in images]


def make_planted(settings: DetectorSettings) -> Detector:
    return Planted(settings.effort)


class Blind(Planted):
    """Finds nothing, with another licence."""

    @property
    def card(self) -> ModelCard:
        return ModelCard("blind", "drawn for a test", "research only", commercial_ok=False)

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        return [() for _ in images]


def make_blind(settings: DetectorSettings) -> Detector:
    return Blind(settings.effort)


class Failing(Planted):
    """Fails on pictures wider than 200 px."""

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        if any(image.shape[1] > 200 for image in images):
            raise ValueError("too wide")
        return [() for _ in images]


def make_failing(settings: DetectorSettings) -> Detector:
    return Failing(settings.effort)


def make_unusable(settings: DetectorSettings) -> Detector:
    raise ConfigError("It has no weights.")


DETECTORS = ("planted", "blind", "failing", "unusable")


@contextmanager
def planted_detectors(names: Sequence[str] = DETECTORS) -> Iterator[None]:
    """Announce the detectors of this module in place of the real ones."""
    here = [EntryPoint(name, f"{__name__}:make_{name}", "veilset.detectors") for name in names]

    def announced(group: str) -> list[EntryPoint]:
        return here if group == "veilset.detectors" else list(entry_points(group=group))

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plugins, "entry_points", announced)
            plugins._announced.cache_clear()
            yield
    finally:
        # Also where the work fails, as tests ask it to: what follows would find these alone.
        plugins._announced.cache_clear()


@dataclass(frozen=True)
class Release:
    """Where a release lies."""

    base: Path

    @property
    def photos(self) -> Path:
        return self.base / "photos"

    @property
    def annotations(self) -> Path:
        return self.base / "annotations"

    @property
    def out(self) -> Path:
        return self.base / "out"

    @property
    def record(self) -> Path:
        return self.base / "out.veilset"

    def copy(self, base: Path) -> Release:
        """Give a copy to be spoilt, without what verification left."""
        shutil.copytree(self.base, base, ignore=shutil.ignore_patterns("verify"))
        return Release(base)

    def verify(self, config: VerifyConfig = QUIET, workers: int = 2) -> RunSummary:
        return verify_dataset(self.photos, self.out, self.annotations, config, workers=workers)

    def verdicts(self) -> dict[str, ImageVerdict]:
        return {row.image_id: row for row in VerdictTable(self.record / "verify")}

    def found(self, config: VerifyConfig = QUIET) -> dict[str, tuple[Verdict, set[str]]]:
        """Verify; give verdict and codes of everything that did not simply pass."""
        self.verify(config)
        return {
            name: (row.verdict, {finding.code for finding in row.findings})
            for name, row in self.verdicts().items()
            if row.findings or row.verdict is not Verdict.PASSED
        }


def jpeg_bytes(picture: Image, **options: object) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(picture).save(stream, "JPEG", quality=92, **options)
    return stream.getvalue()


def exif_bytes(*, orientation: int = 1, gps: bool = False) -> bytes:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    if gps:
        exif.get_ifd(0x8825)[1] = "N"
        exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    return exif.tobytes()


def draw_photos(folder: Path) -> None:
    """Draw seven pictures: six good ones, and one cut short."""
    for name in ("a", "b", "c"):
        (folder / name).mkdir(parents=True)
    one = draw(3, 2, {(1, 0): MAGENTA})
    (folder / "a/one.jpg").write_bytes(jpeg_bytes(one, subsampling=0, exif=exif_bytes(gps=True)))
    two = draw(2, 2, {(0, 0): MAGENTA, (1, 1): MAGENTA})
    PillowImage.fromarray(two).save(folder / "a/two.png")
    (folder / "b/none.jpg").write_bytes(jpeg_bytes(draw(2, 2, {}), comment=b"at Ann's"))
    PillowImage.fromarray(draw(2, 1, {})).save(folder / "b/none.png")
    turned = jpeg_bytes(draw(2, 3, {(1, 2): MAGENTA}), exif=exif_bytes(orientation=6))
    (folder / "c/turned.jpg").write_bytes(turned)
    (folder / "c/cut.jpg").write_bytes(turned[: len(turned) // 2])
    (folder / "c/plain.jpg").write_bytes(jpeg_bytes(draw(1, 1, {})))
    (folder / "notes.txt").write_text("no picture")


CLEAN = {"c/cut.jpg": (Verdict.ABSENT, set[str]())}
"""What ``Release.found`` gives for a release that nobody touched."""


def make_release(
    base: Path, method: str = "veil", *, obfuscate: ObfuscateConfig | None = None
) -> Release:
    """Draw, detect at ``fast`` and obfuscate; photos and annotations that are there are kept."""
    release = Release(base)
    if not release.photos.exists():
        draw_photos(release.photos)
    if not release.annotations.exists():
        detect = DetectConfig(detector="planted", effort="fast")
        detect_dataset(release.photos, release.annotations, detect, workers=2)
    config = replace(obfuscate or ObfuscateConfig(), method=method)
    obfuscate_dataset(release.photos, release.annotations, release.out, config, workers=2)
    return release


def release_both(base: Path, pack: Callable[[Path, Path], object]) -> tuple[Release, Release]:
    """Release the same pictures as a folder and in containers, which ``pack`` makes of it."""
    draw_photos(base / "folder" / "photos")
    pack(base / "folder" / "photos", base / "packed" / "photos")
    return make_release(base / "folder"), make_release(base / "packed")


def annotate(release: Release, regions: Mapping[str, Sequence[Region]]) -> None:
    """Write an annotation set by hand: these regions, none in the other pictures."""
    reader = FolderReader(release.photos)
    with Run.open(release.annotations, "import", {"by": "hand"}, reader.describe()) as run:
        for shard in run.missing(reader.shards()):
            rows = [
                Annotations(record.image_id, Status.LOOKED, tuple(regions.get(record.image_id, ())))
                for record in shard.records
            ]
            digest = write_annotations(release.annotations, shard.index, rows)
            run.commit(ShardReport(shard.index, len(rows), digest=digest))
        run.finish()


def forge(release: Release, image_id: str, data: bytes | None, **changes: Any) -> None:
    """Put a file into the output, and into the record as if the run had written it.

    Args:
        data: The file; None leaves what is there.
        changes: Further fields of its outcome to change.
    """
    path, folder = release.out / image_id, release.record / "obfuscate"
    if data is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        changes |= {"sha256_out": sha256_hex(data), "n_bytes_out": len(data)}
    rows = [
        replace(row, **changes) if row.image_id == image_id else row for row in OutcomeTable(folder)
    ]
    digest = write_outcomes(folder, 0, rows)
    manifest = json.loads((folder / "run.json").read_bytes())
    manifest["outputs_sha256"] = hashlib.sha256(digest.encode()).hexdigest()
    (folder / "run.json").write_text(json.dumps(manifest))


def found_in(release: Release) -> dict[str, tuple[Verdict, set[str]]]:
    """What is found besides the picture that failed as it should."""
    found = release.found()
    assert {name: found.pop(name) for name in CLEAN} == CLEAN
    assert all(codes <= set(CODES) for _, codes in found.values())
    return found
