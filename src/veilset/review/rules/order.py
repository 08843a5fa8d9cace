# SPDX-License-Identifier: Apache-2.0
"""The order of work: which image a person should look at first.

The number behind it is the expected number of errors of an image's annotations, put
together from four signs, for the time that a person needs with it. Only its order is meant:
the signs are not independent, and the weights were chosen, not fitted.
``benchmarks/review_order.py`` measures what it is worth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import areas, intersections, region_boxes
from veilset.errors import ConfigError
from veilset.review.settings import ORDERS
from veilset.types import Annotations, Region, Status

_SIZES_PX = np.array([8.0, 12.0, 16.0, 24.0, 48.0, 96.0])
_RECALL = np.array([0.33, 0.80, 0.86, 0.92, 0.94, 0.97, 0.99])
"""Recall of ``balanced`` by the shorter side of the face, from ``docs/detection.md``."""

_SAME_SHARE = 0.5
"""Two boxes are of one face if they share this much of the smaller one."""

_LONELY = 0.25
"""How much of its score a box loses if no other set has it."""

_FACELESS_PERSON = 0.3
"""Of a person without a face this share is taken to have one that was missed; the others
look away."""

_IMAGE_BOXES = 5.0
"""To look at an image takes as long as to check this many boxes. Assumed, not measured: with
1 or 10 the benchmark's figures for all errors move by 0.015 at most."""


def expected_errors(
    annotations: Annotations, threshold: float | None, others: Sequence[Annotations] = ()
) -> tuple[float, float]:
    """Give how many boxes of an image are expected to be false, and how many faces missing.

    Scores are taken for the probability that the box is right, which calibrated detectors
    give; a box without a score was drawn by a person and counts as right.

    False: the sum of ``1 - p`` of the boxes that are kept. ``p`` is the score, less a
    quarter of it for the share of ``others`` that do not have the box.

    Missing, the sum of

    * ``p`` of boxes with a score below ``threshold``, which are not kept,
    * ``p`` of boxes that another set has and this one has not; of several such sets the
      largest sum,
    * ``p * (1 - r) / r`` of kept faces, ``r`` being the detector's recall at that size: for
      each small face that was found there are some that were not (Horvitz and Thompson 1952),
    * 0.3 times the score of each region of the kind ``person`` in which no face has its centre.

    Args:
        annotations: What is known about the image.
        threshold: Scores from here on are kept; None if all are.
        others: What other detectors or other passes found in the same image.

    Returns:
        Expected false boxes and expected missing faces.

    Example:
        >>> from veilset.types import Region
        >>> sure, unsure = Region((0, 0, 99, 99), score=1.0), Region((200, 0, 299, 99), score=0.4)
        >>> image = Annotations("a.jpg", Status.LOOKED, (sure, unsure))
        >>> [round(each, 2) for each in expected_errors(image, threshold=None)]
        [0.6, 0.01]
        >>> [round(each, 2) for each in expected_errors(image, threshold=0.5)]
        [0.0, 0.41]
    """
    limit = 0.0 if threshold is None else threshold
    found = [region for region in annotations.regions if region.kind != "person"]
    kept = [region for region in found if _chance(region) >= limit]
    chances = _chances(kept)
    looked = [other for other in others if other.status is Status.LOOKED]
    # A set of nothing but people says nothing about faces.
    sets = [[region for region in other.regions if region.kind != "person"] for other in looked]
    lacking = np.zeros(len(kept))
    unseen = [0.0]
    for regions in sets:
        is_same = _is_same(kept, regions)
        lacking += ~is_same.any(axis=1) / len(sets)
        unseen.append(float(_chances(regions)[~is_same.any(axis=0)].sum()))
    false = float((1 - chances * (1 - _LONELY * lacking)).sum())
    below = sum(_chance(region) for region in found if _chance(region) < limit)
    missing = below + max(unseen) + _beside(kept, chances)
    faces = [region for regions in (kept, *sets) for region in regions]
    # The same people are in several sets; the set with the most of them speaks.
    people = max(_faceless(each.regions, faces) for each in (annotations, *looked))
    return false, missing + _FACELESS_PERSON * people


