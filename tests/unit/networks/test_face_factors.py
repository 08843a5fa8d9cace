# SPDX-License-Identifier: Apache-2.0
"""No peek: of the hidden pixels nothing reaches the factors but where the landmarks are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from tests.unit.networks.drawn_landmarks import drawn_landmarks
from veilset.errors import ConfigError
from veilset.networks.coarse_landmarks import Detail, coarse_landmarks
from veilset.networks.face_factors import face_factors, hide, landmark_channels
from veilset.types import Image

CROP = (10.0, 0.0, 95.0, 100.0)


def picture(seed: int = 0, size_wh: tuple[int, int] = (100, 110)) -> Image:
    noise = np.random.default_rng(seed).integers(0, 256, (size_wh[1], size_wh[0], 3))
    return noise.astype(np.uint8)


@given(
    seed=st.integers(0, 1000),
    turn=st.floats(-1, 1),
    size=st.floats(2, 90),
    detail=st.sampled_from(list(Detail)),
    crop=st.sampled_from([CROP, (-20.0, -7.5, 111.0, 140.0), (40.2, 40.7, 60.1, 70.9)]),
)
@settings(max_examples=60, deadline=None)
def test_hidden_pixels_never_reach_the_factors(
    seed: int, turn: float, size: float, detail: Detail, crop: tuple[float, float, float, float]
) -> None:
    image, points = picture(seed), drawn_landmarks(width=size, height=1.2 * size, turn=turn)
    first = face_factors(image, points, crop, detail=detail, size_hw=(32, 16))
    other = image.copy()
    other[first.mask] = picture(seed + 1)[first.mask]
    second = face_factors(other, points, crop, detail=detail, size_hw=(32, 16))
    assert first.mask.any()
    for name in ("context", "landmarks", "mask"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_what_is_not_hidden_does_reach_them() -> None:
    image, points = picture(), drawn_landmarks()
    first = face_factors(image, points, CROP)
    other = image.copy()
    other[5, 90] ^= 255
    assert not first.mask[5, 90]
    assert (first.context != face_factors(other, points, CROP).context).any()
    moved = face_factors(image, points + 1, CROP)
    assert (first.landmarks != moved.landmarks).any()


def test_the_context_is_the_crop_with_the_face_black() -> None:
    image, points = np.full((110, 100, 3), 255, np.uint8), drawn_landmarks()
    factors = face_factors(image, points, (0.0, 0.0, 100.0, 110.0), size_hw=(110, 100))
    assert factors.context.dtype == np.float32
    np.testing.assert_array_equal(factors.context, np.stack([~factors.mask] * 3))


def test_the_context_is_what_pillow_makes_of_the_hidden_image() -> None:
    image, points, crop = picture(), drawn_landmarks(), (10.4, 3.7, 90.9, 101.2)
    factors = face_factors(image, points, crop, size_hw=(60, 50))
    hidden = PillowImage.fromarray(hide(image, factors.mask))
    wanted = np.asarray(hidden.resize((50, 60), PillowImage.Resampling.BILINEAR, box=crop))
    # At the border Pillow looks beyond the crop, and the generator must not.
    inside = np.s_[1:-1, 1:-1]
    found = np.moveaxis(factors.context, 0, 2)[inside]
    np.testing.assert_allclose(found, wanted[inside] / 255, atol=1.01 / 255)


def test_beyond_the_image_the_context_is_black() -> None:
    white = np.full((60, 60, 3), 255, np.uint8)
    face = drawn_landmarks(centre=(20.0, 30.0), width=10, height=12)
    context = face_factors(white, face, (-60.0, 0.0, 60.0, 60.0), size_hw=(60, 120)).context
    assert (context[:, :, :59] == 0).all()
    assert (context[:, :5, 62:] == 1).all()


def test_a_crop_beside_the_image_is_black() -> None:
    context = face_factors(picture(), drawn_landmarks(), (120.5, 3, 180, 90)).context
    assert context.shape == (3, 128, 64)
    assert not context.any()


def test_a_face_outside_the_image_hides_nothing_of_it() -> None:
    factors = face_factors(picture(), drawn_landmarks(centre=(500, 500)), CROP)
    assert not factors.mask.any()


@pytest.mark.parametrize("sigma_px", [0.0, 0.5, 2.0])
def test_a_landmark_is_brightest_where_it_is(sigma_px: float) -> None:
    # No landmark on the border of two pixels.
    points = drawn_landmarks(centre=(50.123, 55.234), turn=0.1)
    channels = landmark_channels(points, (0, 0, 100, 110), (55, 50), sigma_px=sigma_px)
    assert channels.shape == (68, 55, 50)
    assert channels.min() >= 0
    assert channels.max() <= 1
    for (x, y), channel in zip(points, channels, strict=True):
        assert np.unravel_index(channel.argmax(), channel.shape) == (int(y / 2), int(x / 2))


def test_gaussians_are_those_of_the_formula() -> None:
    (channel,) = landmark_channels([[3.2, 1.9]], (0, 0, 8, 4), (4, 8), sigma_px=1.5)
    y, x = np.mgrid[:4, :8] + 0.5
    wanted = np.exp(-((x - 3.2) ** 2 + (y - 1.9) ** 2) / (2 * 1.5**2))
    np.testing.assert_allclose(channel, wanted, rtol=1e-6)


def test_a_point_outside_the_crop_leaves_its_channel_empty() -> None:
    assert not landmark_channels([[-1, 2], [9, 2]], (0, 0, 8, 4), (4, 8), sigma_px=0).any()


def test_landmarks_in_one_cell_of_the_grid_cannot_be_told_apart() -> None:
    points = drawn_landmarks()
    crop = (0.0, 0.0, 100.0, 100.0)
    gridded = coarse_landmarks(points, crop, Detail.GRID, cells=10)
    np.testing.assert_array_equal(gridded % 10, 5)
    assert np.abs(gridded - points).max() <= 5
    again = coarse_landmarks(gridded, crop, Detail.GRID, cells=10)
    np.testing.assert_array_equal(gridded, again)


def test_five_points_are_eyes_nose_and_mouth() -> None:
    points = drawn_landmarks(centre=(0, 0), width=100, height=100)
    five = coarse_landmarks(points, CROP, Detail.FIVE)
    wanted = [[-20, -25], [20, -25], [0, 0], [-15, 25], [15, 25]]
    np.testing.assert_allclose(five, wanted, atol=1e-9)
    assert Detail.FIVE.n_points == len(five)
    assert Detail.FULL.n_points == Detail.GRID.n_points == 68


def test_what_cannot_be_used_is_refused() -> None:
    points = drawn_landmarks()
    with pytest.raises(ConfigError, match="no area"):
        face_factors(picture(), points, (5, 5, 5, 9))
    with pytest.raises(ConfigError, match="no area"):
        landmark_channels(points, (0, 0, np.nan, 9))
    with pytest.raises(ConfigError, match="far beyond"):
        face_factors(picture(), points, (-1e300, 0, 9, 9))
    with pytest.raises(ConfigError, match="uint8"):
        face_factors(picture().astype(np.float32), points, CROP)
    with pytest.raises(ConfigError, match="at least 2 cells"):
        coarse_landmarks(points, CROP, Detail.GRID, cells=1)
    with pytest.raises(ConfigError, match="sigma"):
        landmark_channels(points, CROP, sigma_px=-1)
    with pytest.raises(ConfigError, match=r"\(N, 2\)"):
        landmark_channels([1.0, 2.0], CROP)
