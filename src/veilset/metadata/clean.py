# SPDX-License-Identifier: Apache-2.0
"""Remove from an image file what is not the picture. Start here; ``policy.py`` says what.

Everything works on bytes: the compressed picture comes out as it went in, and cleaning twice
gives what cleaning once gave. Pixels are decoded only to see where those of a WebP end, and
for fax codes, which are written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from veilset.metadata.avif_items import clean_avif
from veilset.metadata.bmp_headers import clean_bmp
from veilset.metadata.jpeg_segments import clean_jpeg
from veilset.metadata.picture_search import Preview
from veilset.metadata.png_cleaning import clean_png
from veilset.metadata.policy import POLICIES, Cleaned, check_policy
from veilset.metadata.previews import embedded_previews
from veilset.metadata.riff_chunks import clean_webp
from veilset.metadata.sniff import container_of
from veilset.metadata.tiff_file import clean_tiff

__all__ = ["POLICIES", "Preview", "clean_metadata", "embedded_previews", "metadata_findings"]

_CLEANERS: Mapping[str, Callable[[bytes, str], Cleaned]] = {
    "avif": clean_avif,
    "bmp": clean_bmp,
    "jpeg": clean_jpeg,
    "png": clean_png,
    "tiff": clean_tiff,
    "webp": clean_webp,
}


def clean_metadata(data: bytes, policy: str = "safe") -> bytes:
    """Give the file without what the policy forbids.

    Args:
        data: A whole JPEG, PNG, WebP, TIFF, BMP or AVIF file.
        policy: ``safe`` or ``strip``; see ``veilset.metadata.policy``.

    Returns:
        The cleaned file; ``data`` itself if it was clean.

    Raises:
        DecodeError: If the container is broken ("unreadable", "truncated"), holds more
            than one picture ("animated", "multi-picture") or something that cannot be
            cleaned with certainty ("unsupported"). No half-cleaned file is given.
        ConfigError: If there is no such policy.

    Example:
        >>> from io import BytesIO
        >>> from PIL import Image
        >>> file = BytesIO()
        >>> Image.new("RGB", (8, 8)).save(file, "JPEG", comment=b"seen by Ann")
        >>> b"Ann" in clean_metadata(file.getvalue())
        False
    """
    check_policy(policy)
    result = _CLEANERS[container_of(data)](data, policy).data
    return data if result == data else result


def metadata_findings(data: bytes, policy: str = "safe") -> tuple[str, ...]:
    """Name what is in a file although the policy forbids it.

    Args:
        data: As for ``clean_metadata``.
        policy: As for ``clean_metadata``.

    Returns:
        Names such as "GPS position" or "embedded preview (EXIF IFD1)", never values, in
        order of appearance. Empty if, and only if, cleaning would not change a byte.

    Raises:
        DecodeError, ConfigError: As ``clean_metadata``.
    """
    check_policy(policy)
    result = _CLEANERS[container_of(data)](data, policy)
    if result.data == data:
        return ()
    return result.removed or ("metadata that is not in its cleaned form",)
