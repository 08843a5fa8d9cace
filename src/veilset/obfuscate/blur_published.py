# SPDX-License-Identifier: Apache-2.0
"""The blur of the ImageNet face study, as its paper and as its released code have it.

Both are for reproducing published results, not for protecting people: ONE sigma, from
the largest face of the picture, softens the mask of every face, so that a small face
beside a large one is hardly blurred.

Source: K. Yang, J. Yau, L. Fei-Fei, J. Deng, O. Russakovsky, "A Study of Face Obfuscation
in ImageNet", ICML 2022, appendix B; and the code released with it. The filter is Pillow's,
whole-number arithmetic throughout, so that a crop with enough margin gives the very bytes
of the whole picture.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFilter

from veilset.boxes import outer_pixels, region_boxes
from veilset.obfuscate.mask import IntBox, check_image, grown
from veilset.protocols import MethodCard
from veilset.types import BoxXyxy, Image, IntBoxes, Region

_FILTER_PASSES = 3
_WEAK = "The largest face sets the strength for all: small faces beside it stay recognisable."


class PublishedBlur(ABC):
    """Mask and picture blurred with one radius, then mixed: ``m * blurred + (1 - m) * original``.

    Attributes:
        CHANGES_FROM_PX: Square regions alone in a picture are always changed from this
            side upward; below it the published sigma is too small to move an 8-bit value.
    """

    CHANGES_FROM_PX: ClassVar[int]

    @property
    @abstractmethod
    def card(self) -> MethodCard:
        """What the method promises."""

    @abstractmethod
    def drawn(self, box: BoxXyxy, size_wh: tuple[int, int]) -> tuple[BoxXyxy, float] | None:
        """Give the rectangle to draw for a box and its "diagonal", None to skip the box."""

    def core(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels of each region, ``(N, 4)``: in the published forms all that is promised."""
        return outer_pixels(region_boxes(regions), size_wh)

    def footprint(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels that each region may change, ``(N, 4)``; all reach as far as the largest."""
        cores = self.core(regions, size_wh)
        plan = [self.drawn(region.box_xyxy, size_wh) for region in regions]
        rows = [row for row, item in enumerate(plan) if item is not None]
        rectangles = [item for item in plan if item is not None]
        sigma = _sigma(diagonal for _, diagonal in rectangles)
        zones = _zones([rectangle for rectangle, _ in rectangles], sigma, size_wh)
        for row, zone in zip(rows, zones, strict=True):
            if (cores[row, :2] < cores[row, 2:]).all():
                zone[:2] = np.minimum(zone[:2], cores[row, :2])
                zone[2:] = np.maximum(zone[2:], cores[row, 2:])
            cores[row] = zone
        return cores

    def obfuscate(self, image: Image, regions: Sequence[Region], *, seed: int = 0) -> Image:
        """Give a copy of the image with the regions blurred; nothing here is random.

        Raises:
            ConfigError: If the image is not ``(H, W, 3)`` uint8.
        """
        check_image(image)
        result = image.copy()
        size_wh = (image.shape[1], image.shape[0])
        plan = [self.drawn(region.box_xyxy, size_wh) for region in regions]
        rectangles = [item for item in plan if item is not None]
        sigma = _sigma(diagonal for _, diagonal in rectangles)
        if sigma == 0:
            return result
        reach = filter_reach(sigma)
        # Pillow decides how fractions and the inclusive end are drawn, on the whole
        # picture: shifted coordinates would be rounded otherwise. As in the released code
        # the mask says what to keep: its complement, blurred, rounds to other values.
        mask = PilImage.new("L", size_wh, 255)
        pen = ImageDraw.Draw(mask)
        for rectangle, _ in rectangles:
            pen.rectangle(rectangle, fill=0)
        keep = np.asarray(mask)
        zones = _zones([rectangle for rectangle, _ in rectangles], sigma, size_wh)
        for window in _cheapest_windows(zones, reach):
            _blur_window(result, image, keep, window, sigma, reach)
        return result


@dataclass(frozen=True)
class BlurPaper(PublishedBlur):
    """The paper's text: boxes enlarged by a tenth of their true diagonal, sigma from the largest.

    A box without extent has the diagonal 0 and asks for no blur.
    """

    CHANGES_FROM_PX: ClassVar[int] = 4

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="blur-paper",
            version=1,
            summary="Blurred as the ImageNet face study describes it, one sigma per picture.",
            parameters={},
            reversible=False,
            weak=_WEAK,
            max_survival=0.8,
            source="Yang et al., A Study of Face Obfuscation in ImageNet, appendix B",
        )

    def drawn(self, box: BoxXyxy, size_wh: tuple[int, int]) -> tuple[BoxXyxy, float] | None:
        """Enlarge by a tenth of the diagonal, then truncate to the picture as the paper does."""
        x0, y0, x1, y1 = box
        diagonal = math.hypot(x1 - x0, y1 - y0)
        margin = diagonal / 10
        right, bottom = size_wh[0] - 1, size_wh[1] - 1
        rectangle = (
            min(max(x0 - margin, 0.0), right),
            min(max(y0 - margin, 0.0), bottom),
            min(max(x1 + margin, 0.0), right),
            min(max(y1 + margin, 0.0), bottom),
        )
        is_outside = x1 <= 0 or y1 <= 0 or x0 >= size_wh[0] or y0 >= size_wh[1]
        return None if is_outside else (rectangle, diagonal)


@dataclass(frozen=True)
class BlurReleased(PublishedBlur):
    """The released code, byte for byte: its "diagonal" is the longer side of the box.

    Boxes without extent are skipped, as that code does; a picture is the same as if
    Pillow had worked on all of it.
    """

    CHANGES_FROM_PX: ClassVar[int] = 4

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="blur-released",
            version=1,
            summary="Blurred as the code of the ImageNet face study does it, byte for byte.",
            parameters={},
            reversible=False,
            weak=_WEAK,
            max_survival=0.9,
            source="https://github.com/princetonvisualai/imagenet-face-obfuscation",
        )

    def drawn(self, box: BoxXyxy, size_wh: tuple[int, int]) -> tuple[BoxXyxy, float] | None:
        """Enlarge by a tenth of the longer side; Pillow cuts what lies outside."""
        x0, y0, x1, y1 = box
        if x0 >= x1 or y0 >= y1:
            return None
        longer = max(x1 - x0, y1 - y0)
        margin = 0.1 * longer
        return (x0 - margin, y0 - margin, x1 + margin, y1 + margin), longer


def filter_reach(sigma: float) -> int:
    """Give how far Pillow's Gaussian filter carries a pixel, in whole pixels.

    Pillow makes a Gaussian of three box filters of fractional radius (P. Gwosdek et al.,
    "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering", 2011).

    Args:
        sigma: What Pillow calls the radius, in pixels, at least 0.

    Example:
        >>> filter_reach(0.0), filter_reach(0.5), filter_reach(10.0)
        (0, 3, 30)
    """
    if sigma == 0:
        return 0
    variance = sigma * sigma / _FILTER_PASSES
    whole = math.floor((math.sqrt(12 * variance + 1) - 1) / 2)
    # Each pass reads one fractional pixel beyond the whole ones.
    return _FILTER_PASSES * (whole + 1)


def _sigma(diagonals: Iterable[float]) -> float:
    # Pillow takes a NumPy number for a pair of radii.
    return float(0.1 * max(diagonals, default=0.0))


def mask_reach(sigma: float) -> int:
    """Give how far from a mask's edge the blurred mask still differs from keeping all.

    Less than ``filter_reach``, because the ends of the filter vanish in the rounding to 8
    bits. Measured with Pillow itself on the edge of a half plane: no rectangle darkens a
    pixel more than the half plane that contains it, as every step keeps the order of values.

    Example:
        >>> mask_reach(0.0), mask_reach(10.0)
        (0, 25)
    """
    if sigma == 0:
        return 0
    reach = filter_reach(sigma)
    line = np.full((1, 2 * reach + 2), 255, dtype=np.uint8)
    line[0, : reach + 1] = 0
    soft = np.asarray(PilImage.fromarray(line).filter(ImageFilter.GaussianBlur((sigma, 0))))
    return int((soft[0, reach + 1 :] < 255).sum())


def _zones(rectangles: Sequence[BoxXyxy], sigma: float, size_wh: tuple[int, int]) -> IntBoxes:
    """Pixels, ``(N, 4)``, in which the blurred mask can ask for a change."""
    # Pillow draws the end inclusively; whether it cuts or rounds fractions, this holds it.
    ends = [
        (math.floor(a), math.floor(b), math.floor(c) + 2, math.floor(d) + 2)
        for a, b, c, d in rectangles
    ]
    drawn = np.array(ends, dtype=np.int64).reshape(-1, 4)
    far = grown(drawn, np.full(len(drawn), filter_reach(sigma)), size_wh)
    near = grown(drawn, np.full(len(drawn), mask_reach(sigma)), size_wh)
    low = np.maximum(far[:, None, :2], far[None, :, :2])
    high = np.minimum(far[:, None, 2:], far[None, :, 2:])
    # Where two masks meet, darkness that each alone would round away adds up.
    n_meeting = (low < high).all(axis=2).sum(axis=1)
    return np.where((n_meeting > 1)[:, None], far, near)


def _cheapest_windows(boxes: Iterable[IntBoxes], reach: int) -> list[IntBox]:
    """Join windows where filtering both at once costs less than one after the other."""

    def cost(box: IntBox) -> int:
        return (box[2] - box[0] + 2 * reach) * (box[3] - box[1] + 2 * reach)

    windows: list[IntBox] = []
    for row in boxes:
        box = (int(row[0]), int(row[1]), int(row[2]), int(row[3]))
        if box[0] >= box[2] or box[1] >= box[3]:
            continue
        at = 0
        while at < len(windows):
            a = windows[at]
            both = (min(a[0], box[0]), min(a[1], box[1]), max(a[2], box[2]), max(a[3], box[3]))
            if cost(both) <= cost(a) + cost(box):
                del windows[at]
                box, at = both, 0
            else:
                at += 1
        windows.append(box)
    return windows


def _blur_window(
    result: Image, image: Image, keep: Image, window: IntBox, sigma: float, reach: int
) -> None:
    """Write the pixels of one window exactly as filtering the whole picture gives them."""
    x0, y0, x1, y1 = window
    left, top = max(x0 - reach, 0), max(y0 - reach, 0)
    seen = (slice(top, y1 + reach), slice(left, x1 + reach))
    # The mask rides along as the fourth channel, for which Pillow spends its time anyway.
    stack = np.concatenate([image[seen], keep[seen][..., None]], axis=2)
    # Across, then down, as Pillow does both; in between the columns only read are dropped.
    across = PilImage.fromarray(stack).filter(ImageFilter.GaussianBlur((sigma, 0)))
    across = across.crop((x0 - left, 0, x1 - left, across.height))
    soft = across.filter(ImageFilter.GaussianBlur((0, sigma)))
    soft = soft.crop((0, y0 - top, soft.width, y1 - top))
    original = PilImage.fromarray(np.ascontiguousarray(image[y0:y1, x0:x1]))
    mixed = PilImage.composite(original, soft.convert("RGB"), soft.getchannel("A"))
    result[y0:y1, x0:x1] = np.asarray(mixed)
