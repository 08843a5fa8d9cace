# SPDX-License-Identifier: Apache-2.0
"""Means, intervals and tests of a few numbers, each of them checked against SciPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

FloatVector = NDArray[np.float64]

ALL_ALIKE = 1e-12
"""Standard deviation below which numbers are the same but for rounding."""

POWER = 0.8
"""Probability with which a difference is seen that is called detectable; 0.8 is usual."""

ROUNDING = 12
"""Decimals that count in a rank."""


@dataclass(frozen=True, slots=True)
class MeanSem:
    """A mean with its standard error.

    Attributes:
        mean: The mean.
        sem: Standard error of it; None where there are too few values for one.
        n: How many values.
    """

    mean: float
    sem: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval, in the unit of the values."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all of it lies on one side of 0.

        One without width excludes nothing: what it was made of did not vary, so that it
        does not say how far off the value may be.
        """
        return self.high - self.low > ALL_ALIKE and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class Correlation:
    """How two quantities move together.

    Attributes:
        r: Pearson's coefficient, in [-1, 1]; None where it is not defined.
        p: Two-sided probability of such an r, or a larger one, without any relation.
        low: Lower end of Fisher's 95 % interval; None for fewer than 4 pairs.
        high: Upper end.
        rank: Spearman's coefficient, for comparison.
        n: How many pairs.
        reason: Why there is no r, "" if there is one.
    """

    r: float | None
    p: float | None
    low: float | None
    high: float | None
    rank: float | None
    n: int
    reason: str = ""


def mean_sem(values: ArrayLike, ddof: int = 1) -> MeanSem:
    """Give the mean of some values and its standard error, ``sd(ddof) / sqrt(n)``.

    Args:
        values: ``(n,)``, at least one.
        ddof: What is taken off n in the standard deviation. 1 is usual; the published tables
            of the face study used 2, which is ``sqrt(2)`` too large for n = 3.

    Raises:
        ValueError: If there is no value, or one is not finite.

    Example:
        >>> found = mean_sem([1.0, 2.0, 3.0])
        >>> found.mean, round(found.sem, 4), found.n
        (2.0, 0.5774, 3)
        >>> mean_sem([1.0]).sem is None
        True
    """
    numbers = _finite(values)
    n = numbers.size
    # One value, or two with ddof 2, leave nothing to divide by.
    sem = float(numbers.std(ddof=ddof) / np.sqrt(n)) if n > ddof else None
    return MeanSem(float(numbers.mean()), sem, n)


def t_interval(values: ArrayLike) -> Interval | None:
    """Give Student's 95 % interval of the mean; None for a single value, or if all are alike.

    Shares of a few hundred images are whole multiples of 1 over their number, so that two or
    three of them often coincide though what they measure varies. How much it does they cannot
    tell: the width of a multiple would be a lower bound of what they hide, no interval.

    Args:
        values: ``(n,)``, at least one; independent, about normal.

    Example:
        >>> found = t_interval([1.0, 2.0, 3.0])
        >>> round(found.low, 3), round(found.high, 3)
        (-0.484, 4.484)
    """
    numbers = _finite(values)
    n = numbers.size
    mean, spread = float(numbers.mean()), float(numbers.std(ddof=1)) if n > 1 else 0.0
    if spread < ALL_ALIKE:
        return None
    reach = float(stats.t.ppf(0.975, n - 1) * spread / np.sqrt(n))
    return Interval(mean - reach, mean + reach)


def t_test(differences: ArrayLike) -> float | None:
    """Give the two-sided p of a paired t test: is the mean difference 0?

    Args:
        differences: ``(n,)``, one for each pair.

    Returns:
        None for fewer than 2 pairs, or if all differences are alike: without spread the test
        is not defined.

    Example:
        >>> round(t_test([1.0, 2.0, 3.0]), 4)
        0.0742
    """
    numbers = _finite(differences)
    if numbers.size < 2 or float(numbers.std(ddof=1)) < ALL_ALIKE:
        return None
    return float(stats.ttest_1samp(numbers, 0.0).pvalue)


