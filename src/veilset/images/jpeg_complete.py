# SPDX-License-Identifier: Apache-2.0
"""Find JPEG files whose picture data was cut although they end in an end of image.

libjpeg fills what is missing with mid-gray and reports nothing. The blocks it filled in
would themselves have cost bits, though: coding what was decoded needs at least as many
bits as the file holds, or data is missing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veilset.errors import DecodeError
from veilset.images.coefficients import Coefficients, read_coefficients
from veilset.images.jpeg_entropy import Ints, Tokens, ac_tokens, code_words
from veilset.images.jpeg_markers import DHT, DRI, ZIGZAG, JpegFile, Scan
from veilset.images.progressive import dc_scan_tokens

_FILL = 128


def check_complete(jpeg: JpegFile, stored: NDArray[np.uint8]) -> None:
    """Refuse a JPEG file whose end is missing.

    Costs nothing unless the lower right corner is exactly the gray that libjpeg fills in.

    Args:
        jpeg: The file, fully parsed.
        stored: Its decoded pixels, ``(H, W, ...)`` in stored order.

    Raises:
        DecodeError: ``truncated``.
    """
    if not (stored[-1, -1] == _FILL).all():
        return
    planes = read_coefficients(jpeg)
    if any(plane[-1, -1].any() for plane in planes):
        return
    for scan in jpeg.scans:
        first_pass = scan.band[0] == 0 and scan.bits[0] == 0
        if first_pass and _bits_needed(jpeg, scan, planes) > _bits_held(jpeg, scan):
            raise DecodeError(
                "truncated",
                "The JPEG file holds less data than its picture needs. Fetch the file again.",
            )


def _bits_held(jpeg: JpegFile, scan: Scan) -> int:
    data = jpeg.data[scan.segment.end : scan.data_end]
    return 8 * (len(data) - data.count(b"\xff\x00"))


def _bits_needed(jpeg: JpegFile, scan: Scan, planes: Coefficients) -> int:
    lengths = _code_lengths_at(jpeg, scan)
    needed = 0
    # Restarts reset the DC prediction, so DC sizes are not known without following them.
    if not jpeg.payloads(DRI):
        needed += _cost(dc_scan_tokens(jpeg, scan, planes), lengths, 0)
    if not jpeg.is_progressive:
        for index, _, table in scan.members:
            band = planes[index].reshape(-1, 64)[:, ZIGZAG[1:]]
            needed += _cost(ac_tokens(band, 0, table, runs=False), lengths, 1)
    return needed


def _cost(tokens: Tokens, lengths: dict[tuple[int, int], Ints], table_class: int) -> int:
    total = int(tokens.widths.sum())
    for table in np.unique(tokens.tables).tolist():
        chosen = tokens.symbols[tokens.tables == table]
        total += int(lengths.get((table_class, table), np.zeros(256, np.int64))[chosen].sum())
    return total


def _code_lengths_at(jpeg: JpegFile, scan: Scan) -> dict[tuple[int, int], Ints]:
    """Give the code length of each symbol by (class, number), as tables hold at a scan."""
    tables: dict[tuple[int, int], Ints] = {}
    for segment in jpeg.segments:
        if segment.start > scan.segment.start or segment.marker != DHT:
            continue
        payload, at = jpeg.payload(segment), 0
        while at < len(payload):
            counted = list(payload[at + 1 : at + 17])
            symbols = list(payload[at + 17 : at + 17 + sum(counted)])
            tables[payload[at] >> 4, payload[at] & 15] = code_words(counted, symbols)[1]
            at += 17 + sum(counted)
    return tables
