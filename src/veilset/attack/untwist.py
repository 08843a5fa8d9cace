# SPDX-License-Identifier: Apache-2.0
"""Turning the method ``swirl`` back.

The twist turns every pixel around the centre of its core by an angle that depends on its
distance from there, and that stays as it is. So the inverse turns by the negative angle, and
nothing is lost to the geometry. A little is lost to the pixel grid: around the centre the
twist shears by up to ``strength / e``, and the linear interpolation softens. Reading the
twisted picture at the places turned back is therefore only the first guess. It is refined to
the picture which, twisted again, gives what was seen (``least_squares``).

PSNR inside a box of 100 x 120 px in the middle of one photograph each of 40 people of LFW, at
strength 10, mean with its 95 % interval (Student's, n = 40): 15.9 dB twisted, 47.4 [46.8, 48.1]
restored, 34.9 [34.4, 35.4] if JPEG of quality 85 came between. Without the refinement it is 38
dB on 12 photographs, with it 48. Where a second region
overlapped the box, the box came back to 42 dB, on the same 12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilset.attack.cores import MIN_SIDE_PX, IntBox, grown, largest_first, pixels, within
from veilset.attack.least_squares import Effort, Planes, most_likely, to_image, to_planes
from veilset.protocols import Obfuscator
from veilset.types import Image, Region

SMOOTHNESS = (5e-3, 5e-3, 5e-3)
"""Tried from 1e-4 to 3e-2 on 12 photographs of LFW: best, and flat, from 3e-3 to 1e-2."""


@dataclass(frozen=True, slots=True)
class Untwist:
    """Undoes ``swirl``, whose formula and strength are public.

    Attributes:
        n_steps: Steps of the refinement; 0 only turns back.
    """

    n_steps: int = 40

    def restore(self, image: Image, regions: Sequence[Region], obfuscator: Obfuscator) -> Image:
        """Give the picture before the twist, as far as it can be told.

        Args:
            image: ``(H, W, 3)`` uint8, what ``obfuscator.obfuscate`` gave.
            regions: The regions that it was given.
            obfuscator: The method ``swirl``, with the settings it had.

        Returns:
            A copy. Pixels outside the cores are those of ``image``.
        """
        result = image.copy()
        size_wh = (image.shape[1], image.shape[0])
        if min(size_wh) < MIN_SIDE_PX:
            return result
        strength = float(obfuscator.card.parameters["strength"])
        # Each twist was made on what the one before left: the last is undone first.
        for core in reversed(largest_first(obfuscator.core(regions, size_wh))):
            self._turn_back(result, core, strength)
        return result

    def _turn_back(self, image: Image, core: IntBox, strength: float) -> None:
        """Restore one core in place."""
        size_wh = (image.shape[1], image.shape[0])
        # Pixels stay on their circles, of which the widest goes through the corners.
        longer = max(core[2] - core[0], core[3] - core[1])
        frame = grown(core, longer, size_wh)
        inner = within(core, frame)
        seen = to_planes(image[pixels(frame)])
        height, width = seen.shape[1:]
        # Of the twisted picture only the core is twisted.
        guess = twisted(inner, -strength, (height, width), limits=inner).forward(seen)
        unknown = np.zeros((height, width), dtype=bool)
        unknown[pixels(inner)] = True
        twist = twisted(inner, strength, (height, width), limits=(0, 0, width, height))
        found = most_likely(twist, seen, unknown, guess, SMOOTHNESS, Effort(self.n_steps))
        image[pixels(core)] = to_image(found[:, *pixels(inner)])


@dataclass(frozen=True, slots=True)
class Sampling:
    """Replaces the pixels of a box by linear interpolation at other places; a ``Change``.

    Attributes:
        box: The n pixels that are replaced.
        taken: ``(4, n)``, the pixels that each of them is mixed from, counted along the rows.
        shares: ``(4, n)``, how much of each, in [0, 1].
    """

    box: IntBox
    taken: NDArray[np.int64]
    shares: NDArray[np.float64]

    def forward(self, planes: Planes) -> Planes:
        """Give what the picture becomes, ``(3, h, w)``."""
        result = planes.copy()
        part = result[:, *pixels(self.box)]
        flat = planes.reshape(len(planes), -1)
        part[...] = (flat[:, self.taken] * self.shares).sum(axis=1).reshape(part.shape)
        return result

    def backward(self, planes: Planes) -> Planes:
        """Give the transposed map, ``(3, h, w)``."""
        result = planes.copy()
        result[:, *pixels(self.box)] = 0
        parts = planes[:, *pixels(self.box)].reshape(len(planes), -1)
        size = planes[0].size
        for plane, part in zip(result, parts, strict=True):
            shared = np.bincount(self.taken.ravel(), (self.shares * part).ravel(), minlength=size)
            plane += shared.reshape(plane.shape)
        return result


def twisted(core: IntBox, strength: float, size_hw: tuple[int, int], limits: IntBox) -> Sampling:
    """Give the twist of a core: scikit-image's ``transform.swirl``, with linear interpolation.

    Its radius is half of the core's diagonal, its centre that of the core.

    Args:
        core: The pixels that are replaced.
        strength: Angle at the centre in radians; negative turns back.
        size_hw: Height and width of the picture.
        limits: Where pixels are read; places outside are moved to its edge.
    """
    x0, y0, x1, y1 = core
    centre_x, centre_y = (x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2
    dx, dy = np.meshgrid(np.arange(x0, x1) - centre_x, np.arange(y0, y1) - centre_y)
    radius = math.hypot(x1 - x0, y1 - y0) / 2
    rho = np.hypot(dx, dy)
    theta = strength * np.exp(-rho * 5 / (radius * math.log(2))) + np.arctan2(dy, dx)
    x = np.clip(centre_x + rho * np.cos(theta), limits[0], limits[2] - 1).ravel()
    y = np.clip(centre_y + rho * np.sin(theta), limits[1], limits[3] - 1).ravel()
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    height, width = size_hw
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    share_x, share_y = x - left, y - top
    taken = [top * width + left, top * width + right, bottom * width + left, bottom * width + right]
    upper, lower = 1 - share_y, share_y
    shares = [(1 - share_x) * upper, share_x * upper, (1 - share_x) * lower, share_x * lower]
    return Sampling(core, np.array(taken), np.array(shares))
