# SPDX-License-Identifier: Apache-2.0
"""The picture of an image, as it is sent to a browser: small enough, upright, nothing else.

It is made from the decoded pixels alone, so that no metadata can come along. A file that
is not the one that was annotated is refused: its boxes would lie anywhere.
"""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO, Final

from fastapi import Response
from PIL import Image as PillowImage

from veilset.dataset.folder import FolderReader
from veilset.errors import DecodeError
from veilset.files import sha256_hex
from veilset.images.decode import decode_image
from veilset.review.views import ImageView
from veilset.review.web.room import Room
from veilset.types import ImageRecord

JPEG_QUALITY: Final = 90
_LOSSLESS_PIXELS: Final = 128 * 128
"""Pictures of fewer pixels are sent as PNG: there JPEG's artefacts hide what matters."""

PICTURE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The picture, upright, without metadata.",
        "content": {
            "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
            "image/png": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


async def picture_response(room: Room, image: ImageView) -> Response:
    """Give the picture of an image.

    Raises:
        DecodeError: If the file is missing, changed, refused or broken.
    """
    longest, limit = room.job.settings.max_shown_px, room.options.max_pixels
    data, media_type = await room.draw(lambda: picture_of(room.photos, image, longest, limit))
    return Response(data, media_type=media_type, headers={"Content-Disposition": "inline"})


def picture_of(
    photos: FolderReader, image: ImageView, longest_px: int, max_pixels: int
) -> tuple[bytes, str]:
    """Read an image and make the picture to send.

    Args:
        photos: Folder of the job; nothing outside it is read, links included.
        image: What the database knows of the image.
        longest_px: Longer side of the picture; smaller images are not enlarged.
        max_pixels: Larger images are not decoded.

    Returns:
        A JPEG or PNG file, and its media type.

    Raises:
        DecodeError: If the file is missing, changed, refused or broken.
    """
    data = _read_inside(photos, image.image_id)
    # Annotations that were imported from elsewhere may come without digests.
    if image.sha256 and sha256_hex(data) != image.sha256:
        raise _changed()
    pixels, info = decode_image(data, max_pixels=max_pixels, check_end=False)
    if info.size_wh != image.size_wh:
        raise _changed()
    picture = PillowImage.fromarray(pixels)
    # Whole steps first: a mean of squares is fast, and near enough before the last step.
    picture.thumbnail((longest_px, longest_px), PillowImage.Resampling.LANCZOS, reducing_gap=2.0)
    if picture.width * picture.height < _LOSSLESS_PIXELS:
        return _encoded(picture, "PNG"), "image/png"
    return _encoded(picture, "JPEG", quality=JPEG_QUALITY), "image/jpeg"


def _encoded(picture: PillowImage.Image, name: str, **how: int) -> bytes:
    with _memory_file() as stream:
        picture.save(stream, name, **how)
        stream.seek(0)
        return stream.read()


def _memory_file() -> BinaryIO:
    """Give a file that is on no disk. Pillow writes to a true file in half the time."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("veilset-picture"), "w+b")
    return io.BytesIO()


def _read_inside(photos: FolderReader, image_id: str) -> bytes:
    """Read a file that really lies in the folder, wherever links on the way lead."""
    try:
        root = os.path.realpath(photos.root)
        real = os.path.realpath(f"{root}/{image_id}", strict=True)
    except (OSError, ValueError):
        raise _missing() from None
    if os.path.commonpath([root, real]) != root:
        raise _missing()
    return photos.read(ImageRecord(image_id))


def _missing() -> DecodeError:
    return DecodeError("missing", "The image is not in the folder of the job any more.")


def _changed() -> DecodeError:
    return DecodeError(
        "changed", "The image file is not the one that was annotated. Release the batch."
    )
