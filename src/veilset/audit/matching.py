# SPDX-License-Identifier: Apache-2.0
"""Which reviewed regions the detections of an image find, and which they protect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import iou, outer_pixels
from veilset.types import FloatBoxes

Flags = NDArray[np.bool_]


def found_by(reference_xyxy: FloatBoxes, detected_xyxy: FloatBoxes, least_iou: float) -> Flags:
    """Tell which reference regions a detection finds; a detection finds one at most.

    The strongest detection chooses first, the free reference region that it overlaps most.

    Args:
        reference_xyxy: ``(N, 4)``, pixels.
        detected_xyxy: ``(M, 4)``, pixels, by falling score.
        least_iou: The least IoU of a find, above 0.

    Returns:
        ``(N,)`` bool.

    Example:
        >>> reference = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]])
        >>> found_by(reference, np.array([[1.0, 0, 11, 10], [0, 0, 9, 10]]), 0.5).tolist()
        [True, False]
    """
    found = np.zeros(len(reference_xyxy), dtype=np.bool_)
    if not len(reference_xyxy) or not len(detected_xyxy):
        return found
    for overlaps in iou(detected_xyxy, reference_xyxy):
        free = np.where(found, 0.0, overlaps)
        best = int(free.argmax())
        if free[best] >= least_iou:
            found[best] = True
    return found


def protected_by(
    reference_xyxy: FloatBoxes,
    detected_xyxy: FloatBoxes,
    size_wh: tuple[int, int],
    least_share: float,
) -> Flags:
    """Tell which reference regions lie under the union of the detections.

    Args:
        reference_xyxy: ``(N, 4)``, pixels; rounded outward and cut to the image.
        detected_xyxy: ``(M, 4)``, pixels; likewise. Obfuscation covers at least these.
        size_wh: Width and height of the image in pixels.
        least_share: The least share of a region's pixels that has to be covered, above 0.

    Returns:
        ``(N,)`` bool; a region outside the image is not protected.

    Example:
        >>> halves = np.array([[0.0, 0, 5, 10], [5, 0, 10, 10]])
        >>> protected_by(np.array([[0.0, 0, 10, 10]]), halves, (40, 40), 0.9).tolist()
        [True]
    """
    inner = outer_pixels(reference_xyxy, size_wh)
    covers = outer_pixels(detected_xyxy, size_wh)
    shares = np.zeros(len(inner))
    for i, (x0, y0, x1, y1) in enumerate(inner):
        if x0 >= x1 or y0 >= y1:
            continue
        mask = np.zeros((y1 - y0, x1 - x0), dtype=np.bool_)
        for cx0, cy0, cx1, cy1 in np.clip(covers - [x0, y0, x0, y0], 0, None):
            mask[cy0:cy1, cx0:cx1] = True
        shares[i] = mask.mean()
    return shares >= least_share
