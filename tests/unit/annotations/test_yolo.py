# SPDX-License-Identifier: Apache-2.0
"""YOLO: fractions, names of classes, and which text files are labels."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given

from tests.unit.annotations.drawn_rows import rows, yolo_objects
from veilset.annotations.formats.written import Exported
from veilset.annotations.formats.yolo import read_yolo, write_yolo
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin, Region, Status


def fill(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


# After https://docs.ultralytics.com/datasets/detect/ and .../segment/.
DATA = """path: ../datasets/coco8 # dataset root dir
train: images/train # train images (relative to 'path')
val: images/val
# Classes
names:
  0: person
  1: face
"""


def test_the_documented_layout_is_understood(tmp_path: Path) -> None:
    fill(tmp_path, {
        "data.yaml": DATA,
        "README.dataset.txt": "made by a tool",
        "labels/train/a.txt": "1 0.5 0.25 0.5 0.125\n\n0 0.5 0.5 1 1\n",
        "labels/train/b.labels.txt": "",
        "labels/val/c.txt": "1 0.1 0.2 0.3 0.4 0.2 0.6\n1 0.5 0.5 0.5 0.5 0.75\r\n",
        "images/train/notes.txt": "no labels",
    })  # fmt: skip
    first, empty, other = read_yolo(tmp_path, kinds={"person": "body"}, prefix="images/train/")
    assert [first.image_id, empty.image_id, other.image_id] == ["a", "b.labels", "images/val/c"]
    assert first.regions == (
        Region((0.25, 0.1875, 0.75, 0.3125), origin=Origin.IMPORTED),
        Region((0, 0, 1, 1), kind="body", origin=Origin.IMPORTED),
    )
    assert empty == Annotations("b.labels", Status.LOOKED)
    polygon, detected = other.regions
    assert polygon.box_xyxy == (0.1, 0.2, 0.3, 0.6)
    assert polygon.attributes == {"drawn_as": "polygon"}
    assert (detected.score, detected.origin) == (0.75, Origin.DETECTED)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"data.yaml": "names: [cat, face]"}, "face"),
        ({"data.yaml": "names: {1: 'no'}"}, "no"),
        ({"classes.txt": "cat\nface\n"}, "face"),
        ({"obj.names": "cat\r\nface\r\n", "train.txt": "a.jpg\n"}, "face"),
        ({}, "1"),
    ],
)
def test_classes_have_the_names_that_are_given(
    tmp_path: Path, files: dict[str, str], kind: str
) -> None:
    (row,) = read_yolo(fill(tmp_path, {**files, "a.txt": "1 0.5 0.5 1 1"}))
    assert [region.kind for region in row.regions] == [kind]


@given(rows(yolo_objects))
def test_what_is_written_comes_back(written: list[Annotations]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out")
        counts = write_yolo(path, iter(written))
        assert counts == Exported(len(written), sum(len(row.regions) for row in written), 0)
        assert [p.name for p in Path(folder).iterdir()] == ["out"]
        by_name = {row.image_id: row for row in read_yolo(path)} if written else {}
        assert by_name.keys() == {f"images/{row.image_id[:-4]}" for row in written}
        for row in written:
            got = by_name[f"images/{row.image_id[:-4]}"]
            for a, b in zip(got.regions, row.regions, strict=True):
                x0, y0, x1, y1 = a.box_xyxy
                box = (x0 * row.width, y0 * row.height, x1 * row.width, y1 * row.height)
                assert box == pytest.approx(b.box_xyxy, abs=1e-9)
                assert replace(a, box_xyxy=b.box_xyxy) == b


def test_what_is_written_is_what_the_tool_asks_for(tmp_path: Path) -> None:
    found = (Region((2, 0, 4, 8), score=0.5), Region((0, 0, 8, 8), kind="no"))
    written = [
        Annotations("images/train/a.jpg", Status.LOOKED, found, 8, 8),
        Annotations("b.jpg", Status.LOOKED),
        Annotations("c.jpg", Status.NOT_LOOKED),
    ]
    assert write_yolo(tmp_path / "out", written, labels={"face": "Face"}) == Exported(2, 2, 1)
    labels = tmp_path / "out" / "labels"
    text = (labels / "train" / "a.txt").read_text()
    assert text == "0 0.375 0.5 0.25 1.0\n1 0.5 0.5 1.0 1.0\n"
    assert (labels / "b.txt").read_text() == ""
    assert not (labels / "c.txt").exists()
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert (data["nc"], data["names"]) == (2, {0: "Face", 1: "no"})
    assert {"path", "train", "val"} <= data.keys()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 1", "line 1: it has 4 values"),
        ("0 0.5 0.5 1 1 1 1 1", "line 1: it has 8 values"),
        ("\n0 x 0.5 1 1", "line 2: a value is 'x'"),
        ("0 nan 0.5 1 1", "a value is 'nan'"),
        ("0 0.5 0.5 -1 1", "width or height is negative"),
        ("0 320 240 100 100", "the box 320 240 100 100 is in pixels"),
        ("face 0.5 0.5 1 1", "the class is 'face'"),
        ("-1 0.5 0.5 1 1", "the class is '-1'"),
        ("0 0.5 0.5 1 1 1.5", "the score is 1.5"),
    ],
)
def test_a_line_that_cannot_be_used_is_said(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        list(read_yolo(fill(tmp_path, {"a.txt": line})))
    assert said in str(caught.value)
    assert "a.txt, line " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: [", "no valid YAML"),
        ("[" * 100_000, "nested deeper than 8 times"),
        ("a: !!python/object/apply:os.system [id]", "no valid YAML"),
        ("nc: 1", "names is no list of texts"),
        ("7", "names is no list of texts"),
        ("names: [no]", "names is no list of texts"),
        ("names: {a: b}", "names is no list of texts"),
        ("a: &a [1]\nnames: *a", "holds aliases"),
        ("kpt_shape: [17, 3]\nnames: [person]", "key points"),
        ("names: [face]", "the class is '1', and 1 are named"),
    ],
)
def test_names_that_cannot_be_used_are_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        list(read_yolo(fill(tmp_path, {"data.yaml": text, "a.txt": "1 0.5 0.5 1 1"})))
    assert said in str(caught.value)


def test_folders_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="holds no labels"):
        list(read_yolo(fill(tmp_path, {"classes.txt": "face"})))
    with pytest.raises(AnnotationError, match="cannot be listed"):
        list(read_yolo(tmp_path / "none"))
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(AnnotationError, match="not UTF-8"):
        list(read_yolo(tmp_path))


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    unknown = Annotations("a.jpg", Status.LOOKED, (Region((0, 0, 1, 1)),))
    with pytest.raises(AnnotationError, match=r"size of the image 'a\.jpg' is not known"):
        write_yolo(tmp_path / "out", [unknown])
    both = [Annotations(name, Status.LOOKED) for name in ("a.jpg", "a.png")]
    with pytest.raises(AnnotationError, match="differ in their suffix"):
        write_yolo(tmp_path / "out", both)
    assert not list(tmp_path.iterdir())


def test_a_folder_deeper_than_the_stack_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, {"data.yaml": DATA, "labels/a.txt": "1 0.5 0.5 1 1\n"})
    monkeypatch.chdir(tmp_path / "labels")
    for _ in range(1010):
        Path("d").mkdir()
        os.chdir("d")
    Path("b.txt").write_text("")
    try:
        found = list(read_yolo(tmp_path))
    finally:
        # What cleans up after the tests calls itself for each folder, too.
        Path("b.txt").unlink()
        for _ in range(1010):
            os.chdir("..")
            Path("d").rmdir()
    assert [each.image_id for each in found] == ["images/a", "images/" + "d/" * 1010 + "b"]
