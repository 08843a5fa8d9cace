# SPDX-License-Identifier: Apache-2.0
"""Find where the compressed data of a TIFF strip ends, by unpacking it or its structure.

Readers stop as soon as they have the pixels of a strip, so anything may follow: another
picture in the clear, or more rows of this one. Each function gives the bytes that belong to
exactly ``size`` unpacked ones, and refuses data that unpacks to less or to more.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilset.metadata.policy import broken, cut_short, unsupported

_CHUNK: Final = 1 << 18
# The highest level of compression asks for a quarter of it.
_MAX_LZMA_MEMORY: Final = 1 << 28
_CLEAR, _END, _FIRST_ENTRY = 256, 257, 258
# LZW codes from one clear code to the next grow from 9 to 12 bits, one code earlier than
# the table demands; after the last of these the table is full.
_LZW_WIDTHS: Final = np.repeat(np.arange(9, 13), [254, 512, 1024, 2049])
_LZW_STARTS: Final = np.cumsum(_LZW_WIDTHS) - _LZW_WIDTHS
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"

_TOO_SHORT = "A compressed strip of the TIFF ends too early."
_TOO_LONG = "A compressed strip of the TIFF holds more than its rows of the picture."
_DAMAGED = "A compressed strip of the TIFF is damaged."


def _end_of_deflate(strip: bytes, size: int) -> int:
    inflater = zlib.decompressobj()
    pending, n_unpacked = strip, 0
    try:
        while pending and not inflater.eof and n_unpacked <= size:
            n_unpacked += len(inflater.decompress(pending, _CHUNK))
            pending = inflater.unconsumed_tail
    except zlib.error as error:
        raise broken(_DAMAGED) from error
    _compare(n_unpacked, size, has_ended=inflater.eof)
    return len(strip) - len(inflater.unused_data)


def _end_of_lzma(strip: bytes, size: int) -> int:
    try:
        lzma = importlib.import_module("lzma")
    except ImportError as error:
        # Not every Python has it; Pillow's readers bring their own.
        raise unsupported("The TIFF is compressed by LZMA, which this Python lacks.") from error
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_LZMA_MEMORY)
    pending, n_unpacked = strip, 0
    try:
        while not decoder.eof and n_unpacked <= size and (pending or not decoder.needs_input):
            n_unpacked += len(decoder.decompress(pending, _CHUNK))
            pending = b""
    except lzma.LZMAError as error:
        raise broken(_DAMAGED) from error
    _compare(n_unpacked, size, has_ended=decoder.eof)
    return len(strip) - len(decoder.unused_data)


def _compare(n_unpacked: int, size: int, *, has_ended: bool) -> None:
    if n_unpacked > size:
        raise broken(_TOO_LONG)
    if n_unpacked < size or not has_ended:
        raise cut_short(_TOO_SHORT)


def _end_of_zstd(strip: bytes, size: int) -> int:
    """Go through the blocks of a frame (RFC 8878, section 3.1.1), then unpack it."""
    if strip[:4] != _ZSTD_MAGIC or len(strip) < 6:
        raise broken(_DAMAGED)
    flags = strip[4]
    is_single, has_checksum = flags >> 5 & 1, flags >> 2 & 1
    n_size = (1 if is_single else 0, 2, 4, 8)[flags >> 6]
    place = 5 + (not is_single) + (0, 1, 2, 4)[flags & 3] + n_size
    is_last = False
    while not is_last:
        if place + 3 > len(strip):
            raise cut_short(_TOO_SHORT)
        head = int.from_bytes(strip[place : place + 3], "little")
        is_last, kind, length = bool(head & 1), head >> 1 & 3, head >> 3
        place += 3 + (1 if kind == 1 else length)  # the second kind repeats one byte
    place += 4 * has_checksum
    if place > len(strip):
        raise cut_short(_TOO_SHORT)
    arrow = importlib.import_module("pyarrow")
    n_unpacked = 0
    try:
        with arrow.CompressedInputStream(arrow.BufferReader(strip[:place]), "zstd") as stream:
            while n_unpacked <= size and (piece := stream.read(_CHUNK)):
                n_unpacked += len(piece)
    except OSError as error:
        raise broken(_DAMAGED) from error
    _compare(n_unpacked, size, has_ended=True)
    return place


def _end_of_packbits(strip: bytes, size: int) -> int:
    place = n_unpacked = 0
    while n_unpacked < size:
        if place >= len(strip):
            raise cut_short(_TOO_SHORT)
        head = strip[place]
        if head < 128:
            n_unpacked += head + 1
            place += head + 2
        elif head > 128:
            n_unpacked += 257 - head
            place += 2
        else:
            place += 1
    if place > len(strip):
        raise cut_short(_TOO_SHORT)
    _compare(n_unpacked, size, has_ended=True)
    return place


def _end_of_lzw(strip: bytes, size: int) -> int:
    """Go through LZW codes (TIFF 6.0, section 13), all between two clear codes at a time."""
    padded = np.frombuffer(strip + bytes(4), np.uint8)
    n_bits = 8 * len(strip)
    if _lzw_codes(padded, n_bits, 0, 1).tolist() != [_CLEAR]:
        raise broken(_DAMAGED)
    at, n_unpacked, n_runs, guess = 9, 0, 0, 64
    while True:
        codes = _lzw_codes(padded, n_bits, at, guess)
        # A code is a byte, an entry made before it, a clear code or the end.
        is_other = (codes == _CLEAR) | (codes == _END) | (codes > np.arange(len(codes)) + _END)
        stops = np.flatnonzero(is_other)
        if not len(stops) and len(codes) == guess < len(_LZW_STARTS):
            guess = min(8 * guess, len(_LZW_STARTS))
            continue
        n_codes = int(stops[0]) if len(stops) else len(codes)
        reached = n_unpacked + np.cumsum(_lzw_lengths(codes[:n_codes]))
        if n_codes and reached[-1] >= size:
            last = int(np.searchsorted(reached, size))
            _compare(int(reached[last]), size, has_ended=True)
            return _behind_lzw(padded, n_bits, at, last, codes)
        if codes[n_codes : n_codes + 1].tolist() in ([], [_END]) and n_codes < len(_LZW_STARTS):
            raise cut_short(_TOO_SHORT)
        n_runs += 1
        # A clear code after every few others is no compression, only work.
        if not n_codes or len(codes) == n_codes or n_runs > 4096 + len(strip) // 64:
            raise broken(_DAMAGED)
        if codes[n_codes] != _CLEAR:
            raise broken(_DAMAGED)
        n_unpacked = int(reached[-1])
        at += int(_LZW_STARTS[n_codes] + _LZW_WIDTHS[n_codes])
        guess = min(max(64, 2 * n_codes), len(_LZW_STARTS))


def _lzw_codes(padded: NDArray[np.uint8], n_bits: int, at: int, limit: int) -> NDArray[np.int64]:
    """Read the codes that follow a clear code, from bit ``at`` on, at most ``limit``."""
    widths = _LZW_WIDTHS[:limit]
    starts = _LZW_STARTS[:limit] + at
    n_whole = int(np.count_nonzero(starts + widths <= n_bits))
    widths, starts = widths[:n_whole], starts[:n_whole]
    byte = starts >> 3
    words = np.zeros(n_whole, np.int64)
    for index in range(4):
        words = words << 8 | padded[byte + index]
    codes: NDArray[np.int64] = words >> (32 - widths - (starts & 7))
    return codes & ((1 << widths) - 1)


def _lzw_lengths(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the bytes that each code stands for: one more than the entry it goes on from."""
    lengths = np.ones(len(codes), np.int64)
    # Entry n is code n and one byte more. Following entries to single bytes by doubling steps.
    before = np.where(codes >= _FIRST_ENTRY, codes - _FIRST_ENTRY, -1)
    inside = np.flatnonzero(before >= 0)
    while len(inside):
        lengths[inside] += lengths[before[inside]]
        before[inside] = before[before[inside]]
        inside = inside[before[inside] >= 0]
    return lengths


