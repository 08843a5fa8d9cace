# SPDX-License-Identifier: Apache-2.0
"""What a JPEG file says about itself: marker segments, frame, scans, first end of image.

Written from ITU-T T.81 annex B. It is strict on purpose: the C library that reads the
coefficients must never meet a header that was not understood here.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilset.errors import DecodeError
from veilset.jpeg_progress import ScanProgress

SOI: Final = b"\xff\xd8"
EOI: Final = b"\xff\xd9"
DHT, DQT, DRI, SOS, DNL, COM = 0xC4, 0xDB, 0xDD, 0xDA, 0xDC, 0xFE
APP0, APP1, APP2, APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, 0xCC}
_REFUSED_FRAMES: Final = {
    0xC3: "is lossless JPEG",
    0xC5: "is hierarchical JPEG",
    0xC6: "is hierarchical JPEG",
    0xC7: "is hierarchical JPEG",
    0xC9: "is arithmetic-coded JPEG",
    0xCA: "is arithmetic-coded JPEG",
    0xCB: "is lossless JPEG",
    0xCD: "is hierarchical JPEG",
    0xCE: "is hierarchical JPEG",
    0xCF: "is hierarchical JPEG",
}
# In entropy-coded data 0xFF is followed by 0x00 or a restart; anything else ends the scan.
_SCAN_END: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

# Zigzag place -> natural place (row * 8 + column), T.81 figure 5.
ZIGZAG: NDArray[np.intp] = np.array(
    sorted(
        range(64),
        key=lambda n: (
            n // 8 + n % 8,
            n // 8 if (n // 8 + n % 8) % 2 else n % 8,
        ),
    ),
    dtype=np.intp,
)


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker segment, ``data[start:end]``, the marker and its length included."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Component:
    """One colour component of the frame: identifier, sampling factors, table number."""

    ident: int
    h: int
    v: int
    table: int


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: which components with which Huffman tables, which part of the coefficients.

    Attributes:
        segment: The SOS segment.
        data_end: End of the entropy-coded data that starts at ``segment.end``.
        members: ``(component index, DC table, AC table)`` of each component.
        band: First and last coefficient in zigzag order.
        bits: Successive approximation, high and low.
    """

    segment: Segment
    data_end: int
    members: tuple[tuple[int, int, int], ...]
    band: tuple[int, int]
    bits: tuple[int, int]


@dataclass(frozen=True, slots=True)
class JpegFile:
    """A parsed JPEG file.

    Attributes:
        data: The bytes.
        frame: Start-of-frame marker: 0xC0 and 0xC1 sequential, 0xC2 progressive.
        size_wh: Stored size in pixels.
        components: The colour components in the order of the frame.
        segments: Every segment in the order of the file, SOS included.
        scans: The scans; empty if only the header was parsed.
        end: Offset behind the first EOI; 0 if only the header was parsed.
    """

    data: bytes
    frame: int
    size_wh: tuple[int, int]
    components: tuple[Component, ...]
    segments: tuple[Segment, ...]
    scans: tuple[Scan, ...]
    end: int

    @property
    def is_progressive(self) -> bool:
        """Whether the coefficients come in several passes."""
        return self.frame == 0xC2

    def payload(self, segment: Segment) -> bytes:
        """Give the content of a segment, without marker and length."""
        return self.data[segment.start + 4 : segment.end]

    def payloads(self, marker: int) -> list[bytes]:
        """Give the content of every segment with that marker, in the order of the file."""
        return [self.payload(s) for s in self.segments if s.marker == marker]

    def header_payloads(self, marker: int) -> list[bytes]:
        """Give the content of those before the first scan: decoders look no further."""
        first = self.scans[0].segment.start if self.scans else len(self.data)
        return [self.payload(s) for s in self.segments if s.marker == marker and s.start < first]

    @property
    def is_ycc(self) -> bool:
        """Whether three components mean YCbCr; decided as libjpeg does."""
        if len(self.components) != 3:
            return False
        if any(len(p) >= 12 and p.startswith(b"JFIF\0") for p in self.header_payloads(APP0)):
            return True
        blocks = [p for p in self.header_payloads(APP14) if p.startswith(b"Adobe")]
        adobe = [p[11] for p in blocks if len(p) >= 12]
        if adobe:
            return adobe[-1] != 0
        return tuple(c.ident for c in self.components) != (0x52, 0x47, 0x42)


