# SPDX-License-Identifier: Apache-2.0
"""CenterFace: decoding against scalar arithmetic, pictures of every shape, other weights."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.detect.tiny_models import Head, build, cell_values, padded, picture, planted
from veilset.boxes import nms
from veilset.detect.candidates import MAX_CANDIDATES, Candidates, pad, strongest, suppress
from veilset.detect.centerface import CARD, decode, load_network
from veilset.errors import BoxError, ConfigError, PluginError
from veilset.protocols import DetectorSettings

Maps = tuple[NDArray[np.float32], ...]


def maps(height: int = 16, width: int = 24) -> Maps:
    return tuple(np.zeros((channels, height, width), np.float32) for channels in (1, 2, 2, 10))


def plant(
    of: Maps, row: int, column: int, score: float, log_hw: tuple[float, float], seed: int = 0
) -> tuple[list[float], list[tuple[float, float]]]:
    """Plant a face; give box and landmarks by scalar arithmetic."""
    heat, size, offset, landmarks = of
    rng = np.random.default_rng(seed)
    oy, ox = (float(np.float32(value)) for value in rng.uniform(-0.4, 0.4, 2))
    points = [float(np.float32(value)) for value in rng.uniform(0, 1, 10)]
    heat[0, row, column] = score
    size[:, row, column] = log_hw
    offset[:, row, column] = oy, ox
    landmarks[:, row, column] = points
    h, w = (math.exp(float(np.float32(value))) * 4 for value in log_hw)
    cy, cx = (row + oy + 0.5) * 4, (column + ox + 0.5) * 4
    x0, y0 = cx - w / 2, cy - h / 2
    marks = [(x0 + points[2 * k + 1] * w, y0 + points[2 * k] * h) for k in range(5)]
    return [x0, y0, x0 + w, y0 + h], marks


def test_decodes_a_face_over_the_border_whole() -> None:
    # Cutting x0 and y0 to the picture before width and height are added would move the
    # lower right corner of this box by 20 px.
    of = maps()
    box, marks = plant(of, 0, 1, 0.9, (math.log(12), math.log(10)))
    heat, *others = of
    found = decode(heat[0], *others, floor=0.5)
    assert box[0] < 0
    assert box[1] < 0
    np.testing.assert_allclose(found.boxes_xyxy, [box], rtol=1e-6)
    np.testing.assert_allclose(found.landmarks_xy[0], marks, rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.9], rtol=1e-6)


def test_orders_by_score_and_drops_doubles_only() -> None:
    of = maps()
    far, _ = plant(of, 12, 20, 0.6, (1.0, 0.8), seed=1)
    strong, _ = plant(of, 5, 5, 0.8, (1.5, 1.5), seed=2)
    plant(of, 5, 6, 0.7, (1.5, 1.5), seed=2)  # one cell aside: IoU 0.63
    heat, *others = of
    found = decode(heat[0], *others, floor=0.5)
    np.testing.assert_allclose(found.boxes_xyxy, [strong, far], rtol=1e-5)


def test_floor_is_inclusive_and_empty_is_empty() -> None:
    of = maps()
    plant(of, 3, 3, 0.5, (1, 1))
    heat, *others = of
    assert len(decode(heat[0], *others, floor=0.5)) == 1
    nothing = decode(heat[0], *others, floor=0.51)
    assert (nothing.boxes_xyxy.shape, nothing.landmarks_xy.shape) == ((0, 4), (0, 5, 2))


def test_absurd_sizes_stay_finite() -> None:
    of = maps()
    plant(of, 3, 3, 0.5, (1, 1))
    of[1][:, 3, 3] = 1000
    heat, *others = of
    assert np.isfinite(decode(heat[0], *others, floor=0.5).boxes_xyxy).all()


def test_scores_that_are_no_number_are_an_error_not_an_empty_picture() -> None:
    heat, *others = maps()
    heat[0, 2, 2] = np.nan
    with pytest.raises(PluginError, match="not a number"):
        decode(heat[0], *others, floor=0.5)


def test_noise_is_bounded_and_said(caplog: pytest.LogCaptureFixture) -> None:
    scores = np.linspace(0.9, 1.0, 3 * MAX_CANDIDATES)
    with caplog.at_level(logging.DEBUG):
        rows = strongest(scores, 0.2)
    assert len(rows) == MAX_CANDIDATES
    assert rows[0] == len(scores) - 1
    assert "fired at 12000 positions" in caplog.text


def test_suppression_equals_the_plain_one() -> None:
    rng = np.random.default_rng(7)
    for n in (0, 1, 5, 200):
        low = rng.uniform(0, 60, (n, 2))
        boxes = np.concatenate([low, low + rng.uniform(0, 30, (n, 2))], axis=1)
        if n > 3:
            boxes[3] = boxes[2]
            boxes[1, 2:] = boxes[1, :2]  # a box without area
        scores = np.sort(rng.uniform(0, 1, n))[::-1]
        found = Candidates(boxes, scores, np.zeros((n, 0, 2)))
        kept = suppress(found, 0.3)
        np.testing.assert_array_equal(kept.scores, scores[nms(boxes, scores, 0.3)])


def test_candidates_refuse_columns_that_do_not_fit() -> None:
    with pytest.raises(BoxError, match=r"2 scores.*\(1, 4\)"):
        Candidates(np.zeros((1, 4)), np.zeros(2), np.zeros((2, 5, 2)))


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 64), (3, 200), (128, 1)])
def test_padding_is_zeros_right_and_bottom(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(1, 256, (*size, 3), dtype=np.uint8)
    image.setflags(write=False)
    (result,) = pad(image, 64)
    np.testing.assert_array_equal(result, padded(image, 64))
    assert result.flags.c_contiguous


def centerface_heads() -> list[Head]:
    size = planted("size", 4, 1, 2, 92, 1 / 200)
    return [
        planted_score(),
        Head("size", 4, 1, size.weight, size.bias + 2),
        planted("offset", 4, 1, 2, 7, 1 / 400),
        planted("points", 4, 1, 10, 100, 1 / 200),
    ]


def planted_score() -> Head:
    score = planted("heat", 4, 1, 1, 98, 1 / 60)
    return Head("heat", 4, 1, score.weight, score.bias - 1, "Sigmoid")


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_user_weights_see_rgb_from_0_to_255(tmp_path: Path, runtime: str) -> None:
    made = centerface_heads()
    # Sizes fixed in the file, as CenterFace's own.
    path = build(tmp_path / "mine.onnx", made, layout="maps", size=(10, 32, 640))
    network = load_network(DetectorSettings(weights=str(path), runtime=runtime))
    image = picture(70, 90, 16, seed=11)
    (found,) = network.look([image], floor=0.6)
    prepared = padded(image, 64)
    seen = []
    for row in range(prepared.shape[0] // 4):
        for column in range(prepared.shape[1] // 4):
            heat, size, offset, _ = (cell_values(head, prepared, row, column, 0) for head in made)
            if heat[0] >= 0.6:
                h, w = (math.exp(value) * 4 for value in size)
                cy, cx = (row + offset[0] + 0.5) * 4, (column + offset[1] + 0.5) * 4
                box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                seen.append((heat[0], box))
    kept = nms([box for _, box in seen], [score for score, _ in seen], 0.5)
    assert 0 < len(kept) < len(seen), "the test has to plant doubles"
    np.testing.assert_allclose(found.scores, [seen[k][0] for k in kept], atol=1e-5)
    np.testing.assert_allclose(found.boxes_xyxy, [seen[k][1] for k in kept], atol=1e-3)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    path = build(tmp_path / "odd.onnx", centerface_heads()[:3], layout="maps")
    with pytest.raises(ConfigError, match="not a CenterFace"):
        load_network(DetectorSettings(weights=str(path)))


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_shapes_and_flat_pictures(runtime: str) -> None:
    network = load_network(DetectorSettings(runtime=runtime))
    assert network.card is CARD
    images = [
        np.full((height, width, 3), value, np.uint8)
        for height, width in ((1, 1), (1, 700), (700, 1), (2, 2), (64, 64), (33, 65))
        for value in (0, 128, 255)
    ]
    results = network.look(images, floor=0.5)
    assert [len(found) for found in results] == [0] * len(images)
    assert network.look([], floor=0.5) == []
