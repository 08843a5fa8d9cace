# SPDX-License-Identifier: Apache-2.0
"""Closed-set identification: which of the people in the gallery is this?

The attacker knows everybody who may be on the probe and sorts them by distance, a person's
distance being the least over his gallery photographs. People at the same distance are taken in
random order, and what is reported is the expectation over it, exactly: an attacker who sees
nothing and gives one distance to all gets chance, neither 0 nor 1 by the order of columns.

Hits are averaged over the probes of a person first and over people then. An attacker who always
names the person with most photographs gets chance, too.

The draws of people repeat or leave out probes; the gallery stays as it is, because a smaller
one would be an easier task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.attack.distances import Comparisons
from veilset.attack.resampling import Curve, Draws, Estimate, macro_average, person_means
from veilset.errors import ConfigError

FloatVector = NDArray[np.float64]
IntVector = NDArray[np.int64]

RANKS = (1, 5, 10)
_MOST_POINTS = 48
"""Of the curve; beyond, ranks are spaced evenly by logarithm."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """Where each probe's own person stands among the people of the gallery.

    Attributes:
        n_nearer: ``(P,)``, how many people are nearer.
        n_tied: ``(P,)``, how many others are at the same distance.
        n_candidates: People in the gallery.
    """

    n_nearer: IntVector
    n_tied: IntVector
    n_candidates: int

    @property
    def expected(self) -> FloatVector:
        """``(P,)``, the mean rank in random order of ties, from 1 on."""
        return self.n_nearer + 1 + self.n_tied / 2

    def hits(self, k: int) -> FloatVector:
        """Give ``(P,)``, the probability that the person is among the first k.

        Example:
            >>> ranks = Ranks(np.array([0, 2]), np.array([1, 0]), n_candidates=4)
            >>> ranks.hits(1).tolist(), ranks.hits(3).tolist()
            ([0.5, 0.0], [1.0, 1.0])
        """
        return np.clip((k - self.n_nearer) / (self.n_tied + 1), 0.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Identification:
    """How often people are named.

    Attributes:
        hits: Rank k to the share of hits among the first k, macro-averaged over people; ``n``
            counts probes.
        chance: Rank k to what guessing reaches, k of the people in the gallery.
        person_hits: Rank k to ``(I,)``, the share of each person's probes; NaN without one.
        curve: Cumulative match characteristic: rank to share of hits, with a band.
        ranks: Of every probe.
    """

    hits: Mapping[int, Estimate]
    chance: Mapping[int, float]
    person_hits: Mapping[int, FloatVector]
    curve: Curve
    ranks: Ranks


def rank_people(comparisons: Comparisons) -> Ranks:
    """Rank the people of the gallery for every probe.

    Raises:
        DatasetError: If the person of a probe has no photograph in the gallery.

    Example:
        >>> seen = Comparisons.of([[0.3, 0.1, 0.3]], [0], [0, 1, 2], n_people=3)
        >>> rank_people(seen).expected.tolist()
        [2.5]
    """
    comparisons.check_gallery_holds_probes()
    order = np.argsort(comparisons.gallery_people, kind="stable")
    candidates, starts = np.unique(comparisons.gallery_people[order], return_index=True)
    nearest = np.minimum.reduceat(comparisons.distances[:, order], starts, axis=1)
    column = np.searchsorted(candidates, comparisons.probe_people)
    own = np.take_along_axis(nearest, column[:, None], axis=1)
    n_tied = (nearest == own).sum(axis=1) - 1
    return Ranks((nearest < own).sum(axis=1), n_tied, len(candidates))


def measure_identification(
    distances: ArrayLike,
    probe_people: ArrayLike,
    gallery_people: ArrayLike,
    draws: Draws,
    *,
    ranks: Sequence[int] = RANKS,
) -> Identification:
    """Measure how often the attacker names the person on a probe.

    Args:
        distances: ``(P, G)`` finite, smaller is more alike.
        probe_people: ``(P,)`` codes in ``[0, I)``; each of them is in the gallery.
        gallery_people: ``(G,)`` codes in ``[0, I)``.
        draws: Of the I people.
        ranks: Which k to report, from 1 on. One that is not below the number of people in the
            gallery is left out: there everything is a hit.

    Raises:
        ConfigError: If the arrays do not fit each other, or a rank is below 1.
        DatasetError: If the person of a probe has no photograph in the gallery.

    Example:
        >>> from veilset.attack.resampling import draw_people
        >>> found = measure_identification(
        ...     [[0.1, 0.9], [0.4, 0.4]], [0, 1], [0, 1], draw_people(2, seed=1))
        >>> found.hits[1].measurement.value, found.chance[1]
        (0.75, 0.5)
    """
    if any(k < 1 for k in ranks):
        raise ConfigError("Ranks are counted from 1 on.")
    comparisons = Comparisons.of(distances, probe_people, gallery_people, draws.n_people)
    found = rank_people(comparisons)
    people, n = comparisons.probe_people, found.n_candidates
    reported = [k for k in sorted(set(ranks)) if k < n]
    return Identification(
        hits={k: _average(found, k, people, draws) for k in reported},
        chance={k: k / n for k in reported},
        person_hits={k: person_means(found.hits(k), people, draws.n_people) for k in reported},
        curve=_curve(found, people, draws),
        ranks=found,
    )


def _average(ranks: Ranks, k: int, people: IntVector, draws: Draws) -> Estimate:
    return macro_average(f"rank-{k}", ranks.hits(k), people, draws, of_hits=True)


def _curve(ranks: Ranks, people: IntVector, draws: Draws) -> Curve:
    n = ranks.n_candidates
    x = np.arange(1, n + 1)
    if n > _MOST_POINTS:
        x = np.unique(np.geomspace(1, n, _MOST_POINTS).round().astype(np.int64))
    each = [_average(ranks, int(k), people, draws).measurement for k in x]
    y, low, high = np.array([(one.value, one.low, one.high) for one in each]).T
    return Curve(x.astype(np.float64), y, low, high)
