# SPDX-License-Identifier: Apache-2.0
"""Do small faces beside a large one explain part of "blur hardly hurts"?

The published blur takes one radius for all faces of an image, from the largest, and softens
every mask with it: a small face beside a large one keeps most of its pixels. If that is why the
published blur costs so little, it costs less than a blur of each face by itself where small
faces lie beside a large one, and no less where there is a single face.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.study.paired import percentiles, resampled_means
from veilset.study.statistics import Interval, detectable_mean, detectable_normal, t_interval

FloatMatrix = NDArray[np.float64]
BoolVector = NDArray[np.bool_]

NONE, ONE, ALIKE, SMALL = "none", "one", "alike", "small-beside-large"
GROUPS = (NONE, ONE, ALIKE, SMALL)
CUTS = (0.25, 0.5)
"""A face is small beside another if its longer side is less than this part of the other's."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference between two settings, or between two such differences, as a share.

    Attributes:
        value: The estimate.
        over_images: Bootstrap interval over images.
        over_trainings: Student's over seeds; None for one seed, or if all seeds agree.
        detectable: The least difference that the interval over images would have shown 4 times
            of 5; None where no image differs from another.
        detectable_trainings: Likewise for the interval over seeds; None where it is not known.
        n_images: How many images.
        n_seeds: How many seeds.
    """

    value: float
    over_images: Interval
    over_trainings: Interval | None
    detectable: float | None
    detectable_trainings: float | None
    n_images: int
    n_seeds: int

    @property
    def verdict(self) -> str:
        """``less`` or ``more`` if both intervals exclude 0, else ``cannot tell``."""
        both = (self.over_images, self.over_trainings)
        if all(each is not None and each.excludes_zero for each in both):
            return "more" if self.value > 0 else "less"
        return "cannot tell"


def group_of(n_faces: int, smallest_relative: float | None, cut: float = CUTS[0]) -> str:
    """Name the group of an image.

    Args:
        n_faces: How many faces it has.
        smallest_relative: Longer side of the smallest face over that of the largest; None
            without a face.
        cut: Below which a face is small beside the largest.

    Example:
        >>> [group_of(0, None), group_of(1, 1.0), group_of(2, 0.25), group_of(3, 0.2)]
        ['none', 'one', 'alike', 'small-beside-large']
    """
    if n_faces < 1 or smallest_relative is None:
        return NONE
    if n_faces == 1:
        return ONE
    return SMALL if smallest_relative < cut else ALIKE


def contrast(
    difference: ArrayLike,
    strata: ArrayLike,
    images: BoolVector,
    *,
    minus: BoolVector | None = None,
    n_resamples: int,
    rng: np.random.Generator,
) -> Contrast | None:
    """Average a difference over a group of images, or compare it between two groups.

    Args:
        difference: ``(S, N)``, for each seed and image, (right under one setting) - (right
            under the other).
        strata: ``(N,)`` integers, the class of each image.
        images: ``(N,)``, the group.
        minus: ``(N,)``, the group whose difference is taken off; no image is in both.
        n_resamples: Of the bootstrap; groups are drawn apart, images within class.
        rng: Draws them.

    Returns:
        None where a group has no image, or there is no seed.
    """
    e, classes = np.asarray(difference, dtype=np.float64), np.asarray(strata)
    n_seeds = len(e)
    groups = [(images, 1.0), *([(minus, -1.0)] if minus is not None else [])]
    if not n_seeds or not all(group.any() for group, _ in groups):
        return None
    by_seed = np.zeros(n_seeds)
    drawn = np.zeros(n_resamples)
    for group, sign in groups:
        part = e[:, group]
        by_seed += sign * part.mean(axis=1)
        drawn += sign * resampled_means(
            part.mean(axis=0), classes[group], n_resamples=n_resamples, rng=rng
        )
    return Contrast(
        value=float(by_seed.mean()),
        over_images=percentiles(drawn),
        over_trainings=t_interval(by_seed),
        detectable=detectable_normal(float(drawn.std(ddof=1))),
        detectable_trainings=detectable_mean(by_seed),
        n_images=int(sum(group.sum() for group, _ in groups)),
        n_seeds=n_seeds,
    )


@dataclass(frozen=True, slots=True)
class Explained:
    """Which part of what a full cover costs more than the published blur lies in the group.

    Attributes:
        share: (gain of the group, weighted by its images) / (all of the gain); None unless
            the interval of the denominator excludes 0.
        interval: Of the share, bootstrap over images.
        whole: The denominator: accuracy under the published blur minus that under the cover,
            over all images with faces.
        whole_interval: Of it, bootstrap over images.
        n_images: Images with faces.
        n_group: Those in the group.
    """

    share: float | None
    interval: Interval | None
    whole: float
    whole_interval: Interval
    n_images: int
    n_group: int


def explained(
    released: ArrayLike,
    per_face: ArrayLike,
    cover: ArrayLike,
    strata: ArrayLike,
    groups: Mapping[str, BoolVector],
    *,
    n_resamples: int,
    rng: np.random.Generator,
) -> Explained | None:
    """Give the share of "blur hardly hurts" that small faces beside a large one explain.

    Numerator and denominator come from the same draws of images.

    Args:
        released: ``(S, N)``, right under the published blur.
        per_face: ``(S, N)``, right under the blur of each face by itself.
        cover: ``(S, N)``, right under the full cover.
        strata: ``(N,)`` integers, the class of each image.
        groups: ``(N,)`` for ``small-beside-large`` and for ``faces``, all images with faces.
        n_resamples: Of the bootstrap.
        rng: Draws them.

    Returns:
        None where no image is in the group.
    """
    a, b, c = (np.asarray(each, dtype=np.float64) for each in (released, per_face, cover))
    faces, small = groups["faces"], groups[SMALL]
    if not len(a) or not small.any():
        return None
    in_group = np.where(small, (a - b).mean(axis=0), 0.0)[faces]
    whole = (a - c).mean(axis=0)[faces]
    # An image stays in its group when it is drawn.
    cells = 2 * np.asarray(strata)[faces] + small[faces]
    both = np.stack([in_group, whole], axis=1)
    drawn = resampled_means(both, cells, n_resamples=n_resamples, rng=rng)
    whole_interval = percentiles(drawn[:, 1])
    is_known = whole_interval.excludes_zero
    return Explained(
        share=float(in_group.mean() / whole.mean()) if is_known else None,
        interval=_ratio_interval(drawn) if is_known else None,
        whole=float(whole.mean()),
        whole_interval=whole_interval,
        n_images=int(faces.sum()),
        n_group=int(small.sum()),
    )


def _ratio_interval(drawn: FloatMatrix) -> Interval:
    # The few draws in which the whole is 0 have no ratio.
    kept = drawn[drawn[:, 1] != 0]
    return percentiles(kept[:, 0] / kept[:, 1])
