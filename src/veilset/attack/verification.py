# SPDX-License-Identifier: Apache-2.0
"""Verification: do two photographs show one person? All pairs of a probe and a gallery photograph.

A pair is accepted if its distance is at or below a threshold. TAR is the share of genuine pairs
(one person) that are accepted, FAR that of impostor pairs (two people). The estimates are those
of scikit-learn's ``roc_curve`` and ``roc_auc_score`` over all pairs, ties included.

**Intervals.** A pair belongs to two people, so pairs that share a person go up and down
together. People are drawn with replacement; person i occurs ``w_i`` times in a draw. An
impostor pair of i and j weighs ``w_i w_j``, a genuine pair of i ``w_i``: the copies of a person
count as different people, who are compared neither as genuine nor as impostors with each other.
This is the vertex bootstrap of Snijders and Borgatti (1999, Connections 22(2)) without its
filled-in pairs between copies. Owen (2007, "The pigeonhole bootstrap", AOAS 1(2)) shows for
product weights of separately drawn rows and columns that the variance of a mean comes out
slightly too large rather than too small. The subsets bootstrap (Bolle, Ratha and Pankanti 2004,
CVIU 93(1)) draws blocks of pairs by one of their sides only. Fogliato, Patil and Perona (2024,
IJCV, "Confidence Intervals for Error Rates in 1:1 Matching Tasks") compare intervals for face
verification: bootstraps may cover too little or too much, by measure and number of people, and
Wilson's with a variance that knows of the shared people is the most reliable. Ours is therefore
joined with one for as many independent trials as there are probes (``resampling.hull``); and TAR
at a FAR that rests on a handful of impostor pairs deserves distrust all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.attack.distances import Comparisons
from veilset.attack.pair_rates import DrawnRates, PairDistances, allowed, area, crossing, tar_at
from veilset.attack.resampling import Curve, Draws, Estimate, effective_trials, hull
from veilset.errors import ConfigError
from veilset.types import Direction, Measurement

FloatVector = NDArray[np.float64]
FloatMatrix = NDArray[np.float64]

FARS = (0.1, 0.01, 0.001)
CHANCE = 0.5
"""AUC, EER and balanced accuracy of an attacker who knows nothing. His TAR at a FAR is that FAR
if he guesses, and 0 if he gives one distance to all pairs."""

N_THRESHOLDS = 256
_CURVE_POINTS = 48


@dataclass(frozen=True, slots=True, eq=False)
class TarAtFar:
    """The highest TAR whose FAR does not exceed what was asked for.

    Attributes:
        far: What was asked for.
        tar: None where it cannot be measured.
        threshold: The largest distance that is accepted; minus infinity if none is, None where
            it cannot be measured.
        reason: Why it cannot be measured, "" otherwise.
    """

    far: float
    tar: Estimate | None
    threshold: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """How well pairs of one person are told from pairs of two.

    ``n`` of the measurements counts the probes that have a genuine pair.

    Attributes:
        auc: Probability that a genuine pair is nearer than an impostor pair, half for a tie.
        eer: The rate at which FAR and 1 - TAR are equal, on the straight line between the two
            thresholds around it.
        tar_at_far: For each FAR that was asked for.
        balanced_accuracy: Mean of TAR and 1 - FAR at the given threshold; None without one.
        roc: FAR to TAR, with a band at each FAR.
        n_genuine: Pairs of one person.
        n_impostor: Pairs of two people.
    """

    auc: Estimate
    eer: Estimate
    tar_at_far: tuple[TarAtFar, ...]
    balanced_accuracy: Estimate | None
    roc: Curve
    n_genuine: int
    n_impostor: int


@dataclass(frozen=True, slots=True, eq=False)
class _Measuring:
    """What all measures of one matrix of distances share."""

    pairs: PairDistances
    rates: DrawnRates
    draws: Draws
    n_probes: int
    n_trials: float

    def estimate(
        self,
        name: str,
        value: float,
        drawn: FloatVector,
        *,
        direction: Direction = Direction.LOWER,
        of_hits: bool = False,
    ) -> Estimate:
        """Put value and draws together.

        Args:
            name: What was measured.
            value: Over all pairs, exact.
            drawn: ``(1 + B',)``, on the grid of thresholds: of all people, then of the draws
                that hold both kinds of pairs.
            direction: Which way it gets better; for what an attacker reaches, lower.
            of_hits: Whether it is a share of hits.
        """
        known = self._around(value, drawn[:, None])[:, 0]
        low, high = hull(value, known, self.n_trials, of_hits=of_hits)
        spread = np.full(self.draws.n_draws, np.nan)
        spread[self.rates.usable] = known
        measured = Measurement(name, value, low, high, self.n_probes, direction=direction)
        return Estimate(measured, spread, self.draws.key)

    def tar(self, far: float) -> TarAtFar:
        n = len(self.pairs.impostor)
        if not allowed(far, n):
            reason = (
                f"A FAR of {far:g} is below 1 of {n} impostor pairs. Give more photographs or a "
                "larger FAR."
            )
            return TarAtFar(far, None, None, reason)
        threshold = self.pairs.threshold_at(far)
        value = self.pairs.rates(threshold)[1]
        drawn = tar_at(self.rates.far, self.rates.tar, np.array([far]))[:, 0]
        name = f"TAR at FAR {far:g}"
        return TarAtFar(far, self.estimate(name, value, drawn, of_hits=True), threshold)

    def balanced_accuracy(self, threshold: float) -> Estimate:
        far, tar = self.pairs.rates(threshold)
        column = int(np.searchsorted(self.rates.grid, threshold, side="right"))
        drawn = (self.rates.tar[:, column] + 1 - self.rates.far[:, column]) / 2
        return self.estimate("balanced accuracy", (tar + 1 - far) / 2, drawn)

    def roc(self) -> Curve:
        n = len(self.pairs.impostor)
        fars = np.geomspace(1 / n, 1, _CURVE_POINTS) if n > 1 else np.ones(1)
        # Rounding must not lead the last point past 1, nor the first below one pair.
        fars[0], fars[-1] = 1 / n, 1.0
        tars = np.array([self.pairs.rates(self.pairs.threshold_at(far))[1] for far in fars])
        drawn = self._around(tars, tar_at(self.rates.far, self.rates.tar, fars))
        ends = [
            hull(float(y), column, self.n_trials, of_hits=True)
            for y, column in zip(tars, drawn.T, strict=True)
        ]
        low, high = np.array(ends).T
        return Curve(fars, tars, low, high)

    @staticmethod
    def _around(value: float | FloatVector, drawn: FloatMatrix) -> FloatMatrix:
        # The grid of thresholds is coarser than all distances. What that does to the estimate
        # it does to the draws: it is taken off again.
        moved: FloatMatrix = drawn[1:] - drawn[0] + value
        return moved.clip(0.0, 1.0)


def measure_verification(
    distances: ArrayLike,
    probe_people: ArrayLike,
    gallery_people: ArrayLike,
    draws: Draws,
    *,
    fars: Sequence[float] = FARS,
    threshold: float | None = None,
    n_thresholds: int = N_THRESHOLDS,
) -> Verification:
    """Measure how well an attacker tells whether two photographs show one person.

    Args:
        distances: ``(P, G)`` finite, smaller is more alike.
        probe_people: ``(P,)`` codes in ``[0, I)``.
        gallery_people: ``(G,)`` codes in ``[0, I)``.
        draws: Of the I people.
        fars: For which to give TAR, in (0, 1].
        threshold: Of the recogniser: the largest distance that it takes for one person.
        n_thresholds: At how many thresholds draws are evaluated, at least 16. It moves
            intervals a little, estimates not at all; time grows with it, and with I squared.

    Raises:
        ConfigError: If the arrays do not fit each other, or a number is out of its range.
        DatasetError: If there is no genuine or no impostor pair.

    Example:
        >>> from veilset.attack.resampling import draw_people
        >>> found = measure_verification(
        ...     [[0.1, 0.9], [0.8, 0.3]], [0, 1], [0, 1], draw_people(2, seed=1), threshold=0.6)
        >>> found.auc.measurement.value, found.eer.measurement.value
        (1.0, 0.0)
        >>> found.tar_at_far[2].tar, found.tar_at_far[2].reason.partition(".")[0]
        (None, 'A FAR of 0')
    """
    if any(not 0 < far <= 1 for far in fars) or n_thresholds < 16:
        raise ConfigError("A FAR must be above 0 and at most 1, n_thresholds at least 16.")
    if threshold is not None and not np.isfinite(threshold):
        raise ConfigError("The threshold of a recogniser must be finite.")
    comparisons = Comparisons.of(distances, probe_people, gallery_people, draws.n_people)
    pairs = PairDistances.of(comparisons)
    points = [pairs.threshold_at(far) for far in fars]
    wanted = [*points, *([] if threshold is None else [threshold])]
    grid = pairs.grid(wanted, n_thresholds)
    # Pooled over pairs, a probe weighs as much as its person has photographs in the gallery.
    n_own = comparisons.same_person().sum(axis=1)
    measuring = _Measuring(
        pairs,
        DrawnRates.of(pairs, draws, grid),
        draws,
        n_probes=int((n_own > 0).sum()),
        n_trials=effective_trials(n_own),
    )
    rates = measuring.rates
    aucs, eers = area(rates.far, rates.tar), crossing(rates.far, rates.tar)
    return Verification(
        auc=measuring.estimate("AUC", pairs.auc(), aucs),
        eer=measuring.estimate("EER", pairs.eer(), eers, direction=Direction.HIGHER),
        tar_at_far=tuple(measuring.tar(far) for far in fars),
        balanced_accuracy=None if threshold is None else measuring.balanced_accuracy(threshold),
        roc=measuring.roc(),
        n_genuine=len(pairs.genuine),
        n_impostor=len(pairs.impostor),
    )
