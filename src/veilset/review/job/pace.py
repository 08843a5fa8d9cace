# SPDX-License-Identifier: Apache-2.0
"""How fast people work, from the moments of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from veilset.intervals import binomial_tail, clustered_rate
from veilset.review.views import UNKNOWN, Estimate

PAUSE_MS = 5 * 60_000
"""A longer silence counts as one of this length: then nobody was at work."""

_HOUR_MS = 3_600_000
_BIN_MS = 60_000
_TAIL = 0.025


def images_per_hour(moments_ms: Sequence[int]) -> Estimate:
    """Give the answers in an hour of work, from the last hour of it.

    Args:
        moments_ms: When answers came, in any order; a silence of more than five minutes
            is taken for one of five.

    Returns:
        The rate; its interval is that of counts by the minute (``clustered_rate``).

    Example:
        >>> images_per_hour([minute * 60_000 for minute in range(61)]).value
        60.0
    """
    ordered = sorted(moments_ms, reverse=True)
    worked_ms, ages = 0, []
    for later, earlier in pairwise(ordered):
        worked_ms += min(later - earlier, PAUSE_MS)
        if worked_ms > _HOUR_MS:
            break
        ages.append(worked_ms)
    if not ages or ages[-1] == 0:
        return UNKNOWN
    hours = ages[-1] / _HOUR_MS
    # An age at the very end of a minute still belongs to it.
    counts = [0] * (-(-ages[-1] // _BIN_MS))
    for age in ages:
        counts[max(0, -(-age // _BIN_MS) - 1)] += 1
    low, high = clustered_rate(counts, hours)
    return Estimate(len(ages) / hours, low, high, len(ages))


def median_seconds(seconds: Sequence[float]) -> Estimate:
    """Give the median time on an image, with its interval of order statistics.

    The interval needs no assumption about how times are spread: the number of values below
    the median is binomial. With fewer than six values it reaches from the least to the most.

    Example:
        >>> median_seconds([3.0, 1.0, 2.0])
        Estimate(value=2.0, low=1.0, high=3.0, n=3)
    """
    if not seconds:
        return UNKNOWN
    ordered = sorted(seconds)
    n = len(ordered)
    # The largest rank r with P(fewer than r of n values lie below the median) <= 2.5 %.
    rank, step = 0, 1 << n.bit_length()
    while step:
        if rank + step <= n and 1 - binomial_tail(rank + step, n, 0.5) <= _TAIL:
            rank += step
        step //= 2
    low = max(rank, 1) - 1
    return Estimate(float(median(ordered)), ordered[low], ordered[n - 1 - low], n)


def hours_left(n_left: int, rate: Estimate) -> Estimate:
    """Give the hours of work that are left at that rate.

    Example:
        >>> hours_left(100, Estimate(50.0, 40.0, 0.0, 10)).value
        2.0
    """
    if not rate.value:
        return UNKNOWN
    high = n_left / rate.low if rate.low else None
    low = n_left / rate.high if rate.high else None
    return Estimate(n_left / rate.value, low, high, rate.n)
