# SPDX-License-Identifier: Apache-2.0
"""One way of showing an image to a network, and the way back to the image's own pixels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from veilset.detect.candidates import Candidates
from veilset.types import Image

TILE_PX = 1_536
"""Longest side of what the network is shown at once; it bounds the memory of a look."""

OVERLAP_PX = 256
"""How far neighbouring tiles overlap, in pixels of the look: the largest face that a tiled
look is believed for. Larger ones are whole in the looks at a smaller scale."""


WINDOW_PX = 128
"""Width and height of a window, in pixels of the image. Few sizes of look mean few kernels
to compile."""

_GRID_PX = 64
"""Tiles and windows begin at multiples of this in the image. What a network says depends on
where a face lies on the grid of its strides; so begun, a part says what the look in one piece
would."""

_MARGIN_PX = 32
"""Margins are multiples of this, the stride of the networks, for the same reason."""

_ROOM_PX = (WINDOW_PX - _GRID_PX) // 2
"""How far what a window answers for lies inside of it: the context of a face on the seam."""

_SEAM_PX = 4
"""How far, in pixels of the image, windows answer for what is the neighbour's. Two windows may
place the same centre on two sides of a seam, and both would leave the face to the other."""

_WINDOWS_PAY = 0.7
"""Windows with more pixels together than this share of the image cost more than they save."""


@dataclass(frozen=True, slots=True)
class View:
    """How an image is shown.

    Attributes:
        scale: Pixels of the look for each pixel of the image.
        quarter_turns: Turns by 90 degrees, counter-clockwise, 0 to 3.
        margin: Black border on every side, at least this share of the longer side of the
            scaled image: context for a face that fills the frame.
        largest_px: Longest side, in pixels of the look, of a face that it is believed for.
    """

    scale: float = 1.0
    quarter_turns: int = 0
    margin: float = 0.0
    largest_px: float = np.inf

    def __str__(self) -> str:
        turned = f" turned {90 * self.quarter_turns}" if self.quarter_turns else ""
        margin = f" margin {self.margin:g}" if self.margin else ""
        return f"{self.scale:.4g}x{turned}{margin}"


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image in a view.

    Attributes:
        view: How it is shown.
        part: ``(x0, y0, x1, y1)``, the pixels of the image that are shown.
        own: ``(x0, y0, x1, y1)``, the share of ``part`` that this tile answers for; the
            tiles of an image own every place once. Infinite where there is no neighbour,
            since the centre of a face may lie outside the image.
        largest_px: Longest side, in pixels of the look, of a face that it is believed for.
        canvas_px: Of a window: the look is filled up with black, right and below, to a
            square of this side, in pixels of the look. 0 for a tile.
    """

    view: View
    part: tuple[int, int, int, int]
    own: tuple[float, float, float, float]
    largest_px: float
    canvas_px: int = 0

    @property
    def is_window(self) -> bool:
        """Whether the rest of the image may not be shown at all."""
        return self.canvas_px > 0

    def show(self, image: Image) -> Image:
        """Cut, scale, turn and frame the part; ``(h, w, 3)``, a copy or a view of it."""
        x0, y0, x1, y1 = self.part
        shown = resize(image[y0:y1, x0:x1], self._shown_wh())
        shown = np.rot90(shown, self.view.quarter_turns)
        border = self._border_px()
        if border:
            shown = np.pad(shown, ((border, border), (border, border), (0, 0)))
        right, below = (max(0, self.canvas_px - side) for side in shown.shape[1::-1])
        if right or below:
            shown = np.pad(shown, ((0, below), (0, right), (0, 0)))
        return np.ascontiguousarray(shown)

    def restore(self, seen: Candidates) -> Candidates:
        """Give what was seen in pixels of the image, and keep what the tile answers for."""
        boxes = self._back(seen.boxes_xyxy.reshape(-1, 2, 2))
        boxes = np.concatenate([boxes.min(axis=1), boxes.max(axis=1)], axis=1)
        points = self._back(seen.landmarks_xy)
        found = Candidates(boxes, seen.scores, points)
        x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
        x0, y0, x1, y1 = self.own
        mine = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        mine &= (boxes[:, 2:] - boxes[:, :2]).max(axis=1) * self.view.scale <= self.largest_px
        return found.pick(mine)

    def _shown_wh(self) -> tuple[int, int]:
        x0, y0, x1, y1 = self.part
        return max(1, round((x1 - x0) * self.view.scale)), max(
            1, round((y1 - y0) * self.view.scale)
        )

    def _border_px(self) -> int:
        return ceil(self.view.margin * max(self._shown_wh()) / _MARGIN_PX) * _MARGIN_PX

    def _back(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take points ``(..., 2)`` of the look to pixels of the image."""
        width, height = self._shown_wh()
        x, y = np.moveaxis(points_xy - self._border_px(), -1, 0)
        turns = self.view.quarter_turns % 4
        x, y = [(x, y), (width - y, x), (width - x, height - y), (y, height - x)][turns]
        x0, y0, x1, y1 = self.part
        return np.stack([x * (x1 - x0) / width + x0, y * (y1 - y0) / height + y0], axis=-1)


def tiles(view: View, size_wh: tuple[int, int]) -> list[Tile]:
    """Give the tiles of a view on an image, row by row; one where it fits.

    Args:
        view: How the image is shown.
        size_wh: Width and height of the image in pixels.

    Example:
        >>> [tile.part for tile in tiles(View(2.0), (1000, 500))]
        [(0, 0, 564, 500), (384, 0, 1000, 500)]
    """
    columns, rows = (_cuts(side, view.scale) for side in size_wh)
    is_whole = len(columns) == len(rows) == 1
    largest_px = view.largest_px if is_whole else min(view.largest_px, OVERLAP_PX)
    return [
        Tile(view, (x0, y0, x1, y1), (own_x0, own_y0, own_x1, own_y1), largest_px)
        for y0, y1, own_y0, own_y1 in rows
        for x0, x1, own_x0, own_x1 in columns
    ]


def windows(
    view: View, size_wh: tuple[int, int], points_xy: NDArray[np.float64]
) -> list[Tile] | None:
    """Give the windows of an upright view around some points, row by row.

    All windows have the same size, whatever the image. A point lies at least 32 px inside
    its window, except towards a border of the image, which is near.

    Args:
        view: How they are shown; without turns or margin.
        size_wh: Width and height of the image in pixels.
        points_xy: ``(N, 2)``, pixels of the image; those outside count as at the border.

    Returns:
        Windows that answer for the points, and overlap by a few pixels in what they answer
        for; None where the view in one piece costs less.

    Example:
        >>> [tile.part for tile in windows(View(2.0), (500, 500), np.array([[70.0, 490.0]]))]
        [(0, 384, 128, 500)]
    """
    cells = np.floor((points_xy - _ROOM_PX) / _GRID_PX)
    # The last window of a side reaches the border, so that it owns what lies beyond, too.
    last = np.ceil((np.array(size_wh) - WINDOW_PX) / _GRID_PX)
    cells = np.unique(np.clip(cells, 0, np.maximum(last, 0))[:, ::-1], axis=0).astype(int)
    if len(cells) * WINDOW_PX**2 > _WINDOWS_PAY * size_wh[0] * size_wh[1]:
        return None
    found = []
    for row, column in cells.tolist():
        x0, x1, own_x0, own_x1 = _window(column, size_wh[0])
        y0, y1, own_y0, own_y1 = _window(row, size_wh[1])
        found.append(
            Tile(
                view,
                (x0, y0, x1, y1),
                (own_x0, own_y0, own_x1, own_y1),
                min(view.largest_px, 2 * _ROOM_PX * view.scale),
                canvas_px=round(WINDOW_PX * view.scale),
            )
        )
    return found


def _window(cell: int, side: int) -> tuple[int, int, float, float]:
    """Give begin and end of a window on one axis, and of what it owns."""
    begin, end = cell * _GRID_PX, cell * _GRID_PX + WINDOW_PX
    inset = _ROOM_PX - _SEAM_PX
    return (
        begin,
        min(end, side),
        begin + inset if begin > 0 else -np.inf,
        end - inset if end < side else np.inf,
    )


def _cuts(side: int, scale: float) -> list[tuple[int, int, float, float]]:
    """Cut a side into parts that overlap: begin, end, begin and end of what each owns."""
    shown = round(side * scale)
    if shown <= TILE_PX:
        return [(0, side, -np.inf, np.inf)]
    room = TILE_PX - OVERLAP_PX - ceil(_GRID_PX * scale)
    n = ceil((shown - OVERLAP_PX) / room)
    edges = [side * i / n for i in range(n + 1)]
    half = OVERLAP_PX / 2 / scale
    return [
        (
            max(0, floor((low - half) / _GRID_PX) * _GRID_PX),
            min(side, ceil(high + half)),
            low if low > 0 else -np.inf,
            high if high < side else np.inf,
        )
        for low, high in pairwise(edges)
    ]


def resize(image: Image, size_wh: tuple[int, int]) -> Image:
    """Scale an image: means of the covered pixels downward, linear upward.

    Args:
        image: ``(H, W, 3)`` uint8.
        size_wh: Width and height wanted, in pixels, at least 1.
    """
    height, width = image.shape[:2]
    if (width, height) == size_wh:
        return image
    # A heavy library that ``import veilset`` has no need of.
    import cv2

    smaller = size_wh[0] <= width and size_wh[1] <= height
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_wh, interpolation=how), dtype=np.uint8)
