# SPDX-License-Identifier: Apache-2.0
"""Which boxes of two sets speak of the same region."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.boxes import check_boxes_xyxy, iou

_ROWS = 512
"""Boxes that are compared with all others at once, which bounds the memory."""


def match_boxes(
    a_xyxy: ArrayLike,
    b_xyxy: ArrayLike,
    least_iou: float = 0.5,
    may_match: NDArray[np.bool_] | None = None,
) -> list[tuple[int, int]]:
    """Pair boxes one to one, those with the largest IoU first.

    Where all boxes of a set are apart from each other and ``least_iou`` is at least 0.5,
    no other pairing exists. Turning the two sets round turns the pairs round.

    Args:
        a_xyxy: ``(N, 4)``, pixels.
        b_xyxy: ``(M, 4)``, pixels.
        least_iou: Pairs below are none, above 0.
        may_match: ``(N, M)``, which pairs are allowed; all if not given.

    Returns:
        Pairs of a place in ``a`` and one in ``b``, by falling IoU.

    Example:
        >>> match_boxes([[0, 0, 4, 4], [9, 9, 12, 12]], [[9, 9, 12, 13], [50, 50, 60, 60]])
        [(1, 0)]
    """
    a, b = check_boxes_xyxy(a_xyxy), check_boxes_xyxy(b_xyxy)
    found = []
    for start in range(0, len(a), _ROWS):
        overlap = iou(a[start : start + _ROWS], b)
        is_pair = overlap >= least_iou
        if may_match is not None:
            is_pair &= may_match[start : start + _ROWS]
        first, second = np.nonzero(is_pair)
        values = overlap[first, second]
        rows = zip(values.tolist(), (first + start).tolist(), second.tolist(), strict=True)
        found += [(-value, sorted([a[i].tolist(), b[j].tolist()]), i, j) for value, i, j in rows]
    pairs: list[tuple[int, int]] = []
    used_a: set[int] = set()
    used_b: set[int] = set()
    for _, _, i, j in sorted(found):
        if i not in used_a and j not in used_b:
            pairs.append((i, j))
            used_a.add(i)
            used_b.add(j)
    return pairs
