# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: many small pictures on a page, with the names of their images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from PIL import Image as PilImage
from PIL import ImageDraw

from veilset.audit.lettering import own_font, shortened, writable
from veilset.types import Image

N_COLUMNS, N_ROWS = 6, 5
TILE_WH = (300, 240)
"""Room for a small picture, in pixels."""

_GAP_PX, _EDGE_PX, _HEAD_PX, _CAPTION_PX = 18, 30, 44, 46
_INK, _MUTED, _GROUND, _MOUNT = (29, 28, 26), (94, 90, 84), (255, 255, 255), (236, 233, 227)


@dataclass(frozen=True, slots=True)
class Tile:
    """One small picture.

    Attributes:
        image_id: Name of its image.
        note: Told below the name.
        picture: ``(H, W, 3)`` uint8 RGB; what is larger than ``TILE_WH`` is made smaller.
    """

    image_id: str
    note: str
    picture: Image


def make_sheets(tiles: Iterable[Tile], head: str) -> Iterator[PilImage.Image]:
    """Give page after page of ``N_COLUMNS`` by ``N_ROWS``, holding one at a time.

    Args:
        tiles: In the order of the pages, taken as they are needed.
        head: Told at the top of each page, before its number.
    """
    source = iter(tiles)
    number = 0
    while batch := list(islice(source, N_COLUMNS * N_ROWS)):
        number += 1
        yield _sheet(batch, f"{head}   {number}")


def _sheet(tiles: Sequence[Tile], head: str) -> PilImage.Image:
    """Draw one page; the last one ends below its last row."""
    step_x, step_y = TILE_WH[0] + _GAP_PX, TILE_WH[1] + _CAPTION_PX + _GAP_PX
    n_rows = -(-len(tiles) // N_COLUMNS)
    width = 2 * _EDGE_PX + N_COLUMNS * step_x - _GAP_PX
    height = 2 * _EDGE_PX + _HEAD_PX + n_rows * step_y - _GAP_PX
    page = PilImage.new("RGB", (width, height), _GROUND)
    draw = ImageDraw.Draw(page)
    draw.text((_EDGE_PX, _EDGE_PX + 18), writable(head), fill=_INK, font=own_font(20), anchor="ls")
    for place, tile in enumerate(tiles):
        row, column = divmod(place, N_COLUMNS)
        left, top = _EDGE_PX + column * step_x, _EDGE_PX + _HEAD_PX + row * step_y
        picture = PilImage.fromarray(tile.picture)
        picture.thumbnail(TILE_WH)
        right, bottom = left + TILE_WH[0] - 1, top + TILE_WH[1] - 1
        draw.rectangle((left, top, right, bottom), fill=_MOUNT)
        middle = (
            left + (TILE_WH[0] - picture.width) // 2,
            top + (TILE_WH[1] - picture.height) // 2,
        )
        page.paste(picture, middle)
        name = shortened(writable(tile.image_id), own_font(14), TILE_WH[0])
        draw.text((left, bottom + 19), name, fill=_INK, font=own_font(14), anchor="ls")
        note = shortened(writable(tile.note), own_font(13), TILE_WH[0])
        draw.text((left, bottom + 37), note, fill=_MUTED, font=own_font(13), anchor="ls")
    return page


def tile_side_px(size_wh: tuple[int, int]) -> int:
    """Give the longer side that an image of that size has as a small picture.

    Example:
        >>> tile_side_px((400, 100)), tile_side_px((100, 400)), tile_side_px((4000, 3800))
        (300, 240, 252)
    """
    factor = min(TILE_WH[0] / size_wh[0], TILE_WH[1] / size_wh[1])
    return max(1, int(factor * max(size_wh)))
