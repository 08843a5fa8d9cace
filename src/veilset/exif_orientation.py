# SPDX-License-Identifier: Apache-2.0
"""The orientation that an EXIF block states, read in one way by all who ask.

What decodes a picture turns it by this number, and what cleans a file writes this number
into it. Did they read it by two rules, another picture would be published than the one
that was searched for faces. Tag and values: Exif 2.32 (CIPA DC-008), tag 0x0112.
"""

from __future__ import annotations

import struct

_TAG = 0x0112
_FORMS = {3: "H", 4: "I"}  # SHORT and LONG
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def stated_orientation(block: bytes) -> int | None:
    """Find the orientation in an EXIF block, 1..8; None if it states none.

    Only the plain form counts: a regular TIFF header, one value, SHORT or LONG. In any
    other form readers do not agree on it, so it is taken as not stated.

    Args:
        block: From its ``II`` or ``MM`` on, a TIFF file for one; one leading
            ``Exif\\0\\0`` is skipped.

    Example:
        >>> stated_orientation(b"MM\\0*\\0\\0\\0\\x08\\0\\1\\1\\x12\\0\\3\\0\\0\\0\\1\\0\\6\\0\\0")
        6
    """
    start = 6 if block.startswith(b"Exif\0\0") else 0
    order = _BYTE_ORDERS.get(block[start : start + 4])
    if order is None or len(block) < start + 8:
        return None
    (offset,) = struct.unpack_from(order + "I", block, start + 4)
    place = start + offset
    if place + 2 > len(block):
        return None
    (n_entries,) = struct.unpack_from(order + "H", block, place)
    for at in range(place + 2, min(place + 2 + 12 * n_entries, len(block) - 11), 12):
        tag, kind, n_values = struct.unpack_from(order + "HHI", block, at)
        if tag == _TAG and kind in _FORMS and n_values == 1:
            (value,) = struct.unpack_from(order + _FORMS[kind], block, at + 8)
            return int(value) if 1 <= value <= 8 else None
    return None