def _broken(what: str) -> DecodeError:
    return DecodeError("unreadable", f"The JPEG file is corrupt: {what}. Replace the file.")


def _cut() -> DecodeError:
    return DecodeError(
        "truncated", "The JPEG file ends before its picture does. Fetch the file again."
    )


def parse_jpeg(data: bytes, *, header_only: bool = False) -> JpegFile:
    """Read the structure of a JPEG file, up to the first end of image.

    Args:
        data: The file.
        header_only: Stop at the first scan; the picture data is not looked at.

    Raises:
        DecodeError: ``unreadable``, ``truncated``, or ``unsupported`` for what cannot be
            written without loss: CMYK, 12-bit, arithmetic-coded, hierarchical, lossless.

    Example:
        >>> parse_jpeg(b"not a photo")
        Traceback (most recent call last):
        ...
        veilset.errors.DecodeError: The JPEG file is corrupt: no start of image. Replace the file.
    """
    if data[:2] != SOI:
        raise _broken("no start of image")
    segments: list[Segment] = []
    scans: list[Scan] = []
    frame: tuple[int, tuple[int, int], tuple[Component, ...]] | None = None
    progress = ScanProgress(is_progressive=False)
    at, end = 2, 0
    while True:
        segment = _next_segment(data, at)
        if segment.marker == EOI[1]:
            if not scans:
                raise _broken("it holds no picture data")
            end = segment.end
            break
        segments.append(segment)
        at = segment.end
        if segment.marker in _FRAMES:
            if frame is not None:
                raise _broken("it has two frames")
            frame = (segment.marker, *_parse_frame(segment.marker, data[segment.start + 4 : at]))
            progress = ScanProgress(is_progressive=segment.marker == 0xC2)
        elif segment.marker in (DQT, DHT, DRI):
            _check_table(segment.marker, data[segment.start + 4 : at])
        elif segment.marker == DNL:
            raise _unsupported("states its height after the picture")
        elif segment.marker == SOS:
            if frame is None:
                raise _broken("a scan comes before the frame")
            if header_only:
                break
            scan = _parse_scan(data, segment, frame[2], progressive=frame[0] == 0xC2)
            wrong = progress.note([index for index, _, _ in scan.members], scan.band, scan.bits)
            if wrong:
                raise _broken(f"it {wrong}")
            scans.append(scan)
            at = scan.data_end
        elif segment.marker < APP0:
            raise _broken(f"marker 0x{segment.marker:02X} has no place in it")
    if frame is None:
        raise _broken("it has no frame")
    return JpegFile(data, *frame, tuple(segments), tuple(scans), end)


def _next_segment(data: bytes, at: int) -> Segment:
    start = at
    size = len(data)
    # Any number of 0xFF may fill the gap before a marker; encoders also leave stray bytes.
    if data[at : at + 1] != b"\xff":
        start = data.find(b"\xff", at)
        if start < 0:
            raise _cut()
        raise _broken(f"a marker is missing at byte {at}")
    while start + 1 < size and data[start + 1] == 0xFF:
        start += 1
    if start + 1 >= size:
        raise _cut()
    marker = data[start + 1]
    if marker == EOI[1]:
        return Segment(marker, start, start + 2)
    if marker < 0xC0 or 0xD0 <= marker <= 0xD8:
        raise _broken(f"marker 0x{marker:02X} has no place in it")
    if start + 4 > size:
        raise _cut()
    length = (data[start + 2] << 8) | data[start + 3]
    if length < 2:
        raise _broken("a segment has no length")
    if start + 2 + length > size:
        raise _cut()
    return Segment(marker, start, start + 2 + length)


def _unsupported(what: str) -> DecodeError:
    return DecodeError(
        "unsupported",
        f"The file {what}, which cannot be changed without loss. "
        "Convert it to 8-bit RGB or gray JPEG first.",
    )


