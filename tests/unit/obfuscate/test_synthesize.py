# SPDX-License-Identifier: Apache-2.0
"""Faces drawn in place of others: what is drawn and what is veiled, and that nobody peeks."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.obfuscators import generator_file, made, tiny_generator
from veilset.errors import ConfigError
from veilset.obfuscate.drawers import open_drawer
from veilset.obfuscate.stage import obfuscate_image
from veilset.obfuscate.synthesize import TOO_LITTLE_AROUND, TOO_SMALL, Synthesize
from veilset.obfuscate.veil import Veil
from veilset.plugins import make_obfuscator
from veilset.protocols import ModelUser, Substituting
from veilset.types import Image, Mask, Region

SIZE_WH = (200, 160)
FACE, OTHER = Region((30, 30, 70, 80)), Region((60, 70, 100, 120))
PLATE = Region((130, 20, 180, 45), kind="plate")
TINY = Region((150, 100, 158, 108))


def noise(seed: int = 0, size_wh: tuple[int, int] = SIZE_WH) -> Image:
    width, height = size_wh
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def changed(before: Image, after: Image) -> Mask:
    found: Mask = (before != after).any(axis=2)
    return found


@pytest.fixture(scope="module")
def method() -> Synthesize:
    found = made("synthesize")
    assert isinstance(found, Synthesize)
    return found


def test_what_it_offers(method):
    (card,) = method.models
    assert card.sha256 == method.model_sha256
    assert method.card.draws_faces
    assert isinstance(method, Substituting)
    assert isinstance(method, ModelUser)


def test_whole_photographs_do_not_depend_on_what_was_drawn_over():
    regions, image = (FACE, OTHER, PLATE, TINY), noise()
    parameters = {"model": str(generator_file())}
    method = made("synthesize")
    cores = method.core(regions, SIZE_WH)
    before = obfuscate_image(image, regions, "synthesize", parameters, seed=3)
    for seed in range(1, 4):
        other = image.copy()
        for x0, y0, x1, y1 in cores[:2]:
            other[y0:y1, x0:x1] = noise(seed)[y0:y1, x0:x1]
        after = obfuscate_image(other, regions, "synthesize", parameters, seed=3)
        assert np.array_equal(before, after)
    other = image.copy()
    for x0, y0, x1, y1 in cores[2:]:
        other[y0:y1, x0:x1] = 255 - other[y0:y1, x0:x1]
    after = obfuscate_image(other, regions, "synthesize", parameters, seed=3)
    for x0, y0, x1, y1 in method.footprint(regions, SIZE_WH)[2:]:
        assert changed(before, after)[y0:y1, x0:x1].any()
        after[y0:y1, x0:x1] = before[y0:y1, x0:x1]
    assert np.array_equal(before, after)


def test_what_is_around_a_face_decides_how_it_is_drawn(method):
    image = noise()
    other = image.copy()
    other[85:95, 30:70] = 0
    before, after = method.obfuscate(image, [FACE]), method.obfuscate(other, [FACE])
    assert changed(before, after)[30:80, 30:70].mean() > 0.5


def test_a_drawn_face_is_surroundings_of_the_next(method):
    image = noise()
    alone = method.obfuscate(image, [OTHER])
    beside = method.obfuscate(image, [FACE, OTHER])
    x0, y0, x1, y1 = method.core([OTHER], SIZE_WH)[0]
    assert changed(alone, beside)[y0:y1, x0:x1].any()


def test_reasons(method):
    in_it = Region((40, 40, 60, 60))
    regions = [FACE, PLATE, TINY, in_it, Region((-20, -20, -5, -5)), FACE]
    wanted = ["", "not a face", TOO_SMALL, "", "", ""]
    assert method.substituted(regions, SIZE_WH) == wanted
    assert method.substituted([], SIZE_WH) == []
    assert method.substituted([Region((0, 0, 200, 160))], SIZE_WH) == [TOO_LITTLE_AROUND]
    # Nothing but faces around it: the largest one has too little to go on from.
    crowd = [Region((x, y, x + 38, y + 38)) for x in range(0, 200, 40) for y in range(0, 160, 40)]
    assert TOO_LITTLE_AROUND in method.substituted(crowd, SIZE_WH)


def test_the_limit_of_size_is_that_of_the_core(method):
    for side in range(8, 16):
        (reason,) = method.substituted([Region((50, 50, 50 + side, 90))], SIZE_WH)
        x0, _, x1, _ = method.core([Region((50, 50, 50 + side, 90))], SIZE_WH)[0]
        assert (reason == TOO_SMALL) == (x1 - x0 < method.smallest_px)


def test_what_is_veiled_is_veiled_as_by_veil(method):
    image = noise()
    veil = Veil(enlarge=method.enlarge, feather=method.feather)
    assert np.array_equal(
        method.obfuscate(image, [PLATE, TINY]), veil.obfuscate(image, [PLATE, TINY])
    )


def test_a_face_in_a_drawn_face_needs_nothing_more(method):
    image, inner = noise(), Region((40, 40, 60, 60))
    assert np.array_equal(method.obfuscate(image, [FACE, inner]), method.obfuscate(image, [FACE]))
    plate = Region(FACE.box_xyxy, kind="plate")
    assert np.array_equal(method.obfuscate(image, [plate, FACE]), method.obfuscate(image, [FACE]))


@pytest.mark.parametrize("feather", [0.0, 0.3, 2.0])
def test_however_wide_the_feather_nothing_is_drawn_beyond_what_was_seen(feather):
    method = Synthesize(str(generator_file()), feather=feather)
    image = noise()
    found = changed(image, method.obfuscate(image, [FACE]))
    x0, y0, x1, y1 = method.footprint([FACE], SIZE_WH)[0]
    assert not np.delete(found, np.s_[y0:y1], axis=0).any()
    assert not np.delete(found, np.s_[x0:x1], axis=1).any()
    _, cy0, _, cy1 = method.core([FACE], SIZE_WH)[0]
    half = 1.75 * (cy1 - cy0) / 2
    reach = int(half - (cy1 - cy0) / 2)
    assert not found[: cy0 - reach].any()
    assert not found[cy1 + reach :].any()


def test_a_copy_comes_without_the_network(method):
    packed = pickle.dumps(method)
    assert len(packed) < 1000
    again = pickle.loads(packed)
    assert again == method
    assert np.array_equal(again.obfuscate(noise(), [FACE]), method.obfuscate(noise(), [FACE]))


def test_without_a_model_it_says_how_to_get_one():
    with pytest.raises(ConfigError, match=r"--set model=.*attack' --method synthesize:model="):
        make_obfuscator("synthesize", {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"enlarge": -0.1}, "'enlarge' of the method 'synthesize' is -0.1"),
        ({"feather": 3.0}, "'feather' of the method 'synthesize' is 3"),
        ({"smallest_px": -1}, "'smallest_px' of the method 'synthesize' is -1"),
        ({"model": "none.onnx"}, r"none\.onnx cannot be read"),
        ({"model_sha256": "00"}, "has the SHA-256"),
    ],
)
def test_settings_that_cannot_be_used(settings, message):
    with pytest.raises(ConfigError, match=message):
        make_obfuscator("synthesize", {"model": str(generator_file())} | settings)


def test_another_file_under_the_path_is_refused(tmp_path: Path):
    path = tmp_path / "generator.onnx"
    path.write_bytes(tiny_generator())
    method = make_obfuscator("synthesize", {"model": str(tmp_path)})
    path.write_bytes(tiny_generator(tint=(0.1, 0, 0)))
    with pytest.raises(ConfigError, match="Give the file that was used before"):
        make_obfuscator("synthesize", method.card.parameters)
    other = make_obfuscator("synthesize", {"model": str(tmp_path)})
    assert other.card != method.card
    image = noise()
    assert not np.array_equal(method.obfuscate(image, [FACE]), other.obfuscate(image, [FACE]))


def test_a_generator_of_an_unknown_kind_is_refused(tmp_path: Path):
    path = tmp_path / "later.onnx"
    path.write_bytes(tiny_generator({"format": "veilset-face-inpainter/9"}))
    with pytest.raises(ConfigError, match=r"later\.onnx is a generator of the kind .*inpainter/9"):
        open_drawer(str(path))
