# SPDX-License-Identifier: Apache-2.0
"""People in an image, by their faces and by regions of kind ``person``."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.unit.audit.drawn_set import face, failed, looked, not_looked, write_set
from veilset.audit.stage import AuditConfig, audit_dataset
from veilset.intervals import wilson
from veilset.types import Annotations, Origin, Region, Status


def persons_of(folder: Path, rows: list[Annotations], config: AuditConfig | None = None) -> Any:
    write_set(folder / "set", rows)
    audit_dataset(None, folder / "set", folder / "audit", config)
    return json.loads((folder / "audit" / "audit.json").read_bytes())["persons"]


def person(*box: float, score: float = 0.9) -> Region:
    x0, y0, x1, y1 = box
    return face((x0, y0, x1, y1), score, kind="person")


def test_faces_are_people_where_nothing_else_is_known(tmp_path: Path) -> None:
    rows = [looked("a/0.jpg"), looked("a/1.jpg", face()), looked("a/2.jpg", face(), face()),
            looked("a/3.jpg", *[face()] * 7), not_looked("a/4.jpg"), failed("a/5.jpg")]  # fmt: skip
    found = persons_of(tmp_path, rows)
    assert found["n_people"] == 10
    assert found["n_looked"] == 4
    assert found["images_by_people"] == [[0, 1], [1, 1], [2, 1], [7, 1]]
    assert [row["n_images"] for row in found["shares"]] == [1, 1, 1, 0, 0, 1]
    assert [row["people"] for row in found["shares"]] == ["0", "1", "2", "3", "4", "5 or more"]
    low, high = wilson(1, 4)
    assert found["shares"][0]["share"]["low"] == pytest.approx(low)
    assert found["shares"][0]["share"]["high"] == pytest.approx(high)
    assert found["mean"]["value"] == 2.5
    assert not found["has_person_regions"]


@pytest.mark.parametrize(
    ("regions", "n_people"),
    [
        # A face in a body, and one beside it.
        ([face((10, 10, 20, 20)), person(0, 0, 40, 80)], 1),
        ([face((60, 10, 70, 20)), person(0, 0, 40, 80)], 2),
        # Two bodies around one face, as of people close together.
        ([face((10, 10, 20, 20)), person(0, 0, 40, 80), person(5, 0, 45, 80)], 2),
        # Two faces in one body: at least two people.
        ([face((5, 5, 9, 9)), face((20, 5, 29, 15)), person(0, 0, 40, 80)], 2),
        # People without a face.
        ([person(0, 0, 40, 80), person(50, 0, 90, 80)], 2),
        # Its centre decides, not its corner.
        ([face((35, 10, 55, 20)), person(0, 0, 40, 80)], 2),
        # Other kinds are nobody.
        ([face((0, 0, 9, 9), kind="nsfw"), face((0, 0, 9, 9), kind="plate")], 0),
    ],
)
def test_people_with_and_without_faces(
    tmp_path: Path, regions: list[Region], n_people: int
) -> None:
    found = persons_of(tmp_path, [looked("a/0.jpg", *regions), looked("a/1.jpg")])
    assert found["n_people"] == n_people


def test_scores_count_as_everywhere(tmp_path: Path) -> None:
    regions = [face(score=0.2), face(score=0.2, origin=Origin.REVIEWED), face(score=None),
               face(score=0.8), person(80, 70, 99, 79, score=0.1)]  # fmt: skip
    found = persons_of(tmp_path, [looked("a/0.jpg", *regions)], AuditConfig(min_score=0.5))
    assert found["n_people"] == 3


def test_audits_of_other_kinds_know_nothing_of_people(tmp_path: Path) -> None:
    rows = [looked("a/0.jpg", face(kind="plate"))]
    assert persons_of(tmp_path, rows, AuditConfig(kind="plate")) is None


def test_nothing_searched_is_no_people_rather_than_none(tmp_path: Path) -> None:
    assert persons_of(tmp_path, [not_looked("a/0.jpg")]) is None


def test_same_as_counting_one_by_one(tmp_path: Path) -> None:
    rolls = random.Random(5)
    rows, expected = [], []
    for i in range(120):
        boxes = {
            kind: [
                (x := rolls.uniform(0, 70), y := rolls.uniform(0, 50), x + side, y + side)
                for _ in range(rolls.randrange(4))
            ]
            for kind, side in (("face", 8), ("person", 30))
        }
        regions = [face(box, kind=kind) for kind, some in boxes.items() for box in some]
        rows.append(Annotations(f"a/{i:03d}.jpg", Status.LOOKED, tuple(regions), 100, 80))
        alone = [
            (x0, y0)
            for x0, y0, _, _ in boxes["face"]
            if not any(a <= x0 + 4 < c and b <= y0 + 4 < d for a, b, c, d in boxes["person"])
        ]
        expected.append(max(len(boxes["face"]), len(boxes["person"]) + len(alone)))
    found = persons_of(tmp_path, rows)
    histogram = [[n, expected.count(n)] for n in sorted(set(expected))]
    assert found["images_by_people"] == histogram


def test_page_and_table_tell_them(tmp_path: Path) -> None:
    rows = [looked(f"a/{i}.jpg", *[face()] * (i % 3)) for i in range(9)]
    persons_of(tmp_path, rows)
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "How many people" in page
    assert "people without a visible face are missed" in page
    with (tmp_path / "audit" / "tables" / "images_by_people.csv").open() as stream:
        assert list(csv.DictReader(stream)) == [
            {"n_people": str(n), "n_images": "3"} for n in range(3)
        ]


def test_counts_by_eye_make_sense() -> None:
    with (REPOSITORY / "benchmarks" / "people_counts.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["image_id"] for row in rows}) == len(rows) == 240
    assert all(0 <= int(row["n_faces"]) <= int(row["n_people"]) for row in rows)
