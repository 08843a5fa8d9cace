# SPDX-License-Identifier: Apache-2.0
"""CVAT's format: what the tool writes is understood, what we write comes back, no more is read."""

from __future__ import annotations

import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.annotations.exported_files import CVAT
from veilset.annotations.formats.cvat import read_cvat, write_cvat
from veilset.annotations.formats.shapes import checked_name, ellipse_box, rotated_box
from veilset.annotations.formats.written import Exported
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin, Region, Status

File = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    def write(text: str) -> Path:
        path = tmp_path / "annotations.xml"
        path.write_text(text)
        return path

    return write


def test_a_file_of_the_tool_is_understood(file: File) -> None:
    first, second, third = read_cvat(file(CVAT), kinds={"Face": "face"})
    assert (first.image_id, first.width, first.height) == ("b/first.jpg", 640, 480)
    assert first.status is second.status is Status.LOOKED
    assert first.regions == (
        Region(
            (10.5, 20, 60.25, 90),
            origin=Origin.REVIEWED,
            attributes={"blurred": True, "age": 42, "place": "poster"},
        ),
        Region((-5, 400, 50, 500), score=0.75, origin=Origin.DETECTED),
    )
    assert second.regions == ()
    shapes = [(region.box_xyxy, region.attributes["drawn_as"]) for region in third.regions[:-1]]
    assert shapes == [
        (pytest.approx((90, 30, 110, 70)), "box turned 90 degrees"),
        ((30, 40, 70, 60), "ellipse"),
        ((150, 10, 190, 50), "polygon"),
        ((5, 6, 10, 8), "mask"),
        ((101, 71, 105, 79), "skeleton"),
    ]
    origins = [region.origin for region in third.regions[2:4]]
    assert origins == [Origin.IMPORTED, Origin.REVIEWED]


def test_shapes_beside_the_image_are_cut_later(file: File) -> None:
    *_, third = read_cvat(file(CVAT))
    assert third.regions[-1].box_xyxy == (300, 40, 320, 60)


def test_the_zip_of_the_tool_is_read(tmp_path: Path) -> None:
    path = tmp_path / "task.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations.xml", CVAT)
        archive.writestr("images/b/first.jpg", b"")
    assert next(read_cvat(path, prefix="b/")).image_id == "first.jpg"
    path.write_bytes(b"no zip")
    with pytest.raises(AnnotationError, match=r"no zip with annotations\.xml"):
        list(read_cvat(path))


values: st.SearchStrategy[Mapping[str, str | int | float | bool]] = st.one_of(
    st.fixed_dictionaries({}, optional={"flag": st.booleans(), "n": st.integers(-999, 999)}),
    st.fixed_dictionaries(
        {},
        optional={
            "text é": st.text(st.characters(exclude_categories=["C"]), max_size=9),
            "half": st.floats(-1e9, 1e9),
            "lines\t": st.sampled_from(["a\r\nb", " \n", "<&\"'>]]>", "true", "7"]),
        },
    ),
)


@st.composite
def rows(draw: st.DrawFn) -> list[Annotations]:
    found = []
    for place in range(draw(st.integers(0, 4))):
        width, height = draw(st.integers(1, 4000)), draw(st.integers(1, 4000))
        regions = []
        for _ in range(draw(st.integers(0, 3))):
            x0, x1 = sorted(draw(st.floats(0, width)) for _ in range(2))
            y0, y1 = sorted(draw(st.floats(0, height)) for _ in range(2))
            if x0 >= width or y0 >= height:
                continue
            regions.append(
                Region(
                    (x0, y0, x1, y1),
                    kind=draw(st.sampled_from(["face", "nsfw", 'a "b" <c>'])),
                    score=draw(st.none() | st.floats(0, 1)),
                    origin=draw(st.sampled_from(list(Origin))),
                    landmarks_xy=tuple(
                        draw(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), max_size=5))
                    ),
                    attributes=draw(values),
                )
            )
        name = f"f {place}/ü & <\"'>.jpg"
        found.append(Annotations(name, Status.LOOKED, tuple(regions), width, height))
    return found


