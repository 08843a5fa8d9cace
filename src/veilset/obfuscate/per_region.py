# SPDX-License-Identifier: Apache-2.0
"""What the methods share that treat every region by itself.

Each region's strength comes from that region alone. Regions are worked on in one fixed
order, the largest first, each on the result of the one before: where two overlap, the
second sees only what the first left, so that no pixel of the original reaches a core and
overlapping regions do not add up to more than the first let through.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import ClassVar

import numpy as np

from veilset.obfuscate.mask import (
    MIN_SIDE_PX,
    IntBox,
    check_fraction,
    check_image,
    core_boxes,
    feather_px,
    grown,
    largest_first,
    paste,
)
from veilset.protocols import MethodCard
from veilset.types import Image, IntBoxes, Region

MEAN_RGB = (124, 116, 104)
"""Mean colour of ImageNet's training images, (0.485, 0.456, 0.406), as 8-bit values."""

MAX_SURVIVAL = 0.38
"""What ``veilset.survival`` may find after one of our methods. Measured on real faces from
8 to 300 px, before and after JPEG: ``docs/obfuscation.md`` has the table."""


def parameters_of(method: object) -> dict[str, str | int | float | bool]:
    """Give the settings of a method, the fields of its dataclass, by name."""
    # Every method is a dataclass, for which typing has no name.
    return {f.name: getattr(method, f.name) for f in fields(method)}  # type: ignore[arg-type]


class PerRegion(ABC):
    """A method that replaces each core by content computed around that core.

    A subclass is a frozen dataclass with the fields ``enlarge`` (fraction of the region's
    sides added on every side before it is hidden) and, where its edge is soft, ``feather``
    (fraction of the core's longer side over which it fades, outside of the core).
    """

    enlarge: float
    feather: float = 0.0
    min_side_px: ClassVar[int] = MIN_SIDE_PX

    @property
    @abstractmethod
    def card(self) -> MethodCard:
        """What the method promises."""

    @abstractmethod
    def render(self, image: Image, core: IntBox, window: IntBox) -> Image:
        """Give new pixels for the window, uint8 ``(h, w, 3)``.

        Args:
            image: The whole picture as it is so far, not to be changed.
            core: The region, enlarged and rounded outward.
            window: The core with its feather, cut to the image.
        """

    def check_margins(self, method: str) -> None:
        """Refuse an ``enlarge`` or ``feather`` that cannot be used.

        Raises:
            ConfigError: If one is negative, above 2 or not a number.
        """
        check_fraction(method, "enlarge", self.enlarge, 2.0)
        check_fraction(method, "feather", self.feather, 2.0)

    def core(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels of each region that are replaced entirely, ``(N, 4)``."""
        return core_boxes(regions, size_wh, self.enlarge, self.min_side_px)

    def footprint(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels that each region may change, ``(N, 4)``: its core and feather."""
        cores = self.core(regions, size_wh)
        return grown(cores, feather_px(cores, self.feather), size_wh)

    def obfuscate(self, image: Image, regions: Sequence[Region], *, seed: int = 0) -> Image:
        """Give a copy of the image with the regions obfuscated; nothing here is random.

        Raises:
            ConfigError: If the image is not ``(H, W, 3)`` uint8.
        """
        check_image(image)
        result = image.copy()
        for core in largest_first(self.core(regions, (image.shape[1], image.shape[0]))):
            self.hide(result, core)
        return result

    def hide(self, result: Image, core: IntBox) -> None:
        """Replace one core, and mix its feather in.

        Args:
            result: The whole picture as it is so far, changed in place.
            core: As ``render``.
        """
        x0, y0, x1, y1 = core
        size_wh = (result.shape[1], result.shape[0])
        if min(size_wh) < self.min_side_px:
            # No surroundings to average with: a mean could be the face itself.
            result[y0:y1, x0:x1] = MEAN_RGB
            return
        row = np.array([core])
        width = feather_px(row, self.feather)
        wx0, wy0, wx1, wy1 = (int(v) for v in grown(row, width, size_wh)[0])
        window = (wx0, wy0, wx1, wy1)
        paste(result, self.render(result, core, window), window, core, int(width[0]))
