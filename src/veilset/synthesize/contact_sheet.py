# SPDX-License-Identifier: Apache-2.0
"""Faces in rows beside each other, to be looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from veilset.errors import ConfigError
from veilset.files import make_private, write_atomically, writing
from veilset.synthesize.inputs import Pictures
from veilset.types import Image

GAP_PX = 2


def contact_sheet(columns: Sequence[Pictures]) -> Image:
    """Put pictures into a table, white between them.

    Args:
        columns: At least one of ``(N, H, W, 3)`` uint8, all of one shape, N at least 1; as
            originals, contexts, reconstructions.

    Returns:
        ``(N (H + 2) - 2, len(columns) (W + 2) - 2, 3)`` uint8: a face in each row.

    Raises:
        ConfigError: If the shapes differ, or there is nothing to be seen.

    Example:
        >>> contact_sheet([np.zeros((1, 4, 3, 3), np.uint8)] * 2).shape
        (4, 8, 3)
    """
    shapes = {each.shape for each in columns}
    if len(shapes) != 1 or not next(iter(shapes))[0]:
        raise ConfigError(
            f"Columns of the shapes {sorted(shapes)} make no sheet. Give pictures of one shape."
        )
    gaps = ((0, 0), (0, GAP_PX), (0, GAP_PX), (0, 0))
    padded = [np.pad(each, gaps, constant_values=255) for each in columns]
    rows = np.concatenate(padded, axis=2)
    sheet: Image = np.concatenate(list(rows))[:-GAP_PX, :-GAP_PX]
    return sheet


def write_sheet(path: Path, columns: Sequence[Pictures]) -> None:
    """Write a sheet as PNG; its folder, which will hold faces, is made if missing.

    Raises:
        ConfigError, RunError: If there is nothing to be seen, or it cannot be written.
    """
    with writing(path.parent):
        make_private(path.parent)
    sink = io.BytesIO()
    PillowImage.fromarray(contact_sheet(columns)).save(sink, "PNG")
    write_atomically(path, sink.getvalue())
