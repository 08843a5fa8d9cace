# SPDX-License-Identifier: Apache-2.0
"""Gold: images whose truth is known, shown with wrong boxes, scored face by face.

The released page of the ImageNet face study compares one mask of all drawn boxes with one
mask of all true boxes. The largest face rules that number: a picture with a large and a
small face passes without the small one. The rule ``coverage`` asks for each face instead.

Kinds are not compared. Gold guards against what is left to see, and a release hides regions
of every kind unless its owner says otherwise: a face inside a box of kind ``nsfw`` is
hidden. Where a release shall hide some kinds only, let the job know only those.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import areas, clip, intersections
from veilset.review.settings import GOLD_RULES, JobSettings
from veilset.review.values import Drawing, Drawn, GoldProblem, GoldVerdict, boxes_of
from veilset.types import BoxXyxy, FloatBoxes
from veilset.unions import (
    covered_shares,
    union_iou,
    visible_boxes,
)

_ROUNDING = 1e-9
"""Shares of areas are exact to about 1e-12; a box drawn exactly must reach a share of 1."""

_WHOLE_PICTURE, _WHOLE_INSIDE = 0.9, 0.5
"""A box over this share of the picture must have that share of itself on true regions."""

_ATTEMPTS = 24


def score_gold(
    truth: Drawing, drawn: Drawing, size_wh: tuple[int, int], settings: JobSettings
) -> GoldVerdict:
    """Judge what somebody drew on an image whose truth is known.

    Rule ``coverage``: of each true region at least ``min_coverage`` lies under the union
    of the drawn boxes, and of each drawn box at least ``min_inside`` lies on the union of
    the true regions, widened by ``tolerance_px`` on every side. So one box may cover faces
    that touch. A box over nine tenths of the picture must lie on true regions by half at
    least: covering everything is no answer.

    Rule ``union-iou``: the intersection over union of the two unions is at least
    ``min_union_iou``; without a true region no box may be drawn. This is the rule of the
    study's page (``IoU_threshold = 0.72``), on exact areas where the page used a canvas.

    Both are blind to order, to kinds (see the module) and to how a union is cut into boxes,
    but that a piece of a box must also lie on a face by itself. What lies outside the image
    does not count.

    Args:
        truth: The true regions.
        drawn: The answer.
        size_wh: Width and height of the image in pixels.
        settings: Which rule, and its numbers.

    Returns:
        The verdict; its counts are those of ``coverage`` under both rules.

    Raises:
        BoxError: If a coordinate is not finite or a box is turned inside out.

    Example:
        >>> faces = (Drawn((0, 0, 40, 40)), Drawn((60, 60, 70, 70)))
        >>> score_gold(faces, faces[:1], (100, 100), JobSettings()).problems
        (GoldProblem(what='missed', box_xyxy=(60.0, 60.0, 70.0, 70.0)),)
        >>> score_gold(faces, faces[:1], (100, 100), JobSettings(gold_rule="union-iou")).is_passed
        True
    """
    true_boxes = visible_boxes(boxes_of(truth), size_wh)
    boxes = visible_boxes(boxes_of(drawn), size_wh)
    is_found = covered_shares(true_boxes, boxes) >= settings.min_coverage - _ROUNDING
    is_right = _is_right(boxes, true_boxes, size_wh, settings)
    overlap = union_iou(true_boxes, boxes)
    if settings.gold_rule == "coverage":
        problems = _problems("missed", true_boxes[~is_found])
        problems += _problems("stray", boxes[~is_right])
    elif not len(true_boxes):
        problems = _problems("stray", boxes)
    elif overlap < settings.min_union_iou - _ROUNDING:
        problems = _problems("overlap", _worst(true_boxes, boxes)[None])
    else:
        problems = ()
    return GoldVerdict(
        is_passed=not problems,
        problems=problems,
        n_true=len(true_boxes),
        n_found=int(is_found.sum()),
        n_drawn=len(boxes),
        n_right=int(is_right.sum()),
        union_iou=overlap,
    )


def _problems(what: str, boxes_xyxy: FloatBoxes) -> tuple[GoldProblem, ...]:
    return tuple(GoldProblem(what, _tuple(box)) for box in boxes_xyxy)


def _tuple(box: NDArray[np.float64]) -> BoxXyxy:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1


def _is_right(
    boxes: FloatBoxes, true_boxes: FloatBoxes, size_wh: tuple[int, int], settings: JobSettings
) -> NDArray[np.bool_]:
    widened = true_boxes + settings.tolerance_px * np.array([-1.0, -1.0, 1.0, 1.0])
    shares = covered_shares(boxes, clip(widened, size_wh))
    is_whole = areas(boxes) >= _WHOLE_PICTURE * size_wh[0] * size_wh[1]
    least = np.where(is_whole, max(settings.min_inside, _WHOLE_INSIDE), settings.min_inside)
    return np.asarray(shares >= least - _ROUNDING)


def _worst(true_boxes: FloatBoxes, boxes: FloatBoxes) -> FloatBoxes:
    """Give the true or drawn box with the largest area that the other side does not have."""
    both = np.concatenate([true_boxes, boxes])
    shares = np.concatenate([covered_shares(true_boxes, boxes), covered_shares(boxes, true_boxes)])
    return np.asarray(both[int(np.argmax(areas(both) * (1 - shares)))])


def spoil(
    truth: Drawing, size_wh: tuple[int, int], seed: int, settings: JobSettings | None = None
) -> Drawing:
    """Make a drawing that is wrong on purpose: what a worker is shown on a gold image.

    It looks like the work of a detector: some regions are missing, some moved aside, the
    others a few percent off, and often a box lies where no region is. Whoever hands it in
    as it is fails under both rules.

    Args:
        truth: The true regions.
        size_wh: Width and height of the image in pixels.
        seed: The same seed gives the same drawing.
        settings: Thresholds that it must fail; the default ones if not given.

    Returns:
        Boxes inside the image. Sources count from 0 as those of a real annotation set do:
        without them, or in the order of the truth, the browser could tell gold apart. It
        can be empty if there is a true region.

    Example:
        >>> len(spoil((), (640, 480), seed=1))
        1
        >>> faces = (Drawn((10, 10, 50, 60)),)
        >>> score_gold(faces, spoil(faces, (640, 480), 1), (640, 480), JobSettings()).is_passed
        False
    """
    settings = settings or JobSettings()
    rng = np.random.default_rng([seed % 2**63, len(truth), *size_wh])
    pairs = [(drawn.kind, visible_boxes([drawn.box_xyxy], size_wh)) for drawn in truth]
    faces = [(kind, box[0]) for kind, box in pairs if len(box)]
    true_boxes = np.array([box for _, box in faces], dtype=np.float64).reshape(-1, 4)
    for attempt in range(_ATTEMPTS):
        kept = 0.4 * (1 - attempt / _ATTEMPTS)
        made = [
            (kind, wrong)
            for kind, box in faces
            if (wrong := _wrong(box, kept, size_wh, rng)) is not None
        ]
        if not faces or rng.random() < 0.5:
            kind = faces[0][0] if faces else settings.kinds[0]
            made += [(kind, box) for box in _stray(true_boxes, settings, size_wh, rng)]
        order = rng.permutation(len(made))
        drawing = tuple(
            Drawn(_tuple(made[place][1]), made[place][0], source)
            for source, place in enumerate(order)
        )
        if _fails_everywhere(truth, drawing, size_wh, settings):
            return drawing
    # Nothing drawn covers no region, whatever the thresholds. (Without any region every
    # attempt holds a stray box, and the first one was given back.)
    return ()


def _fails_everywhere(
    truth: Drawing, drawing: Drawing, size_wh: tuple[int, int], settings: JobSettings
) -> bool:
    rules = (replace(settings, gold_rule=rule) for rule in GOLD_RULES)
    return not any(score_gold(truth, drawing, size_wh, rule).is_passed for rule in rules)


def _wrong(
    box: NDArray[np.float64], kept: float, size_wh: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Leave a box nearly as it is, move it aside or drop it (None)."""
    chance = rng.random()
    sides = np.tile(box[2:] - box[:2], 2)
    if chance < kept:
        jitter = sides * rng.uniform(-0.04, 0.04, 4)
        return _cut(box + jitter, size_wh)
    if chance < kept + (1 - kept) / 2:
        return None
    angle = rng.uniform(0, 2 * np.pi)
    step = sides * np.tile([np.cos(angle), np.sin(angle)], 2) * rng.uniform(0.45, 0.8)
    scale = rng.uniform(0.8, 1.2)
    grown = box + sides * (scale - 1) / 2 * np.array([-1.0, -1.0, 1.0, 1.0])
    moved = _cut(grown + step, size_wh)
    # Against the frame hardly anything of a moved box is left, which no detector shows.
    if moved is None or areas([moved])[0] < 0.4 * areas([box])[0]:
        return None
    return moved


