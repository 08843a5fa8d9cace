# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures as files: which, where, and for whose eyes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from PIL import Image as PilImage

from tests.unit.audit.drawn_set import face, failed, looked, not_looked, write_photos, write_set
from veilset.annotations.store import AnnotationSet
from veilset.audit.annotated import AnnotatedImages
from veilset.audit.config import AuditConfig
from veilset.audit.labelled import PICTURES, README, SHEETS, Labelled, picture_name, write_labelled
from veilset.dataset.folder import FolderReader
from veilset.errors import RunError
from veilset.types import Annotations, Origin, Status

NAMES = tuple(f"n0{i % 5}/{i:03d}.png" for i in range(40))


@pytest.fixture
def images(tmp_path: Path) -> AnnotatedImages:
    """Forty images with a face each, one without, one not searched, one that failed."""
    others = ("n09/none.png", "n09/new.png", "n09/broken.png")
    write_photos(tmp_path / "photos", [*NAMES, *others], (200, 180, 160))
    rows = [looked(name, face(age=30.0, gender="male", gender_score=0.8)) for name in NAMES]
    rows += [looked(others[0]), not_looked(others[1]), failed(others[2])]
    write_set(tmp_path / "set", rows)
    return open_images(tmp_path)


def open_images(folder: Path, within: str = "") -> AnnotatedImages:
    known = AnnotationSet(folder / "set")
    return AnnotatedImages(known, FolderReader(folder / "photos"), within)


def drawn(private: Path) -> set[str]:
    root = private / PICTURES
    return {path.relative_to(root).as_posix() for path in root.rglob("*.jpg")}


def test_all_that_hold_a_face_are_drawn_where_they_lie(
    images: AnnotatedImages, tmp_path: Path
) -> None:
    done = write_labelled(tmp_path / "private", images, AuditConfig(labelled=100), workers=2)
    assert done == Labelled(40, 2, {})
    assert drawn(tmp_path / "private") == {f"{name}.jpg" for name in NAMES}
    sheets = sorted(path.name for path in (tmp_path / "private" / SHEETS).iterdir())
    assert sheets == ["0001.jpg", "0002.jpg"]


def test_some_are_spread_over_the_data_set_and_stay_the_same(
    images: AnnotatedImages, tmp_path: Path
) -> None:
    write_labelled(tmp_path / "a", images, AuditConfig(labelled=15))
    chosen = drawn(tmp_path / "a")
    assert len(chosen) == 15
    assert len({name.split("/")[0] for name in chosen}) == 5
    write_labelled(tmp_path / "b", images, AuditConfig(labelled=8))
    assert drawn(tmp_path / "b") < chosen


def test_bytes_do_not_depend_on_threads(images: AnnotatedImages, tmp_path: Path) -> None:
    made = []
    for workers in (1, 4):
        private = tmp_path / f"private-{workers}"
        write_labelled(private, images, AuditConfig(labelled=20), workers=workers)
        files = [path for path in sorted(private.rglob("*")) if path.is_file()]
        made.append({path.relative_to(private): path.read_bytes() for path in files})
    assert made[0] == made[1]
    assert len(made[0]) == 22


def test_only_the_owner_may_look(images: AnnotatedImages, tmp_path: Path) -> None:
    private = tmp_path / "private"
    before = os.umask(0)
    try:
        private.mkdir(mode=0o777)
        write_labelled(private, images, AuditConfig(labelled=3))
    finally:
        os.umask(before)
    for folder in (private, private / PICTURES, private / SHEETS):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(p.stat().st_mode & 0o177 == 0 for p in private.rglob("*") if p.is_file())
    assert "DO NOT PUBLISH" in (private / README).read_text()


def test_files_hold_no_metadata(images: AnnotatedImages, tmp_path: Path) -> None:
    write_labelled(tmp_path / "private", images, AuditConfig(labelled=2))
    for path in (tmp_path / "private").rglob("*.jpg"):
        with PilImage.open(path) as picture:
            assert not picture.getexif()
            assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_none_are_drawn_unless_asked_for(images: AnnotatedImages, tmp_path: Path) -> None:
    assert write_labelled(tmp_path / "private", images, AuditConfig()) == Labelled(0, 0, {})


def test_weak_faces_are_left_out_as_from_the_count(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", ["1.png", "2.png", "3.png", "4.png"], (90, 90, 90))
    write_set(tmp_path / "set", [
        looked("1.png", face(score=0.2)), looked("2.png", face(score=0.9)),
        looked("3.png", face(score=0.2, origin=Origin.REVIEWED)),
        looked("4.png", face(score=0.2, kind="nsfw")),
    ])  # fmt: skip
    config = AuditConfig(labelled=9, min_score=0.5)
    assert write_labelled(tmp_path / "private", open_images(tmp_path), config).n_pictures == 3
    assert drawn(tmp_path / "private") == {"2.png.jpg", "3.png.jpg", "4.png.jpg"}


def test_part_of_a_data_set(images: AnnotatedImages, tmp_path: Path) -> None:
    part = open_images(tmp_path, within="n03")
    assert write_labelled(tmp_path / "private", part, AuditConfig(labelled=99)).n_pictures == 8
    assert all(name.startswith("n03/") for name in drawn(tmp_path / "private"))


def test_what_cannot_be_drawn_is_counted_by_reason(tmp_path: Path) -> None:
    names = ["1.png", "2.png", "3.png", "4.png"]
    write_photos(tmp_path / "photos", names[:3], (90, 90, 90))
    (tmp_path / "photos" / "2.png").write_bytes(b"no picture")
    other = Annotations("3.png", Status.LOOKED, (face(),), 100, 80, sha256="0" * 64)
    write_set(tmp_path / "set", [looked("1.png", face()), looked("2.png", face()), other,
                                 looked("4.png", face()), looked("../5.png", face())])  # fmt: skip
    done = write_labelled(tmp_path / "private", open_images(tmp_path), AuditConfig(labelled=9))
    assert done.n_pictures == 1
    assert done.passed_over["changed"] == 1
    assert done.passed_over["missing"] == 2
    assert sum(done.passed_over.values()) == 4
    assert drawn(tmp_path / "private") == {"1.png.jpg"}
    assert not (tmp_path / "private" / "5.png.jpg").exists()


def test_names_too_long_for_a_disk_stay_apart() -> None:
    long = [f"a/{'x' * 250}{i}.jpg" for i in range(2)]
    names = {picture_name(each).name for each in long}
    assert len(names) == 2
    assert all(len(name.encode()) < 255 for name in names)
    assert picture_name("a/é.png").as_posix() == "a/é.png.jpg"


def test_full_disk_or_closed_folder_is_told(
    images: AnnotatedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("veilset.audit.labelled.write_atomically", refuse)
    with pytest.raises(RunError, match="No space left on device"):
        write_labelled(tmp_path / "private", images, AuditConfig(labelled=3))
