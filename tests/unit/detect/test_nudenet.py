# SPDX-License-Identifier: Apache-2.0
"""NudeNet's faces and nudity: planted detections against arithmetic, and refused files."""

from __future__ import annotations

import ast
import logging
import math
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.unit.detect.tiny_models import picture
from veilset.boxes import nms
from veilset.detect.candidates import Candidates
from veilset.detect.nudenet import (
    CARD,
    CLASSES,
    FACES,
    FOREHEAD,
    LONG_SIDES_PX,
    NSFW,
    NudeNet,
    _strongest_of,
    decode,
    make,
    make_nsfw,
    resized,
)
from veilset.errors import ConfigError, MissingExtraError, PluginError
from veilset.networks.weights import check_licence
from veilset.protocols import DetectorSettings
from veilset.types import Image

STRIDES = (8, 16, 32)
FEMALE, MALE, FEET = 5, 16, 11  # rows of the output


def installed() -> bool:
    try:
        distribution("nudenet")
    except PackageNotFoundError:
        return False
    return True


def build(path: Path, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Path:
    """A network with NudeNet's output: a linear map of the mean colour of each cell.

    Args:
        path: File to write.
        weight: ``(C, 3)``, on colours in [0, 1].
        bias: ``(C,)``; rows from the fifth on go through a sigmoid.
    """
    n = len(bias)
    weights = [
        numpy_helper.from_array(weight[..., None, None], "w"),
        numpy_helper.from_array(bias, "b"),
        numpy_helper.from_array(np.array([0, n, -1], np.int64), "shape"),
        numpy_helper.from_array(np.array([4, n - 4], np.int64), "parts"),
    ]
    nodes = []
    for stride in STRIDES:
        side = [stride, stride]
        nodes += [
            helper.make_node("AveragePool", ["x"], [f"p{stride}"], kernel_shape=side, strides=side),
            helper.make_node("Conv", [f"p{stride}", "w", "b"], [f"c{stride}"]),
            helper.make_node("Reshape", [f"c{stride}", "shape"], [f"r{stride}"]),
        ]
    nodes += [
        helper.make_node("Concat", [f"r{stride}" for stride in STRIDES], ["all"], axis=2),
        helper.make_node("Split", ["all", "parts"], ["boxes", "logits"], axis=1),
        helper.make_node("Sigmoid", ["logits"], ["classes"]),
        helper.make_node("Concat", ["boxes", "classes"], ["output0"], axis=1),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    result = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", n, "a"])
    graph = helper.make_graph(nodes, "tiny", [given], [result], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def colourful() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Random heads whose boxes lie in pictures of some hundred pixels."""
    rng = np.random.default_rng(5)
    weight = rng.uniform(-4, 4, (22, 3)).astype(np.float32)
    bias = rng.uniform(-1, 1, 22).astype(np.float32)
    weight[:2], bias[:2] = rng.uniform(0, 120, (2, 3)), 0
    weight[2:4], bias[2:4] = rng.uniform(5, 30, (2, 3)), 20
    weight[FEET] = 0
    bias[FEET] = 9  # feet everywhere, which are no faces
    return weight, bias


def said_of(
    weight: NDArray[np.float32], bias: NDArray[np.float32], colour: list[float]
) -> list[float]:
    """The column of a cell, by scalar arithmetic."""
    column = []
    for row in range(len(bias)):
        value = float(bias[row])
        for channel in range(3):
            value += float(weight[row, channel]) * colour[channel] / 255
        column.append(value if row < 4 else 1 / (1 + math.exp(-value)))
    return column


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_decodes_what_was_planted(tmp_path: Path, runtime: str) -> None:
    weight, bias = colourful()
    path = build(tmp_path / "tiny.onnx", weight, bias)
    settings = DetectorSettings(weights=str(path), effort="fast", threshold=0.6, runtime=runtime)
    image = picture(250, 320, 32, seed=1)  # neither enlarged nor shrunk, but padded to 256
    (regions,) = make(settings).detect([image])

    padded = np.pad(image, ((0, 6), (0, 0), (0, 0))).astype(np.float64)
    seen = []
    for stride in STRIDES:
        for row in range(256 // stride):
            for column in range(320 // stride):
                y, x = row * stride, column * stride
                block = padded[y : y + stride, x : x + stride]
                said = said_of(weight, bias, [float(block[..., c].mean()) for c in range(3)])
                score = max(said[FEMALE], said[MALE])
                if score >= 0.6:
                    cx, cy, w, h = said[:4]
                    seen.append((score, [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]))
    kept = [seen[k] for k in nms([box for _, box in seen], [score for score, _ in seen], 0.45)]
    assert 3 < len(kept) < len(seen), "the test has to plant doubles"
    expected = []
    for score, (x0, y0, x1, y1) in kept:
        y0 -= FOREHEAD * (y1 - y0)
        box = (max(x0, 0), max(y0, 0), min(x1, 320), min(y1, 250))
        if box[0] < box[2] and box[1] < box[3]:
            expected.append((score, box))
    assert [region.score for region in regions] == pytest.approx([s for s, _ in expected], abs=1e-5)
    np.testing.assert_allclose(
        [region.box_xyxy for region in regions], [box for _, box in expected], atol=1e-2
    )
    assert {region.kind for region in regions} == {"face"}


@pytest.mark.parametrize("size", [(40, 80), (640, 1280)])
def test_boxes_come_back_in_pixels_of_the_image(tmp_path: Path, size: tuple[int, int]) -> None:
    bias = np.zeros(22, np.float32)
    bias[:4] = (160, 100, 80, 40)  # of the picture that the network is given
    weight = np.zeros((22, 3), np.float32)
    weight[FEMALE, 0] = 3.0  # red alone decides: it has to come first
    path = build(tmp_path / "tiny.onnx", weight, bias)
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 2] = 102, 255
    detector = make(DetectorSettings(weights=str(path), effort="fast"))
    ((region, *others),) = detector.detect([image])
    assert not others
    assert region.score == pytest.approx(1 / (1 + math.exp(-3 * 0.4)), abs=1e-4)
    factor = width / 320
    box = (120 * factor, (80 - 40 * FOREHEAD) * factor, 200 * factor, 120 * factor)
    assert region.box_xyxy == pytest.approx(box, rel=1e-5)


def test_each_effort_searches_at_its_sizes(tmp_path: Path) -> None:
    weight, bias = np.zeros((22, 3), np.float32), np.full(22, -6.0, np.float32)
    bias[:4] = (300, 300, 40, 40)
    weight[MALE] = 4.0  # certain of a white cell, not of one that is white by a quarter
    path = build(tmp_path / "tiny.onnx", weight, bias)
    image = np.zeros((640, 640, 3), np.uint8)
    image[328:336, 328:336] = 255
    found = {}
    for effort, sides in LONG_SIDES_PX.items():
        detector = make(DetectorSettings(weights=str(path), effort=effort, threshold=0.9))
        assert detector.settings["long_sides_px"] == " ".join(map(str, sides))
        (found[effort],) = detector.detect([image])
    at_640 = pytest.approx((280, 280 - 40 * FOREHEAD, 320, 320))
    at_960 = pytest.approx(tuple(2 / 3 * side for side in (280, 280 - 40 * FOREHEAD, 320, 320)))
    assert found["fast"] == ()
    assert [region.box_xyxy for region in found["balanced"]] == [at_640]
    assert sorted(region.box_xyxy for region in found["thorough"]) == [at_960, at_640]


def output(*columns: tuple[float, float, float, float, int, float]) -> NDArray[np.float32]:
    made = np.zeros((22, len(columns)), np.float32)
    for place, (cx, cy, w, h, row, score) in enumerate(columns):
        made[:4, place] = cx, cy, w, h
        made[row, place] = score
    return made


def faces_of(said: NDArray[np.float32], floor: float) -> Candidates:
    return decode(said, FACES.classes, floor=floor).candidates


def test_only_faces_count_and_the_surer_class_is_the_score() -> None:
    both = output((50, 50, 20, 20, FEMALE, 0.5), (90, 90, 20, 20, FEET, 0.9))
    both[MALE, 0] = 0.7
    found = faces_of(both, 0.5)
    assert found.scores == pytest.approx([0.7])
    assert found.boxes_xyxy.tolist() == [[40, 40, 60, 60]]


def test_nothing_is_nothing_and_bad_numbers_are_errors() -> None:
    assert len(faces_of(np.zeros((22, 0), np.float32), 0.1)) == 0
    assert len(faces_of(output((5, 5, 2, 2, MALE, 0.3)), 0.31)) == 0
    with pytest.raises(PluginError, match="not a number"):
        faces_of(output((5, 5, 2, 2, MALE, math.nan)), 0.1)
    # A side below zero would turn the box inside out; a score above 1 is a rounding error.
    found = faces_of(output((5, 5, -2, 4, MALE, 1.004)), 0.1)
    assert found.boxes_xyxy.tolist() == [[5, 3, 5, 7]]
    assert found.scores.tolist() == [1.0]


BREAST, ANUS, COVERED = (4 + CLASSES.index(f"{name}") for name in (
    "FEMALE_BREAST_EXPOSED", "ANUS_EXPOSED", "FEMALE_BREAST_COVERED",
))  # fmt: skip


def test_nudity_is_what_is_uncovered_and_of_the_surest_class() -> None:
    said = output(
        (50, 50, 20, 20, BREAST, 0.6),
        (51, 50, 20, 20, ANUS, 0.9),  # nearly the same place: one region
        (90, 90, 20, 20, ANUS, 0.5),
        (20, 20, 20, 20, FEMALE, 0.99),
        (20, 90, 20, 20, COVERED, 0.99),
    )
    said[ANUS, 0] = 0.3
    found = decode(said, NSFW.classes, floor=0.2)
    assert found.candidates.scores == pytest.approx([0.9, 0.5])
    assert found.candidates.boxes_xyxy.tolist() == [[41, 40, 61, 60], [80, 80, 100, 100]]
    assert [NSFW.classes[place] for place in found.classes] == ["ANUS_EXPOSED"] * 2
    # Alone, the first one is of the class that is surer there.
    alone = decode(said[:, :1], NSFW.classes, floor=0.2)
    assert [NSFW.classes[place] for place in alone.classes] == ["FEMALE_BREAST_EXPOSED"]


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_nudity_is_given_as_it_is_seen(tmp_path: Path, runtime: str) -> None:
    bias, weight = np.full(22, -9.0, np.float32), np.zeros((22, 3), np.float32)
    bias[:4] = (160, 100, 80, 40)
    weight[BREAST, 0], weight[ANUS, 0], weight[FEMALE, 0] = 20, 19, 30  # faces are surer
    path = build(tmp_path / "tiny.onnx", weight, bias)
    image = np.zeros((200, 320, 3), np.uint8)
    image[..., 0] = 128
    settings = DetectorSettings(weights=str(path), effort="fast", threshold=0.5, runtime=runtime)
    ((region, *others),) = make_nsfw(settings).detect([image])
    assert not others
    assert (region.kind, dict(region.attributes)) == ("nsfw", {"label": "FEMALE_BREAST_EXPOSED"})
    assert region.box_xyxy == pytest.approx((120, 80, 200, 120))  # not raised, as a face is
    assert region.score == pytest.approx(1 / (1 + math.exp(9 - 20 * 128 / 255)), abs=1e-4)
    (faces,) = make(settings).detect([image])
    assert [each.kind for each in faces] == ["face"]
    assert not faces[0].attributes


def test_what_was_seen_at_several_sizes_keeps_its_class(tmp_path: Path) -> None:
    bias, weight = np.full(22, -9.0, np.float32), np.zeros((22, 3), np.float32)
    bias[:4] = (100, 100, 60, 60)  # of each picture, so at another place of the image each time
    weight[ANUS, 0], weight[BREAST, 1] = 20, 16
    path = build(tmp_path / "tiny.onnx", weight, bias)
    image = np.full((320, 320, 3), 200, np.uint8)
    image[..., 1] = 220
    (regions,) = make_nsfw(DetectorSettings(weights=str(path))).detect([image])
    labels = [region.attributes["label"] for region in regions]
    boxes = [region.box_xyxy for region in regions]
    assert labels == ["ANUS_EXPOSED"] * 2
    assert boxes == [pytest.approx((70, 70, 130, 130)), pytest.approx((35, 35, 65, 65))]


def test_classes_go_where_their_candidates_go() -> None:
    places = ((50, 0.5, ANUS), (150, 0.9, BREAST), (250, 0.7, ANUS)), ((350, 0.8, BREAST),)
    looks = [
        decode(output(*((x, 50, 20, 20, row, score) for x, score, row in each)), NSFW.classes,
               floor=0.2)
        for each in places
    ]  # fmt: skip
    merged = _strongest_of(looks)
    assert merged.candidates.scores == pytest.approx([0.9, 0.8, 0.7, 0.5])
    labels = [NSFW.classes[place][:4] for place in merged.classes]
    assert labels == ["FEMA", "FEMA", "ANUS", "ANUS"]
    assert merged.candidates.boxes_xyxy[:, 0].tolist() == [140, 340, 240, 40]


def test_nudity_is_looked_for_only_where_it_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = build(tmp_path / "tiny.onnx", *colourful())
    with pytest.raises(ConfigError, match="used only where it is named"):
        make_nsfw(DetectorSettings(weights=str(path), is_asked_for=False))
    assert not caplog.text
    settings = DetectorSettings(weights=str(path), weights_licence="AGPL-3.0")
    with caplog.at_level(logging.WARNING):
        detector = make_nsfw(settings)
    assert "candidates for people to look at" in caplog.text
    assert "AGPL-3.0" in caplog.text
    assert detector.card.name == "nudenet-nsfw"
    assert detector.card.licence == "AGPL-3.0"


def test_each_effort_has_its_threshold(tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.onnx", *colourful())
    for effort, threshold in NSFW.thresholds.items():
        settings = DetectorSettings(weights=str(path), effort=effort)
        assert make_nsfw(settings).settings["threshold"] == threshold
        assert make(settings).settings["threshold"] == FACES.thresholds[effort]
    assert len(set(NSFW.thresholds.values())) == len(LONG_SIDES_PX)


@pytest.mark.skipif(not installed(), reason="the package nudenet is not installed")
def test_classes_are_in_the_order_of_the_package() -> None:
    source = Path(str(distribution("nudenet").locate_file("nudenet/nudenet.py"))).read_text()
    lists = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.List)]
    names = [ast.literal_eval(each) for each in lists if len(each.elts) == len(CLASSES)]
    assert names == [list(CLASSES)]


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (320, 320), (333, 77)])
def test_the_longer_side_is_brought_to_the_size_asked_for(size: tuple[int, int]) -> None:
    image: Image = np.full((*size, 3), 77, np.uint8)
    result = resized(image, 320)
    assert max(result.shape[:2]) == 320
    assert min(result.shape[:2]) == max(1, round(320 * min(size) / max(size)))
    assert (result == 77).all()


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.onnx", np.zeros((21, 3), np.float32), np.zeros(21, np.float32))
    with pytest.raises(ConfigError, match=r"not a NudeNet.*\(1, 21, 84\).*\(1, 22, 84\)"):
        make(DetectorSettings(weights=str(path)))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (DetectorSettings(effort="most"), "effort is 'most'"),
        (DetectorSettings(threshold=1.5), r"threshold is 1\.5"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    tmp_path: Path, settings: DetectorSettings, said: str
) -> None:
    path = build(tmp_path / "tiny.onnx", *colourful())
    with pytest.raises(ConfigError, match=said):
        make(
            DetectorSettings(
                weights=str(path), effort=settings.effort, threshold=settings.threshold
            )
        )


@pytest.mark.skipif(installed(), reason="the package nudenet is installed")
def test_without_the_package_it_says_what_to_do() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps nudenet==3\.4\.2"):
        make(DetectorSettings())


@pytest.mark.skipif(not installed(), reason="the package nudenet is not installed")
def test_the_package_is_not_imported() -> None:
    make(DetectorSettings(effort="fast"))
    assert "nudenet" not in sys.modules


@pytest.mark.skipif(not installed(), reason="the package nudenet is not installed")
def test_both_detectors_share_weights_and_session() -> None:
    faces, nudity = (each(DetectorSettings(effort="fast")) for each in (make, make_nsfw))
    assert (faces.card.name, nudity.card.name) == ("nudenet", "nudenet-nsfw")
    assert faces.card.sha256 == nudity.card.sha256 == CARD.sha256
    assert isinstance(faces, NudeNet)
    assert isinstance(nudity, NudeNet)
    assert faces._session is nudity._session


def test_card_states_both_licences() -> None:
    assert CARD.licence == "AGPL-3.0"
    assert "MIT" in CARD.note
    check_licence(CARD, commercial=True)
