# SPDX-License-Identifier: Apache-2.0
"""The generator of the report in use: a face from landmarks, surroundings and chosen attributes.

Where a face is cut out, what is hidden of it and what the network sees all follow from the 68
landmarks and the box of a region; the attributes are chosen beforehand. So, given the region, no
hidden pixel has any effect. Who looked at the face is whoever found the landmarks: they tell the
pose and some of the identity (``docs/synthesize.md``).

The file is an ONNX model of two inputs, as ``synthesize.export`` writes it. A card in its
metadata says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from veilset.errors import ConfigError
from veilset.files import sha256_hex
from veilset.networks.coarse_landmarks import Detail
from veilset.networks.face_crop import face_crop
from veilset.networks.face_ellipse import Ellipse, face_ellipse
from veilset.networks.face_factors import face_factors
from veilset.networks.face_generator import card_of
from veilset.networks.landmarks import N_LANDMARKS
from veilset.networks.onnx_inputs import stated_inputs
from veilset.networks.tensor_session import open_tensor_session
from veilset.protocols import RuntimeSettings
from veilset.types import BoxXyxy, Image, Mask, ModelCard, Region

FORMAT = "veilset-face-generator/1"
FACTORS, ATTRIBUTES, FACE = "factors", "attributes", "face"
"""Names of the inputs and of the output."""

CUTTING = ("context", "aspect", "margin", "hide_box")
"""What the card says of how faces are cut out, under ``cutting``; as ``PrepareConfig``."""

FACE_ATTRIBUTES = "face_attributes"
"""Under it a region's attributes hold the names of those that its new face is to have, in the
order of the generator, a space between: ``"Male Smiling Young"``."""

REACH = 1.0
"""An ellipse that reaches farther beyond the box than this share of its sides is not of that box:
the landmarks were found where there is no face, or are of another."""

NO_LANDMARKS, OTHER_LANDMARKS = "no landmarks", "landmarks that do not fit its box"
NO_ATTRIBUTES = "no attributes chosen"

IntBox = tuple[int, int, int, int]
Boolean = NDArray[np.bool_]


def attributes_text(names: Sequence[str], present: Boolean) -> str:
    """Give what stands under ``FACE_ATTRIBUTES``.

    Example:
        >>> attributes_text(["Male", "Smiling", "Young"], np.array([True, False, True]))
        'Male Young'
    """
    return " ".join(name for name, has in zip(names, present, strict=True) if has)


def attributes_of(region: Region, names: Sequence[str]) -> Boolean | None:
    """Give the attributes that were chosen for a region, ``(K,)``; None if none were.

    Raises:
        ConfigError: If one was chosen that the generator does not know.

    Example:
        >>> region = Region((0, 0, 9, 9), attributes={"face_attributes": "Young"})
        >>> attributes_of(region, ["Male", "Young"]).tolist()
        [False, True]
    """
    text = region.attributes.get(FACE_ATTRIBUTES)
    if not isinstance(text, str):
        return None
    chosen = text.split()
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise ConfigError(
            f"A region is to have the attribute {unknown[0]!r}, which the generator does not know. "
            "Choose attributes by a classifier that was trained on the same list."
        )
    return np.array([name in chosen for name in names], np.bool_)


def ellipse_of(region: Region, margin: float) -> Ellipse | None:
    """Give the ellipse of a region; None if it has no 68 landmarks, or they are not of its box.

    Args:
        region: No pixel is looked at.
        margin: As ``face_ellipse``.
    """
    if len(region.landmarks_xy) != N_LANDMARKS:
        return None
    try:
        ellipse = _ellipse(region.landmarks_xy, margin)
    except ConfigError:
        return None
    x0, y0, x1, y1 = region.box_xyxy
    across, down = REACH * (x1 - x0), REACH * (y1 - y0)
    left, top, right, bottom = ellipse.bounds_xyxy()
    fits = x0 - across <= left < right <= x1 + across and y0 - down <= top < bottom <= y1 + down
    return ellipse if fits and _meet((left, top, right, bottom), region.box_xyxy) else None


@lru_cache(maxsize=1024)
def _ellipse(landmarks_xy: tuple[tuple[float, float], ...], margin: float) -> Ellipse:
    """Find the ellipse once: it is asked for several times in a row."""
    return face_ellipse(landmarks_xy, margin=margin)


def _meet(a: BoxXyxy, b: BoxXyxy) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@dataclass(frozen=True, slots=True)
class FactorFacts:
    """What the file says of itself.

    Attributes:
        names: The K attributes.
        size_hw: Height and width of what it draws.
        detail, cells, sigma_px: As ``face_factors``.
        context, aspect: As ``face_crop``.
        margin: As ``face_ellipse``.
        values: The whole card: data, split, measures, licence.
    """

    names: tuple[str, ...]
    size_hw: tuple[int, int]
    detail: Detail
    cells: int
    sigma_px: float
    context: float
    aspect: float
    margin: float
    values: Mapping[str, Any]

    @classmethod
    def read(cls, model: bytes, origin: str) -> Self:
        """Read the card of an ONNX file.

        Raises:
            ConfigError: If it is no such network, or damaged.
        """
        card = card_of(model, origin)
        if card["format"] != FORMAT:
            raise ConfigError(
                f"{origin} is a generator of the kind {card['format']!r}, and {FORMAT!r} is "
                "wanted. Give another file."
            )
        try:
            inputs, cutting = card["inputs"], card["cutting"]
            height, width = (int(each) for each in card["size_hw"])
            facts = cls(
                names=tuple(str(each) for each in card["attributes"]),
                size_hw=(height, width),
                detail=Detail(inputs["detail"]),
                cells=int(inputs["cells"]),
                sigma_px=float(inputs["sigma_px"]),
                context=float(cutting["context"]),
                aspect=float(cutting["aspect"]),
                margin=float(cutting["margin"]),
                values=card,
            )
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise ConfigError(
                f"{origin} is damaged, or was exported by an older version "
                f"({type(error).__name__}). Export the generator anew."
            ) from error
        sizes = {each.name: each.sizes[1:] for each in stated_inputs(model)}
        n_channels = facts.detail.n_points + 3
        if sizes != {FACTORS: (n_channels, height, width), ATTRIBUTES: (len(facts.names),)}:
            raise ConfigError(f"{origin} does not fit its own card. Export the generator anew.")
        return facts


class FactorGenerator:
    """Draws faces. Safe to call from several threads at once.

    Args:
        model: The ONNX file.
        origin: Its name, for messages and the card.
        settings: How it is run; ``precision`` should stay ``full``.

    Raises:
        ConfigError: If the file or a setting cannot be used.
    """

    def __init__(self, model: bytes, origin: str, settings: RuntimeSettings | None = None) -> None:
        self.facts = FactorFacts.read(model, origin)
        self._session = open_tensor_session(model, settings or RuntimeSettings())
        licence = str(self.facts.values.get("data_licence", "not stated"))
        self.card = ModelCard(
            name="face generator of landmarks and attributes",
            origin=origin,
            licence=f"as its training photographs allow: {licence}",
            commercial_ok=None,
            sha256=sha256_hex(model),
        )

    def obstacle(self, region: Region, core: IntBox) -> str:
        """Say in a few words why a region cannot be drawn, "" if it can; no pixel is looked at.

        Args:
            region: What is known of it.
            core: The pixels that have to be replaced.

        Raises:
            ConfigError: As ``attributes_of``.
        """
        if len(region.landmarks_xy) != N_LANDMARKS:
            return NO_LANDMARKS
        if ellipse_of(region, self.facts.margin) is None:
            return OTHER_LANDMARKS
        x0, y0, x1, y1 = self.sight(region)
        if not (x0 <= core[0] and y0 <= core[1] and core[2] <= x1 and core[3] <= y1):
            return OTHER_LANDMARKS
        return "" if attributes_of(region, self.facts.names) is not None else NO_ATTRIBUTES

    def ellipse(self, region: Region) -> Ellipse:
        """Give the ellipse of a region that can be drawn."""
        return _ellipse(region.landmarks_xy, self.facts.margin)

    def sight(self, region: Region) -> BoxXyxy:
        """Give the crop that is seen and drawn; it may reach over the border of the image."""
        return face_crop(self.ellipse(region), context=self.facts.context, aspect=self.facts.aspect)

    def draw(self, image: Image, hidden: Mask, region: Region) -> Image:
        """Draw a region for which there is no obstacle, and what is around it.

        Args:
            image: ``(H, W, 3)`` uint8 RGB. No pixel that is hidden has any effect.
            hidden: ``(H, W)`` bool; the ellipse of the region is hidden besides.
            region: As ``obstacle``.

        Returns:
            ``(*size_hw, 3)`` uint8: the crop of ``sight``.

        Raises:
            ConfigError: If the network gives no picture.
        """
        facts, crop = self.facts, self.sight(region)
        present = attributes_of(region, facts.names)
        if present is None:
            raise ConfigError("For a region no attributes were chosen. Run 'synthesize select'.")
        left, top, right, bottom = _around(crop, image.shape)
        to_part = np.array([left, top])
        factors = face_factors(
            image[top:bottom, left:right],
            np.asarray(region.landmarks_xy) - to_part,
            (crop[0] - left, crop[1] - top, crop[2] - left, crop[3] - top),
            hidden=hidden[top:bottom, left:right],
            size_hw=facts.size_hw,
            detail=facts.detail,
            cells=facts.cells,
            margin=facts.margin,
            sigma_px=facts.sigma_px,
        )
        seen = np.concatenate([factors.landmarks, factors.context])
        (faces,) = self._session.run(
            {FACTORS: seen[None], ATTRIBUTES: present[None].astype(np.float32)}
        )
        face = faces[0]
        if face.shape != (3, *facts.size_hw) or not np.isfinite(face).all():
            raise ConfigError(
                f"The generator {self.card.origin} gives no picture of {facts.size_hw[0]} x "
                f"{facts.size_hw[1]} px. Train it anew."
            )
        levels = np.rint(np.clip(face, 0, 1) * 255).astype(np.uint8)
        return np.ascontiguousarray(np.moveaxis(levels, 0, 2))


def _around(crop: BoxXyxy, shape: Sequence[int]) -> IntBox:
    """Give the pixels of an image that a crop touches, half-open; at least one."""
    height, width = shape[:2]
    left = min(max(int(np.floor(crop[0])), 0), width - 1)
    top = min(max(int(np.floor(crop[1])), 0), height - 1)
    right = max(min(int(np.ceil(crop[2])), width), left + 1)
    bottom = max(min(int(np.ceil(crop[3])), height), top + 1)
    return left, top, right, bottom


def place_crop(made: Image, crop: BoxXyxy, window: IntBox) -> Image:
    """Give the pixels of a window of the image from what was drawn for a crop.

    Args:
        made: ``(h, w, 3)`` uint8, the crop as it was drawn.
        crop: As ``FactorGenerator.sight``.
        window: The pixels wanted, within the crop.

    Returns:
        ``(h, w, 3)`` uint8: cubic where it is enlarged, averaged where it is reduced.
    """
    height, width = made.shape[:2]
    across, down = width / (crop[2] - crop[0]), height / (crop[3] - crop[1])
    box = (
        max((window[0] - crop[0]) * across, 0.0),
        max((window[1] - crop[1]) * down, 0.0),
        min((window[2] - crop[0]) * across, float(width)),
        min((window[3] - crop[1]) * down, float(height)),
    )
    size_wh = (window[2] - window[0], window[3] - window[1])
    resized = PillowImage.fromarray(made).resize(size_wh, PillowImage.Resampling.BICUBIC, box=box)
    return np.asarray(resized)
