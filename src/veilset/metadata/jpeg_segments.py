# SPDX-License-Identifier: Apache-2.0
"""Take a JPEG file apart into segments and put it together from the allowed ones.

Marker syntax after ITU-T T.81, annex B; JFIF after ITU-T T.871; Adobe APP14 after
Adobe's Technical Note 5116; ICC in APP2 after ICC.1:2022, annex B.4.

Entropy-coded data is copied, never looked into: bytes behind the last coded block of a scan
are out of reach here. Decoding finds them where it can (``images.jpeg_surplus``).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from veilset.errors import DecodeError
from veilset.exif_orientation import stated_orientation
from veilset.jpeg_progress import ScanProgress
from veilset.metadata.exif import clean_exif
from veilset.metadata.icc_profile import clean_profile
from veilset.metadata.jpeg_tables import DAC, DHT, DQT, DRI, Table, TableUse, split_tables
from veilset.metadata.policy import PREVIEW, Cleaned, broken, cleaned, cut_short, unsupported

SOI, EOI, SOS, DNL = 0xD8, 0xD9, 0xDA, 0xDC
APP0, APP1, APP2, APP13, APP14, COM = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB})
"""Start-of-frame markers of one-picture JPEG: baseline, extended, progressive, lossless."""
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_TABLES = frozenset({DQT, DHT, DRI, DAC})
_RESTARTS = range(0xD0, 0xD8)

_Defined = tuple[int, list[Table]]

EXIF_ID = b"Exif\0\0"
XMP_ID = b"http://ns.adobe.com/xap/1.0/\0"
XMP_MORE_ID = b"http://ns.adobe.com/xmp/extension/\0"
ICC_ID = b"ICC_PROFILE\0"
_MARKER = re.compile(rb"\xff[^\x00\xff]")
# In entropy-coded data FF 00 is a stuffed byte and FF D0 to D7 restart it.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker segment.

    Attributes:
        marker: Second byte of the marker.
        start: Place of the segment's ``FF`` in the file.
        payload: What follows the two length bytes; empty for SOI and EOI.
        scan: Entropy-coded bytes after a start of scan; empty for all others.
        gap: Bytes before the segment that belong to nothing, fill bytes included.
    """

    marker: int
    start: int
    payload: bytes = b""
    scan: bytes = b""
    gap: bytes = b""


def iterate_segments(data: bytes) -> Iterator[Segment]:
    """Go through the segments of a JPEG from SOI to the first EOI, both included.

    Args:
        data: Begins with SOI; bytes after the end marker are not looked at.

    Raises:
        DecodeError: "unreadable" if it does not begin with SOI or a length is impossible,
            "truncated" if it ends, or another picture begins, before the end marker.
    """
    if data[:2] != b"\xff\xd8":
        raise broken("The JPEG does not begin with a start marker.")
    yield Segment(SOI, 0)
    place = 2
    while True:
        found = _MARKER.search(data, place)
        if found is None:
            raise cut_short(f"The JPEG ends at byte {len(data)} without an end marker.")
        start, marker = found.start(), data[found.start() + 1]
        gap = data[place:start]
        if marker == EOI:
            yield Segment(EOI, start, gap=gap)
            return
        if marker == SOI:
            raise cut_short(f"Another JPEG begins at byte {start}, before the first one ends.")
        if marker in _RESTARTS:
            place = start + 2
            continue
        if marker < 0xC0:
            raise broken(f"The JPEG holds a marker that does not exist, at byte {start}.")
        if start + 4 > len(data):
            raise cut_short(f"The JPEG ends at byte {len(data)}, inside a segment.")
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        stop = start + 2 + length
        if stop > len(data):
            raise cut_short(f"The JPEG segment at byte {start} goes beyond the end of the file.")
        if length < 2:
            raise broken(f"The JPEG segment at byte {start} states an impossible length.")
        place = stop
        if marker == SOS:
            after = _AFTER_SCAN.search(data, stop)
            if after is None:
                raise cut_short(f"The JPEG ends at byte {len(data)} without an end marker.")
            place = after.start()
            while data[place - 1] == 0xFF and place > stop:
                place -= 1
        yield Segment(marker, start, data[start + 4 : stop], data[stop:place], gap)


@dataclass(slots=True)
class _Header:
    """Application data found before the first scan: decoders look nowhere else for it."""

    jfif: bytes = b""
    adobe: bytes = b""
    exif: list[bytes] = field(default_factory=list)
    icc: list[bytes] = field(default_factory=list)


