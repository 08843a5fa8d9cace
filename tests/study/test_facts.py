# SPDX-License-Identifier: Apache-2.0
"""Facts of images and boxes of objects, on cases that one can work out by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest

from veilset.errors import AnnotationError
from veilset.study.config import ObjectsSpec
from veilset.study.facts import ImageFacts, collect_facts
from veilset.study.objects import read_objects
from veilset.study.small_tables import groups_of
from veilset.types import Annotations, BoxXyxy, FloatBoxes, Region, Status

Row = tuple[str, Annotations]
IDS = ["val/a/1.jpg", "val/a/2.jpg", "val/b/3.jpg", "val/b/4.jpg", "val/b/5.jpg"]


def _looked(image_id: str, *boxes: BoxXyxy, kind: str = "face", score: float = 0.9) -> Row:
    regions = tuple(Region((x0, y0, x1, y1), kind, score) for x0, y0, x1, y1 in boxes)
    return image_id, Annotations(image_id, Status.LOOKED, regions, 100, 50)


def _facts(
    rows: list[Row],
    *,
    min_score: float = 0.0,
    objects: Mapping[str, FloatBoxes] | None = None,
) -> ImageFacts:
    return collect_facts(IDS, rows, min_score=min_score, objects=objects)


def test_facts_by_hand():
    rows = [
        # A face of 30 x 40 has a diagonal of 50: 5 pixels more on every side, cut at the top.
        _looked(IDS[0], (10, 0, 40, 40)),
        _looked(IDS[1], (0, 0, 40, 20), (50, 0, 58, 9)),
        _looked(IDS[2]),
        (IDS[3], Annotations(IDS[3], Status.COULD_NOT_LOOK, reason="truncated")),
        _looked("val/other/9.jpg", (0, 0, 9, 9)),
    ]
    facts = _facts(rows, objects={IDS[0]: np.array([[0, 0, 20, 50], [80, 0, 90, 50.0]])})
    assert facts.status == ("looked", "looked", "looked", "could_not_look", "not_looked")
    assert facts.n_faces.tolist() == [1, 2, 0, 0, 0]
    assert facts.obfuscated_share[0] == pytest.approx(40 * 45 / 5000)
    assert facts.obfuscated_share[2] == 0
    assert np.isnan(facts.obfuscated_share[3:]).all()
    assert facts.with_faces.tolist() == [True, True, False, False, False]
    assert facts.without_faces.tolist() == [False, False, True, False, False]
    assert facts.largest_px.tolist() == [40, 40, 0, 0, 0]
    assert facts.smallest_relative[1] == pytest.approx(9 / 40)
    # 10 of 20 columns of the first object, 40 of its 50 rows; nothing of the second.
    assert facts.object_covered[0] == pytest.approx((10 * 40 / 1000 + 0) / 2)
    assert facts.n_objects.tolist() == [2, 0, 0, 0, 0]
    assert groups_of(facts) == ("one", "small-beside-large", "none", "", "")
    assert groups_of(facts.part(1, 3), 0.2) == ("alike", "none")


def test_only_what_passes_counts_and_only_faces_are_faces():
    rows = [
        _looked(IDS[0], (0, 0, 10, 10), score=0.2),
        _looked(IDS[1], (0, 0, 10, 10), kind="plate"),
    ]
    facts = _facts(rows, min_score=0.5)
    assert facts.n_faces.tolist()[:2] == [0, 0]
    assert facts.obfuscated_share[0] == 0
    assert facts.obfuscated_share[1] > 0
    assert facts.without_faces.tolist()[:2] == [True, True]


def test_a_size_that_is_not_known_is_refused():
    row = Annotations(IDS[0], Status.LOOKED, (Region((0, 0, 9, 9)),))
    with pytest.raises(AnnotationError, match="how large"):
        _facts([(IDS[0], row)])


FOLDERS = ["a", "a", "b", "b", "b"]


def test_objects_of_the_csv_of_ilsvrc(tmp_path):
    path = tmp_path / "LOC_val_solution.csv"
    path.write_text(
        "ImageId,PredictionString\n"
        "1,a 1 1 10 20 b 5 5 6 6 a 3 3 9 9 \n"
        "3,a 1 1 10 20 \n"
        "77,a 1 1 10 20 \n"
    )
    found = read_objects(ObjectsSpec("ilsvrc-csv", path), IDS, FOLDERS)
    assert set(found) == {IDS[0], IDS[2]}
    assert found[IDS[0]].tolist() == [[0, 0, 10, 20], [2, 2, 9, 9]]
    assert found[IDS[2]].shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "expected ImageId"),
        ("ImageId,PredictionString\n1,a 1 1 10\n", "line 2.*four numbers"),
        ("ImageId,PredictionString\n1,a 9 9 1 1\n", "line 2.*inside out"),
        ("ImageId,PredictionString\n1,a x 9 1 1\n", "line 2"),
        ("ImageId,PredictionString\n77,a 1 1 9 9\n", "names none of the images"),
    ],
)
def test_a_bad_csv_says_where(tmp_path, text, message):
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_objects(ObjectsSpec("ilsvrc-csv", path), IDS, FOLDERS)


def test_objects_of_the_xml_of_ilsvrc_have_the_same_boxes(tmp_path):
    document = (
        "<annotation><folder>val</folder><filename>1</filename>"
        "<size><width>100</width><height>50</height><depth>3</depth></size>"
        "<object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax>"
        "<ymax>20</ymax></bndbox></object></annotation>"
    )
    (tmp_path / "1.xml").write_text(document)
    found = read_objects(ObjectsSpec("ilsvrc-xml", tmp_path), IDS, FOLDERS)
    assert found[IDS[0]].tolist() == [[0, 0, 10, 20]]


def test_objects_of_coco_with_names_of_their_own(tmp_path):
    path, names = tmp_path / "boxes.json", tmp_path / "names.json"
    path.write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "1.jpg", "width": 100, "height": 50}],
                "categories": [{"id": 1, "name": "harmonica"}, {"id": 2, "name": "b"}],
                "annotations": [
                    {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 20]},
                    {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 1, 1]},
                ],
            }
        )
    )
    names.write_text(json.dumps({"a": "harmonica"}))
    found = read_objects(ObjectsSpec("coco", path, names), IDS, FOLDERS)
    assert found[IDS[0]].tolist() == [[2, 3, 12, 23]]
    names.write_text("[]")
    with pytest.raises(AnnotationError, match="no map"):
        read_objects(ObjectsSpec("coco", path, names), IDS, FOLDERS)


def test_two_images_of_one_name_cannot_be_told_apart(tmp_path):
    with pytest.raises(AnnotationError, match="same name"):
        read_objects(ObjectsSpec("voc", tmp_path), ["val/a/1.jpg", "val/b/1.jpg"], ["a", "b"])
