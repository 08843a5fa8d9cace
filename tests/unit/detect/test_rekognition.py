# SPDX-License-Identifier: Apache-2.0
"""Amazon Rekognition, against botocore's stubber and a service on this machine.

The real service cannot be reached from tests, and moto (5.2) does not know DetectFaces.
"""

from __future__ import annotations

import importlib
import io
import sys
from dataclasses import replace
from pathlib import Path

import boto3
import numpy as np
import pytest
from botocore.stub import ANY, Stubber
from PIL import Image as PillowImage

from tests.unit.detect.asked_rekognition import PLAIN, account, detector, service, squares
from tests.unit.detect.fake_rekognition import FakeService
from veilset.detect import rekognition
from veilset.detect.quarters import Look, merged, quarters
from veilset.detect.rekognition import (
    MAX_BYTES,
    Rekognition,
    _encoded,
    cost_notice,
    estimate_cost,
    list_price,
    read_faces,
)
from veilset.errors import ConfigError, DecodeError, PluginError
from veilset.types import Region

__all__ = ["account", "service"]


def grid(n_columns: int, n_rows: int, side: int, step: int) -> list[tuple[int, int, int, int]]:
    corners = [(step * x + 7, step * y + 7) for y in range(n_rows) for x in range(n_columns)]
    return [(x, y, x + side, y + side) for x, y in corners]


def close(found: tuple[Region, ...], boxes: list[tuple[int, int, int, int]], px: float) -> bool:
    """Whether the regions are the boxes, each once, to some pixels."""
    got = np.array(sorted(region.box_xyxy for region in found)).reshape(-1, 4)
    order = np.argsort([[abs(np.array(box) - each).max() for box in boxes] for each in got], axis=1)
    places = order[:, 0].tolist()
    return sorted(places) == list(range(len(boxes))) and bool(
        np.abs(got - np.array(boxes)[places]).max() <= px
    )


def test_faces_come_back_in_pixels(service: FakeService) -> None:
    (found,) = detector().detect([squares((400, 300), [(100, 60, 180, 160)])])
    (face,) = found
    assert face.box_xyxy == pytest.approx((100, 60, 180, 160), abs=1.5)
    assert face.score == pytest.approx(0.995)
    eyes = face.landmarks_xy[:2]
    assert eyes == pytest.approx(np.array([(124, 90), (156, 90)]), abs=2)
    assert len(face.landmarks_xy) == 5
    assert not face.attributes


@pytest.mark.parametrize("size", [(1, 1), (79, 200), (200, 20), (33, 33)])
def test_small_pictures_are_padded(service: FakeService, size: tuple[int, int]) -> None:
    box = (0, 0, min(20, size[0]), min(20, size[1]))
    (found,) = detector().detect([squares(size, [box])])
    assert all(min(PillowImage.open(io.BytesIO(sent)).size) >= 80 for sent in service.sent)
    assert [each.box_xyxy for each in found] == (
        [pytest.approx(box, abs=1.5)] if min(box[2:]) > 8 else []
    )


def test_what_is_sent_holds_pixels_and_nothing_else(service: FakeService) -> None:
    detector().detect([squares((90, 90), [])])
    (sent,) = service.sent
    picture = PillowImage.open(io.BytesIO(sent))
    assert picture.format == "JPEG"
    assert not picture.getexif()
    assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert b"Exif" not in sent
    assert b"http" not in sent


def test_more_than_a_hundred_faces_are_all_found(service: FakeService) -> None:
    boxes = grid(18, 14, 30, 55)
    (found,) = detector().detect([squares((1000, 790), boxes)])
    assert len(boxes) > 200
    assert close(found, boxes, px=2)
    # Quarters of 99 faces at most need no more questions: the whole and its four.
    assert len(service.sent) > 1


def test_exactly_a_hundred_is_asked_again_and_ninety_nine_is_not(service: FakeService) -> None:
    boxes = grid(10, 10, 30, 55)
    assert close(detector().detect([squares((600, 600), boxes[:99])])[0], boxes[:99], px=2)
    assert len(service.sent) == 1
    assert close(detector().detect([squares((600, 600), boxes)])[0], boxes, px=2)
    assert len(service.sent) == 1 + 5


def test_a_crowd_beyond_the_deepest_part_is_refused_not_cut_off(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rekognition, "MAX_DEPTH", 1)
    with pytest.raises(DecodeError, match="another detector") as caught:
        detector().detect([squares((1000, 1000), grid(30, 30, 12, 33))])
    assert caught.value.reason == "over-limit"


def test_thorough_asks_large_pictures_in_quarters(service: FakeService) -> None:
    thorough = detector(replace(PLAIN, effort="thorough"))
    boxes = [(900, 500, 1100, 700), (30, 30, 90, 90), (1900, 1000, 1990, 1090)]
    (found,) = thorough.detect([squares((2000, 1100), boxes)])
    assert close(found, boxes, px=2)
    assert len(service.sent) == 5
    thorough.detect([squares((1920, 1080), [])])
    assert len(service.sent) == 6


def test_large_pictures_shrink_until_they_fit(service: FakeService) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (2600, 3400, 3), dtype=np.uint8)
    image[1000:1400, 2000:2600] = 255
    (found,) = detector().detect([image])
    (sent,) = service.sent
    assert len(sent) <= MAX_BYTES
    (face,) = found
    assert face.box_xyxy == pytest.approx((2000, 1000, 2600, 1400), abs=6)


