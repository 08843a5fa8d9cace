# SPDX-License-Identifier: Apache-2.0
"""How far two sets of pictures are from each other, by the features of a network.

Both numbers depend on that network: with another one than Inception's of 2015 they are not the FID
and the KID of papers, and comparable with each other only. Intervals come from a bootstrap over
people, the same one for every set, so that pictures of one person stay together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from veilset.errors import ConfigError
from veilset.types import Direction, Measurement

Features = NDArray[np.float64]
"""``(N, D)``."""

Weights = NDArray[np.float64]
"""``(N,)``, how often each row counts."""

N_RESAMPLES = 200


def frechet_distance(a: Features, b: Features, weights: Weights | None = None) -> float:
    """Give the Fréchet distance of two Gaussians with the means and covariances of features.

    ``|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`` (Heusel et al. 2017, arXiv:1706.08500,
    equation 6). With fewer pictures than some ten thousand it is biased upward: the same number
    of pictures on both sides makes it comparable, nothing makes it right.

    Args:
        a: Features, N at least 2.
        b: As many, row by row of the same face.
        weights: How often a row counts in both; once each if left out.

    Raises:
        ConfigError: If the shapes differ or there are fewer than two rows.

    Example:
        >>> rows = np.array([[0.0], [2.0]])
        >>> round(frechet_distance(rows, rows + 3), 6)
        9.0
    """
    counts = _checked(a, b, weights)
    (mean_a, rest_a), (mean_b, rest_b) = _moments(a, counts), _moments(b, counts)
    away = mean_a - mean_b
    # tr((C_a C_b)^(1/2)) is the sum of the singular values of the product of the two roots.
    shared = np.linalg.svd(rest_a @ rest_b.T, compute_uv=False).sum()
    value = away @ away + (rest_a**2).sum() + (rest_b**2).sum() - 2 * shared
    return float(max(value, 0.0))


def kernel_distance(a: Features, b: Features, weights: Weights | None = None) -> float:
    """Give the squared maximum mean discrepancy with the kernel ``(x·y / D + 1)³``.

    The estimator without bias of Binkowski et al. 2018 (arXiv:1801.01401), which papers call KID:
    right for few pictures too; it may fall below 0. Rows of the same face in both sets are
    left out as pairs, as a face is with itself.

    Args:
        a, b, weights: As ``frechet_distance``.

    Raises:
        ConfigError: As ``frechet_distance``.
    """
    counts = _checked(a, b, weights)
    pairs = np.outer(counts, counts)
    np.fill_diagonal(pairs, 0.0)
    pairs /= pairs.sum()
    return float((pairs * (_kernel(a, a) + _kernel(b, b) - 2 * _kernel(a, b))).sum())


def measure_distance(
    title: str,
    distance: Callable[[Features, Features, Weights], float],
    a: Features,
    b: Features,
    people: Sequence[int],
) -> Measurement:
    """Give a distance with the 95 % interval of a bootstrap over people.

    Args:
        title: Name of the measurement.
        distance: One of the two above.
        a, b: ``(N, D)``.
        people: ``(N,)``, who is on each.

    Raises:
        ConfigError: As ``frechet_distance``.
    """
    who = np.unique(np.asarray(people), return_inverse=True)[1]
    n_people = int(who.max(initial=-1)) + 1
    value = distance(a, b, np.ones(len(a)))
    if n_people < 2:
        return Measurement(title, value, -np.inf, np.inf, n_people, direction=Direction.LOWER)
    drawn = np.random.default_rng(0).multinomial(
        n_people, np.full(n_people, 1 / n_people), size=N_RESAMPLES
    )
    weights = (counts[who].astype(np.float64) for counts in drawn)
    # A draw of one face alone has no distance; there is one where people have one face each.
    found = [distance(a, b, each) for each in weights if np.count_nonzero(each) > 1]
    if len(found) < N_RESAMPLES / 2:
        return Measurement(title, value, -np.inf, np.inf, n_people, direction=Direction.LOWER)
    low, high = np.quantile(found, (0.025, 0.975))
    # Repeated faces make a set narrower: the middle of the draws need not be the value.
    low, high = min(float(low), value), max(float(high), value)
    return Measurement(title, value, low, high, n_people, direction=Direction.LOWER)


def _checked(a: Features, b: Features, weights: Weights | None) -> Weights:
    if a.ndim != 2 or a.shape != b.shape or len(a) < 2:
        raise ConfigError(
            f"Features of the shapes {a.shape} and {b.shape} cannot be compared. Give (N, D) of "
            "the same faces, N at least 2."
        )
    return np.ones(len(a)) if weights is None else weights


def _moments(features: Features, counts: Weights) -> tuple[Features, Features]:
    """Give the mean, and a root R of the covariance: ``R^T R``."""
    total = counts.sum()
    mean = counts @ features / total
    return mean, (features - mean) * np.sqrt(counts / (total - 1))[:, None]


def _kernel(a: Features, b: Features) -> Features:
    values: Features = (a @ b.T / a.shape[1] + 1) ** 3
    return values
