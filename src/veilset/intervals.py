# SPDX-License-Identifier: Apache-2.0
"""Intervals of proportions, means and counts, for every number that can be published.

And ``holm``, for p values: where there are several, some are small by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from veilset.errors import ConfigError

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the exact interval of a binomial proportion (Clopper and Pearson, 1934).

    Args:
        k: Number of hits, ``0 <= k <= n``.
        n: Number of trials, at least 1.
        confidence: Coverage of the interval, between 0 and 1.

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        ConfigError: If ``k`` and ``n`` make no proportion.

    Example:
        >>> low, high = clopper_pearson(0, 59)
        >>> low, round(high, 4)
        (0.0, 0.0606)
    """
    _check_proportion(k, n)
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else _solve(lambda p: binomial_tail(k, n, p) - tail)
    high = 1.0 if k == n else _solve(lambda p: binomial_tail(k + 1, n, p) - (1 - tail))
    return low, high


def wilson(k: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Give the score interval of a binomial proportion (Wilson, 1927).

    Its coverage is near the nominal one on average; use ``clopper_pearson`` where it must
    not fall below.

    Args:
        k: Number of hits, ``0 <= k <= n``.
        n: Number of trials, at least 1.
        z: Normal quantile of the coverage.

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        ConfigError: If ``k`` and ``n`` make no proportion.

    Example:
        >>> [round(end, 4) for end in wilson(90, 100)]
        [0.8256, 0.9448]
    """
    _check_proportion(k, n)
    p, z2 = k / n, z * z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # At the ends the formula meets 0 and 1 exactly; rounding must not step over.
    low = 0.0 if k == 0 else max(0.0, middle - half)
    high = 1.0 if k == n else min(1.0, middle + half)
    return low, high


def bounded_mean(values: Sequence[float], z: float = Z_95) -> tuple[float, float]:
    """Give an interval of the mean of independent values between 0 and 1.

    Half of ``z ** 2`` observations of 0 and as many of 1 are added, and the normal interval
    of their mean is taken. For values of 0 and 1 only it is the interval of Agresti and Coull
    (1998); for others it is as wide as they vary, and never empty where they are all alike.

    Args:
        values: At least one, in [0, 1].
        z: Normal quantile of the coverage.

    Returns:
        Lower and upper end, in [0, 1]; the mean lies between them.

    Raises:
        ConfigError: If there is no value, or one outside [0, 1].

    Example:
        >>> [round(end, 3) for end in bounded_mean([1.0] * 20)]
        [0.81, 1.0]
    """
    if not values or not all(0 <= value <= 1 for value in values):
        raise ConfigError("A mean needs at least one value, all of them between 0 and 1.")
    added = z * z / 2
    n = len(values) + 2 * added
    middle = (math.fsum(values) + added) / n
    spread = (math.fsum(value * value for value in values) + added) / n - middle * middle
    half = z * math.sqrt(max(0.0, spread) / n)
    mean = math.fsum(values) / len(values)
    return min(mean, max(0.0, middle - half)), max(mean, min(1.0, middle + half))


def poisson_interval(k: float, confidence: float = 0.95) -> tuple[float, float]:
    """Give the exact interval of the mean of a Poisson count (Garwood, 1936).

    Args:
        k: The count, from 0 on; need not be whole, for counts that were scaled.
        confidence: Coverage of the interval, between 0 and 1.

    Returns:
        Lower and upper end.

    Raises:
        ConfigError: If ``k`` is no count.

    Example:
        >>> [round(end, 3) for end in poisson_interval(10)]
        [4.795, 18.39]
    """
    if not (math.isfinite(k) and k >= 0):
        raise ConfigError(f"{k} is no count. Give a number from 0 on.")
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else _gamma_quantile(k, tail)
    return low, _gamma_quantile(k + 1, 1 - tail)


def clustered_rate(counts: Sequence[int], exposure: float) -> tuple[float, float]:
    """Give the 95 % interval of a rate of events that come in clusters.

    The events of a cluster, the faces of an image, are not independent. The dispersion
    ``phi`` is the variance of the counts divided by their mean, at least 1; Garwood's
    interval is taken of ``sum / phi`` events and scaled back (quasi-Poisson; McCullagh and
    Nelder 1989, section 6.2). With one event at most in a cluster it is Garwood's own.

    Args:
        counts: Events of each cluster, those without any too.
        exposure: What the rate is per, over all clusters: minutes, images; above 0.

    Returns:
        Lower and upper end of the rate.

    Raises:
        ConfigError: If there is no cluster, a count is negative or the exposure is not
            above 0.

    Example:
        >>> [round(end, 3) for end in clustered_rate([0] * 99 + [1], 100)]
        [0.0, 0.056]
        >>> [round(end, 3) for end in clustered_rate([0] * 90 + [10] * 10, 100)]
        [0.499, 1.789]
    """
    if not (counts and min(counts) >= 0 and exposure > 0):
        raise ConfigError("A rate needs clusters with counts from 0 on and an exposure above 0.")
    total, n = sum(counts), len(counts)
    phi = 1.0
    if total and n > 1:
        mean = total / n
        phi = max(1.0, math.fsum((count - mean) ** 2 for count in counts) / (n - 1) / mean)
    low, high = poisson_interval(total / phi)
    return low * phi / exposure, high * phi / exposure


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number, after Holm (1979, Scand. J. Statist. 6, 65-70).

    Args:
        p_values: One for each test, in [0, 1].

    Returns:
        The corrected values, in the same order: reject where one is below 0.05, and the
        probability of a single false rejection among all is below 0.05.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    least = 0.0
    for rank, (p, i) in enumerate(sorted((p, i) for i, p in enumerate(p_values))):
        least = max(least, min(1.0, (len(p_values) - rank) * p))
        corrected[i] = least
    return corrected


def _check_proportion(k: int, n: int) -> None:
    if n < 1 or not 0 <= k <= n:
        raise ConfigError(f"{k} of {n} is no proportion. Give 0 <= k <= n and n of at least 1.")


def _solve(function: Callable[[float], float]) -> float:
    """Find the zero of a rising function on [0, 1] by halving."""
    low, high = 0.0, 1.0
    # 60 halvings reach the last bit of a float in this range.
    for _ in range(60):
        middle = (low + high) / 2
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def binomial_tail(k: int, n: int, p: float) -> float:
    """Give the probability of at least ``k`` hits in ``n`` trials, ``1 <= k <= n``.

    It is the regularised incomplete beta function ``I_p(k, n - k + 1)``, from its
    continued fraction (Press et al., Numerical Recipes, 3rd ed., section 6.4).

    Example:
        >>> round(binomial_tail(1, 2, 0.5), 12)
        0.75
    """
    if p <= 0.0 or p >= 1.0:
        return float(p >= 1.0)
    a, b = float(k), float(n - k + 1)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        + a * math.log(p) + b * math.log1p(-p)
    )  # fmt: skip
    front = math.exp(log_front)
    # The fraction converges fast on its own side of the mean only.
    if p < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, p) / a
    return 1.0 - front * _beta_fraction(b, a, 1.0 - p) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction by Lentz's method."""
    tiny = 1e-300
    c = 1.0
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d, tiny)
            c = _away_from_zero(1.0 + term / c, tiny)
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


