# SPDX-License-Identifier: Apache-2.0
"""Methods that leave nothing of a region: one colour over it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from veilset.errors import ConfigError
from veilset.obfuscate.mask import (
    OPAQUE,
    IntBox,
    check_image,
    largest_first,
    mix,
)
from veilset.obfuscate.per_region import MAX_SURVIVAL, MEAN_RGB, PerRegion, parameters_of
from veilset.protocols import MethodCard
from veilset.types import Image, IntBoxes, Region

COLOURS = {
    "mean": MEAN_RGB,
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
}


def parse_colour(text: str) -> tuple[int, int, int]:
    """Read a colour: a name of ``COLOURS`` or ``#rrggbb``.

    Raises:
        ConfigError: If it is neither.

    Example:
        >>> parse_colour("#ff8000"), parse_colour("mean")
        ((255, 128, 0), (124, 116, 104))
    """
    if text in COLOURS:
        return COLOURS[text]
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ConfigError(
            f"The colour {text!r} is not known. Give {', '.join(COLOURS)} or #rrggbb."
        )
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


class Fill(PerRegion):
    """A method that paints the core in one colour; a subclass adds the field ``colour``."""

    colour: str
    min_side_px: ClassVar[int] = 1

    def render(self, image: Image, core: IntBox, window: IntBox) -> Image:
        """Give the window in the one colour."""
        content = np.empty((window[3] - window[1], window[2] - window[0], 3), dtype=np.uint8)
        content[...] = parse_colour(self.colour)
        return content

    def check_fill(self, method: str) -> None:
        """Refuse settings that cannot be used.

        Raises:
            ConfigError: If the colour or the enlargement cannot be used.
        """
        parse_colour(self.colour)
        self.check_margins(method)


@dataclass(frozen=True)
class Overlay(Fill):
    """Paints each region in one colour, as the ImageNet face study overlays faces.

    Attributes:
        colour: ``mean`` (that of ImageNet's training images), ``black``, ``white``,
            ``red``, ``green``, ``blue`` or ``#rrggbb``.
        enlarge: Fraction of the region's sides added on every side; 0 is the paper's form.

    Raises:
        ConfigError: If a setting cannot be used.
    """

    colour: str = "mean"
    enlarge: float = 0.0

    def __post_init__(self) -> None:
        self.check_fill("overlay")

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="overlay",
            version=1,
            summary=f"Painted over in one colour ({self.colour}).",
            parameters=parameters_of(self),
            reversible=False,
            weak="",
            max_survival=MAX_SURVIVAL,
            source="Yang et al., A Study of Face Obfuscation in ImageNet, section 4",
        )


@dataclass(frozen=True)
class Blackout(Fill):
    """Paints each region black.

    Attributes:
        enlarge: Fraction of the region's sides added on every side.

    Raises:
        ConfigError: If the enlargement cannot be used.
    """

    # No setting here; mypy minds that the base leaves it to each object.
    colour: ClassVar[str] = "black"  # type: ignore[misc]
    enlarge: float = 0.2

    def __post_init__(self) -> None:
        self.check_fill("blackout")

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="blackout",
            version=1,
            summary="Painted black.",
            parameters=parameters_of(self),
            reversible=False,
            weak="",
            max_survival=MAX_SURVIVAL,
        )


@dataclass(frozen=True)
class EllipseMask(Fill):
    """Paints the ellipse around each region in one colour.

    The ellipse runs through the corners of the core, so that all of it is covered; the
    ellipse inside the box, as others draw it, leaves the corners of the face visible.

    Attributes:
        colour: As for ``overlay``.
        enlarge: Fraction of the region's sides added on every side before the ellipse.

    Raises:
        ConfigError: If a setting cannot be used.
    """

    colour: str = "mean"
    enlarge: float = 0.0

    def __post_init__(self) -> None:
        self.check_fill("mask")

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="mask",
            version=1,
            summary=f"Covered by an ellipse of one colour ({self.colour}).",
            parameters=parameters_of(self),
            reversible=False,
            weak="",
            max_survival=MAX_SURVIVAL,
        )

    def footprint(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels that each region may change, ``(N, 4)``: the box around the ellipse."""
        cores = self.core(regions, size_wh)
        for row, (x0, y0, x1, y1) in enumerate(cores):
            if x0 < x1 and y0 < y1:
                cores[row] = _ellipse_window((int(x0), int(y0), int(x1), int(y1)), size_wh)
        return cores

    def obfuscate(self, image: Image, regions: Sequence[Region], *, seed: int = 0) -> Image:
        """Give a copy of the image with the ellipses painted; nothing here is random.

        Raises:
            ConfigError: If the image is not ``(H, W, 3)`` uint8.
        """
        check_image(image)
        result = image.copy()
        size_wh = (image.shape[1], image.shape[0])
        for core in largest_first(self.core(regions, size_wh)):
            window = _ellipse_window(core, size_wh)
            x0, y0, x1, y1 = window
            weight = np.repeat(_ellipse_weight(core, window)[..., None], 3, axis=2)
            mix(result[y0:y1, x0:x1], self.render(result, core, window), weight)
        return result


def _ellipse_axes(core: IntBox) -> tuple[float, float]:
    """Half axes in pixels of the smallest ellipse of the core's shape that contains it."""
    return (core[2] - core[0]) / math.sqrt(2), (core[3] - core[1]) / math.sqrt(2)


def _ellipse_window(core: IntBox, size_wh: tuple[int, int]) -> IntBox:
    x, y = (core[0] + core[2]) / 2, (core[1] + core[3]) / 2
    a, b = _ellipse_axes(core)
    low_x, low_y = max(math.floor(x - a), 0), max(math.floor(y - b), 0)
    return low_x, low_y, min(math.ceil(x + a), size_wh[0]), min(math.ceil(y + b), size_wh[1])


def _ellipse_weight(core: IntBox, window: IntBox) -> NDArray[np.uint16]:
    """Weight of the colour: ``OPAQUE`` in the core, an edge one pixel wide on the ellipse."""
    a, b = _ellipse_axes(core)
    x = np.arange(window[0], window[2]) + 0.5 - (core[0] + core[2]) / 2
    y = (np.arange(window[1], window[3]) + 0.5 - (core[1] + core[3]) / 2)[:, None]
    level = (x / a) ** 2 + (y / b) ** 2 - 1.0
    slope = 2.0 * np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2)
    # Distance to the ellipse, to first order; the slope is 0 only at the centre.
    distance = level / np.maximum(slope, 1e-9)
    weight = np.rint(OPAQUE * np.clip(0.5 - distance, 0.0, 1.0)).astype(np.uint16)
    x0, y0 = core[0] - window[0], core[1] - window[1]
    weight[y0 : y0 + core[3] - core[1], x0 : x0 + core[2] - core[0]] = OPAQUE
    return weight
