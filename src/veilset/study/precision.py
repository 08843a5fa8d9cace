# SPDX-License-Identifier: Apache-2.0
"""Average precision of scores, one class against the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import DatasetError


def average_precision(positive: ArrayLike, scores: ArrayLike) -> float | None:
    """Give the average precision, ``sum_n (R_n - R_(n-1)) P_n`` over the distinct scores.

    That is scikit-learn's ``average_precision_score``, which the released code of the face
    study uses: no interpolation, and images of one score enter together, in no order.

    Args:
        positive: ``(N,)`` bool, which images are of the class.
        scores: ``(N,)`` float, higher is more likely of the class; its logit.

    Returns:
        In [0, 1]; None if no image is of the class.

    Raises:
        DatasetError: If a score is not a number.

    Example:
        >>> average_precision([True, False, True], [3.0, 2.0, 1.0])  # (1 + 2 / 3) / 2
        0.8333333333333333
    """
    is_positive = np.asarray(positive, dtype=np.bool_)
    ranked = np.asarray(scores)
    if np.isnan(ranked).any():
        raise DatasetError("A score is not a number. Train that run anew.")
    n_positive = int(is_positive.sum())
    if not n_positive:
        return None
    order = np.argsort(-ranked, kind="stable")
    ranked = ranked[order]
    hits = np.cumsum(is_positive[order])
    # The last image of each distinct score: all that share it are taken together.
    ends = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    hits_at = hits[ends]
    gained = np.diff(hits_at, prepend=0) / n_positive
    return float(np.sum(gained * hits_at / (ends + 1)))


def average_precisions(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Give the average precision of every class.

    Args:
        labels: ``(N,)`` integers in [0, K).
        scores: ``(N, K)``, the logits.

    Returns:
        ``(K,)`` in [0, 1]; NaN for a class without an image.

    Example:
        >>> average_precisions([0, 1], [[2.0, 1.0], [1.0, 3.0]]).tolist()
        [1.0, 1.0]
    """
    truth, logits = np.asarray(labels), np.asarray(scores)
    found = (average_precision(truth == k, logits[:, k]) for k in range(logits.shape[1]))
    return np.array([np.nan if each is None else each for each in found])


def rank_hits(
    labels: ArrayLike, top: ArrayLike, n_classes: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Give which images have their class first, and which among the first five.

    Args:
        labels: ``(N,)`` integers.
        top: ``(N, min(5, K))`` classes, the likeliest first.
        n_classes: K.

    Returns:
        Two ``(N,)`` bool; the second None where there are no more than five classes: all
        would be right.

    Example:
        >>> first, five = rank_hits([2, 0], [[2, 1, 0, 3, 4], [3, 1, 2, 4, 0]], 6)
        >>> first.tolist(), five.tolist()
        ([True, False], [True, True])
    """
    truth, ranked = np.asarray(labels), np.asarray(top)
    first = ranked[:, 0] == truth
    among = (ranked[:, :5] == truth[:, None]).any(axis=1) if n_classes > 5 else None
    return first, among
