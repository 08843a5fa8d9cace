# SPDX-License-Identifier: Apache-2.0
"""COCO's JSON: lists in any order, what pycocotools reads, what cannot be used."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from pycocotools.coco import COCO

from tests.unit.annotations.drawn_rows import any_regions, rows
from veilset.annotations.formats.coco import write_coco
from veilset.annotations.formats.coco_reader import read_coco
from veilset.annotations.formats.written import Exported
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin, Region, Status

# After https://cocodataset.org/#format-data, with lists in an order that streams badly.
DOCUMENT: dict[str, Any] = {
    "info": {"year": 2017, "version": "1.0", "description": "", "contributor": "", "url": ""},
    "annotations": [
        {"id": 1768, "image_id": 289343, "category_id": 1, "segmentation": [[510.6, 423, 511, 424]],
         "area": 702.1, "bbox": [473.07, 395.93, 38.65, 28.67], "iscrowd": 0},
        {"id": 9, "image_id": 289343, "category_id": 2, "area": 10, "bbox": [0, 0, 5, 2],
         "segmentation": {"counts": [272, 2], "size": [240, 320]}, "iscrowd": 1,
         "attributes": {"occluded": False, "pose": "side"}, "keypoints": [1, 2, 2], "score": 0.5},
    ],
    "licenses": [{"id": 1, "name": "", "url": ""}],
    "images": [
        {"id": 61471, "width": 640, "height": 480, "file_name": "000000061471.jpg", "license": 1,
         "flickr_url": "", "coco_url": "", "date_captured": "2013-11-18 02:53:27"},
        {"id": 289343, "width": 640, "height": 529, "file_name": "sub/000000289343.jpg"},
    ],
    "categories": [
        {"id": 1, "name": "person", "supercategory": "person"}, {"id": 2, "name": "dog"},
    ],
}  # fmt: skip

File = Callable[[object], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    def write(document: object) -> Path:
        path = tmp_path / "instances.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


@pytest.mark.parametrize("order", [list, reversed])
def test_the_documented_form_is_understood(file: File, order: Callable[..., Any]) -> None:
    document = dict(order(list(DOCUMENT.items())))
    empty, full = read_coco(file(document), kinds={"person": "face"}, prefix="sub/")
    assert empty == Annotations("000000061471.jpg", Status.LOOKED, width=640, height=480)
    assert (full.image_id, full.width, full.height) == ("000000289343.jpg", 640, 529)
    person, dogs = full.regions
    assert person.box_xyxy == pytest.approx((473.07, 395.93, 511.72, 424.6))
    assert (person.kind, person.score, person.origin) == ("face", None, Origin.IMPORTED)
    assert person.attributes == {"segmentation": "[[510.6,423,511,424]]"}
    assert (dogs.kind, dogs.score, dogs.origin) == ("dog", 0.5, Origin.DETECTED)
    assert dogs.attributes == {
        "occluded": False,
        "pose": "side",
        "iscrowd": True,
        "segmentation": '{"counts":[272,2],"size":[240,320]}',
    }


@given(rows(any_regions))
def test_what_is_written_comes_back(written: list[Annotations]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.json")
        counts = write_coco(path, iter(written))
        assert counts == Exported(len(written), sum(len(row.regions) for row in written), 0)
        assert [p.name for p in Path(folder).iterdir()] == ["out.json"]
        read = list(read_coco(path))
    for got, row in zip(read, written, strict=True):
        assert (got.image_id, got.width, got.height) == (row.image_id, row.width, row.height)
        for a, b in zip(got.regions, row.regions, strict=True):
            assert a.box_xyxy == pytest.approx(b.box_xyxy, abs=1e-9)
            assert (a.kind, a.score, a.origin) == (b.kind, b.score, b.origin)
            assert (a.landmarks_xy, a.attributes) == (b.landmarks_xy, b.attributes)


def test_the_reference_implementation_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    crowd = Region((0, 0, 5, 6), kind="nsfw", attributes={"iscrowd": True, "age": 7})
    unseen = Annotations("b.jpg", Status.NOT_LOOKED)
    seen = Annotations("a.jpg", Status.LOOKED, (Region((1, 2, 4, 8)), crowd), 40, 30)
    counts = write_coco(path, [unseen, seen, Annotations("c.jpg", Status.LOOKED)],
                        labels={"face": "Face"})  # fmt: skip
    assert counts == Exported(2, 2, 1)
    with redirect_stdout(StringIO()):
        coco = COCO(str(path))
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == ["a.jpg", "c.jpg"]
    face, found = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert (face["bbox"], face["area"], face["iscrowd"]) == ([1, 2, 3, 6], 18, 0)
    assert (found["iscrowd"], found["attributes"]) == (1, {"age": 7})
    assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == ["Face", "nsfw"]
    assert coco.getAnnIds(imgIds=[2]) == []


def changed(**changes: Any) -> dict[str, Any]:
    """The smallest document, with members of its one image or annotation changed."""
    image = {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}
    for key, value in changes.items():
        (image if key in ("file_name", "width", "id") else annotation)[key] = value
    categories = [{"id": 1, "name": "face"}]
    return {"images": [image], "annotations": [annotation], "categories": categories}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "The file is no JSON object"),
        ("", "The file is no JSON object"),
        ("{", "The file ends within the object"),
        ('{"images": [', "'images', line 1: The file ends within the list"),
        ("{7: 1}", "Expected the name of a member"),
        ('{"images" []}', "Expected a colon"),
        ('{"images": [{"id": 1}]} x', "'images', item 1: it is not of the form"),
        ({}, "has no list of annotations, categories, images"),
        ({"images": [], "categories": []}, "has no list of annotations"),
        ({"images": {}}, "images is no list"),
        ({"images": [7]}, "'images', item 1: it is not of the form"),
        (changed(file_name="../a.jpg"), "'images', item 1: the image name '../a.jpg'"),
        (changed(width="x"), "'images', item 1: width is 'x'"),
        (changed(id=1.5), "the id 1.5 is no whole number"),
        (changed(id=[]), "the id [] is no whole number"),
        (changed(image_id=7), "'annotations', item 1: its image, 7, is not among"),
        (changed(category_id=7), "'annotations', item 1: its category, 7, is not among"),
        (changed(bbox=[0, 0, 1]), "'annotations', item 1: it is not of the form"),
        (changed(bbox=[0, 0, -1, 1]), "'annotations', item 1: width or height is negative"),
        (changed(bbox=[0, 0, "x", 1]), "a value of bbox is 'x'"),
        (changed(bbox=None), "'annotations', item 1: it is not of the form"),
        (changed(score="high"), "score is 'high'"),
        (changed(veilset={"origin": "dreamt"}), "it is not of the form"),
        (changed(attributes=[1]), "it is not of the form"),
        ({"images": [{"id": 1, "file_name": "a"}] * 2}, "item 2: the id 1 is that of another"),
        ({"categories": [{"id": 1}]}, "'categories', item 1: it is not of the form"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_place(
    file: File, document: object, said: str
) -> None:
    with pytest.raises(AnnotationError) as caught:
        list(read_coco(file(document)))
    assert said in str(caught.value)
    assert "instances.json" in str(caught.value)


@pytest.mark.parametrize("attribute", ["iscrowd", "segmentation"])
def test_an_attribute_that_means_another_thing_is_refused(tmp_path: Path, attribute: str) -> None:
    region = Region((0, 0, 1, 1), attributes={attribute: "yes"})
    with pytest.raises(AnnotationError, match="not as COCO has it"):
        write_coco(tmp_path / "out", [Annotations("a", Status.LOOKED, (region,))])
    assert not list(tmp_path.iterdir())