def test_quality_goes_before_size() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    full = _encoded(image)
    assert PillowImage.open(io.BytesIO(_encoded(image, len(full) - 1))).size == (200, 200)
    small = _encoded(image, 3_000)
    assert len(small) <= 3_000
    assert PillowImage.open(io.BytesIO(small)).size < (200, 200)


def test_a_picture_longer_than_a_jpeg_can_be_is_made_smaller(service: FakeService) -> None:
    image = np.zeros((100, 70_000, 3), np.uint8)
    image[10:90, 35_000:35_600] = 255
    ((face,),) = detector().detect([image])
    assert face.box_xyxy[0] == pytest.approx(35_000, abs=3)


def test_boxes_outside_are_cut_and_those_wholly_outside_go(service: FakeService) -> None:
    client = boto3.client("rekognition")
    box = {"Left": -0.1, "Top": 0.5, "Width": 0.3, "Height": 0.75}
    away = {"Left": 1.1, "Top": 0.5, "Width": 0.3, "Height": 0.2}
    faces = [{"BoundingBox": each, "Confidence": 90.0} for each in (box, away)]
    with Stubber(client) as stub:
        expected = {"Image": {"Bytes": ANY}, "Attributes": ["DEFAULT"]}
        stub.add_response("detect_faces", {"FaceDetails": faces}, expected)
        (found,) = Rekognition(client, PLAIN).detect([np.zeros((100, 200, 3), np.uint8)])
        stub.assert_no_pending_responses()
    (face,) = found
    assert face.box_xyxy == pytest.approx((0, 50, 40, 100))
    assert face.landmarks_xy == ()


def test_threshold_decides_and_strongest_comes_first() -> None:
    client = boto3.client("rekognition")
    box = {"Left": 0.1, "Top": 0.1, "Width": 0.1, "Height": 0.1}
    faces = [{"BoundingBox": box | {"Left": c / 100}, "Confidence": c} for c in (20.0, 55.0, 90.0)]
    with Stubber(client) as stub:
        for _ in range(2):
            stub.add_response("detect_faces", {"FaceDetails": faces})
        image = np.zeros((100, 100, 3), np.uint8)
        (found,) = Rekognition(client, PLAIN).detect([image])
        assert [region.score for region in found] == [0.9, 0.55]
        (found,) = Rekognition(client, replace(PLAIN, threshold=0.1)).detect([image])
        assert [region.score for region in found] == [0.9, 0.55, 0.2]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"FaceDetails": [{"Confidence": 1.0}]},
        {"FaceDetails": [{"BoundingBox": {"Left": 0.0}, "Confidence": 1.0}]},
        {
            "FaceDetails": [
                {
                    "BoundingBox": {"Left": float("nan"), "Top": 0, "Width": 1, "Height": 1},
                    "Confidence": 1.0,
                }
            ]
        },
        {"FaceDetails": None},
    ],
)
def test_an_answer_of_another_form_is_an_error_not_an_empty_picture(
    answer: dict[str, object],
) -> None:
    with pytest.raises(PluginError, match="not of the form"):
        read_faces(answer, (100, 100))


def test_importing_loads_no_boto3() -> None:
    before = set(sys.modules)
    importlib.reload(rekognition)
    assert not {name for name in set(sys.modules) - before if name.startswith("boto")}
    source = Path(rekognition.__file__).read_text()
    assert "import boto" not in source


def test_prices_go_by_tier() -> None:
    assert list_price(0) == 0
    assert list_price(1_000_000) == pytest.approx(1_000)
    assert list_price(5_000_000) == pytest.approx(1_000 + 4 * 800)
    assert list_price(6_000_000) == pytest.approx(1_000 + 4 * 800 + 600)
    assert list_price(1_000_000, n_before=500_000) == pytest.approx(500 + 400)
    assert list_price(10, n_before=5_000_000) == pytest.approx(0.006)
    with pytest.raises(ConfigError):
        estimate_cost(-1)


def test_the_estimate_counts_every_call() -> None:
    cost = estimate_cost(1_431_093, effort="thorough")
    assert (cost.n_calls, cost.n_calls_most) == (1_431_094, 5 * 1_431_093 + 1)
    assert cost.usd < cost.usd_most
    notice = cost_notice(1_431_093)
    assert "1,431,093 pictures to Amazon" in notice
    assert "$1,344.88" in notice
    assert "list price" in notice
    assert " to $" not in notice
    assert " to $" in cost_notice(10_000, effort="thorough")


def test_quarters_cover_and_overlap() -> None:
    for width, height in ((1, 1), (2, 3), (7, 5), (640, 481)):
        covered = np.zeros((height, width), int)
        for x0, y0, x1, y1 in quarters((0, 0, width, height)):
            covered[y0:y1, x0:x1] += 1
        assert covered.min() >= 1


def test_a_face_cut_by_a_border_is_told_once() -> None:
    whole = Region((40, 10, 70, 40), score=0.8)
    piece = Region((40, 10, 62.5, 40), score=0.99)
    looks = [
        Look((piece,), (0, 0, 62, 62)),
        Look((whole,), (38, 0, 100, 62)),
        Look((), (0, 0, 100, 100)),
    ]
    assert merged(looks, (100, 100)) == [whole]
    assert merged(looks[::-1], (100, 100)) == [whole]
    assert merged([looks[0], looks[2]], (100, 100)) == [piece], "a piece is better than nothing"
