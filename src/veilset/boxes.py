# SPDX-License-Identifier: Apache-2.0
"""Pure arithmetic on boxes: ``x0 y0 x1 y1``, pixels, half-open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import BoxError
from veilset.types import FloatBoxes, IntBoxes, Mask, Region


def check_boxes_xyxy(boxes_xyxy: ArrayLike) -> FloatBoxes:
    """Give the boxes as an ``(N, 4)`` float64 array, or say what is wrong with them.

    Args:
        boxes_xyxy: Anything that NumPy reads as ``(N, 4)`` numbers; ``[]`` gives ``(0, 4)``.

    Raises:
        BoxError: On another shape, a value that is not finite, ``x0 > x1`` or ``y0 > y1``.

    Example:
        >>> check_boxes_xyxy([]).shape
        (0, 4)
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4), dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise BoxError(f"Boxes have shape {boxes.shape}. Expected (N, 4): x0 y0 x1 y1 in pixels.")
    if not np.isfinite(boxes).all():
        raise BoxError("A box holds a value that is not finite. Remove it or repair its source.")
    turned = (boxes[:, 0] > boxes[:, 2]) | (boxes[:, 1] > boxes[:, 3])
    if turned.any():
        row = int(np.flatnonzero(turned)[0])
        raise BoxError(
            f"Box {row} is turned inside out: {boxes[row].tolist()}. "
            "Boxes are x0 y0 x1 y1 in pixels, x0 <= x1 and y0 <= y1."
        )
    return boxes


def region_boxes(regions: Sequence[Region]) -> FloatBoxes:
    """Give the boxes of regions as one ``(N, 4)`` array, in the order of the regions.

    Example:
        >>> region_boxes([Region((1, 2, 3, 4))]).tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """
    return check_boxes_xyxy([region.box_xyxy for region in regions])


def clip(boxes_xyxy: ArrayLike, size_wh: tuple[int, int]) -> FloatBoxes:
    """Cut boxes to the image; a box outside comes back with zero area, it is never dropped.

    Args:
        boxes_xyxy: ``(N, 4)``, pixels.
        size_wh: Width and height of the image in pixels.

    Returns:
        ``(N, 4)`` float64, row ``i`` still speaks of box ``i``.

    Example:
        >>> clip([[-2.0, 1.0, 9.5, 3.0]], size_wh=(8, 6)).tolist()
        [[0.0, 1.0, 8.0, 3.0]]
    """
    width, height = size_wh
    return np.clip(check_boxes_xyxy(boxes_xyxy), 0.0, [width, height, width, height])


def outer_pixels(boxes_xyxy: ArrayLike, size_wh: tuple[int, int]) -> IntBoxes:
    """Round boxes outward to whole pixels, so that no touched pixel is left out.

    Row ``i`` still speaks of box ``i``: a box outside the image comes back with zero
    area, it is never dropped. A box inside the image without area (a point or a line)
    comes back as the pixels that it touches, so that even it is hidden.

    Args:
        boxes_xyxy: ``(N, 4)``, pixels.
        size_wh: Width and height of the image in pixels.

    Returns:
        ``(N, 4)`` int64, half-open: use as ``image[y0:y1, x0:x1]``.

    Raises:
        BoxError: If the boxes are malformed.

    Example:
        >>> outer_pixels([[0.2, 1.0, 3.1, 9.0]], size_wh=(8, 6)).tolist()
        [[0, 1, 4, 6]]
        >>> outer_pixels([[3.0, 2.0, 3.0, 2.0]], size_wh=(8, 6)).tolist()
        [[3, 2, 4, 3]]
    """
    boxes = check_boxes_xyxy(boxes_xyxy)
    width, height = size_wh
    low = np.floor(boxes[:, :2])
    high = np.maximum(np.ceil(boxes[:, 2:]), low + 1)
    outer = np.concatenate([low, high], axis=1)
    limit = np.array([width, height, width, height])
    pixels: IntBoxes = np.clip(outer, 0, limit).astype(np.int64)
    return pixels


