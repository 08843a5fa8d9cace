# SPDX-License-Identifier: Apache-2.0
"""How far two sets of pictures are from each other, by the features of a network.

Both numbers depend on that network: with another one than Inception's of 2015 they are not the FID
and the KID of papers, and comparable with each other only. Intervals come from a jackknife that
leaves out people, so that pictures of one person stay together. A bootstrap would not do: faces
that are drawn twice make a set narrower, and every draw lies farther away than the sets do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from veilset.errors import ConfigError
from veilset.types import Direction, Measurement

Features = NDArray[np.float64]
"""``(N, D)``."""

Groups = NDArray[np.int64]
"""``(N,)``, the number of the group of each row, from 0 on."""

Without = Callable[[int | None], float]
"""Gives a distance without one of the groups, or, for None, of all rows."""

N_GROUPS = 40
"""Groups of people of the jackknife, at most."""

T_95 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622, 2.2281, 2.201, 2.1788,
    2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.093, 2.086, 2.0796, 2.0739, 2.0687, 2.0639,
    2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423, 2.0395, 2.0369, 2.0345, 2.0322, 2.0301, 2.0281,
    2.0262, 2.0244, 2.0227,
)  # fmt: skip
"""The 97.5 % quantiles of Student's t, from one degree of freedom to ``N_GROUPS - 1``."""

_ROWS = 512
"""Rows of a kernel matrix that are held at a time."""


def frechet_distance(a: Features, b: Features) -> float:
    """Give the Fréchet distance of two Gaussians with the means and covariances of features.

    ``|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`` (Heusel et al. 2017, arXiv:1706.08500,
    equation 6). With fewer pictures than some ten thousand it is biased upward: the same number
    of pictures on both sides makes it comparable, nothing makes it right.

    Args:
        a: Features, N at least 2.
        b: As many, row by row of the same face.

    Raises:
        ConfigError: If the shapes differ or there are fewer than two rows.

    Example:
        >>> rows = np.array([[0.0], [2.0]])
        >>> round(frechet_distance(rows, rows + 3), 6)
        9.0
    """
    _check(a, b)
    (mean_a, root_a), (mean_b, root_b) = _moments(a), _moments(b)
    away = mean_a - mean_b
    # tr((C_a C_b)^(1/2)) is the sum of the singular values of the product of the two roots.
    shared = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    value = away @ away + (root_a**2).sum() + (root_b**2).sum() - 2 * shared
    return float(max(value, 0.0))


def frechet_without(a: Features, b: Features, groups: Groups) -> Without:
    """Give what computes ``frechet_distance`` without a group.

    Args:
        a, b: As ``frechet_distance``.
        groups: Without any of them two rows are left.

    Raises:
        ConfigError: As ``frechet_distance``.
    """
    _check(a, b)

    def without(group: int | None) -> float:
        kept = np.arange(len(a)) if group is None else np.flatnonzero(groups != group)
        return frechet_distance(a[kept], b[kept])

    return without


def kernel_distance(a: Features, b: Features) -> float:
    """Give the squared maximum mean discrepancy with the kernel ``(x·y / D + 1)³``.

    The estimator without bias of Binkowski et al. 2018 (arXiv:1801.01401), which papers call KID:
    right for few pictures too; it may fall below 0. Rows of the same face in both sets are
    left out as pairs, as a face is with itself.

    Args:
        a, b: As ``frechet_distance``.

    Raises:
        ConfigError: As ``frechet_distance``.
    """
    return kernel_without(a, b, np.zeros(len(a), np.int64))(None)


def kernel_without(a: Features, b: Features, groups: Groups) -> Without:
    """Give what computes ``kernel_distance`` without a group; the kernel is computed once.

    Args:
        a, b, groups: As ``frechet_without``.

    Raises:
        ConfigError: As ``frechet_distance``.
    """
    _check(a, b)
    sums, counts = _sums_of_pairs(a, b, groups), np.bincount(groups)

    def without(group: int | None) -> float:
        kept = np.array([each for each in range(len(counts)) if each != group])
        n = counts[kept].sum()
        return float(sums[np.ix_(kept, kept)].sum() / (n * (n - 1)))

    return without


def measure_distance(
    title: str,
    distance: Callable[[Features, Features, Groups], Without],
    a: Features,
    b: Features,
    people: Sequence[int],
) -> Measurement:
    """Give a distance with the 95 % interval of a jackknife over people.

    People are dealt out in turn, in the order of their numbers, to ``N_GROUPS`` groups, or to as
    many as there are people. The distance is computed without each group, and how far these values
    lie apart gives the interval, by Student's t (the delete-a-group jackknife). It is cut off at 0.

    It says how far the distance would move with as many other people. Where a distance falls with
    the number of pictures, as Fréchet's does, it is no interval of what more pictures would give.

    Args:
        title: Name of the measurement.
        distance: ``frechet_without`` or ``kernel_without``.
        a, b: ``(N, D)``.
        people: ``(N,)``, who is on each.

    Returns:
        With an interval from minus to plus infinity where there is one person, or where without a
        group fewer than two pictures are left.

    Raises:
        ConfigError: As ``frechet_distance``.
    """
    who = np.unique(np.asarray(people), return_inverse=True)[1].astype(np.int64)
    n_people = int(who.max(initial=-1)) + 1
    groups = who % max(1, min(n_people, N_GROUPS))
    without = distance(a, b, groups)
    value, low, high = without(None), -np.inf, np.inf
    counts = np.bincount(groups)
    n = len(counts)
    if n > 1 and len(a) - counts.max() > 1:
        found = np.array([without(group) for group in range(n)])
        half = T_95[n - 2] * math.sqrt((n - 1) / n * ((found - found.mean()) ** 2).sum())
        # An estimate without bias may itself lie below 0.
        low, high = min(value, max(0.0, value - half)), value + half
    return Measurement(title, value, low, high, n_people, direction=Direction.LOWER)


def _check(a: Features, b: Features) -> None:
    if a.ndim != 2 or a.shape != b.shape or len(a) < 2:
        raise ConfigError(
            f"Features of the shapes {a.shape} and {b.shape} cannot be compared. Give (N, D) of "
            "the same faces, N at least 2."
        )


def _moments(features: Features) -> tuple[Features, Features]:
    """Give the mean, and a root R of the covariance: ``R^T R``, of at most D rows."""
    mean = features.mean(axis=0)
    root = (features - mean) / math.sqrt(len(features) - 1)
    if len(root) > root.shape[1]:
        root = np.linalg.qr(root, mode="r")
    return mean, root


def _sums_of_pairs(a: Features, b: Features, groups: Groups) -> NDArray[np.float64]:
    """Sum up what pairs of different rows add to the discrepancy, ``(G, G)`` by their groups."""
    n = int(groups.max()) + 1
    sums, members = np.zeros((n, n)), np.eye(n)[groups]
    for start in range(0, len(a), _ROWS):
        at = np.arange(start, min(start + _ROWS, len(a)))
        part = _kernel(a[at], a) + _kernel(b[at], b) - 2 * _kernel(a[at], b)
        part[at - start, at] = 0
        np.add.at(sums, groups[at], part @ members)
    return sums


def _kernel(a: Features, b: Features) -> Features:
    values: Features = (a @ b.T / a.shape[1] + 1) ** 3
    return values
