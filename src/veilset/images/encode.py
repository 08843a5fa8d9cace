# SPDX-License-Identifier: Apache-2.0
"""Write obfuscated pixels back into an image file of the same format.

========== =====================================================================
JPEG       Only touched blocks change; see ``jpeg_splice``.
PNG, BMP   Every pixel outside the footprint is kept exactly, alpha included.
TIFF       The same. Only the tags that describe pixels, resolution, colour,
           camera and software are carried.
WebP       Lossless files as PNG; lossy ones are encoded again.
AVIF       Encoded again.
========== =====================================================================

Inside the footprint alpha becomes opaque: what lies below transparent pixels can be
looked at, and a face may be drawn in the alpha channel itself.

Metadata is carried as it is where a format is written anew; ``clean_metadata`` has to
follow in either case.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.ImageFile import ImageFile

from veilset.errors import BoxError
from veilset.images.decode import decode_jpeg_header
from veilset.images.formats import DEFAULT_MAX_PIXELS, ImageInfo, sniff_format
from veilset.images.jpeg_blocks import gray_level
from veilset.images.jpeg_markers import parse_jpeg
from veilset.images.jpeg_splice import splice_jpeg
from veilset.images.orientation import stored_boxes, unorient
from veilset.images.pictures import Native, native_pixels, open_picture
from veilset.images.png_pixels import carry_chunks, write_deep
from veilset.types import Image, IntBoxes

DEFAULT_QUALITY: Final = 90
"""Quality, 0..100, at which lossy WebP and AVIF files are encoded again."""

_KEPT_TIFF_TAGS: Final = (271, 272, 282, 283, 296, 305, 306, 34675)
_ORIENTATION: Final = 274
_MODE_OF: Final = {2: "LA", 3: "RGB", 4: "RGBA"}


def replace_pixels(
    data: bytes,
    image: Image,
    footprint: IntBoxes,
    *,
    quality: int = DEFAULT_QUALITY,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> bytes:
    """Give the file with new pixels inside the footprint and the old ones outside.

    Args:
        data: The original file.
        image: ``(H, W, 3)`` uint8 RGB as seen, the obfuscated picture; outside the
            footprint it has to equal ``decode_image(data)``.
        footprint: ``(N, 4)`` whole pixels as seen; cut to the picture. If it holds no
            pixel, ``data`` comes back unchanged.
        quality: For lossy WebP and AVIF only, 0..100.
        max_pixels: As for ``decode_image``.

    Returns:
        A file of the same format, with the orientation tag of the original.

    Raises:
        DecodeError: If the original cannot be processed.
        BoxError: If the image does not have the size of the original.

    Example:
        >>> replace_pixels(b"any", np.zeros((1, 1, 3), np.uint8), np.zeros((0, 4), np.int64))
        b'any'
    """
    boxes = _clipped(footprint, image)
    if not len(boxes):
        return data
    name = sniff_format(data)
    if name == "JPEG":
        jpeg = parse_jpeg(data)
        info = decode_jpeg_header(jpeg, max_pixels)
        _check_size(image, info)
        stored = unorient(image, info.orientation)
        return splice_jpeg(jpeg, stored, stored_boxes(boxes, info.size_wh, info.orientation))
    with open_picture(data, name, max_pixels) as (picture, info):
        _check_size(image, info)
        about = _carried(picture, info)
        native = native_pixels(picture, data)
        stored = unorient(image, info.orientation)
        for box in stored_boxes(boxes, info.size_wh, info.orientation).tolist():
            native = _paste(native, stored, box)
    return _save(data, native, info, about, quality)


def _clipped(footprint: IntBoxes, image: Image) -> IntBoxes:
    boxes = np.asarray(footprint, dtype=np.int64).reshape(-1, 4)
    height, width = image.shape[:2]
    boxes = np.clip(boxes, 0, [width, height, width, height])
    return boxes[(boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])]


def _check_size(image: Image, info: ImageInfo) -> None:
    if image.shape != (info.size_wh[1], info.size_wh[0], 3) or image.dtype != np.uint8:
        raise BoxError(
            f"The new pixels are {image.dtype} of shape {image.shape}, the file has "
            f"{info.size_wh[0]} x {info.size_wh[1]}. Give (height, width, 3) uint8 as decoded."
        )


def _paste(native: Native, stored: Image, box: list[int]) -> Native:
    """Put RGB pixels into stored pixels of any kind; alpha becomes opaque."""
    x0, y0, x1, y1 = box
    patch: NDArray[Any] = stored[y0:y1, x0:x1]
    channels = 1 if native.ndim == 2 else native.shape[2]
    if channels <= 2:
        patch = gray_level(patch)
    deep = native.dtype == np.uint16
    if deep:
        patch = patch.astype(np.uint16) * 257
    if channels == 1:
        native[y0:y1, x0:x1] = patch
        return native
    n_colours = 1 if channels == 2 else 3
    native[y0:y1, x0:x1, :n_colours] = patch[..., None] if channels == 2 else patch
    if channels in (2, 4):
        native[y0:y1, x0:x1, -1] = 65535 if deep else 255
    return native


def _carried(picture: ImageFile, info: ImageInfo) -> dict[str, Any]:
    """Collect, before pixels are loaded, what the format needs written again."""
    if info.format == "TIFF":
        # Pictures of this format have it, which their common class does not say.
        tags = picture.tag_v2  # type: ignore[attr-defined]
        compression = picture.info.get("compression", "raw")
        # The codes of fax machines hold black and white only.
        if compression in ("group3", "group4", "tiff_ccitt"):
            compression = "tiff_adobe_deflate"
        kept = {tag: tags[tag] for tag in _KEPT_TIFF_TAGS if tag in tags}
        # As it was read: of an odd form Pillow would make a plain one, which turns pixels.
        kept |= {_ORIENTATION: info.orientation} if info.orientation > 1 else {}
        return {"tiffinfo": kept, "compression": compression}
    if info.format == "BMP":
        return {"dpi": picture.info["dpi"]} if "dpi" in picture.info else {}
    if info.format == "PNG":
        return {}
    names = ("icc_profile", "exif", "xmp")
    carried: dict[str, Any] = {n: picture.info[n] for n in names if picture.info.get(n)}
    if info.format == "AVIF":
        block = PillowImage.Exif()
        block.load(carried.get("exif", b""))
        block[_ORIENTATION] = info.orientation
        carried["exif"] = block
    elif "exif" in carried:
        # Pillow takes one mark off; a block that already had one too many stays as it is.
        carried["exif"] = b"Exif\0\0" + carried["exif"]
    return carried


def _save(
    data: bytes, native: Native, info: ImageInfo, about: dict[str, Any], quality: int
) -> bytes:
    if info.format == "PNG" and native.dtype == np.uint16:
        return carry_chunks(data, write_deep(native.astype(np.uint16, copy=False)))
    mode = "L" if native.ndim == 2 else _MODE_OF[native.shape[2]]
    if native.dtype == np.uint16:
        picture = PillowImage.fromarray(native)
    else:
        height, width = native.shape[:2]
        picture = PillowImage.frombytes(mode, (width, height), native.tobytes())
    if info.format == "BMP" and mode == "LA":
        picture = picture.convert("RGBA")
    if info.format == "WEBP":
        # Without ``exact`` the encoder changes colours below transparent pixels.
        about |= {"exact": True}
        about |= {"lossless": True} if info.lossless else {"quality": quality}
    elif info.format == "AVIF":
        about["quality"] = quality
    target = io.BytesIO()
    picture.save(target, info.format, **about)
    written = target.getvalue()
    return carry_chunks(data, written) if info.format == "PNG" else written
