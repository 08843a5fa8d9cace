# SPDX-License-Identifier: Apache-2.0
"""Reduce the AV1 stream of an AVIF item to what its one picture takes.

Units (OBUs) after the AV1 specification, sections 5.3 to 5.10. An item holds one shown key
frame (AVIF specification 1.1, section 2.1): readers show the first or the last of several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from veilset.metadata.isobmff import Cursor
from veilset.metadata.policy import broken, unsupported

_SEQUENCE, _DELIMITER, _FRAME_HEADER, _TILES, _METADATA, _FRAME = 1, 2, 3, 4, 5, 6
_PICTURE_UNITS: Final = frozenset({_SEQUENCE, _DELIMITER, _FRAME_HEADER, _TILES, _FRAME})
# The header of a still picture takes about ten bytes, the longest of other kinds some 40.
_MAX_SEQUENCE_BYTES: Final = 64
_IS_SHORT_FORM: Final = 0x08
# Metadata of HDR, kind to bytes: its kind, its numbers and the bit that ends it (section 5.8).
_LIGHT_LEVELS: Final = {b"\1": 1 + 4 + 1, b"\2": 1 + 24 + 1}
# The first four bits of a long frame header: shown before, kind of two bits, shown.
_SHOWN_KEY_FRAME: Final = 0b0001


def clean_obus(stream: bytes) -> bytes:
    """Take padding, repeated headers and metadata other than HDR light levels, once, out of AV1.

    Raises:
        DecodeError: "unreadable" if a unit is malformed, "truncated" if one goes beyond
            the end, "unsupported" if the stream holds anything but one shown frame.
    """
    cursor = Cursor(stream)
    kept: list[bytes] = []
    units: list[tuple[int, bytes]] = []
    light_levels = dict(_LIGHT_LEVELS)
    while cursor.place < len(stream):
        start = cursor.place
        head = cursor.number(1)
        kind = head >> 3 & 15
        if head & 0x80:
            raise broken("The AV1 stream holds a malformed unit.")
        cursor.take(1 if head & 4 else 0)
        size = _leb128(cursor) if head & 2 else len(stream) - cursor.place
        body = cursor.take(size)
        if kind in _PICTURE_UNITS:
            units.append((kind, body))
        elif kind == _METADATA and light_levels.get(body[:1]) == size:
            del light_levels[body[:1]]
        else:
            continue
        kept.append(stream[start : cursor.place])
    _check_one_frame(units)
    return b"".join(kept)


def _check_one_frame(units: Sequence[tuple[int, bytes]]) -> None:
    """Refuse all but a delimiter or none, a sequence header and one frame, in this order."""
    rest = list(units)
    if rest and rest[0] == (_DELIMITER, b""):
        rest.pop(0)
    kinds = [kind for kind, _ in rest]
    # A frame is one unit, or a header and groups of tiles.
    is_whole = kinds == [_SEQUENCE, _FRAME]
    is_parted = kinds[:3] == [_SEQUENCE, _FRAME_HEADER, _TILES] and set(kinds[3:]) <= {_TILES}
    if not is_whole and not is_parted:
        raise unsupported("The AVIF holds several frames in an item, or parts of other ones.")
    sequence, frame = rest[0][1], rest[1][1]
    if not 0 < len(sequence) <= _MAX_SEQUENCE_BYTES or not all(body for _, body in rest):
        raise unsupported("The AVIF has an AV1 unit of a length that it cannot have.")
    if not sequence[0] & _IS_SHORT_FORM and frame[0] >> 4 != _SHOWN_KEY_FRAME:
        raise unsupported("The AVIF has a frame that is not shown, or not on its own.")


def _leb128(cursor: Cursor) -> int:
    value = 0
    for shift in range(0, 56, 7):
        byte = cursor.number(1)
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value
    raise broken("The AV1 stream holds a malformed unit.")
