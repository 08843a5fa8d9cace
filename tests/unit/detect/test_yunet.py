# SPDX-License-Identifier: Apache-2.0
"""YuNet: planted detections against scalar arithmetic, and the files that are refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.unit.detect.tiny_models import Head, build, cell_values, padded, picture, planted
from veilset.boxes import nms
from veilset.detect.yunet import load_network
from veilset.errors import ConfigError
from veilset.protocols import DetectorSettings

STRIDES = (8, 16, 32)
FLOOR = 0.6
GAIN = 1 / 150  # colours reach 255


def heads() -> list[Head]:
    made = []
    for place, stride in enumerate(STRIDES):
        # Without a sigmoid, so that values below 0 and above 1 have to be cut.
        made.append(planted(f"cls_{stride}", stride, 1, 1, 40 + place, GAIN))
        made.append(planted(f"obj_{stride}", stride, 1, 1, 50 + place, GAIN))
        made.append(planted(f"bbox_{stride}", stride, 1, 4, 60 + place, GAIN))
        made.append(planted(f"kps_{stride}", stride, 1, 10, 70 + place, GAIN))
    return made


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("size", [("n", "h", "w"), (1, 640, 640)])
def test_decodes_what_was_planted(
    tmp_path: Path, runtime: str, size: tuple[int | str, int | str, int | str]
) -> None:
    made = heads()
    path = build(tmp_path / "yunet.onnx", made[::-1], size=size)
    network = load_network(DetectorSettings(weights=str(path), runtime=runtime))
    image = picture(100, 150, 32, seed=3)
    (found,) = network.look([image], floor=FLOOR)

    prepared = padded(image, 64)[..., ::-1]
    by_name = {head.name: head for head in made}
    seen: list[tuple[float, list[float], list[float]]] = []
    for stride in STRIDES:
        for row in range(prepared.shape[0] // stride):
            for column in range(prepared.shape[1] // stride):
                cls, obj, box, kps = (
                    cell_values(by_name[f"{name}_{stride}"], prepared, row, column, 0)
                    for name in ("cls", "obj", "bbox", "kps")
                )
                score = math.sqrt(min(max(cls[0], 0), 1) * min(max(obj[0], 0), 1))
                if score < FLOOR:
                    continue
                cx, cy = (column + box[0]) * stride, (row + box[1]) * stride
                w, h = math.exp(box[2]) * stride, math.exp(box[3]) * stride
                points = [((column, row)[k % 2] + v) * stride for k, v in enumerate(kps)]
                seen.append((score, [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], points))
    kept = nms([box for _, box, _ in seen], [score for score, _, _ in seen], 0.3)
    assert 0 < len(kept) < len(seen), "the test has to plant doubles"
    assert len(found) == len(kept)
    np.testing.assert_allclose(found.scores, [seen[k][0] for k in kept], atol=1e-5)
    np.testing.assert_allclose(found.boxes_xyxy, [seen[k][1] for k in kept], atol=1e-2)
    np.testing.assert_allclose(
        found.landmarks_xy.reshape(len(kept), 10), [seen[k][2] for k in kept], atol=1e-2
    )


def test_missing_head_is_named(tmp_path: Path) -> None:
    path = build(tmp_path / "y.onnx", heads()[:-1])
    with pytest.raises(ConfigError, match=r"y\.onnx.*not a yunet.*cls_8 \(1, 256, 1\).*kps_S"):
        load_network(DetectorSettings(weights=str(path)))
