# SPDX-License-Identifier: Apache-2.0
"""The ellipse over a face: nothing of it outside, and no pixel at the rim left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.networks.drawn_landmarks import drawn_landmarks
from veilset.errors import ConfigError
from veilset.networks.face_ellipse import Ellipse, face_ellipse, forehead
from veilset.networks.landmarks import BROWS, CHIN, NOSE_BOTTOM


@st.composite
def ellipses(draw: st.DrawFn) -> Ellipse:
    centre = draw(st.floats(-5, 25)), draw(st.floats(-5, 25))
    a, b = draw(st.floats(0.05, 12)), draw(st.floats(0.05, 12))
    turn = draw(st.floats(0, np.pi))
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    form = axes @ np.diag([1 / a**2, 1 / b**2]) @ axes.T
    return Ellipse(centre, (form[0, 0], form[0, 1], form[1, 1]))


@given(ellipses())
@settings(max_examples=150, deadline=None)
def test_every_point_of_the_ellipse_lies_in_a_masked_pixel(ellipse: Ellipse) -> None:
    mask = ellipse.mask((20, 20))
    form = np.array([[ellipse.form[0], ellipse.form[1]], [ellipse.form[1], ellipse.form[2]]])
    around = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([np.cos(around), np.sin(around)], axis=1)
    # The rim, and rings inside it: what the inverse root of the form makes of circles.
    lengths, axes = np.linalg.eigh(form)
    rim = circle @ (axes / np.sqrt(lengths)).T
    points = np.concatenate([rim * share for share in (1.0, 0.7, 0.3, 0.0)]) + ellipse.centre_xy
    inside = ((points >= 0) & (points < 20)).all(axis=1)
    x, y = np.floor(points[inside]).astype(int).T
    assert mask[y, x].all()


@given(ellipses())
@settings(max_examples=150, deadline=None)
def test_no_pixel_is_masked_that_the_ellipse_does_not_touch(ellipse: Ellipse) -> None:
    grid = np.linspace(0, 1, 21)
    for y, x in np.argwhere(ellipse.mask((20, 20))):
        places = np.stack(np.meshgrid(x + grid, y + grid), axis=-1)
        # The grid may miss a corner by half its step; the form grows that much at most.
        steepest = 1 / np.sqrt(np.linalg.eigvalsh(_matrix(ellipse)).max())
        reach = 1 + 0.05 / steepest
        centre = np.array(ellipse.centre_xy)
        holds = ((centre >= (x, y)) & (centre < (x + 1, y + 1))).all()
        assert holds or np.sqrt(ellipse.level(places).min()) <= reach


def _matrix(ellipse: Ellipse) -> np.ndarray:
    xx, xy, yy = ellipse.form
    return np.array([[xx, xy], [xy, yy]])


@pytest.mark.parametrize("turn", [0.0, 0.4, -1.2, 3.0])
def test_the_ellipse_of_a_face_holds_all_landmarks_and_the_forehead(turn: float) -> None:
    points = drawn_landmarks(turn=turn)
    ellipse = face_ellipse(points, margin=0.0)
    assert ellipse.level(np.concatenate([points, forehead(points)])).max() <= 1 + 1e-9


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_any_68_points_lie_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(50, 20, (68, 2)) * (1, rng.choice([1.0, 0.01, 0.0]))
    ellipse = face_ellipse(points)
    assert ellipse.level(points).max() <= 1
    assert (np.linalg.eigvalsh(_matrix(ellipse)) > 0).all()


def test_the_ellipse_is_near_the_smallest_there_is() -> None:
    points = drawn_landmarks()
    found = np.linalg.det(_matrix(face_ellipse(points, margin=0.0))) ** -0.5
    # Any ellipse around the points is at least as large as the smallest; so is this disc.
    everything = np.concatenate([points, forehead(points)])
    middle = (everything.max(axis=0) + everything.min(axis=0)) / 2
    assert found < 0.9 * np.square(everything - middle).sum(axis=1).max()
    stretched = (everything - middle) / np.ptp(everything, axis=0)
    around = np.square(stretched).sum(axis=1).max() * np.prod(np.ptp(everything, axis=0))
    assert found <= around * 1.001


def test_the_margin_scales_both_axes() -> None:
    points = drawn_landmarks()
    narrow, wide = face_ellipse(points, margin=0.0), face_ellipse(points, margin=0.5)
    np.testing.assert_allclose(np.array(narrow.form), np.array(wide.form) * 1.5**2)
    assert narrow.centre_xy == wide.centre_xy


@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_the_forehead_lies_a_third_above_the_brows(turn: float) -> None:
    points = drawn_landmarks(turn=turn)
    middle = points[BROWS].mean(axis=0)
    rise = forehead(points) - points[BROWS]
    up = (middle - points[CHIN]) / np.hypot(*(middle - points[CHIN]))
    thirds = (middle - points[NOSE_BOTTOM]) @ up, (points[NOSE_BOTTOM] - points[CHIN]) @ up
    np.testing.assert_allclose(rise, np.tile(max(thirds) * up, (10, 1)))


@pytest.mark.parametrize(
    ("points", "margin"),
    [
        (np.zeros((68, 2)), 0.06),
        (np.zeros((5, 2)), 0.06),
        (np.full((68, 2), np.nan), 0.06),
        (drawn_landmarks(), -0.1),
        (drawn_landmarks(), np.nan),
    ],
)
def test_what_is_no_face_is_refused(points: np.ndarray, margin: float) -> None:
    with pytest.raises(ConfigError, match="Give"):
        face_ellipse(points, margin=margin)
