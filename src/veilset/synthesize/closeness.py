# SPDX-License-Identifier: Apache-2.0
"""How far attributes are from a reference, and how much the new ones tell of the old.

An attribute has ``m`` levels, 0 to m - 1: two for one that is there or not, more for one with an
order, such as bins of age.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import ConfigError
from veilset.intervals import clopper_pearson
from veilset.types import Direction, Measurement

FloatVector = NDArray[np.float64]
IntMatrix = NDArray[np.int64]

BOUND_COVERS = (
    "The bound covers the attributes of one face given a fixed selection: the draws after the "
    "flips of one round. It does not cover the flips, which look at the other faces of the group, "
    "nor the check that may ask for another round, nor the image."
)
"""To be printed wherever the bound is."""


def earth_movers_distance(shares: ArrayLike, reference: ArrayLike) -> float:
    """Give how far two distributions over ordered levels are apart.

    ``sum_i |sum_(j <= i) (q_j - p_j)| / (m - 1)``, the ordered distance of t-closeness (Li, Li
    and Venkatasubramanian 2007, ICDE, section 4.2). For two levels it is ``|q_1 - p_1|``.

    Args:
        shares: ``(m,)``, q, sums to 1.
        reference: ``(m,)``, p, sums to 1.

    Returns:
        In [0, 1]; 0 for equal ones.

    Example:
        >>> earth_movers_distance([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
        0.5
        >>> earth_movers_distance([0.75, 0.25], [0.5, 0.5])
        0.25
    """
    q, p = np.asarray(shares, np.float64), np.asarray(reference, np.float64)
    return float(np.abs(np.cumsum(q - p)[:-1]).sum() / (len(p) - 1))


def two_levels(shares: ArrayLike) -> list[FloatVector]:
    """Give the reference of attributes that are there or not.

    Args:
        shares: ``(K,)`` in [0, 1], how often each is there.

    Returns:
        K times ``(2,)``: absent, present.

    Example:
        >>> [each.tolist() for each in two_levels([0.25])]
        [[0.75, 0.25]]
    """
    return [np.array([1 - share, share]) for share in np.asarray(shares, np.float64)]


def check_reference(reference: Sequence[ArrayLike]) -> list[FloatVector]:
    """Give the reference as arrays.

    Raises:
        ConfigError: If one is no distribution over two levels or more.
    """
    found = [np.asarray(each, np.float64) for each in reference]
    for k, p in enumerate(found):
        is_usable = p.ndim == 1 and len(p) > 1 and (p >= 0).all() and abs(p.sum() - 1) < 1e-9
        if not is_usable:
            raise ConfigError(
                f"The reference of attribute {k} is no distribution. Give at least two shares "
                "from 0 on that sum to 1."
            )
    return found


def randomised_response_bound(reference: ArrayLike, epsilon: float) -> float:
    """Give the local differential privacy of one attribute's draw, in nats.

    The value is kept with probability ``1 - epsilon``, else drawn from the reference p. Of two
    faces with other values, an output o is at most ``((1 - epsilon) + epsilon p_o) / (epsilon
    p_o)`` times likelier for one: the bound is the logarithm of the largest of these (Warner
    1965, J. Am. Stat. Assoc. 60, 63-69, in today's terms). Those of several attributes add up.

    Args:
        reference: ``(m,)``, p.
        epsilon: In [0, 1]; the name is that of AnonymousNet, not the privacy parameter.

    Returns:
        At least 0; infinite for ``epsilon`` 0, or where p has a level of share 0.

    Raises:
        ConfigError: If an argument is outside its range.

    Example:
        >>> round(randomised_response_bound([0.5, 0.5], 0.5), 4) == round(math.log(3), 4)
        True
        >>> randomised_response_bound([0.5, 0.5], 0.0)
        inf
    """
    (p,) = check_reference([reference])
    if not 0 <= epsilon <= 1:
        raise ConfigError(f"epsilon is {epsilon}. Give a number from 0 to 1.")
    if epsilon == 1:
        return 0.0
    rarest = epsilon * float(p.min())
    return math.log((1 - epsilon + rarest) / rarest) if rarest > 0 else math.inf


def mutual_information(
    before: ArrayLike, after: ArrayLike, *, n_resamples: int = 1000, seed: int = 0
) -> Measurement:
    """Give how many bits the new values of an attribute tell of the old ones.

    The plug-in estimate, ``sum p(a, b) log2(p(a, b) / (p(a) p(b)))``. It is too high by about
    ``(m - 1)^2 / (2 N ln 2)``: where nothing is told it is small, hardly ever 0.

    The interval is the hull of a bootstrap's percentiles and of these mirrored at the estimate
    (Davison and Hinkley 1997, Bootstrap Methods and their Application, section 5.2), in what is
    possible: by themselves the percentiles are above 0 where nothing is told. Where one of the two
    does not vary, it is what the largest share of another level would allow (Clopper and Pearson).
    Of 21 to 1,000 simulated faces with two levels it held the truth in 0.91 of the cases or more.

    Args:
        before: ``(N,)`` levels.
        after: ``(N,)`` levels of the same faces.
        n_resamples: Of the bootstrap over faces that gives the interval.
        seed: Of it.

    Returns:
        From 0 to the entropy of the old values; lower is better.

    Raises:
        ConfigError: If the two do not go together, or there is no face.

    Example:
        >>> mutual_information([0, 1, 0, 1], [1, 0, 1, 0]).value
        1.0
    """
    old, new = np.asarray(before, np.int64), np.asarray(after, np.int64)
    if old.ndim != 1 or old.shape != new.shape or not len(old) or min(old.min(), new.min()) < 0:
        raise ConfigError(
            f"Values of shape {old.shape} and {new.shape} cannot be compared. Give the levels of "
            "the same faces, at least one."
        )
    m = int(max(old.max(), new.max())) + 1
    table = np.bincount(old * m + new, minlength=m * m)
    value = float(_bits(table[None] / len(old), m)[0])
    if np.ptp(old) and np.ptp(new):
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(len(old), table / len(old), size=n_resamples) / len(old)
        ends = np.quantile(_bits(drawn, m), (0.025, 0.975))
        low, high = float(ends[0]), min(math.log2(m), max(ends[1], 2 * value - ends[0]))
    else:
        low, high = 0.0, _entropy(clopper_pearson(0, len(old))[1])
    return Measurement(
        "mutual information of old and new attribute",
        value,
        max(0.0, min(low, 2 * value - high)),
        max(value, float(high)),
        len(old),
        unit="bit",
        direction=Direction.LOWER,
    )


def _entropy(share: float) -> float:
    """Give the entropy in bits of what has two levels, one of them in up to this share."""
    p = min(0.5, share)
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def _bits(joint: FloatVector, m: int) -> FloatVector:
    """Give the mutual information of each row of joint shares, ``(B, m * m)``."""
    table = joint.reshape(-1, m, m)
    product = table.sum(axis=2, keepdims=True) * table.sum(axis=1, keepdims=True)
    # 0 log 0 is 0; where the joint share is above 0 the product is too.
    ratio = np.divide(table, product, out=np.ones_like(table), where=table > 0)
    bits: FloatVector = (table * np.log2(ratio)).sum(axis=(1, 2))
    return np.maximum(bits, 0.0)
