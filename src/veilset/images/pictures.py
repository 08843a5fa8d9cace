# SPDX-License-Identifier: Apache-2.0
"""PNG, WebP, TIFF, BMP and AVIF through Pillow's readers, and their pixels as stored.

``PIL.Image.open`` warns or fails at a process-wide limit. The readers are called
directly instead, after a check of the size that needs no decoder.
"""

from __future__ import annotations

import importlib
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.ImageFile import ImageFile

from veilset.errors import DecodeError, VeilsetError
from veilset.exif_orientation import stated_orientation
from veilset.faults import is_fault
from veilset.images.formats import ImageInfo, animated_error, check_pixels
from veilset.images.orientation import oriented_size, unorient
from veilset.images.png_pixels import split_chunks
from veilset.types import Image

_READERS: Final = {
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
}
_MODES: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B"})
_TIFF_COMPRESSIONS: Final = frozenset(
    {"raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma"}
    | {"group3", "group4", "tiff_ccitt"}
)
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_COLOUR = 256, 257, 258, 262
_ORIENTATION, _TIFF_TILE, _TIFF_EXTRA = 274, 322, 338
_PREMULTIPLIED = 1
_WEBP_EXIF = 0x08

Native = NDArray[np.uint8] | NDArray[np.uint16]
"""Pixels as stored: ``(H, W)`` gray, or ``(H, W, C)`` with C of 2 (gray, alpha), 3, 4."""


@contextmanager
def reader_errors(name: str) -> Iterator[None]:
    """Turn what a reader raises on a broken file into a ``DecodeError``.

    What is the machine's fault, as a want of memory, passes through: it is not the file's.
    """
    try:
        yield
    except VeilsetError:
        raise
    except (PillowImage.DecompressionBombError, MemoryError) as error:
        if is_fault(error):
            raise
        raise DecodeError(
            "over-limit", f"The {name} file needs more memory than is allowed. Leave it out."
        ) from error
    # Pillow's readers let nearly any error of broken files through; Warning is there for
    # processes that turn warnings into errors. The content of the error is not passed on.
    except (
        *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError),
        *(ArithmeticError, RuntimeError, struct.error, zlib.error, Warning),
    ) as error:
        # Readers are imported when they are needed, and a process may have no file left for that.
        if is_fault(error):
            raise
        text = str(error).lower()
        if "too large" in text:
            reason, what = "over-limit", "holds a text that unpacks to more than is allowed"
        elif "pixel mode" in text or "unsupported" in text or "not supported" in text:
            raise _unsupported(name, "has pixels of a kind that is not known") from error
        elif "truncated" in text or "unexpected end" in text or "not enough data" in text:
            reason, what = "truncated", "ends before its picture does"
        else:
            reason, what = "unreadable", "is corrupt"
        raise DecodeError(reason, f"The {name} file {what}. Replace the file.") from error


def _unsupported(name: str, what: str) -> DecodeError:
    return DecodeError(
        "unsupported",
        f"The {name} file {what}, which cannot be kept exactly. "
        "Convert it to 8-bit RGB or gray first.",
    )


@contextmanager
def open_picture(data: bytes, name: str, max_pixels: int) -> Iterator[tuple[ImageFile, ImageInfo]]:
    """Open a file with Pillow's reader of its format; nothing is decoded yet.

    Args:
        data: The file.
        name: ``PNG``, ``WEBP``, ``TIFF``, ``BMP`` or ``AVIF``.
        max_pixels: Most pixels.

    Raises:
        DecodeError: With the reason why the image cannot be processed.
    """
    if name == "WEBP":
        _check_webp(data, max_pixels)
    if name == "PNG" and len(data) >= 26:
        check_pixels(struct.unpack_from(">II", data, 16), max_pixels)
    module, attribute = _READERS[name]
    with reader_errors(name):
        reader = getattr(importlib.import_module(module), attribute)
        with reader(io.BytesIO(data)) as picture:
            yield picture, _describe(picture, data, name, max_pixels)


