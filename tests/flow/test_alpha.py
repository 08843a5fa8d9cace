# SPDX-License-Identifier: Apache-2.0
"""A face that only shows where a picture is transparent is found, hidden and verified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.unit.verify.drawn import (
    MAGENTA,
    QUIET,
    Release,
    annotate,
    draw,
    make_release,
    planted_detectors,
)
from veilset.annotations.store import AnnotationSet
from veilset.records.verdicts import Verdict
from veilset.types import Image, Region

SEARCH_ALL = replace(QUIET, recheck="all")
BOX = (95.5, 15.5, 143.5, 63.5)
OPACITY = 190
AS_STORED = {"white": (175, 0, 175), "black": (255, 90, 255)}
"""Colours that are magenta to the detector once they are put on that ground, and not before."""


@pytest.fixture(autouse=True)
def detectors() -> Iterator[None]:
    with planted_detectors(["planted"]):
        yield


def with_a_nose_on(ground: str) -> Image:
    """Draw a face whose nose is magenta on that ground alone, ``(H, W, 4)``."""
    picture = draw(2, 2, {(1, 0): MAGENTA})
    is_nose = (picture == MAGENTA).all(axis=2)
    picture[is_nose] = AS_STORED[ground]
    return np.dstack([picture, np.where(is_nose, OPACITY, 255).astype(np.uint8)])


def draw_photo(release: Release, picture: Image, name: str) -> None:
    release.photos.mkdir()
    PillowImage.fromarray(picture).save(release.photos / name, lossless=True, exact=True)


@pytest.mark.parametrize("ground", list(AS_STORED))
@pytest.mark.parametrize("name", ["face.png", "face.webp", "face.tif"])
def test_it_is_found_hidden_and_verified(tmp_path: Path, ground: str, name: str) -> None:
    release = Release(tmp_path)
    draw_photo(release, with_a_nose_on(ground), name)
    make_release(tmp_path)
    (row,) = AnnotationSet(release.annotations)
    assert [region.box_xyxy for region in row.regions] == [BOX]
    assert release.found(SEARCH_ALL) == {}
    written = np.asarray(PillowImage.open(release.out / name).convert("RGBA"))
    assert (written[16:63, 96:143, 3] == 255).all()


@pytest.mark.parametrize("ground", list(AS_STORED))
def test_verify_finds_one_that_nothing_hides(tmp_path: Path, ground: str) -> None:
    release = Release(tmp_path)
    draw_photo(release, with_a_nose_on(ground), "face.png")
    annotate(release, {})
    make_release(tmp_path)
    assert release.found(SEARCH_ALL) == {"face.png": (Verdict.LEAK, {"missed-face"})}


def test_verify_searches_what_is_left_of_an_obfuscated_picture(tmp_path: Path) -> None:
    release = Release(tmp_path)
    draw_photo(release, with_a_nose_on("white"), "face.png")
    annotate(release, {"face.png": [Region((2, 100, 30, 130))]})
    make_release(tmp_path)
    assert release.found(SEARCH_ALL) == {"face.png": (Verdict.LEAK, {"missed-face"})}