def detectable_mean(differences: ArrayLike) -> float | None:
    """Give the least mean difference that Student's interval would have told from 0.

    That is the mean at which the two-sided test at 5 % has power 0.8 if single differences
    spread as these do. With the standard error ``s`` of the mean of n differences, ``s * d``
    where d solves ``P(|T(n - 1, d)| > t(0.975, n - 1)) = 0.8``, T being noncentral t (Cohen
    1988, Statistical Power Analysis for the Behavioral Sciences, chapter 2). With three
    differences d is 5.7; with many, 2.8. It says what could be seen, not what there is: it
    does not depend on the mean that was found.

    Args:
        differences: ``(n,)``, one for each pair.

    Returns:
        Above 0, in their unit; None for fewer than 2, or if all are alike: then nothing is
        known of their spread.

    Example:
        >>> round(detectable_mean([1.0, 2.0, 3.0]), 3)
        3.264
        >>> detectable_mean([1.0]) is None
        True
    """
    numbers = _finite(differences)
    n = numbers.size
    if n < 2 or float(numbers.std(ddof=1)) < ALL_ALIKE:
        return None
    return float(_detectable_errors(n - 1) * numbers.std(ddof=1) / np.sqrt(n))


@cache
def _detectable_errors(freedom: int) -> float:
    """Give how many standard errors a mean must be away from 0."""
    critical = stats.t.ppf(0.975, freedom)

    def lacking(shift: float) -> float:
        # That it lies beyond 0 on the other side by chance adds less than 0.00001.
        return float(stats.nct.sf(critical, freedom, shift)) - POWER

    # Of two values it is 1.3 times the critical one, of more less than 1 beyond it.
    return float(optimize.brentq(lacking, 0.5 * critical, 1.5 * critical + 1.0, xtol=1e-12))


def detectable_normal(standard_error: float) -> float | None:
    """Give the least difference that a normal 95 % interval would have told from 0.

    As ``detectable_mean`` with many differences: ``(z(0.975) + z(0.8)) * standard_error``,
    2.80 standard errors.

    Args:
        standard_error: Of the difference, in any unit; at least 0.

    Returns:
        Above 0, in that unit; None for an error of 0: nothing varied.

    Example:
        >>> round(detectable_normal(1.0), 4)
        2.8016
    """
    if standard_error < ALL_ALIKE:
        return None
    return float((stats.norm.ppf(0.975) + stats.norm.ppf(POWER)) * standard_error)


def pearson(x: ArrayLike, y: ArrayLike) -> Correlation:
    """Correlate two quantities over the pairs in which both are known.

    Args:
        x: ``(n,)``, NaN where not known.
        y: ``(n,)``, likewise.

    Returns:
        Without r, and with the reason, for fewer than 3 pairs or where one does not vary.
        Fisher's interval is ``tanh(atanh(r) ± 1.96 / sqrt(n - 3))``.

    Example:
        >>> found = pearson([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 2.0, 5.0])
        >>> round(found.r, 4), round(found.p, 4), found.n
        (0.8944, 0.1056, 4)
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    n = int(a.size)
    if n < 3:
        return Correlation(None, None, None, None, None, n, "fewer than 3 pairs")
    if float(a.std()) < ALL_ALIKE or float(b.std()) < ALL_ALIKE:
        return Correlation(None, None, None, None, None, n, "one of them does not vary")
    found = stats.pearsonr(a, b)
    r = float(np.clip(found.statistic, -1.0, 1.0))
    low = high = None
    if n > 3 and abs(r) < 1.0:
        reach = float(stats.norm.ppf(0.975)) / np.sqrt(n - 3)
        low, high = (float(np.tanh(np.arctanh(r) + way * reach)) for way in (-1, 1))
    # Means that are equal differ in their last digit by the order of summation: ranks must not.
    rank = float(stats.spearmanr(a.round(ROUNDING), b.round(ROUNDING)).statistic)
    return Correlation(r, float(found.pvalue), low, high, rank, n)


def benjamini_hochberg(p_values: ArrayLike) -> FloatVector:
    """Give, for each p value, the smallest false discovery rate at which it is a discovery.

    Benjamini and Hochberg (1995, J. R. Statist. Soc. B 57, 289-300).

    Args:
        p_values: ``(n,)`` in [0, 1].

    Returns:
        ``(n,)``: those at most q are the discoveries at rate q.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.size == 0:
        return p
    order = np.argsort(p, kind="stable")
    scaled = p[order] * p.size / np.arange(1, p.size + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def _finite(values: ArrayLike) -> FloatVector:
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    if numbers.size == 0 or not np.isfinite(numbers).all():
        raise ValueError("A mean needs at least one value, and all of them finite.")
    return numbers
