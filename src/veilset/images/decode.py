# SPDX-License-Identifier: Apache-2.0
"""Open an image file: what it is, whether it may be processed, its pixels as people see them.

Only formats that ``encode.replace_pixels`` can write back are opened. Limits are checked
on the header, before anything is decoded. Pillow's process-wide settings are neither
trusted nor changed: its format readers are called directly, below ``Image.open``.
"""

from __future__ import annotations

import importlib
import io
import struct
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from veilset.errors import DecodeError
from veilset.exif_orientation import stated_orientation
from veilset.faults import is_fault
from veilset.images.formats import (
    DEFAULT_MAX_BYTES,
    DEFAULT_MAX_PIXELS,
    ImageInfo,
    check_bytes,
    check_pixels,
    sniff_format,
)
from veilset.images.jpeg_complete import check_complete
from veilset.images.jpeg_markers import APP1, APP2, JpegFile, parse_jpeg
from veilset.images.jpeg_surplus import check_surplus
from veilset.images.orientation import orient, oriented_size
from veilset.images.pictures import (
    Native,
    native_pixels,
    open_picture,
    reader_errors,
    rgb_pixels,
)
from veilset.types import Image

__all__ = [
    "DEFAULT_MAX_BYTES",
    "DEFAULT_MAX_PIXELS",
    "ImageInfo",
    "decode_image",
    "decode_jpeg_header",
    "decode_stored",
    "inspect_image",
    "jpeg_pixels_pillow",
]


def inspect_image(
    data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, max_bytes: int = DEFAULT_MAX_BYTES
) -> ImageInfo:
    """Read the header of an image file; no pixel is decoded.

    Args:
        data: The file.
        max_pixels: Most pixels, width times height.
        max_bytes: Most bytes.

    Raises:
        DecodeError: With the reason why the image cannot be processed.

    Example:
        >>> inspect_image(b"GIF89a")
        Traceback (most recent call last):
        ...
        veilset.errors.DecodeError: GIF cannot be written back safely. Convert the file to \
PNG or JPEG first.
    """
    check_bytes(data, max_bytes)
    name = sniff_format(data)
    if name == "JPEG":
        return decode_jpeg_header(parse_jpeg(data, header_only=True), max_pixels)
    with open_picture(data, name, max_pixels) as (_, info):
        return info


def decode_image(
    data: bytes,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_bytes: int = DEFAULT_MAX_BYTES,
    check_end: bool = True,
) -> tuple[Image, ImageInfo]:
    """Decode an image file to RGB pixels as people see them.

    Transparency is ignored: the colours below transparent pixels are given as stored,
    because whoever gets the file can look at them. What viewers show instead is given by
    ``renderings.decode_renderings``.

    Args:
        data: The file.
        max_pixels: Most pixels, checked before decoding.
        max_bytes: Most bytes, checked before anything.
        check_end: Whether a JPEG is refused that holds more than it shows. False saves time
            where its picture data is not published.

    Returns:
        ``(H, W, 3)`` uint8 RGB after EXIF orientation, contiguous and writable; and what
        ``inspect_image`` gives.

    Raises:
        DecodeError: With the reason why the image cannot be processed.
    """
    stored, info = decode_stored(
        data, max_pixels=max_pixels, max_bytes=max_bytes, check_end=check_end
    )
    return np.ascontiguousarray(orient(rgb_pixels(stored), info.orientation)), info


def decode_stored(
    data: bytes,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_bytes: int = DEFAULT_MAX_BYTES,
    check_end: bool = True,
) -> tuple[Native, ImageInfo]:
    """Decode an image file to its pixels as stored; arguments and errors as ``decode_image``.

    Returns:
        The pixels before EXIF orientation, alpha included; of a JPEG ``(H, W, 3)`` RGB. And
        what ``inspect_image`` gives.
    """
    check_bytes(data, max_bytes)
    name = sniff_format(data)
    if name != "JPEG":
        with open_picture(data, name, max_pixels) as (picture, info):
            return native_pixels(picture, data), info
    jpeg = parse_jpeg(data)
    info = decode_jpeg_header(jpeg, max_pixels)
    stored = _jpeg_pixels(data)
    check_complete(jpeg, stored)
    if check_end:
        check_surplus(jpeg)
    return stored, info


