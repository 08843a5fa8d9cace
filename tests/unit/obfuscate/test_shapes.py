# SPDX-License-Identifier: Apache-2.0
"""Shapes: what of them is replaced, and how they fade."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from veilset.obfuscate.mask import OPAQUE, paste, ramp
from veilset.obfuscate.shapes import Shape, fading, join, paste_shape

CORE = (20, 10, 40, 40)


def test_the_edge_fades_with_the_distance() -> None:
    replaced = np.random.default_rng(0).random((60, 70)) < 0.004
    away = ndimage.distance_transform_edt(~replaced)
    t = np.clip(1 - away / 8, 0, 1)
    np.testing.assert_array_equal(fading(replaced, 7), np.rint(OPAQUE * t * t * (3 - 2 * t)))


def test_along_a_straight_edge_it_fades_as_that_of_a_box() -> None:
    replaced = np.zeros((5, 30), np.bool_)
    replaced[:, 10:20] = True
    weight = fading(replaced, 6)
    np.testing.assert_array_equal(weight, np.tile(ramp(0, 10, 20, 30, 6), (5, 1)))


def test_a_shape_is_replaced_whole_and_nothing_beyond_its_feather() -> None:
    rng = np.random.default_rng(1)
    target = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    mask = np.zeros((30, 50), np.bool_)
    mask[3:6, 5:30] = True
    shape = join(CORE, mask, (10, 2, 60, 32))
    assert shape.window == (15, 5, 40, 40)
    whole = np.zeros((60, 80), np.bool_)
    shape.mark(whole)
    expected = np.zeros((60, 80), np.bool_)
    expected[10:40, 20:40] = True
    expected[5:8, 15:40] = True
    np.testing.assert_array_equal(whole, expected)
    content = rng.integers(0, 256, (45, 45, 3), dtype=np.uint8)
    result = target.copy()
    paste_shape(result, content, (10, 0, 55, 45), shape, 4)
    placed = np.zeros_like(target)
    placed[0:45, 10:55] = content
    np.testing.assert_array_equal(result[whole], placed[whole])
    far = ndimage.distance_transform_edt(~whole) >= 5
    np.testing.assert_array_equal(result[far], target[far])
    shape.unmark(whole)
    assert not whole.any()


def test_a_box_is_pasted_as_a_box() -> None:
    rng = np.random.default_rng(2)
    results = [rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)] * 2
    results = [each.copy() for each in results]
    content = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    window = (10, 5, 50, 45)
    paste_shape(results[0], content, window, Shape(CORE), 5)
    paste(results[1], content, window, CORE, 5)
    np.testing.assert_array_equal(results[0], results[1])
    inner = np.ones((5, 5), np.bool_)
    assert join(CORE, inner, (22, 12, 27, 17)) == Shape(CORE)