@given(rows())
def test_what_is_written_comes_back(written: list[Annotations]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.xml")
        counts = write_cvat(path, iter(written))
        assert counts == Exported(len(written), sum(len(row.regions) for row in written), 0)
        assert list(read_cvat(path)) == written
        assert [p.name for p in Path(folder).iterdir()] == ["out.xml"]


def test_images_nobody_looked_at_are_left_out_and_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    written = [
        Annotations("a.jpg", Status.NOT_LOOKED),
        Annotations("b.jpg", Status.LOOKED, width=3, height=4),
        Annotations("c.jpg", Status.COULD_NOT_LOOK, reason="truncated"),
    ]
    assert write_cvat(path, written) == Exported(1, 0, 2)
    (image,) = ElementTree.parse(path).getroot().iter("image")
    assert (image.get("id"), image.get("name")) == ("1", "b.jpg")


def test_labels_declare_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    region = Region((0, 0, 1, 1), score=0.5, attributes={"old": True, "n": 1})
    write_cvat(path, [Annotations("a", Status.LOOKED, (region,), 9, 9)], labels={"face": "Face"})
    (label,) = ElementTree.parse(path).getroot().iter("label")
    assert label.findtext("name") == "Face"
    declared = {e.findtext("name"): e.findtext("input_type") for e in label.iter("attribute")}
    assert declared == {"old": "checkbox", "n": "number", "score": "text"}


ENTITIES = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotations><image id="0" name="&b;" width="1" height="1"/></annotations>"""
FILE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotations>&e;</annotations>'


@pytest.mark.parametrize("text", [ENTITIES, FILE, '<!DOCTYPE x SYSTEM "http://x/"><annotations/>'])
def test_document_types_are_refused(file: File, text: str) -> None:
    with pytest.raises(AnnotationError, match="document type"):
        list(read_cvat(file(text)))


def image(inside: str, *, name: str = "a.jpg", size: str = 'width="9" height="9"') -> str:
    return f'<annotations>\n<image id="0" name="{name}" {size}>\n{inside}\n</image>\n</annotations>'


BOX = '<box label="f" xtl="1" ytl="1" xbr="2" ybr="2"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: It is no well-formed XML (no element found)"),
        (CVAT[:-20], "well-formed"),
        ("<html></html>", "begins with <html>"),
        ("[1]", "well-formed"),
        ('<annotations><track id="0" label="f"/></annotations>', "for videos"),
        ("<annotations><image/></annotations>", "A <image> has no name"),
        (image("", size=""), "A <image> has no width"),
        (image("", size='width="a" height="1"'), "width is 'a'. Expected a number"),
        (image("", size='width="1.5" height="1"'), "whole number of pixels"),
        (image("", size='width="-1" height="1"'), "whole number of pixels"),
        (image("", name="../up.jpg"), "line 2: the image name '../up.jpg' is empty, absolute or"),
        (image("", name="/etc/passwd"), "leads out of the data set"),
        (image("", name=""), "leads out of the data set"),
        (image(BOX.replace(' ybr="2"', "") + "/>"), "line 3: A <box> has no ybr"),
        (image(BOX.replace('"2"', '"x"', 1) + "/>"), "line 3: xbr is 'x'. Expected a number"),
        (image(BOX.replace('"2"', '"nan"', 1) + "/>"), "xbr is 'nan'. Expected a number"),
        (image(BOX.replace('"2"', '"0"', 1) + "/>"), "turned inside out"),
        (image(BOX.replace('label="f" ', "") + "/>"), "A <box> has no label"),
        (image(BOX + ' rotation="x"/>'), "rotation is 'x'"),
        (image(BOX + "><box/></box>"), "<box> is not expected within <box>"),
        (image(BOX + "><attribute>1</attribute></box>"), "A <attribute> has no name"),
        (image("<heart/>"), "<heart> is no shape that is known"),
        (image('<polygon label="f" points="1,2;3"/>'), "'1,2;3' are not of the form"),
        (image('<polygon label="f"/>'), "A <polygon> has no points"),
        (image('<skeleton label="f"></skeleton>'), "the <skeleton> has no point"),
        (image(BOX + '><attribute name="landmarks_xy">1</attribute></box>'), "of the form x,y"),
        ("<annotations>" + "<a>" * 40 + "</a>" * 40 + "</annotations>", "nested too deeply"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_place(file: File, text: str, said: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        list(read_cvat(file(text)))
    assert said in str(caught.value)
    assert "annotations.xml, line " in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        list(read_cvat(tmp_path / "none.xml"))
    with pytest.raises(AnnotationError, match="cannot be written"):
        write_cvat(tmp_path / "no" / "folder.xml", [])


@pytest.mark.parametrize(
    "region",
    [
        Region((0, 0, 1, 1), attributes={"score": 0.5}),
        Region((0, 0, 1, 1), attributes={"landmarks_xy": "x"}),
        Region((0, 0, 1, 1), attributes={"bell": "\a"}),
        Region((0, 0, 1, 1), kind="\ud800"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_and_leaves_no_file(
    tmp_path: Path, region: Region
) -> None:
    path = tmp_path / "out.xml"
    with pytest.raises(AnnotationError, match=r"'a\.jpg'"):
        write_cvat(path, [Annotations("a.jpg", Status.LOOKED, (region,), 9, 9)])
    assert not list(tmp_path.iterdir())


def test_a_row_is_let_go_before_the_next_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.xml"
    row = Annotations("", Status.LOOKED, (Region((0, 0, 5, 5), score=0.5),) * 3, 9, 9)
    write_cvat(path, (replace(row, image_id=f"{i}.jpg") for i in range(800)))

    def peak_bytes(consume: Callable[[Iterator[Annotations]], int]) -> int:
        tracemalloc.start()
        try:
            assert consume(read_cvat(path)) == 800
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    one_by_one = peak_bytes(lambda rows: sum(1 for _ in rows))
    assert 3 * one_by_one < peak_bytes(lambda rows: len(list(rows)))


def test_shapes_are_enclosed() -> None:
    assert rotated_box((0, 0, 4, 2), 360, (1, 1)) == pytest.approx((0, 0, 4, 2))
    assert rotated_box((80, 40, 120, 60), 45, (100, 50)) == pytest.approx(
        (100 - 30 / 2**0.5, 50 - 30 / 2**0.5, 100 + 30 / 2**0.5, 50 + 30 / 2**0.5)
    )
    assert ellipse_box((0, 0), (3, 1), 90) == pytest.approx((-1, -3, 1, 3))
    for bad in ("a/../b", "\0", "\ud800", ".", ""):
        with pytest.raises(AnnotationError):
            checked_name(bad, "here")
