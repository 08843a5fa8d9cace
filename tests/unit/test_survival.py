# SPDX-License-Identifier: Apache-2.0
"""The measure has to see what is left, and to be silent where nothing is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageFilter

from veilset.errors import BoxError
from veilset.obfuscate.blur_published import BlurReleased
from veilset.obfuscate.per_region import MAX_SURVIVAL
from veilset.obfuscate.veil import Veil
from veilset.survival import survival
from veilset.types import Image, Region

SIZES = (8, 10, 12, 16, 24, 32, 48, 64, 96, 150, 300)


def drawn_face(size: int, seed: int = 0) -> Image:
    """Something with the spectrum of a photograph: random waves, weaker the finer they are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    picture = np.full((size, size), 128.0)
    for cycles in (1, 2, 3, 5, 8, 12, 16):
        for _ in range(4):
            angle, phase = rng.uniform(0, 2 * np.pi, 2)
            wave = 2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle)) + phase
            picture += 22 / cycles**0.7 * np.sin(wave)
    grain = rng.normal(0, 3, (size, size, 3))
    return np.clip(picture[..., None] + grain, 0, 255).astype(np.uint8)


def blurred(image: Image, sigma: float) -> Image:
    return np.asarray(PilImage.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def box_of(image: Image) -> tuple[float, float, float, float]:
    return (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))


def compressed(image: Image, quality: int) -> Image:
    buffer = io.BytesIO()
    PilImage.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(PilImage.open(buffer).convert("RGB"))


@pytest.mark.parametrize("size", SIZES)
class TestWhatIsLeft:
    def test_untouched_is_one(self, size):
        face = drawn_face(size)
        assert survival(face, face, box_of(face)) == 1.0

    def test_untouched_but_compressed_again_fails(self, size):
        face = drawn_face(size)
        assert survival(face, compressed(face, 75), box_of(face)) > MAX_SURVIVAL

    def test_a_light_blur_fails(self, size):
        face = drawn_face(size)
        light = blurred(face, 0.02 * float(np.hypot(size, size)))
        assert survival(face, light, box_of(face)) > MAX_SURVIVAL

    def test_a_tenth_of_the_contrast_fails(self, size):
        if size < 16:
            pytest.skip("a tenth of the contrast of so few pixels drowns in the rounding")
        face = drawn_face(size)
        faint = np.round(0.1 * face).astype(np.uint8)
        assert survival(face, faint, box_of(face)) > MAX_SURVIVAL

    def test_a_negative_fails(self, size):
        face = drawn_face(size)
        assert survival(face, 255 - face, box_of(face)) > 0.9

    def test_another_picture_passes(self, size):
        face = drawn_face(size)
        others = [survival(face, drawn_face(size, seed), box_of(face)) for seed in range(1, 6)]
        assert max(others) < MAX_SURVIVAL

    def test_a_veil_passes_before_and_after_jpeg(self, size):
        for seed in range(5):
            face = drawn_face(size, seed)
            veiled = Veil().obfuscate(face, [Region(box_of(face))])
            assert survival(face, veiled, box_of(face)) < MAX_SURVIVAL
            assert survival(face, compressed(veiled, 75), box_of(face)) < MAX_SURVIVAL


@pytest.mark.parametrize("size", [48, 96, 300])
def test_half_a_face_left_over_fails(size):
    face = drawn_face(size)
    half = Veil().obfuscate(face, [Region(box_of(face))])
    half[: size // 2] = face[: size // 2]
    assert survival(face, half, box_of(face)) > MAX_SURVIVAL


@pytest.mark.parametrize("seed", range(5))
def test_the_small_face_beside_a_large_one_fails_the_house_limit(seed):
    scene = np.full((400, 500, 3), 110, np.uint8)
    scene[20:320, 20:320] = drawn_face(300, seed)
    scene[150:174, 420:444] = drawn_face(24, seed + 50)
    small = (420.0, 150.0, 444.0, 174.0)
    regions = [Region(small), Region((20.0, 20.0, 320.0, 320.0))]
    released = BlurReleased()
    assert survival(scene, released.obfuscate(scene, regions), small) > released.card.max_survival
    assert survival(scene, Veil().obfuscate(scene, regions), small) < MAX_SURVIVAL


def test_a_flat_region_has_nothing_to_hide():
    flat = np.full((40, 40, 3), 77, np.uint8)
    assert survival(flat, flat, (5, 5, 30, 30)) == pytest.approx(0.0)


def test_a_region_of_a_few_pixels_is_only_asked_whether_it_is_alike():
    face = drawn_face(40)
    box = (10.0, 10.0, 14.0, 14.0)
    assert survival(face, face, box) == 1.0
    nearly = np.clip(face.astype(int) + 1, 0, 255).astype(np.uint8)
    assert survival(face, nearly, box) > 0.9
    assert survival(face, np.roll(face, 5, axis=0), box) == 0.0


def test_a_region_outside_the_picture_is_nothing():
    face = drawn_face(40)
    assert survival(face, face, (50, 50, 60, 60)) == 0.0


def test_pictures_of_different_size_are_refused():
    with pytest.raises(BoxError, match="same size"):
        survival(drawn_face(40), drawn_face(41), (0, 0, 5, 5))
