# SPDX-License-Identifier: Apache-2.0
"""A network that draws a face where one was hidden, from what is around it alone.

Nothing of a hidden pixel reaches the network: it is filled before anything is resized, and the
mask is made from boxes. So the network can be trained, exchanged and attacked without a doubt
about what it has seen: its surroundings and the box (``tests/unit/networks/test_face_generator``).

The file is an ONNX model with one input of bytes, so that any runtime takes it: ``(N, 3, 2S, S)``,
above the picture with everything hidden filled, below two masks of 0 and 255: what is to be made,
and what is known. It gives ``(N, 3, S, S)`` in [0, 1]. A card in its metadata says what it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image as PillowImage

from veilset.errors import ConfigError
from veilset.files import sha256_hex
from veilset.images.crops import cut, cut_mask
from veilset.networks.onnx_fields import metadata_of
from veilset.networks.onnx_inputs import stated_inputs
from veilset.networks.runtime import Preparation, Session, open_session
from veilset.protocols import RuntimeSettings
from veilset.types import BoxXyxy, Image, Mask, ModelCard

FORMAT = "veilset-face-inpainter/1"
CARD_KEY = "veilset"
"""Under it the file's metadata hold the card, as JSON."""

SIDE_PX = 128
CONTEXT = 1.75
"""Side of what the network sees, by the longer side of what it draws."""

FILL = 127
"""Value of hidden and unknown pixels, in each channel."""

GENERATOR = "generator.onnx"
"""Name of the file in the folder of a training."""

_WEIGHTS = "weights.safetensors"
"""Beside it in the folder of the report's generator, which has the file when it is exported."""

IntBox = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FaceView:
    """What the network sees of one place.

    Attributes:
        surroundings: ``(S, S, 3)`` uint8 RGB, ``FILL`` where hidden or beyond the image.
        to_make: ``(S, S)`` bool, what it has to draw.
        known: ``(S, S)`` bool, what it is shown.
    """

    surroundings: Image
    to_make: Mask
    known: Mask

    def picture(self) -> Image:
        """Give both as the one picture of bytes that the network takes, ``(2S, S, 3)``."""
        masks = np.zeros_like(self.surroundings)
        masks[..., 0] = np.where(self.to_make, 255, 0)
        masks[..., 1] = np.where(self.known, 255, 0)
        return np.concatenate([self.surroundings, masks])


def view_square(core: IntBox, context: float = CONTEXT) -> BoxXyxy:
    """Give the square that the network sees, around the middle of what it draws.

    Args:
        core: Pixels to be drawn, half-open, with an area.
        context: Its side by the core's longer side, above 1; rounded to a 32th of a pixel.

    Example:
        >>> view_square((10, 10, 30, 50), context=1.5)
        (-10.0, 0.0, 50.0, 60.0)
    """
    x0, y0, x1, y1 = core
    # In 64ths of a pixel all of this is exact, so that a place looks the same wherever it lies.
    half = round(32 * context * max(x1 - x0, y1 - y0)) / 64
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half, y - half, x + half, y + half


def view_face(
    image: Image, hidden: Mask, core: IntBox, *, side_px: int = SIDE_PX, context: float = CONTEXT
) -> FaceView:
    """Give what the network sees of a place.

    Args:
        image: ``(H, W, 3)`` uint8 RGB. No pixel that is hidden has any effect.
        hidden: ``(H, W)`` bool: whatever must not be seen, the core included.
        core: What is to be drawn, inside the image.
        side_px: S.
        context: As ``view_square``.
    """
    x0, y0, x1, y1 = view_square(core, context)
    height, width = image.shape[:2]
    # Only the part around the core is looked at, with the pixels that resizing mixes in.
    left, top = max(int(np.floor(x0)), 0), max(int(np.floor(y0)), 0)
    right, bottom = min(int(np.ceil(x1)), width), min(int(np.ceil(y1)), height)
    part, covered = image[top:bottom, left:right].copy(), hidden[top:bottom, left:right]
    part[covered] = FILL
    square = (x0 - left, y0 - top, x1 - left, y1 - top)
    size = (side_px, side_px)
    inside = np.zeros(covered.shape, np.bool_)
    cx0, cy0, cx1, cy1 = core[0] - left, core[1] - top, core[2] - left, core[3] - top
    inside[cy0:cy1, cx0:cx1] = True
    surroundings = cut(part, square, size)
    known = ~cut_mask(covered, square, size) & ~beyond(covered.shape, square, size)
    surroundings[~known] = FILL
    return FaceView(surroundings, cut_mask(inside, square, size), known)


