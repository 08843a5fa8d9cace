# SPDX-License-Identifier: Apache-2.0
"""The table of errors before and after review."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from veilset.errors import AnnotationError, ConfigError
from veilset.intervals import clustered_rate
from veilset.review.quality_report import (
    quality_markdown,
    quality_table,
    write_quality_csv,
    write_quality_markdown,
)
from veilset.types import Annotations, Region, Status


def face(x0: float, side: float = 20, kind: str = "face") -> Region:
    return Region((x0, 0, x0 + side, side), kind)


def row(image_id: str, *regions: Region, status: Status = Status.LOOKED) -> Annotations:
    return Annotations(image_id, status, regions, width=400, height=300)


BEFORE = [
    row("crowd/1.jpg", face(0)),
    row("crowd/2.jpg"),
    row("dog/1.jpg", face(0), face(100)),
    row("dog/2.jpg", face(50)),
]
AFTER = [
    row("crowd/1.jpg", face(1), face(40)),
    row("crowd/2.jpg", face(0)),
    row("dog/1.jpg"),
    row("dog/2.jpg", face(50)),
]
EXPERT = [
    row("crowd/1.jpg", face(0), face(40), face(80)),
    row("crowd/2.jpg", face(0)),
    row("dog/1.jpg"),
    row("dog/2.jpg"),
]


def test_errors_are_counted_by_category() -> None:
    table = quality_table(BEFORE, AFTER, EXPERT)
    crowd, dog = table.rows
    assert (crowd.category, crowd.n_images, crowd.n_regions) == ("crowd", 2, 4)
    assert (crowd.fp_before, crowd.fp_after, crowd.fn_before, crowd.fn_after) == (0, 0, 3, 1)
    assert (dog.fp_before, dog.fp_after, dog.fn_before, dog.fn_after) == (3, 1, 0, 0)
    average = table.averages["fp_before"]
    assert (average.value, average.n) == (1.5, 4)
    assert (average.low, average.high) == clustered_rate([0, 0, 2, 1], 2)


def test_categories_are_those_asked_for_in_their_order() -> None:
    table = quality_table(BEFORE, AFTER, EXPERT, ["dog", "cat"])
    assert [each.category for each in table.rows] == ["dog", "cat"]
    assert table.rows[1].n_images == 0
    # A category without a judged image is not averaged over.
    assert table.averages["fp_before"].value == 3
    assert table.n_judged == 2


def test_what_cannot_be_judged_is_counted() -> None:
    before = [*BEFORE[:2], row("dog/1.jpg", status=Status.COULD_NOT_LOOK), BEFORE[3]]
    expert = [row("crowd/1.jpg", status=Status.NOT_LOOKED), *EXPERT[2:], row("dog/3.jpg")]
    table = quality_table(before, AFTER, expert)
    assert table.n_judged == 1
    assert table.n_without_expert == 2
    assert table.n_not_looked == 2
    assert [each.category for each in table.rows] == ["dog"]


def test_sets_are_read_once_and_in_step() -> None:
    read: list[str] = []

    def stream(name: str, rows: list[Annotations]) -> Iterator[Annotations]:
        for each in rows:
            read.append(name)
            yield each

    table = quality_table(stream("b", BEFORE), stream("a", AFTER), stream("e", EXPERT))
    assert table == quality_table(BEFORE, AFTER, EXPERT)
    assert read == list("bae" * 4)


def test_iou_decides_what_is_a_pair() -> None:
    before = [row("a/1.jpg", face(6))]  # an IoU of 0.54
    expert = [row("a/1.jpg", face(0))]
    strict = quality_table(before, before, expert, least_iou=0.6).rows[0]
    assert (strict.fp_before, strict.fn_before) == (1, 1)
    lax = quality_table(before, before, expert).rows[0]
    assert (lax.fp_before, lax.fn_before) == (0, 0)


def test_one_box_over_two_faces_is_right_by_coverage() -> None:
    wide = [row("a/1.jpg", Region((0, 0, 40, 20)))]
    expert = [row("a/1.jpg", face(0), face(20))]
    by_iou = quality_table(wide, wide, expert).rows[0]
    covered = quality_table(wide, wide, expert, rule="covered").rows[0]
    assert (by_iou.fp_before, by_iou.fn_before) == (0, 1)
    assert (covered.fp_before, covered.fn_before) == (0, 0)


def test_coverage_needs_no_size_of_the_image() -> None:
    unknown = [Annotations("a/1.jpg", Status.LOOKED, (face(500),))]
    table = quality_table(unknown, unknown, unknown, rule="covered")
    assert (table.rows[0].n_regions, table.rows[0].fn_before, table.rows[0].fp_before) == (1, 0, 0)


def test_only_the_kinds_asked_for_count() -> None:
    before = [row("a/1.jpg", face(0), face(100, kind="nsfw"))]
    expert = [row("a/1.jpg", face(0))]
    assert quality_table(before, before, expert).rows[0].fp_before == 0
    assert quality_table(before, before, expert, kinds=()).rows[0].fp_before == 1


def test_sets_out_of_order_are_refused() -> None:
    with pytest.raises(AnnotationError, match=r"'after'.*dog/2\.jpg after"):
        quality_table(BEFORE, [*AFTER, AFTER[3]], EXPERT)


def test_unusable_rules_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        quality_table([], [], [], rule="mask")
    with pytest.raises(ConfigError, match="cannot be used"):
        quality_table([], [], [], least_iou=0.0)


def test_tables_are_written(tmp_path: Path) -> None:
    table = quality_table(
        [row("a|b/1.jpg", face(0)), row("x/2.jpg")], [row("a|b/1.jpg")], [row("a|b/1.jpg")]
    )
    write_quality_csv(table, tmp_path / "quality.csv")
    with (tmp_path / "quality.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert line == {
        "category": "a|b", "n_images": "1", "n_regions": "0",
        "fp_before": "1", "fp_after": "0", "fn_before": "0", "fn_after": "0",
    }  # fmt: skip
    write_quality_markdown(table, tmp_path / "quality.md")
    text = (tmp_path / "quality.md").read_text()
    assert text == quality_markdown(table)
    assert "| a\\|b | 1 | 0 | 1 | 0 | 0 | 0 |" in text
    assert "| average | 1 | | 1.00 [0.03, 5.57] | 0.00 [0.00, 3.69] |" in text
    assert "1 that no expert looked at, 0 that were not searched" in text
