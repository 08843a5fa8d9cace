# SPDX-License-Identifier: Apache-2.0
"""From pixels to quantised DCT blocks, for the blocks that a footprint touches.

Colour conversion: JFIF 1.02 (ITU-R BT.601 at full range). Transform: T.81 A.3.3.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilset.images.coefficients import block_shape
from veilset.images.jpeg_markers import JpegFile
from veilset.types import Image, IntBoxes, Mask

_BITS: Final = 16
_TO_YCC: Final = np.array(
    [[19595, 38470, 7471], [-11059, -21709, 32768], [32768, -27439, -5329]], dtype=np.float32
)
"""Weights of R, G and B in 1 / 2**16, those of libjpeg; the rows add up to 1, 0 and 0."""

_AT_ONCE = 2048


def gray_level(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the luma of RGB pixels, ``(..., 3)`` to ``(...)``, rounded.

    Example:
        >>> gray_level(np.array([[255, 255, 255], [0, 255, 0]], np.uint8)).tolist()
        [255, 150]
    """
    return _rounded_plane(pixels, 0).astype(np.uint8)


def _rounded_plane(pixels: NDArray[np.uint8], index: int) -> NDArray[np.float32]:
    # Whole numbers below 2**24 in float32: every sum is exact in any order.
    plane = pixels.astype(np.float32) @ _TO_YCC[index]
    # As libjpeg: half a level of luma is rounded up, one of chroma down.
    plane += (1 << (_BITS - 1)) - (index > 0)
    plane *= np.float32(1 / (1 << _BITS))
    return np.asarray(np.floor(plane, out=plane))


def _transform() -> NDArray[np.float64]:
    """Give the transform of a block, ``(64, 64)``, whole numbers in 1 / 2**32.

    A sample is below 2**15, a weight at most 2**30, and 64 products are added: whole numbers below
    2**53, so that every sum is exact in any order, and bytes depend on no CPU or BLAS.
    """
    k, n = np.mgrid[0:8, 0:8]
    basis = 0.5 * np.cos((2 * n + 1) * k * np.pi / 16)
    basis[0] *= np.sqrt(0.5)
    whole = np.rint(basis * (1 << _BITS))
    return np.asarray(np.kron(whole, whole).T, dtype=np.float64, order="C")


_DCT: Final = _transform()


def block_scale(jpeg: JpegFile, index: int) -> tuple[int, int]:
    """Give how many pixels, down and across, one sample of a component stands for."""
    component = jpeg.components[index]
    return (
        max(c.v for c in jpeg.components) // component.v,
        max(c.h for c in jpeg.components) // component.h,
    )


def touched_blocks(jpeg: JpegFile, footprint: IntBoxes) -> list[Mask]:
    """Mark, for each component, the blocks that hold a pixel of the footprint.

    Args:
        jpeg: The file.
        footprint: ``(N, 4)`` whole pixels in stored order.

    Returns:
        For each component ``(block rows, block columns)`` bool.
    """
    masks = []
    for index in range(len(jpeg.components)):
        down, across = (8 * n for n in block_scale(jpeg, index))
        mask = np.zeros(block_shape(jpeg, index), dtype=np.bool_)
        for x0, y0, x1, y1 in footprint.tolist():
            if x0 < x1 and y0 < y1:
                mask[y0 // down : -(-y1 // down), x0 // across : -(-x1 // across)] = True
        masks.append(mask)
    return masks


def _samples(
    jpeg: JpegFile, index: int, pixels: NDArray[np.uint8], scale: tuple[int, int]
) -> NDArray[np.float64]:
    """Add up the pixels of each sample, around 0.

    Args:
        pixels: Blocks, ``(M, 8 * down, 8 * across, 3)``.
        scale: ``down`` and ``across``.

    Returns:
        ``(M, 64)``, whole numbers: the mean of a sample's pixels times ``down * across``.
    """
    if len(jpeg.components) == 1 or jpeg.is_ycc:
        plane = _rounded_plane(pixels, index)
        offset = 128 if index == 0 else 0
    else:
        plane = pixels[..., index].astype(np.float32)
        offset = 128
    down, across = scale
    if scale != (1, 1):
        plane = plane.reshape(len(plane), 8, down, 8, across).sum(axis=(2, 4))
    return plane.reshape(-1, 64).astype(np.float64) - offset * down * across


def forward_blocks(
    jpeg: JpegFile,
    index: int,
    stored: Image,
    blocks: Mask,
    table: NDArray[np.float32],
) -> NDArray[np.int16]:
    """Compute the quantised coefficients of some blocks from pixels alone.

    Colour is averaged over the pixels of a sample; beyond the right and lower border the
    last pixel is repeated.

    Args:
        jpeg: Gives sampling and colour space.
        index: The component.
        stored: ``(H, W, 3)`` uint8 RGB in stored order; need not be contiguous.
        blocks: ``(block rows, block columns)`` bool, which blocks.
        table: ``(64,)`` quantisation steps, natural order.

    Returns:
        ``(M, 64)`` int16, natural order, one row for each block set, row by row.
    """
    scale = block_scale(jpeg, index)
    rows, columns = np.nonzero(blocks)
    steps = table.astype(np.float64) * (scale[0] * scale[1]) * 2.0 ** (2 * _BITS)
    result = np.empty((len(rows), 64), dtype=np.int16)
    height, width = stored.shape[:2]
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        y = rows[part, None] * (8 * scale[0]) + np.arange(8 * scale[0])
        x = columns[part, None] * (8 * scale[1]) + np.arange(8 * scale[1])
        np.minimum(y, height - 1, out=y)
        np.minimum(x, width - 1, out=x)
        samples = _samples(jpeg, index, stored[y[:, :, None], x[:, None, :]], scale)
        # A sequential 8-bit file holds AC values of 10 bits and DC differences of 11.
        level = np.clip(np.rint(samples @ _DCT / steps), -1023, 1023)
        result[part] = level.astype(np.int16)
    return result