def beyond(shape_hw: tuple[int, ...], square: BoxXyxy, size_hw: tuple[int, int]) -> Mask:
    """Say which pixels of a view have a share beyond the border of the image, ``size_hw`` bool.

    Args:
        shape_hw: Height and width of the image.
        square: What is seen, in its pixels.
        size_hw: Of the view.

    Example:
        >>> beyond((4, 4), (-2, 0, 2, 4), (1, 2)).tolist()
        [[True, False]]
    """
    height, width = shape_hw[:2]
    x0, y0, x1, y1 = square
    across = x0 + (x1 - x0) * np.arange(size_hw[1] + 1) / size_hw[1]
    down = y0 + (y1 - y0) * np.arange(size_hw[0] + 1) / size_hw[0]
    out_x = (across[:-1] < 0) | (across[1:] > width)
    out_y = (down[:-1] < 0) | (down[1:] > height)
    found: Mask = out_y[:, None] | out_x[None, :]
    return found


def place_face(made: Image, core: IntBox, window: IntBox, context: float = CONTEXT) -> Image:
    """Give the pixels of a window of the image from what the network drew.

    Args:
        made: ``(S, S, 3)`` uint8, as drawn for the view of ``core``.
        core: As ``view_face``.
        window: The pixels wanted, within the square that was seen.

    Returns:
        ``(h, w, 3)`` uint8: cubic where it is enlarged, averaged where it is reduced.
    """
    side = made.shape[0]
    x0, y0, x1, _ = view_square(core, context)
    scale = side / (x1 - x0)
    low = ((window[0] - x0) * scale, (window[1] - y0) * scale)
    high = ((window[2] - x0) * scale, (window[3] - y0) * scale)
    box = (max(low[0], 0.0), max(low[1], 0.0), min(high[0], side), min(high[1], side))
    size_wh = (window[2] - window[0], window[3] - window[1])
    resized = PillowImage.fromarray(made).resize(size_wh, PillowImage.Resampling.BICUBIC, box=box)
    return np.asarray(resized)


@dataclass(frozen=True, slots=True)
class GeneratorFacts:
    """What the file says of itself.

    Attributes:
        side_px: S, the side of what it sees and draws.
        context: As ``view_square``.
        values: The whole card: data, split, measures, licence.
    """

    side_px: int
    context: float
    values: Mapping[str, Any]

    @classmethod
    def read(cls, model: bytes, origin: str) -> Self:
        """Read the card of an ONNX file.

        Raises:
            ConfigError: If it is no such network, or not one that this version knows.
        """
        values = card_of(model, origin)
        if values["format"] != FORMAT:
            raise ConfigError(
                f"{origin} is a generator of the kind {values['format']!r}, and {FORMAT!r} is "
                "wanted. Give another file."
            )
        try:
            side, context = int(values["side_px"]), float(values["context"])
            (stated,) = stated_inputs(model)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise _damaged(origin, error) from error
        if not (16 <= side <= 1024 and 1.0 < context <= 4.0):
            raise ConfigError(
                f"{origin} draws at {side} px with a context of {context}: 16 to 1,024 px and a "
                "context above 1 and up to 4 can be used. Train it anew."
            )
        if stated.sizes[1:] != (3, 2 * side, side):
            raise ConfigError(f"{origin} does not fit its own card. Train it anew.")
        return cls(side, context, values)


