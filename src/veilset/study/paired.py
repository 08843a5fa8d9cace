# SPDX-License-Identifier: Apache-2.0
"""Drops in accuracy with two intervals, for the two things that are left to chance.

Over trainings: other seeds would have given other weights. With three seeds this interval is
wide, and it is the honest one for "training on these pictures costs so much". Over images:
other test images of the same classes would have been other tests. It says nothing of other
trainings, and is too narrow by itself where seeds differ. A drop is called resolved only if
both exclude 0. Seeds that all agree, and images of which every draw is the same, do not tell how
much is left to chance: then it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.study.statistics import (
    Interval,
    detectable_mean,
    detectable_normal,
    t_interval,
    t_test,
)

FloatMatrix = NDArray[np.float64]

_CHUNK = 2_000_000
"""Draws held at a time."""


@dataclass(frozen=True, slots=True)
class Drop:
    """What a setting costs, as a share: positive is worse than the reference.

    Attributes:
        drop: Accuracy of the reference minus that of the setting, in [-1, 1].
        over_trainings: Student's interval over seeds; None with a single seed, or if all drops
            are alike.
        p: Of a paired t test over seeds; None with one seed, or if all drops are alike.
        over_images: Bootstrap interval over images, within class; None without images.
        detectable_trainings: The least drop that the interval over trainings would have shown
            4 times of 5, from the same standard error; None where that is not known.
        detectable_images: Likewise for the interval over images.
        n_images: How many images.
        n_seeds: How many seeds both sides have.
    """

    drop: float
    over_trainings: Interval | None
    p: float | None
    over_images: Interval | None
    detectable_trainings: float | None
    detectable_images: float | None
    n_images: int
    n_seeds: int

    @property
    def is_resolved(self) -> bool:
        """Whether both intervals are there and exclude 0; then there is a p too."""
        both = (self.over_trainings, self.over_images)
        return all(each is not None and each.excludes_zero for each in both)


def paired_drop(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    strata: ArrayLike,
    *,
    n_resamples: int,
    rng: np.random.Generator,
) -> Drop | None:
    """Give what b costs against a, from the same images and the same seeds.

    Args:
        correct_a: ``(S, N)``, for each seed and image 1 where it is right; or, averaged over
            networks, the share of them that are. The reference.
        correct_b: ``(S, N)``, likewise, rows of the same seeds.
        strata: ``(N,)`` integers, the class of each image: images are drawn within it.
        n_resamples: Of the bootstrap.
        rng: Draws them.

    Returns:
        None if there is no seed, or no image.

    Example:
        >>> a, b = [[1, 1, 1, 0]], [[1, 0, 0, 0]]
        >>> found = paired_drop(a, b, [0, 0, 1, 1], n_resamples=1000,
        ...                     rng=np.random.default_rng(1))
        >>> found.drop, found.over_trainings, found.over_images
        (0.5, None, Interval(low=0.0, high=1.0))
    """
    differences = np.asarray(correct_a, dtype=np.float64) - np.asarray(correct_b, dtype=np.float64)
    n_seeds, n_images = differences.shape
    if not n_seeds or not n_images:
        return None
    by_seed = differences.mean(axis=1)
    drawn = resampled_means(differences.mean(axis=0), strata, n_resamples=n_resamples, rng=rng)
    return Drop(
        drop=float(by_seed.mean()),
        over_trainings=t_interval(by_seed),
        p=t_test(by_seed),
        over_images=percentiles(drawn),
        detectable_trainings=detectable_mean(by_seed),
        detectable_images=detectable_normal(float(drawn.std(ddof=1))),
        n_images=n_images,
        n_seeds=n_seeds,
    )


def resampled_means(
    values: ArrayLike, strata: ArrayLike, *, n_resamples: int, rng: np.random.Generator
) -> FloatMatrix:
    """Draw images with replacement, within each class, and give the mean of each draw.

    Within a class only the number of images of each distinct value matters, and that is
    multinomial: no image is drawn by itself, and memory does not grow with them.

    Args:
        values: ``(N,)``, or ``(N, q)`` for q quantities of the same draws.
        strata: ``(N,)`` integers; as many images are drawn of each as it has. One with a
            single image cannot vary.
        n_resamples: How many draws, B.
        rng: Draws them.

    Returns:
        ``(B,)``, or ``(B, q)``.
    """
    rows = np.asarray(values, dtype=np.float64)
    table = rows.reshape(len(rows), -1)
    classes = np.asarray(strata)
    total = np.zeros((n_resamples, table.shape[1]))
    for stratum in np.unique(classes):
        members = table[classes == stratum]
        distinct, counts = np.unique(members, axis=0, return_counts=True)
        if len(distinct) == 1:
            total += distinct[0] * len(members)
            continue
        step = max(1, _CHUNK // len(distinct))
        for start in range(0, n_resamples, step):
            n_drawn = min(step, n_resamples - start)
            drawn = rng.multinomial(len(members), counts / len(members), size=n_drawn)
            total[start : start + n_drawn] += drawn @ distinct
    means = total / len(table)
    return means[:, 0] if rows.ndim == 1 else means


def percentiles(drawn: ArrayLike) -> Interval:
    """Give the middle 95 % of some draws.

    Example:
        >>> percentiles(range(101))
        Interval(low=2.5, high=97.5)
    """
    low, high = np.quantile(np.asarray(drawn, dtype=np.float64), (0.025, 0.975))
    return Interval(float(low), float(high))
