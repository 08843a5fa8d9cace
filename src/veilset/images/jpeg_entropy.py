# SPDX-License-Identifier: Apache-2.0
"""Huffman coding of JPEG scans in NumPy: progressive scans, and the length of sequential ones.

``jpeglib`` writes sequential files only. A progressive file is therefore coded here, scan
by scan, with the scans of the original, so that it stays progressive. From ITU-T T.81:
annex F.1.2 (sequential), G.1.2 (progressive), K.2 (Huffman tables).

A *token* is a Huffman symbol followed by raw bits, or raw bits alone (symbol -1).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_NO_SYMBOL = -1
_LONGEST_RUN = 0x7FFF


@dataclass(frozen=True, slots=True)
class Tokens:
    """A stretch of entropy-coded data before Huffman tables are chosen.

    Attributes:
        symbols: ``(T,)`` int64, 0..255, or -1 for raw bits alone.
        extra: ``(T,)`` int64, the raw bits.
        widths: ``(T,)`` int64, number of raw bits, 0..16.
        tables: ``(T,)`` int64, number of the Huffman table of each symbol.
    """

    symbols: Ints
    extra: Ints
    widths: Ints
    tables: Ints


def _bit_length(values: Ints) -> Ints:
    """Number of bits of each value in [0, 65535]; exact, as floats hold them exactly."""
    return np.frexp(values.astype(np.float32))[1].astype(np.int64)


def dc_tokens(differences: Ints, tables: Ints) -> Tokens:
    """Code DC differences (T.81 F.1.2.1): the size as symbol, the value as raw bits."""
    size = _bit_length(np.abs(differences))
    extra = np.where(differences < 0, differences + (1 << size) - 1, differences)
    return Tokens(size, extra, size, tables)


def raw_tokens(bits: Ints) -> Tokens:
    """Code single bits (T.81 G.1.2.1, the refinement of DC values)."""
    none = np.full(len(bits), _NO_SYMBOL, dtype=np.int64)
    return Tokens(none, bits, np.ones_like(bits), np.zeros_like(bits))


def _end_of_band(ends: NDArray[np.bool_], empty: NDArray[np.bool_], runs: bool) -> tuple[Ints, ...]:
    """Place the end-of-band symbols: block, symbol, raw bits, number of raw bits.

    A run starts at a block that ends early and takes in the empty blocks behind it.
    """
    at = np.flatnonzero(ends)
    if not runs:
        zero = np.zeros_like(at)
        return at, zero, zero, zero
    joins = np.zeros(len(at), dtype=np.bool_)
    joins[1:] = empty[at[1:]] & (at[1:] == at[:-1] + 1)
    first = np.flatnonzero(~joins)
    length = np.diff(np.append(first, len(at)))
    pieces = -(-length // _LONGEST_RUN)
    start = np.repeat(at[first], pieces)
    piece = np.arange(len(start)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    left = np.repeat(length, pieces) - piece * _LONGEST_RUN
    run = np.minimum(left, _LONGEST_RUN)
    bits = _bit_length(run) - 1
    return start + piece * _LONGEST_RUN, bits << 4, run - (1 << bits), bits


def _sorted(keys: list[Ints], parts: list[tuple[Ints, Ints, Ints]], table: int) -> Tokens:
    order = np.argsort(np.concatenate(keys), kind="stable")
    symbols, extra, widths = (np.concatenate(column)[order] for column in zip(*parts, strict=True))
    return Tokens(symbols, extra, widths, np.full(len(symbols), table, dtype=np.int64))


def ac_tokens(band: NDArray[np.int16], low_bit: int, table: int, *, runs: bool = True) -> Tokens:
    """Code AC coefficients for the first time (T.81 F.1.2.2 and G.1.2.2).

    Args:
        band: ``(N, K)`` int16, the coefficients of one scan in zigzag order.
        low_bit: Lowest bit that this scan carries; 0 in sequential files.
        table: Number of the Huffman table.
        runs: Whether one symbol may end the band of many blocks (progressive files).
    """
    values = band.astype(np.int64)
    size_of = np.abs(values) >> low_bit
    block, place = np.nonzero(size_of)
    level = size_of[block, place]
    bits = _bit_length(level)
    extra = np.where(values[block, place] < 0, (1 << bits) - 1 - level, level)
    before = np.full_like(place, -1)
    same = block[1:] == block[:-1]
    before[1:][same] = place[:-1][same]
    run = place - before - 1
    long_runs = run >> 4
    last = np.full(len(values), -1, dtype=np.int64)
    np.maximum.at(last, block, place)
    end_block, end_symbol, end_extra, end_bits = _end_of_band(
        last < values.shape[1] - 1, last < 0, runs
    )
    key = (block * 66 + place) * 2
    zero = np.zeros(int(long_runs.sum()), dtype=np.int64)
    return _sorted(
        [np.repeat(key, long_runs), key + 1, (end_block * 66 + 65) * 2],
        [
            (zero + 0xF0, zero, zero),
            (((run & 15) << 4) | bits, extra, bits),
            (end_symbol, end_extra, end_bits),
        ],
        table,
    )


def _place_in_stream(block: Ints, segment: Ints, group: Ints, kind: int, at: Ints) -> Ints:
    """Give the numbers by which the tokens of a refinement scan are put in order."""
    return (((block * 65 + segment) * 5 + group) * 2 + kind) * 64 + at


def ac_refinement_tokens(band: NDArray[np.int16], low_bit: int, table: int) -> Tokens:
    """Code one more bit of AC coefficients (T.81 G.1.2.3).

    Args:
        band: ``(N, K)`` int16, the coefficients of one scan in zigzag order.
        low_bit: The bit that this scan carries.
        table: Number of the Huffman table.
    """
    values = band.astype(np.int64)
    level = np.abs(values) >> low_bit
    is_new, is_old = level == 1, level > 1
    # A segment ends with a coefficient that becomes non-zero here. Within it a symbol
    # 0xF0 stands for 16 zeros; the bits of older coefficients follow the symbol in
    # whose stretch of zeros they lie.
    segment = np.cumsum(is_new, axis=1) - is_new
    zeros = np.cumsum(level == 0, axis=1)
    block, place = np.nonzero(is_new)
    base = np.zeros((len(values), values.shape[1] + 1), dtype=np.int64)
    base[block, segment[block, place] + 1] = zeros[block, place]
    since = zeros - np.take_along_axis(base, segment, axis=1)
    run = since[block, place]
    n_new = is_new.sum(axis=1)
    last = np.full(len(values), -1, dtype=np.int64)
    np.maximum.at(last, block, place)

    zero = np.zeros_like(block)
    new_key = _place_in_stream(block, segment[block, place], run >> 4, 0, zero)
    long_runs = run >> 4
    n_long = int(long_runs.sum())
    of_new = np.repeat(np.arange(len(block)), long_runs)
    group = np.arange(n_long) - np.repeat(np.cumsum(long_runs) - long_runs, long_runs)
    old_block, old_place = np.nonzero(is_old)
    old_segment = segment[old_block, old_place]
    in_tail = old_segment == n_new[old_block]
    old_group = np.where(in_tail, 0, since[old_block, old_place] >> 4)
    end_block, end_symbol, end_extra, end_bits = _end_of_band(
        last < values.shape[1] - 1, last < 0, True
    )
    end_zero = np.zeros_like(end_block)
    long_zero = np.zeros(n_long, dtype=np.int64)
    old_one = np.ones_like(old_block)
    return _sorted(
        [
            _place_in_stream(block[of_new], segment[block, place][of_new], group, 0, long_zero),
            new_key,
            _place_in_stream(old_block, old_segment, old_group, 1, old_place),
            _place_in_stream(end_block, n_new[end_block], end_zero, 0, end_zero),
        ],
        [
            (long_zero + 0xF0, long_zero, long_zero),
            (((run & 15) << 4) | 1, (values[block, place] > 0).astype(np.int64), zero + 1),
            (old_one * _NO_SYMBOL, level[old_block, old_place] & 1, old_one),
            (end_symbol, end_extra, end_bits),
        ],
        table,
    )


def code_lengths(counts: Ints) -> tuple[list[int], list[int]]:
    """Choose a Huffman code of at most 16 bits (T.81 K.2), without the code of all ones.

    Args:
        counts: ``(256,)``, how often each symbol occurs.

    Returns:
        The number of codes of 1..16 bits, and the symbols by length: a DHT segment.

    Example:
        >>> counts = np.zeros(256, dtype=np.int64)
        >>> counts[[3, 7]] = 5, 1
        >>> code_lengths(counts)[1]
        [3, 7]
    """
    heap = [(int(counts[symbol]), -symbol, [symbol]) for symbol in np.flatnonzero(counts).tolist()]
    # A reserved symbol of the lowest weight takes the code of all ones away.
    heap.append((0, -256, [256]))
    heapq.heapify(heap)
    lengths = dict.fromkeys((member for _, _, members in heap for member in members), 0)
    while len(heap) > 1:
        weight_a, tie_a, a = heapq.heappop(heap)
        weight_b, tie_b, b = heapq.heappop(heap)
        for member in a + b:
            lengths[member] += 1
        heapq.heappush(heap, (weight_a + weight_b, min(tie_a, tie_b), a + b))
    counted = [0] * 260
    for length in lengths.values():
        counted[length] += 1
    for length in range(len(counted) - 1, 16, -1):
        while counted[length] > 0:
            shorter = length - 2
            while counted[shorter] == 0:
                shorter -= 1
            counted[length] -= 2
            counted[length - 1] += 1
            counted[shorter + 1] += 2
            counted[shorter] -= 1
    longest = max(length for length in range(17) if counted[length])
    counted[longest] -= 1
    ranked = sorted((length, symbol) for symbol, length in lengths.items() if symbol < 256)
    return counted[1:17], [symbol for _, symbol in ranked]


def code_words(counted: list[int], symbols: list[int]) -> tuple[Ints, Ints]:
    """Give code and length of each symbol (T.81 C.2), ``(256,)`` each; length 0 if absent."""
    codes = np.zeros(256, dtype=np.int64)
    lengths = np.zeros(256, dtype=np.int64)
    code = at = 0
    for length, n in enumerate(counted, start=1):
        for symbol in symbols[at : at + n]:
            codes[symbol], lengths[symbol] = code, length
            code += 1
        at += n
        code <<= 1
    return codes, lengths


def pack(tokens: Tokens) -> tuple[dict[int, bytes], bytes]:
    """Choose Huffman tables for the tokens and write them as bits, stuffed and padded.

    Returns:
        For each table number its DHT content without class and number, and the data.
    """
    has_symbol = tokens.symbols >= 0
    code = np.zeros_like(tokens.symbols)
    length = np.zeros_like(tokens.symbols)
    contents: dict[int, bytes] = {}
    for table in np.unique(tokens.tables[has_symbol]).tolist():
        chosen = has_symbol & (tokens.tables == table)
        used = tokens.symbols[chosen]
        counted, symbols = code_lengths(np.bincount(used, minlength=256))
        contents[table] = bytes(counted) + bytes(symbols)
        codes, lengths = code_words(counted, symbols)
        code[chosen], length[chosen] = codes[used], lengths[used]
    value = (code << tokens.widths) | tokens.extra
    return contents, _bits(value, length + tokens.widths)


def _bits(values: Ints, widths: Ints) -> bytes:
    """Join values of at most 32 bits into bytes, pad with ones, stuff zeros behind 0xFF."""
    total = int(widths.sum())
    offset = np.cumsum(widths) - widths
    word, shift = offset >> 5, 64 - (offset & 31) - widths
    wide = values.astype(np.uint64) << shift.astype(np.uint64)
    words = np.zeros(total // 32 + 2, dtype=np.uint64)
    # Bits of different tokens never overlap, so adding them is setting them.
    np.add.at(words, word, wide >> np.uint64(32))
    np.add.at(words, word + 1, wide & np.uint64(0xFFFFFFFF))
    data = bytearray(words.astype(">u4").tobytes()[: -(-total // 8)])
    if total % 8:
        data[-1] |= 0xFF >> (total % 8)
    return bytes(data).replace(b"\xff", b"\xff\x00")
