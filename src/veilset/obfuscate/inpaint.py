# SPDX-License-Identifier: Apache-2.0
"""Fills a region from its surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from veilset.errors import ConfigError
from veilset.obfuscate.mask import (
    MIN_SIDE_PX,
    IntBox,
    check_fraction,
    check_image,
    core_boxes,
    largest_first,
)
from veilset.obfuscate.per_region import MAX_SURVIVAL, MEAN_RGB, parameters_of
from veilset.protocols import MethodCard
from veilset.types import Image, IntBoxes, Region

ALGORITHMS = ("telea", "navier-stokes")


@dataclass(frozen=True)
class Inpaint:
    """Fills regions with what OpenCV's inpainting continues from their edges.

    Attributes:
        algorithm: ``telea`` (A. Telea, 2004) or ``navier-stokes`` (M. Bertalmio et al., 2001).
        radius_px: How far around a pixel the filling looks, 1 to 32.
        enlarge: Fraction of the region's sides added on every side.

    Raises:
        ConfigError: If a setting cannot be used.
    """

    algorithm: str = "telea"
    radius_px: int = 3
    enlarge: float = 0.2

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ConfigError(
                f"Parameter 'algorithm' of the method 'inpaint' is {self.algorithm!r}. "
                f"Give {' or '.join(ALGORITHMS)}."
            )
        if not (isinstance(self.radius_px, int) and 1 <= self.radius_px <= 32):
            raise ConfigError(
                f"Parameter 'radius_px' of the method 'inpaint' is {self.radius_px}. "
                "Give a whole number from 1 to 32."
            )
        check_fraction("inpaint", "enlarge", self.enlarge, 2.0)

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="inpaint",
            version=1,
            summary=f"Filled from its surroundings ({self.algorithm}).",
            parameters=parameters_of(self),
            reversible=False,
            weak="Smears what a tight box leaves of a face, and hides that something was hidden.",
            max_survival=MAX_SURVIVAL,
            source=f"OpenCV, cv2.inpaint ({self.algorithm})",
        )

    def core(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels of each region that are filled, ``(N, 4)``."""
        return core_boxes(regions, size_wh, self.enlarge)

    def footprint(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels that each region may change, ``(N, 4)``: its core."""
        return self.core(regions, size_wh)

    def obfuscate(self, image: Image, regions: Sequence[Region], *, seed: int = 0) -> Image:
        """Give a copy of the image with the regions filled; nothing here is random.

        Raises:
            ConfigError: If the image is not ``(H, W, 3)`` uint8.
        """
        import cv2

        check_image(image)
        result = image.copy()
        height, width = image.shape[:2]
        hidden = np.zeros((height, width), dtype=np.uint8)
        cores = largest_first(self.core(regions, (width, height)))
        for x0, y0, x1, y1 in cores:
            hidden[y0:y1, x0:x1] = 255
            # Whatever OpenCV leaves unfilled then holds this, never the face.
            result[y0:y1, x0:x1] = MEAN_RGB
        if min(height, width) < MIN_SIDE_PX:
            # OpenCV reads beyond a picture of one row: other bytes in every run.
            return result
        flag = cv2.INPAINT_TELEA if self.algorithm == "telea" else cv2.INPAINT_NS
        for x0, y0, x1, y1 in _joined(cores, 2 * self.radius_px + 4, (width, height)):
            seen = (slice(y0, y1), slice(x0, x1))
            if not hidden[seen].all():
                result[seen] = cv2.inpaint(
                    np.ascontiguousarray(result[seen]), hidden[seen], self.radius_px, flag
                )
        return result


def _joined(cores: Sequence[IntBox], margin: int, size_wh: tuple[int, int]) -> list[IntBox]:
    """Give disjoint windows that hold the cores with their margins.

    Regions that see each other's surroundings are filled together: one after the other,
    the first would be filled from the second's face.
    """
    windows: list[IntBox] = []
    for core in cores:
        box = (
            max(core[0] - margin, 0),
            max(core[1] - margin, 0),
            min(core[2] + margin, size_wh[0]),
            min(core[3] + margin, size_wh[1]),
        )
        at = 0
        while at < len(windows):
            a = windows[at]
            if a[0] < box[2] and box[0] < a[2] and a[1] < box[3] and box[1] < a[3]:
                box = (min(a[0], box[0]), min(a[1], box[1]), max(a[2], box[2]), max(a[3], box[3]))
                del windows[at]
                at = 0
            else:
                at += 1
        windows.append(box)
    return sorted(windows)