def priority(
    annotations: Annotations, threshold: float | None, others: Sequence[Annotations] = ()
) -> float:
    """Give an image's place in the order of work: the highest first.

    It is ``q / (1 + q)`` with ``q = e / (5 + n)``: the expected errors ``e``
    (``expected_errors``) for the time of a person, which grows with the number ``n`` of
    regions to check. By ``e`` alone all crowds would come first, where an hour of work finds
    less. It is a ranking, no probability. An image that nobody has searched comes before
    all others.

    Args:
        annotations: What is known about the image.
        threshold: Scores from here on are kept; None if all are.
        others: What other detectors or other passes found in the same image.

    Returns:
        In [0, 1].

    Example:
        >>> priority(Annotations("a.jpg", Status.LOOKED), None)
        0.0
        >>> priority(Annotations("a.jpg", Status.NOT_LOOKED), None)
        1.0
    """
    if annotations.status is not Status.LOOKED:
        return 1.0
    errors = sum(expected_errors(annotations, threshold, others))
    gain = errors / (_IMAGE_BOXES + len(annotations.regions))
    return gain / (1 + gain)


def work_order(order: str, ranked: float, seq: int, image_id: str, seed: int) -> float:
    """Give the number by which a job hands out an image: the highest first.

    Args:
        order: One of ``settings.ORDERS``.
        ranked: The image's ``priority``; used by ``uncertain``.
        seq: Its place in the data set, from 0; used by ``dataset``.
        image_id: Its name; used by ``random``.
        seed: Of the job; used by ``random``.

    Returns:
        In [0, 1].

    Raises:
        ConfigError: If the order has another name.

    Example:
        >>> work_order("dataset", 0.3, 0, "a.jpg", 0) > work_order("dataset", 0.9, 1, "b.jpg", 0)
        True
    """
    if order == "uncertain":
        return ranked
    if order == "dataset":
        # Exact for any number of images: a float tells 2 ** 52 places apart.
        return 1.0 - seq / 2**52
    if order == "random":
        digest = hashlib.sha256(f"{seed}\n{image_id}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48
    raise ConfigError(f"No order of work is named {order!r}. Known: {', '.join(ORDERS)}.")


def _chance(region: Region) -> float:
    return 1.0 if region.score is None else min(max(region.score, 0.0), 1.0)


def _chances(regions: Sequence[Region]) -> NDArray[np.float64]:
    return np.array([_chance(region) for region in regions], dtype=np.float64)


def _is_same(a: Sequence[Region], b: Sequence[Region]) -> NDArray[np.bool_]:
    one, other = region_boxes(a), region_boxes(b)
    smaller = np.minimum(areas(one)[:, None], areas(other)[None])
    return np.asarray(intersections(one, other) >= np.maximum(_SAME_SHARE * smaller, 1e-9))


def _beside(kept: Sequence[Region], chances: NDArray[np.float64]) -> float:
    """Expect the faces that were missed beside those that were found, by size."""
    is_face = np.array([region.kind == "face" for region in kept], dtype=np.bool_)
    boxes = region_boxes(kept)
    recall = _RECALL[np.searchsorted(_SIZES_PX, (boxes[:, 2:] - boxes[:, :2]).min(axis=1), "right")]
    return float((chances * (1 - recall) / recall)[is_face].sum())


def _faceless(regions: Sequence[Region], found: Sequence[Region]) -> float:
    """Add up the scores of people in whose box no face has its centre."""
    boxes = region_boxes([region for region in found if region.kind == "face"])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    total = 0.0
    for person in regions:
        x0, y0, x1, y1 = person.box_xyxy
        is_inside = ((centres >= (x0, y0)) & (centres <= (x1, y1))).all(axis=1)
        if person.kind == "person" and not is_inside.any():
            total += _chance(person)
    return total
