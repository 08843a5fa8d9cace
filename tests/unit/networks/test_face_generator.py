# SPDX-License-Identifier: Apache-2.0
"""What a generator of faces sees, where what it draws comes to lie, and its file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.obfuscators import tiny_generator
from veilset.errors import ConfigError
from veilset.networks.face_generator import (
    FILL,
    GENERATOR,
    FaceGenerator,
    IntBox,
    beyond,
    place_face,
    view_face,
    view_square,
)
from veilset.networks.onnx_file import OnnxGraph
from veilset.types import Image, Mask

SIDE = 32
contexts = st.sampled_from([1.1, 1.5, 1.75, 2.3, 4.0])


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Image, Mask, IntBox]:
    """A picture, what is hidden in it, and a core in it, from one pixel to all of it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width, height = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    hidden = rng.random((height, width)) < draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))
    hidden[y0:y1, x0:x1] = True
    return image, hidden, (x0, y0, x1, y1)


def smooth(width: int, height: int) -> Image:
    """A picture that is nearly a plane wherever one looks at it closely."""
    y, x = np.mgrid[0:height, 0:width]
    waves = (np.sin(x / 23) + np.cos(y / 29), np.cos(x / 31 + y / 37), np.sin(y / 41 - x / 43))
    picture: Image = np.rint(np.stack([128 + 50 * each for each in waves], 2)).astype(np.uint8)
    return picture


@given(scenes(), contexts)
def test_hidden_pixels_never_matter(scene: tuple[Image, Mask, IntBox], context: float) -> None:
    image, hidden, core = scene
    before = view_face(image, hidden, core, side_px=SIDE, context=context)
    other = image.copy()
    other[hidden] = 255 - other[hidden]
    after = view_face(other, hidden, core, side_px=SIDE, context=context)
    assert np.array_equal(before.picture(), after.picture())
    assert (before.surroundings[~before.known] == FILL).all()
    assert not (before.to_make & before.known).any()
    assert before.to_make.any()
    assert before.picture().shape == (2 * SIDE, SIDE, 3)


@given(scenes(), contexts, st.integers(0, 40), st.integers(0, 40))
def test_a_place_looks_the_same_wherever_it_lies(
    scene: tuple[Image, Mask, IntBox], context: float, right: int, down: int
) -> None:
    image, hidden, core = scene
    room = 4 * max(image.shape) + 41
    around = ((room, room), (room, room))
    wide, covered = np.pad(image, (*around, (0, 0))), np.pad(hidden, around)
    here = (core[0] + room, core[1] + room, core[2] + room, core[3] + room)
    there = (here[0] - right, here[1] - down, here[2] - right, here[3] - down)
    first = view_face(wide, covered, here, side_px=SIDE, context=context)
    cut = (slice(down, None), slice(right, None))
    second = view_face(wide[cut], covered[cut], there, side_px=SIDE, context=context)
    assert np.array_equal(first.picture(), second.picture())
    made = first.surroundings
    assert np.array_equal(
        place_face(made, here, here, context), place_face(made, there, there, context)
    )


@given(st.integers(8, 120), st.integers(8, 120), contexts)
def test_what_was_seen_comes_back_to_its_place(width: int, height: int, context: float) -> None:
    core = (250, 260, 250 + width, 260 + height)
    image = smooth(700, 700)
    nothing = np.zeros(image.shape[:2], np.bool_)
    view = view_face(image, nothing, core, side_px=128, context=context)
    # In the middle of what was seen: resizing has nothing to mix in beyond its border.
    x0, y0, x1, y1 = view_square(core, context)
    window = (math.ceil(x0) + 2, math.ceil(y0) + 2, math.floor(x1) - 2, math.floor(y1) - 2)
    inside = (max(window[0], core[0]), max(window[1], core[1]),
              min(window[2], core[2]), min(window[3], core[3]))  # fmt: skip
    placed = place_face(view.surroundings, core, inside, context).astype(int)
    wanted = image[inside[1] : inside[3], inside[0] : inside[2]].astype(int)
    assert np.abs(placed - wanted).max() <= 6
    assert np.abs(placed - wanted).mean() <= 1.5


@given(scenes(), contexts)
def test_a_window_has_its_own_size(scene: tuple[Image, Mask, IntBox], context: float) -> None:
    _, _, core = scene
    made = np.full((SIDE, SIDE, 3), 77, np.uint8)
    placed = place_face(made, core, core, context)
    assert placed.shape == (core[3] - core[1], core[2] - core[0], 3)
    assert (placed == 77).all()


@given(scenes(), contexts)
def test_the_core_lies_in_the_middle_of_what_is_seen(
    scene: tuple[Image, Mask, IntBox], context: float
) -> None:
    _, _, core = scene
    x0, y0, x1, y1 = view_square(core, context)
    assert (x0 + x1, y0 + y1) == (core[0] + core[2], core[1] + core[3])
    assert x1 - x0 == y1 - y0
    longer = max(core[2] - core[0], core[3] - core[1])
    assert abs((x1 - x0) - context * longer) <= 1 / 32


