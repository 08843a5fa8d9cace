# SPDX-License-Identifier: Apache-2.0
"""RetinaFace: planted detections against scalar arithmetic, and the files that are refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.unit.detect.tiny_models import Head, build, cell_values, padded, picture, planted
from veilset.boxes import nms
from veilset.detect.retinaface import load_network
from veilset.errors import ConfigError
from veilset.protocols import DetectorSettings

SIDES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
FLOOR = 0.7
GAIN = 1 / 100
PARTS = {"loc": 4, "conf": 2, "landms": 10}


def heads() -> list[Head]:
    return [
        planted(f"{name}_{stride}", stride, 2, channels, 80 + 3 * place + at, GAIN)
        for place, (name, channels) in enumerate(PARTS.items())
        for at, stride in enumerate(SIDES)
    ]


def write(path: Path, *, softmax: bool = True) -> Path:
    return build(
        path,
        heads(),
        joined=[(name, [f"{name}_{stride}" for stride in SIDES]) for name in PARTS],
        activations=[("conf", "Softmax")] if softmax else [],
    )


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_decodes_what_was_planted(tmp_path: Path, runtime: str) -> None:
    path = write(tmp_path / "retina.onnx")
    network = load_network(DetectorSettings(weights=str(path), runtime=runtime))
    image = picture(100, 150, 32, seed=5)
    (found,) = network.look([image], floor=FLOOR)

    prepared = padded(image, 64)[..., ::-1] - np.array([104.0, 117.0, 123.0])
    by_name = {head.name: head for head in heads()}
    seen: list[tuple[float, list[float], list[float]]] = []
    for stride, sides in SIDES.items():
        for row in range(prepared.shape[0] // stride):
            for column in range(prepared.shape[1] // stride):
                for anchor, side in enumerate(sides):
                    loc, conf, points = (
                        cell_values(by_name[f"{name}_{stride}"], prepared, row, column, anchor)
                        for name in PARTS
                    )
                    score = 1 / (1 + math.exp(conf[0] - conf[1]))
                    if score < FLOOR:
                        continue
                    px, py = (column + 0.5) * stride, (row + 0.5) * stride
                    cx, cy = px + loc[0] * 0.1 * side, py + loc[1] * 0.1 * side
                    w, h = side * math.exp(loc[2] * 0.2), side * math.exp(loc[3] * 0.2)
                    marks = [(px, py)[k % 2] + v * 0.1 * side for k, v in enumerate(points)]
                    seen.append((score, [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], marks))
    kept = nms([box for _, box, _ in seen], [score for score, _, _ in seen], 0.4)
    assert 0 < len(kept) < len(seen), "the test has to plant doubles"
    assert len(found) == len(kept)
    np.testing.assert_allclose(found.scores, [seen[k][0] for k in kept], atol=1e-5)
    np.testing.assert_allclose(found.boxes_xyxy, [seen[k][1] for k in kept], atol=1e-2)
    np.testing.assert_allclose(
        found.landmarks_xy.reshape(len(kept), 10), [seen[k][2] for k in kept], atol=1e-2
    )


def test_scores_before_softmax_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train.onnx", softmax=False)
    with pytest.raises(ConfigError, match=r"not a retinaface.*after softmax"):
        load_network(DetectorSettings(weights=str(path)))