def _parse_frame(marker: int, payload: bytes) -> tuple[tuple[int, int], tuple[Component, ...]]:
    if marker in _REFUSED_FRAMES:
        raise _unsupported(_REFUSED_FRAMES[marker])
    if len(payload) < 6 or len(payload) != 6 + 3 * payload[5]:
        raise _broken("its frame has a wrong length")
    precision, height, width, n_components = struct.unpack(">BHHB", payload[:6])
    if precision != 8:
        raise _unsupported(f"has {precision} bits a sample")
    if height == 0:
        raise _unsupported("states its height after the picture")
    # libjpeg's own limit (JPEG_MAX_DIMENSION) is below the 65535 of the standard.
    if width == 0 or max(width, height) > 65500:
        raise _broken(f"its frame is {width} x {height} pixels")
    if n_components == 4:
        raise _unsupported("is a CMYK JPEG")
    if n_components not in (1, 3):
        raise _unsupported(f"has {n_components} colour components")
    components = tuple(
        Component(payload[i], payload[i + 1] >> 4, payload[i + 1] & 15, payload[i + 2])
        for i in range(6, len(payload), 3)
    )
    if any(not (1 <= c.h <= 4 and 1 <= c.v <= 4 and c.table <= 3) for c in components):
        raise _broken("its sampling factors are out of range")
    if len({c.ident for c in components}) != n_components:
        raise _broken("two components have one identifier")
    h_max, v_max = max(c.h for c in components), max(c.v for c in components)
    if any(h_max % c.h or v_max % c.v for c in components):
        raise _unsupported("has fractional colour subsampling")
    return (width, height), components


def _check_table(marker: int, payload: bytes) -> None:
    at = 0
    if marker == DRI:
        at = 2
    while marker == DQT and at < len(payload):
        if payload[at] >> 4 > 1 or payload[at] & 15 > 3:
            raise _broken("a quantisation table has a wrong number")
        at += 129 if payload[at] >> 4 else 65
    while marker == DHT and at < len(payload):
        count = sum(payload[at + 1 : at + 17])
        if payload[at] >> 4 > 1 or payload[at] & 15 > 3 or count > 256:
            raise _broken("a Huffman table is malformed")
        at += 17 + count
    if at != len(payload):
        raise _broken("a table segment has a wrong length")


def _parse_scan(
    data: bytes, segment: Segment, components: tuple[Component, ...], *, progressive: bool
) -> Scan:
    payload = data[segment.start + 4 : segment.end]
    if not payload or not 1 <= payload[0] <= 4 or len(payload) != 4 + 2 * payload[0]:
        raise _broken("a scan header has a wrong length")
    places = {component.ident: i for i, component in enumerate(components)}
    members = []
    for i in range(1, 1 + 2 * payload[0], 2):
        ident, tables = payload[i], payload[i + 1]
        if ident not in places or tables >> 4 > 3 or tables & 15 > 3:
            raise _broken("a scan names a component or table that is not there")
        members.append((places[ident], tables >> 4, tables & 15))
    if len({member[0] for member in members}) != len(members):
        raise _broken("a scan names a component twice")
    ss, se, approximation = payload[-3:]
    band, bits = ((ss, se), (approximation >> 4, approximation & 15))
    if not progressive:
        band, bits = (0, 63), (0, 0)
    elif not (ss <= se <= 63 and (ss > 0) == (se > 0)) or (ss and len(members) > 1):
        raise _broken("a scan covers a band that cannot be")
    elif bits[1] > 13 or (bits[0] and bits[0] != bits[1] + 1):
        raise _broken("a scan refines bits that cannot be")
    found = _SCAN_END.search(data, segment.end)
    if found is None:
        raise _cut()
    return Scan(segment, found.start(), tuple(members), band, bits)


def quantisation_tables(jpeg: JpegFile) -> list[NDArray[np.float32]]:
    """Give the table of each component as it holds at the component's first scan.

    Returns:
        For each component ``(64,)`` float32 in natural order (row by row), each at least 1.

    Raises:
        DecodeError: ``unreadable`` if a table is missing or zero, ``unsupported`` if a
            table number is given two meanings.
    """
    slots: dict[int, NDArray[np.float32]] = {}
    for payload in jpeg.payloads(DQT):
        at = 0
        while at < len(payload):
            wide, slot = payload[at] >> 4, payload[at] & 15
            size = 128 if wide else 64
            kind = ">u2" if wide else "u1"
            table = np.empty(64, dtype=np.float32)
            table[ZIGZAG] = np.frombuffer(payload[at + 1 : at + 1 + size], dtype=kind)
            if slot in slots and not np.array_equal(slots[slot], table):
                raise _unsupported("changes a quantisation table between scans")
            slots[slot] = table
            at += 1 + size
    for component in jpeg.components:
        if component.table not in slots or slots[component.table].min() < 1:
            raise _broken("a quantisation table is missing")
    return [slots[component.table] for component in jpeg.components]