def _cut(box: NDArray[np.float64], size_wh: tuple[int, int]) -> NDArray[np.float64] | None:
    inside = clip([box], size_wh)
    return inside[0] if areas(inside)[0] > 0 else None


def _stray(
    true_boxes: FloatBoxes,
    settings: JobSettings,
    size_wh: tuple[int, int],
    rng: np.random.Generator,
) -> list[NDArray[np.float64]]:
    """Find a place where nothing is for a box of a likely size; an empty list if there is none."""
    size = np.array(size_wh, dtype=np.float64)
    if len(true_boxes):
        like = true_boxes[rng.integers(len(true_boxes))]
        side = np.sqrt(areas([like])[0])
    else:
        side = max(16.0, size.min() * rng.uniform(0.06, 0.25))
    widened = true_boxes + (settings.tolerance_px + 1) * np.array([-1.0, -1.0, 1.0, 1.0])
    for tried in range(40):
        height = side * rng.uniform(0.9, 1.2) * 0.95**tried
        wh = np.minimum([height * rng.uniform(0.7, 0.9), height], size)
        corner = rng.uniform(0.0, 1.0, 2) * (size - wh)
        box = np.minimum(np.concatenate([corner, corner + wh]), np.tile(size, 2))
        if intersections([box], widened).sum() == 0.0:
            return [box]
    return []
