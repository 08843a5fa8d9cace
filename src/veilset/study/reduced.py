# SPDX-License-Identifier: Apache-2.0
"""The cut of a picture, fast: a JPEG is decoded no larger than the cut needs, by OpenCV.

The pixels differ a little from those of torchvision's transforms, which decode in full and
scale with another filter: only recipes that ask for it (``decode: reduced``) get them.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image as PillowImage

from veilset.errors import DecodeError
from veilset.images.pictures import reader_errors
from veilset.study.crops import IntBox, scaled_box
from veilset.study.kept import KeptPictures
from veilset.study.pictures import FolderPictures, PictureSource, named_errors
from veilset.types import Image

Choose = Callable[[tuple[int, int]], IntBox]
"""From width and height of a picture to the cut."""

_SCALES = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    1: cv2.IMREAD_COLOR,
}


def cut_reduced(source: PictureSource, image_id: str, choose: Choose, side: int) -> Image:
    """Cut a picture and scale the cut to a square.

    Args:
        source: Gives the picture. Files of a folder are decoded here; what other sources
            give is only cut and scaled.
        image_id: Its name.
        choose: Gives the cut, told the width and height of the whole picture.
        side: Side of the square in pixels.

    Returns:
        ``(side, side, 3)`` uint8 RGB.

    Raises:
        DatasetError: If the picture cannot be had; it names the setting and the image.
    """
    if isinstance(source, FolderPictures):
        data = source.data(image_id)
        if data.startswith(b"\xff\xd8"):
            with named_errors(source.setting, image_id), reader_errors("JPEG"):
                with PillowImage.open(io.BytesIO(data)) as header:
                    size_wh, mode = header.size, header.mode
                # OpenCV makes other colours of CMYK.
                if mode in ("L", "RGB"):
                    return _from_jpeg(data, size_wh, choose(size_wh), side)
    if isinstance(source, KeptPictures):
        pixels = source.pixels(image_id)
    else:
        pixels = np.asarray(source.read(image_id))
    x0, y0, x1, y1 = choose((pixels.shape[1], pixels.shape[0]))
    return _scaled(pixels[y0:y1, x0:x1], side)


def _from_jpeg(data: bytes, size_wh: tuple[int, int], box: IntBox, side: int) -> Image:
    factor = factor_for((box[2] - box[0], box[3] - box[1]), side)
    flags = _SCALES[factor] | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise DecodeError("unreadable", "The JPEG file is corrupt. Replace the file.")
    new_wh = (pixels.shape[1], pixels.shape[0])
    x0, y0, x1, y1 = (round(value) for value in scaled_box(box, size_wh, new_wh))
    cut = pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    return _scaled(cut, side)[:, :, ::-1]


def factor_for(cut_wh: tuple[int, int], side: int) -> int:
    """Give how many times smaller a JPEG may be decoded, of those that its blocks allow.

    Args:
        cut_wh: Width and height of the cut, in pixels of the whole picture.
        side: Side of the square that is wanted, in pixels.

    Example:
        >>> [factor_for((width, 600), 64) for width in (63, 127, 128, 300, 512)]
        [1, 1, 2, 4, 8]
    """
    return next(factor for factor in _SCALES if factor == 1 or min(cut_wh) >= factor * side)


def _scaled(cut: Image, side: int) -> Image:
    # The mean over what falls into a pixel; where there is less than one, between neighbours.
    way = cv2.INTER_AREA if min(cut.shape[:2]) >= side else cv2.INTER_LINEAR
    scaled: Image = cv2.resize(cut, (side, side), interpolation=way)
    return scaled
