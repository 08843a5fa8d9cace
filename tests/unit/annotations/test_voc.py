# SPDX-License-Identifier: Apache-2.0
"""Pascal VOC: pixels from 1 on, parts of people, and what a folder of strangers may hold."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given

from tests.unit.annotations.drawn_rows import faces, rows, voc_objects
from veilset.annotations.formats import folders
from veilset.annotations.formats.voc import names_in_file, read_voc, write_voc
from veilset.annotations.formats.written import Exported
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin, Region, Status

# After the VOC 2012 development kit, with a person of the layout task.
DOCUMENT = """<annotation>
	<folder>VOC2012</folder>
	<filename>2007_000027.jpg</filename>
	<source><database>The VOC2007 Database</database><image>flickr</image></source>
	<size>
		<width>486</width>
		<height>500</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
	<object>
		<name>person</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>0</difficult>
		<bndbox><xmax>349</xmax><xmin>174</xmin><ymax>351</ymax><ymin>101</ymin></bndbox>
		<part>
			<name>head</name>
			<bndbox><xmin>169</xmin><ymin>104</ymin><xmax>209</xmax><ymax>146</ymax></bndbox>
		</part>
	</object>
	<object>
		<name>dog</name>
		<pose>Left</pose>
		<truncated>1</truncated>
		<occluded>1</occluded>
		<difficult>1</difficult>
		<bndbox><xmin>1</xmin><ymin>1.5</ymin><xmax>486</xmax><ymax>500</ymax></bndbox>
	</object>
