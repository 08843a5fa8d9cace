# SPDX-License-Identifier: Apache-2.0
"""A twist that can be turned back: the negative control of every measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from veilset.errors import ConfigError
from veilset.obfuscate.mask import IntBox
from veilset.obfuscate.per_region import PerRegion, parameters_of
from veilset.protocols import MethodCard
from veilset.types import Image


@dataclass(frozen=True)
class Swirl(PerRegion):
    """Twists each region around its centre. Turning it back gives the face again.

    A suspect was found in 2007 by untwisting his published pictures: this method is here
    to show that an attack works, never to protect anyone.

    Attributes:
        strength: Angle at the centre in radians; it falls to 1/1000 at the corners.
        enlarge: Fraction of the region's sides added on every side.

    Raises:
        ConfigError: If a setting cannot be used.
    """

    strength: float = 10.0
    enlarge: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.strength <= 100:
            raise ConfigError(
                f"Parameter 'strength' of the method 'swirl' is {self.strength}. "
                "Give an angle from 1 to 100 radians."
            )
        self.check_margins("swirl")

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="swirl",
            version=1,
            summary=f"Twisted by {self.strength:g} radians around the centre.",
            parameters=parameters_of(self),
            reversible=True,
            weak="Turning it back shows the face: use it only as a negative control.",
            max_survival=1.0,
            source="scikit-image, skimage.transform.swirl (the formula)",
        )

    def render(self, image: Image, core: IntBox, window: IntBox) -> Image:
        """Sample the core at twisted places, linearly between pixels."""
        x0, y0, x1, y1 = core
        across, down = np.arange(x0, x1) - (x0 + x1 - 1) / 2, np.arange(y0, y1) - (y0 + y1 - 1) / 2
        dx, dy = np.meshgrid(across, down)
        radius = math.hypot(x1 - x0, y1 - y0) / 2
        rho = np.hypot(dx, dy)
        theta = self.strength * np.exp(-rho * 5 / (radius * math.log(2))) + np.arctan2(dy, dx)
        height, width = image.shape[:2]
        x = np.clip((x0 + x1 - 1) / 2 + rho * np.cos(theta), 0, width - 1)
        y = np.clip((y0 + y1 - 1) / 2 + rho * np.sin(theta), 0, height - 1)
        left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
        share_x, share_y = (x - left)[..., None], (y - top)[..., None]
        upper = image[top, left] * (1 - share_x) + image[top, right] * share_x
        lower = image[bottom, left] * (1 - share_x) + image[bottom, right] * share_x
        twisted: Image = np.floor(upper * (1 - share_y) + lower * share_y + 0.5).astype(np.uint8)
        return twisted