def clean_jpeg(data: bytes, policy: str) -> Cleaned:
    """Clean a JPEG file; scans and the tables that they use are copied byte for byte.

    The output is SOI, JFIF, EXIF, ICC, Adobe, then frame, tables and scans in their
    order, then EOI. Everything after the first end marker is cut off.

    Raises:
        DecodeError: As ``iterate_segments``; "unsupported" for hierarchical JPEG and for
            one that states its height after the first scan; "unreadable" for tables of
            impossible length, two frames or a scan that brings again what an earlier one brought.
    """
    header = _Header()
    picture: list[bytes | _Defined] = []
    removed: list[str] = []
    checks = _Checks()
    end = 0
    for segment in iterate_segments(data):
        if segment.gap.strip(b"\xff"):
            removed.append("bytes between JPEG segments")
        marker = segment.marker
        if marker in (SOI, EOI):
            end = segment.start + 2
        elif APP0 <= marker <= 0xEF or marker == COM:
            removed += _note_application(header, segment, checks.has_scans)
        elif marker in _TABLES:
            picture.append((marker, checks.check_tables(segment)))
        elif marker in FRAMES or marker == SOS:
            checks.check(segment)
            picture += [
                data[segment.start : segment.start + 4 + len(segment.payload)],
                segment.scan,
            ]
        elif marker == DNL and checks.has_scans:
            # Read by no decoder, since the frame has its height (_Checks).
            removed.append("repeated JPEG height")
        else:
            raise unsupported(f"The JPEG uses marker FF{marker:02X}, which cannot be judged.")
    if not checks.has_scans:
        raise broken("The JPEG holds no picture.")
    if end < len(data):
        removed.append(_trailer_name(data, end))
    head, more = _build_header(header, policy)
    body = _join(picture, removed)
    return cleaned([b"\xff\xd8", head, body, b"\xff\xd9"], removed + more)


def clean_tables(data: bytes, strips: Sequence[bytes]) -> Cleaned:
    """Clean the shared tables of a TIFF (tag 347): a JPEG stream without a picture.

    Args:
        data: The stream.
        strips: The JPEG streams that may use its tables.
    """
    shared = TableUse()
    parts: list[bytes | _Defined] = []
    for segment in iterate_segments(data):
        if segment.marker in _TABLES:
            tables = split_tables(segment.marker, segment.payload)
            if tables is None:
                raise _malformed(segment)
            parts.append((segment.marker, shared.define(tables)))
    for strip in filter(None, strips):
        checks = _Checks(shared)
        for segment in iterate_segments(strip):
            if segment.marker in _TABLES:
                checks.check_tables(segment)
            elif segment.marker in FRAMES or segment.marker == SOS:
                checks.check(segment)
    removed: list[str] = []
    return cleaned([b"\xff\xd8", _join(parts, removed), b"\xff\xd9"], removed)


class _Checks:
    """Refuses what could carry more than it should; libjpeg refuses the same lengths."""

    def __init__(self, tables: TableUse | None = None) -> None:
        self._frame: Segment | None = None
        self._tables = TableUse(tables)
        self._progress = ScanProgress(is_progressive=False)

    @property
    def has_scans(self) -> bool:
        return self._progress.n_scans > 0

    def check(self, segment: Segment) -> None:
        body, marker = segment.payload, segment.marker
        fits = self._check_scan(body) if marker == SOS else self._check_frame(segment)
        if not fits:
            raise _malformed(segment)

    def check_tables(self, segment: Segment) -> list[Table]:
        """Give the tables of a segment; once all scans are checked, those in use are marked."""
        tables = split_tables(segment.marker, segment.payload)
        if tables is None:
            raise _malformed(segment)
        return self._tables.define(tables)

    def _check_frame(self, segment: Segment) -> bool:
        body = segment.payload
        if self._frame or len(body) <= 6 or len(body) != 6 + 3 * body[5]:
            return False
        if body[1:3] == b"\0\0":
            raise unsupported("The JPEG does not state its height in the frame header.")
        self._frame = segment
        self._progress = ScanProgress(is_progressive=segment.marker in _PROGRESSIVE)
        return True

    def _check_scan(self, body: bytes) -> bool:
        if not self._frame or not body or not 0 < body[0] < 5 or len(body) != 4 + 2 * body[0]:
            return False
        names = body[1 : 1 + 2 * body[0] : 2]
        if any(name not in self._frame.payload[6::3] for name in names):
            return False
        first, last, bits = body[-3:]
        is_band = first <= last < 64 and (last == 0 if first == 0 else len(names) == 1)
        if self._frame.marker in _PROGRESSIVE and not is_band:
            return False
        wrong = self._progress.note(names, (first, last), (bits >> 4, bits & 15))
        if wrong:
            raise broken(f"The JPEG {wrong}.")
        self._tables.note_scan(self._frame.marker, self._frame.payload, body)
        return True


def _malformed(segment: Segment) -> DecodeError:
    return broken(f"The JPEG segment FF{segment.marker:02X} at byte {segment.start} is malformed.")


