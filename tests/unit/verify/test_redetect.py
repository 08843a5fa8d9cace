# SPDX-License-Identifier: Apache-2.0
"""What counts as a missed face, and which images are drawn into the sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.verify.drawn import Failing, Planted
from veilset.boxes import union_mask
from veilset.errors import BrokenPluginError, ConfigError, RunError
from veilset.records.verdicts import Level
from veilset.types import Image, Region
from veilset.verify.config import VerifyConfig, effort_above
from veilset.verify.redetect import (
    covered_share,
    is_sampled,
    missed_faces,
    sample_share,
    search,
)

SIZE_WH = (40, 30)
corner = st.tuples(st.integers(-5, 45), st.integers(-5, 35), st.integers(0, 20), st.integers(0, 20))


@given(box=corner, cores=st.lists(corner, max_size=4))
def test_covered_share_is_that_of_the_masks(
    box: tuple[int, int, int, int], cores: Sequence[tuple[int, int, int, int]]
) -> None:
    x, y, w, h = box
    inside = np.clip(np.array([[a, b, a + c, b + d] for a, b, c, d in cores]).reshape(-1, 4), 0, 40)
    core_mask = np.zeros((60, 60), dtype=np.bool_)
    for x0, y0, x1, y1 in inside:
        core_mask[y0:y1, x0:x1] = True
    box_mask = union_mask([(x, y, x + w, y + h)], SIZE_WH)
    share = covered_share((x, y, x + w, y + h), inside.astype(np.int64), SIZE_WH)
    n_pixels = box_mask.sum()
    expected = (box_mask & core_mask[:30, :40]).sum() / n_pixels if n_pixels else 0.0
    assert share == pytest.approx(expected)


def test_half_outside_is_where_a_missed_face_begins() -> None:
    cores = np.array([[0, 0, 10, 10]])
    inside = Region((0, 0, 20, 10), score=0.9)
    outside = Region((0, 0, 21, 10), score=0.9)
    (finding,) = missed_faces("d", [inside, outside], cores, SIZE_WH, 0.7)
    assert finding.box_xyxy == outside.box_xyxy


@pytest.mark.parametrize(
    ("score", "level"), [(0.7, Level.LEAK), (0.69, Level.REVIEW), (None, Level.LEAK)]
)
def test_level_follows_the_score(score: float | None, level: Level) -> None:
    cores = np.zeros((0, 4), dtype=np.int64)
    (finding,) = missed_faces("d", [Region((0, 0, 9, 9), score=score)], cores, SIZE_WH, 0.7)
    assert finding.level is level


def test_a_failing_detector_answers_for_each_picture() -> None:
    small, wide = np.zeros((50, 50, 3), np.uint8), np.zeros((50, 300, 3), np.uint8)
    answers = search(Failing("fast"), [[small], [wide], [small]])
    assert [isinstance(answer, ValueError) for answer in answers] == [False, True, False]
    images: list[list[Image]] = []
    assert search(Planted("fast"), images) == []


class Silent(Planted):
    """Gives no answer at all."""

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        return []


def test_a_detector_that_does_not_answer_stops_the_run() -> None:
    picture = np.zeros((50, 50, 3), np.uint8)
    with pytest.raises(BrokenPluginError, match="gave 0 answers to 2 pictures"):
        search(Silent("fast"), [[picture], [picture]])


class Gone(Planted):
    """Asks a service that is out of reach."""

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        raise RunError("The service cannot be reached.")


def test_a_service_that_is_out_of_reach_stops_the_run() -> None:
    picture = np.zeros((50, 50, 3), np.uint8)
    with pytest.raises(RunError, match="cannot be reached"):
        search(Gone("fast"), [[picture], [picture]])


class Unlucky(Planted):
    """Fails with several pictures at once, then with wide ones for a reason of their own."""

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        if len(images) > 1:
            raise ConnectionError
        return Failing("fast").detect(images)


def test_what_is_wrong_with_one_picture_is_not_what_was_wrong_with_all() -> None:
    small, wide = np.zeros((50, 50, 3), np.uint8), np.zeros((50, 300, 3), np.uint8)
    _, answer = search(Unlucky("fast"), [[small], [wide]])
    assert isinstance(answer, ValueError)
    assert answer.__context__ is None


def test_the_sample_depends_on_seed_and_name_only() -> None:
    names = [f"{index}.jpg" for index in range(2000)]
    first = {name for name in names if is_sampled(name, 0, 0.1)}
    assert first == {name for name in reversed(names) if is_sampled(name, 0, 0.1)}
    assert first != {name for name in names if is_sampled(name, 1, 0.1)}
    assert 150 < len(first) < 250
    # A larger share only adds: a smaller sample can be extended.
    assert first < {name for name in names if is_sampled(name, 0, 0.2)}
    assert not any(is_sampled(name, 0, 0.0) for name in names)
    assert all(is_sampled(name, 0, 1.0) for name in names)


@pytest.mark.parametrize(
    ("n_untouched", "share"), [(10, 1.0), (100, 0.2), (1000, 0.02), (10**6, 0.02), (0, 0.02)]
)
def test_small_data_sets_are_sampled_more(n_untouched: int, share: float) -> None:
    assert sample_share(VerifyConfig(recheck_minimum=20), n_untouched) == pytest.approx(share)
    assert sample_share(VerifyConfig(recheck_sample=0.0), n_untouched) == 0.0


def test_effort_is_one_step_above() -> None:
    assert effort_above("no such effort") == "balanced"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recheck": "some"}, "recheck is 'some'"),
        ({"effort": "huge"}, "effort is 'huge'"),
        ({"leak_score": 1.5}, "leak_score is 1.5"),
        ({"recheck_sample": -0.1}, "recheck_sample is -0.1"),
        ({"recheck_minimum": -1}, "recheck_minimum is -1"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VerifyConfig(**settings)
