# SPDX-License-Identifier: Apache-2.0
"""Who is on which photograph, what of it is used, and which half the attacker holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.attack.drawn_attack import QUICK, Album, annotate_album, draw_album
from veilset.annotations.store import AnnotationSet
from veilset.attack.faces import ChosenImages, choose_photographs, face_of, visible_side_px
from veilset.attack.identities import (
    GALLERY,
    PROBE,
    Named,
    Split,
    read_identities,
    split_photographs,
)
from veilset.dataset.folder import FolderReader
from veilset.errors import ConfigError, DatasetError
from veilset.types import Annotations, ImageRecord, Region, Status

PHOTOS = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "who.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_folders_are_people() -> None:
    found = read_identities("folders", [*PHOTOS, "alone.jpg", "x/deep/1.jpg"])
    assert {name: each.person for name, each in found.items()} == {
        "a/1.jpg": "a", "a/2.jpg": "a", "b/1.jpg": "b", "x/deep/1.jpg": "deep",
    }  # fmt: skip
    with pytest.raises(DatasetError, match="None of the 1 photographs lies in a folder"):
        read_identities("folders", ["alone.jpg"])


@pytest.mark.parametrize(
    "text",
    [
        "a/1.jpg 7\na/2.jpg\t7\n\nb/1.jpg   9\n",
        "image_id,person\na/1.jpg,7\n\na/2.jpg, 7\nb/1.jpg,9\n",
        '"image_id", "person"\n"a/1.jpg","7"\n"a/2.jpg","7"\nb/1.jpg,9\n',
        "\ufeffimage_id, person\r\na/1.jpg,7\r\na/2.jpg,7\r\nb/1.jpg,9\r\n",
        "a/1.jpg 7\na/1.jpg 7\na/2.jpg 7\nb/1.jpg 9\nnot/there.jpg 3\n",
    ],
)
def test_both_kinds_of_files_are_read(tmp_path: Path, text: str) -> None:
    found = read_identities(written(tmp_path, text), PHOTOS)
    assert list(found) == PHOTOS
    assert [each.person for each in found.values()] == ["7", "7", "9"]


def test_names_with_spaces_and_given_halves(tmp_path: Path) -> None:
    assert read_identities(written(tmp_path, "my photo 1.jpg 7\n"), ["my photo 1.jpg"])
    text = 'image_id,person,half\n"a, b.jpg",Ann Lee,gallery\nc.jpg,Ann Lee,\n'
    found = read_identities(written(tmp_path, text), ["a, b.jpg", "c.jpg"])
    assert found == {"a, b.jpg": Named("Ann Lee", "gallery"), "c.jpg": Named("Ann Lee")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "name nobody"),
        ("\n \n", "name nobody"),
        ("image_id,person\n", "name nobody"),
        ("a/1.jpg 7\na/1.jpg 8\n", "line 2: 'a/1.jpg' is named twice, as two people"),
        ("image_id,person\na/1.jpg,7\na/1.jpg,8\n", "line 3: 'a/1.jpg' is named twice"),
        ("image_id,person,half\na/1.jpg,7,probe\na/1.jpg,7,gallery\n", "line 3: 'a/1.jpg' is nam"),
        ("a/1.jpg\n", "line 1: 'a/1.jpg' is no image and person"),
        ("file,who\na/1.jpg,7\n", "line 1: 'file,who' is no image and person"),
        ("image_id,person,split\na/1.jpg,7,train\n", "has the columns image_id, person, split"),
        ("image_id,person,half\na/1.jpg,7,train\n", "line 2: give image_id,person,half"),
        ("image_id,person\na/1.jpg\n", "line 2: give image_id,person"),
        ("image_id,person\na/1.jpg,\n", "line 2: give image_id,person"),
        ('image_id,person\n"' + "x" * 200_000, "cannot be read as CSV"),
        ('image_id,person\n"a/1.jpg,7\na/2.jpg,7\n', "cannot be read as CSV"),
        (b"a/1.jpg \xff\xfe\n", "no UTF-8 text"),
        (b"\x00\x01\x02", "is no image and person"),
    ],
)
def test_what_a_file_may_not_hold(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        read_identities(written(tmp_path, text), PHOTOS)
    assert len(str(error.value)) < 500


def test_a_file_that_is_none_or_of_another_data_set(tmp_path: Path) -> None:
    for place in (tmp_path / "missing.txt", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_identities(str(place), PHOTOS)
    with pytest.raises(DatasetError, match="names none of the 3 photographs"):
        read_identities(written(tmp_path, "1.jpg 7\n"), PHOTOS)
    with pytest.raises(DatasetError, match="names none of the 0 photographs"):
        read_identities(written(tmp_path, "1.jpg 7\n"), [])


@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=8),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 3),
)
def test_every_person_is_on_both_sides(counts: list[int], share: float, seed: int) -> None:
    named = {
        f"{who}/{n}": Named(str(who)) for who, count in enumerate(counts) for n in range(count)
    }
    if sum(count > 1 for count in counts) < 2:
        with pytest.raises(DatasetError, match="can be attacked, and at least two are needed"):
            split_photographs(named, share, seed)
        return
    split = split_photographs(named, share, seed)
    kept = [n for n in counts if n > 1]
    assert len(split.people) == len(kept)
    assert split.left_out.get("one photograph", 0) == len(counts) - len(kept)
    for code, person in enumerate(split.people):
        mine = [name for name, each in split.codes.items() if each == code]
        assert mine == [f"{person}/{n}" for n in range(counts[int(person)])]
        sides = Counter(split.halves[name] for name in mine)
        assert sides[GALLERY] == min(max(1, round(share * len(mine))), len(mine) - 1)
        assert sides[GALLERY] + sides[PROBE] == len(mine)


def test_the_split_is_of_names_and_seed_alone() -> None:
    named = {f"{who}/{n}": Named(who) for who in "abcd" for n in range(6)}
    first = split_photographs(named, 0.5, seed=1)
    turned = split_photographs(dict(reversed(named.items())), 0.5, seed=1)
    assert turned.halves == first.halves
    more = split_photographs(named | {f"e/{n}": Named("e") for n in range(3)}, 0.5, seed=1)
    assert {name: more.halves[name] for name in first.halves} == first.halves
    assert split_photographs(named, 0.5, seed=2).halves != first.halves


def given_halves(**photos: str) -> Split:
    """Split photographs of given halves: ``g`` and ``p`` in order, by person; - for none."""
    halves = {"g": GALLERY, "p": PROBE, "-": ""}
    named = {
        f"{who}/{n}": Named(who, halves[letter])
        for who, letters in photos.items()
        for n, letter in enumerate(letters)
    }
    return split_photographs(named, 0.5, seed=1)


def test_given_halves_are_kept_and_others_are_counted() -> None:
    split = given_halves(a="gp", b="ggpp", c="pp", d="gg", e="g", f="g-")
    assert split.people == ("a", "b", "f")
    assert [split.halves[f"b/{n}"] for n in range(4)] == [GALLERY, GALLERY, PROBE, PROBE]
    assert split.halves["f/1"] == PROBE
    assert split.left_out == {
        "not in the gallery": 2, "not among the probes": 2, "one photograph": 1,
    }  # fmt: skip


def test_people_of_whom_one_half_is_missing_are_told() -> None:
    with pytest.raises(
        DatasetError, match=r"0 of 2 people.*4 photographs left out: not in the gal"
    ):
        given_halves(a="pp", b="pp")
    with pytest.raises(DatasetError, match=r"1 of 2 people can be attacked.*one photograph"):
        given_halves(a="gp", b="g")


def region(*box: float, score: float | None = 0.9, kind: str = "face") -> Region:
    return Region((box[0], box[1], box[2], box[3]), kind=kind, score=score)


def test_the_face_is_the_largest_that_is_sure_enough() -> None:
    small, large = region(0, 0, 9, 9), region(0, 0, 30, 30, score=0.4)
    plate, drawn = region(0, 0, 90, 90, kind="plate"), region(50, 50, 60, 60, score=None)
    row = Annotations("a", Status.LOOKED, (small, large, plate, drawn), 100, 100)
    assert face_of(row, 0.5) is drawn
    assert face_of(row, 0.3) is large
    off, middle = region(0, 0, 20, 20), region(41, 40, 61, 60)
    for faces in ((off, middle), (middle, off)):
        assert face_of(Annotations("a", Status.LOOKED, faces, 100, 100), 0.5) is middle
    assert face_of(Annotations("a", Status.LOOKED, (plate,), 100, 100), 0.5) is None
    assert visible_side_px(region(-10, 0, 20, 40), (100, 100)) == 20
    assert visible_side_px(region(200, 0, 240, 40), (100, 100)) == 0


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    return draw_album(tmp_path_factory.mktemp("album"), n_people=3, n_each=(4, 3, 1))


def test_why_photographs_are_left_out(album: Album, tmp_path: Path) -> None:
    known = AnnotationSet(album.annotations)
    boxes = {row.image_id: row.regions[0] for row in known}
    names = album.image_ids()
    boxes[names[0]] = region(0, 0, 40, 20)
    del boxes[names[4]]
    told = Album(tmp_path)
    (tmp_path / "photos").symlink_to(album.photos)
    annotate_album(told, boxes, not_searched=[names[1]])
    chosen = choose_photographs(AnnotationSet(told.annotations), QUICK)
    assert chosen.left_out == {
        "face below 24 px": 1, "not searched for faces": 1, "no face found": 1,
        "one photograph": 1,
    }  # fmt: skip
    assert [each.image_id for each in chosen.records] == [*names[2:4], *names[5:7]]
    assert chosen.sides_px == (32.0,) * 4


def test_no_face_at_all(album: Album, tmp_path: Path) -> None:
    told = Album(tmp_path)
    (tmp_path / "photos").symlink_to(album.photos)
    annotate_album(told, {})
    with pytest.raises(DatasetError, match=r"No photograph can be attacked \(8: no face found\)"):
        choose_photographs(AnnotationSet(told.annotations), QUICK)
    with pytest.raises(DatasetError, match=r"No photograph can be attacked \(8: face below 99 px"):
        choose_photographs(AnnotationSet(album.annotations), replace(QUICK, least_side_px=99))


def test_chosen_images_are_read_one_by_one(album: Album) -> None:
    reader = FolderReader(album.photos)
    records = tuple(ImageRecord(name) for name in album.image_ids()[::2])
    images = ChosenImages(reader, records, {"annotations_sha256": "00"})
    shards = list(images.shards(3))
    assert [shard.index for shard in shards] == [0, 1]
    assert [each for shard in shards for each in shard.records] == list(records)
    with images.open_shard(shards[0]) as opened:
        assert opened.read(records[0]) == (album.photos / records[0].image_id).read_bytes()
    assert images.count() == 4
    assert images.describe()["annotations_sha256"] == "00"
    assert not images.passed_over()