def _join(picture: list[bytes | _Defined], removed: list[str]) -> bytes:
    """Join the parts of a picture, with the tables that are in use."""
    parts: list[bytes] = []
    for part in picture:
        if isinstance(part, bytes):
            parts.append(part)
            continue
        marker, tables = part
        kept = b"".join(table.content for table in tables if table.is_used)
        parts.append(segment_bytes(marker, kept) if kept else b"")
        removed += ["unused JPEG tables"] * any(not table.is_used for table in tables)
    return b"".join(parts)


def _note_application(header: _Header, segment: Segment, after_scan: bool) -> list[str]:
    """File an application segment; give names of what cannot stay of it."""
    body, marker = segment.payload, segment.marker
    if after_scan:
        return [_application_name(segment)]
    if marker == APP0 and body[:5] == b"JFIF\0" and len(body) >= 14:
        header.jfif = body
        return [f"{PREVIEW} (JFIF thumbnail)"] * (len(body) > 14)
    # Of several Adobe segments libjpeg takes the last.
    if marker == APP14 and body[:5] == b"Adobe" and len(body) >= 12:
        header.adobe = body
        return ["bytes in APP14"] * (len(body) > 12)
    if marker == APP1 and body[:6] == EXIF_ID:
        header.exif.append(body[6:])
        return []
    if marker == APP2 and body[:12] == ICC_ID and len(body) > 14:
        header.icc.append(body[12:])
        return []
    return [_application_name(segment)]


def _application_name(segment: Segment) -> str:
    body, marker = segment.payload, segment.marker
    for known, prefix, name in (
        (COM, b"", "JPEG comment"),
        (APP0, b"JFXX", f"{PREVIEW} (JFXX)"),
        (APP1, EXIF_ID, "EXIF after the first scan"),
        (APP1, XMP_ID, "XMP"),
        (APP1, XMP_MORE_ID, "extended XMP"),
        (APP2, b"MPF\0", f"{PREVIEW} (MPF)"),
        (APP13, b"Photoshop", "Photoshop resources and IPTC"),
    ):
        if marker == known and body.startswith(prefix):
            return name
    return f"application data APP{marker - APP0}"


def _trailer_name(data: bytes, end: int) -> str:
    found = data.find(b"\xff\xd8\xff", end) >= 0
    return f"{PREVIEW} (after the end of the JPEG)" if found else "bytes after the end of the JPEG"


def _build_header(header: _Header, policy: str) -> tuple[bytes, list[str]]:
    parts: list[bytes] = []
    removed: list[str] = []
    if header.jfif:
        jfif = _jfif(header.jfif, policy)
        parts.append(segment_bytes(APP0, jfif))
        removed += ["resolution"] * (jfif[7:12] != header.jfif[7:12])
    # The further settings may be spread over several segments; decoders turn by the first.
    orientation = stated_orientation(EXIF_ID + header.exif[0]) if header.exif else None
    exif = clean_exif(b"".join(header.exif), policy, orientation=orientation)
    removed += exif.removed
    if exif.data:
        parts.append(segment_bytes(APP1, EXIF_ID + exif.data))
    if header.icc:
        profile = clean_profile(join_profile(header.icc))
        removed += profile.removed
        pieces = [profile.data[i : i + 65519] for i in range(0, len(profile.data), 65519)]
        for number, piece in enumerate(pieces, 1):
            parts.append(segment_bytes(APP2, ICC_ID + bytes((number, len(pieces))) + piece))
    if header.adobe:
        parts.append(segment_bytes(APP14, _adobe(header.adobe)))
    return b"".join(parts), removed


def _jfif(body: bytes, policy: str) -> bytes:
    """Rebuild a JFIF header without its thumbnail."""
    unit, x_density, y_density = struct.unpack_from(">BHH", body, 7)
    if policy != "safe" or unit > 2:
        unit, x_density, y_density = 0, 1, 1
    return b"JFIF\0\x01\x01" + struct.pack(">BHHBB", unit, x_density, y_density, 0, 0)


def _adobe(body: bytes) -> bytes:
    # Only the colour transform matters to a decoder; version and flags are free bytes.
    return b"Adobe\0\x64\0\0\0\0" + body[11:12]


def join_profile(pieces: list[bytes]) -> bytes:
    """Join the numbered pieces of an ICC profile; empty if they do not make one."""
    ordered = sorted(pieces)
    n_pieces = len(ordered)
    wanted = [bytes((number, n_pieces & 0xFF)) for number in range(1, min(n_pieces, 255) + 1)]
    if [piece[:2] for piece in ordered] != wanted:
        return b""
    return b"".join(piece[2:] for piece in ordered)


def segment_bytes(marker: int, payload: bytes) -> bytes:
    """Write one segment.

    Raises:
        DecodeError: "unsupported" if the payload is longer than 65,533 bytes.
    """
    if len(payload) > 65533:
        raise unsupported("A rebuilt JPEG segment is too long.")
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
