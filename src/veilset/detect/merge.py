# SPDX-License-Identifier: Apache-2.0
"""Several looks at the same image become one list without doubles.

Boxes that speak of the same face are averaged, weighted by their scores (Solovyev, Wang &
Gabruseva 2021, "Weighted boxes fusion") and by how many pixels the look had for them. The
scores are combined as ``1 - prod(1 - s)`` over the looks: every look that also saw the
face adds evidence. What the silence of a look says depends on the size of the face and is
left to ``calibration``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import nms
from veilset.detect.candidates import Candidates

SAME_FACE_IOU = 0.45
"""From this overlap on, boxes of different looks are taken for the same face."""

_SHARP_PX = 24.0
"""Below this size in the look, in pixels, the error of a side is a fixed number of the
look's pixels, so that a box is worth less the smaller the look showed it."""

_IntRows = NDArray[np.int64]


def merge(
    looks: Sequence[Candidates],
    scales: Sequence[float] | None = None,
    *,
    same_face_iou: float = SAME_FACE_IOU,
) -> Candidates:
    """Merge the candidates of several looks, all in pixels of the same image.

    The order of the looks and of the candidates within a look does not matter, and
    merging the result again changes nothing.

    Args:
        looks: What each look saw.
        scales: Pixels of each look for a pixel of the image; None if all had the same.
        same_face_iou: Boxes with at least this IoU to the strongest one speak of its face.

    Returns:
        Candidates by falling score, no two with an IoU above ``same_face_iou``. Their
        score is ``1 - prod(1 - s)`` over the looks, ``s`` being the strongest score that
        a look gave to the face; their landmarks are those of the strongest look.

    Example:
        >>> one = Candidates(np.array([[0.0, 0, 10, 10]]), np.array([0.5]), np.zeros((1, 0, 2)))
        >>> merge([one, one]).scores.tolist()
        [0.75]
    """
    filled = [(place, look) for place, look in enumerate(looks) if len(look)]
    if not filled:
        return Candidates.none(looks[0].landmarks_xy.shape[1] if looks else 5)
    pool = Candidates(
        np.concatenate([look.boxes_xyxy for _, look in filled]),
        np.concatenate([look.scores for _, look in filled]),
        np.concatenate([look.landmarks_xy for _, look in filled]),
    )
    source = np.concatenate([np.full(len(look), place) for place, look in filled])
    scale = np.concatenate(
        [np.full(len(look), (scales or [1.0] * len(looks))[place]) for place, look in filled]
    )
    # Equal scores are ordered by the box, so that the order of the looks decides nothing.
    order = np.lexsort((*pool.boxes_xyxy.T, -pool.scores))
    pool, source = pool.pick(order), source[order]
    sides = pool.boxes_xyxy[:, 2:] - pool.boxes_xyxy[:, :2]
    shown_px = np.sqrt(np.prod(np.maximum(sides, 0.0), axis=1)) * scale[order]
    weights = pool.scores * np.clip(shown_px, 4.0, _SHARP_PX)
    groups = _groups(pool.boxes_xyxy, source, same_face_iou)
    together = Candidates(
        np.stack([_mean_box(pool.boxes_xyxy[rows], weights[rows]) for rows in groups]),
        np.array([_any_of(pool.scores[rows]) for rows in groups]),
        # Means of points would mix up looks that were turned: the left eye of one may be
        # the right eye of another.
        pool.landmarks_xy[[rows[0] for rows in groups]],
    )
    return together.pick(nms(together.boxes_xyxy, together.scores, same_face_iou))


def _groups(
    boxes_xyxy: NDArray[np.float64], source: _IntRows, same_face_iou: float
) -> list[_IntRows]:
    """Gather around each strongest free box what overlaps it: the best row of each look."""
    free = np.ones(len(boxes_xyxy), dtype=np.bool_)
    groups = []
    for seed in range(len(boxes_xyxy)):
        if not free[seed]:
            continue
        near = np.flatnonzero(free)
        near = near[_overlaps(boxes_xyxy[seed], boxes_xyxy[near]) >= same_face_iou]
        # A box without area does not overlap itself. Another box of the seed's own look
        # is another face (its look kept both) and stays free; the final suppression
        # takes it if it is too near.
        near = np.append(seed, near[source[near] != source[seed]])
        free[near] = False
        _, first = np.unique(source[near], return_index=True)
        groups.append(near[np.sort(first)])
    return groups


def _overlaps(
    box_xyxy: NDArray[np.float64], boxes_xyxy: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the IoU of one box with many, ``(N,)``: the inner loop, so without checks."""
    low = np.maximum(box_xyxy[:2], boxes_xyxy[:, :2])
    sides = np.clip(np.minimum(box_xyxy[2:], boxes_xyxy[:, 2:]) - low, 0.0, None)
    shared = sides[:, 0] * sides[:, 1]
    areas = np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1)
    union = np.prod(box_xyxy[2:] - box_xyxy[:2]) + areas - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def _mean_box(boxes_xyxy: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(boxes_xyxy) == 1:  # kept to the bit, so that merging again changes nothing
        return np.asarray(boxes_xyxy[0])
    total = weights.sum()
    shares = weights / total if total > 0 else np.full(len(weights), 1 / len(weights))
    return np.asarray(shares @ boxes_xyxy)


def _any_of(scores: NDArray[np.float64]) -> float:
    return float(scores[0]) if len(scores) == 1 else float(1 - np.prod(1 - scores))
