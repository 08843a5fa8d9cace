# SPDX-License-Identifier: Apache-2.0
"""What each method does to a picture, beyond the contract of all."""

from __future__ import annotations

import numpy as np
import pytest

from veilset.errors import ConfigError
from veilset.obfuscate.blur import MIN_SIGMA_PX, Blur, box_widths
from veilset.obfuscate.blur_published import BlurReleased, filter_reach
from veilset.obfuscate.grid import cell_edges, cell_means
from veilset.obfuscate.inpaint import Inpaint
from veilset.obfuscate.mosaic import Mosaic
from veilset.obfuscate.overlay import Blackout, EllipseMask, Overlay, parse_colour
from veilset.obfuscate.per_region import MEAN_RGB
from veilset.obfuscate.swirl import Swirl
from veilset.obfuscate.veil import Veil, spline_weights
from veilset.plugins import make_obfuscator
from veilset.types import Image, Region


def noise(width: int = 120, height: int = 100, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def contrast(pixels: Image) -> float:
    return float(pixels.astype(float).std(axis=(0, 1)).mean())


class TestGrid:
    def test_no_cell_is_narrower_than_four_pixels(self):
        for side in range(1, 200):
            edges = cell_edges(side, 6)
            assert edges[0] == 0
            assert edges[-1] == side
            assert len(edges) - 1 == max(1, min(6, side // 4))
            assert side < 4 or np.diff(edges).min() >= 4

    def test_means_are_exact(self):
        image = noise(37, 50)
        means = cell_means(image, 5)
        down, across = cell_edges(50, 5), cell_edges(37, 5)
        for i in range(5):
            for j in range(5):
                cell = image[down[i] : down[i + 1], across[j] : across[j + 1]].astype(float)
                expected = cell.mean(axis=(0, 1))
                assert np.abs(means[i, j] - expected).max() <= 0.5

    def test_a_white_picture_of_many_pixels_does_not_overflow(self):
        assert (cell_means(np.full((5000, 4000, 3), 255, np.uint8), 1) == 255).all()


class TestVeil:
    @pytest.mark.parametrize("size", [4, 7, 24, 25, 60, 400, 900])
    def test_the_core_holds_no_more_than_its_means(self, size):
        # The drawing of a core is the same wherever the means are the same.
        image = noise(size, size, seed=size)
        region = Region((0.0, 0.0, float(size), float(size)))
        cells = Veil()
        blocks = Mosaic().obfuscate(image, [region])
        assert np.array_equal(cells.obfuscate(blocks, [region]), cells.obfuscate(image, [region]))

    def test_a_flat_picture_stays_as_it_is(self):
        # Weights that did not add up to one would change its brightness.
        for value in (0, 1, 127, 254, 255):
            image = np.full((90, 110, 3), value, np.uint8)
            out = Veil().obfuscate(image, [Region((20, 20, 60, 71)), Region((50, 60, 99, 90))])
            assert (out == value).all()

    def test_the_drawing_stays_within_the_means(self):
        image = noise(80, 80)
        image[30:50, 30:50] = 255
        region = Region((10.0, 10.0, 70.0, 70.0))
        x0, y0, x1, y1 = Veil().core([region], (80, 80))[0]
        means = cell_means(image[y0:y1, x0:x1], 6)
        drawn = Veil().obfuscate(image, [region])[y0:y1, x0:x1]
        assert drawn.min() >= means.min()
        assert drawn.max() <= means.max()

    def test_no_edge_shows_around_a_region_on_a_slope(self):
        slope = np.linspace(40, 200, 200).astype(np.uint8)
        image = np.repeat(np.tile(slope, (160, 1))[..., None], 3, axis=2)
        out = Veil().obfuscate(image, [Region((60, 50, 130, 120))]).astype(int)
        assert np.abs(np.diff(out, axis=0)).max() <= 2
        assert np.abs(np.diff(out, axis=1)).max() <= 3

    def test_a_one_pixel_face_takes_the_mean_of_its_surroundings(self):
        image = np.zeros((30, 30, 3), np.uint8)
        image[15, 15] = 255
        out = Veil().obfuscate(image, [Region((15, 15, 16, 16))])
        assert out[15, 15].tolist() == [16, 16, 16]

    def test_a_picture_too_narrow_for_a_mean_is_painted(self):
        image = noise(3, 40)
        out = Veil().obfuscate(image, [Region((0, 10, 3, 14))])
        # 10 % of 4 px, rounded outward: one row more above and below.
        assert (out[9:15] == MEAN_RGB).all()
        assert np.array_equal(out[:9], image[:9])

    @pytest.mark.parametrize("case", [(1, 1, 0, 0), (7, 1, 3, 2), (40, 6, 8, 0), (900, 6, 90, 90)])
    def test_spline_weights_are_whole_numbers_with_the_sum_256(self, case):
        weights = spline_weights(*case)
        assert (weights >= 0).all()
        assert np.array_equal(weights, np.round(weights))
        assert (weights.sum(axis=1) == 256).all()

    def test_more_cells_than_recommended_carry_a_warning(self):
        assert Veil(cells=6).card.weak == ""
        assert "8 x 8" in Veil(cells=9).card.weak


class TestBlur:
    def test_the_small_face_beside_a_large_one_is_blurred_as_if_alone(self):
        image = noise(540, 400)
        small, large = Region((470, 150, 494, 174)), Region((20, 20, 320, 320))
        patch = np.s_[150:174, 470:494]
        alone = Blur().obfuscate(image, [small])
        both = Blur().obfuscate(image, [small, large])
        assert np.array_equal(alone[patch], both[patch])
        assert contrast(both[patch]) < 0.15 * contrast(image[patch])

    def test_the_corners_are_blurred_as_much_as_the_middle(self):
        image = noise(200, 200)
        out = Blur().obfuscate(image, [Region((50, 50, 150, 150))])
        for corner in (np.s_[50:66, 50:66], np.s_[134:150, 134:150]):
            assert contrast(out[corner]) < 0.12 * contrast(image[corner])

    @pytest.mark.parametrize(
        "box",
        [
            (60, 50, 130, 140),
            (0, 0, 30, 40),
            (150, 100, 200, 160),
            (90, 70, 91, 71),
            (0, 0, 200, 160),
        ],
    )
    def test_the_core_equals_blurring_the_whole_picture(self, box):
        import cv2

        image = noise(200, 160)
        x0, y0, x1, y1 = Blur().core([Region(box)], (200, 160))[0]
        whole = image
        for width in box_widths(max(MIN_SIGMA_PX, 0.1 * float(np.hypot(x1 - x0, y1 - y0)))):
            whole = cv2.blur(whole, (width, width), borderType=cv2.BORDER_REPLICATE)
        out = Blur().obfuscate(image, [Region(box)])
        assert np.array_equal(out[y0:y1, x0:x1], whole[y0:y1, x0:x1])

    @pytest.mark.parametrize("sigma", [MIN_SIGMA_PX, 3.3, 7.0, 14.1, 42.5, 200.0])
    def test_the_boxes_have_the_variance_of_the_gaussian(self, sigma):
        widths = box_widths(sigma)
        assert all(width % 2 == 1 for width in widths)
        variance = sum((width**2 - 1) / 12 for width in widths)
        assert variance**0.5 == pytest.approx(sigma, rel=0.12 if sigma < 5 else 0.03)

    def test_too_weak_a_strength_is_refused(self):
        with pytest.raises(ConfigError, match="strength"):
            Blur(strength=0.01)


class TestPublished:
    @pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.45, 7.0, 12.3, 30.0])
    def test_the_filter_reaches_no_farther_than_stated(self, sigma):
        from PIL import Image as PilImage
        from PIL import ImageFilter

        line = np.zeros((1, 601), np.uint8)
        line[0, :300] = 255
        soft = np.asarray(PilImage.fromarray(line).filter(ImageFilter.GaussianBlur((sigma, 0))))
        reach = filter_reach(sigma)
        assert (soft[0, : 300 - reach] == 255).all()
        assert (soft[0, 300 + reach :] == 0).all()

    def test_numpy_coordinates_are_taken(self):
        # Pillow takes a NumPy number for a pair of radii and fails.
        image = noise()
        box = np.array([10.0, 10.0, 50.5, 60.5])
        out = BlurReleased().obfuscate(image, [Region(tuple(box))])
        assert np.array_equal(out, BlurReleased().obfuscate(image, [Region((10, 10, 50.5, 60.5))]))


class TestMosaic:
    def test_each_cell_has_one_colour(self):
        image = noise()
        out = Mosaic(enlarge=0.0).obfuscate(image, [Region((10, 20, 70, 80))])
        tiles = out[20:80, 10:70].reshape(6, 10, 6, 10, 3)
        assert (tiles == tiles[:, :1, :, :1]).all()
        assert len(np.unique(tiles[:, 0, :, 0].reshape(-1, 3), axis=0)) > 30


class TestOverlay:
    @pytest.mark.parametrize(
        ("colour", "rgb"),
        [
            ("mean", (124, 116, 104)),
            ("red", (255, 0, 0)),
            ("green", (0, 255, 0)),
            ("blue", (0, 0, 255)),
            ("#0a1B2c", (10, 27, 44)),
        ],
    )
    def test_the_box_itself_is_painted(self, colour, rgb):
        image = noise()
        out = make_obfuscator("overlay", {"colour": colour}).obfuscate(
            image, [Region((10.5, 20, 30, 41))]
        )
        expected = image.copy()
        expected[20:41, 10:30] = rgb
        assert np.array_equal(out, expected)

    @pytest.mark.parametrize("colour", ["gray", "#fff", "#ff00zz", "", "Red"])
    def test_an_unknown_colour_is_refused(self, colour):
        with pytest.raises(ConfigError, match="rrggbb"):
            parse_colour(colour)
        with pytest.raises(ConfigError):
            Overlay(colour=colour)

    def test_blackout_is_black(self):
        out = Blackout().obfuscate(noise(), [Region((20, 20, 40, 50))])
        assert (out[17:53, 18:42] == 0).all()

    def test_the_ellipse_covers_the_corners_of_the_region(self):
        image = noise()
        out = EllipseMask(colour="blue").obfuscate(image, [Region((40, 30, 70, 80))])
        assert (out[30:80, 40:70] == (0, 0, 255)).all()
        # It is an ellipse, not a box: the corners of its window stay.
        x0, y0, x1, y1 = EllipseMask().footprint([Region((40, 30, 70, 80))], (120, 100))[0]
        assert (x0, y0, x1, y1) == (33, 19, 77, 91)
        for y in (y0, y1 - 1):
            for x in (x0, x1 - 1):
                assert np.array_equal(out[y, x], image[y, x])


class TestSwirl:
    def test_it_follows_the_formula_of_scikit_image(self):
        transform = pytest.importorskip("skimage.transform")
        image = noise(121, 121)
        # Radius: half the diagonal; all of the picture is the region.
        expected = transform.swirl(
            image.astype(float),
            center=(60, 60),
            strength=10,
            radius=121 / 2**0.5,
            mode="edge",
            order=1,
        )
        out = Swirl(enlarge=0.0).obfuscate(image, [Region((0, 0, 121, 121))])
        error = np.abs(out - expected)
        assert np.quantile(error, 0.99) <= 0.51

    def test_it_says_that_it_can_be_turned_back(self):
        assert Swirl().card.reversible
        assert Swirl().card.weak


class TestInpaint:
    @pytest.mark.parametrize("algorithm", ["telea", "navier-stokes"])
    def test_it_equals_opencv_on_the_whole_picture(self, algorithm):
        import cv2

        image = noise(150, 130)
        hidden = np.zeros((130, 150), np.uint8)
        hidden[40:70, 50:90] = 255
        flag = cv2.INPAINT_TELEA if algorithm == "telea" else cv2.INPAINT_NS
        expected = cv2.inpaint(image, hidden, 3, flag)
        method = Inpaint(algorithm=algorithm, enlarge=0.0)
        assert np.array_equal(method.obfuscate(image, [Region((50, 40, 90, 70))]), expected)

    @pytest.mark.parametrize("size_wh", [(40, 1), (1, 40), (3, 40)])
    def test_a_picture_too_narrow_for_opencv_is_painted(self, size_wh):
        # OpenCV gave other bytes in every run for one row.
        out = Inpaint(enlarge=0.0).obfuscate(noise(*size_wh), [Region((0, 0, 1, 1))])
        assert out[0, 0].tolist() == list(MEAN_RGB)

    def test_with_nothing_around_it_paints(self):
        image = noise(40, 30)
        out = Inpaint().obfuscate(image, [Region((-1, -1, 41, 31))])
        assert (out == MEAN_RGB).all()


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("veil", {"cells": "0"}, "1 to 16"),
        ("veil", {"cells": "17"}, "1 to 16"),
        ("veil", {"enlarge": "-0.1"}, "from 0 to 2"),
        ("veil", {"feather": "nan"}, "Give a number"),
        ("veil", {"feather": "inf"}, "from 0 to 2"),
        ("mosaic", {"cells": "six"}, "Give a whole number"),
        ("mosaic", {"feather": "0.1"}, "no parameter 'feather'"),
        ("blackout", {"colour": "red"}, "no parameter 'colour'"),
        ("blur", {"strength": "2"}, "0.05 to 1"),
        ("blur-released", {"sigma": "2"}, "It takes: none"),
        ("inpaint", {"algorithm": "magic"}, "telea or navier-stokes"),
        ("inpaint", {"radius_px": "0"}, "1 to 32"),
        ("swirl", {"strength": "0"}, "1 to 100"),
        ("mask", {"colour": "transparent"}, "rrggbb"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(name, parameters, says):
    with pytest.raises(ConfigError, match=says):
        make_obfuscator(name, parameters)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_picture_are_refused(image):
    for name in ("veil", "blur-released", "mask", "inpaint"):
        with pytest.raises(ConfigError, match="uint8"):
            make_obfuscator(name, {}).obfuscate(image, [Region((0, 0, 2, 2))])
