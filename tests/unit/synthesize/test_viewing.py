# SPDX-License-Identifier: Apache-2.0
"""Faces cut out with their surroundings: what is kept, what is left out and why."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.unit.synthesize.drawn_photographs import FACE, write_boxes, write_drawn_photographs
from veilset.errors import AnnotationError, ConfigError, DatasetError, ResumeMismatchError
from veilset.networks.face_generator import view_square
from veilset.plugins import make_obfuscator
from veilset.runs import read_manifest
from veilset.synthesize.prepared import SPLITS
from veilset.synthesize.viewing import ViewConfig, cut_view, prepare_views
from veilset.synthesize.views_file import ViewsFile
from veilset.types import Annotations, Region, Status

CONFIG = ViewConfig(side_px=64, shard_size=5, least_side_px=48, shares=(0.6, 0.2, 0.2))


def prepare(folder: Path, config: ViewConfig = CONFIG, *, named: bool = True) -> ViewsFile:
    prepare_views(
        folder / "photos", folder / "boxes", folder / "views",
        identities=folder / "people.txt" if named else None, config=config, workers=1,
    )  # fmt: skip
    return ViewsFile.open(folder / "views")


def test_every_large_and_sure_face_counts(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "photos").mkdir(parents=True)
    for name in ("00", "01", "02", "03", "04"):
        PillowImage.new("RGB", (100, 100), (9, 9, 9)).save(folder / "photos" / f"{name}.png")
    faces = (Region(FACE, score=0.9), Region((0.0, 0.0, 60.0, 60.0), score=None))
    others = (
        Region((0, 0, 47, 90), score=0.99),
        Region(FACE, "plate", 1.0),
        Region(FACE, score=0.5),
    )
    write_boxes(
        folder,
        **{
            "00": Annotations("00.png", Status.LOOKED, faces, 100, 100),
            "01": Annotations("01.png", Status.LOOKED, others, 100, 100),
            "02": Annotations("02.png", Status.NOT_LOOKED),
            "03": Annotations("03.png", Status.LOOKED, faces, 100, 100, "0" * 64),
        },
    )
    found = prepare(folder, named=False)
    assert found.image_ids == ("00.png", "00.png", "04.png")
    counts = found.facts["counts"]
    assert counts == {
        "faces": 3, "photographs": 2, "left_out": 3, "left_out: no-face": 1,
        "left_out: not-looked": 1, "left_out: changed": 1,
    }  # fmt: skip
    assert (folder / "views").stat().st_mode & 0o077 == 0


def test_a_view_shows_the_face_where_it_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (80, 120, 3), dtype=np.uint8)
    image[30:50, 20:60] = (255, 0, 0)
    cut = cut_view(image, Region((20.0, 30.0, 60.0, 50.0)), ViewConfig(side_px=64, enlarge=0.0))
    x0, y0, x1, y1 = (round(each) for each in cut.core_xyxy)
    inner = cut.picture[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
    assert (inner == (255, 0, 0)).all()
    assert (cut.picture[y0 - 3] != (255, 0, 0)).any()
    # Beyond the photograph there is nothing.
    left = round(cut.inside_xyxy[0])
    assert left > 0
    assert not cut.picture[:, : left - 1].any()
    square = view_square((20, 30, 60, 50), 1.75 * 1.35)
    assert cut.picture.shape[0] == ViewConfig(side_px=64).stored_px
    assert (x1 - x0) / cut.picture.shape[0] == pytest.approx(40 / (square[2] - square[0]), abs=0.02)


def test_a_view_says_what_else_is_hidden_at_its_turn() -> None:
    """The obfuscator draws the largest first: those that are smaller are still hidden then."""
    image = np.zeros((200, 300, 3), np.uint8)
    face, larger = Region((100, 50, 140, 100)), Region((150, 40, 210, 120))
    smaller, plate = Region((80, 60, 95, 80)), Region((110, 110, 130, 115), "plate")
    afar, outside = Region((280, 10, 290, 20)), Region((400, 10, 410, 20))
    regions = [afar, smaller, face, larger, plate, outside]
    config = ViewConfig(side_px=64, enlarge=0.1)
    view = cut_view(image, face, config, regions)
    method = make_obfuscator("veil", {"enlarge": 0.1})
    cores = method.core([face, smaller, plate], (300, 200)).astype(float)
    scale = view.pixel_px
    assert scale == pytest.approx(config.stored_px / (1.75 * 1.35 * 60), rel=0.01)
    x, y = np.subtract(view.core_xyxy[:2], cores[0, :2] * scale)
    expected = cores * scale + (x, y, x, y)
    np.testing.assert_allclose([view.core_xyxy, *view.others_xyxy], expected)
    assert cut_view(image, face, config, [face]).others_xyxy == ()


def test_nobody_is_in_two_splits_and_the_nameless_are_their_own(tmp_path: Path) -> None:
    folder = write_drawn_photographs(tmp_path / "set")
    named = prepare(folder)
    assert len(np.unique(named.people)) == 6
    for person in np.unique(named.people):
        assert len(set(named.splits[named.people == person])) == 1
    assert sum(named.count()[split]["faces"] for split in SPLITS) == 12
    nameless = write_drawn_photographs(tmp_path / "nameless")
    assert len(np.unique(prepare(nameless, named=False).people)) == 12


def test_a_list_that_names_no_photograph_is_refused_and_who_is_named_is_counted(
    tmp_path: Path,
) -> None:
    folder = write_drawn_photographs(tmp_path / "set")
    lines = (folder / "people.txt").read_text()
    (folder / "people.txt").write_text(lines.replace(".png", ".jpg"))
    with pytest.raises(AnnotationError, match=r"none of the 12 .*'00.png'.*'00.jpg'.*as the data"):
        prepare(folder)
    (folder / "people.txt").write_text("".join(lines.splitlines(keepends=True)[:4]))
    prepare(folder)
    assert read_manifest(folder / "views")["extra"] == {
        "identities": {"named": 4, "of": 12, "of_no_photograph": 0}
    }


def test_views_among_the_photographs_are_refused(tmp_path: Path) -> None:
    folder = write_drawn_photographs(tmp_path / "set")
    with pytest.raises(DatasetError, match="lie in each other"):
        prepare_views(folder / "photos", folder / "boxes", folder / "photos" / "views")


def test_other_settings_are_refused_and_the_same_resumed(tmp_path: Path) -> None:
    folder = write_drawn_photographs(tmp_path / "set")
    before = prepare(folder).pictures.take(range(12))
    np.testing.assert_array_equal(prepare(folder).pictures.take(range(12)), before)
    with pytest.raises(ResumeMismatchError, match="least_side_px"):
        prepare(
            folder, ViewConfig(side_px=64, shard_size=5, least_side_px=30, shares=CONFIG.shares)
        )


def test_a_damaged_picture_file_is_named(tmp_path: Path) -> None:
    folder = write_drawn_photographs(tmp_path / "set")
    prepare(folder)
    path = next((folder / "views" / "pictures").iterdir())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DatasetError, match=path.name):
        ViewsFile.open(folder / "views")


def test_faces_too_small_or_too_few_are_told(tmp_path: Path) -> None:
    folder = write_drawn_photographs(tmp_path / "set")
    with pytest.raises(DatasetError, match="larger faces"):
        prepare(folder, ViewConfig(side_px=64, least_side_px=90))
    few = write_drawn_photographs(tmp_path / "few", n=2)
    with pytest.raises(DatasetError, match="at least 3"):
        prepare(few)


@pytest.mark.parametrize(
    "bad",
    [
        {"side_px": 72}, {"side_px": 48}, {"context": 1.0}, {"room": 0.5},
        {"min_score": math.nan}, {"min_score": 1.5}, {"min_score": -0.1},
        {"least_side_px": -1.0}, {"least_side_px": math.inf}, {"least_side_px": math.nan},
    ],
)  # fmt: skip
def test_settings_that_cut_nothing_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cannot be"):
        ViewConfig(**bad)