</annotation>
"""

File = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    def write(text: str) -> Path:
        path = tmp_path / "a.xml"
        path.write_text(text)
        return path

    return write


def test_the_documented_form_is_understood(tmp_path: Path) -> None:
    folder = tmp_path / "VOC2012" / "Annotations"
    (folder / "sub").mkdir(parents=True)
    (folder / "2007_000027.xml").write_text(DOCUMENT)
    # ImageNet leaves out the suffix, and has folders; no size and no object here.
    (folder / "sub" / "b.xml").write_text("<annotation><filename>b</filename></annotation>")
    full, empty = read_voc(tmp_path, kinds={"head": "face"})
    assert (full.image_id, full.width, full.height) == ("2007_000027.jpg", 486, 500)
    person, head, dog = full.regions
    assert (person.box_xyxy, person.kind, person.attributes) == ((173, 100, 349, 351), "person", {})
    assert (head.box_xyxy, head.kind) == ((168, 103, 209, 146), "face")
    assert head.attributes == {"part_of": "person"}
    assert dog.box_xyxy == (0.0, 0.5, 486.0, 500.0), (
        "the first pixel is 1, and the last is included"
    )
    assert dog.attributes == {
        "pose": "Left", "truncated": True, "occluded": True, "difficult": True
    }  # fmt: skip
    assert {region.origin for region in full.regions} == {Origin.IMPORTED}
    assert empty == Annotations("sub/b", Status.LOOKED)


def test_names_are_found_as_tools_write_them() -> None:
    assert names_in_file("sub/b.JPEG") == ("sub/b.JPEG", "sub/b")


@given(rows(voc_objects))
def test_what_is_written_comes_back(written: list[Annotations]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out")
        counts = write_voc(path, iter(written))
        assert counts == Exported(len(written), sum(len(row.regions) for row in written), 0)
        assert [p.name for p in Path(folder).iterdir()] == ["out"]
        by_name = {row.image_id: row for row in read_voc(path)} if written else {}
        assert by_name == {row.image_id: row for row in written}


@given(rows(faces))
def test_boxes_are_rounded_outward(written: list[Annotations]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out")
        write_voc(path, iter(written))
        by_name = {row.image_id: row for row in read_voc(path)} if written else {}
        for row in written:
            for new, old in zip(by_name[row.image_id].regions, row.regions, strict=True):
                (a0, b0, a1, b1), (x0, y0, x1, y1) = new.box_xyxy, old.box_xyxy
                assert a0 <= x0
                assert b0 <= y0
                assert x1 <= a1
                assert y1 <= b1
                assert min(a1 - a0, b1 - b0) >= 1
                assert max(x0 - a0, y0 - b0, a1 - x1, b1 - y1) <= 1


def test_what_is_written_has_the_elements_that_tools_ask_for(tmp_path: Path) -> None:
    rows = [
        Annotations("sub/a.jpg", Status.LOOKED, (Region((0, 0, 2, 3), score=0.5),), 9, 8),
        Annotations("b.jpg", Status.NOT_LOOKED),
        Annotations("c.jpg", Status.LOOKED),
    ]
    assert write_voc(tmp_path / "out", rows, labels={"face": "Face"}) == Exported(2, 1, 1)
    assert not (tmp_path / "out" / "b.xml").exists()
    root = ElementTree.parse(tmp_path / "out" / "sub" / "a.xml").getroot()
    assert [root.findtext(f"object/{name}") for name in ("name", "difficult", "pose")] == [
        "Face", "0", "Unspecified"
    ]  # fmt: skip
    sides = [root.findtext(f"object/bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    assert sides == ["1", "1", "2", "3"]


def document(inside: str = "", name: str = "<filename>a.jpg</filename>") -> str:
    return f"<annotation>\n{name}\n{inside}\n</annotation>"


BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
NAME = "<name>face</name>"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: It is no well-formed XML (no element found)"),
        ("<annotation>", "well-formed"),
        ("<html/>", "It begins with <html>"),
        ("<!DOCTYPE a><annotation/>", "document type"),
        ('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>',
         "document type"),
        (document(name=""), "line 1: a <annotation> has no <filename>"),
        (document(name="<filename>../a.jpg</filename>"), "'../a.jpg' is empty, absolute or leads"),
        (document(name="<filename>/etc/a</filename>"), "leads out"),
        (document("<size><width>9</width></size>"), "line 3: a <size> has no <height>"),
        (document("<size><width>x</width><height>9</height></size>"), "line 3: width is 'x'"),
        (document(f"<object>{BOX}</object>"), "line 3: a <object> has no <name>"),
        (document(f"<object>{NAME}</object>"), "line 3: a <object> has no <bndbox>"),
        (document(f"<object>{NAME}{BOX.replace('xmin', 'x')}</object>"), "has no <xmin>"),
        (document(f"<object>{NAME}{BOX.replace('2', 'x', 1)}</object>"), "xmax is 'x'"),
        (document(f"<object>{NAME}{BOX.replace('2', '0', 1)}</object>"), "turned inside out"),
        (document(f"<object>{NAME}<difficult>2</difficult>{BOX}</object>"), "difficult is '2'"),
        ("<annotation>" + "<a>" * 40 + "</a>" * 40 + "</annotation>", "nested too deeply"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_with_its_place(file: File, text: str, said: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        list(read_voc(file(text)))
    assert said in str(caught.value)
    assert "a.xml, line " in str(caught.value)


def test_what_is_no_folder_of_small_files_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AnnotationError, match="holds no XML file"):
        list(read_voc(tmp_path))
    with pytest.raises(AnnotationError, match="cannot be listed"):
        list(read_voc(tmp_path / "none"))
    (tmp_path / "a.xml").write_text(document())
    (tmp_path / ".hidden.xml").write_text("")
    (tmp_path / "link.xml").symlink_to("/etc/hostname")
    assert len(list(read_voc(tmp_path))) == 1
    monkeypatch.setattr(folders, "MAX_BYTES", 10)
    with pytest.raises(AnnotationError, match="longer than 10 bytes"):
        list(read_voc(tmp_path))


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    def row(name: str, *regions: Region) -> Annotations:
        return Annotations(name, Status.LOOKED, regions)

    out = tmp_path / "out"
    with pytest.raises(AnnotationError, match=r"'a\.png' and another one differ in their suffix"):
        write_voc(out, [row("a.jpg"), row("a.png")])
    with pytest.raises(AnnotationError, match="leads out of the data set"):
        write_voc(out, [row("../a.jpg")])
    with pytest.raises(AnnotationError, match="XML cannot hold"):
        write_voc(out, [row("a.jpg", Region((0, 0, 1, 1), kind="\a"))])
    with pytest.raises(AnnotationError, match="begins or ends with a space"):
        write_voc(out, [row("a.jpg", Region((0, 0, 1, 1), kind=" face"))])
    with pytest.raises(AnnotationError, match="cannot be written"):
        write_voc(tmp_path / "no" / "folder", [])
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").touch()
    with pytest.raises(AnnotationError, match="is there already"):
        write_voc(tmp_path / "mine", [])
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes"]
