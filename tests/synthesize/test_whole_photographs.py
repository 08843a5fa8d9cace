# SPDX-License-Identifier: Apache-2.0
"""The report's generator in whole photographs: no peek, and the ellipse beyond the box too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.networks.drawn_landmarks import drawn_landmarks
from tests.unit.synthesize.drawn_faces import CONFIG, NAMES
from veilset.errors import ConfigError
from veilset.networks.face_ellipse import face_ellipse
from veilset.networks.factor_generator import FACE_ATTRIBUTES, FactorGenerator
from veilset.networks.landmarks import Points
from veilset.obfuscate.synthesize import Synthesize
from veilset.obfuscate.veil import Veil
from veilset.protocols import RuntimeSettings
from veilset.types import Image, Mask, Region

SIZE_WH = (240, 180)


def region(landmarks_xy: Points, chosen: str = "Smiling Young") -> Region:
    x0, y0 = landmarks_xy.min(axis=0)
    x1, y1 = landmarks_xy.max(axis=0)
    points = tuple((float(x), float(y)) for x, y in landmarks_xy)
    return Region(
        (x0, y0, x1, y1), landmarks_xy=points, attributes={FACE_ATTRIBUTES: chosen, "n": 1}
    )


# Two that see each other, and one that no landmarks were found for.
FACES = (
    region(drawn_landmarks((70, 80), 50, 60, 0.2)),
    region(drawn_landmarks((135, 90), 40, 50)),
)
UNKNOWN = Region((185, 100, 225, 150))


@pytest.fixture
def photo() -> Image:
    return np.random.default_rng(1).integers(0, 256, (*SIZE_WH[::-1], 3), dtype=np.uint8)


@pytest.fixture
def method(exported: Path) -> Synthesize:
    return Synthesize(model=str(exported))


def replaced(method: Synthesize, face: Region) -> Mask:
    mask = face_ellipse(face.landmarks_xy, margin=CONFIG.margin).mask(SIZE_WH)
    ((x0, y0, x1, y1),) = method.core([face], SIZE_WH)
    mask[y0:y1, x0:x1] = True
    return mask


def test_hidden_pixels_change_no_byte(method: Synthesize, photo: Image) -> None:
    regions = [*FACES, UNKNOWN]
    hidden = np.logical_or(*(replaced(method, face) for face in FACES))
    noise = np.random.default_rng(2).integers(0, 256, photo.shape, dtype=np.uint8)
    first = method.obfuscate(photo, regions)
    other = method.obfuscate(np.where(hidden[..., None], noise, photo), regions)
    np.testing.assert_array_equal(first, other)
    seen = method.obfuscate(np.where(hidden[..., None], photo, noise), regions)
    assert (seen[hidden] != first[hidden]).any()


def test_all_that_is_replaced_lies_in_the_footprint(method: Synthesize, photo: Image) -> None:
    made = method.obfuscate(photo, FACES)
    changed = (made != photo).any(axis=2)
    for x0, y0, x1, y1 in method.footprint(FACES, SIZE_WH):
        changed[y0:y1, x0:x1] = False
    assert not changed.any()
    beyond = replaced(method, FACES[0])
    ((x0, y0, x1, y1),) = method.core(FACES[:1], SIZE_WH)
    beyond[y0:y1, x0:x1] = False
    assert beyond.sum() > 100
    assert ((made != photo).any(axis=2) & beyond).sum() > 0.95 * beyond.sum()


def test_the_order_of_regions_does_not_matter(method: Synthesize, photo: Image) -> None:
    regions = [*FACES, UNKNOWN]
    first = method.obfuscate(photo, regions)
    np.testing.assert_array_equal(first, method.obfuscate(photo, regions[::-1]))


def test_chosen_attributes_reach_the_face(method: Synthesize, photo: Image) -> None:
    made = [
        method.obfuscate(photo, [region(np.array(FACES[0].landmarks_xy), chosen)])
        for chosen in ("", " ".join(NAMES))
    ]
    assert (made[0] != made[1]).any()


@pytest.mark.parametrize(
    ("face", "reason"),
    [
        (UNKNOWN, "no landmarks"),
        (replace(FACES[0], attributes={}), "no attributes chosen"),
        (replace(FACES[0], box_xyxy=(150, 20, 200, 80)), "landmarks that do not fit its box"),
        (replace(FACES[0], box_xyxy=(69, 79, 71, 81)), "landmarks that do not fit its box"),
        (replace(FACES[0], landmarks_xy=((70.0, 80.0),) * 68), "landmarks that do not fit its box"),
        (replace(FACES[0], kind="plate"), "not a face"),
    ],
)
def test_what_cannot_be_drawn_is_veiled(
    method: Synthesize, photo: Image, face: Region, reason: str
) -> None:
    assert method.substituted([face], SIZE_WH) == [reason]
    veil = Veil(enlarge=method.enlarge, feather=method.feather)
    np.testing.assert_array_equal(method.obfuscate(photo, [face]), veil.obfuscate(photo, [face]))
    np.testing.assert_array_equal(
        method.footprint([face], SIZE_WH), veil.footprint([face], SIZE_WH)
    )


def test_attributes_that_the_generator_does_not_know_are_refused(
    method: Synthesize, photo: Image
) -> None:
    face = replace(FACES[0], attributes={FACE_ATTRIBUTES: "Young Bearded"})
    with pytest.raises(ConfigError, match="attribute 'Bearded', which the generator does not know"):
        method.obfuscate(photo, [face])


def test_both_runtimes_draw_the_same(exported: Path, photo: Image) -> None:
    model = exported.read_bytes()
    hidden = np.zeros(photo.shape[:2], np.bool_)
    made = [
        FactorGenerator(model, "x", RuntimeSettings(runtime=name)).draw(photo, hidden, FACES[0])
        for name in ("openvino", "onnxruntime")
    ]
    assert int(np.abs(made[0].astype(int) - made[1]).max()) <= 1
    with pytest.raises(ConfigError, match="does not run on --device cuda yet"):
        FactorGenerator(model, "x", RuntimeSettings(device="cuda"))


def test_a_file_that_does_not_fit_its_card_is_refused(exported: Path, tmp_path: Path) -> None:
    model = exported.read_bytes()
    path = tmp_path / "generator.onnx"
    path.write_bytes(model.replace(b'"Young"', b'"A","B"'))
    with pytest.raises(ConfigError, match="does not fit its own card"):
        Synthesize(model=str(path))
    path.write_bytes(model.replace(b'"cutting"', b'"cuttinG"'))
    with pytest.raises(ConfigError, match="damaged, or was exported by an older"):
        Synthesize(model=str(path))
