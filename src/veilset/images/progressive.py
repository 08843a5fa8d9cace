# SPDX-License-Identifier: Apache-2.0
"""Write the coefficients of a progressive JPEG again, with the scans of the original."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veilset.images.coefficients import Coefficients
from veilset.images.jpeg_entropy import (
    Ints,
    Tokens,
    ac_refinement_tokens,
    ac_tokens,
    dc_tokens,
    pack,
    raw_tokens,
)
from veilset.images.jpeg_markers import ZIGZAG, JpegFile, Scan

_AC_CLASS = 0x10


def huffman_segment(contents: dict[int, bytes], table_class: int) -> bytes:
    """Build one DHT segment from table contents by number; ``b""`` for none."""
    body = b"".join(bytes([table_class | slot]) + contents[slot] for slot in sorted(contents))
    return b"\xff\xc4" + (len(body) + 2).to_bytes(2, "big") + body if body else b""


def write_scans(jpeg: JpegFile, planes: Coefficients) -> bytes:
    """Code every scan of a progressive file anew.

    Args:
        jpeg: The original; gives the scans and their headers.
        planes: The coefficients to write, shaped as those of the original.

    Returns:
        Huffman tables, scan headers and picture data, ready to follow the frame.
    """
    parts = []
    for scan in jpeg.scans:
        if scan.band[0] == 0:
            contents, data = pack(dc_scan_tokens(jpeg, scan, planes))
            tables = huffman_segment(contents, 0)
        else:
            index, _, table = scan.members[0]
            low, high = scan.band
            band = planes[index].reshape(-1, 64)[:, ZIGZAG[low : high + 1]]
            refine = ac_refinement_tokens if scan.bits[0] else ac_tokens
            contents, data = pack(refine(band, scan.bits[1], table))
            tables = huffman_segment(contents, _AC_CLASS)
        parts += [tables, jpeg.data[scan.segment.start : scan.segment.end], data]
    return b"".join(parts)


def dc_scan_tokens(jpeg: JpegFile, scan: Scan, planes: Coefficients) -> Tokens:
    """Code the DC values of a scan, in the order of its MCUs (T.81 A.2)."""
    low_bit = scan.bits[1]
    sequences: list[Ints] = []
    columns: list[Ints] = []
    tables: list[Ints] = []
    for index, table, _ in scan.members:
        grid = planes[index][:, :, 0].astype(np.int64) >> low_bit
        ordered = _mcu_order(jpeg, index, grid) if len(scan.members) > 1 else grid.reshape(-1, 1)
        sequences.append(np.diff(ordered.reshape(-1), prepend=0).reshape(ordered.shape))
        columns.append(ordered)
        tables.append(np.full(ordered.shape, table, dtype=np.int64))
    if scan.bits[0]:
        return raw_tokens(np.concatenate(columns, axis=1).reshape(-1) & 1)
    return dc_tokens(
        np.concatenate(sequences, axis=1).reshape(-1), np.concatenate(tables, axis=1).reshape(-1)
    )


def _mcu_order(jpeg: JpegFile, index: int, grid: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order blocks ``(rows, columns)`` as interleaved scans do: ``(MCUs, blocks in each)``.

    Blocks that fill the last MCUs beyond the picture repeat their neighbour: they cost
    nothing and show nothing.
    """
    component = jpeg.components[index]
    width, height = jpeg.size_wh
    across = -(-width // (8 * max(c.h for c in jpeg.components)))
    down = -(-height // (8 * max(c.v for c in jpeg.components)))
    pad = ((0, down * component.v - grid.shape[0]), (0, across * component.h - grid.shape[1]))
    grid = np.pad(grid, pad, mode="edge")
    blocks = grid.reshape(down, component.v, across, component.h).transpose(0, 2, 1, 3)
    return blocks.reshape(down * across, component.v * component.h)
