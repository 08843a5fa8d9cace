# SPDX-License-Identifier: Apache-2.0
"""Retrieval: sort all gallery photographs, those of the same person should come first.

The measure is average precision (AP): the mean, over the gallery photographs of the person, of
the share of that person's photographs among all at that distance or nearer. It is
scikit-learn's ``average_precision_score`` of the negative distances: photographs at the same
distance are taken together. AP is averaged over the probes of a person first and over people
then (mAP).

Two levels of an attacker who knows nothing go with it, for a person with R of the N photographs:

- ``chance``, he sorts at random: ``H/N + (R-1)/(N-1) (1 - H/N)`` with ``H = 1 + 1/2 + ... +
  1/N``. It follows from the probability that a place holds one of the R, R/N, and that two
  places both do, R(R-1) / (N(N-1)).
- ``chance_tied``, he gives one distance to all: R/N. It is the lower of the two, because every
  photograph of a tied group counts with the precision that is reached after the whole group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.attack.distances import Comparisons
from veilset.attack.resampling import Draws, Estimate, macro_average, person_means

FloatVector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """How well photographs of a person are found.

    Attributes:
        mean_ap: mAP, macro-averaged over people; ``n`` counts probes.
        chance: What sorting at random reaches, averaged alike.
        chance_tied: What one distance for all reaches.
        average_precisions: ``(P,)``, of every probe.
        person_ap: ``(I,)``, mean of each person's probes; NaN without one.
    """

    mean_ap: Estimate
    chance: float
    chance_tied: float
    average_precisions: FloatVector
    person_ap: FloatVector


def expected_random_ap(n_relevant: int, n: int) -> float:
    """Give the expected average precision of n photographs in random order.

    Args:
        n_relevant: R, how many of them are to be found, ``1 <= R <= n``.
        n: N.

    Example:
        >>> expected_random_ap(1, 2), expected_random_ap(3, 3)
        (0.75, 1.0)
    """
    if n == 1:
        return 1.0
    h = math.fsum(1 / place for place in range(1, n + 1)) / n
    return h + (n_relevant - 1) / (n - 1) * (1 - h)


def average_precisions(comparisons: Comparisons) -> FloatVector:
    """Give the average precision of each probe, ``(P,)`` in (0, 1].

    Raises:
        DatasetError: If the person of a probe has no photograph in the gallery.

    Example:
        >>> seen = Comparisons.of([[0.3, 0.1, 0.2]], [0], [0, 1, 0], n_people=2)
        >>> average_precisions(seen).round(4).tolist()
        [0.5833]
    """
    comparisons.check_gallery_holds_probes()
    relevant = comparisons.same_person()
    found = np.empty(len(relevant))
    for row, (distances, own) in enumerate(zip(comparisons.distances, relevant, strict=True)):
        wanted = np.sort(distances[own])
        n_as_near = np.searchsorted(np.sort(distances), wanted, side="right")
        n_wanted_as_near = np.searchsorted(wanted, wanted, side="right")
        found[row] = (n_wanted_as_near / n_as_near).mean()
    return found


def measure_retrieval(
    distances: ArrayLike, probe_people: ArrayLike, gallery_people: ArrayLike, draws: Draws
) -> Retrieval:
    """Measure how well an attacker finds the other photographs of the person on a probe.

    Args:
        distances: ``(P, G)`` finite, smaller is more alike.
        probe_people: ``(P,)`` codes in ``[0, I)``; each of them is in the gallery.
        gallery_people: ``(G,)`` codes in ``[0, I)``.
        draws: Of the I people. They repeat or leave out probes; the gallery stays as it is.

    Raises:
        ConfigError: If the arrays do not fit each other.
        DatasetError: If the person of a probe has no photograph in the gallery.

    Example:
        >>> from veilset.attack.resampling import draw_people
        >>> found = measure_retrieval(
        ...     [[0.1, 0.9], [0.4, 0.4]], [0, 1], [0, 1], draw_people(2, seed=1))
        >>> found.mean_ap.measurement.value, found.chance, found.chance_tied
        (0.75, 0.75, 0.5)
    """
    comparisons = Comparisons.of(distances, probe_people, gallery_people, draws.n_people)
    people = comparisons.probe_people
    found = average_precisions(comparisons)
    n_relevant = np.bincount(comparisons.gallery_people, minlength=draws.n_people)
    n = len(comparisons.gallery_people)
    of_people = np.unique(people)
    chances = [expected_random_ap(int(n_relevant[person]), n) for person in of_people]
    return Retrieval(
        mean_ap=macro_average("mAP", found, people, draws, of_hits=False),
        chance=math.fsum(chances) / len(chances),
        chance_tied=float((n_relevant[of_people] / n).mean()),
        average_precisions=found,
        person_ap=person_means(found, people, draws.n_people),
    )
