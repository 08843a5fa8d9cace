# SPDX-License-Identifier: Apache-2.0
"""How much a number would change with other people: the bootstrap over identities.

Photographs of one person are alike, so people are drawn with replacement, each with all of
their photographs (Field and Welsh 2007, "Bootstrapping clustered data"; in biometrics the
subsets bootstrap of Bolle, Ratha and Pankanti 2004, CVIU 93(1)). The people are drawn once.
Every setting and every attack is measured on the same draws, so two of them can be compared
draw by draw: what is hard about a person is hard in both, and falls out of the difference.

An interval is the hull of two. One is the middle 95 % of the draws. It is empty where all draws
agree, 0 hits of n, say. The other has a width always, and takes photographs for independent:

- of a share of hits, the interval of Clopper and Pearson for as many photographs;
- of another mean of values in [0, 1], as average precision and AUC are, ``bounded_mean`` of as
  many photographs that are all alike, so that how they vary is left to the draws.

Where all draws agree the second is all there is. It is too narrow if photographs of one person
are hit or missed together, which such data cannot tell: 0 of 1,800 independent photographs mean
at most 0.2 %, but 0 of the 165 people on them at most 2.2 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import ConfigError, DatasetError
from veilset.intervals import bounded_mean, clopper_pearson
from veilset.types import Direction, Measurement

FloatVector = NDArray[np.float64]
IntMatrix = NDArray[np.int64]

_FEWEST_DRAWS = 40
"""Of fewer draws the outer 2.5 % are less than one."""


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """People drawn with replacement, as many as there are.

    Attributes:
        seed: What they were drawn from.
        multiplicities: ``(B, I)``, how often each draw holds each person; rows sum to I.
    """

    seed: int
    multiplicities: IntMatrix

    @property
    def n_draws(self) -> int:
        """B."""
        return len(self.multiplicities)

    @property
    def n_people(self) -> int:
        """I."""
        return int(self.multiplicities.shape[1])

    @property
    def key(self) -> tuple[int, int, int]:
        """Seed, B and I: draws with one key are the same draws."""
        return self.seed, self.n_draws, self.n_people


def draw_people(n_people: int, *, seed: int, n_draws: int = 1000) -> Draws:
    """Draw people with replacement, for all settings and attacks at once.

    Args:
        n_people: I, at least 2.
        seed: Same seed, same draws.
        n_draws: B, at least 40.

    Raises:
        ConfigError: If there are fewer people or draws.

    Example:
        >>> draws = draw_people(3, seed=1, n_draws=40)
        >>> draws.multiplicities.shape, set(draws.multiplicities.sum(axis=1).tolist())
        ((40, 3), {3})
    """
    if n_people < 2 or n_draws < _FEWEST_DRAWS:
        raise ConfigError(
            f"{n_draws} draws of {n_people} people give no interval. Give at least "
            f"{_FEWEST_DRAWS} draws and 2 people."
        )
    rng = np.random.default_rng(seed)
    return Draws(seed, rng.multinomial(n_people, np.full(n_people, 1 / n_people), size=n_draws))


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A measurement, and what each draw of people would have made of it.

    Attributes:
        measurement: The value with its interval.
        drawn: ``(B,)``; NaN for a draw that holds nobody who was measured.
        key: Of the draws.
    """

    measurement: Measurement
    drawn: FloatVector
    key: tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A line with a band, for a figure. The band holds 95 % at each point, not along the line.

    Attributes:
        x: ``(K,)``, rising.
        y: ``(K,)``, the estimate.
        low: ``(K,)``, lower edge of the band.
        high: ``(K,)``, upper edge.
    """

    x: FloatVector
    y: FloatVector
    low: FloatVector
    high: FloatVector


def person_means(values: ArrayLike, people: ArrayLike, n_people: int) -> FloatVector:
    """Give the mean of each person's photographs.

    Args:
        values: ``(N,)``, one for each photograph.
        people: ``(N,)`` codes in ``[0, n_people)``.
        n_people: I.

    Returns:
        ``(I,)``, NaN for a person without a photograph.

    Example:
        >>> person_means([1, 0, 1], [0, 0, 2], n_people=3).tolist()
        [0.5, nan, 1.0]
    """
    codes = np.asarray(people, dtype=np.int64)
    counts = np.bincount(codes, minlength=n_people)
    sums = np.bincount(codes, np.asarray(values, dtype=np.float64), minlength=n_people)
    return _quotients(sums, counts)


def effective_trials(weights: ArrayLike) -> float:
    """Give how many equal weights vary as much as these (Kish 1965): ``(sum w)^2 / sum w^2``.

    Example:
        >>> effective_trials([1, 1, 1, 1]), effective_trials([3, 1])
        (4.0, 1.6)
    """
    w = np.asarray(weights, dtype=np.float64)
    return float(w.sum() ** 2 / (w * w).sum())


def hull(
    value: float, drawn: FloatVector, n_trials: float, *, of_hits: bool
) -> tuple[float, float]:
    """Give the interval of a mean of values in [0, 1], as the head of this module says.

    Args:
        value: The estimate, in [0, 1].
        drawn: ``(B,)``, that of each draw; NaN where a draw says nothing, which is left out.
        n_trials: How many photographs of equal weight are behind it, at least 1.
        of_hits: Whether it is a share of hits.

    Returns:
        Lower and upper end, in [0, 1]; the estimate lies between them.

    Raises:
        DatasetError: If no draw says anything.

    Example:
        >>> low, high = hull(0.0, np.zeros(40), 59.0, of_hits=True)
        >>> low, round(high, 4)
        (0.0, 0.0606)
    """
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        raise DatasetError("No draw of people holds enough of them. Give photographs of more.")
    # Outward to whole trials and hits: never narrower than for the fraction in between. What
    # is whole but for rounding stays whole.
    n = max(1, math.floor(n_trials + 1e-9))
    if of_hits:
        fewer, more = math.floor(value * n + 1e-9), math.ceil(value * n - 1e-9)
        low, high = _exact(min(fewer, n), n)[0], _exact(max(more, 0), n)[1]
    else:
        low, high = bounded_mean([value] * n)
    ends = np.quantile(known, (0.025, 0.975))
    return min(value, low, float(ends[0])), max(value, high, float(ends[1]))


# Curves ask for the same few counts again and again, and one answer takes milliseconds.
_exact = lru_cache(maxsize=4096)(clopper_pearson)


def macro_average(
    name: str,
    values: ArrayLike,
    people: ArrayLike,
    draws: Draws,
    *,
    of_hits: bool,
) -> Estimate:
    """Give the mean over people of the mean over each one's photographs.

    Args:
        name: What was measured.
        values: ``(N,)`` in [0, 1], one for each photograph: whether it was recognised, or the
            probability that it is.
        people: ``(N,)`` codes, who is on it.
        draws: Of the people.
        of_hits: Whether values are hits, or their probabilities.

    Returns:
        With ``n``, the number of photographs. Of what an attacker reaches, less is better.

    Raises:
        DatasetError: If there is no photograph.
    """
    codes = np.asarray(people, dtype=np.int64)
    means = person_means(values, codes, draws.n_people)
    present = ~np.isnan(means)
    if not present.any():
        raise DatasetError(f"Nobody was measured: {name} needs at least one photograph.")
    value = math.fsum(means[present]) / int(present.sum())
    drawn = drawn_means(means, draws)
    # A photograph weighs less, the more of its person there are.
    weights = 1 / np.bincount(codes, minlength=draws.n_people)[codes]
    low, high = hull(value, drawn, effective_trials(weights), of_hits=of_hits)
    measured = Measurement(name, value, low, high, len(codes), direction=Direction.LOWER)
    return Estimate(measured, drawn, draws.key)


def drawn_means(means: FloatVector, draws: Draws) -> FloatVector:
    """Give the mean over the people of each draw; ``means`` is ``(I,)``, NaN for nobody.

    Returns:
        ``(B,)``; NaN for a draw of which nobody was measured.
    """
    present = ~np.isnan(means)
    counts = draws.multiplicities @ present.astype(np.float64)
    sums = draws.multiplicities @ np.where(present, means, 0.0)
    return _quotients(sums, counts)


def _quotients(sums: ArrayLike, counts: ArrayLike) -> FloatVector:
    above, below = (np.asarray(each, dtype=np.float64) for each in (sums, counts))
    found: FloatVector = np.full(len(below), np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found


def difference(name: str, a: Estimate, b: Estimate) -> Measurement:
    """Give how much a is above b, as both were measured on the same draws of people.

    Where all draws agree on the difference, as for two settings without any hit, they give no
    width. The ends of the two intervals are then put together instead (Newcombe 1998, square
    and add), which takes them for independent.

    Returns:
        ``a - b`` with the middle 95 % of its draws; ``n`` is the smaller of the two.

    Raises:
        ConfigError: If they were measured on different draws.

    Example:
        >>> draws = draw_people(4, seed=1)
        >>> a = macro_average("a", [1, 1, 1, 0], [0, 1, 2, 3], draws, of_hits=True)
        >>> b = macro_average("b", [1, 0, 0, 0], [0, 1, 2, 3], draws, of_hits=True)
        >>> found = difference("a - b", a, b)
        >>> found.value, found.low, found.high
        (0.5, 0.0, 1.0)
    """
    if a.key != b.key:
        raise ConfigError(f"{name}: both sides must be measured on the same draws of people.")
    first, second = a.measurement, b.measurement
    value, n = first.value - second.value, min(first.n, second.n)
    drawn = a.drawn - b.drawn
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        raise DatasetError(f"{name}: no draw of people holds some of both sides.")
    low, high = (float(end) for end in np.quantile(known, (0.025, 0.975)))
    if np.ptp(known) < 1e-12:
        low = value - math.hypot(first.value - first.low, second.high - second.value)
        high = value + math.hypot(first.high - first.value, second.value - second.low)
    return Measurement(name, value, min(value, low), max(value, high), n)


def paired_difference(name: str, a: ArrayLike, b: ArrayLike, draws: Draws) -> Measurement:
    """Give how much a is above b, over the people who have both.

    Args:
        name: What was measured.
        a: ``(I,)`` in [0, 1], the value of each person; NaN for one who was not measured.
        b: ``(I,)``, likewise.
        draws: Of the people.

    Returns:
        The mean of the people's differences, in [-1, 1]; ``n`` counts people. The interval is
        the hull of the middle 95 % of the draws and ``intervals.bounded_mean``, so that it has
        a width also where all people differ alike.

    Raises:
        DatasetError: If nobody has both.

    Example:
        >>> draws = draw_people(4, seed=1)
        >>> found = paired_difference("a - b", [1, 1, 1, np.nan], [0, 1, 0, 0], draws)
        >>> round(found.value, 3), found.n
        (0.667, 3)
    """
    gaps = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    known = gaps[~np.isnan(gaps)]
    drawn = drawn_means(gaps, draws)
    drawn = drawn[~np.isnan(drawn)]
    if not len(known) or not len(drawn):
        raise DatasetError(f"{name}: nobody was measured on both sides.")
    value = math.fsum(known) / len(known)
    low, high = (2 * end - 1 for end in bounded_mean(((known + 1) / 2).tolist()))
    ends = np.quantile(drawn, (0.025, 0.975))
    return Measurement(
        name, value, min(value, low, float(ends[0])), max(value, high, float(ends[1])), len(known)
    )
