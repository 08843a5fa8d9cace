# SPDX-License-Identifier: Apache-2.0
"""What is found in any rendering of an image is in the image, and once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.verify.drawn import Planted
from veilset.boxes import iou
from veilset.errors import BrokenPluginError
from veilset.networks.searching import SAME_IOU, join_regions, search_renderings
from veilset.types import Image, Region


class Told(Planted):
    """Gives what a pixel of the image says: so many regions of its shade."""

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        return [
            tuple(Region((10.0 * n, 0, 10.0 * n + 8, 8), score=shade / 100) for n in range(count))
            for count, shade in ((int(image[0, 0, 0]), int(image[0, 0, 1])) for image in images)
        ]


def shown(count: int, shade: int) -> Image:
    return np.array([[[count, shade, 0]]], np.uint8)


def test_each_image_gets_what_is_in_its_own_renderings() -> None:
    images = [[shown(1, 50)], [shown(0, 0), shown(2, 70)], [shown(0, 0)]]
    found = search_renderings(Told("fast"), images)
    assert [[region.score for region in regions] for regions in found] == [[0.5], [0.7, 0.7], []]


class Miscounting(Told):
    """Gives so many answers more than it was shown pictures."""

    def __init__(self, surplus: int) -> None:
        super().__init__("fast")
        self.surplus = surplus

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        return ([*super().detect(images), ()])[: len(images) + self.surplus]


@pytest.mark.parametrize(("surplus", "n_answers"), [(1, 4), (-1, 2), (-3, 0)])
def test_answers_that_belong_to_no_picture_are_refused(surplus: int, n_answers: int) -> None:
    images = [[shown(1, 50)], [shown(0, 0), shown(2, 70)]]
    said = f"'planted'.*gave {n_answers} answers to 3 pictures"
    with pytest.raises(BrokenPluginError, match=said):
        search_renderings(Miscounting(surplus), images)


def test_kinds_are_kept_apart_and_regions_without_a_score_come_first() -> None:
    face, plate = Region((0, 0, 8, 8), score=0.4), Region((0, 0, 8, 8), kind="plate", score=0.6)
    drawn = Region((30, 0, 38, 8))
    assert join_regions([(face,), (plate, drawn)]) == (drawn, plate, face)


def test_a_face_that_one_rendering_shows_better_has_that_score() -> None:
    weak, strong = Region((0, 0, 8, 8), score=0.3), Region((1, 0, 8, 8), score=0.9)
    assert join_regions([(weak,), (strong,)]) == (strong,)


def test_faces_of_one_rendering_that_overlap_stay_apart() -> None:
    first, second = Region((0, 0, 8, 8), score=0.9), Region((1, 0, 9, 8), score=0.8)
    again = Region((0, 0, 8, 8), score=0.7)
    assert join_regions([(), (first, second), (again,)]) == (first, second)


boxes = st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 30)] * 2).map(
    lambda each: (each[0], each[1], each[0] + each[2], each[1] + each[3])
)
regions = st.lists(
    st.builds(Region, boxes, score=st.one_of(st.none(), st.floats(0, 1))), max_size=5
).map(tuple)


def strength(region: Region) -> float:
    return 1.0 if region.score is None else region.score


@given(st.lists(regions, min_size=2, max_size=4))
def test_nothing_that_was_found_is_lost(found: list[tuple[Region, ...]]) -> None:
    joined = join_regions(found)
    for region in (each for regions in found for each in regions):
        same = [e for e in joined if iou([region.box_xyxy], [e.box_xyxy]).max() >= SAME_IOU]
        assert any(strength(each) >= strength(region) for each in same)
    scores = [strength(each) for each in joined]
    assert scores == sorted(scores, reverse=True)


@given(regions)
def test_one_rendering_is_left_as_it_is(found: tuple[Region, ...]) -> None:
    assert join_regions([found]) is found
