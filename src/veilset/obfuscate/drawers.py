# SPDX-License-Identifier: Apache-2.0
"""What draws a face in place of a hidden one: one class for each kind of generator.

A drawer is told where something is hidden and what is known of the region. It never gets a
hidden pixel: they are filled before it is asked, and again before it looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np

from veilset.engine.threads import usable_cores
from veilset.errors import ConfigError
from veilset.networks.face_generator import (
    FORMAT,
    FaceGenerator,
    card_of,
    place_face,
    read_generator,
    view_square,
)
from veilset.networks.factor_generator import FORMAT as FACTORS_FORMAT
from veilset.obfuscate.factor_drawer import FromFactors
from veilset.obfuscate.mask import IntBox
from veilset.obfuscate.shapes import Shape
from veilset.protocols import RuntimeSettings
from veilset.types import BoxXyxy, Image, Mask, ModelCard, Region


class Drawer(Protocol):
    """Draws faces with one generator. Safe to call from several threads at once."""

    @property
    def card(self) -> ModelCard:
        """Where the generator comes from."""

    def obstacle(self, region: Region, core: IntBox) -> str:
        """Say in a few words why it cannot draw a region whatever is around it, "" if it can.

        Args:
            region: What is known of it; no pixel.
            core: Its pixels.
        """

    def sight(self, region: Region, core: IntBox) -> BoxXyxy:
        """Give the rectangle that it sees and draws when it is asked for a region.

        It may reach beyond the image, and contains the core.
        """

    def shape(self, region: Region, core: IntBox, size_wh: tuple[int, int]) -> Shape:
        """Give the pixels that are hidden and replaced: the core, and whatever else it has to be.

        They lie within its sight and the image.

        Args:
            region, core: As ``obstacle``, which gave "".
            size_wh: Width and height of the image.
        """

    def draw(self, picture: Image, hidden: Mask, region: Region, core: IntBox) -> Drawn:
        """Draw a region and what is around it.

        Args:
            picture: ``(H, W, 3)`` uint8 RGB, not to be changed.
            hidden: ``(H, W)`` bool: what must have no effect, the core included.
            region, core: As ``obstacle``.
        """


class Drawn(Protocol):
    """What was drawn for a region."""

    def pixels(self, window: IntBox) -> Image:
        """Give some of it, ``(h, w, 3)`` uint8.

        Args:
            window: In pixels of the image, within the drawer's sight.
        """


class _Continuation:
    """What the generator that continues the surroundings has drawn."""

    def __init__(self, made: Image, core: IntBox, context: float) -> None:
        self._made, self._core, self._context = made, core, context

    def pixels(self, window: IntBox) -> Image:
        return place_face(self._made, self._core, window, self._context)


class Continuing:
    """Draws a face that continues its surroundings (``veilset.networks.face_generator``).

    Args:
        model: The ONNX file.
        origin: Its name.

    Raises:
        ConfigError: If it cannot be used.
    """

    def __init__(self, model: bytes, origin: str) -> None:
        # As many threads as may ever call; each session works on one, so that no sum depends
        # on how many there are.
        self._generator = FaceGenerator(model, origin, RuntimeSettings(n_threads=usable_cores()))

    @property
    def card(self) -> ModelCard:
        """Where the generator comes from."""
        return self._generator.card

    def obstacle(self, region: Region, core: IntBox) -> str:
        """Say why it cannot draw a region; see ``Drawer``."""
        return "" if region.kind == "face" else "not a face"

    def sight(self, region: Region, core: IntBox) -> BoxXyxy:
        """Give the square that it sees; see ``Drawer``."""
        return view_square(core, self._generator.facts.context)

    def shape(self, region: Region, core: IntBox, size_wh: tuple[int, int]) -> Shape:
        """Give the core; see ``Drawer``."""
        return Shape(core)

    def draw(self, picture: Image, hidden: Mask, region: Region, core: IntBox) -> Drawn:
        """Draw; see ``Drawer``. Where all that it sees is grey, so is the face."""
        view = self._generator.view(picture, hidden, core)
        made = self._generator.draw(view)
        if (view.surroundings == view.surroundings[..., :1]).all():
            total = made.sum(axis=2, dtype=np.uint16)
            made = np.repeat(((total + 1) // 3).astype(np.uint8)[..., None], 3, axis=2)
        return _Continuation(made, core, self._generator.facts.context)


_KINDS: Mapping[str, Callable[[bytes, str], Drawer]] = {
    FORMAT: Continuing,
    FACTORS_FORMAT: FromFactors,
}
_opening = Lock()


def open_drawer(path: str, sha256: str = "") -> tuple[Drawer, str]:
    """Open a generator; give it with the SHA-256 of its file.

    Args:
        path: The ONNX file, or the folder of the training that wrote it.
        sha256: What its digest has to be, lower-case hex; "" for any.

    Raises:
        ConfigError: If it cannot be read, is another file, or no generator.
    """
    model, found = read_generator(Path(path), sha256=sha256)
    with _opening:
        return _opened(model, Path(path).name), found


@lru_cache(maxsize=1)
def _opened(model: bytes, origin: str) -> Drawer:
    form = card_of(model, origin)["format"]
    if form not in _KINDS:
        raise ConfigError(
            f"{origin} is a generator of the kind {form!r}. Known: {', '.join(_KINDS)}. Give "
            "another file, or update Veilset."
        )
    return _KINDS[form](model, origin)
