# SPDX-License-Identifier: Apache-2.0
"""Is a share different in one group than in the rest? Tests in which each image counts once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from veilset.audit.shares import Clusters, clustered_share


@dataclass(frozen=True, slots=True)
class GroupSums:
    """Sums over images, of a group and of everything; ``H`` and ``N`` are of everything.

    Attributes:
        group: ``h`` hits among ``n`` regions of the group, and their products.
        everything: The same of all regions.
        h_all: Sum of ``h * H``.
        h_n_all: Sum of ``h * N``.
        n_h_all: Sum of ``n * H``.
        n_all: Sum of ``n * N``.
        images_rest: Images with regions that are not of the group.
    """

    group: Clusters
    everything: Clusters
    h_all: int
    h_n_all: int
    n_h_all: int
    n_all: int
    images_rest: int

    @property
    def rest(self) -> Clusters:
        """The sums of all regions that are not of the group."""
        one, all_ = self.group, self.everything
        return Clusters(
            self.images_rest,
            all_.h - one.h,
            all_.n - one.n,
            all_.hh - 2 * self.h_all + one.hh,
            all_.hn - self.h_n_all - self.n_h_all + one.hn,
            all_.nn - 2 * self.n_all + one.nn,
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """How far the share of a group lies from that of the rest.

    Attributes:
        value: Share of the group minus share of the rest.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        p: Probability of a difference at least as large if there were none.
    """

    value: float
    low: float
    high: float
    p: float


def compare(sums: GroupSums) -> Difference:
    """Compare a group with the rest.

    The test is the score test of two ratios, with the variance over images (an image may
    have regions of both): hits are compared with those expected if all regions had the
    same share. The interval is Newcombe's (1998, method 10), of intervals in which each
    image counts once; it takes the group and the rest for independent.

    Args:
        sums: The group and the rest have at least one region each.
    """
    one, rest, all_ = sums.group, sums.rest, sums.everything
    mine, other = clustered_share("", one), clustered_share("", rest)
    if mine is None or other is None:
        raise ValueError("a group without regions, or without a rest, cannot be compared")
    value = mine.value - other.value
    low = value - math.hypot(mine.value - mine.low, other.high - other.value)
    high = value + math.hypot(mine.high - mine.value, other.value - other.low)
    p = all_.h / all_.n
    c = 1 / one.n + 1 / rest.n
    own = one.hh - 2 * p * one.hn + p * p * one.nn
    both = sums.h_all - p * (sums.h_n_all + sums.n_h_all) + p * p * sums.n_all
    whole = all_.hh - 2 * p * all_.hn + p * p * all_.nn
    variance = c * c * own - 2 * c * both / rest.n + whole / rest.n**2
    variance *= all_.images / max(1, all_.images - 1)
    if variance <= 1e-18:
        return Difference(value, low, high, 1.0)
    return Difference(value, low, high, math.erfc(abs(value) / math.sqrt(2 * variance)))