def test_what_lies_beyond_the_border_is_not_known() -> None:
    image = smooth(40, 40)
    hidden = np.zeros((40, 40), np.bool_)
    hidden[0:16, 0:16] = True
    view = view_face(image, hidden, (0, 0, 16, 16), side_px=SIDE, context=2.0)
    outside = beyond((24, 24), (-8, -8, 24, 24), (SIDE, SIDE))
    # At 1 px for 1 px there is nothing to mix: what is to be made is all that is hidden.
    assert np.array_equal(view.known, ~outside & ~view.to_make)
    assert not view.known[: SIDE // 4].any()
    assert not view.known[:, : SIDE // 4].any()
    assert view.known[-2, -2]


def test_one_pixel_and_more_than_the_picture() -> None:
    image = smooth(9, 5)
    for core in ((4, 2, 5, 3), (0, 0, 9, 5), (8, 4, 9, 5)):
        hidden = np.zeros((5, 9), np.bool_)
        hidden[core[1] : core[3], core[0] : core[2]] = True
        view = view_face(image, hidden, core, side_px=SIDE, context=1.75)
        assert view.to_make.any()
        assert place_face(view.surroundings, core, core).shape[:2] == (
            core[3] - core[1], core[2] - core[0],
        )  # fmt: skip
    everything = np.ones((5, 9), np.bool_)
    assert not view_face(image, everything, (0, 0, 9, 5)).known.any()


class TestFile:
    def test_a_file_and_its_folder(self, tmp_path: Path) -> None:
        (tmp_path / GENERATOR).write_bytes(tiny_generator())
        generator = FaceGenerator.load(tmp_path)
        assert generator.card.sha256 == FaceGenerator.load(tmp_path / GENERATOR).card.sha256
        assert generator.facts.side_px == SIDE
        assert "none" in generator.card.licence
        view = generator.view(smooth(60, 60), np.zeros((60, 60), np.bool_), (20, 20, 40, 40))
        drawn = generator.draw(view)
        assert drawn.shape == (SIDE, SIDE, 3)
        assert drawn.dtype == np.uint8

    @pytest.mark.parametrize("part", ["to_make", "known", "surroundings"])
    def test_the_tiny_one_depends_on_all_that_it_is_given(self, part: str) -> None:
        generator = FaceGenerator(tiny_generator(), "tiny")
        rng = np.random.default_rng(0)
        view = generator.view(
            rng.integers(0, 256, (60, 60, 3), dtype=np.uint8),
            np.zeros((60, 60), np.bool_),
            (20, 20, 40, 40),
        )
        before = generator.draw(view)
        values = getattr(view, part)
        values[...] = ~values
        assert (generator.draw(view) != before).any()

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.onnx cannot be read: .*Train one with"):
            FaceGenerator.load(tmp_path / "none.onnx")
        with pytest.raises(ConfigError, match=rf"{GENERATOR} cannot be read"):
            FaceGenerator.load(tmp_path)

    def test_another_file_than_before(self, tmp_path: Path) -> None:
        (tmp_path / GENERATOR).write_bytes(tiny_generator())
        with pytest.raises(ConfigError, match=r"has the SHA-256 .* not 00ff"):
            FaceGenerator.load(tmp_path, sha256="00ff")

    def test_a_file_that_was_cut_short(self) -> None:
        model = tiny_generator()
        for n in (1, 20, len(model) // 2, len(model) - 1):
            with pytest.raises(ConfigError, match="one is damaged"):
                FaceGenerator(model[:n], "one")
        with pytest.raises(ConfigError, match="not a generator of faces"):
            FaceGenerator(b"", "one")

    def test_another_network(self) -> None:
        graph = OnnxGraph()
        doubled = graph.node("Add", "x", "x")
        plain = graph.file("x", ("N", 3, "H", "W"), doubled, ("N", 3, "H", "W"))
        with pytest.raises(ConfigError, match="not a generator of faces"):
            FaceGenerator(plain, "one")
        for text in ("[]", "3", "{", '"x"'):
            other = graph.file(
                "x", ("N", 3, 64, 32), doubled, ("N", 3, 64, 32), metadata={"veilset": text}
            )
            with pytest.raises(ConfigError, match="one is damaged"):
                FaceGenerator(other, "one")

    @pytest.mark.parametrize(
        ("card", "message"),
        [
            ({"format": "veilset-face-inpainter/2"}, "of the kind 'veilset-face-inpainter/2'"),
            ({"format": 1}, "not a generator of faces"),
            ({"side_px": 48}, "does not fit its own card"),
            ({"side_px": None}, "one is damaged"),
            ({"side_px": math.inf}, "one is damaged"),
            ({"side_px": 8}, "draws at 8 px"),
            ({"context": 1.0}, "a context of 1.0"),
            ({"context": math.nan}, "a context of nan"),
        ],
    )
    def test_a_card_that_is_not_true(self, card: dict[str, object], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            FaceGenerator(tiny_generator(card), "one")

    def test_what_is_no_picture_is_no_face(self) -> None:
        generator = FaceGenerator(tiny_generator(tint=(math.nan, 0, 0)), "one")
        view = generator.view(smooth(60, 60), np.zeros((60, 60), np.bool_), (20, 20, 40, 40))
        with pytest.raises(ConfigError, match="one gives no picture of 32 x 32 px"):
            generator.draw(view)
