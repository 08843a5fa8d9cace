# SPDX-License-Identifier: Apache-2.0
"""What each of our blurs does to a picture, as a linear map: filters and the weights of a mask.

``blur`` works on its regions one after the other, the largest first; ``blur-paper`` and
``blur-released`` filter the whole picture once. Regions that do not read each other's pixels
are apart, so that a photograph with many small faces is many small problems.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilset.attack.cores import IntBox, grown, int_box, largest_first, pixels, within
from veilset.attack.filters import (
    Matrix,
    Taps,
    extended_boxes,
    filter_matrix,
    kovesi_boxes,
    reach_of,
)
from veilset.attack.least_squares import Planes
from veilset.protocols import Obfuscator
from veilset.types import Region

Weights = NDArray[np.float64]

_MIN_SIGMA_PX = 2.0
_OPAQUE = 256
_PUBLISHED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Smear:
    """A blur of one part of a picture.

    Attributes:
        window: The pixels that may change.
        zone: The window and what its filters read around it, cut to the picture.
        weight: ``(h, w)`` of the window, in [0, 1]: how much of the blurred picture is mixed in.
        filters: Of both axes, in their order.
    """

    window: IntBox
    zone: IntBox
    weight: Weights
    filters: list[Taps]


@dataclass(frozen=True, slots=True)
class Blurred:
    """Smears one after the other; a ``Change`` of the frame that holds all that they read.

    Attributes:
        frame: Its pixels.
        smears: In the order in which they were made, in pixels of the frame.
        matrices: For each, the filters down and across, from its zone to its window.
    """

    frame: IntBox
    smears: tuple[Smear, ...]
    matrices: tuple[tuple[Matrix, Matrix], ...]

    @classmethod
    def of(cls, smears: Sequence[Smear]) -> Blurred:
        """Put smears, in pixels of the picture, into the frame around their zones."""
        zones = np.array([smear.zone for smear in smears])
        frame = int_box(np.concatenate([zones[:, :2].min(axis=0), zones[:, 2:].max(axis=0)]))
        matrices = []
        for smear in smears:
            x0, y0, x1, y1 = smear.zone
            rows, columns = pixels(within(smear.window, smear.zone))
            down = filter_matrix(smear.filters, y1 - y0)[rows]
            across = filter_matrix(smear.filters, x1 - x0)[columns]
            matrices.append((down, across))
        moved = tuple(
            Smear(within(each.window, frame), within(each.zone, frame), each.weight, each.filters)
            for each in smears
        )
        return cls(frame, moved, tuple(matrices))

    @property
    def weight(self) -> Weights:
        """How much of each pixel of the frame was blurred, ``(h, w)``; 0 where it is known."""
        x0, y0, x1, y1 = self.frame
        result = np.zeros((y1 - y0, x1 - x0))
        for smear in self.smears:
            part = result[pixels(smear.window)]
            np.maximum(part, smear.weight, out=part)
        return result

    def forward(self, planes: Planes) -> Planes:
        """Give the blurred picture, ``(3, h, w)`` of the frame."""
        result = planes.copy()
        for smear, (down, across) in zip(self.smears, self.matrices, strict=True):
            soft = down @ result[:, *pixels(smear.zone)] @ across.T
            part = result[:, *pixels(smear.window)]
            part += smear.weight * (soft - part)
        return result

    def backward(self, planes: Planes) -> Planes:
        """Give the transposed map, ``(3, h, w)`` of the frame."""
        result = planes.copy()
        steps = list(zip(self.smears, self.matrices, strict=True))
        for smear, (down, across) in reversed(steps):
            part = result[:, *pixels(smear.window)]
            soft = smear.weight * part
            part -= soft
            result[:, *pixels(smear.zone)] += down.T @ soft @ across
        return result


def blurs_of(
    obfuscator: Obfuscator, regions: Sequence[Region], size_wh: tuple[int, int]
) -> list[Blurred]:
    """Say what ``blur``, ``blur-paper`` or ``blur-released`` does to a picture.

    Args:
        obfuscator: One of the three, with the settings it had.
        regions: The regions that it was given.
        size_wh: Width and height of the picture.

    Returns:
        Parts of the picture that do not read each other's pixels.
    """
    name = obfuscator.card.name
    if name == "blur":
        return [Blurred.of(group) for group in _apart(_own_smears(obfuscator, regions, size_wh))]
    return [Blurred.of([smear]) for smear in _published(obfuscator, regions, size_wh)]


def _own_smears(
    obfuscator: Obfuscator, regions: Sequence[Region], size_wh: tuple[int, int]
) -> list[Smear]:
    """Each region by itself: sigma from its own diagonal, a feather around its core."""
    settings = obfuscator.card.parameters
    smears = []
    for core in largest_first(obfuscator.core(regions, size_wh)):
        x0, y0, x1, y1 = core
        sides = (x1 - x0, y1 - y0)
        feather = math.ceil(max(sides) * float(settings["feather"]))
        sigma = max(_MIN_SIGMA_PX, float(settings["strength"]) * math.hypot(*sides))
        window, filters = grown(core, feather, size_wh), kovesi_boxes(sigma)
        down = _ramp(window[1], y0, y1, window[3], feather)
        across = _ramp(window[0], x0, x1, window[2], feather)
        weight = (np.outer(down, across) // _OPAQUE) / _OPAQUE
        zone = grown(window, reach_of(filters), size_wh)
        smears.append(Smear(window, zone, weight, filters))
    return smears


def _ramp(start: int, low: int, high: int, stop: int, feather: int) -> NDArray[np.int64]:
    """Weights along one axis, 0 to 256: a smoothstep that begins outside of the core."""
    at = np.arange(start, stop)
    outside = np.maximum(np.maximum(low - at, at - high + 1), 0)
    t = np.clip(1 - outside / (feather + 1), 0, 1)
    return np.rint(_OPAQUE * (t * t * (3 - 2 * t))).astype(np.int64)


def _published(
    obfuscator: Obfuscator, regions: Sequence[Region], size_wh: tuple[int, int]
) -> list[Smear]:
    """One sigma for the picture, from its largest region, for the mask and for the pixels."""
    from PIL import Image as PilImage
    from PIL import ImageDraw, ImageFilter

    is_paper = obfuscator.card.name == "blur-paper"
    drawn = [found for each in regions if (found := _drawn(each, size_wh, is_paper)) is not None]
    sigma = _PUBLISHED_SHARE * max((size for _, size in drawn), default=0.0)
    if sigma == 0:
        return []
    mask = PilImage.new("L", size_wh, 255)
    pen = ImageDraw.Draw(mask)
    for rectangle, _ in drawn:
        pen.rectangle(rectangle, fill=0)
    keep = np.asarray(mask.filter(ImageFilter.GaussianBlur(sigma)))
    weight, filters = 1 - keep / 255, extended_boxes(sigma)
    reach = reach_of(filters)
    boxes = [int_box(row) for row in obfuscator.footprint(regions, size_wh)]
    windows = _joined([box for box in boxes if weight[pixels(box)].any()], reach)
    return [Smear(box, grown(box, reach, size_wh), weight[pixels(box)], filters) for box in windows]


def _drawn(
    region: Region, size_wh: tuple[int, int], is_paper: bool
) -> tuple[tuple[float, float, float, float], float] | None:
    """Give the rectangle of the mask and the "diagonal" that sigma is a tenth of."""
    x0, y0, x1, y1 = region.box_xyxy
    if not is_paper:
        size = max(x1 - x0, y1 - y0)
        margin = size * _PUBLISHED_SHARE
        is_empty = x0 >= x1 or y0 >= y1
        return None if is_empty else ((x0 - margin, y0 - margin, x1 + margin, y1 + margin), size)
    if x1 <= 0 or y1 <= 0 or x0 >= size_wh[0] or y0 >= size_wh[1]:
        return None
    size = math.hypot(x1 - x0, y1 - y0)
    margin = size / 10
    right, bottom = size_wh[0] - 1, size_wh[1] - 1
    low = (min(max(x0 - margin, 0.0), right), min(max(y0 - margin, 0.0), bottom))
    high = (min(max(x1 + margin, 0.0), right), min(max(y1 + margin, 0.0), bottom))
    return (*low, *high), size


def _meet(a: IntBox, b: IntBox) -> bool:
    return max(a[0], b[0]) < min(a[2], b[2]) and max(a[1], b[1]) < min(a[3], b[3])


def _apart(smears: Sequence[Smear]) -> list[list[Smear]]:
    """Put together what reads what another changes; the order within a group stays."""
    groups: list[list[int]] = []
    for index, smear in enumerate(smears):
        near = [
            group
            for group in groups
            if any(
                _meet(smears[other].zone, smear.window) or _meet(smears[other].window, smear.zone)
                for other in group
            )
        ]
        groups = [group for group in groups if group not in near]
        groups.append(sorted([index, *(other for group in near for other in group)]))
    return [[smears[index] for index in group] for group in groups]


def _joined(boxes: Sequence[IntBox], reach: int) -> list[IntBox]:
    """Join windows that are nearer to each other than the filters reach."""
    result: list[IntBox] = []
    for box in boxes:
        x0, y0, x1, y1 = box
        at = 0
        while at < len(result):
            a = result[at]
            if _meet(a, (x0 - reach, y0 - reach, x1 + reach, y1 + reach)):
                del result[at]
                x0, y0, x1, y1 = min(a[0], x0), min(a[1], y0), max(a[2], x1), max(a[3], y1)
                at = 0
            else:
                at += 1
        result.append((x0, y0, x1, y1))
    return result
