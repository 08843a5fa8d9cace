# SPDX-License-Identifier: Apache-2.0
"""SCRFD: planted detections against scalar arithmetic, and the files that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.detect.tiny_models import Head, build, cell_values, padded, picture, planted
from veilset.boxes import nms
from veilset.detect.scrfd import ScrfdHeads, load_network
from veilset.errors import ConfigError
from veilset.protocols import DetectorSettings

STRIDES = (8, 16, 32)
FLOOR = 0.7


def heads(with_landmarks: bool) -> list[Head]:
    made = []
    for place, stride in enumerate(STRIDES):
        score = planted(f"score_{stride}", stride, 2, 1, 10 + place, 2.0)
        made.append(Head(score.name, stride, 2, score.weight, score.bias - 1, "Sigmoid"))
        # Distances are positive in real files; here some boxes turn inside out.
        box = planted(f"bbox_{stride}", stride, 2, 4, 20 + place, 1.5)
        made.append(Head(box.name, stride, 2, box.weight, box.bias + 1.5))
        if with_landmarks:
            made.append(planted(f"kps_{stride}", stride, 2, 10, 30 + place, 1.0))
    return made


def expected(made: list[Head], image: np.ndarray) -> list[tuple[float, list[float], list[float]]]:
    """Score, box and landmarks of every anchor over the floor, in scalar arithmetic."""
    seen = []
    prepared = (padded(image, 64) - 127.5) / 128.0
    by_name = {head.name: head for head in made}
    for stride in STRIDES:
        for row in range(prepared.shape[0] // stride):
            for column in range(prepared.shape[1] // stride):
                for anchor in range(2):
                    at = (prepared, row, column, anchor)
                    (score,) = cell_values(by_name[f"score_{stride}"], *at)
                    if score < FLOOR:
                        continue
                    left, up, right, down = cell_values(by_name[f"bbox_{stride}"], *at)
                    x, y = column * stride, row * stride
                    x0, y0 = x - left * stride, y - up * stride
                    box = [x0, y0, max(x + right * stride, x0), max(y + down * stride, y0)]
                    points: list[float] = []
                    if f"kps_{stride}" in by_name:
                        moves = cell_values(by_name[f"kps_{stride}"], *at)
                        points = [(x, y)[k % 2] + move * stride for k, move in enumerate(moves)]
                    seen.append((score, box, points))
    return seen


@pytest.mark.parametrize("with_landmarks", [True, False])
@pytest.mark.parametrize("layout", ["rows", "flat"])
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_decodes_what_was_planted(
    tmp_path: Path, with_landmarks: bool, layout: str, runtime: str
) -> None:
    made = heads(with_landmarks)
    # insightface lists scores first, then boxes, then landmarks; others mix them.
    order = made if layout == "rows" else sorted(made, key=lambda head: head.name, reverse=True)
    path = build(tmp_path / "scrfd.onnx", order, layout=layout)
    network = load_network(DetectorSettings(weights=str(path), runtime=runtime))
    image = picture(100, 150, 32)
    (found,) = network.look([image], floor=FLOOR)
    seen = expected(made, image)
    kept = nms([box for _, box, _ in seen], [score for score, _, _ in seen], 0.4)
    assert 0 < len(kept) < len(seen), "the test has to plant doubles"
    assert len(found) == len(kept)
    np.testing.assert_allclose(found.scores, [seen[k][0] for k in kept], atol=1e-5)
    np.testing.assert_allclose(found.boxes_xyxy, [seen[k][1] for k in kept], atol=1e-3)
    assert found.landmarks_xy.shape == (len(kept), 5 if with_landmarks else 0, 2)
    np.testing.assert_allclose(
        found.landmarks_xy.reshape(len(kept), -1), [seen[k][2] for k in kept], atol=1e-3
    )


def test_heads_are_told_apart_by_shape() -> None:
    cells = [2 * (64 // stride) ** 2 for stride in STRIDES]
    outputs = [np.zeros((1, n, channels), np.float32) for channels in (10, 1, 4) for n in cells]
    assert ScrfdHeads().arrange([""] * 9, outputs, 64) == [3, 4, 5, 6, 7, 8, 0, 1, 2]
    assert ScrfdHeads().arrange([""] * 8, outputs[:8], 64) is None
    assert ScrfdHeads().arrange([""] * 6, outputs[:6], 64) is None, "landmarks without boxes"


def test_other_heads_are_refused_by_name_and_shape(tmp_path: Path) -> None:
    path = build(tmp_path / "odd.onnx", [planted("odd", 8, 1, 4, 0, 1.0)])
    with pytest.raises(ConfigError, match=r"odd\.onnx.*not a scrfd.*odd \(1, 256, 4\).*Expected"):
        load_network(DetectorSettings(weights=str(path)))


def test_no_weights_say_so() -> None:
    with pytest.raises(ConfigError, match=r"brings no weights of its own.*--weights"):
        load_network(DetectorSettings())
