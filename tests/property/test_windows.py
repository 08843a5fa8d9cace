# SPDX-License-Identifier: Apache-2.0
"""Windows for any picture and any hints: each hint is shown, with room around it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from veilset.detect.views import WINDOW_PX, View, windows

SIDE = st.integers(1, 2_048)
POINT = st.tuples(st.floats(-50, 2_100), st.floats(-50, 2_100))
ROOM = 32


@given(SIDE, SIDE, st.lists(POINT, min_size=1, max_size=12), st.sampled_from([1.5, 2.5]))
def test_each_hint_lies_well_inside_a_window_that_answers_for_it(width, height, rows, scale):
    size = (width, height)
    points = np.clip(np.array(rows), -50, np.array(size) + 50.0)
    view = View(scale, largest_px=400)
    found = windows(view, size, points)
    if found is None:
        # Never more windows than hints.
        assert len(points) * WINDOW_PX**2 > 0.7 * width * height
        return
    assert len(found) * WINDOW_PX**2 <= 0.7 * width * height
    assert len({window.part for window in found}) == len(found) <= len(points)
    for x, y in points:
        owners = [w for w in found if _owns(w.own, x, y)]
        assert owners
        assert any(_has_room(w.part, size, (x, y)) for w in owners)
    for window in found:
        x0, y0, x1, y1 = window.part
        assert x0 % 64 == y0 % 64 == 0
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert (
            window.show(np.zeros((height, width, 3), np.uint8)).shape[:2]
            == (round(WINDOW_PX * scale),) * 2
        )


@given(SIDE, SIDE, st.lists(POINT, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_the_hints_does_not_matter(width, height, rows, random):
    turned = list(rows)
    random.shuffle(turned)
    view = View(1.5)
    assert windows(view, (width, height), np.array(rows)) == windows(
        view, (width, height), np.array(turned + rows[:1])
    )


def _owns(own: tuple[float, float, float, float], x: float, y: float) -> bool:
    return own[0] <= x < own[2] and own[1] <= y < own[3]


def _has_room(
    part: tuple[int, int, int, int], size: tuple[int, int], point: tuple[float, float]
) -> bool:
    """Whether the point is at least ``ROOM`` from every edge that is not the picture's."""
    return all(
        (begin == 0 or at >= begin + ROOM) and (end == side or at <= end - ROOM)
        for at, begin, end, side in zip(point, part[:2], part[2:], size, strict=True)
    )
