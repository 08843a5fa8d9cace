# SPDX-License-Identifier: Apache-2.0
"""The blurs are known to the last filter tap, and what they let through comes back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageFilter

from tests.unit.attack.drawn_photographs import photograph
from veilset.attack.cores import pixels
from veilset.attack.deconvolution import Deconvolution
from veilset.attack.filters import extended_boxes, filter_matrix, kovesi_boxes, spectrum
from veilset.attack.least_squares import (
    Effort,
    conjugate_gradients,
    most_likely,
    to_image,
    to_planes,
)
from veilset.attack.similarity import psnr
from veilset.attack.smears import blurs_of
from veilset.errors import ConfigError
from veilset.plugins import make_obfuscator
from veilset.types import Region

ONE = [Region((30, 25, 60, 62))]
MANY = [
    Region((30, 25, 60, 62)),
    Region((50.4, 30, 75, 64.7)),
    Region((-5, -4, 9, 12)),
    Region((150, 20, 164, 41)),
    Region((40, 200, 60, 220)),
]
METHODS = [
    ("blur", {"strength": 0.05}),
    ("blur", {}),
    ("blur", {"feather": 0.0, "enlarge": 0.0}),
    ("blur-paper", {}),
    ("blur-released", {}),
]


@pytest.mark.parametrize(("name", "parameters"), METHODS)
@pytest.mark.parametrize("regions", [ONE, MANY])
def test_the_model_is_the_method(name, parameters, regions):
    """Within what rounding after every pass of the filters can make."""
    method, clear = make_obfuscator(name, parameters), photograph(90, 180)
    expected = method.obfuscate(clear, regions)
    modelled = clear.copy()
    for blurred in blurs_of(method, regions, (180, 90)):
        planes = blurred.forward(to_planes(clear[pixels(blurred.frame)]))
        is_changed = blurred.weight > 0
        modelled[pixels(blurred.frame)][is_changed] = to_image(planes)[is_changed]
    assert np.abs(modelled.astype(int) - expected).max() <= 2
    assert (modelled != clear).any()


def test_regions_that_do_not_meet_are_solved_apart():
    method = make_obfuscator("blur", {"strength": 0.05})
    found = blurs_of(method, MANY, (400, 90))
    # Three on the left read each other's pixels, one is far away, one outside of the picture.
    assert sorted(len(each.smears) for each in found) == [1, 3]


@pytest.mark.parametrize("name", ["blur", "blur-paper"])
def test_backward_is_the_transpose_of_forward(name):
    rng = np.random.default_rng(2)
    for blurred in blurs_of(make_obfuscator(name, {}), MANY, (180, 90)):
        a, b = rng.normal(size=(2, 3, *blurred.weight.shape))
        assert np.sum(blurred.forward(a) * b) == pytest.approx(np.sum(a * blurred.backward(b)))


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.7, 12.0])
def test_the_published_filter_is_pillow_s(sigma):
    line = np.zeros((1, 101), dtype=np.uint8)
    line[0, :30] = 255
    soft = np.asarray(PilImage.fromarray(line).filter(ImageFilter.GaussianBlur((sigma, 0))))
    modelled = filter_matrix(extended_boxes(sigma), 101) @ line[0]
    assert np.abs(modelled - soft[0]).max() <= 1.5


def test_filters_keep_what_is_flat_and_the_spectrum_is_theirs():
    filters = kovesi_boxes(2.5)
    matrix = filter_matrix(filters, 60)
    assert matrix.sum(axis=1) == pytest.approx(np.ones(60))
    # Away from the ends a cosine comes out as itself, times the spectrum.
    wave = np.cos(np.pi / 60 * 9 * (np.arange(60) + 0.5))
    middle = slice(15, 45)
    assert (matrix @ wave)[middle] == pytest.approx((spectrum(filters, 60)[9] * wave)[middle])


@pytest.mark.parametrize(("name", "parameters"), [METHODS[0], METHODS[1], METHODS[3], METHODS[4]])
def test_more_is_seen_than_in_the_blurred_picture(name, parameters):
    method, gains = make_obfuscator(name, parameters), []
    for seed in (1, 2):
        clear = photograph(90, 100, seed, steepness=1.8)
        hidden = method.obfuscate(clear, ONE)
        restored = Deconvolution().restore(hidden, ONE, method)
        box = ONE[0].box_xyxy
        gains.append(psnr(clear, restored, box) - psnr(clear, hidden, box))
        x0, y0, x1, y1 = (int(v) for v in method.footprint(ONE, (100, 90))[0])
        outside = np.ones((90, 100), dtype=bool)
        outside[y0:y1, x0:x1] = False
        assert (restored[outside] == hidden[outside]).all()
        assert (restored == Deconvolution().restore(hidden, ONE, method)).all()
    assert min(gains) > 1.5


def test_overlapping_and_scattered_regions_come_back_together():
    method, clear = make_obfuscator("blur", {"strength": 0.05}), photograph(90, 180, 5, 1.8)
    hidden = method.obfuscate(clear, MANY)
    restored = Deconvolution().restore(hidden, MANY, method)
    for region in MANY[:4]:
        assert psnr(clear, restored, region.box_xyxy) > psnr(clear, hidden, region.box_xyxy)


@pytest.mark.parametrize("name", ["blur", "blur-paper", "blur-released"])
def test_nothing_to_do_is_nothing_done(name):
    method, image = make_obfuscator(name, {}), photograph(40, 50)
    outside = [Region((70, 80, 90, 99))]
    for regions in ([], outside):
        assert (Deconvolution().restore(image, regions, method) == image).all()
    thin = photograph(3, 50)
    assert (Deconvolution().restore(thin, [Region((0, 0, 9, 3))], method) == thin).all()


def test_the_solution_is_that_of_linear_algebra():
    """A few pixels, all as one dense system."""
    rng = np.random.default_rng(3)
    method, regions = make_obfuscator("blur", {}), [Region((4, 3, 7, 7))]
    (blurred,) = blurs_of(method, regions, (12, 11))
    height, width = blurred.weight.shape
    seen, unknown = rng.normal(size=(3, height, width)), blurred.weight > 0
    units = np.eye(height * width).reshape(-1, 1, height, width).repeat(3, axis=1)
    forward = np.array([blurred.forward(unit)[0].ravel() for unit in units]).T
    steps = [np.diff(units[:, 0], axis=axis).reshape(height * width, -1).T for axis in (1, 2)]
    # Least squares with the known pixels held: rows of seen, then of differences.
    rows = np.concatenate([forward, *(np.sqrt(0.05) * each for each in steps)])
    free = unknown.ravel()
    target = np.concatenate([seen[0].ravel(), np.zeros(len(rows) - free.size)])
    held = seen[0].ravel() * ~free
    expected = held.copy()
    expected[free] = np.linalg.lstsq(rows[:, free], target - rows @ held, rcond=None)[0]
    found = most_likely(blurred, seen, unknown, seen, (0.05, 1.0, 1.0), Effort(500, 1e-12))
    assert found[0].ravel() == pytest.approx(expected, abs=1e-6)


def test_a_plane_that_is_solved_stays():
    right = np.zeros((3, 2, 2))
    right[1] = [[1, 2], [3, 4]]
    scale = np.arange(1.0, 5.0).reshape(2, 2)
    found = conjugate_gradients(lambda planes: scale * planes, right, Effort(10, 0.0))
    assert found[1] == pytest.approx(np.ones((2, 2)))
    assert not found[[0, 2]].any()


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan"), float("inf")])
def test_noise_is_above_0(noise):
    with pytest.raises(ConfigError, match=r"rounding alone makes 0\.29"):
        Deconvolution(noise_sd=noise)
