# SPDX-License-Identifier: Apache-2.0
"""Which categories compete: one gains what the other loses, and no network sees worse for it.

The face study found four such pairs by eye (eskimo dog and siberian husky are one). Here they
are searched for: candidates are the pairs that networks confuse, chosen without regard to the
setting; each is tested for a shift of preference; the false discovery rate is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from veilset.study.statistics import benjamini_hochberg

FloatMatrix = NDArray[np.float64]
IntMatrix = NDArray[np.int64]

MIN_CONFUSION = 0.02
"""Candidates are confused in at least this share of their images."""
MAX_CANDIDATES = 5_000
MIN_RUNS = 3
MIN_SEEDS = 2
FALSE_DISCOVERIES = 0.05
MIN_MOVE = 0.03
"""By how much both accuracies of a competing pair move, in opposite directions."""
EVAPORATES = 0.5
"""Top-5 accuracy and average precision move by at most this part of the move of top-1."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two categories whose preference shifted.

    Attributes:
        a: The first class, its number.
        b: The second.
        shift: Shift of preference towards b in the setting, in [-2, 2], mean over runs.
        p: Of a t test over runs, two-sided.
        q: The false discovery rate at which it is found.
        p_seeds: Of a t test over the means of seeds; None for fewer than 2. Runs of one seed
            share the order of images and their crops.
        few_seeds: Whether the means of seeds do not all shift the same way.
        confusion: Share of their images that are taken for the other.
    """

    a: int
    b: int
    shift: float
    p: float
    q: float
    p_seeds: float | None
    few_seeds: bool
    confusion: float


def confusions(labels: NDArray[np.int64], predicted: NDArray[np.int64], n: int) -> IntMatrix:
    """Count which class was taken for which, ``(K, K)``, rows are the truth.

    Example:
        >>> confusions(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    return np.bincount(labels * n + predicted, minlength=n * n).reshape(n, n)


def candidates(pooled: IntMatrix) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Choose the pairs that are confused, the most confused first.

    Args:
        pooled: ``(K, K)``, confusions summed over all runs of both settings.

    Returns:
        ``(M, 2)`` classes, the lower first, and ``(M,)`` the share of their images that are
        taken for the other.
    """
    n_images = pooled.sum(axis=1)
    together = n_images[:, None] + n_images[None, :]
    mutual = np.divide(pooled + pooled.T, together, out=np.zeros(pooled.shape), where=together > 0)
    a, b = np.triu_indices(len(pooled), k=1)
    share = mutual[a, b]
    order = np.argsort(-share, kind="stable")
    order = order[share[order] >= MIN_CONFUSION][:MAX_CANDIDATES]
    return np.stack([a[order], b[order]], axis=1), share[order]


def preferences(counts: IntMatrix, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give how much a run prefers the second of each pair, over the images of both.

    It is the mean over the two classes of (share named b) - (share named a).

    Args:
        counts: ``(K, K)``, confusions of one run.
        pairs: ``(M, 2)``.

    Returns:
        ``(M,)`` in [-1, 1].
    """
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    a, b = pairs[:, 0], pairs[:, 1]
    towards_b = (rates[a, b] - rates[a, a]) + (rates[b, b] - rates[b, a])
    half: NDArray[np.float64] = towards_b / 2
    return half


def find_pairs(
    before: Mapping[tuple[str, int], IntMatrix], after: Mapping[tuple[str, int], IntMatrix]
) -> list[Pair] | None:
    """Find the pairs whose preference shifted between two settings.

    Args:
        before: Confusions of each network and seed in the reference.
        after: Of the same networks and seeds in the setting.

    Returns:
        The discoveries, the largest shift first; None for fewer than ``MIN_RUNS`` runs or
        ``MIN_SEEDS`` seeds.
    """
    units = sorted(before.keys() & after.keys())
    seeds = np.array([seed for _, seed in units])
    if len(units) < MIN_RUNS or len(set(seeds.tolist())) < MIN_SEEDS:
        return None
    pooled = sum((before[unit] + after[unit] for unit in units), np.zeros_like(before[units[0]]))
    pairs, share = candidates(pooled)
    if not len(pairs):
        return []
    shifts = np.array(
        [preferences(after[unit], pairs) - preferences(before[unit], pairs) for unit in units]
    )
    n_images = before[units[0]].sum(axis=1)
    # A preference moves in steps of half an image: no spread is known better than that.
    steps = 0.5 / np.maximum(n_images[pairs].max(axis=1), 1) / np.sqrt(12)
    p = _t_test(shifts, steps)
    by_seed = np.array([shifts[seeds == seed].mean(axis=0) for seed in np.unique(seeds)])
    p_seeds = _t_test(by_seed, steps)
    q = benjamini_hochberg(p)
    agrees = np.abs(np.sign(by_seed).sum(axis=0)) == len(by_seed)
    found = [
        Pair(
            int(pairs[i, 0]), int(pairs[i, 1]), float(shifts[:, i].mean()), float(p[i]),
            float(q[i]), float(p_seeds[i]), not bool(agrees[i]), float(share[i]),
        )
        for i in np.flatnonzero(q <= FALSE_DISCOVERIES)
    ]  # fmt: skip
    return sorted(found, key=lambda pair: (-abs(pair.shift), pair.a, pair.b))


def _t_test(values: FloatMatrix, least_spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the two-sided p of each column, is its mean 0, with a floor under the spread."""
    n = len(values)
    spread = np.maximum(values.std(axis=0, ddof=1), least_spread)
    statistic = np.abs(values.mean(axis=0)) / (spread / np.sqrt(n))
    return np.asarray(2 * stats.t.sf(statistic, n - 1))


@dataclass(frozen=True, slots=True)
class Moves:
    """How the two accuracies of a pair moved; drops, positive is worse.

    Attributes:
        top1: Of a and of b.
        top5: Of a and of b; None where it is not known.
        ap: Average precision of a and of b; None where it is not known.
    """

    top1: tuple[float, float]
    top5: tuple[float, float] | None
    ap: tuple[float, float] | None

    @property
    def are_opposite(self) -> bool:
        """Whether one gains and the other loses at least ``MIN_MOVE``."""
        a, b = self.top1
        return a * b < 0 and min(abs(a), abs(b)) >= MIN_MOVE

    def evaporate_in(self, moves: Sequence[float] | None) -> bool | None:
        """Whether both moves of another metric are small beside those of top-1."""
        if moves is None:
            return None
        pairs = zip(moves, self.top1, strict=True)
        return all(abs(other) <= EVAPORATES * abs(first) for other, first in pairs)

    @property
    def compete(self) -> bool | None:
        """Whether all three hold; None if they may, and a metric is not known."""
        flags = (self.are_opposite, self.evaporate_in(self.top5), self.evaporate_in(self.ap))
        if False in flags:
            return False
        return None if None in flags else True