def _describe(picture: ImageFile, data: bytes, name: str, max_pixels: int) -> ImageInfo:
    stored_wh = picture.size
    if name == "TIFF":
        tags = _tiff_tags(picture)
        stored_wh = (int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT]))
    check_pixels(stored_wh, max_pixels)
    if getattr(picture, "is_animated", False):
        if name == "TIFF":
            raise DecodeError(
                "multi-picture",
                "The TIFF file holds several pictures. Split it into single pictures first.",
            )
        raise animated_error(name)
    orientation = _orientation(picture, data, name)
    if name == "TIFF":
        _check_tiff(picture, orientation)
    if picture.mode not in _MODES:
        raise _unsupported(name, f"has pixels of the kind {picture.mode}")
    return ImageInfo(
        format=name,
        size_wh=oriented_size(stored_wh, orientation),
        stored_wh=stored_wh,
        orientation=orientation,
        mode=picture.mode,
        lossless=name in ("PNG", "TIFF", "BMP") or (name == "WEBP" and is_lossless_webp(data)),
    )


def _orientation(picture: ImageFile, data: bytes, name: str) -> int:
    """Give the orientation, 1..8; of the same block from which ``metadata`` writes it anew."""
    if name == "AVIF":
        # The file states it in properties, which Pillow gives as EXIF, by its own reading.
        block = PillowImage.Exif()
        block.load(picture.info.get("exif", b""))
        value = block.get(_ORIENTATION, 1)
        return int(value) if value in range(1, 9) else 1
    if name == "TIFF":
        return stated_orientation(data) or 1
    blocks: list[bytes] = []
    if name == "PNG":
        blocks = [chunk.content for chunk in split_chunks(data) if chunk.name == b"eXIf"]
    elif name == "WEBP":
        chunks = webp_chunks(data)
        # Without its flag in an extended header, which stands first, decoders pass it by.
        header = chunks[b"VP8X"] if next(iter(chunks), b"") == b"VP8X" else b""
        is_announced = bool(header) and bool(header[0] & _WEBP_EXIF)
        blocks = [chunks[b"EXIF"]] if is_announced and b"EXIF" in chunks else []
    return (stated_orientation(blocks[0]) if blocks else None) or 1


def webp_chunks(data: bytes) -> dict[bytes, bytes]:
    """Give the first chunk of each name of a WebP file.

    Raises:
        DecodeError: ``truncated`` if the file is shorter than it says.
    """
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise DecodeError("truncated", "The WebP file is shorter than it says. Fetch it again.")
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= size + 8:
        (length,) = struct.unpack_from("<I", data, at + 4)
        chunks.setdefault(data[at : at + 4], data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    return chunks


def is_lossless_webp(data: bytes) -> bool:
    """Whether a WebP file stores its pixels without loss."""
    chunks = webp_chunks(data)
    return b"VP8L" in chunks and b"VP8 " not in chunks


def _check_webp(data: bytes, max_pixels: int) -> None:
    # Pillow's reader allocates the canvas when it opens, so the size is read here first.
    chunks = webp_chunks(data)
    if b"ANMF" in chunks or b"ANIM" in chunks:
        raise animated_error("WebP")
    with reader_errors("WebP"):
        if b"VP8X" in chunks:
            body = chunks[b"VP8X"]
            size = [int.from_bytes(body[i : i + 3], "little") + 1 for i in (4, 7)]
        elif b"VP8L" in chunks:
            bits = int.from_bytes(chunks[b"VP8L"][1:5], "little")
            size = [(bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1]
        else:
            size = [n & 0x3FFF for n in struct.unpack_from("<HH", chunks[b"VP8 "], 6)]
    check_pixels((size[0], size[1]), max_pixels)


def _tiff_tags(picture: ImageFile) -> Any:
    # Pictures of this format have it, which their common class does not say.
    return picture.tag_v2  # type: ignore[attr-defined]


def _check_tiff(picture: ImageFile, orientation: int) -> None:
    tags = _tiff_tags(picture)
    compression = picture.info.get("compression", "raw")
    if compression not in _TIFF_COMPRESSIONS:
        raise _unsupported("TIFF", f"is compressed by {compression}")
    if tags.get(_TIFF_COLOUR) not in (0, 1, 2, 3):
        raise _unsupported("TIFF", "is not gray, palette or RGB")
    if _TIFF_TILE in tags:
        raise _unsupported("TIFF", "is cut into tiles")
    bits = tags.get(_TIFF_BITS, (1,))
    if any(n not in (1, 2, 4, 8, 16) for n in bits) or len(bits) > 4:
        raise _unsupported("TIFF", f"has samples of {bits} bits")
    extra = tags.get(_TIFF_EXTRA, ())
    if _PREMULTIPLIED in (extra if isinstance(extra, tuple) else (extra,)):
        raise _unsupported("TIFF", "has colours multiplied by alpha")
    # By its own reading Pillow sizes and turns what it loads.
    stated = tags.get(_ORIENTATION)
    if (stated if stated in range(1, 9) else 1) != orientation:
        raise _unsupported("TIFF", "states its orientation in a form that readers take differently")
    if 16 in bits and picture.mode not in ("I;16", "I;16B"):
        raise _unsupported("TIFF", "has colours of 16 bits")


def native_pixels(picture: ImageFile, data: bytes) -> Native:
    """Decode the pixels as stored, alpha included, before orientation.

    Palettes and transparent colours are resolved: a palette becomes RGB or RGBA, a gray
    with a transparent value becomes gray and alpha, bits and 2- and 4-bit gray become
    8-bit gray of the same brightness.

    Args:
        picture: From ``open_picture``.
        data: The file itself.

    Raises:
        DecodeError: Within ``open_picture`` only: whatever the reader raises is turned
            into one there.
    """
    if picture.format == "TIFF":
        return _tiff_pixels(picture, data)
    picture.load()
    if picture.format == "PNG":
        _refuse_cut_png(picture)
        if data[24] == 16 and data[25] != 0:
            return _deep_colour(data)
    return _resolved(picture)


def _resolved(picture: ImageFile) -> Native:
    transparent = "transparency" in picture.info
    mode = picture.mode
    if mode.startswith("I;16"):
        if transparent:
            raise _unsupported(str(picture.format), "has a transparent value of 16 bits")
        return np.array(picture).astype(np.uint16)
    if mode in ("P", "PA"):
        mode = "RGBA" if transparent or mode == "PA" else "RGB"
    elif mode == "RGB" and transparent:
        mode = "RGBA"
    elif mode in ("1", "L"):
        mode = "LA" if transparent else "L"
    converted = picture if mode == picture.mode else picture.convert(mode)
    return np.array(converted)


def _tiff_pixels(picture: ImageFile, data: bytes) -> Native:
    tags = _tiff_tags(picture)
    orientation = _orientation(picture, data, "TIFF")
    # Pillow turns TIFF pixels as it loads them, by a tag in XMP if there is no other; the
    # answer is put in its way, and the turn undone.
    picture.getexif()[_ORIENTATION] = orientation
    # With an image in place Pillow does not check the size against its own limit.
    size = (int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT]))
    picture.im = PillowImage.new(picture.mode, size).im
    picture.load()
    pixels: Native = np.ascontiguousarray(unorient(_resolved(picture), orientation))
    return pixels


