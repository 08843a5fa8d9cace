# SPDX-License-Identifier: Apache-2.0
"""Drops of categories, and how they go with what obfuscation covers of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.study.scores import Question, Scores
from veilset.study.statistics import Interval, t_interval

FloatMatrix = NDArray[np.float64]
FloatVector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CategoryDrops:
    """A metric of every category in two settings, averaged over networks.

    Attributes:
        metric: ``top1``, ``top5`` or ``ap``.
        before: ``(S, K)``, of the reference, for each seed.
        after: ``(S, K)``, of the setting.
    """

    metric: str
    before: FloatMatrix
    after: FloatMatrix

    @property
    def drop(self) -> FloatVector:
        """``(K,)``, mean over seeds; positive is worse."""
        difference: FloatVector = (self.before - self.after).mean(axis=0)
        return difference


@dataclass(frozen=True, slots=True)
class Bin:
    """Categories whose share lies in ``[low, high)``.

    Attributes:
        low: Lower end, in [0, 1].
        high: Upper end; the last bin includes it.
        n: How many categories.
        mean: Their mean drop; None without any.
        interval: Student's over categories; None for fewer than two, or if all are alike.
    """

    low: float
    high: float
    n: int
    mean: float | None
    interval: Interval | None


def category_drops(
    scores: Scores, reference: Question, setting: Question, metric: str
) -> CategoryDrops | None:
    """Give the drop of every category.

    The mean over networks comes first, then that over seeds, as in the released analysis;
    only seeds count of which every network has both runs.

    Returns:
        None where there is no such seed, or the metric is not known.
    """
    seeds = scores.seeds(scores.networks, (reference, setting))
    before = scores.by_class(reference, seeds, metric)
    after = scores.by_class(setting, seeds, metric)
    if not seeds or before is None or after is None:
        return None
    return CategoryDrops(metric, before, after)


def binned(shares: ArrayLike, drops: ArrayLike, edges: Sequence[float]) -> list[Bin]:
    """Group categories by a share and average their drops.

    Args:
        shares: ``(K,)`` in [0, 1]; NaN leaves a category out.
        drops: ``(K,)``; NaN leaves it out.
        edges: Rising; each bin begins at one and ends before the next, the last includes it.

    Example:
        >>> found = binned([0.0, 0.005, 0.5], [0.1, 0.3, 0.4], (0, 0.01, 1))
        >>> [(each.n, each.mean) for each in found]
        [(2, 0.2), (1, 0.4)]
    """
    x, y = np.asarray(shares, dtype=np.float64), np.asarray(drops, dtype=np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    bins = []
    for low, high in pairwise(edges):
        below = x <= high if high == edges[-1] else x < high
        inside = y[known & (x >= low) & below]
        mean = float(inside.mean()) if inside.size else None
        interval = t_interval(inside) if inside.size else None
        bins.append(Bin(low, high, int(inside.size), mean, interval))
    return bins


def means_by_class(values: ArrayLike, labels: ArrayLike, n_classes: int) -> FloatVector:
    """Give the mean of a quantity over the images of each class that have it.

    Args:
        values: ``(N,)``; NaN where an image has none.
        labels: ``(N,)`` integers.
        n_classes: K.

    Returns:
        ``(K,)``; NaN for a class of which no image has it.

    Example:
        >>> means_by_class([1.0, 3.0, float("nan")], [0, 0, 1], 2).tolist()
        [2.0, nan]
    """
    x, classes = np.asarray(values, dtype=np.float64), np.asarray(labels)
    known = np.isfinite(x)
    counts = np.bincount(classes[known], minlength=n_classes)
    sums = np.bincount(classes[known], x[known], minlength=n_classes)
    unknown: FloatVector = np.full(n_classes, np.nan)
    return np.divide(sums, counts, out=unknown, where=counts > 0)
