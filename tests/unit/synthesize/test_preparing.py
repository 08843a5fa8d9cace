# SPDX-License-Identifier: Apache-2.0
"""Faces prepared from photographs: who is in which split, what is left out and why."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from tests.flow.command import command
from tests.unit.networks.drawn_landmarks import drawn_landmarks
from tests.unit.synthesize.drawn_faces import NAMES, drawn_photo, write_drawn_faces
from veilset.annotations.store import write_annotations
from veilset.dataset.folder import FolderReader
from veilset.errors import AnnotationError, ConfigError, DatasetError, ResumeMismatchError, RunError
from veilset.files import sha256_hex
from veilset.networks.landmarks import LANDMARKS_CARD, Points
from veilset.protocols import ShardReport
from veilset.runs import Run
from veilset.synthesize import preparing
from veilset.synthesize.faces_file import CONTEXTS, TARGETS, FaceRow, FacesFile, write_faces
from veilset.synthesize.prepared import SPLITS, split_people
from veilset.synthesize.preparing import PrepareConfig, prepare_faces
from veilset.types import Annotations, BoxXyxy, Image, Region, Status

LANDMARKS = drawn_landmarks()
CONFIG = PrepareConfig(size_hw=(32, 16), shard_size=4)


class DrawnFinder:
    """Finds the landmarks where all drawn faces have them."""

    card = LANDMARKS_CARD

    def find(self, image: Image, box_xyxy: BoxXyxy) -> Points:
        return LANDMARKS.copy()


@pytest.fixture(autouse=True)
def drawn_finder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "LandmarkFinder", DrawnFinder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give ten photographs of five people: one broken, one without a face, one of a bad box."""
    photos = tmp_path / "photos"
    photos.mkdir()
    present = np.random.default_rng(0).random((10, 4)) < 0.5
    for at, row in enumerate(present):
        drawn = drawn_photo(row, LANDMARKS, seed=at)
        PillowImage.fromarray(drawn).save(photos / f"{at}.png")
    (photos / "7.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    lines = [" ".join(["1" if each else "-1" for each in row]) for row in present]
    text = [" ".join(NAMES), *(f"{at}.png {line}" for at, line in enumerate(lines))]
    (tmp_path / "attributes.txt").write_text("\n".join(text))
    (tmp_path / "people.txt").write_text("\n".join(f"{at}.png {at // 2}" for at in range(10)))
    reader = FolderReader(photos)
    with Run.open(tmp_path / "boxes", "import", {"by": "hand"}, reader.describe()) as run:
        for shard in run.missing(reader.shards(100)):
            rows = [_annotated(photos, each.image_id) for each in shard.records]
            digest = write_annotations(tmp_path / "boxes", shard.index, rows)
            run.commit(ShardReport(shard.index, len(rows), digest=digest))
        run.finish()
    return tmp_path


def _annotated(photos: Path, name: str) -> Annotations:
    # A cap behind the face is smaller, and a sure plate is no face.
    face = Region((25.0, 25.0, 75.0, 95.0), score=0.9)
    regions = [Region((0, 0, 9, 9), score=0.99), face, Region((0, 0, 99, 99), "plate", 1.0)]
    if name == "4.png":
        regions = [Region((0, 0, 99, 99), score=0.4), regions[2]]
    digest = sha256_hex((photos / name).read_bytes())
    return Annotations(name, Status.LOOKED, tuple(regions), 100, 100, digest, 1)


def prepare(folder: Path, out: str = "faces", config: PrepareConfig = CONFIG) -> FacesFile:
    prepare_faces(
        folder / "photos",
        folder / out,
        attributes=folder / "attributes.txt",
        identities=folder / "people.txt",
        annotations=folder / "boxes",
        config=config,
        workers=1,
    )
    return FacesFile.open(folder / out)


def test_photographs_become_faces_or_rows_that_say_why_not(folder: Path) -> None:
    found = prepare(folder)
    assert found.image_ids == tuple(f"{at}.png" for at in (0, 1, 2, 3, 5, 6, 8, 9))
    assert found.names == NAMES
    np.testing.assert_array_equal(found.people, [0, 0, 1, 1, 2, 3, 4, 4])
    counts = found.facts["counts"]
    assert (counts["prepared"], counts["left_out"]) == (8, 2)
    assert counts["left_out: no-face"] == 1
    assert sum(count for name, count in counts.items() if name.startswith("left_out: ")) == 2
    assert found.pictures[TARGETS].take([7, 0]).shape == (2, 32, 16, 3)
    with PillowImage.open(folder / "photos" / "9.png") as photo:
        face = preparing.cut_face(np.array(photo), (25, 25, 75, 95), LANDMARKS, CONFIG)
    np.testing.assert_array_equal(found.pictures[TARGETS].take([7])[0], face.target)
    np.testing.assert_array_equal(found.pictures[CONTEXTS].take([7])[0], face.context)
    np.testing.assert_array_equal(found.landmarks_xy[7], face.landmarks_xy)
    assert (folder / "faces").stat().st_mode & 0o077 == 0


def test_where_no_photograph_gives_a_face_the_command_does_not_end_well(folder: Path) -> None:
    words = ("synthesize", "prepare", folder / "photos", "-a", folder / "boxes")
    lists = ("--attributes", folder / "attributes.txt", "--identities", folder / "people.txt")
    said = command(*words, *lists, "-o", folder / "some", "--workers", "1")
    assert "no photograph gave a face" not in said.stderr
    said = command(*words, *lists, "-o", folder / "none", "--min-score", "1", code=3)
    assert "no photograph gave a face to learn from" in said.stderr


@pytest.mark.parametrize(
    "bad",
    [
        {"min_score": math.nan}, {"min_score": 2.0}, {"hide_box": math.nan},
        {"hide_box": math.inf}, {"hide_box": -0.1},
    ],
)  # fmt: skip
def test_settings_that_hide_nothing_or_all_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"Give (one from )?0 to"):
        PrepareConfig(**bad)


