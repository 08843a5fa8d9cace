# SPDX-License-Identifier: Apache-2.0
"""What every announced recogniser has to honour, ours or another package's.

One that brings no weights has to refuse to start without them; here it is given tiny ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.contract.model_checks import (
    check_cards,
    check_depends_on_the_image_alone,
    check_may_be_read_only,
    check_plain,
    look_once,
)
from tests.unit.attack.tiny_embedders import build_embedder
from veilset.errors import ConfigError, MissingExtraError
from veilset.plugins import list_plugins, make_recogniser
from veilset.protocols import Recogniser, RecogniserSettings
from veilset.types import Image, Region

NAMES = [info.name for info in list_plugins("recogniser")]
NEED_WEIGHTS = {"arcface"}

FACES = {
    "inside": (20.0, 10.0, 60.0, 55.0),
    "over the border": (-15.5, 30.0, 40.0, 90.25),
    "larger than the image": (-40.0, -30.0, 130.0, 120.0),
    "one pixel": (33.0, 21.0, 34.0, 22.0),
    "the last pixel": (89.0, 69.0, 90.0, 70.0),
    "less than a pixel": (33.3, 21.2, 33.6, 21.3),
    "without area": (50.0, 50.0, 50.0, 50.0),
    "outside": (200.0, 200.0, 240.0, 250.0),
}


@pytest.fixture(scope="module", params=NAMES)
def recogniser(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Recogniser:
    name, weights = request.param, None
    if name in NEED_WEIGHTS:
        weights = str(build_embedder(tmp_path_factory.mktemp(name) / "tiny.onnx"))
    try:
        return make_recogniser(name, RecogniserSettings(weights=weights, n_threads=4))
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def image() -> Image:
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def chips(recogniser: Recogniser, image: Image) -> list[Image]:
    return [recogniser.cut(image, Region(FACES[name])) for name in ("inside", "over the border")]


def test_there_is_one() -> None:
    assert {"arcface", "dlib"} <= set(NAMES)


@pytest.mark.parametrize("name", sorted(NEED_WEIGHTS))
def test_without_weights_it_says_what_to_do(name: str) -> None:
    with pytest.raises(ConfigError, match="--weights"):
        make_recogniser(name, RecogniserSettings())


def test_cards_say_where_the_weights_come_from(recogniser: Recogniser) -> None:
    check_cards(recogniser.cards)
    assert all(len(card.sha256) == 64 for card in recogniser.cards)


def test_settings_are_plain_values(recogniser: Recogniser) -> None:
    assert recogniser.settings
    check_plain(recogniser.settings)


def test_distances_have_a_metric_and_a_threshold(recogniser: Recogniser) -> None:
    assert recogniser.metric in ("euclidean", "cosine")
    assert recogniser.threshold is None or 0 < recogniser.threshold < math.inf


@pytest.mark.parametrize("size_hw", [(70, 90), (1, 1), (1, 90), (90, 1)], ids=str)
@pytest.mark.parametrize("face", FACES)
def test_chips_have_one_shape(recogniser: Recogniser, face: str, size_hw: tuple[int, int]) -> None:
    image = np.full((*size_hw, 3), 200, np.uint8)
    chip = recogniser.cut(image, Region(FACES[face]))
    assert chip.shape == (recogniser.side_px, recogniser.side_px, 3)
    assert chip.dtype == np.uint8


def test_chips_show_the_face(recogniser: Recogniser) -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    image[..., 2] = 50
    image[100:200, 150:250, :2] = (250, 100)
    chip = recogniser.cut(image, Region((150.0, 100.0, 250.0, 200.0)))
    middle = chip[recogniser.side_px // 2, recogniser.side_px // 2]
    np.testing.assert_allclose(middle, (250, 100, 50), atol=5)


def test_the_face_is_where_the_other_image_shows_it(recogniser: Recogniser, image: Image) -> None:
    other = image[::-1].copy()
    face = Region(FACES["inside"])
    plain = recogniser.cut(image, face)
    np.testing.assert_array_equal(recogniser.cut(image, face, aligned_on=image), plain)
    assert not np.array_equal(recogniser.cut(image, face, aligned_on=other), plain)
    # Where it is depends on the other image alone, what it shows on this one alone.
    inverted = recogniser.cut(255 - image, face, aligned_on=image)
    inside = (plain > 0).any(axis=2) & (inverted > 0).any(axis=2)
    assert inside.mean() > 0.5
    off = np.abs(255 - inverted[inside].astype(int) - plain[inside])
    # At the border of the image both are mixed with black.
    assert (off <= 2).mean() > 0.95


def test_images_are_left_alone_and_may_be_read_only(recogniser: Recogniser, image: Image) -> None:
    face = Region(FACES["over the border"])
    kept = image.copy()
    found = recogniser.cut(image, face)
    np.testing.assert_array_equal(image, kept)
    kept.setflags(write=False)
    np.testing.assert_array_equal(recogniser.cut(kept, face, aligned_on=kept), found)


def embeddings(recogniser: Recogniser, chips: Sequence[Image]) -> list[tuple[float, ...]]:
    return [tuple(row) for row in recogniser.embed(chips).tolist()]


def test_embeddings_are_finite_and_tell_faces_apart(
    recogniser: Recogniser, chips: list[Image]
) -> None:
    black = np.zeros((recogniser.side_px, recogniser.side_px, 3), np.uint8)
    found = recogniser.embed([*chips, black])
    assert found.dtype == np.float32
    assert found.ndim == 2
    assert found.shape[0] == 3
    assert np.isfinite(found).all()
    # Of each a direction can be compared.
    assert (np.linalg.norm(found, axis=1) > 0).all()
    assert len(np.unique(found, axis=0)) == 3


def test_result_depends_on_the_face_alone(recogniser: Recogniser, chips: list[Image]) -> None:
    def look(faces: Sequence[Image]) -> list[tuple[float, ...]]:
        return embeddings(recogniser, faces)

    found = look_once(look, chips)
    check_may_be_read_only(look, chips, found)
    check_depends_on_the_image_alone(look, chips, found)


def test_four_threads_find_the_same(
    recogniser: Recogniser, image: Image, chips: list[Image]
) -> None:
    alone = embeddings(recogniser, chips[:1])

    def whole(_: int) -> list[tuple[float, ...]]:
        return embeddings(recogniser, [recogniser.cut(image, Region(FACES["inside"]))])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(whole, range(4))) == [alone] * 4


def test_no_faces_give_no_embeddings(recogniser: Recogniser, chips: list[Image]) -> None:
    none = recogniser.embed([])
    assert none.shape == (0, recogniser.embed(chips[:1]).shape[1])
    assert none.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"device": "tpu"}, "device"),
        ({"precision": "half"}, "precision"),
        ({"runtime": "magic"}, "runtime"),
        ({"threshold": -0.1}, "threshold"),
        ({"threshold": math.nan}, "threshold"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_honoured_are_refused(
    name: str,
    bad: dict[str, str | float],
    said: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    weights = None
    if name in NEED_WEIGHTS:
        weights = str(build_embedder(tmp_path_factory.mktemp(name) / "tiny.onnx"))
    settings = RecogniserSettings(weights=weights, **bad)  # type: ignore[arg-type]  # by name
    try:
        with pytest.raises(ConfigError, match=said):
            make_recogniser(name, settings)
    except MissingExtraError as error:
        pytest.skip(str(error))
