# SPDX-License-Identifier: Apache-2.0
"""Drawn photographs of drawn people, and plugins that recognise and hide them badly.

A "face" is a square of coloured fields that are the person's own, with noise that is the
photograph's. The plugins are announced by a folder of package metadata on ``sys.path``, so that
processes which are started find them too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from veilset import plugins
from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.attack.config import AttackConfig, method_setting
from veilset.attack.stage import attack_dataset
from veilset.boxes import outer_pixels, region_boxes
from veilset.dataset.folder import FolderReader
from veilset.errors import ConfigError
from veilset.files import sha256_hex
from veilset.plugins import make_obfuscator
from veilset.protocols import MethodCard, Recogniser, RecogniserSettings, ShardReport
from veilset.runs import Run, RunSummary
from veilset.types import Annotations, Image, IntBoxes, ModelCard, Region, Status

SIDE_PX = 32
_FIELDS = 4

_ENTRY_POINTS = f"""\
[veilset.recognisers]
planted = {__name__}:make_planted
headless = {__name__}:make_headless

[veilset.obfuscators]
feeble = {__name__}:Feeble
"""


@dataclass(frozen=True)
class Planted:
    """Sees the mean colours of four by four fields of a face."""

    threshold: float | None = 0.5

    metric = "euclidean"
    side_px = SIDE_PX

    @property
    def cards(self) -> Sequence[ModelCard]:
        return [ModelCard("planted", "drawn for a test", "Apache-2.0", commercial_ok=True)]

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        return {"recogniser": "planted", "threshold": self.threshold or 0.0}

    def cut(self, image: Image, face: Region, *, aligned_on: Image | None = None) -> Image:
        ((x0, y0, x1, y1),) = outer_pixels(
            region_boxes([face]), size_wh=(image.shape[1], image.shape[0])
        )
        rows = np.linspace(y0, y1 - 1, SIDE_PX).astype(int)
        columns = np.linspace(x0, x1 - 1, SIDE_PX).astype(int)
        return np.ascontiguousarray(image[rows][:, columns])

    def embed(self, chips: Sequence[Image]) -> NDArray[np.float32]:
        n, cell = _FIELDS, SIDE_PX // _FIELDS
        cells = [chip.reshape(n, cell, n, cell, 3).mean(axis=(1, 3)) / 255 for chip in chips]
        return np.array(cells, np.float32).reshape(len(chips), n * n * 3)


def make_planted(settings: RecogniserSettings) -> Recogniser:
    return Planted() if settings.threshold is None else Planted(settings.threshold)


def make_headless(settings: RecogniserSettings) -> Recogniser:
    raise ConfigError("It has no weights.")


@dataclass(frozen=True)
class Feeble:
    """Makes each face one level lighter: what a bad method would do."""

    levels: int = 1

    @property
    def card(self) -> MethodCard:
        return MethodCard(
            "feeble", 1, "Changes almost nothing.", {"levels": self.levels}, reversible=False,
            weak="for a test", max_survival=1.0,
        )  # fmt: skip

    def core(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        return outer_pixels(region_boxes(regions), size_wh)

    footprint = core

    def obfuscate(self, image: Image, regions: Sequence[Region], *, seed: int = 0) -> Image:
        shown = image.astype(np.int64)
        for x0, y0, x1, y1 in self.core(regions, (image.shape[1], image.shape[0])):
            shown[y0:y1, x0:x1] += self.levels
        return shown.clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Shuffled:
    """Puts the fields of each face into another order, always the same, and turns them negative.

    Nobody recognises who is hidden so, and whoever knows it can learn to.
    """

    @property
    def card(self) -> MethodCard:
        return MethodCard(
            "shuffled", 1, "Moves fields.", {}, reversible=True, weak="for a test",
            max_survival=1.0,
        )  # fmt: skip

    def core(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        return outer_pixels(region_boxes(regions), size_wh)

    footprint = core

    def obfuscate(self, image: Image, regions: Sequence[Region], *, seed: int = 0) -> Image:
        shown = image.copy()
        for x0, y0, x1, y1 in self.core(regions, (image.shape[1], image.shape[0])):
            y = y0 + (np.arange(y1 - y0) + (y1 - y0) // 2) % (y1 - y0)
            x = x0 + (np.arange(x1 - x0) + (x1 - x0) // 4) % (x1 - x0)
            shown[y0:y1, x0:x1] = 255 - image[y][:, x]
        return shown


@contextmanager
def planted_plugins(folder: Path) -> Iterator[None]:
    """Announce the plugins of this module beside the real ones.

    Args:
        folder: For the metadata of a package; may hold them already.
    """
    package = folder / "planted_attack-1.dist-info"
    package.mkdir(parents=True, exist_ok=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-attack\nVersion: 1\n")
    (package / "entry_points.txt").write_text(_ENTRY_POINTS)
    sys.path.append(str(folder))
    plugins._announced.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        plugins._announced.cache_clear()


def fields(seed: int, side_px: int, contrast: int = 90) -> Image:
    """Draw four by four fields of colours that a seed decides."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(128 - contrast, 128 + contrast, (_FIELDS, _FIELDS, 3))
    at = np.arange(side_px) * _FIELDS // side_px
    return coarse[at][:, at].astype(np.uint8)


