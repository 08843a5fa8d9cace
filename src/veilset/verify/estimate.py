# SPDX-License-Identifier: Apache-2.0
"""From a sample to a rate with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from veilset.errors import ConfigError
from veilset.types import Direction, Measurement


def missed_face_rate(
    which: str, n_missed: int, n_sampled: int, inputs: Mapping[str, str]
) -> Measurement:
    """Estimate the share of images that show a missed face.

    Args:
        which: ``untouched`` or ``touched``: the images it speaks of.
        n_missed: Images of the sample in which a face was found at leak level.
        n_sampled: Images in the sample, at least 1.
        inputs: Digests of what was measured, by name.

    Returns:
        The share with its exact 95 % interval. It counts what the detectors of the
        verification can find, so it is a lower bound of what people would.
    """
    low, high = clopper_pearson(n_missed, n_sampled)
    return Measurement(
        name=f"{which} images with a missed face",
        value=n_missed / n_sampled,
        low=low,
        high=high,
        n=n_sampled,
        direction=Direction.LOWER,
        inputs=inputs,
    )


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
    if n < 1 or not 0 <= k <= n:
        raise ConfigError(f"{k} of {n} is no proportion. Give 0 <= k <= n and n of at least 1.")
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else _solve(lambda p: binomial_tail(k, n, p) - tail)
    high = 1.0 if k == n else _solve(lambda p: binomial_tail(k + 1, n, p) - (1 - tail))
    return low, high


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
