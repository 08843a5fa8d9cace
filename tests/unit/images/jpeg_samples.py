# SPDX-License-Identifier: Apache-2.0
"""JPEG files drawn by code, for tests of the images package."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage

from veilset.types import Image


def drawn(width: int, height: int, seed: int = 0) -> Image:
    """Draw a smooth colourful picture with some grain, ``(height, width, 3)`` RGB."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    smooth = PillowImage.fromarray(small).resize((width, height), PillowImage.Resampling.BICUBIC)
    grain = rng.integers(-6, 7, (height, width, 3))
    return np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)


def exif_block(orientation: int) -> bytes:
    """Build an EXIF block that holds an orientation only."""
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def encoded(image: Image, file_format: str = "JPEG", **options: Any) -> bytes:
    """Encode RGB pixels; ``gray=True`` makes a gray file, the rest goes to Pillow."""
    picture = PillowImage.fromarray(image)
    if options.pop("gray", False):
        picture = picture.convert("L")
    target = io.BytesIO()
    picture.save(target, file_format, **options)
    return target.getvalue()


def sampled(image: Image, sampling: str, exif: bytes = b"", **options: int) -> bytes:
    """Encode RGB pixels as JPEG of any sampling, ``4:1:1`` and ``4:4:0`` too, by OpenCV.

    Options are ``quality``, ``progressive``, ``optimize``, ``rst_interval``.
    """
    flags: list[int] = []
    if sampling != "gray":
        factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling.replace(':', '')}")
        flags = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    for name, value in options.items():
        flags += [getattr(cv2, f"IMWRITE_JPEG_{name.upper()}"), int(value)]
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if sampling == "gray":
        pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    ok, data = cv2.imencode(".jpg", pixels, flags)
    assert ok
    content = data.tobytes()
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif if exif else b""
    return content[:2] + segment + content[2:]


def pillow_pixels(data: bytes) -> Image:
    """Decode with Pillow alone, stored order, RGB."""
    with PillowImage.open(io.BytesIO(data)) as picture:
        return np.array(picture.convert("RGB"))
