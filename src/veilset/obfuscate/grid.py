# SPDX-License-Identifier: Apache-2.0
"""The grid of means to which ``veil`` and ``mosaic`` reduce a region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veilset.errors import ConfigError
from veilset.obfuscate.mask import MIN_SIDE_PX
from veilset.types import Image

MAX_CELLS = 16
"""With more cells than this faces are recognised by people and machines alike."""


def check_cells(method: str, cells: int) -> None:
    """Refuse a number of cells outside 1 to ``MAX_CELLS``.

    Raises:
        ConfigError: If it is.
    """
    if not (isinstance(cells, int) and 1 <= cells <= MAX_CELLS):
        raise ConfigError(
            f"Parameter 'cells' of the method {method!r} is {cells}. "
            f"Give a whole number from 1 to {MAX_CELLS}."
        )


def cell_edges(side_px: int, cells: int) -> NDArray[np.int64]:
    """Cut a side into cells of nearly equal width, none below ``MIN_SIDE_PX``.

    A small region gets fewer cells than asked for, never smaller ones: a cell of one
    pixel would hand the face through unchanged.

    Returns:
        Edges from 0 to ``side_px``, int64, one more than there are cells.

    Example:
        >>> cell_edges(13, cells=6).tolist()
        [0, 4, 8, 13]
    """
    count = max(1, min(cells, side_px // MIN_SIDE_PX))
    return np.arange(count + 1, dtype=np.int64) * side_px // count


def cell_means(pixels: Image, cells: int) -> Image:
    """Reduce a picture to a grid of means, rounded to 8 bits.

    Args:
        pixels: ``(h, w, 3)`` uint8, at least one pixel.
        cells: Largest number of cells along each axis.

    Returns:
        ``(rows, columns, 3)`` uint8; exact, since the sums are whole numbers.

    Example:
        >>> cell_means(np.full((8, 9, 3), 7, np.uint8), cells=6).shape
        (2, 2, 3)
    """
    down = cell_edges(pixels.shape[0], cells)
    across = cell_edges(pixels.shape[1], cells)
    sums = np.add.reduceat(pixels, down[:-1], axis=0, dtype=np.uint64)
    sums = np.add.reduceat(sums, across[:-1], axis=1)
    counts = (np.diff(down)[:, None] * np.diff(across)[None, :]).astype(np.uint64)[..., None]
    return ((sums + counts // 2) // counts).astype(np.uint8)
