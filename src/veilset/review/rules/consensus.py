# SPDX-License-Identifier: Apache-2.0
"""From what several people drew on an image to one set of regions, or to a dispute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import areas, intersections, iou
from veilset.errors import ReviewError
from veilset.review.settings import JobSettings
from veilset.review.values import Drawing, Drawn, boxes_of
from veilset.types import FloatBoxes

RIVAL_SHARE = 0.5
"""Two merged regions of different people, one with this share of itself inside the other,
speak of the same place in different ways."""

_ROWS = 512
"""Boxes, or pairs of them, that are dealt with at once, which bounds the memory."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A region of the merged answers.

    Attributes:
        drawn: The region; see ``merge_replicas`` for its box and its source.
        votes: How many people drew it.
        is_agreed: Whether they are a quorum.
    """

    drawn: Drawn
    votes: int
    is_agreed: bool


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the answers on an image come to.

    Attributes:
        merged: All regions that anybody drew, from the top of the image down; those
            without a quorum too, for whoever settles the dispute.
        is_disputed: Whether somebody has to settle it.
    """

    merged: tuple[Merged, ...]
    is_disputed: bool

    @property
    def drawing(self) -> Drawing:
        """The regions that were agreed on."""
        return tuple(each.drawn for each in self.merged if each.is_agreed)


def quorum_votes(n_people: int, quorum: float) -> int:
    """Give the smallest number of people that is a quorum: ``ceil(quorum * n)``.

    Example:
        >>> [quorum_votes(n, 0.5) for n in (1, 2, 3, 4)], quorum_votes(5, 0.6)
        ([1, 1, 2, 2], 3)
    """
    # 0.6 * 5 must be 3 although a product of floats can come out a little larger.
    return max(1, math.ceil(quorum * n_people - 1e-9))


def merge_replicas(drawings: Sequence[Drawing], settings: JobSettings) -> Consensus:
    """Merge what several people drew on the same image.

    Boxes of different people and of one kind are joined, those with the largest IoU first,
    as long as every two boxes of a group have an IoU of at least ``same_region_iou``
    (complete linkage: a chain of boxes is not one region). A group holds at most one box
    of a person. It is agreed if ``ceil(quorum * n)`` people are in it.

    Each side of a merged box is the median of the sides; of an even number the outer one
    of the two in the middle. What is released must be covered: the mean of two boxes would
    cut off what one of the two meant to cover, while of three boxes a single careless one
    decides nothing. The source is kept if all of a group name the same one, and no other
    region with more votes does.

    The image is disputed if a region has no quorum, or if two agreed regions that no
    person drew both of contain each other by half (``RIVAL_SHARE``): two kinds for one
    place, or a wide and a tight box. A single answer is never disputed and comes back as it is.

    Args:
        drawings: One for each person; neither their order nor that of their boxes matters.
        settings: ``same_region_iou`` and ``quorum``.

    Returns:
        The merged regions and whether they are disputed.

    Raises:
        ReviewError: If there is no answer.

    Example:
        >>> one, two = (Drawn((0, 0, 10, 10)),), (Drawn((1, 0, 11, 10)),)
        >>> merge_replicas([one, two, two], JobSettings()).drawing[0].box_xyxy
        (1.0, 0.0, 11.0, 10.0)
        >>> merge_replicas([one, (), ()], JobSettings()).is_disputed
        True
    """
    if not drawings:
        raise ReviewError("There is no answer on this image to merge. Wait for one.")
    if len(drawings) == 1:
        return Consensus(tuple(Merged(drawn, 1, True) for drawn in drawings[0]), False)
    # People and boxes in an order that depends on what was drawn, not on who came first.
    people = sorted((sorted(drawing, key=_key) for drawing in drawings), key=_keys)
    boxes = [drawn for drawing in people for drawn in drawing]
    owner = np.repeat(np.arange(len(people)), [len(drawing) for drawing in people])
    groups = _groups(boxes, owner, settings.same_region_iou)
    wanted = quorum_votes(len(people), settings.quorum)
    merged = [
        Merged(_merge([boxes[place] for place in group]), len(group), len(group) >= wanted)
        for group in groups
    ]
    is_disputed = not all(each.is_agreed for each in merged) or _has_rivals(
        merged, [frozenset(owner[group].tolist()) for group in groups]
    )
    ordered = sorted(merged, key=lambda each: (-each.votes, _key(each.drawn)))
    return Consensus(tuple(sorted(_own_sources(ordered), key=_from_the_top)), is_disputed)


