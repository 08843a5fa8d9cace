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

_TO_YCC: Final = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168735892, -0.331264108, 0.5],
        [0.5, -0.418687589, -0.081312411],
    ],
    dtype=np.float32,
)
_AT_ONCE = 2048


def _cosines() -> NDArray[np.float32]:
    k, n = np.mgrid[0:8, 0:8]
    basis = 0.5 * np.cos((2 * n + 1) * k * np.pi / 16)
    basis[0] *= np.sqrt(0.5)
    return np.asarray(basis, dtype=np.float32)


_DCT: Final = _cosines()


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
) -> NDArray[np.float32]:
    """Turn pixel blocks ``(M, 8 * down, 8 * across, 3)`` into samples ``(M, 8, 8)`` around 0."""
    if len(jpeg.components) == 1 or jpeg.is_ycc:
        plane = pixels.astype(np.float32) @ _TO_YCC[index]
        plane = np.rint(plane, out=plane)
        offset = 128.0 if index == 0 else 0.0
    else:
        plane = pixels[..., index].astype(np.float32)
        offset = 128.0
    down, across = scale
    if scale != (1, 1):
        plane = plane.reshape(len(plane), 8, down, 8, across).mean(axis=(2, 4))
    return np.asarray(plane - np.float32(offset), dtype=np.float32)


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
    result = np.empty((len(rows), 64), dtype=np.int16)
    height, width = stored.shape[:2]
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        y = rows[part, None] * (8 * scale[0]) + np.arange(8 * scale[0])
        x = columns[part, None] * (8 * scale[1]) + np.arange(8 * scale[1])
        np.minimum(y, height - 1, out=y)
        np.minimum(x, width - 1, out=x)
        samples = _samples(jpeg, index, stored[y[:, :, None], x[:, None, :]], scale)
        spectrum = (_DCT @ samples @ _DCT.T).reshape(-1, 64)
        # A sequential 8-bit file holds AC values of 10 bits and DC differences of 11.
        level = np.clip(np.rint(spectrum / table), -1023, 1023)
        result[part] = level.astype(np.int16)
    return result
