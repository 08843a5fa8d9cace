# SPDX-License-Identifier: Apache-2.0
"""Average precision of detected objects as COCO defines it, by pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchmetrics.detection import MeanAveragePrecision

from veilset.study.transfer.data.voc import CATEGORIES, Scene
from veilset.study.transfer.metrics import FoundObjects

MOST_DETECTIONS = 100
"""Of one picture; COCO's evaluator looks at no more."""


@dataclass(frozen=True, slots=True)
class CocoPrecision:
    """Average precisions in [0, 1].

    Attributes:
        at_50: Mean over the categories that occur, at an IoU of 0.5, 101 points.
        mean: The same, and over the IoUs 0.5, 0.55, ..., 0.95: COCO's own number.
        each_at_50: Of each category of ``voc.CATEGORIES``, None for one that does not occur.
    """

    at_50: float
    mean: float
    each_at_50: tuple[float | None, ...]


def coco_precision(scenes: Sequence[Scene], found: Sequence[FoundObjects]) -> CocoPrecision:
    """Measure detections; ``difficult`` objects are given as crowds, which nothing counts.

    Args:
        scenes: The pictures and what is in them.
        found: One row for each of them, in the same order.
    """
    metric = MeanAveragePrecision(
        iou_type="bbox",
        backend="pycocotools",
        # Its own are rounded to 32 bits, so that a recall of exactly 0.3 misses the point 0.3.
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0.0, 1.0, 101).tolist(),
        extended_summary=True,
        max_detection_thresholds=[1, 10, MOST_DETECTIONS],
    )
    metric.warn_on_many_detections = False
    for scene, row in zip(scenes, found, strict=True):
        metric.update([_predicted(row)], [_target(scene)])
    summary = metric.compute()
    # Axes: IoU, recall, category, area, number of detections; -1 where nothing occurs.
    precision = summary["precision"][:, :, :, 0, -1].numpy()
    by_category = precision.mean(axis=1)
    classes = [int(category) for category in np.atleast_1d(summary["classes"].numpy())]
    known = {
        category: by_category[:, column]
        for column, category in enumerate(classes)
        if (precision[:, :, column] > -1).all()
    }
    each = tuple(
        float(known[category][0]) if category in known else None
        for category in range(len(CATEGORIES))
    )
    at_all = np.stack(list(known.values())) if known else np.zeros((1, 10))
    return CocoPrecision(float(at_all[:, 0].mean()), float(at_all.mean()), each)


def _predicted(row: FoundObjects) -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.from_numpy(row.boxes_xyxy.astype(np.float32)),
        "scores": torch.from_numpy(row.scores.astype(np.float32)),
        "labels": torch.from_numpy(row.categories),
    }


def _target(scene: Scene) -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.from_numpy(scene.boxes_xyxy.astype(np.float32)),
        "labels": torch.from_numpy(scene.categories),
        "iscrowd": torch.from_numpy(scene.difficult.astype(np.int64)),
    }
