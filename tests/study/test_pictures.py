# SPDX-License-Identifier: Apache-2.0
"""The pictures of a setting: those of ImageFolder, those of the release, or an error."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from torchvision.datasets.folder import pil_loader

from tests.study.drawn_pictures import draw, list_of, make_study
from veilset.errors import DatasetError
from veilset.study.config import StudyConfig
from veilset.study.pictures import FolderPictures, open_source


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyConfig:
    return make_study(tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA", "I;16"])
def test_a_file_is_decoded_as_image_folder_does(mode: str, tmp_path: Path) -> None:
    picture = draw(7)
    name = "x.jpg" if mode == "CMYK" else "x.png"
    if mode == "I;16":
        picture = PillowImage.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30))
    else:
        picture = picture.convert(mode)
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / name, exif=exif)
    ours = FolderPictures(tmp_path, "original").read(name)
    theirs = pil_loader(tmp_path / name)
    assert ours.mode == theirs.mode == "RGB"
    assert ours.size == theirs.size
    assert ours.tobytes() == theirs.tobytes()


def test_layer_and_method_give_the_pixels_of_the_release(study: StudyConfig) -> None:
    sources = {name: open_source(study, name) for name in study.settings}
    ids = list_of(study).image_ids
    n_changed = 0
    for image_id in ids:
        seen = {name: source.read(image_id).tobytes() for name, source in sources.items()}
        assert seen["released"] == seen["layered"] == seen["mosaic"]
        n_changed += seen["released"] != seen["original"]
    assert n_changed == 6
    for name, source in sources.items():
        again = pickle.loads(pickle.dumps(source))
        assert again.read(ids[0]).tobytes() == source.read(ids[0]).tobytes(), name


def test_the_layer_of_a_method_is_written_once_and_for_its_settings(study: StudyConfig) -> None:
    open_source(study, "mosaic")
    (layer,) = (study.out / "layers").iterdir()
    before = layer.stat().st_mtime_ns
    open_source(study, "mosaic")
    assert layer.stat().st_mtime_ns == before
    spec = replace(study.settings["mosaic"], parameters={"cells": 3})
    changed = replace(study, settings={**study.settings, "mosaic": spec})
    first, second = open_source(study, "mosaic"), open_source(changed, "mosaic")
    ids = list_of(study).image_ids
    assert any(first.read(i).tobytes() != second.read(i).tobytes() for i in ids)
    assert len(list((study.out / "layers").iterdir())) == 2


def test_a_picture_that_cannot_be_had_is_named_and_nothing_comes(
    study: StudyConfig, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    (photos / "train").mkdir(parents=True)
    whole = tmp_path / "whole.png"
    draw(3).save(whole)
    (photos / "train/cut.png").write_bytes(whole.read_bytes()[:200])
    (photos / "train/text.png").write_bytes(b"no picture")
    draw(999).save(photos / "train/new.png")
    plain, layered = FolderPictures(photos, "original"), open_source(
        replace(study, settings={
            **study.settings, "original": replace(study.settings["original"], root=photos),
        }), "layered",
    )  # fmt: skip
    with pytest.raises(DatasetError, match=r"^original/train/cut\.png is refused \(truncated\)"):
        plain.read("train/cut.png")
    with pytest.raises(DatasetError, match=r"^original/train/text\.png is refused \(unreadable\)"):
        plain.read("train/text.png")
    with pytest.raises(DatasetError, match=r"^original/train/none\.png cannot be read \(No such"):
        plain.read("train/none.png")
    with pytest.raises(DatasetError, match=r"^layered/train/new\.png is refused \(not-looked\)"):
        layered.read("train/new.png")