def card_of(model: bytes, origin: str) -> Mapping[str, Any]:
    """Read what an ONNX file says of itself; it has a text under ``format``.

    Args:
        model: The file.
        origin: Its name, for messages.

    Raises:
        ConfigError: If it is damaged, or no generator of faces.
    """
    try:
        text = metadata_of(model).get(CARD_KEY, "")
        values = json.loads(text) if text else {}
        form = values.get("format")
    except (IndexError, ValueError, AttributeError, RecursionError) as error:
        raise _damaged(origin, error) from error
    if not isinstance(form, str):
        raise ConfigError(
            f"{origin} is not a generator of faces. Give the file {GENERATOR} that 'veilset "
            "synthesize train' wrote."
        )
    found: Mapping[str, Any] = values
    return found


def read_generator(path: Path, *, sha256: str = "") -> tuple[bytes, str]:
    """Read the file of a generator, of whatever kind; give it with its SHA-256.

    Args:
        path: The ONNX file, or the folder of the training that wrote it.
        sha256: What its digest has to be, lower-case hex; "" for any.

    Raises:
        ConfigError: If it cannot be read, or is another file.
    """
    folder = path
    path = path / GENERATOR if path.is_dir() else path
    try:
        model = path.read_bytes()
    except OSError as error:
        remedy = "Train one with 'veilset synthesize train', or give the path of its file."
        if (folder / _WEIGHTS).exists():
            remedy = f"Write it with 'veilset synthesize export {folder}'."
        raise ConfigError(
            f"The generator {path} cannot be read: {error.strerror}. {remedy}"
        ) from error
    found = sha256_hex(model)
    if sha256 and found != sha256:
        raise ConfigError(
            f"The generator {path} has the SHA-256 {found}, not {sha256}. Give the file that was "
            "used before."
        )
    return model, found


def _damaged(origin: str, error: Exception) -> ConfigError:
    return ConfigError(f"{origin} is damaged ({type(error).__name__}). Give an intact file.")


class FaceGenerator:
    """Draws faces. Safe to call from several threads at once.

    The same file, picture and boxes give the same bytes on one kind of processor and one version
    of the runtime, whatever the number of threads.

    Args:
        model: The ONNX file.
        origin: Its name, for messages and the card.
        settings: How it is run; ``precision`` should stay ``full``.

    Raises:
        ConfigError: If the file or a setting cannot be used.
    """

    def __init__(self, model: bytes, origin: str, settings: RuntimeSettings | None = None) -> None:
        self.facts = GeneratorFacts.read(model, origin)
        self._session: Session = open_session(model, Preparation(), settings or RuntimeSettings())
        licence = str(self.facts.values.get("data_licence", "not stated"))
        self.card = ModelCard(
            name="face generator",
            origin=origin,
            licence=f"as its training photographs allow: {licence}",
            commercial_ok=None,
            sha256=sha256_hex(model),
        )

    @classmethod
    def load(cls, path: Path, *, sha256: str = "", settings: RuntimeSettings | None = None) -> Self:
        """Read a file.

        Args:
            path: The ONNX file, or the folder of the training that wrote it.
            sha256: What its digest has to be, lower-case hex; "" for any.
            settings: As for the class.

        Raises:
            ConfigError: If it cannot be read, is another file, or no generator.
        """
        model, _ = read_generator(path, sha256=sha256)
        return cls(model, path.name, settings)

    def view(self, image: Image, hidden: Mask, core: IntBox) -> FaceView:
        """Give what the network sees of a place; arguments as ``view_face``."""
        return view_face(
            image, hidden, core, side_px=self.facts.side_px, context=self.facts.context
        )

    def draw(self, view: FaceView) -> Image:
        """Give the whole view with what was to be made, ``(S, S, 3)`` uint8.

        Raises:
            ConfigError: If the network gives no picture.
        """
        side = self.facts.side_px
        with self._session.run(view.picture()[None]) as outputs:
            face = outputs[0][0]
            if face.shape != (3, side, side) or not np.isfinite(face).all():
                raise ConfigError(
                    f"The generator {self.card.origin} gives no picture of {side} x {side} px. "
                    "Train it anew."
                )
            levels = np.rint(np.clip(face, 0, 1) * 255).astype(np.uint8)
        drawn: Image = np.ascontiguousarray(np.moveaxis(levels, 0, 2))
        return drawn
