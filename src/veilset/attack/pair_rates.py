# SPDX-License-Identifier: Apache-2.0
"""FAR and TAR of pairs of photographs: exact over all pairs, and on a grid for draws of people."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilset.attack.distances import Comparisons
from veilset.attack.resampling import Draws
from veilset.errors import DatasetError

FloatVector = NDArray[np.float64]
FloatMatrix = NDArray[np.float64]
IntVector = NDArray[np.int64]
BoolVector = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PairDistances:
    """All pairs of a probe and a gallery photograph, nearest first.

    Attributes:
        genuine: Distances of the pairs of one person, rising.
        genuine_people: Whose pair each is.
        impostor: Distances of the pairs of two people, rising.
        impostor_people: Whose pair each is: ``I`` times the code of one plus that of the other.
        n_people: I.
    """

    genuine: FloatVector
    genuine_people: IntVector
    impostor: FloatVector
    impostor_people: IntVector
    n_people: int

    @classmethod
    def of(cls, comparisons: Comparisons) -> PairDistances:
        """Sort the pairs.

        Raises:
            DatasetError: If there is no pair of one kind.
        """
        same = comparisons.same_person()
        if same.all() or not same.any():
            raise DatasetError(
                f"Of {same.size} pairs {same.sum()} show one person. Verification needs pairs of "
                "one person and of two: give two photographs of each of at least two people."
            )
        n_people = comparisons.n_people
        codes = comparisons.probe_people[:, None] * n_people + comparisons.gallery_people
        genuine, impostor = comparisons.distances[same], comparisons.distances[~same]
        first, second = np.argsort(genuine), np.argsort(impostor)
        return cls(
            genuine[first], codes[same][first] // n_people,
            impostor[second], codes[~same][second], n_people,
        )  # fmt: skip

    def rates(self, threshold: float) -> tuple[float, float]:
        """Give FAR and TAR if distances up to a threshold are accepted."""
        n_false = np.searchsorted(self.impostor, threshold, side="right")
        n_true = np.searchsorted(self.genuine, threshold, side="right")
        return float(n_false / len(self.impostor)), float(n_true / len(self.genuine))

    def threshold_at(self, far: float) -> float:
        """Give the largest distance that can be accepted at a FAR; minus infinity if none can."""
        n = allowed(far, len(self.impostor))
        if n == len(self.impostor):
            return float(max(self.impostor[-1], self.genuine[-1]))
        return self._below(float(self.impostor[n]))

    def auc(self) -> float:
        """Give the probability that a genuine pair is nearer than an impostor one, half if tied.

        It is Mann and Whitney's statistic, counted in whole numbers.
        """
        nearer = np.searchsorted(self.impostor, self.genuine, side="left")
        as_near = np.searchsorted(self.impostor, self.genuine, side="right")
        n_twice = int(nearer.sum()) + int(as_near.sum())
        return 1 - n_twice / (2 * len(self.genuine) * len(self.impostor))

    def eer(self) -> float:
        """Give the equal error rate, as ``crossing`` defines it, over all thresholds."""
        last = max(float(self.genuine[-1]), float(self.impostor[-1]))
        candidates = [last]
        for distances in (self.genuine, self.impostor):
            place = bisect_left(
                range(len(distances)), 0.0, key=lambda i: self._excess(float(distances[i]))
            )
            if place < len(distances):
                candidates.append(float(distances[place]))
        after = min(candidates)
        far, tar = np.array([self.rates(self._below(after)), self.rates(after)]).T
        return float(crossing(far[None], tar[None])[0])

    def grid(self, wanted: Sequence[float], n_thresholds: int) -> FloatVector:
        """Choose thresholds at which draws are evaluated.

        Half of them are even in TAR, half even in the logarithm of FAR, where TAR at a low FAR is
        decided. Where there are fewer distinct distances, all of them are.

        Args:
            wanted: Thresholds that must be among them; minus infinity is left out.
            n_thresholds: How many, at most, besides.

        Returns:
            Rising, the last one accepts all pairs.
        """
        distinct = [
            each[np.flatnonzero(np.diff(each, prepend=-np.inf))]
            for each in (self.genuine, self.impostor)
        ]
        exact = np.concatenate(distinct)
        if len(exact) > n_thresholds:
            half = n_thresholds // 2
            places = np.linspace(0, len(self.genuine) - 1, half).round().astype(np.int64)
            counts = np.geomspace(1, len(self.impostor), n_thresholds - half)
            exact = np.concatenate(
                [self.genuine[places], self.impostor[counts.round().astype(np.int64) - 1]]
            )
        asked = [each for each in wanted if np.isfinite(each)]
        return np.unique(np.concatenate([exact, asked]))

    def _excess(self, threshold: float) -> float:
        far, tar = self.rates(threshold)
        return far + tar - 1

    def _below(self, limit: float) -> float:
        """Give the largest distance below a limit; minus infinity if there is none."""
        places = [(each, np.searchsorted(each, limit)) for each in (self.genuine, self.impostor)]
        return max((float(each[place - 1]) for each, place in places if place), default=-np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class DrawnRates:
    """FAR and TAR of all people and of every draw of people, on a grid of thresholds.

    Attributes:
        grid: ``(T,)`` thresholds, rising.
        far: ``(1 + B', T + 1)``: row 0 of all people, then of the draws that can be used; column
            0 accepts nothing, column t + 1 what is at or below ``grid[t]``.
        tar: Likewise.
        usable: ``(B,)``, which draws hold both kinds of pairs; B' of them.
    """

    grid: FloatVector
    far: FloatMatrix
    tar: FloatMatrix
    usable: BoolVector

    @classmethod
    def of(cls, pairs: PairDistances, draws: Draws, grid: FloatVector) -> DrawnRates:
        """Count.

        Args:
            pairs: All of them.
            draws: Of the people.
            grid: ``(T,)`` thresholds, rising; the last one accepts all pairs.
        """
        weights = np.vstack([np.ones_like(draws.multiplicities[:1]), draws.multiplicities])
        false = _accepted_impostors(pairs, weights, grid)
        true = _accepted_genuine(pairs, weights, grid)
        usable = (false[:, -1] > 0) & (true[:, -1] > 0)
        far = false[usable] / false[usable][:, -1:]
        return cls(grid, far, true[usable] / true[usable][:, -1:], usable[1:])


def _accepted_genuine(pairs: PairDistances, weights: IntVector, grid: FloatVector) -> FloatMatrix:
    """Sum the weights ``w_i`` of genuine pairs up to each threshold, ``(R, T + 1)``."""
    # A pair falls to the first threshold that accepts it.
    steps = np.searchsorted(grid, pairs.genuine)
    shape = len(grid), pairs.n_people
    counts = np.bincount(steps * pairs.n_people + pairs.genuine_people, minlength=np.prod(shape))
    return _from_nothing(weights.astype(np.float64) @ counts.reshape(shape).T.astype(np.float64))


def _accepted_impostors(pairs: PairDistances, weights: IntVector, grid: FloatVector) -> FloatMatrix:
    """Sum the weights ``w_i w_j`` of impostor pairs up to each threshold, ``(R, T + 1)``."""
    n_people = pairs.n_people
    # Whole numbers far below 2^24 stay exact in single precision, which is twice as fast.
    w = weights.astype(np.float32)
    edges = np.searchsorted(pairs.impostor, grid, side="right")
    sums = np.zeros((len(weights), len(grid)))
    start = 0
    for step, stop in enumerate(edges):
        if stop > start:
            codes = pairs.impostor_people[start:stop]
            counts = np.bincount(codes, minlength=n_people * n_people).astype(np.float32)
            per_person = w @ counts.reshape(n_people, n_people)
            sums[:, step] = (per_person * w).sum(axis=1, dtype=np.float64)
        start = int(stop)
    return _from_nothing(sums)


def _from_nothing(steps: FloatMatrix) -> FloatMatrix:
    return np.cumsum(np.pad(steps, ((0, 0), (1, 0))), axis=1, dtype=np.float64)


def allowed(far: float, n: int) -> int:
    """Give how many of n impostor pairs may be accepted at a FAR.

    Example:
        >>> allowed(0.1, 30), allowed(0.29, 100), allowed(0.001, 999)
        (3, 29, 0)
    """
    # The product is rounded: only the quotient decides, as for whoever compares rates.
    count = min(n, int(far * n) + 1)
    while count / n > far:
        count -= 1
    return count


def tar_at(far: FloatMatrix, tar: FloatMatrix, fars: FloatVector) -> FloatMatrix:
    """Give the highest TAR at or below each FAR.

    Args:
        far: ``(R, T)``, each row rising from 0.
        tar: ``(R, T)``, each row rising.
        fars: ``(F,)``.

    Returns:
        ``(R, F)``.

    Example:
        >>> tar_at(np.array([[0, 0.1, 0.1, 1]]), np.array([[0, 0.2, 0.5, 1]]),
        ...        np.array([0.05, 0.1])).tolist()
        [[0.0, 0.5]]
    """
    places = np.array([np.searchsorted(row, fars, side="right") - 1 for row in far])
    return np.take_along_axis(tar, places, axis=1)


def area(far: FloatMatrix, tar: FloatMatrix) -> FloatVector:
    """Give the area under each row's curve, by trapezoids; arguments as for ``crossing``.

    Example:
        >>> area(np.array([[0, 0.5, 1]]), np.array([[0, 1.0, 1]])).tolist()
        [0.75]
    """
    doubled: FloatVector = ((tar[:, 1:] + tar[:, :-1]) * np.diff(far, axis=1)).sum(axis=1)
    return doubled / 2


def crossing(far: FloatMatrix, tar: FloatMatrix) -> FloatVector:
    """Give the equal error rate of each row, on the straight line between two thresholds.

    Args:
        far: ``(R, T)``, each row rising from below ``1 - tar`` to at least it.
        tar: ``(R, T)``, each row rising.

    Returns:
        ``(R,)``.

    Example:
        >>> crossing(np.array([[0, 0.1, 1]]), np.array([[0, 0.7, 1]])).round(4).tolist()
        [0.25]
    """
    excess = far + tar - 1
    after = np.argmax(excess >= 0, axis=1)[:, None]
    ends = [np.take_along_axis(excess, places, axis=1) for places in (after - 1, after)]
    before_far, after_far = (np.take_along_axis(far, at, axis=1) for at in (after - 1, after))
    share = -ends[0] / (ends[1] - ends[0])
    return (before_far + share * (after_far - before_far))[:, 0]