def _key(drawn: Drawn) -> tuple[float, float, float, float, str, int]:
    return *drawn.box_xyxy, drawn.kind, -1 if drawn.source is None else drawn.source


def _keys(drawing: Sequence[Drawn]) -> list[tuple[float, float, float, float, str, int]]:
    return [_key(drawn) for drawn in drawing]


def _from_the_top(merged: Merged) -> tuple[float, float, tuple[object, ...]]:
    x0, y0, _, _ = merged.drawn.box_xyxy
    return y0, x0, _key(merged.drawn)


def _groups(boxes: Sequence[Drawn], owner: NDArray[np.int64], least: float) -> list[list[int]]:
    """Give the places of the boxes of each group."""
    first, second, overlap = _pairs(boxes, owner, least)
    is_linked = np.zeros((len(boxes), len(boxes)), dtype=np.bool_)
    is_linked[first, second] = is_linked[second, first] = True
    group_of = np.arange(len(boxes))
    size = np.ones(len(boxes), dtype=np.int64)
    members = {place: [place] for place in range(len(boxes))}
    most = int(owner[-1]) + 1 if len(owner) else 0
    # A stable sort leaves equal overlaps in the order of the boxes.
    order = np.argsort(-overlap, kind="stable")
    for start in range(0, len(order), _ROWS):
        some = order[start : start + _ROWS]
        a, b = group_of[first[some]], group_of[second[some]]
        # Most pairs of a stack of boxes speak of groups that are full already.
        for pair in some[(a != b) & (size[a] + size[b] <= most)].tolist():
            one, other = int(group_of[first[pair]]), int(group_of[second[pair]])
            # Boxes of one person are never linked, so a group holds one box of each at most.
            if one == other or not is_linked[np.ix_(members[one], members[other])].all():
                continue
            joined = members.pop(other)
            group_of[joined] = one
            members[one] += joined
            size[one] = len(members[one])
    return list(members.values())


def _pairs(
    boxes: Sequence[Drawn], owner: NDArray[np.int64], least: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Give the pairs that may be joined, ``first < second``, and their IoU, each ``(P,)``."""
    kinds = np.array([drawn.kind for drawn in boxes])
    sides = boxes_of(boxes)
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for start in range(0, len(boxes), _ROWS):
        rows = slice(start, start + _ROWS)
        overlap = iou(sides[rows], sides)
        # A box that everybody left as it was is one region even if it has no area.
        overlap[(sides[rows, None] == sides[None]).all(axis=-1)] = 1.0
        may_join = (kinds[rows, None] == kinds) & (owner[rows, None] != owner)
        first, second = np.nonzero(np.triu(may_join & (overlap >= least), k=1 + start))
        found.append((first + start, second, overlap[first, second]))
    first, second, overlap = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return first, second, overlap


def _merge(group: Sequence[Drawn]) -> Drawn:
    sides = np.sort(boxes_of(group), axis=0)
    low, high = sides[(len(group) - 1) // 2], sides[len(group) // 2]
    x0, y0 = low[:2].tolist()
    x1, y1 = high[2:].tolist()
    sources = {drawn.source for drawn in group}
    source = sources.pop() if len(sources) == 1 else None
    return Drawn((x0, y0, x1, y1), group[0].kind, source)


def _own_sources(ordered: Sequence[Merged]) -> list[Merged]:
    """Leave each source to the first region that names it."""
    taken: set[int] = set()
    owned = []
    for each in ordered:
        source = each.drawn.source
        if source is not None and source in taken:
            each = replace(each, drawn=replace(each.drawn, source=None))
        elif source is not None:
            taken.add(source)
        owned.append(each)
    return owned


def _has_rivals(merged: Sequence[Merged], people: Sequence[frozenset[int]]) -> bool:
    boxes: FloatBoxes = boxes_of(each.drawn for each in merged)
    size = areas(boxes)
    for start in range(0, len(boxes), _ROWS):
        rows = slice(start, start + _ROWS)
        shared = intersections(boxes[rows], boxes)
        least = RIVAL_SHARE * np.minimum(size[rows, None], size)
        first, second = np.nonzero(np.triu((shared >= least) & (shared > 0), k=1 + start))
        pairs = zip((first + start).tolist(), second.tolist(), strict=True)
        if any(people[a].isdisjoint(people[b]) for a, b in pairs):
            return True
    return False
