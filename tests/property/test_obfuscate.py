# SPDX-License-Identifier: Apache-2.0
"""What holds for every picture and every set of regions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.obfuscators import NAMES, made
from veilset.boxes import outer_pixels, region_boxes
from veilset.obfuscate.grid import cell_edges
from veilset.obfuscate.mask import largest_first
from veilset.obfuscate.mosaic import Mosaic
from veilset.obfuscate.synthesize import Synthesize
from veilset.obfuscate.veil import Veil
from veilset.types import Image, Region

METHODS = {name: made(name) for name in NAMES}
OPAQUE_METHODS = ("overlay", "blackout", "mask")
names = st.sampled_from(sorted(METHODS))

coordinate = st.one_of(
    st.integers(-30, 130).map(float), st.floats(-30, 130, allow_nan=False, width=32)
)
side = st.one_of(st.integers(0, 60).map(float), st.floats(0, 60, allow_nan=False, width=32))


@st.composite
def regions(draw, at_most: int = 5) -> list[Region]:
    boxes = draw(st.lists(st.tuples(coordinate, coordinate, side, side), max_size=at_most))
    return [Region((x, y, x + w, y + h)) for x, y, w, h in boxes]


@st.composite
def pictures(draw) -> Image:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width, height = draw(st.integers(1, 110)), draw(st.integers(1, 110))
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def covered(boxes, image: Image) -> np.ndarray:
    mask = np.zeros(image.shape[:2], dtype=bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def shuffled_in_cells(image: Image, core, cells: int, seed: int) -> Image:
    """Move pixels about within each cell of a core: every mean stays, exactly."""
    x0, y0, x1, y1 = core
    down, across = cell_edges(y1 - y0, cells) + y0, cell_edges(x1 - x0, cells) + x0
    other, rng = image.copy(), np.random.default_rng(seed)
    for top, bottom in pairwise(down):
        for left, right in pairwise(across):
            cell = other[top:bottom, left:right].reshape(-1, 3)
            other[top:bottom, left:right] = rng.permutation(cell).reshape(
                bottom - top, right - left, 3
            )
    return other


@given(names, pictures(), regions())
def test_only_footprints_change_and_the_geometry_is_nested(name, image, found):
    method = METHODS[name]
    size_wh = (image.shape[1], image.shape[0])
    before = image.copy()
    out = method.obfuscate(image, found)
    assert np.array_equal(image, before)
    core, footprint = method.core(found, size_wh), method.footprint(found, size_wh)
    touched = outer_pixels(region_boxes(found), size_wh)
    seen = covered(touched, image)
    assert not (seen & ~covered(core, image)).any()
    assert not (covered(core, image) & ~covered(footprint, image)).any()
    outside = ~covered(footprint, image)
    assert np.array_equal(out[outside], image[outside])


@given(names, pictures(), regions(), st.randoms(use_true_random=False))
def test_order_does_not_matter(name, image, found, random):
    method = METHODS[name]
    mixed = list(found)
    random.shuffle(mixed)
    assert np.array_equal(method.obfuscate(image, mixed), method.obfuscate(image, found))


@given(names, st.integers(0, 1000), st.integers(0, 40), st.integers(0, 40), regions(at_most=3))
def test_a_crop_gives_the_bytes_of_the_whole_picture(name, seed, left, top, found):
    # All that a method may read lies within 130 px of regions of at most 60 px.
    whole = np.random.default_rng(seed).integers(0, 256, (460, 460, 3), dtype=np.uint8)
    method = METHODS[name]
    moved = [Region((b[0] + 180, b[1] + 180, b[2] + 180, b[3] + 180)) for b in boxes_of(found)]
    shifted = [Region((b[0] - left, b[1] - top, b[2] - left, b[3] - top)) for b in boxes_of(moved)]
    out = method.obfuscate(whole, moved)
    crop = method.obfuscate(np.ascontiguousarray(whole[top:450, left:445]), shifted)
    assert np.array_equal(out[top:450, left:445], crop)


def boxes_of(found: list[Region]) -> list[tuple[float, float, float, float]]:
    # Halves survive the shift exactly; other fractions would be rounded by it.
    return [tuple(round(v * 2) / 2 for v in region.box_xyxy) for region in found]  # type: ignore[misc]


@given(pictures(), regions(at_most=1), st.sampled_from([1, 2, 5, 6, 8]), st.integers(0, 99))
@pytest.mark.parametrize("method", [Veil, Mosaic])
def test_the_output_is_a_function_of_the_means_alone(method, image, found, cells, seed):
    obfuscator = method(cells=cells)
    cores = largest_first(obfuscator.core(found, (image.shape[1], image.shape[0])))
    for core in cores:
        other = shuffled_in_cells(image, core, cells, seed)
        assert np.array_equal(
            obfuscator.obfuscate(other, found), obfuscator.obfuscate(image, found)
        )


@given(pictures(), regions(), st.integers(0, 99))
@pytest.mark.parametrize("method", [Veil(), Mosaic()])
def test_overlapping_regions_tell_no_more_than_the_largest(method, image, found, seed):
    cores = largest_first(method.core(found, (image.shape[1], image.shape[0])))
    if cores:
        other = shuffled_in_cells(image, cores[0], method.cells, seed)
        assert np.array_equal(method.obfuscate(other, found), method.obfuscate(image, found))


@given(pictures(), regions())
@pytest.mark.parametrize("name", OPAQUE_METHODS)
def test_nothing_of_a_core_reaches_the_output(name, image, found):
    method = METHODS[name]
    hidden = covered(method.core(found, (image.shape[1], image.shape[0])), image)
    other = image.copy()
    other[hidden] = 255 - other[hidden]
    assert np.array_equal(
        method.obfuscate(other, found)[hidden], method.obfuscate(image, found)[hidden]
    )
    again = method.obfuscate(method.obfuscate(image, found), found)
    assert np.array_equal(again[hidden], method.obfuscate(image, found)[hidden])


@given(pictures(), regions())
def test_inpainting_reads_nothing_of_a_core(image, found):
    method = METHODS["inpaint"]
    hidden = covered(method.core(found, (image.shape[1], image.shape[0])), image)
    other = image.copy()
    other[hidden] = 255 - other[hidden]
    assert np.array_equal(method.obfuscate(other, found), method.obfuscate(image, found))


@given(pictures(), regions())
def test_no_pixel_of_a_region_in_which_a_face_is_drawn_has_any_effect(image, found):
    method, size_wh = METHODS["synthesize"], (image.shape[1], image.shape[0])
    assert isinstance(method, Synthesize)
    is_drawn = [not why for why in method.substituted(found, size_wh)]
    hidden = covered(method.core(found, size_wh)[np.flatnonzero(is_drawn)], image)
    other = image.copy()
    other[hidden] = 255 - other[hidden]
    assert np.array_equal(method.obfuscate(other, found), method.obfuscate(image, found))


@given(pictures(), regions())
def test_what_is_veiled_has_no_effect_on_what_is_drawn(image, found):
    method, size_wh = METHODS["synthesize"], (image.shape[1], image.shape[0])
    assert isinstance(method, Synthesize)
    is_veiled = [bool(why) for why in method.substituted(found, size_wh)]
    hidden = covered(method.core(found, size_wh)[np.flatnonzero(is_veiled)], image)
    allowed = covered(method.footprint(found, size_wh)[np.flatnonzero(is_veiled)], image)
    other = image.copy()
    other[hidden] = 255 - other[hidden]
    before, after = method.obfuscate(image, found), method.obfuscate(other, found)
    assert np.array_equal(before[~allowed], after[~allowed])
