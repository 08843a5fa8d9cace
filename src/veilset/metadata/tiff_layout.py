# SPDX-License-Identifier: Apache-2.0
"""How many strips or tiles the picture of a TIFF directory has, and how long each is unpacked.

Readers disagree about strips beyond those that the size of the picture asks for: one shows
the first, another the last. So there have to be exactly as many as it takes.
"""

from __future__ import annotations

from typing import Final

from veilset.metadata.policy import broken, unsupported
from veilset.metadata.tiff_tags import Directory

WIDTH, HEIGHT, BITS, COMPRESSION = 0x0100, 0x0101, 0x0102, 0x0103
COLOUR, FILL_ORDER, SAMPLES, ROWS_PER_STRIP, PLANAR = 0x0106, 0x010A, 0x0115, 0x0116, 0x011C
TILE_WIDTH, TILE_HEIGHT, EXTRA, SUBSAMPLING = 0x0142, 0x0143, 0x0152, 0x0212
STRIPS, TILES = (0x0111, 0x0117), (0x0144, 0x0145)
"""Tags of the offsets and of the lengths."""
NO_COMPRESSION, JPEG = 1, 7

_RGB, _YCBCR = 2, 6
_N_COLOURS: Final = {0: 1, 1: 1, _RGB: 3, 3: 1, 4: 1, 5: 4, _YCBCR: 3, 8: 3, 9: 3, 10: 3}
_ALPHAS: Final = ((1,), (2,))
_MAX_STRIPS = 1 << 20


def numbers(first: Directory, order: str, tag: int) -> tuple[int, ...]:
    """Give the whole numbers of a tag; none if it is absent."""
    value = first.fields.get(tag)
    return value.integers(order) if value else ()


def number(first: Directory, order: str, tag: int, default: int) -> int:
    """Give the first number of a tag."""
    found = numbers(first, order, tag)
    return found[0] if found else default


def unpacked_sizes(first: Directory, order: str) -> list[int]:
    """Give the bytes that each strip or tile unpacks to, in their order.

    Raises:
        DecodeError: "unreadable" if the directory does not list exactly the strips or the
            tiles that its picture has, "unsupported" for samples of several widths.
    """
    tags = TILES if TILES[0] in first.fields else STRIPS
    n_listed = len(numbers(first, order, tags[0]))
    if not n_listed or n_listed > _MAX_STRIPS:
        raise broken("The TIFF does not say where its strips or tiles are.")
    if tags == TILES and STRIPS[0] in first.fields:
        raise broken("The TIFF lists strips and tiles.")
    if (tags == TILES) != (TILE_WIDTH in first.fields):
        raise broken("The TIFF lists strips but states the size of tiles, or the other way round.")
    width, height, across, rows = _grid(first, order, is_tiled=tags == TILES)
    n_samples = number(first, order, SAMPLES, 1)
    planar = number(first, order, PLANAR, 1)
    if n_samples < 1 or planar not in (1, 2):
        raise broken("The TIFF arranges its samples in a way that does not exist.")
    n_planes = n_samples if planar == 2 else 1
    down = -(-height // rows)
    n_needed = across * down * n_planes
    if n_listed != n_needed:
        raise broken(f"The TIFF lists {n_listed} strips or tiles, its picture has {n_needed}.")
    heights = [rows] * down
    if tags == STRIPS:
        heights[-1] = height - rows * (down - 1)
    if number(first, order, COMPRESSION, NO_COMPRESSION) == JPEG:
        return [0] * n_listed  # each is a file with a size and an end of its own
    sizes = {each: _unpacked_size(first, order, width, each) for each in {*heights}}
    return [sizes[each] for each in heights for _ in range(across)] * n_planes


def count_extra_samples(first: Directory, order: str) -> int:
    """Give 1 if the pixels have an alpha besides their colours, else 0.

    Raises:
        DecodeError: "unsupported" for other samples: viewers leave them out, so that a
            picture could lie there that few see; "unreadable" if there are too few.
    """
    colour = number(first, order, COLOUR, 0)
    if colour not in _N_COLOURS:
        raise unsupported(f"The TIFF has colours of a kind that is not known ({colour}).")
    n_extra = number(first, order, SAMPLES, 1) - _N_COLOURS[colour]
    if n_extra < 0:
        raise broken("The TIFF has too few samples for its kind of colours.")
    stated = numbers(first, order, EXTRA)
    # Four samples of which nothing is said are read as RGB and alpha.
    is_alpha = stated in _ALPHAS or (EXTRA not in first.fields and colour == _RGB)
    if n_extra > 1 or (n_extra and not is_alpha):
        raise unsupported("The TIFF has samples that are neither a colour nor alpha.")
    return n_extra


def _grid(first: Directory, order: str, *, is_tiled: bool) -> tuple[int, int, int, int]:
    """Give the width of a strip or tile, the height of the picture, tiles in a row, their rows."""
    width, height = (number(first, order, tag, 0) for tag in (WIDTH, HEIGHT))
    if is_tiled:
        piece, rows = (number(first, order, tag, 0) for tag in (TILE_WIDTH, TILE_HEIGHT))
    else:
        piece, rows = width, min(number(first, order, ROWS_PER_STRIP, height), height)
    if min(width, height, piece, rows) < 1:
        raise broken("The TIFF states a size of nothing.")
    return piece, height, -(-width // piece), rows


def _unpacked_size(first: Directory, order: str, width: int, height: int) -> int:
    bits = set(numbers(first, order, BITS) or (1,))
    n_samples = number(first, order, SAMPLES, 1)
    is_planar = number(first, order, PLANAR, 1) == 2
    if len(bits) > 1 or min(bits) < 1:
        raise broken("The samples of the TIFF differ in their bits, or have none.")
    n_bits = bits.pop() * (1 if is_planar else n_samples)
    across, down = 1, 1
    if number(first, order, COLOUR, 0) == _YCBCR:
        across, down = (*numbers(first, order, SUBSAMPLING), 2, 2)[:2]
        if across not in (1, 2, 4) or down not in (1, 2, 4) or (is_planar and across * down > 1):
            raise broken("The TIFF thins its colours out in a way that does not exist.")
        if across * down > 1 and (n_samples != 3 or n_bits != 24):
            raise unsupported("The TIFF has thinned colours that are not of three times 8 bits.")
        # All brightnesses of a block, then its two colours.
        n_bits = 8 * (across * down + 2) if across * down > 1 else n_bits
    return (-(-width // across) * n_bits + 7) // 8 * -(-height // down)
