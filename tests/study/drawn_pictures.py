# SPDX-License-Identifier: Apache-2.0
"""A small drawn data set in two splits, with regions, and what a release makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from veilset.annotations.store import write_annotations
from veilset.dataset.folder import FolderReader
from veilset.files import sha256_hex
from veilset.images.decode import inspect_image
from veilset.layer.stage import LayerConfig, write_layer
from veilset.obfuscate.stage import obfuscate_dataset
from veilset.protocols import ShardReport
from veilset.runs import Run
from veilset.study.config import DataSpec, NetworkSpec, SettingSpec, StudyConfig
from veilset.study.lists import ImageList
from veilset.study.recipe import Recipe, make_recipe
from veilset.types import Annotations, Region, Status

CLASSES = ("cat", "dog")
FACE = Region((8.0, 6.0, 30.0, 28.0))
SIZES = [(48, 40), (40, 48), (64, 33), (51, 50), (20, 90)]


def draw(seed: int) -> PillowImage.Image:
    """Draw a coarse pattern of colours."""
    random, (width, height) = np.random.default_rng(seed), SIZES[seed % len(SIZES)]
    coarse = random.integers(0, 256, (height // 5 + 1, width // 5 + 1, 3), dtype=np.uint8)
    pixels = np.kron(coarse, np.ones((5, 5, 1), np.uint8))[:height, :width]
    return PillowImage.fromarray(np.ascontiguousarray(pixels))


def draw_photos(folder: Path, n: int = 5, suffix: str = ".png") -> None:
    """Draw ``n`` pictures of each class in each split, every second with a face."""
    for s, split in enumerate(("train", "val")):
        for c, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for index in range(n):
                picture = draw(1000 * s + 100 * c + index)
                picture.save(folder / split / name / f"{index}{suffix}", quality=95)


def annotate(photos: Path, folder: Path) -> None:
    """Say that every second picture has a face, and the others none."""
    reader = FolderReader(photos)
    with Run.open(folder, "import", {"by": "hand"}, reader.describe()) as run:
        for shard in run.missing(reader.shards()):
            rows = [_row(photos, record.image_id) for record in shard.records]
            digest = write_annotations(folder, shard.index, rows)
            run.commit(ShardReport(shard.index, len(rows), digest=digest))
        run.finish()


def _row(photos: Path, image_id: str) -> Annotations:
    has_face = int(Path(image_id).stem) % 2 == 0
    data = (photos / image_id).read_bytes()
    info = inspect_image(data)
    return Annotations(
        image_id,
        Status.LOOKED,
        (FACE,) if has_face else (),
        *info.size_wh,
        sha256=sha256_hex(data),
        n_bytes=len(data),
    )


def make_study(base: Path, suffix: str = ".png") -> StudyConfig:
    """Draw a study of originals, their release, the layer of it, and the method alone."""
    photos, annotations = base / "photos", base / "faces"
    draw_photos(photos, suffix=suffix)
    annotate(photos, annotations)
    write_layer(annotations, base / "layer.arrow", LayerConfig(method="mosaic"))
    obfuscate_dataset(photos, base / "layer.arrow", base / "released")
    settings = {
        "original": SettingSpec("original", root=photos),
        "released": SettingSpec("released", root=base / "released"),
        "layered": SettingSpec("layered", layer=base / "layer.arrow"),
        "mosaic": SettingSpec("mosaic", method="mosaic"),
    }
    return StudyConfig(
        name="drawn",
        out=base / "drawn.study",
        data=DataSpec(annotations=annotations),
        settings=settings,
        networks=(NetworkSpec("resnet18"),),
        train=tuple(settings),
    )


def list_of(config: StudyConfig, split: str = "train") -> ImageList:
    """List the images of a split, as a study does."""
    root = config.settings["original"].root
    assert root is not None
    ids = sorted(path.relative_to(root).as_posix() for path in (root / split).glob("*/*"))
    labels = [CLASSES.index(image_id.split("/")[1]) for image_id in ids]
    return ImageList(tuple(ids), np.array(labels, dtype=np.int64), CLASSES)


def tiny(**changes: Any) -> Recipe:
    """A recipe for drawn pictures."""
    small = make_recipe("paper", {"train_size": 16, "eval_resize": 18, "eval_crop": 16})
    return replace(small, **{"batch_size": 4, "epochs": 3, **changes})
