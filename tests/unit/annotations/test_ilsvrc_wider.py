# SPDX-License-Identifier: Apache-2.0
"""The two formats of faces alone: ImageNet's released JSON and WIDER FACE's text."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from tests.unit.annotations.drawn_rows import faces, rows, wider_faces
from veilset.annotations.formats.ilsvrc import read_ilsvrc, write_ilsvrc
from veilset.annotations.formats.wider import ATTRIBUTES, read_wider, write_wider
from veilset.annotations.formats.written import Exported
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin, Region, Status

File = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    def write(text: str) -> Path:
        path = tmp_path / "faces.txt"
        path.write_text(text)
        return path

    return write


RELEASED = """[{"url": "train/n01440764/n01440764_10026.JPEG", "bboxes": []},
{"url": "val/ILSVRC2012_val_00000001.JPEG", "bboxes": [
  {"x0": 61.25, "y0": 10, "x1": 90, "y1": 44.5}, {"x0": 9, "y0": 3, "x1": 5, "y1": 3}]}]"""


def test_the_released_form_is_understood(file: File) -> None:
    first, second = read_ilsvrc(file(RELEASED), prefix="train/")
    assert first == Annotations("n01440764/n01440764_10026.JPEG", Status.LOOKED)
    face, turned = second.regions
    assert second.image_id == "val/ILSVRC2012_val_00000001.JPEG"
    assert face == Region((61.25, 10, 90, 44.5), origin=Origin.IMPORTED)
    assert turned.box_xyxy == (5.0, 3.0, 9.0, 3.0), "what the released code passes over is kept"
    assert turned.attributes == {"drawn_as": "box inside out"}


# Of the readme of WIDER FACE: a count of 0 has a line of zeros, and a space ends each line.
WIDER = """0--Parade/0_Parade_marchingband_1_849.jpg
1
449 330 122 149 0 0 0 0 0 0 
0--Parade/0_Parade_Parade_0_452.jpg
0
0 0 0 0 0 0 0 0 0 0 
2--Demonstration/2_Demonstration_Protesters_2_231.jpg
2
78 221 7 8 2 1 1 1 2 1 
10 20 0 0 2 0 0 1 0 0 
"""  # noqa: W291  as they write it


def test_the_text_of_wider_face_is_understood(file: File) -> None:
    first, second, third = read_wider(file(WIDER), prefix="0--Parade/")
    assert first.image_id == "0_Parade_marchingband_1_849.jpg"
    (face,) = first.regions
    assert face.box_xyxy == (449.0, 330.0, 571.0, 479.0)
    assert face.attributes == dict.fromkeys(ATTRIBUTES, 0)
    assert (second.status, second.regions) == (Status.LOOKED, ())
    small, point = third.regions
    assert list(small.attributes.values()) == [2, 1, 1, 1, 2, 1]
    assert small.attributes["invalid"] == 1, "an invalid face is a face"
    assert point.box_xyxy == (10, 20, 10, 20)


def test_an_image_without_faces_may_lack_its_line_of_zeros(file: File) -> None:
    found = list(read_wider(file("a.jpg\n0\nb.jpg\n1\n1 2 3 4\n\nc.jpg\n0\n")))
    assert [(row.image_id, len(row.regions)) for row in found] == [
        ("a.jpg", 0), ("b.jpg", 1), ("c.jpg", 0)
    ]  # fmt: skip


def test_detections_have_scores(file: File) -> None:
    (row,) = read_wider(file("a.jpg\n2\n1 2.5 3 4 0.75\n1 2 3 4 -1.5\n"))
    good, odd = row.regions
    assert (good.score, good.origin, good.box_xyxy) == (0.75, Origin.DETECTED, (1, 2.5, 4, 6.5))
    assert (odd.score, odd.attributes) == (None, {"score_given": -1.5})


@given(rows(faces))
def test_ilsvrc_comes_back(written: list[Annotations]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.json")
        counts = write_ilsvrc(path, iter(written))
        assert counts == Exported(len(written), sum(len(row.regions) for row in written), 0)
        assert list(read_ilsvrc(path)) == [replace(row, width=0, height=0) for row in written]
        assert len(json.loads(path.read_text())) == len(written)


@given(rows(wider_faces))
def test_wider_comes_back(written: list[Annotations]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.txt")
        assert write_wider(path, iter(written)).n_images == len(written)
        assert list(read_wider(path)) == [replace(row, width=0, height=0) for row in written]


@given(rows(faces))
def test_wider_rounds_outward(written: list[Annotations]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.txt")
        write_wider(path, iter(written))
        for got, row in zip(read_wider(path), written, strict=True):
            for new, old in zip(got.regions, row.regions, strict=True):
                (a0, b0, a1, b1), (x0, y0, x1, y1) = new.box_xyxy, old.box_xyxy
                assert a0 <= x0
                assert b0 <= y0
                assert x1 <= a1
                assert y1 <= b1
                assert max(x0 - a0, y0 - b0, a1 - x1, b1 - y1) <= 1


@pytest.mark.parametrize("write", [write_ilsvrc, write_wider])
def test_what_has_no_place_is_said(tmp_path: Path, write: Callable[..., Exported]) -> None:
    path = tmp_path / "out"
    nsfw = Annotations("a.jpg", Status.LOOKED, (Region((0, 0, 1, 1), kind="nsfw"),))
    with pytest.raises(AnnotationError, match=r"'a\.jpg' has a region of the kind 'nsfw'"):
        write(path, [nsfw])
    assert not list(tmp_path.iterdir())
    unseen = [Annotations("b", Status.NOT_LOOKED), Annotations("c", Status.COULD_NOT_LOOK)]
    assert write(path, [nsfw, *unseen], labels={"nsfw": "face"}) == Exported(1, 1, 2)
    assert "b" not in path.read_text().replace("bboxes", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "faces.txt, line 1: The file is no JSON list"),
        ('[{"url": "a"}]', "entry 1: it is not of the form"),
        ('[{"url": "a", "bboxes": []}, 7]', "entry 2: it is not of the form"),
        ('[{"url": 7, "bboxes": []}]', "entry 1: it is not of the form"),
        ('[{"url": "a", "bboxes": null}]', "entry 1: it is not of the form"),
        ('[{"url": "a", "bboxes": {"x0": 1}}]', "entry 1: it is not of the form"),
        ('[{"url": "a", "bboxes": [[1, 2, 3, 4]]}]', "entry 1, box 1: it is not of the form {x0"),
        ('[{"url": "a", "bboxes": [{"x0": 1}]}]', "entry 1, box 1: it is not of the form {x0"),
        ('[{"url": "a", "bboxes": [{"x0": "1e999", "y0": 0, "x1": 1, "y1": 1}]}]', "x0 is '1e999'"),
        ('[{"url": "train/../../x", "bboxes": []}]', "leads out of the data set"),
        ('[{"url": "/etc/x", "bboxes": []}]', "leads out of the data set"),
        ('[{"url": "a\\u0000b", "bboxes": []}]', "leads out of the data set"),
        ('[{"url": "", "bboxes": []}]', "leads out of the data set"),
    ],
)
def test_what_ilsvrc_cannot_use_is_said(file: File, text: str, said: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        list(read_ilsvrc(file(text)))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.jpg\n", "line 1: The file ends after 'a.jpg'"),
        ("a.jpg\nb.jpg\n", "line 2: 'b.jpg' is no count"),
        ("a.jpg\n-1\n", "line 2: '-1' is no count"),
        ("a.jpg\n999999999999\n", "is no count"),
        ("a.jpg\n2\n1 2 3 4\n", "line 2: The file ends after 1 of 2 faces"),
        ("a.jpg\n1\n1 2 3\n", "line 3: It has 3 values"),
        ("a.jpg\n1\n1 2 x 4\n", "line 3: a side is 'x'. Expected a number"),
        ("a.jpg\n1\n1 2 nan 4\n", "line 3: a side is 'nan'"),
        ("a.jpg\n1\n1 2 -3 4\n", "line 3: Width or height is negative"),
        ("a.jpg\n1\n1 2 3 4 9 0 0 0 0 0\n", "line 3: blur is 9, and never above 2"),
        ("a.jpg\n1\n1 2 3 4 0 0 0 0.5 0 0\n", "line 3: invalid is 0.5"),
        ("../a.jpg\n0\n", "line 1: the image name '../a.jpg' is empty, absolute or leads out"),
        ("x" * 70_000, "line 1: The line does not end"),
    ],
)
def test_what_wider_cannot_use_is_said(file: File, text: str, said: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        list(read_wider(file(text)))
    assert said in str(caught.value)
    assert "faces.txt, line " in str(caught.value)


def test_files_that_are_no_text_are_said(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        list(read_wider(tmp_path / "none"))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(AnnotationError, match="not UTF-8"):
        list(read_wider(tmp_path / "bytes"))


@pytest.mark.parametrize(
    ("name", "attributes", "said"),
    [
        ("two\nlines", {}, "goes over several lines"),
        (" space", {}, "begins or ends with a space"),
        ("a", {"blur": 3}, "with blur 3"),
        ("a", {"pose": "side"}, "with pose 'side'"),
    ],
)
def test_what_wider_cannot_hold_is_said(
    tmp_path: Path, name: str, attributes: dict[str, int], said: str
) -> None:
    row = Annotations(name, Status.LOOKED, (Region((0, 0, 1, 1), attributes=attributes),))
    with pytest.raises(AnnotationError, match=said):
        write_wider(tmp_path / "out", [row])


@pytest.mark.real
def test_the_whole_of_wider_comes_back(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "wider_val_subset" / "wider_face_val_bbx_gt.subset.txt"
    found = list(read_wider(source))
    assert len(found) == 195
    write_wider(tmp_path / "out", found)
    ours = [line.split() for line in (tmp_path / "out").read_text().splitlines()]
    assert ours == [line.split() for line in source.read_text().splitlines() if line.strip()]
