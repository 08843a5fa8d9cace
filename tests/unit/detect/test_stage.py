# SPDX-License-Identifier: Apache-2.0
"""Batches of the stage: filled where a detector likes them, never beyond what memory is to hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
from PIL import Image as PilImage

import veilset
from veilset.annotations.store import AnnotationSet
from veilset.engine.held import held
from veilset.errors import BrokenPluginError
from veilset.types import Annotations, Image, ModelCard, Region, Status

SIDE_PX = 20


class Batching:
    """Finds one region in each image, which depends on its size; likes six images at once."""

    card = ModelCard("batching", "tests", "Apache-2.0", True)
    settings: Mapping[str, str | int | float | bool] = {}
    batch_size = 6

    def __init__(self) -> None:
        self.calls: list[int] = []

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        self.calls.append(len(images))
        return [(Region((0.0, 0.0, float(image.shape[1]), 1.0), score=0.9),) for image in images]


def found_by(
    detector: Batching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Annotations]:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(13):
        PilImage.new("RGB", (SIDE_PX + number, SIDE_PX)).save(photos / f"{number:02d}.png")
    (photos / "05.png").write_bytes(b"broken")
    monkeypatch.setattr("veilset.detect.stage.make_detector", lambda name, settings: detector)
    veilset.detect_dataset(photos, tmp_path / "set", workers=1)
    return list(AnnotationSet(tmp_path / "set"))


def check(rows: list[Annotations]) -> None:
    assert [row.image_id for row in rows] == [f"{number:02d}.png" for number in range(13)]
    for number, row in enumerate(rows):
        if number == 5:
            assert row.status is Status.COULD_NOT_LOOK
        else:
            assert row.regions[0].box_xyxy[2] == SIDE_PX + number


def test_a_detector_gets_as_many_images_as_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Batching()
    check(found_by(detector, tmp_path, monkeypatch))
    # One of the first six cannot be opened.
    assert sorted(detector.calls) == [1, 5, 6]


def test_large_images_are_searched_before_the_batch_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veilset.detect.stage.held", partial(held, most=2 * SIDE_PX**2))
    detector = Batching()
    check(found_by(detector, tmp_path, monkeypatch))
    assert max(detector.calls) == 2
    assert sum(detector.calls) == 12


class Unsure(Batching):
    """Gives a score that is no number."""

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        return [(Region((0.0, 0.0, 4.0, 4.0), score=float("nan")),) for _ in images]


def test_a_score_that_is_no_number_is_a_failure_and_not_a_face_to_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = found_by(Unsure(), tmp_path, monkeypatch)
    assert {(row.status, row.regions) for row in rows} == {(Status.COULD_NOT_LOOK, ())}
    assert "BoxError" in rows[0].message


class Miscounting(Batching):
    """Answers once too often, or too rarely."""

    def __init__(self, surplus: int) -> None:
        super().__init__()
        self.surplus = surplus

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        return [*super().detect(images), ()][: len(images) + self.surplus]


@pytest.mark.parametrize("surplus", [1, -1])
def test_a_detector_that_does_not_answer_for_each_picture_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, surplus: int
) -> None:
    with pytest.raises(BrokenPluginError, match=r"'batching'.*Tell its author"):
        found_by(Miscounting(surplus), tmp_path, monkeypatch)
    assert not (tmp_path / "set" / "run.json").exists()


class Unlucky(Batching):
    """Fails with several pictures at once, then with one for a reason of its own."""

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        if len(images) > 1:
            raise ConnectionError
        if images[0].shape[1] == SIDE_PX + 7:
            raise ValueError
        return super().detect(images)


def test_what_is_wrong_with_one_picture_is_not_what_was_wrong_with_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = found_by(Unlucky(), tmp_path, monkeypatch)
    failed = [row.image_id for row in rows if row.status is not Status.LOOKED]
    assert failed == ["05.png", "07.png"]