def areas(boxes_xyxy: ArrayLike) -> NDArray[np.float64]:
    """Give the area of each box in square pixels, ``(N,)``.

    Example:
        >>> areas([[0, 0, 2, 3]]).tolist()
        [6.0]
    """
    boxes = check_boxes_xyxy(boxes_xyxy)
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1])


def enlarge(boxes_xyxy: ArrayLike, by_fraction: float) -> FloatBoxes:
    """Push every side outward by a fraction of the box's own width or height.

    Args:
        boxes_xyxy: ``(N, 4)``, pixels.
        by_fraction: 0.1 adds a tenth of the width on the left and another on the right;
            at least 0.

    Returns:
        ``(N, 4)`` float64, not cut to any image.

    Raises:
        BoxError: If ``by_fraction`` is negative or not finite.

    Example:
        >>> enlarge([[10, 10, 20, 30]], 0.1).tolist()
        [[9.0, 8.0, 21.0, 32.0]]
    """
    if not (np.isfinite(by_fraction) and by_fraction >= 0):
        raise BoxError(f"Cannot enlarge by {by_fraction}. Give a fraction of at least 0.")
    boxes = check_boxes_xyxy(boxes_xyxy)
    margin = (boxes[:, 2:] - boxes[:, :2]) * by_fraction
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


def intersections(a_xyxy: ArrayLike, b_xyxy: ArrayLike) -> NDArray[np.float64]:
    """Give the shared area of every pair, ``(N, M)`` square pixels.

    Example:
        >>> intersections([[0, 0, 4, 4]], [[2, 2, 6, 6]]).tolist()
        [[4.0]]
    """
    a, b = check_boxes_xyxy(a_xyxy), check_boxes_xyxy(b_xyxy)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(high - low, 0.0, None)
    return np.asarray(sides[..., 0] * sides[..., 1])


def iou(a_xyxy: ArrayLike, b_xyxy: ArrayLike) -> NDArray[np.float64]:
    """Give the intersection over union of every pair, ``(N, M)`` in [0, 1].

    Two boxes without area have an IoU of 0, also with themselves.

    Example:
        >>> iou([[0, 0, 4, 4]], [[0, 0, 4, 2]]).tolist()
        [[0.5]]
    """
    shared = intersections(a_xyxy, b_xyxy)
    union = areas(a_xyxy)[:, None] + areas(b_xyxy)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def nms(boxes_xyxy: ArrayLike, scores: ArrayLike, iou_threshold: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression: keep the strongest, drop what overlaps it.

    Args:
        boxes_xyxy: ``(N, 4)``, pixels.
        scores: ``(N,)``; equal scores keep their order.
        iou_threshold: A box is dropped if its IoU with a kept one is above this.

    Returns:
        Indices of the kept boxes, ``(K,)`` int64, by falling score.

    Example:
        >>> nms([[0, 0, 4, 4], [0, 0, 4, 3.9], [8, 8, 9, 9]], [0.5, 0.9, 0.1], 0.5).tolist()
        [1, 2]
    """
    boxes = check_boxes_xyxy(boxes_xyxy)
    strength = np.asarray(scores, dtype=np.float64).reshape(-1)
    if strength.shape[0] != boxes.shape[0]:
        raise BoxError(f"{boxes.shape[0]} boxes came with {strength.shape[0]} scores.")
    order = np.argsort(-strength, kind="stable")
    kept: list[int] = []
    while order.size:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        if order.size:
            order = order[iou(boxes[best : best + 1], boxes[order])[0] <= iou_threshold]
    return np.asarray(kept, dtype=np.int64)


def union_mask(boxes_xyxy: ArrayLike, size_wh: tuple[int, int]) -> Mask:
    """Mark every pixel that a box touches, ``(H, W)`` bool.

    Example:
        >>> int(union_mask([[0.5, 0.5, 1.5, 1.5]], size_wh=(4, 4)).sum())
        4
    """
    width, height = size_wh
    mask = np.zeros((height, width), dtype=np.bool_)
    for x0, y0, x1, y1 in outer_pixels(boxes_xyxy, size_wh):
        mask[y0:y1, x0:x1] = True
    return mask
