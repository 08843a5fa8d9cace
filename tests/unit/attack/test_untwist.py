# SPDX-License-Identifier: Apache-2.0
"""What the swirl twisted comes back."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.transform import swirl

from tests.unit.attack.drawn_photographs import photograph
from veilset.attack.least_squares import to_image, to_planes
from veilset.attack.similarity import psnr
from veilset.attack.untwist import Untwist, twisted
from veilset.plugins import make_obfuscator
from veilset.types import Region

BOX = (25.0, 20.0, 85.0, 95.0)
SWIRL = make_obfuscator("swirl", {})


def test_the_twist_is_scikit_image_s():
    image, core = photograph(90, 100), (20, 15, 81, 76)
    found = to_image(twisted(core, 8.0, (90, 100), (0, 0, 100, 90)).forward(to_planes(image)))
    radius = np.hypot(61, 61) / 2
    expected = swirl(image, center=(50, 45), strength=8.0, radius=radius, order=1,
                     mode="edge", preserve_range=True)  # fmt: skip
    part = np.s_[15:76, 20:81]
    assert np.abs(found[part] - expected[part]).max() <= 0.5 + 1e-6


def test_backward_is_the_transpose_of_forward():
    rng = np.random.default_rng(1)
    change = twisted((5, 4, 17, 20), 10.0, (22, 25), (0, 0, 25, 22))
    a, b = rng.normal(size=(2, 3, 22, 25))
    assert np.sum(change.forward(a) * b) == pytest.approx(np.sum(a * change.backward(b)))


@pytest.mark.parametrize("strength", [5.0, 10.0])
def test_a_smooth_face_comes_back(strength):
    method = make_obfuscator("swirl", {"strength": strength})
    clear, regions = photograph(110, 120, steepness=2.0), [Region(BOX)]
    hidden = method.obfuscate(clear, regions)
    turned, refined = (Untwist(n).restore(hidden, regions, method) for n in (0, 40))
    before, simple, full = (psnr(clear, each, BOX) for each in (hidden, turned, refined))
    assert before < 28
    assert simple > 36
    assert full > simple + 3
    x0, y0, x1, y1 = (int(v) for v in method.core(regions, (120, 110))[0])
    outside = np.ones((110, 120), dtype=bool)
    outside[y0:y1, x0:x1] = False
    assert (refined[outside] == hidden[outside]).all()


def test_far_from_the_centre_hardly_anything_is_lost():
    clear, regions = photograph(110, 120, steepness=2.0), [Region(BOX)]
    restored = Untwist().restore(SWIRL.obfuscate(clear, regions), regions, SWIRL)
    y, x = np.mgrid[:110, :120]
    away = np.hypot(x - 54.5, y - 57)
    ring = (away > 20) & (away < 30)
    wrong = np.abs(restored[ring].astype(int) - clear[ring])
    assert wrong.max() <= 4
    assert wrong.mean() < 0.5


def test_the_last_twist_is_undone_first():
    regions = [Region((10, 10, 60, 60)), Region((40, 35, 80, 95)), Region((10, 10, 60, 60))]
    clear = photograph(110, 120, seed=3, steepness=2.0)
    hidden = SWIRL.obfuscate(clear, regions)
    restored = Untwist().restore(hidden, regions, SWIRL)
    other_order = Untwist().restore(hidden, regions[::-1], SWIRL)
    for region in regions:
        assert psnr(clear, hidden, region.box_xyxy) < 25
        assert psnr(clear, restored, region.box_xyxy) > 34
    assert (restored == other_order).all()


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (118, 100, 130, 120), (-9, -9, 300, 300)])
def test_at_the_border_and_small(box):
    clear, regions = photograph(110, 120, steepness=2.0), [Region(box)]
    hidden = SWIRL.obfuscate(clear, regions)
    restored = Untwist().restore(hidden, regions, SWIRL)
    assert psnr(clear, restored) >= psnr(clear, hidden)


def test_what_is_empty_or_painted_over_stays():
    image = photograph(60, 70)
    assert (Untwist().restore(image, [], SWIRL) == image).all()
    thin, regions = photograph(3, 40), [Region((5, 0, 20, 3))]
    painted = SWIRL.obfuscate(thin, regions)
    assert (Untwist().restore(painted, regions, SWIRL) == painted).all()
