# SPDX-License-Identifier: Apache-2.0
"""Draws faces from landmarks and chosen attributes, which the regions bring with them."""

from __future__ import annotations

import numpy as np

from veilset.engine.threads import usable_cores
from veilset.networks.factor_generator import FactorGenerator, place_crop
from veilset.obfuscate.mask import IntBox
from veilset.obfuscate.shapes import Shape, join
from veilset.protocols import RuntimeSettings
from veilset.types import BoxXyxy, Image, Mask, ModelCard, Region


class FromFactors:
    """Draws a face with the 68 landmarks and the attributes that ``synthesize select`` noted.

    Args:
        model: The ONNX file (``veilset.networks.factor_generator``).
        origin: Its name.

    Raises:
        ConfigError: If it cannot be used.
    """

    def __init__(self, model: bytes, origin: str) -> None:
        # As many threads as may ever call; see ``Continuing``.
        self._generator = FactorGenerator(model, origin, RuntimeSettings(n_threads=usable_cores()))

    @property
    def card(self) -> ModelCard:
        """Where the generator comes from."""
        return self._generator.card

    def obstacle(self, region: Region, core: IntBox) -> str:
        """Say why it cannot draw a region; see ``Drawer``."""
        return self._generator.obstacle(region, core) if region.kind == "face" else "not a face"

    def sight(self, region: Region, core: IntBox) -> BoxXyxy:
        """Give the crop that it sees; see ``Drawer``."""
        return self._generator.sight(region)

    def shape(self, region: Region, core: IntBox, size_wh: tuple[int, int]) -> Shape:
        """Give the core and the ellipse around the landmarks; see ``Drawer``."""
        x0, y0, x1, y1 = self.sight(region, core)
        left, top = max(int(np.ceil(x0)), 0), max(int(np.ceil(y0)), 0)
        right, bottom = min(int(np.floor(x1)), size_wh[0]), min(int(np.floor(y1)), size_wh[1])
        ellipse = self._generator.ellipse(region).moved(-left, -top)
        mask = ellipse.mask((right - left, bottom - top))
        return join(core, mask, (left, top, right, bottom))

    def draw(self, picture: Image, hidden: Mask, region: Region, core: IntBox) -> FromCrop:
        """Draw; see ``Drawer``."""
        made = self._generator.draw(picture, hidden, region)
        return FromCrop(made, self.sight(region, core))


class FromCrop:
    """A crop of the image as it was drawn."""

    def __init__(self, made: Image, crop: BoxXyxy) -> None:
        self._made, self._crop = made, crop

    def pixels(self, window: IntBox) -> Image:
        """Give some of it; see ``Drawn``."""
        return place_crop(self._made, self._crop, window)
