# SPDX-License-Identifier: Apache-2.0
"""Batches: functions of their key, and to the last bit what torchvision's transforms give."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torchvision import transforms

from tests.study.drawn_pictures import CLASSES, draw, list_of, make_study, tiny
from veilset.errors import DatasetError
from veilset.seeds import derive
from veilset.study.batches import Batch, EvalBatches, TrainBatches
from veilset.study.config import StudyConfig
from veilset.study.feed import to_device
from veilset.study.lists import ImageList
from veilset.study.pictures import FolderPictures, open_source
from veilset.study.recipe import PAPER
from veilset.study.reduced import cut_reduced, factor_for

CPU = torch.device("cpu")
NORMALISED = [transforms.ToTensor(), transforms.Normalize(PAPER.mean, PAPER.std)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyConfig:
    return make_study(tmp_path_factory.mktemp("batches"))


def mixed(folder: Path) -> ImageList:
    """Pictures of several sizes and colour modes, a panorama among them."""
    modes = ["RGB", "L", "P", "RGBA"]
    for index in range(24):
        draw(index).convert(modes[index % 4]).save(folder / f"{index:02}.png")
    draw(1).resize((1000, 20)).save(folder / "24.png")
    draw(2).convert("CMYK").save(folder / "25.jpg")
    ids = tuple(sorted(path.name for path in folder.iterdir()))
    return ImageList(ids, np.arange(len(ids)) % 2, CLASSES)


def same(a: Batch, b: Batch) -> bool:
    pairs = [(a.pixels, b.pixels), (a.labels, b.labels), (a.positions, b.positions)]
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("changes", [
    {}, {"channels_last": True}, {"train_size": 64, "first_size": 64, "crop_scale": (0.25, 1.0)},
], ids=["paper", "channels-last", "small"])  # fmt: skip
def test_training_pixels_are_those_of_the_transforms_of_torchvision(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    recipe = replace(PAPER, batch_size=8, **changes)
    images = mixed(tmp_path)
    batches = TrainBatches(FolderPictures(tmp_path, "original"), images, recipe, seed=3)
    size = recipe.train_size
    reference = transforms.Compose([
        transforms.RandomResizedCrop(size, recipe.crop_scale), transforms.RandomHorizontalFlip(),
        *NORMALISED,
    ])  # fmt: skip
    for epoch in range(2):
        seen = []
        for b in range(batches.n_batches):
            batch = batches[epoch, b]
            pixels, labels = to_device(batch, CPU, recipe)
            for at, position in enumerate(batch.positions.tolist()):
                torch.manual_seed(derive(3, "picture", epoch, position))
                with PillowImage.open(tmp_path / images.image_ids[position]) as picture:
                    expected = reference(picture.convert("RGB"))
                assert torch.equal(pixels[at], expected)
                assert labels[at] == images.labels[position]
                seen.append(position)
        assert sorted(seen) == list(range(26))


def test_evaluation_pixels_are_those_of_the_transforms_of_torchvision(tmp_path: Path) -> None:
    images = mixed(tmp_path)
    for resize, crop in ((256, 224), (17, 31)):
        # A recipe keeps the square within the picture; here it sticks out, and is black there.
        recipe = replace(PAPER, batch_size=8)
        object.__setattr__(recipe, "eval_resize", resize)
        object.__setattr__(recipe, "eval_crop", crop)
        reference = transforms.Compose(
            [transforms.Resize(resize), transforms.CenterCrop(crop), *NORMALISED]
        )
        batches = EvalBatches(FolderPictures(tmp_path, "original"), images, recipe)
        made = [batches[b] for b in range(batches.n_batches)]
        assert [len(batch.labels) for batch in made] == [8, 8, 8, 2]
        assert torch.equal(torch.cat([b.positions for b in made]), torch.arange(26))
        for image_id, row in zip(
            images.image_ids, torch.cat([to_device(b, CPU, recipe)[0] for b in made]), strict=True
        ):
            with PillowImage.open(tmp_path / image_id) as picture:
                assert torch.equal(row, reference(picture.convert("RGB")))


def test_a_batch_is_a_function_of_its_key(study: StudyConfig) -> None:
    images, source = list_of(study), open_source(study, "original")
    batches = TrainBatches(source, images, tiny(), seed=1)
    assert batches.n_batches == 3
    keys = [(epoch, b) for epoch in range(3) for b in range(3)]
    forward = {key: batches[key] for key in keys}
    other = pickle.loads(pickle.dumps(batches))
    assert all(same(forward[key], other[key]) for key in reversed(keys))
    orders = [torch.cat([forward[e, b].positions for b in range(3)]).tolist() for e in range(3)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert not same(forward[0, 0], TrainBatches(source, images, tiny(), seed=2)[0, 0])
    # The same images at other times of training are cut otherwise.
    first, second = (
        forward[e, b].pixels[at]
        for e in (0, 1)
        for b in range(3)
        for at, position in enumerate(forward[e, b].positions.tolist())
        if position == 4
    )
    assert not torch.equal(first, second)


def test_settings_are_paired_pixel_by_pixel(study: StudyConfig) -> None:
    images = list_of(study)
    made = {
        name: TrainBatches(open_source(study, name), images, tiny(), seed=1)[1, 0]
        for name in study.settings
    }
    assert same(made["released"], made["layered"])
    assert same(made["released"], made["mosaic"])
    assert torch.equal(made["released"].positions, made["original"].positions)
    # A difference is there, and only where faces were: the cut is the same.
    differs = (made["released"].pixels != made["original"].pixels).any(dim=1)
    assert 0 < differs.float().mean() < 0.5


def test_what_does_not_fill_a_batch_is_kept_or_dropped_as_the_recipe_says(
    study: StudyConfig,
) -> None:
    images, source = list_of(study), open_source(study, "original")
    kept = TrainBatches(source, images, tiny(), seed=1)
    dropped = TrainBatches(source, images, tiny(drop_last=True), seed=1)
    assert (kept.n_batches, dropped.n_batches) == (3, 2)
    assert len(kept[0, 2].labels) == 2
    for batches, key in ((kept, (0, 3)), (dropped, (0, 2)), (kept, (0, -1))):
        with pytest.raises(IndexError, match="There is no batch"):
            batches[key]
    with pytest.raises(IndexError):
        EvalBatches(source, images, tiny())[3]


def test_pictures_grow_as_the_recipe_says(study: StudyConfig) -> None:
    recipe = tiny(train_size=32, first_size=16, size_step=8, epochs=5, grow_from=0.2, grow_to=0.8)
    batches = TrainBatches(open_source(study, "original"), list_of(study), recipe, seed=1)
    assert [batches[epoch, 0].pixels.shape[-1] for epoch in range(5)] == [16, 16, 24, 24, 32]


def test_labels_may_be_several(study: StudyConfig) -> None:
    images = list_of(study)
    many = ImageList(images.image_ids, np.eye(10, dtype=np.int64)[:, :7], images.classes)
    batch = TrainBatches(open_source(study, "original"), many, tiny(), seed=1)[0, 0]
    assert batch.labels.dtype == torch.int64
    assert torch.equal(batch.labels, torch.eye(10, dtype=torch.int64)[batch.positions, :7])


def test_a_broken_picture_stops_a_batch(study: StudyConfig, tmp_path: Path) -> None:
    images = mixed(tmp_path)
    (tmp_path / "07.png").write_bytes(b"")
    for decode in ("exact", "reduced"):
        recipe = tiny(batch_size=26, decode=decode)
        with pytest.raises(DatasetError, match=r"original/07\.png is refused"):
            TrainBatches(FolderPictures(tmp_path, "original"), images, recipe, seed=1)[0, 0]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("box", [(0, 0, 400, 300), (101, 33, 301, 233), (5, 7, 61, 50)])
def test_reduced_decoding_shows_the_same_place(
    mode: str, box: tuple[int, int, int, int], tmp_path: Path
) -> None:
    ramp = np.add.outer(np.arange(300) * 255 // 300, np.arange(400) * 255 // 400) // 2
    colours = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=2).astype(np.uint8)
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    picture = PillowImage.fromarray(colours).convert(mode)
    picture.save(tmp_path / "x.jpg", quality=95, exif=exif)
    source = FolderPictures(tmp_path, "original")
    seen = []

    def choose(size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
        seen.append(size_wh)
        return box

    fast = cut_reduced(source, "x.jpg", choose, 48)
    exact = source.read("x.jpg").crop(box).resize((48, 48), PillowImage.Resampling.BILINEAR)
    assert seen == [(400, 300)]
    assert fast.shape == (48, 48, 3)
    # The cut is rounded to half a pixel of the smaller picture; the ramp changes by 0.75 where
    # both places move by one pixel of the whole.
    factor = 1 if mode == "CMYK" else factor_for((box[2] - box[0], box[3] - box[1]), 48)
    difference = fast.astype(int) - np.asarray(exact)
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.4 + 0.75 * factor / 2
    assert np.abs(difference).max() <= 8


def test_reduced_batches_of_a_layer_are_those_of_the_release(study: StudyConfig) -> None:
    images, recipe = list_of(study), tiny(decode="reduced")
    layered, released = (
        TrainBatches(open_source(study, name), images, recipe, seed=1)[0, 1]
        for name in ("layered", "released")
    )
    assert same(layered, released)
