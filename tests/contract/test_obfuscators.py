# SPDX-License-Identifier: Apache-2.0
"""What every announced obfuscator has to honour, ours or another package's."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np
import pytest

from tests.obfuscators import NAMES, made
from veilset.boxes import outer_pixels, region_boxes
from veilset.plugins import make_obfuscator
from veilset.protocols import MethodCard, Obfuscator
from veilset.types import Image, IntBoxes, Region

SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 16, 23, 24, 25, 33, 48, 64, 90)


def textured(width: int = 120, height: int = 100, seed: int = 0) -> Image:
    """Noise over a gradient: no two neighbouring pixels agree."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 120, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    return np.clip(slope + rng.integers(0, 76, (height, width, 3)), 0, 255).astype(np.uint8)


def marked(boxes: IntBoxes, image: Image) -> np.ndarray:
    mask = np.zeros(image.shape[:2], dtype=bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def places(side: int, width: int, height: int) -> list[tuple[float, float, float, float]]:
    """The middle, the four corners, and half across two borders."""
    right, bottom, half = width - side, height - side, side / 2
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), (right // 2, bottom // 2)]
    outside = [(-half, 10.0), (10.0, height - half)] if side > 1 else []
    return [(float(x), float(y), x + float(side), y + float(side)) for x, y in corners + outside]


SCENE = (
    Region((10.0, 12.0, 40.5, 50.2)),
    Region((30.0, 30.0, 80.0, 85.0)),
    Region((33.0, 40.0, 41.0, 47.0)),
    Region((110.0, 90.0, 131.0, 120.0)),
    Region((-30.0, -20.0, -5.0, -2.0)),
    Region((60.2, 3.3, 60.9, 4.1)),
)

IN_A_NEW_PROCESS = """
import sys, pickle
from hashlib import sha256
from veilset.types import Region
method, image, boxes = pickle.load(sys.stdin.buffer)
regions = [Region(box) for box in boxes]
print(sha256(method.obfuscate(image, regions, seed=5).tobytes()).hexdigest())
"""


@pytest.fixture(params=NAMES)
def method(request) -> Obfuscator:
    return made(request.param)


class TestObfuscator:
    def test_the_card_says_what_it_is(self, method, request):
        card = method.card
        assert isinstance(card, MethodCard)
        assert card.name in request.node.callspec.id
        assert card.summary
        assert card.version >= 1
        assert 0 <= card.max_survival <= 1
        # Nobody may rely on a method that can be undone.
        assert card.weak or not card.reversible
        assert make_obfuscator(card.name, card.parameters).card == card

    def test_the_shape_stays_and_the_input_is_untouched(self, method):
        image = textured()
        before = image.copy()
        image.setflags(write=False)
        out = method.obfuscate(image, SCENE)
        assert out.shape == image.shape
        assert out.dtype == np.uint8
        assert out.flags.writeable
        assert np.array_equal(image, before)
        assert not np.shares_memory(image, out)

    def test_no_regions_give_an_equal_copy(self, method):
        image = textured()
        out = method.obfuscate(image, ())
        assert np.array_equal(out, image)
        assert not np.shares_memory(image, out)
        assert method.core((), (120, 100)).shape == (0, 4)
        assert method.footprint((), (120, 100)).shape == (0, 4)

    def test_nothing_changes_outside_the_footprint(self, method):
        for seed in range(3):
            image = textured(seed=seed)
            out = method.obfuscate(image, SCENE)
            allowed = marked(method.footprint(SCENE, (120, 100)), image)
            assert np.array_equal(out[~allowed], image[~allowed])

    def test_region_in_core_in_footprint_in_image(self, method):
        for side in SIDES:
            regions = [Region(box) for box in places(side, 120, 100)]
            touched = outer_pixels(region_boxes(regions), (120, 100))
            core = method.core(regions, (120, 100))
            footprint = method.footprint(regions, (120, 100))
            assert core.dtype == footprint.dtype == np.int64
            for inner, outer in ((touched, core), (core, footprint)):
                assert (outer[:, :2] <= inner[:, :2]).all()
                assert (inner[:, 2:] <= outer[:, 2:]).all()
            assert (footprint >= 0).all()
            assert (footprint <= [120, 100, 120, 100]).all()

    @pytest.mark.parametrize("side", SIDES)
    def test_the_inside_changes_at_every_size_and_place(self, method, side):
        smallest = getattr(type(method), "CHANGES_FROM_PX", 1)
        # A method that leaves tiny regions alone has to warn of itself.
        assert smallest == 1 or method.card.weak
        if side < smallest:
            pytest.skip(f"{method.card.name} promises a change from {smallest} px upward")
        image = textured()
        for box in places(side, 120, 100):
            x0, y0, x1, y1 = outer_pixels([box], (120, 100))[0]
            out = method.obfuscate(image, [Region(box)])
            changed = (out[y0:y1, x0:x1] != image[y0:y1, x0:x1]).any(axis=2)
            assert changed.any(), box
            if not method.card.weak:
                assert changed.mean() > 0.8, box

    def test_a_region_outside_changes_nothing(self, method):
        image = textured()
        regions = [Region((-30.0, -20.0, -5.0, -2.0)), Region((120.0, 5.0, 150.0, 40.0))]
        cores = method.core(regions, (120, 100))
        assert ((cores[:, 2:] - cores[:, :2]).min(axis=1) == 0).all()
        out = method.obfuscate(image, regions)
        allowed = marked(method.footprint(regions, (120, 100)), image)
        assert np.array_equal(out[~allowed], image[~allowed])
        # Only the published forms reach into the picture from a face outside of it.
        assert method.card.weak or not allowed.any()

    def test_the_order_and_repetition_of_regions_do_not_matter(self, method):
        image = textured()
        expected = method.obfuscate(image, SCENE)
        for seed in range(4):
            order = np.random.default_rng(seed).permutation(len(SCENE))
            assert np.array_equal(method.obfuscate(image, [SCENE[i] for i in order]), expected)
        assert np.array_equal(method.obfuscate(image, SCENE + SCENE[:3]), expected)

    def test_same_seed_same_bytes_in_threads_and_another_process(self, method):
        image = textured()
        digest = sha256(method.obfuscate(image, SCENE, seed=5).tobytes()).hexdigest()
        with ThreadPoolExecutor(4) as pool:
            outs = list(pool.map(lambda _: method.obfuscate(image, SCENE, seed=5), range(12)))
        assert {sha256(out.tobytes()).hexdigest() for out in outs} == {digest}
        task = pickle.dumps((method, image, [region.box_xyxy for region in SCENE]))
        done = subprocess.run(
            [sys.executable, "-c", IN_A_NEW_PROCESS], input=task, capture_output=True, check=True
        )
        assert done.stdout.decode().strip() == digest

    def test_distant_content_does_not_matter(self, method):
        image = textured(400, 300)
        regions = [Region((30.0, 40.0, 55.0, 70.0)), Region((50.0, 60.0, 80.0, 95.0))]
        out = method.obfuscate(image, regions)
        other = image.copy()
        other[:, 250:] = 255 - other[:, 250:]
        other[220:] = 7
        near = np.s_[:200, :200]
        assert np.array_equal(method.obfuscate(other, regions)[near], out[near])

    def test_grey_stays_grey(self, method):
        if "colour" in method.card.parameters:
            pytest.skip("the method paints a colour that was asked for")
        grey = np.repeat(textured()[..., :1], 3, axis=2)
        out = method.obfuscate(grey, [Region((20.0, 20.0, 70.0, 75.0))])
        assert (out == out[..., :1]).all()

    @pytest.mark.parametrize("size_wh", [(1, 1), (1, 9), (3, 5), (2, 40), (4, 4), (5, 5)])
    def test_pictures_of_few_pixels(self, method, size_wh):
        image = textured(*size_wh)
        out = method.obfuscate(image, [Region((0.0, 0.0, float(size_wh[0]), float(size_wh[1])))])
        assert out.shape == image.shape
        if not method.card.weak:
            assert not np.array_equal(out, image)

    def test_the_whole_picture_as_one_region(self, method):
        image = textured()
        out = method.obfuscate(image, [Region((-5.0, -5.0, 500.0, 500.0))])
        assert (out != image).any(axis=2).mean() > 0.5

    def test_a_picture_that_is_not_contiguous(self, method):
        wide = textured(240, 200)
        image = wide[::2, ::2]
        out = method.obfuscate(image, SCENE)
        assert np.array_equal(out, method.obfuscate(np.ascontiguousarray(image), SCENE))
