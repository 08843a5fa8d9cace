# SPDX-License-Identifier: Apache-2.0
"""Crops: where they lie, what they show, which of their pixels hide something."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.networks.drawn_landmarks import drawn_landmarks
from veilset.errors import ConfigError
from veilset.images.crops import cut, cut_mask
from veilset.networks.face_crop import ASPECT, face_crop, landmarks_in_crop
from veilset.networks.face_ellipse import face_ellipse
from veilset.networks.face_factors import face_factors, hide
from veilset.synthesize.preparing import PrepareConfig, cut_face


@pytest.mark.parametrize("turn", [0.0, 0.5, -1.2])
def test_a_crop_holds_the_ellipse_with_room_around_it(turn: float) -> None:
    landmarks_xy = drawn_landmarks((120, 140), turn=turn)
    x0, y0, x1, y1 = face_crop(face_ellipse(landmarks_xy), context=1.5)
    assert (y1 - y0) / (x1 - x0) == pytest.approx(ASPECT)
    rows, columns = np.nonzero(face_ellipse(landmarks_xy).mask((300, 300)))
    assert x0 < columns.min() < columns.max() + 1 < x1
    assert y0 < rows.min() < rows.max() + 1 < y1
    # One of the two sides decides: there the ellipse takes two thirds.
    shares = (np.ptp(columns) + 1) / (x1 - x0), (np.ptp(rows) + 1) / (y1 - y0)
    assert max(shares) == pytest.approx(1 / 1.5, abs=0.03)


@pytest.mark.parametrize("arguments", [{"context": 0.9}, {"aspect": 0}, {"context": np.nan}])
def test_a_crop_that_shows_no_face_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="A crop cannot have"):
        face_crop(face_ellipse(drawn_landmarks()), **arguments)


def test_a_crop_in_whole_pixels_is_a_slice_and_black_beyond_the_border() -> None:
    image = np.random.default_rng(0).integers(1, 256, (9, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(cut(image, (2, 1, 6, 9), (8, 4)), image[1:9, 2:6])
    over = cut(image, (-2, -1, 6, 7), (8, 8))
    assert not over[0].any()
    assert not over[:, :2].any()
    np.testing.assert_array_equal(over[1:, 2:], image[:7, :6])
    with pytest.raises(ConfigError, match="far beyond the image"):
        cut(image, (90, 0, 95, 5), (4, 4))


def test_landmarks_move_with_the_crop() -> None:
    landmarks_xy = drawn_landmarks()
    placed = landmarks_in_crop(landmarks_xy, (10, 20, 90, 100), (32, 16))
    np.testing.assert_allclose(placed, (landmarks_xy - (10, 20)) / 80 * (16, 32))


@given(st.integers(0, 2**32 - 1), st.floats(0.8, 40), st.floats(0.8, 40))
def test_every_pixel_that_a_masked_one_can_change_is_said_to_be(
    seed: int, width: float, height: float
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((24, 20)) < 0.1
    crop = (3.3, 2.6, 3.3 + width, 2.6 + height)
    one, other = np.zeros((24, 20, 3), np.uint8), np.full((24, 20, 3), 255, np.uint8)
    same = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
    seen = [cut(np.where(mask[..., None], each, same), crop, (8, 8)) for each in (one, other)]
    differs = (seen[0] != seen[1]).any(axis=2)
    assert not (differs & ~cut_mask(mask, crop, (8, 8))).any()


@pytest.mark.parametrize(("turn", "hide_box"), [(0.0, None), (0.0, 0.1), (0.3, 0.1)])
def test_a_prepared_face_is_what_the_generator_gets_at_use(
    turn: float, hide_box: float | None
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (110, 100, 3), dtype=np.uint8)
    landmarks_xy = drawn_landmarks((47, 52), turn=turn)
    config = PrepareConfig(size_hw=(48, 32), hide_box=hide_box)
    face = cut_face(image, (25, 25, 75, 75), landmarks_xy, config)
    crop = face_crop(face_ellipse(landmarks_xy))
    hidden = np.zeros((110, 100), np.bool_)
    if hide_box is not None:
        hidden[20:80, 20:80] = True
    factors = face_factors(image, landmarks_xy, crop, hidden=hidden, size_hw=config.size_hw)
    context = np.moveaxis(face.context.astype(np.float32) / np.float32(255), 2, 0)
    np.testing.assert_array_equal(context, factors.context)
    np.testing.assert_array_equal(
        face.context, cut(hide(image, factors.mask), crop, config.size_hw)
    )
    seen = face.hidden == 0
    np.testing.assert_array_equal(face.context[seen], face.target[seen])
    assert 0.2 < (~seen).mean() < 0.6