@dataclass(frozen=True)
class Album:
    """Photographs of people, and where they and their records lie."""

    base: Path

    @property
    def photos(self) -> Path:
        return self.base / "photos"

    @property
    def annotations(self) -> Path:
        return self.base / "annotations"

    @property
    def out(self) -> Path:
        return self.base / "out.attack"

    def attack(
        self,
        config: AttackConfig,
        out: Path | None = None,
        *,
        workers: int = 2,
        keep_private: bool = False,
    ) -> RunSummary:
        return attack_dataset(
            self.photos, self.annotations, out or self.out, config,
            workers=workers, keep_private=keep_private,
        )  # fmt: skip

    def image_ids(self) -> list[str]:
        return sorted(p.relative_to(self.photos).as_posix() for p in self.photos.rglob("*.png"))


QUICK = AttackConfig(
    settings=(method_setting("feeble"), method_setting("veil:cells=4")),
    attacks=("recognise", "parrot-embeddings", "parrot-pixels", "scene"),
    recogniser="planted",
    n_draws=100,
    chip_px=32,
    shard_size=5,
    threads=1,
)
"""Every attack that needs no PyTorch, on two methods."""

ONLY_RECOGNISE = replace(QUICK, attacks=("recognise",))


def draw_album(
    base: Path,
    n_people: int = 6,
    n_each: int | Sequence[int] = 4,
    *,
    telling: str = "face",
    sizes_px: Sequence[tuple[int, int]] = ((72, 64),),
    faces_px: Sequence[int] = (32,),
    noise: float = 12.0,
    n_strangers: int = 0,
) -> Album:
    """Draw photographs, each person's in a folder of the person, and annotate their faces.

    Args:
        base: Folder for all of it.
        n_people: How many.
        n_each: Photographs of a person, or of each person.
        telling: ``face`` or ``background``: what tells who it is. All else is the photograph's.
        sizes_px: Heights and widths, taken in turn.
        faces_px: Sides of faces, taken in turn.
        noise: Of the pixels.
        n_strangers: Photographs of one person each, in no folder.
    """
    album = Album(base)
    boxes: dict[str, Region] = {}
    counts = [n_each] * n_people if isinstance(n_each, int) else [*n_each]
    for person, count in enumerate([*counts, *[1] * n_strangers]):
        for photo in range(count):
            turn = person * max(counts) + photo
            (height, width), side = sizes_px[turn % len(sizes_px)], faces_px[turn % len(faces_px)]
            rng = np.random.default_rng(1000 + turn)
            own, other = 7 + person, 100_000 + turn
            face, behind = (own, other) if telling == "face" else (other, own)
            square = fields(behind, max(height, width), contrast=60)
            picture = square[:height, :width].astype(float)
            y, x = (int(rng.integers(4, limit - side - 4)) for limit in (height, width))
            picture[y : y + side, x : x + side] = fields(face, side)
            picture += rng.normal(0, noise, picture.shape)
            name = f"Person {person:02d}/photo-{photo}.png"
            if person >= len(counts):
                name = f"stranger-{person - len(counts):03d}.png"
            path = album.photos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            PillowImage.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
            boxes[name] = Region((x, y, x + side, y + side), score=0.9)
    annotate_album(album, boxes)
    return album


def annotate_album(
    album: Album, boxes: Mapping[str, Region], *, not_searched: Sequence[str] = ()
) -> None:
    """Write the annotation set: no face where none is given."""
    reader = FolderReader(album.photos)
    with Run.open(album.annotations, "import", {"by": "hand"}, reader.describe()) as run:
        for shard in run.missing(reader.shards(100)):
            rows = [_annotated(album, each.image_id, boxes) for each in shard.records]
            rows = [
                replace(row, status=Status.COULD_NOT_LOOK, regions=(), reason="error")
                if row.image_id in not_searched
                else row
                for row in rows
            ]
            digest = write_annotations(album.annotations, shard.index, rows)
            run.commit(ShardReport(shard.index, len(rows), digest=digest))
        run.finish()


def _annotated(album: Album, image_id: str, boxes: Mapping[str, Region]) -> Annotations:
    data = (album.photos / image_id).read_bytes()
    with PillowImage.open(album.photos / image_id) as picture:
        width, height = picture.size
    regions = (boxes[image_id],) if image_id in boxes else ()
    return Annotations(image_id, Status.LOOKED, regions, width, height, sha256_hex(data), len(data))


RESULTS = ("results.parquet", "results.csv", "summary.csv", "summary.md", "frontier.svg")
"""Files of an attack that are the same wherever and whenever it is made."""


def results(out: Path) -> dict[str, bytes]:
    """Give the bytes of those files."""
    return {name: (out / name).read_bytes() for name in RESULTS}


def obfuscated(album: Album, folder: Path, *, skip: tuple[str, ...] = ()) -> Path:
    """Release the pictures with overlaid faces, as an obfuscation run would."""
    for row in AnnotationSet(album.annotations):
        if row.image_id not in skip:
            picture = np.asarray(PillowImage.open(album.photos / row.image_id))
            shown = make_obfuscator("overlay", {}).obfuscate(picture, row.regions)
            (folder / row.image_id).parent.mkdir(parents=True, exist_ok=True)
            PillowImage.fromarray(shown).save(folder / row.image_id)
    return folder
