# SPDX-License-Identifier: Apache-2.0
"""How far people agree who drew on the same images."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from veilset.intervals import bounded_mean
from veilset.review.rules.match import match_boxes
from veilset.review.values import Drawing, boxes_of
from veilset.types import Direction, Measurement

Person = TypeVar("Person", bound=Hashable)

SIZES_PX = {"<16": 16.0, "16-32": 32.0, "32-96": 96.0, ">=96": math.inf}
"""Classes of the shorter side of a box by name, each with the size where the next begins."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far people agree, each image counting once.

    Attributes:
        overall: Mean F1 over all images with two answers or more; None without any.
        where_drawn: The same without the images on which nobody drew anything. Those
            agree fully, and where faces are rare they are nearly all.
        by_size: F1 by the class of the shorter side, of the images with such a box; classes
            without any are left out.
        n_images: Images with two answers or more.
        n_empty: Those of them on which nobody drew anything.
    """

    overall: Measurement | None
    where_drawn: Measurement | None
    by_size: Mapping[str, Measurement]
    n_images: int
    n_empty: int


def pair_f1(a: Drawing, b: Drawing, least_iou: float = 0.5) -> float:
    """Give the F1 of two people's boxes on an image: ``2 * pairs / (boxes of both)``.

    It does not matter which of the two is taken for the truth. Boxes of different kinds do
    not pair.

    Args:
        a: What one drew.
        b: What the other drew.
        least_iou: From this IoU on two boxes are a pair.

    Returns:
        In [0, 1]; 1 if neither drew anything.

    Example:
        >>> from veilset.review.values import Drawn
        >>> round(pair_f1((Drawn((0, 0, 9, 9)),), (Drawn((0, 0, 9, 9)), Drawn((20, 0, 29, 9)))), 3)
        0.667
        >>> pair_f1((), ())
        1.0
    """
    if not a and not b:
        return 1.0
    return float(_is_paired(a, b, least_iou).mean())


def _is_paired(a: Drawing, b: Drawing, least_iou: float) -> NDArray[np.bool_]:
    """Tell for the boxes of ``a`` and then of ``b`` whether they have a pair."""
    kinds = [np.array([drawn.kind for drawn in each]) for each in (a, b)]
    may_match = kinds[0][:, None] == kinds[1][None]
    is_paired = np.zeros(len(a) + len(b), dtype=np.bool_)
    for i, j in match_boxes(boxes_of(a), boxes_of(b), least_iou, may_match):
        is_paired[[i, len(a) + j]] = True
    return is_paired


def agreement(images: Iterable[Mapping[Person, Drawing]], least_iou: float = 0.5) -> Agreement:
    """Give the mean F1 of all pairs of people who drew on the same image.

    The pairs of an image are averaged first: an image is one observation, whatever the
    number of its people and faces, and the interval is that of the mean over images
    (``intervals.bounded_mean``). By size, an image's F1 is the share of both people's boxes
    of that class that have a pair of any size.

    Args:
        images: What each person drew, for each image; those with fewer than two people are
            passed over.
        least_iou: From this IoU on two boxes are a pair.

    Example:
        >>> from veilset.review.values import Drawn
        >>> same = (Drawn((0, 0, 9, 9)),)
        >>> found = agreement([{"ann": same, "bob": same}, {"ann": (), "bob": ()}])
        >>> found.overall.value, found.n_images, found.n_empty, list(found.by_size)
        (1.0, 2, 1, ['<16'])
    """
    overall: list[float] = []
    where_drawn: list[float] = []
    by_size: dict[str, list[float]] = {name: [] for name in SIZES_PX}
    for image in images:
        if len(image) < 2:
            continue
        pairs = list(combinations(image.values(), 2))
        overall.append(fmean(pair_f1(a, b, least_iou) for a, b in pairs))
        if any(image.values()):
            where_drawn.append(overall[-1])
        for name, value in _f1_by_size(pairs, least_iou).items():
            by_size[name].append(value)
    return Agreement(
        overall=_mean("agreement of people, F1", overall),
        where_drawn=_mean("agreement of people where one drew, F1", where_drawn),
        by_size={
            name: measured
            for name, values in by_size.items()
            if (measured := _mean(f"agreement of people, {name} px, F1", values)) is not None
        },
        n_images=len(overall),
        n_empty=len(overall) - len(where_drawn),
    )


def _f1_by_size(pairs: list[tuple[Drawing, Drawing]], least_iou: float) -> dict[str, float]:
    """Give an image's mean F1 of each class of which a pair of people has a box."""
    names = list(SIZES_PX)
    edges = np.array(list(SIZES_PX.values()))
    found: dict[str, list[float]] = {}
    for a, b in pairs:
        boxes = boxes_of(a + b)
        classes = np.searchsorted(edges, (boxes[:, 2:] - boxes[:, :2]).min(axis=1), side="right")
        is_paired = _is_paired(a, b, least_iou)
        for place in np.unique(classes).tolist():
            found.setdefault(names[place], []).append(float(is_paired[classes == place].mean()))
    return {name: fmean(values) for name, values in found.items()}


def agreement_by_person(
    images: Iterable[Mapping[Person, Drawing]], least_iou: float = 0.5
) -> dict[Person, Measurement]:
    """Give for each person the mean F1 with the others who drew on the same images.

    Args:
        images: What each person drew, for each image.
        least_iou: From this IoU on two boxes are a pair.

    Returns:
        People who shared an image with somebody, in the order in which they first did.

    Example:
        >>> found = agreement_by_person([{"ann": (), "bob": ()}, {"cat": ()}])
        >>> {name: (each.value, each.n) for name, each in found.items()}
        {'ann': (1.0, 1), 'bob': (1.0, 1)}
    """
    values: dict[Person, list[float]] = {}
    for image in images:
        with_others: dict[Person, list[float]] = {}
        for (one, a), (other, b) in combinations(image.items(), 2):
            f1 = pair_f1(a, b, least_iou)
            with_others.setdefault(one, []).append(f1)
            with_others.setdefault(other, []).append(f1)
        for person, each in with_others.items():
            values.setdefault(person, []).append(fmean(each))
    measured = {person: _mean("agreement with others, F1", each) for person, each in values.items()}
    return {person: each for person, each in measured.items() if each is not None}


def _mean(name: str, values: list[float]) -> Measurement | None:
    if not values:
        return None
    # A mean of ones must be 1 to the last bit, and no mean may step over it.
    low, high = bounded_mean(values)
    value = min(max(math.fsum(values) / len(values), low), high)
    return Measurement(name, value, low, high, len(values), direction=Direction.HIGHER)