def test_nobody_is_in_two_splits(folder: Path) -> None:
    found = prepare(folder)
    for person in range(5):
        assert len(set(found.splits[found.people == person])) == 1
    people = {name: set(found.people[found.rows(name)]) for name in SPLITS}
    assert [len(people[name]) for name in SPLITS] == [3, 1, 1]


def test_interrupted_it_goes_on_and_gives_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare(folder, "whole")
    failed: list[int] = []
    write = write_faces

    def full_disk(out: Path, index: int, rows: list[FaceRow]) -> str:
        if index == 1 and not failed:
            failed.append(index)
            raise RunError("The disk is full.")
        return write(out, index, rows)

    monkeypatch.setattr(preparing, "write_faces", full_disk)
    with pytest.raises(RunError, match="The disk is full"):
        prepare(folder)
    again = prepare(folder)
    assert again.facts["outputs_sha256"] == whole.facts["outputs_sha256"]
    with pytest.raises(ResumeMismatchError, match="context changed from"):
        prepare(folder, config=PrepareConfig(size_hw=(32, 16), shard_size=4, context=2.0))


def test_faces_among_the_photographs_are_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match="lie in each other"):
        prepare(folder, "photos/faces")


def test_a_list_that_leaves_a_photograph_out_is_refused(folder: Path) -> None:
    (folder / "people.txt").write_text("0.png 1\n1.png 2\n")
    with pytest.raises(AnnotationError, match=r"says of 8 photographs not who .* '2\.png'"):
        prepare(folder)


def test_a_damaged_file_of_pictures_is_refused(tmp_path: Path) -> None:
    folder = write_drawn_faces(tmp_path / "faces", n_people=3, n_each=2)
    (path,) = (folder / "pictures").glob("contexts-00001.npy")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DatasetError, match=r"contexts-00001\.npy is missing or damaged"):
        FacesFile.open(folder)
    shutil.rmtree(folder / "table")
    with pytest.raises(DatasetError, match="is missing"):
        FacesFile.open(folder)


def test_pictures_of_several_shards_are_found_by_their_place(tmp_path: Path) -> None:
    found = FacesFile.open(write_drawn_faces(tmp_path / "faces", n_people=3, n_each=2))
    n = len(found.image_ids)
    for shards in found.pictures.values():
        assert len(shards.arrays) == 2
        assert shards.starts.tolist()[-1] == n
        joined = np.concatenate([np.asarray(each) for each in shards.arrays])
        order = np.random.default_rng(0).permutation(n)
        np.testing.assert_array_equal(shards.take(order.tolist()), joined[order])


@given(st.sets(st.integers(0, 10_000), min_size=3, max_size=60), st.integers(0, 99))
def test_a_split_has_everybody_once_and_is_decided_by_the_seed(people: set[int], seed: int) -> None:
    found = split_people(people, seed=seed)
    assert found == split_people(sorted(people, reverse=True), seed=seed)
    assert set(found) == people
    counts = [list(found.values()).count(name) for name in SPLITS]
    assert min(counts) >= 1
    assert counts[1] == counts[2] == max(1, round(0.1 * len(people)))


def test_too_few_people_and_shares_that_make_no_split_are_refused() -> None:
    with pytest.raises(DatasetError, match="2 people cannot be split three ways"):
        split_people([1, 2, 2], seed=0)
    with pytest.raises(ConfigError, match="make no split"):
        split_people([1, 2, 3], seed=0, shares=(0.5, 0.5, 0.5))
