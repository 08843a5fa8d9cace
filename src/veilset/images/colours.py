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

STEEP: Final = 8
"""A profile that draws two neighbouring levels farther apart can show what is not seen as stored.
Then more than ``NEAR`` anywhere makes a picture another. Those of cameras and screens have 2."""

_ICC_MARK: Final = b"ICC_PROFILE\0"
_GAMMA_OF_SCREENS: Final = 2.2

# Tags of a profile that is a table of colours, of which a few say nothing of the others.
_TABLES: Final = (b"A2B", b"D2B")

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
    change = None
    if colours.profile:
        change = _by_profile(colours.profile)
    elif colours.gamma:
        change = _by_gamma(colours.gamma)
    if change is None:
        return None
    shown = change.convert(picture)
    return shown if picture.size and _most(shown, picture) >= change.least else None


@dataclass(frozen=True, slots=True)
class _Change:
    """How pixels are converted, and how far one has to move in a picture that is another."""

    convert: _Convert
    least: int


def _judged(convert: _Convert, *, is_gray: bool = False, is_table: bool = False) -> _Change | None:
    """Judge a conversion by what it makes of some colours; None if it is none."""
    lines = _LINES[:1] if is_gray else _LINES
    changed = convert(lines)
    if is_table or _most(changed[:, 1:], changed[:, :-1]) > STEEP:
        return _Change(convert, NEAR + 1)
    is_near = _most(changed, lines) <= NEAR and (is_gray or _most(convert(_GRID), _GRID) <= NEAR)
    return None if is_near else _Change(convert, OTHER)


def _most(one: Image, other: Image) -> int:
    # Differences of uint8 would wrap around.
    return int((np.maximum(one, other) - np.minimum(one, other)).max())


def _lines() -> Image:
    """Give all grays, and all levels of each colour alone, ``(4, 256, 3)``."""
    lines = np.zeros((4, 256, 3), np.uint8)
    levels = np.arange(256, dtype=np.uint8)
    lines[0] = levels[:, None]
    for channel in range(3):
        lines[1 + channel, :, channel] = levels
    return lines


def _grid() -> Image:
    """Give colours from everywhere, ``(1, N, 3)``."""
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)


_LINES: Final = _lines()
_GRID: Final = _grid()


@lru_cache(maxsize=8)
def _by_profile(profile: bytes) -> _Change | None:
    is_table = any(name in profile for name in _TABLES)
    # Else it is put together with the curves before it, from a few of their points.
    flags = ImageCms.Flags.NOOPTIMIZE if is_table else ImageCms.Flags.NONE
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        is_gray = source.profile.xcolor_space.strip() == "GRAY"
        mode, srgb = "L" if is_gray else "RGB", ImageCms.createProfile("sRGB")
        change = ImageCms.buildTransform(source, srgb, mode, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None

    def convert(picture: Image) -> Image:
        stored = PillowImage.fromarray(picture)
        return np.asarray(change.apply(stored.convert("L") if is_gray else stored))

    return _judged(convert, is_gray=is_gray, is_table=is_table)


@lru_cache(maxsize=8)
def _by_gamma(gamma: float) -> _Change | None:
    levels = np.arange(256) / 255
    curve = np.rint(255 * levels ** (1 / (gamma * _GAMMA_OF_SCREENS))).astype(np.uint8)
    return _judged(lambda picture: curve[picture])
