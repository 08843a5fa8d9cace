# SPDX-License-Identifier: Apache-2.0
"""Our IoU against pycocotools, our suppression against OpenCV: independent codes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from veilset.boxes import iou, nms
from veilset.detect.candidates import Candidates, suppress
from veilset.types import FloatBoxes


def crowd(seed: int, n: int) -> FloatBoxes:
    """Boxes that overlap a lot, at fractions of a pixel."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-5, 60, size=(n, 2))
    return np.concatenate([corner, corner + rng.uniform(0.5, 40, size=(n, 2))], axis=1)


def xywh(boxes: FloatBoxes) -> FloatBoxes:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_iou_is_that_of_coco(seed: int) -> None:
    a, b = crowd(seed, 60), crowd(seed + 100, 40)
    expected = coco.iou(xywh(a), xywh(b), [0] * len(b))
    assert (expected > 0.2).sum() > 50, "the boxes have to overlap"
    np.testing.assert_allclose(iou(a, b), expected, atol=1e-12)


@pytest.mark.parametrize("threshold", [0.2, 0.3, 0.45, 0.5, 0.7])
@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_that_of_opencv(seed: int, threshold: float) -> None:
    boxes = crowd(seed, 150)
    scores = np.random.default_rng(seed).permutation(150) / 150 + 0.001
    expected = cv2.dnn.NMSBoxes(xywh(boxes).tolist(), scores.tolist(), 0.0, threshold)
    kept = nms(boxes, scores, threshold)
    assert 5 < len(kept) < 150
    assert kept.tolist() == np.asarray(expected).reshape(-1).tolist()
    order = np.argsort(-scores, kind="stable")
    seen = Candidates(boxes[order], scores[order], np.zeros((150, 0, 2)))
    np.testing.assert_array_equal(suppress(seen, threshold).boxes_xyxy, boxes[kept])