def _behind_lzw(
    padded: NDArray[np.uint8], n_bits: int, at: int, last: int, codes: NDArray[np.int64]
) -> int:
    """Give the bytes up to the end code behind the last code, if one follows at once."""
    end = at + int(_LZW_STARTS[last] + _LZW_WIDTHS[last])
    if last + 1 < len(codes) and codes[last + 1] in (_CLEAR, _END):
        after = end + int(_LZW_WIDTHS[last + 1])
        is_end = codes[last + 1] == _END
        # Where the table is full with the last code, writers clear it before they end.
        if not is_end and _lzw_codes(padded, n_bits, after, 1).tolist() == [_END]:
            after, is_end = after + 9, True
        end = after if is_end else end
    return -(-end // 8)


_ENDS: Final[Mapping[int, Callable[[bytes, int], int]]] = {
    5: _end_of_lzw,
    8: _end_of_deflate,
    32773: _end_of_packbits,
    32946: _end_of_deflate,
    34925: _end_of_lzma,
    50000: _end_of_zstd,
}


def can_find_end(compression: int) -> bool:
    """Tell whether ``end_of_strip`` knows a compression, a number of TIFF's."""
    return compression in _ENDS


def end_of_strip(strip: bytes, compression: int, size: int) -> int:
    """Give the number of bytes of a compressed strip that unpack to ``size`` bytes.

    Raises:
        DecodeError: "truncated" if they unpack to less, "unreadable" if they are damaged
            or unpack to more.
    """
    return _ENDS[compression](strip, size)
