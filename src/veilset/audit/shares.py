# SPDX-License-Identifier: Apache-2.0
"""Shares and rates with their intervals, from sums: they cost the same for any number of images.

An interval says how far the number would move if the images were another sample of the same
kind. It knows nothing of what the detector missed or saw in error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from veilset.intervals import Z_95, poisson_interval, wilson
from veilset.types import Measurement


def share_of(name: str, k: int, n: int) -> Measurement | None:
    """Give a share of independent images with Wilson's interval; None if there are none.

    Example:
        >>> share_of("images with a face", 0, 0) is None
        True
        >>> found = share_of("images with a face", 17, 100)
        >>> found.value, round(found.low, 3), round(found.high, 3), found.n
        (0.17, 0.109, 0.255, 100)
    """
    if n == 0:
        return None
    low, high = wilson(k, n)
    return Measurement(name, k / n, low, high, n)


def wilson_sql(k: str, n: str) -> tuple[str, str]:
    """Give Wilson's ends as expressions of SQL, null where ``n`` is 0.

    Args:
        k: Expression of the number of hits.
        n: Expression of the number of trials.
    """
    z2 = Z_95 * Z_95
    share = f"({k})::DOUBLE / nullif({n}, 0)"
    middle = f"({share} + {z2 / 2!r} / ({n})) / (1 + {z2!r} / ({n}))"
    half = (
        f"{Z_95!r} / (1 + {z2!r} / ({n})) * "
        f"sqrt({share} * (1 - {share}) / ({n}) + {z2 / 4!r} / (({n})::DOUBLE * ({n})))"
    )
    return (
        f"CASE WHEN ({n}) = 0 THEN NULL WHEN ({k}) = 0 THEN 0.0 "
        f"ELSE greatest(0.0, {middle} - {half}) END",
        f"CASE WHEN ({n}) = 0 THEN NULL WHEN ({k}) = ({n}) THEN 1.0 "
        f"ELSE least(1.0, {middle} + {half}) END",
    )


@dataclass(frozen=True, slots=True)
class Clusters:
    """Sums over images of ``h``, the hits among the ``n`` faces of each.

    Attributes:
        images: Images with at least one face.
        h: Sum of ``h``.
        n: Sum of ``n``.
        hh: Sum of ``h * h``.
        hn: Sum of ``h * n``.
        nn: Sum of ``n * n``.
    """

    images: int
    h: int
    n: int
    hh: int
    hn: int
    nn: int


def effective_n(sums: Clusters) -> float:
    """Give the number of independent faces that these are worth, at most ``n``.

    Faces of one image are alike: all of them are blurred, or small, or found. The design
    effect is the variance of the ratio over images (Cochran, Sampling Techniques, 3rd ed.,
    section 6.3) divided by that of independent faces. Where every face is a hit, or none,
    the variance says nothing; each image then counts as one face.

    Example:
        >>> effective_n(Clusters(images=100, h=50, n=100, hh=50, hn=50, nn=100))
        99.0
        >>> alike = Clusters(images=20, h=50, n=100, hh=250, hn=250, nn=500)
        >>> round(effective_n(alike))
        19
    """
    if sums.h in (0, sums.n):
        return float(sums.images)
    if sums.images < 2:
        return 1.0
    p = sums.h / sums.n
    spread = sums.hh - 2 * p * sums.hn + p * p * sums.nn
    variance = sums.images / (sums.images - 1) * spread / sums.n**2
    effect = variance / (p * (1 - p) / sums.n)
    return sums.n / max(1.0, effect)


def clustered_share(name: str, sums: Clusters) -> Measurement | None:
    """Give a share of faces, which come several to an image, with its interval.

    Wilson's interval of as many faces as they are worth (Dean and Pagano, 2015).

    Args:
        name: What was measured.
        sums: Sums over images.

    Returns:
        The share; its ``n`` is the number of faces. None if there are none.
    """
    if sums.n == 0:
        return None
    p = sums.h / sums.n
    low, high = _score_interval(p, effective_n(sums))
    return Measurement(name, p, min(low, p), max(high, p), sums.n)


def _score_interval(p: float, n: float) -> tuple[float, float]:
    """Wilson's interval for a number of trials that need not be whole."""
    z2 = Z_95 * Z_95
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def rate_of(name: str, histogram: Mapping[int, int], unit: str) -> Measurement | None:
    """Give the mean of counts with the interval of ``intervals.clustered_rate``.

    Args:
        name: What was measured.
        histogram: How many images have each count.
        unit: Unit of the mean.

    Example:
        >>> rate = rate_of("faces per image", {0: 90, 10: 10}, "faces")
        >>> rate.value, round(rate.low, 3), round(rate.high, 3), rate.n
        (1.0, 0.499, 1.789, 100)
    """
    n = sum(histogram.values())
    if n == 0:
        return None
    total = sum(count * times for count, times in histogram.items())
    mean = total / n
    phi = 1.0
    if total and n > 1:
        spread = math.fsum(times * (count - mean) ** 2 for count, times in histogram.items())
        phi = max(1.0, spread / (n - 1) / mean)
    low, high = poisson_interval(total / phi)
    return Measurement(name, mean, low * phi / n, high * phi / n, n, unit)


def mean_share(name: str, n: int, total: float, squares: float) -> Measurement | None:
    """Give a mean of shares with the interval of ``intervals.bounded_mean``.

    Args:
        name: What was measured.
        n: Number of independent values in [0, 1].
        total: Their sum.
        squares: Sum of their squares.
    """
    if n == 0:
        return None
    added = Z_95 * Z_95 / 2
    m = n + 2 * added
    middle = (total + added) / m
    half = Z_95 * math.sqrt(max(0.0, (squares + added) / m - middle * middle) / m)
    mean = total / n
    low, high = min(mean, max(0.0, middle - half)), max(mean, min(1.0, middle + half))
    return Measurement(name, mean, low, high, n)


def as_json(measured: Measurement | None) -> dict[str, object] | None:
    """Give a measurement as JSON values, None for one that could not be made."""
    if measured is None:
        return None
    return {
        "name": measured.name,
        "value": measured.value,
        "low": measured.low,
        "high": measured.high,
        "n": measured.n,
        "unit": measured.unit,
    }