def gamma_share(shape: float, x: float) -> float:
    """Give the regularised lower incomplete gamma function ``P(shape, x)``.

    It is the probability that a gamma variable of that shape is at most ``x``; for a whole
    shape ``k``, that a Poisson count of mean ``x`` is at least ``k``. Series below the mean,
    continued fraction above (Press et al., Numerical Recipes, 3rd ed., section 6.2).

    Args:
        shape: Above 0.
        x: From 0 on.

    Example:
        >>> round(gamma_share(1.0, 2.0), 12) == round(1 - math.exp(-2.0), 12)
        True
    """
    if x <= 0.0:
        return 0.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        return front * _gamma_series(shape, x)
    return 1.0 - front * _gamma_fraction(shape, x)


def _gamma_series(shape: float, x: float) -> float:
    term = total = 1.0 / shape
    for n in range(1, 1_000_000):
        term *= x / (shape + n)
        total += term
        if term < total * 1e-16:
            break
    return total


def _gamma_fraction(shape: float, x: float) -> float:
    """Evaluate the continued fraction by Lentz's method."""
    tiny = 1e-300
    b = x + 1 - shape
    c = 1 / tiny
    d = value = 1 / _away_from_zero(b, tiny)
    for n in range(1, 1_000_000):
        term = n * (shape - n)
        b += 2
        d = 1 / _away_from_zero(term * d + b, tiny)
        c = _away_from_zero(b + term / c, tiny)
        value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def _gamma_quantile(shape: float, share: float) -> float:
    # Far beyond any quantile between 1e-4 and 1 - 1e-4, for small and for large shapes.
    limit = shape + 10 * math.sqrt(shape) + 30
    return limit * _solve(lambda part: gamma_share(shape, part * limit) - share)