def decode_jpeg_header(jpeg: JpegFile, max_pixels: int) -> ImageInfo:
    """Check the header of a parsed JPEG and give what it says, as ``inspect_image``."""
    check_pixels(jpeg.size_wh, max_pixels)
    _refuse_equal_pictures(jpeg)
    blocks = [p for p in jpeg.header_payloads(APP1) if p.startswith(b"Exif\0\0")]
    orientation = (stated_orientation(blocks[0]) if blocks else None) or 1
    return ImageInfo(
        format="JPEG",
        size_wh=oriented_size(jpeg.size_wh, orientation),
        stored_wh=jpeg.size_wh,
        orientation=orientation,
        mode="L" if len(jpeg.components) == 1 else "RGB",
        lossless=False,
    )


def _refuse_equal_pictures(jpeg: JpegFile) -> None:
    """Refuse stereo pairs and panorama sets (CIPA DC-007, type of an individual image).

    Previews, gain maps and depth maps behind the main picture are no pictures of their
    own; they are dropped when the file is written.
    """
    for payload in jpeg.payloads(APP2):
        block = payload[4:]
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
        if not payload.startswith(b"MPF\0") or order is None or len(block) < 10:
            continue
        (start,) = struct.unpack_from(order + "I", block, 4)
        if start + 2 > len(block):
            continue
        (count,) = struct.unpack_from(order + "H", block, start)
        for at in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
            tag, _, size, offset = struct.unpack_from(order + "HHII", block, at)
            if tag != 0xB002:
                continue
            for entry in range(offset, min(offset + size, len(block) - 15), 16):
                (attribute,) = struct.unpack_from(order + "I", block, entry)
                if attribute >> 16 & 0xFF == 2:
                    raise DecodeError(
                        "multi-picture",
                        "The JPEG file holds several pictures of one scene. "
                        "Split it into single pictures first.",
                    )


class _OpenCv(NamedTuple):
    """OpenCV, how it is to read a JPEG, and the order in which its colours are then."""

    module: Any
    flags: int
    is_rgb: bool


@cache
def _opencv() -> _OpenCv | None:
    """OpenCV, or None: its JPEG decoder gives Pillow's pixels, faster, without the GIL."""
    try:
        module = importlib.import_module("cv2")
    except ImportError:
        return None
    # Up to 4.10 it knows BGR alone.
    is_rgb = hasattr(module, "IMREAD_COLOR_RGB")
    colour = module.IMREAD_COLOR_RGB if is_rgb else module.IMREAD_COLOR
    return _OpenCv(module, colour | module.IMREAD_IGNORE_ORIENTATION, is_rgb)


def _jpeg_pixels(data: bytes) -> Image:
    """Decode a JPEG that ``parse_jpeg`` accepted, ``(H, W, 3)`` RGB in stored order."""
    opencv = _opencv()
    if opencv is None:
        return jpeg_pixels_pillow(data)
    try:
        stored = opencv.module.imdecode(np.frombuffer(data, dtype=np.uint8), opencv.flags)
    except opencv.module.error as error:
        short = MemoryError()
        if error.code == opencv.module.Error.StsNoMem and is_fault(short):
            raise short from error
        stored = None
    if stored is None:
        raise DecodeError("unreadable", "The JPEG file cannot be decoded. Replace the file.")
    pixels: Image = stored if opencv.is_rgb else np.ascontiguousarray(stored[:, :, ::-1])
    return pixels


def jpeg_pixels_pillow(data: bytes) -> Image:
    """Decode a JPEG with Pillow, the reference for OpenCV's decoder."""
    with reader_errors("JPEG"), JpegImageFile(io.BytesIO(data)) as picture:
        return np.array(picture.convert("RGB"))
