# SPDX-License-Identifier: Apache-2.0
"""The default method: a grid of means, rendered back smoothly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veilset.obfuscate.grid import cell_means, check_cells
from veilset.obfuscate.mask import IntBox
from veilset.obfuscate.per_region import MAX_SURVIVAL, PerRegion, parameters_of
from veilset.protocols import MethodCard
from veilset.types import Image

_STEPS = 256
_NODES_PER_CELL = 8


@dataclass(frozen=True)
class Veil(PerRegion):
    """Reduces each region to ``cells`` x ``cells`` means and draws them back smoothly.

    Every pixel of a core is a function of at most ``3 * cells**2`` numbers of 8 bits,
    whatever the size of the face.

    Attributes:
        cells: Cells along each side, 1 to 16; regions below ``4 * cells`` px get fewer.
        enlarge: Fraction of the region's sides added on every side.
        feather: Fraction of the core's longer side over which the edge fades.

    Raises:
        ConfigError: If a setting cannot be used.
    """

    cells: int = 6
    enlarge: float = 0.2
    feather: float = 0.2

    def __post_init__(self) -> None:
        check_cells("veil", self.cells)
        self.check_margins("veil")

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="veil",
            version=1,
            summary=f"Reduced to {self.cells} x {self.cells} means, drawn back smoothly.",
            parameters=parameters_of(self),
            reversible=False,
            weak="" if self.cells <= 8 else "More than 8 x 8 means may show who it is.",
            max_survival=MAX_SURVIVAL,
        )

    def render(self, image: Image, core: IntBox, window: IntBox) -> Image:
        """Draw the means of the core over the window."""
        import cv2

        x0, y0, x1, y1 = core
        means = cell_means(image[y0:y1, x0:x1], self.cells)
        rows, columns = means.shape[:2]
        down = spline_weights(y1 - y0, rows, y0 - window[1], window[3] - y1)
        across = spline_weights(x1 - x0, columns, x0 - window[0], window[2] - x1)
        # Whole numbers below 2**24 in float32: every sum is exact in any order, so the
        # bytes do not depend on the CPU, the BLAS or its threads.
        half = down @ means.reshape(rows, columns * 3).astype(np.float32)
        drawn = half @ _for_three_channels(across)
        drawn *= np.float32(1.0 / (_STEPS * _STEPS))
        drawn += np.float32(0.5)
        nodes = drawn.astype(np.uint8).reshape(down.shape[0], across.shape[0], 3)
        size_wh = (window[2] - window[0], window[3] - window[1])
        pixels: Image = cv2.resize(nodes, size_wh, interpolation=cv2.INTER_LINEAR_EXACT)
        return pixels


def _for_three_channels(across: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spread ``(w, cells)`` to ``(cells * 3, w * 3)``: one product then does R, G and B."""
    width, cells = across.shape
    spread = np.zeros((cells, 3, width, 3), dtype=np.float32)
    for channel in range(3):
        spread[:, channel, :, channel] = across.T
    return spread.reshape(cells * 3, width * 3)


@lru_cache(maxsize=512)
def spline_weights(side_px: int, cells: int, before_px: int, after_px: int) -> NDArray[np.float32]:
    """Weights with which the cells of one axis make its nodes: a uniform cubic B-spline.

    The B-spline has no negative part, so nothing rings, and is smooth to the second
    derivative, so no cell border shows. Beyond the outer cells the last cell goes on.
    There is a node for every pixel of the window, or ``8 * cells`` of them evenly spaced
    if that is fewer: a straight line between such nodes cannot be told from the curve.

    Args:
        side_px: Length of the core.
        cells: Number of cells along it.
        before_px: Pixels of the window before the core.
        after_px: Pixels of the window after the core.

    Returns:
        ``(nodes, cells)`` float32, whole numbers, each row with the sum 256. Not to be
        written to.

    Example:
        >>> spline_weights(2, 1, 1, 0).tolist()
        [[256.0], [256.0], [256.0]]
    """
    window_px = before_px + side_px + after_px
    count = min(window_px, _NODES_PER_CELL * cells)
    at_px = (np.arange(count) + 0.5) * window_px / count - before_px
    at = at_px * cells / side_px - 0.5
    first = np.floor(at).astype(np.int64)
    t = at - first
    pieces = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    weights = np.zeros((at.size, cells))
    rows = np.arange(at.size)
    for offset, piece in zip((-1, 0, 1, 2), pieces, strict=True):
        np.add.at(weights, (rows, np.clip(first + offset, 0, cells - 1)), piece)
    steps = np.floor(weights * _STEPS + 0.5)
    # Rounding may miss the sum by one or two: the heaviest cell makes up for it.
    steps[rows, steps.argmax(axis=1)] += _STEPS - steps.sum(axis=1)
    result = steps.astype(np.float32)
    result.setflags(write=False)
    return result
