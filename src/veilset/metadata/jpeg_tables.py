# SPDX-License-Identifier: Apache-2.0
"""Tell which tables of a JPEG its scans use; the others are bytes that no picture needs.

A table holds up to 256 bytes, may be defined again before any scan used it, and may be
one that no scan names: enough room, taken together, for another picture.

Which scan uses which tables: ITU-T T.81, B.2.3, and for progressive files G.1.2. A
component's quantisation table is the one that holds at its first scan, as in libjpeg.
"""

from __future__ import annotations

from dataclasses import dataclass

from veilset.metadata.policy import broken

DQT, DRI, DHT, DAC = 0xDB, 0xDD, 0xC4, 0xCC
_PROGRESSIVE, _LOSSLESS, _ARITHMETIC = (0xC2, 0xCA), (0xC3, 0xCB), (0xC9, 0xCA, 0xCB)

Key = tuple[int, int]
"""Marker, and class and number of the table in one byte; 0 for a restart interval."""


@dataclass(slots=True)
class Table:
    """One table of a segment.

    Attributes:
        content: Its bytes in the segment, class and number included.
        is_used: Whether a scan uses it.
    """

    content: bytes
    is_used: bool = False


def split_tables(marker: int, payload: bytes) -> list[tuple[Key, Table]] | None:
    """Split a segment into its tables; None if they do not fill it exactly."""
    tables: list[tuple[Key, Table]] = []
    place = 0
    while place < len(payload):
        head = payload[place]
        if marker == DQT:
            size = 129 if head >> 4 else 65
            key = head & 15
        elif marker == DHT:
            size = 17 + sum(payload[place + 1 : place + 17])
            key = head
        else:
            size, key = 2, head if marker == DAC else 0
        content = payload[place : place + size]
        if len(content) != size:
            return None
        tables.append(((marker, key), Table(content)))
        place += size
    is_allowed = {DRI: len(tables) == 1, DAC: 0 < len(tables) <= 32}.get(marker, bool(tables))
    return tables if is_allowed else None


class TableUse:
    """Follows definitions and scans in the order of the file."""

    def __init__(self, before: TableUse | None = None) -> None:
        """Begin with the tables that hold at the end of another stream, if there is one."""
        self._current: dict[Key, Table] = dict(before._current) if before else {}
        self._begun: set[int] = set()

    def define(self, tables: list[tuple[Key, Table]]) -> list[Table]:
        """Note tables; from here on they hold. Gives them without their keys."""
        self._current.update(tables)
        return [table for _, table in tables]

    def note_scan(self, frame_marker: int, frame: bytes, scan: bytes) -> None:
        """Mark the tables that a scan uses.

        Args:
            frame_marker: Of the start of the frame.
            frame: Payload of the frame, well-formed.
            scan: Payload of the scan header, well-formed; its components are in the frame.

        Raises:
            DecodeError: "unreadable" if a Huffman table in use gives a symbol two codes.
        """
        quantisation = dict(zip(frame[6::3], frame[8::3], strict=True))
        first, high = scan[-3], scan[-1] >> 4
        uses_means, uses_details = True, frame_marker not in _LOSSLESS
        if frame_marker in _PROGRESSIVE:
            uses_means, uses_details = first == 0 and high == 0, first > 0
        coding = DAC if frame_marker in _ARITHMETIC else DHT
        keys: list[Key] = [(DRI, 0)]
        for component, numbers in zip(scan[1:-3:2], scan[2:-3:2], strict=True):
            keys += [(coding, numbers >> 4)] * uses_means
            keys += [(coding, 0x10 | numbers & 15)] * uses_details
            if component not in self._begun:
                keys.append((DQT, quantisation[component]))
            self._begun.add(component)
        for key in keys:
            self._mark(key)

    def _mark(self, key: Key) -> None:
        table = self._current.get(key)
        if table is None or table.is_used:
            return
        symbols = table.content[17:]
        # No encoder writes such a table, and most of it would never be read.
        if key[0] == DHT and len(set(symbols)) != len(symbols):
            raise broken("A Huffman table of the JPEG gives one symbol several codes.")
        table.is_used = True
