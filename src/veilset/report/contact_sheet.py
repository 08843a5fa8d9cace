# SPDX-License-Identifier: Apache-2.0
"""Small pictures of outputs that passed verification. No original is ever opened here."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image as PilImage
from PIL import ImageOps

from veilset.dataset.locations import Location
from veilset.dataset.places import open_reader
from veilset.dataset.stores import open_store
from veilset.errors import DecodeError
from veilset.files import sha256_hex
from veilset.protocols import Reader
from veilset.report.facts import Candidate
from veilset.types import ImageRecord

MAX_SIDE_PX = 240
MAX_BYTES = 12 * 1024
MAX_PIXELS = 40_000_000
"""Larger outputs are passed over: a picture on a page is not worth seconds of decoding."""
_QUALITIES = (78, 66, 54, 42, 30, 20, 10)
# Everything else would ask a decoder that Veilset never writes with.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF")


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One picture of the sheet.

    Attributes:
        image_id: Name of the output that it shows.
        n_regions: Regions obfuscated in it.
        width: Width in pixels.
        height: Height in pixels.
        jpeg: The picture, without any metadata.
    """

    image_id: str
    n_regions: int
    width: int
    height: int
    jpeg: bytes

    @property
    def data_uri(self) -> str:
        """The picture as part of a page."""
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode("ascii")


def make_thumbnails(out: Location, candidates: Iterable[Candidate], n: int) -> list[Thumbnail]:
    """Make small pictures of the first candidates that can be shown.

    A file that is gone, is not byte for byte the one that was verified, or is too large to
    be opened for a page is passed over.

    Args:
        out: The output folder.
        candidates: Outputs that passed verification, in the order of preference.
        n: How many pictures at most.
    """
    if n < 1 or not _is_there(out):
        return []
    reader = open_reader(out)
    made: list[Thumbnail] = []
    for candidate in candidates:
        thumbnail = _thumbnail(reader, candidate)
        if thumbnail:
            made.append(thumbnail)
        if len(made) == n:
            break
    return made


def _is_there(out: Location) -> bool:
    try:
        store = open_store(out)
        return store.is_there() and not store.is_empty()
    except OSError:
        # A place that cannot be reached has no pictures; the report says so all the same.
        return False


def _thumbnail(reader: Reader, candidate: Candidate) -> Thumbnail | None:
    try:
        data = reader.read(ImageRecord(candidate.image_id))
    except DecodeError:
        return None
    # What was verified is the digest, not the name.
    if sha256_hex(data) != candidate.sha256:
        return None
    try:
        small = _shrink(data)
    except (OSError, ValueError, SyntaxError, PilImage.DecompressionBombError):
        return None
    if small is None:
        return None
    return Thumbnail(
        candidate.image_id, candidate.n_regions, small.width, small.height, _encode(small)
    )


def _shrink(data: bytes) -> PilImage.Image | None:
    with warnings.catch_warnings():
        # The size is checked below; Pillow's own warning would be raised as an error by some.
        warnings.simplefilter("ignore")
        with PilImage.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            # The gap has a JPEG decoded at an eighth to a half of its size where that is enough.
            image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), reducing_gap=1.0)
            return _opaque(ImageOps.exif_transpose(image))


def _opaque(image: PilImage.Image) -> PilImage.Image:
    """Give the picture in RGB, what is transparent in it on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        ground = PilImage.new("RGBA", rgba.size, "white")
        ground.alpha_composite(rgba)
        return ground.convert("RGB")
    if image.mode.startswith("I;16"):
        # Pillow would clip 16 bits to 8 rather than scale them.
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    return image.convert("RGB")


def _encode(image: PilImage.Image) -> bytes:
    """Encode as JPEG, in at most ``MAX_BYTES`` unless the lowest quality is larger."""
    for quality in _QUALITIES:
        sink = io.BytesIO()
        # A fresh picture: nothing of the output's metadata can be carried along.
        bare = PilImage.new("RGB", image.size)
        bare.paste(image)
        bare.save(sink, "JPEG", quality=quality)
        if sink.tell() <= MAX_BYTES:
            break
    return sink.getvalue()