def _refuse_cut_png(picture: ImageFile) -> None:
    # Pillow is lenient if the process asks it to be; a cut picture must never pass.
    from PIL import ImageFile as PillowImageFile

    if PillowImageFile.LOAD_TRUNCATED_IMAGES:
        raise DecodeError(
            "unreadable",
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set in this process, so that cut files "
            "cannot be told from whole ones. Unset it.",
        )


def _deep_colour(data: bytes) -> NDArray[np.uint16]:
    """Decode 16-bit RGB, RGBA or gray with alpha; Pillow's reader would round them."""
    try:
        opencv = importlib.import_module("cv2")
    except ImportError:
        raise _unsupported("PNG", "has colours of 16 bits") from None
    if any(chunk.name == b"tRNS" for chunk in split_chunks(data)):
        raise _unsupported("PNG", "has a transparent colour of 16 bits")
    pixels = opencv.imdecode(np.frombuffer(data, dtype=np.uint8), opencv.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise _unsupported("PNG", "has colours of 16 bits")
    order = [2, 1, 0, 3][: pixels.shape[2]]
    deep: NDArray[np.uint16] = pixels[:, :, order]
    return deep


def eight_bits(native: Native) -> Image:
    """Give stored values with 8 bits, of the same shape."""
    return (native >> 8 if native.dtype == np.uint16 else native).astype(np.uint8, copy=False)


def rgb_pixels(native: Native) -> Image:
    """Give stored pixels as 8-bit RGB, ``(H, W, 3)``; alpha is left out.

    Example:
        >>> rgb_pixels(np.array([[65535, 0]], dtype=np.uint16)).tolist()
        [[[255, 255, 255], [0, 0, 0]]]
    """
    small = eight_bits(native)
    if small.ndim == 2:
        small = small[:, :, None]
    if small.shape[2] <= 2:
        return np.repeat(small[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(small[:, :, :3])
