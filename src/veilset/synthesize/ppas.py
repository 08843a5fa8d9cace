# SPDX-License-Identifier: Apache-2.0
"""PPAS (our reconstruction): attributes brought close to those of everybody, then drawn.

Privacy-Preserving Attribute Selection is a step of AnonymousNet (Li and Lin 2019, CVPR
Workshops, arXiv:1904.12620). Its algorithm could not be found in any open source. What stands
here is our reading of what is said about it, and may differ from the authors' own: results must
not be called results of PPAS without "our reconstruction".

In each group of faces (a folder, a person, or all) and for each editable attribute:

1. flip: while the distribution of the group is farther than t from the reference (t-closeness),
   the cheapest faces that have an over-represented value get the neighbouring one. For an
   attribute that is there or not these are the ``ceil(n (|q - p| - t))`` cheapest faces;
2. draw: each value is kept with probability ``1 - epsilon``, else drawn from the reference;
3. check: where the draws have led out of t again, the same for this group and attribute, in at
   most R rounds. What is out of t even then is reported, never hidden by another flip: the last
   thing that happens to a value is the draw that the bound speaks of.

The bound is no comfort at usual settings: over the 27 attributes of CelebA that are free where
the gender is kept, with their shares among 3,528 faces, it is 109 nats for an epsilon of 0.1 and
54 for 0.5 (1 is called strong). And small groups cannot come close to anything: with people as
groups of 21 faces on average and t of 0.1, 146 of 4,455 pairs of person and attribute stay out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import ConfigError
from veilset.synthesize.closeness import (
    BOUND_COVERS,
    FloatVector,
    IntMatrix,
    check_reference,
    earth_movers_distance,
    randomised_response_bound,
)

METHOD_NAME = "PPAS (our reconstruction)"

IntVector = NDArray[np.int64]
BoolVector = NDArray[np.bool_]

_ROUNDING = 1e-9
"""Counts and distances that differ by less are equal."""


@dataclass(frozen=True, slots=True)
class PpasSettings:
    """Settings of PPAS (our reconstruction).

    Attributes:
        t: Largest distance from the reference that is allowed, in [0, 1].
        epsilon: Probability that a value is drawn from the reference, in [0, 1].
        n_rounds: R, at least 1.
        seed: Of the draws.

    Raises:
        ConfigError: If one is out of its range.
    """

    t: float = 0.1
    epsilon: float = 0.1
    n_rounds: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.t <= 1 and 0 <= self.epsilon <= 1):
            raise ConfigError(
                f"{METHOD_NAME} got t={self.t} and epsilon={self.epsilon}. Give both from 0 to 1."
            )
        if self.n_rounds < 1 or self.seed < 0:
            raise ConfigError(
                f"{METHOD_NAME} got {self.n_rounds} rounds and the seed {self.seed}. Give at least "
                "one round, and a seed from 0 on."
            )


class Unmet(NamedTuple):
    """A group that is farther than t from the reference in an attribute."""

    group: int
    attribute: int
    distance: float


@dataclass(frozen=True, slots=True)
class Selection:
    """What PPAS (our reconstruction) chose, and what can be said of it.

    The distances and the number of edits are counts over all faces that were given, not
    estimates from some of them: they have no interval.

    Attributes:
        values: ``(N, K)``, the new levels.
        n_edits: How many of the N times K values are others than before.
        distance_before: Largest distance over groups and editable attributes; 0 without any.
        distance_after: The same of the new values.
        unmet: Where t does not hold: too few faces to come so close, or R rounds were not enough.
        n_rounds: The most rounds that any group and attribute took.
        bound: Of the last draw, in nats: the sum of ``randomised_response_bound`` over the
            editable attributes; see ``bound_covers``.
        bound_covers: What the bound does and does not cover.
    """

    values: IntMatrix = field(repr=False)
    n_edits: int
    distance_before: float
    distance_after: float
    unmet: tuple[Unmet, ...]
    n_rounds: int
    bound: float
    bound_covers: str = BOUND_COVERS


def ppas_our_reconstruction(
    values: ArrayLike,
    reference: Sequence[ArrayLike],
    editable: ArrayLike,
    settings: PpasSettings,
    *,
    groups: ArrayLike | None = None,
    margins: ArrayLike | None = None,
    costs: ArrayLike | None = None,
) -> Selection:
    """Select attributes by PPAS (our reconstruction).

    Args:
        values: ``(N, K)`` levels from 0 on; True and False will do. An attribute of more than
            two levels is taken as ordered. The draws go by rows: keep the order of the data set.
        reference: K distributions, ``(m_k,)`` each (``closeness.two_levels`` makes them of
            shares).
        editable: ``(K,)`` bool; other attributes stay as they are.
        settings: t, epsilon, R and the seed.
        groups: ``(N,)`` integers, the group of each face; left out, all are one group.
        margins: ``(N, K)`` from 0 on, how sure the classifier is of each value, such as the
            absolute value of its logit; left out, all are alike and the first rows are cheapest.
        costs: ``(K,)`` from 0 on, w; a change by one level costs this times the margin. It
            does not change which faces are cheapest within one attribute, and weighs nothing else.

    Raises:
        ConfigError: If the arguments do not go together.

    Example:
        >>> settings = PpasSettings(t=0.25, epsilon=0.0)
        >>> found = ppas_our_reconstruction(
        ...     [[1], [1], [1], [1]], [[0.5, 0.5]], [True], settings, margins=[[4], [1], [3], [2]])
        >>> found.values.ravel().tolist(), found.distance_before, found.distance_after
        ([1, 0, 1, 1], 0.5, 0.25)
    """
    levels, shares, columns = _checked(values, reference, editable)
    cost = _cost(levels, margins, costs)
    members = _members(groups, len(levels))
    new = levels.copy()
    editables = [int(k) for k in np.flatnonzero(columns)]
    before, after, unmet, n_rounds = [0.0], [0.0], [], 0
    for k in editables:
        rng = np.random.default_rng([settings.seed, k])
        for group, rows in members:
            before.append(_distance(levels[rows, k], shares[k]))
            settled, rounds = _settle(levels[rows, k], shares[k], cost[rows, k], settings, rng)
            new[rows, k] = settled
            after.append(_distance(settled, shares[k]))
            n_rounds = max(n_rounds, rounds)
            if after[-1] > settings.t + _ROUNDING:
                unmet.append(Unmet(group, k, after[-1]))
    return Selection(
        values=new,
        n_edits=int((new != levels).sum()),
        distance_before=max(before),
        distance_after=max(after),
        unmet=tuple(unmet),
        n_rounds=n_rounds,
        bound=sum(randomised_response_bound(shares[k], settings.epsilon) for k in editables),
    )


def _settle(
    levels: IntVector,
    p: FloatVector,
    cost: FloatVector,
    settings: PpasSettings,
    rng: np.random.Generator,
) -> tuple[IntVector, int]:
    """Flip, draw and check one attribute of one group; give the levels and the rounds taken."""
    found = levels
    for done in range(1, settings.n_rounds + 1):
        found = flip_cheapest(found, p, cost, settings.t)
        if settings.epsilon == 0:
            return found, done
        is_drawn = rng.random(len(found)) < settings.epsilon
        found = np.where(is_drawn, rng.choice(len(p), size=len(found), p=p), found)
        if _distance(found, p) <= settings.t + _ROUNDING:
            return found, done
    return found, settings.n_rounds


def flip_cheapest(levels: IntVector, p: FloatVector, cost: FloatVector, t: float) -> IntVector:
    """Bring one attribute of one group within t of the reference, or as near as it can come.

    Let ``F_i`` be the share of faces at level i or below, less that of the reference. Moving a
    face from i to i + 1 changes ``F_i`` by ``-1 / n`` and no other, and the distance is the mean
    of ``|F_i|``: so faces are moved over the level where it is largest, one of them for each
    ``1 / (n (m - 1))`` that the distance is too large, and never so many that it grows again.

    Args:
        levels: ``(n,)``, at least one.
        p: ``(m,)``.
        cost: ``(n,)``, of a move by one level.
        t: The distance that is allowed.

    Returns:
        ``(n,)``; the distance is at most t, or the least that n faces can have.

    Example:
        >>> flip_cheapest(np.array([0, 0, 0]), np.array([0, 0, 1.0]), np.array([3.0, 1, 2]), 0.7)
        array([0, 1, 1])
    """
    found, n, m = levels.copy(), len(levels), len(p)
    ahead = np.cumsum(p)[:-1]
    while True:
        excess = np.cumsum(np.bincount(found, minlength=m))[:-1] / n - ahead
        lacking = math.ceil(n * (np.abs(excess).sum() - (m - 1) * t) - _ROUNDING)
        if lacking <= 0:
            return found
        # The j-th move over a level helps as long as j < n |F| + 1/2.
        helpful = np.ceil(n * np.abs(excess) + 0.5 - _ROUNDING).astype(np.int64) - 1
        source = np.arange(m - 1) + (excess < 0)
        movable = np.minimum(helpful, np.bincount(found, minlength=m)[source])
        if not movable.any():
            return found
        # Where |F| is largest there are faces to move, or it is as large next to it: without
        # faces at the level, F there is no larger than before it.
        at = int(np.argmax(np.where(movable > 0, np.abs(excess), -1.0)))
        rows = np.flatnonzero(found == source[at])
        cheapest = rows[np.argsort(cost[rows], kind="stable")]
        found[cheapest[: min(lacking, int(movable[at]))]] += 1 if excess[at] > 0 else -1


def _distance(levels: IntVector, p: FloatVector) -> float:
    return earth_movers_distance(np.bincount(levels, minlength=len(p)) / len(levels), p)


def _checked(
    values: ArrayLike, reference: Sequence[ArrayLike], editable: ArrayLike
) -> tuple[IntMatrix, list[FloatVector], BoolVector]:
    given = np.asarray(values)
    if given.dtype.kind not in "biu":
        raise ConfigError(f"Values of type {given.dtype} are no levels. Give whole numbers.")
    levels, columns = given.astype(np.int64), np.asarray(editable, np.bool_)
    shares = check_reference(reference)
    if levels.ndim != 2 or columns.shape != levels.shape[1:] or len(shares) != levels.shape[1]:
        raise ConfigError(
            f"Values of shape {levels.shape}, {len(shares)} references and a choice of shape "
            f"{columns.shape} do not go together. Give (N, K), K and (K,)."
        )
    limits = np.array([len(p) for p in shares])
    if not len(levels) or ((levels < 0) | (levels >= limits)).any():
        raise ConfigError(
            "A value is no level of its reference, or there is no face. Give at least one face, "
            "and levels from 0 to one less than the reference has."
        )
    return levels, shares, columns


def _cost(levels: IntMatrix, margins: ArrayLike | None, costs: ArrayLike | None) -> FloatVector:
    margin = np.ones(levels.shape) if margins is None else np.asarray(margins, np.float64)
    weight = np.ones(levels.shape[1]) if costs is None else np.asarray(costs, np.float64)
    is_usable = margin.shape == levels.shape and weight.shape == levels.shape[1:]
    if not (is_usable and (margin >= 0).all() and (weight >= 0).all()):
        raise ConfigError(
            f"Margins of shape {margin.shape} and costs of shape {weight.shape} cannot be used for "
            f"values of shape {levels.shape}. Give (N, K) and (K,), all from 0 on."
        )
    return margin * weight


def _members(groups: ArrayLike | None, n: int) -> list[tuple[int, IntVector]]:
    """Give each group with the rows of its faces, in the order of the numbers of the groups."""
    given = np.zeros(n, np.int64) if groups is None else np.asarray(groups)
    if given.shape != (n,) or given.dtype.kind not in "iu":
        raise ConfigError(f"Groups of shape {given.shape} do not go with {n} faces. Give integers.")
    return [(int(each), np.flatnonzero(given == each)) for each in np.unique(given)]
