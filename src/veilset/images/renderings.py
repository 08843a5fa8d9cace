# SPDX-License-Identifier: Apache-2.0
"""An image file as software shows it: one picture, or several.

Viewers put a transparent picture on white or on black, and some show its colours alone; some
apply the file's colour profile or gamma. What is a blank sheet in one can be a portrait in
another, so that a detector has to see all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veilset.images.colours import managed, stated_colours
from veilset.images.decode import decode_stored
from veilset.images.formats import DEFAULT_MAX_BYTES, DEFAULT_MAX_PIXELS, ImageInfo
from veilset.images.orientation import orient
from veilset.images.pictures import Native, eight_bits, rgb_pixels
from veilset.types import Image

_WHITE, _BLACK = 255, 0


def decode_renderings(
    data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[tuple[Image, ...], ImageInfo]:
    """Decode an image file in each way that shows another picture.

    Args:
        data: The file.
        max_pixels: Most pixels, checked before decoding.
        max_bytes: Most bytes, checked before anything.

    Returns:
        Pictures as ``decode_image`` gives them, of one size. The first is its very picture: the
        colours as stored. Those of the following come after it that differ from what is there
        already: the colours by profile or gamma, if they are far from the stored ones; and if
        alpha is not the same everywhere, both on white and on black, and alpha as gray. And
        what ``inspect_image`` gives.

    Raises:
        DecodeError: With the reason why the image cannot be processed.
    """
    stored, info = decode_stored(data, max_pixels=max_pixels, max_bytes=max_bytes)
    shown = [rgb_pixels(stored)]
    by_profile = managed(shown[0], stated_colours(data, max_pixels))
    if by_profile is not None:
        shown.append(by_profile)
    for other in _through_alpha(list(shown), stored):
        if not any(np.array_equal(other, each) for each in shown):
            shown.append(other)
    return tuple(np.ascontiguousarray(orient(each, info.orientation)) for each in shown), info


def _through_alpha(pictures: Sequence[Image], stored: Native) -> list[Image]:
    """Give what else viewers show, each ``(H, W, 3)``; nothing without a varying alpha."""
    if stored.ndim == 2 or stored.shape[2] == 3:
        return []
    alpha = eight_bits(stored[:, :, -1:])
    if alpha.min() == alpha.max():
        return []
    composed = [_on(each, alpha, ground) for each in pictures for ground in (_WHITE, _BLACK)]
    return [*composed, np.repeat(alpha, 3, axis=2)]


def _on(colours: Image, alpha: Image, ground: int) -> Image:
    """Compose 8-bit colours and alpha over a gray, in integers: half a level is rounded up."""
    opacity = alpha.astype(np.uint16)
    mixed = colours * opacity + ground * (255 - opacity)
    return ((mixed + 127) // 255).astype(np.uint8)
