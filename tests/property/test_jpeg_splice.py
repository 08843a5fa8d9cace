# SPDX-License-Identifier: Apache-2.0
"""Whatever the JPEG file and the footprint: outside nothing changes, inside everything does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.images.jpeg_samples import drawn, exif_block, pillow_pixels, sampled
from veilset.images.coefficients import read_coefficients
from veilset.images.compare import find_outside_changes
from veilset.images.decode import decode_image
from veilset.images.encode import replace_pixels
from veilset.images.formats import ImageInfo
from veilset.images.jpeg_blocks import block_scale, touched_blocks
from veilset.images.jpeg_markers import parse_jpeg, quantisation_tables
from veilset.images.orientation import orient, stored_boxes, unorient
from veilset.types import Image, IntBoxes

SAMPLINGS = ["4:4:4", "4:2:2", "4:2:0", "4:1:1", "4:4:0", "gray"]


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, int, IntBoxes]:
    """A JPEG file of any kind, its orientation and a footprint on the picture as seen."""
    width, height = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    sampling = draw(st.sampled_from(SAMPLINGS))
    orientation = draw(st.integers(1, 8))
    data = sampled(
        drawn(width, height, draw(st.integers(0, 1000))),
        sampling,
        exif_block(orientation),
        quality=draw(st.integers(1, 100)),
        progressive=draw(st.booleans()),
        optimize=draw(st.booleans()),
        rst_interval=draw(st.sampled_from([0, 0, 1, 3])),
    )
    seen_w, seen_h = (height, width) if orientation >= 5 else (width, height)
    boxes = []
    for _ in range(draw(st.integers(1, 3))):
        x0, y0 = draw(st.integers(0, seen_w - 1)), draw(st.integers(0, seen_h - 1))
        boxes.append([x0, y0, draw(st.integers(x0 + 1, seen_w)), draw(st.integers(y0 + 1, seen_h))])
    return data, orientation, np.array(boxes, dtype=np.int64)


def painted(image: Image, boxes: IntBoxes, seed: int = 7) -> Image:
    other = drawn(image.shape[1], image.shape[0], seed)
    result = image.copy()
    for x0, y0, x1, y1 in boxes:
        result[y0:y1, x0:x1] = other[y0:y1, x0:x1]
    return result


@given(files())
def test_outside_is_untouched_and_inside_comes_from_the_new_pixels_alone(case):
    data, orientation, boxes = case
    image, info = decode_image(data)
    assert info.orientation == orientation
    output = replace_pixels(data, painted(image, boxes), boxes)
    old, new = parse_jpeg(data), parse_jpeg(output)
    assert (new.size_wh, new.components) == (old.size_wh, old.components)
    assert new.is_progressive == old.is_progressive
    np.testing.assert_array_equal(quantisation_tables(old), quantisation_tables(new))
    stored = stored_boxes(boxes, info.size_wh, orientation)
    touched = touched_blocks(old, stored)
    before, after = read_coefficients(old), read_coefficients(new)
    for a, b, blocks in zip(before, after, touched, strict=True):
        np.testing.assert_array_equal(a[~blocks], b[~blocks])
    assert find_outside_changes(data, output, boxes) == []
    # The same new pixels over another original give the same blocks, wherever every pixel
    # of the block is new: nothing of the original is left in them.
    blank = replace_pixels(data, np.full_like(image, 90), _everywhere(info))
    again = replace_pixels(blank, painted(image, boxes), boxes)
    for a, b, blocks in zip(after, read_coefficients(parse_jpeg(again)), touched, strict=True):
        np.testing.assert_array_equal(a[blocks], b[blocks])


def _everywhere(info: ImageInfo) -> IntBoxes:
    return np.array([[0, 0, *info.size_wh]], dtype=np.int64)


@given(files())
def test_decoded_pixels_away_from_touched_blocks_stay(case):
    data, orientation, boxes = case
    image, info = decode_image(data)
    output = replace_pixels(data, painted(image, boxes), boxes)
    near = np.zeros(info.stored_wh[::-1], dtype=bool)
    jpeg = parse_jpeg(data)
    masks = touched_blocks(jpeg, stored_boxes(boxes, info.size_wh, orientation))
    for index, mask in enumerate(masks):
        down, across = block_scale(jpeg, index)
        for row, column in zip(*np.nonzero(mask), strict=True):
            y, x = row * 8 * down, column * 8 * across
            # One chroma sample beyond the block takes part in its interpolation.
            near[
                max(0, y - down) : y + 9 * down,
                max(0, x - across) : x + 9 * across,
            ] = True
    before, after = pillow_pixels(data), pillow_pixels(output)
    np.testing.assert_array_equal(before[~near], after[~near])


@given(files())
def test_inside_is_the_wanted_picture_up_to_quantisation(case):
    data, orientation, _ = case
    image, info = decode_image(data)
    jpeg = parse_jpeg(data)
    wanted = painted(image, _everywhere(info))
    output = replace_pixels(data, wanted, _everywhere(info))
    luma = unorient(wanted, orientation).astype(np.float64) @ [0.299, 0.587, 0.114]
    table = quantisation_tables(jpeg)[0]
    got = pillow_pixels(output).astype(np.float64) @ [0.299, 0.587, 0.114]
    # A coefficient is off by half a step at most, and a pixel of an orthonormal transform
    # by less than the root of the summed squares; 8-bit rounding and the clipping of
    # colours outside the gamut come on top, on average a few levels.
    bound = float(np.sqrt(((table / 2) ** 2).sum())) / 8 + 6
    error = np.sqrt(((got - luma) ** 2).mean())
    assert error <= bound + 12 * (len(jpeg.components) == 3)
    np.testing.assert_array_equal(orient(pillow_pixels(output), orientation).shape, image.shape)
