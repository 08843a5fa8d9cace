# SPDX-License-Identifier: Apache-2.0
"""The colours that a file's profile or gamma makes of its pixels.

Viewers that manage colours, browsers among them, show a file through its ICC profile or, in a
PNG without one, through its gamma. For a photograph that is a matter of taste. A file can be
made, though, whose face is there in one of the two only.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms

from veilset.images.formats import sniff_format
from veilset.images.jpeg_markers import APP2, parse_jpeg
from veilset.images.pictures import open_picture
from veilset.types import Image

NEAR: Final = 8
"""A profile that moves no colour by more levels is sRGB, for the eye of a detector."""

OTHER: Final = 64
"""From this many levels anywhere in a picture on, its colours are others than the stored ones."""

_ICC_MARK: Final = b"ICC_PROFILE\0"
_GAMMA_OF_SCREENS: Final = 2.2

_Convert = Callable[[Image], Image]


@dataclass(frozen=True, slots=True)
class StatedColours:
    """What a file says of its colours.

    Attributes:
        profile: Its ICC profile, empty without one.
        gamma: Its ``gAMA`` as a power of light to samples, as 0.45455; None if it has none, or
            a profile or ``sRGB`` goes before it.
    """

    profile: bytes = b""
    gamma: float | None = None


def stated_colours(data: bytes, max_pixels: int) -> StatedColours:
    """Read what a file says of its colours; no pixel is decoded.

    Args:
        data: A file that decodes.
        max_pixels: Most pixels.

    Raises:
        DecodeError: With the reason why the image cannot be processed.
    """
    name = sniff_format(data)
    if name == "JPEG":
        if _ICC_MARK not in data:
            return StatedColours()
        segments = parse_jpeg(data, header_only=True).payloads(APP2)
        parts = sorted(p[len(_ICC_MARK) :] for p in segments if p.startswith(_ICC_MARK))
        # Each part begins with its number and how many there are.
        return StatedColours(b"".join(part[2:] for part in parts))
    with open_picture(data, name, max_pixels) as (picture, _):
        profile = picture.info.get("icc_profile") or b""
        gamma = picture.info.get("gamma") if "srgb" not in picture.info else None
    return StatedColours(profile, None if profile else gamma)


def managed(picture: Image, colours: StatedColours) -> Image | None:
    """Give a picture as a viewer that manages colours shows it.

    Args:
        picture: ``(H, W, 3)`` uint8 RGB as stored.
        colours: What its file says.

    Returns:
        The picture in sRGB, of the same shape; None where it is nearly the same. A profile that
        cannot be used is passed by, as viewers do.
    """
    convert = None
    if colours.profile:
        convert = _by_profile(colours.profile)
    elif colours.gamma:
        convert = _by_gamma(colours.gamma)
    if convert is None:
        return None
    shown = convert(picture)
    # Differences of uint8 would wrap around.
    away = np.maximum(shown, picture) - np.minimum(shown, picture)
    return shown if away.size and away.max() >= OTHER else None


@lru_cache(maxsize=8)
def _by_profile(profile: bytes) -> _Convert | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        is_gray = source.profile.xcolor_space.strip() == "GRAY"
        mode = "L" if is_gray else "RGB"
        change = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None

    def convert(picture: Image) -> Image:
        stored = PillowImage.fromarray(picture)
        return np.asarray(change.apply(stored.convert("L") if is_gray else stored))

    steps = np.arange(0, 256, 15, dtype=np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    if is_gray:
        probe = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    is_near = np.abs(convert(probe).astype(int) - probe).max() <= NEAR
    return None if is_near else convert


@lru_cache(maxsize=8)
def _by_gamma(gamma: float) -> _Convert | None:
    levels = np.arange(256) / 255
    curve = np.rint(255 * levels ** (1 / (gamma * _GAMMA_OF_SCREENS))).astype(np.uint8)
    if np.abs(curve.astype(int) - np.arange(256)).max() <= NEAR:
        return None
    return lambda picture: curve[picture]
