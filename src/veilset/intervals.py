# SPDX-License-Identifier: Apache-2.0
"""Intervals of proportions, for every number that can be published."""

from __future__ import annotations

import math
from collections.abc import Callable

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
