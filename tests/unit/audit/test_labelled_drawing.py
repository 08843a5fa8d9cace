# SPDX-License-Identifier: Apache-2.0
"""Labels in a picture: legible at any size, inside the picture, off the faces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image as PilImage

from veilset.audit.contact_sheets import N_COLUMNS, N_ROWS, TILE_WH, Tile, make_sheets
from veilset.audit.label_drawing import LEAST_SIDE_PX, MOST_SIDE_PX, draw_labels, said
from veilset.audit.label_placing import Placer
from veilset.audit.lettering import own_font, shortened, writable
from veilset.errors import ConfigError
from veilset.types import BoxXyxy, Image, Region

FACE_BLUE, NSFW_ORANGE = (86, 180, 233), (230, 159, 0)


def person(box: BoxXyxy, age: float = 27.0) -> Region:
    return Region(box, attributes={"age": age, "age_low": age - 5, "age_high": age + 6,
                                   "gender": "female", "gender_score": 0.93})  # fmt: skip


def grey(width: int, height: int, level: int = 128) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def crowd(n: int, size_px: float, width: int, height: int) -> list[Region]:
    """Faces on a grid, as far apart as the picture lets them be."""
    columns = int(np.ceil(np.sqrt(n * width / height)))
    rows = -(-n // columns)
    return [
        person((x := (i % columns) * width / columns, y := (i // columns) * height / rows,
                x + size_px, y + size_px), age=float(i % 80))
        for i in range(n)
    ]  # fmt: skip


def colour_count(picture: Image, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - colour).sum(axis=2) < 8).sum())


@pytest.mark.parametrize(
    "size_wh",
    [(1, 1), (3, 2), (100, 75), (75, 100), (500, 375), (2000, 1500), (900, 6), (6, 900)],
)
def test_any_size_gives_a_picture_large_enough_to_read(size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    image = grey(width, height)
    before = image.copy()
    picture = draw_labels(image, [person((0.1, 0.1, width * 0.5, height * 0.5))])
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert max(picture.shape) >= LEAST_SIDE_PX
    assert min(picture.shape[:2]) >= 20
    # The ground of the text, and the letters on it.
    assert colour_count(picture, FACE_BLUE) > 1000
    assert (image == before).all()


def test_largest_images_are_made_smaller() -> None:
    picture = draw_labels(grey(12_000, 40), [person((10, 5, 30, 30))])
    assert picture.shape[1] == MOST_SIDE_PX


def test_pixels_of_a_lone_face_stay_as_they_are() -> None:
    image = np.random.default_rng(1).integers(0, 256, (800, 1200, 3), dtype=np.uint8)
    picture = draw_labels(image, [person((500, 300, 600, 420))])
    assert picture.shape == image.shape
    assert (picture[300:420, 500:600] == image[300:420, 500:600]).all()
    changed = (picture != image).any(axis=2)
    rows, _ = np.nonzero(changed)
    assert len(rows) > 1000
    # Only around the box and in a label beside it.
    assert rows.min() > 250
    assert rows.max() < 450


@pytest.mark.parametrize("n", [2, 9, 40, 100])
def test_faces_of_a_crowd_are_not_covered(n: int) -> None:
    width, height = 1024, 768
    image = np.random.default_rng(n).integers(60, 200, (height, width, 3), dtype=np.uint8)
    regions = crowd(n, 6, width - 8, height - 8)
    picture = draw_labels(image, regions)
    scale = picture.shape[1] / width
    assert scale > 2
    plain = np.asarray(
        PilImage.fromarray(image).resize(
            (round(width * scale), round(height * scale)), PilImage.Resampling.BICUBIC
        )
    )
    covered = 0
    for region in regions:
        x0, y0, x1, y1 = (round(each * scale) for each in region.box_xyxy)
        inside = (slice(y0 + 2, y1 - 2), slice(x0 + 2, x1 - 2))
        covered += bool((picture[inside] != plain[inside]).any() and x0 > 8 and y0 > 8)
    assert covered == 0


def test_crowd_has_every_number_once_and_its_texts_below() -> None:
    few, many = (draw_labels(grey(1000, 700), crowd(n, 12, 990, 690)) for n in (12, 60))
    assert few.shape[0] / few.shape[1] == pytest.approx(0.7, abs=0.01)
    # A list on paper below the picture.
    assert many.shape[0] / many.shape[1] > 0.8
    assert many[-3:].min() == 255


def test_endless_crowd_ends_before_a_file_does() -> None:
    picture = draw_labels(grey(60, 3000), crowd(1400, 4, 56, 2990))
    assert 29_000 < picture.shape[0] < 31_000


def test_same_pixels_each_time() -> None:
    image, regions = grey(400, 300), crowd(9, 20, 390, 290)
    assert (draw_labels(image, regions) == draw_labels(image, regions)).all()


def test_kinds_differ_in_colour_and_in_dashes() -> None:
    boxes: list[BoxXyxy] = [(100, 100, 300, 300)]
    face = draw_labels(grey(1000, 700), [Region(box) for box in boxes])
    nsfw = draw_labels(grey(1000, 700), [Region(box, kind="nsfw") for box in boxes])
    plate = draw_labels(grey(1000, 700), [Region(box, kind="plate") for box in boxes])
    assert colour_count(face, FACE_BLUE)
    assert not colour_count(face, NSFW_ORANGE)
    assert colour_count(nsfw, NSFW_ORANGE)
    # The left side of the outline, from top to bottom: drawn through, or in pieces.
    for picture, is_whole in ((face, True), (nsfw, False), (plate, False)):
        side = picture[110:290, 96:100].astype(int).max(axis=(1, 2)) > 150
        assert bool(side.all()) is is_whole
        assert side.any()


def test_faces_at_every_border_and_outside_are_outlined() -> None:
    boxes: list[BoxXyxy] = [
        (0, 0, 30, 30), (970, 0, 1000, 30), (0, 670, 30, 700), (970, 670, 1000, 700),
        (-50, 300, -20, 330), (1100, 800, 1150, 850), (0, 0, 1000, 700), (500, 350, 500, 350),
    ]  # fmt: skip
    for box in boxes:
        picture = draw_labels(grey(1000, 700), [Region(box)])
        assert colour_count(picture, FACE_BLUE) > 8, box


def test_box_is_seen_on_its_own_colour_and_on_black_and_white() -> None:
    for ground in (FACE_BLUE, (0, 0, 0), (255, 255, 255)):
        image = np.full((700, 1000, 3), ground, np.uint8)
        picture = draw_labels(image, [Region((400, 300, 500, 400))])
        assert (picture[300:400, 390:400] != image[300:400, 390:400]).any(axis=(1, 2)).all()


def test_small_pictures_are_brief() -> None:
    image = grey(1000, 750)
    few = draw_labels(image, [person((300, 300, 500, 500))], long_side_px=300)
    assert few.shape == (225, 300, 3)
    assert colour_count(few, FACE_BLUE) > 300
    many = draw_labels(image, crowd(30, 40, 990, 740), long_side_px=300)
    assert many.shape == (225, 300, 3)


def test_texts() -> None:
    known = person((0, 0, 9, 9))
    assert said(known) == "27 (22-33)  female 93 %"
    assert said(Region((0, 0, 9, 9), attributes={"age": 4.6})) == "5"
    assert said(Region((0, 0, 9, 9), attributes={"gender": " male "})) == "male"
    assert said(Region((0, 0, 9, 9))) == ""
    nsfw = Region((0, 0, 9, 9), "nsfw", 0.456, attributes={"label": "BELLY_EXPOSED"})
    assert said(nsfw) == "nsfw BELLY_EXPOSED 46 %"
    assert said(nsfw, brief=True) == "nsfw"


@pytest.mark.parametrize(
    "attributes",
    [
        {"age": "27"}, {"age": True}, {"age": float("nan")}, {"age": float("inf")},
        {"gender": 1}, {"gender": "  "}, {"age_low": 3.0, "age_high": 9.0},
    ],
)  # fmt: skip
def test_what_is_no_estimate_is_not_told(attributes: dict[str, str | float]) -> None:
    assert said(Region((0, 0, 9, 9), attributes=attributes)) == ""


def test_long_and_foreign_texts_stay_on_a_line() -> None:
    long = Region((10, 10, 60, 60), attributes={"gender": "sehr lang\n" * 50})
    text = said(long)
    assert len(text) == 48
    assert text.endswith("…")
    assert "\n" not in text
    assert said(Region((0, 0, 9, 9), attributes={"gender": "féminin"})) == "feminin"
    assert said(Region((0, 0, 9, 9), attributes={"gender": "女"})) == "\\u5973"
    picture = draw_labels(grey(100, 80), [long])
    assert picture.shape == (768, 960, 3)


@pytest.mark.parametrize("bad", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), "u1")])
def test_what_is_no_picture_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="uint8"):
        draw_labels(bad, [])


def test_labels_stay_in_the_picture_and_off_each_other() -> None:
    random = np.random.default_rng(3)
    corners = random.uniform(0, 900, (80, 2))
    boxes = np.concatenate([corners, corners + random.uniform(4, 60, (80, 2))], axis=1)
    placer = Placer(boxes, (1000, 1000))
    placed = []
    for index in range(len(boxes)):
        place = placer.find(index, (24, 14), may_move=True)
        assert 0 <= place.left <= 1000 - 24
        assert 0 <= place.top <= 1000 - 14
        placer.take(place, (24, 14))
        placed.append(place)
    pairs = [
        (a, b)
        for i, a in enumerate(placed)
        for b in placed[:i]
        if abs(a.left - b.left) < 24 and abs(a.top - b.top) < 14
    ]
    assert pairs == []


def test_label_prefers_the_place_above_its_box() -> None:
    place = Placer(np.array([[100.0, 100, 140, 150]]), (500, 500)).find(0, (60, 20))
    assert (place.left, place.top, place.is_apart, place.n_covered) == (100, 79, False, 0.0)
    at_top = Placer(np.array([[100.0, 5, 140, 50]]), (500, 500)).find(0, (60, 20))
    assert at_top.top == 51


def test_words_of_the_font() -> None:
    assert writable("Müller 5") == "Muller 5"
    assert writable("a\tb") == "a\\x09b"
    font = own_font(12)
    for width in (0, 5, 40, 100, 1000):
        cut = shortened("x" * 200 + ".jpg", font, width)
        assert cut == "…" or font.getlength(cut) <= width
    assert shortened("short", font, 500) == "short"


def test_sheets_hold_a_page_of_tiles_each_and_the_last_ends_early() -> None:
    n = N_COLUMNS * N_ROWS + 2
    taken = []

    def tiles() -> Iterator[Tile]:
        for i in range(n):
            taken.append(i)
            yield Tile(f"folder/{i}.jpg", "1 face", grey(300, 100 + i, 10))

    pages = make_sheets(tiles(), "Private")
    first = next(pages)
    assert len(taken) == N_COLUMNS * N_ROWS
    (last,) = pages
    assert first.width == last.width
    assert first.height > last.height > TILE_WH[1]
    dark = (np.asarray(first.convert("L")) < 20).mean()
    assert 0.2 < dark < 0.8


def test_no_tile_is_larger_than_its_room() -> None:
    (page,) = make_sheets([Tile("a.jpg", "", grey(900, 900, 0))], "Private")
    black = np.argwhere(np.asarray(page.convert("L")) == 0)
    (top, left), (bottom, right) = black.min(axis=0), black.max(axis=0)
    assert bottom - top < TILE_WH[1] + 60
    assert right - left < TILE_WH[0]
    assert list(make_sheets([], "Private")) == []
