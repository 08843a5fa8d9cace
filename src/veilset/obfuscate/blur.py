# SPDX-License-Identifier: Apache-2.0
"""A blur whose strength follows each face, and that covers all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from veilset.errors import ConfigError
from veilset.obfuscate.mask import IntBox
from veilset.obfuscate.per_region import MAX_SURVIVAL, PerRegion, parameters_of
from veilset.protocols import MethodCard
from veilset.types import Image

MIN_SIGMA_PX = 2.0
"""A face of a few pixels is blurred at least this much."""

_PASSES = 3


@dataclass(frozen=True)
class Blur(PerRegion):
    """Blurs each region by a Gaussian whose sigma is a share of that region's diagonal.

    The mask has its full weight on the whole core and fades outside of it, so that no
    face shows through the soft edge, however small it is beside another.

    Attributes:
        strength: Sigma as a fraction of the core's diagonal, 0.05 to 1; never below 2 px.
        enlarge: Fraction of the region's sides added on every side.
        feather: Fraction of the core's longer side over which the edge fades.

    Raises:
        ConfigError: If a setting cannot be used.
    """

    strength: float = 0.1
    enlarge: float = 0.2
    feather: float = 0.2

    def __post_init__(self) -> None:
        if not 0.05 <= self.strength <= 1:
            raise ConfigError(
                f"Parameter 'strength' of the method 'blur' is {self.strength}. Give a number "
                "from 0.05 to 1: below 0.05 of the diagonal a blurred face can be recognised."
            )
        self.check_margins("blur")

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="blur",
            version=1,
            summary=f"Blurred with a sigma of {self.strength:g} of each region's diagonal.",
            parameters=parameters_of(self),
            reversible=False,
            weak="Learned deblurring can identify faces behind a Gaussian blur; prefer 'veil'.",
            max_survival=MAX_SURVIVAL,
        )

    def render(self, image: Image, core: IntBox, window: IntBox) -> Image:
        """Blur the window, reading as far around it as the filter reaches."""
        import cv2

        sides = (core[2] - core[0], core[3] - core[1])
        widths = box_widths(max(MIN_SIGMA_PX, self.strength * math.hypot(*sides)))
        reach = sum(widths) // 2
        height, width = image.shape[:2]
        x0, y0 = max(window[0] - reach, 0), max(window[1] - reach, 0)
        x1, y1 = min(window[2] + reach, width), min(window[3] + reach, height)
        soft = image[y0:y1, x0:x1]
        for size in widths:
            # The cut edges are wrong by at most the reach, which lies outside the window;
            # where the cut is the image's own border, that border goes on.
            border = cv2.BORDER_REPLICATE | cv2.BORDER_ISOLATED
            soft = cv2.blur(soft, (size, size), borderType=border)
        return soft[window[1] - y0 : window[3] - y0, window[0] - x0 : window[2] - x0]


def box_widths(sigma_px: float) -> tuple[int, ...]:
    """Widths of the box filters that together make nearly a Gaussian of that sigma.

    Odd widths that differ by at most 2, chosen so that their variances add up to the
    nearest below (P. Kovesi, "Fast Almost-Gaussian Filtering", DICTA 2010).

    Args:
        sigma_px: Standard deviation in pixels, above 0.

    Example:
        >>> box_widths(10.0)
        (19, 19, 21)
    """
    ideal = math.sqrt(12 * sigma_px**2 / _PASSES + 1)
    low = int(ideal) - (1 - int(ideal) % 2)
    n_low = (12 * sigma_px**2 - _PASSES * (low**2 + 4 * low + 3)) / (-4 * low - 4)
    return tuple(low if i < round(n_low) else low + 2 for i in range(_PASSES))
