# SPDX-License-Identifier: Apache-2.0
"""Tell image containers apart by their first bytes, never by a file name."""

from __future__ import annotations

from veilset.metadata.policy import broken, unsupported

CONTAINERS = ("jpeg", "png", "webp", "tiff", "bmp", "avif")
"""Containers whose metadata can be cleaned."""

_TIFF_STARTS = (b"II\x2a\x00", b"MM\x00\x2a", b"II\x2b\x00", b"MM\x00\x2b")


def container_of(data: bytes) -> str:
    """Name the container of an image file.

    Raises:
        DecodeError: "unreadable" if the file is empty, "unsupported" if it is none of
            ``CONTAINERS``.

    Example:
        >>> container_of(b"BM" + bytes(60))
        'bmp'
    """
    if not data:
        raise broken("The image file is empty.")
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] in _TIFF_STARTS:
        return "tiff"
    if data[:2] == b"BM":
        return "bmp"
    if data[4:8] == b"ftyp":
        return "avif"
    raise unsupported("The file is none of JPEG, PNG, WebP, TIFF, BMP and AVIF.")
