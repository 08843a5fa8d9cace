# SPDX-License-Identifier: Apache-2.0
"""What an audit counts, and that the three states are never mixed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.unit.audit.drawn_set import face, failed, looked, not_looked, write_photos, write_set
from veilset.audit import tables
from veilset.audit.stage import AuditConfig, audit_dataset
from veilset.intervals import wilson


def audit(tmp_path: Path, rows: list[Any], config: AuditConfig | None = None, **inputs: Any) -> Any:
    """Audit a set of these rows; give the numbers."""
    photos = inputs.pop("photos", None)
    annotations = write_set(tmp_path / "set", rows)
    audit_dataset(photos, annotations, tmp_path / "audit", config, workers=2, **inputs)
    return json.loads((tmp_path / "audit" / "audit.json").read_bytes())


def test_images_are_counted_by_number_of_regions(tmp_path: Path) -> None:
    rows = [
        looked("a/1.jpg"), looked("a/2.jpg", face()), looked("a/3.jpg", face(), face((5, 1, 6, 9))),
        looked("b/4.jpg"), not_looked("b/5.jpg"), failed("b/6.jpg"), failed("b/7.jpg", "animated"),
    ]  # fmt: skip
    found = audit(tmp_path, rows)
    assert found["images"]["statuses"] == {"looked": 4, "not_looked": 1, "could_not_look": 2}
    assert found["images"]["reasons"] == {"animated": 1, "truncated": 1}
    assert found["per_image"]["images_by_regions"] == [[0, 2], [1, 1], [2, 1]]
    assert found["per_image"]["share_with"]["value"] == 0.5
    low, high = wilson(2, 4)
    assert found["per_image"]["share_with"]["low"] == pytest.approx(low)
    assert found["per_image"]["share_with"]["high"] == pytest.approx(high)
    assert found["per_image"]["share_with"]["n"] == 4


@pytest.mark.parametrize("within", ["", "b"])
def test_files_of_a_set_are_read_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: str
) -> None:
    rows = [looked(f"{'ab'[i % 2]}/{i}.jpg", *[face()] * (i % 4)) for i in range(23)]
    rows.append(failed("b/x.jpg"))
    found = audit(tmp_path / "one", rows, AuditConfig(within=within))
    monkeypatch.setattr(tables, "_FILES_AT_ONCE", 2)
    assert audit(tmp_path / "few", rows, AuditConfig(within=within)) == found
    assert found["per_image"]["n_looked"] == (11 if within else 23)


def test_pixels_under_several_regions_count_once(tmp_path: Path) -> None:
    rows = [
        looked("a/1.jpg", face((0, 0, 10, 10)), face((5, 5, 15, 15)), face((2, 2, 4, 4))),
        looked("a/2.jpg", face((0.5, 0.5, 1.5, 1.5))),
        looked("a/3.jpg", face((90, 70, 120, 200))),
        looked("a/4.jpg", face((-20, -20, -10, -10)), face((200, 1, 210, 9))),
    ]
    covered = audit(tmp_path, rows)["sizes"]["covered"]
    assert covered["n_covered_pixels"] == 175 + 4 + 100 + 0
    assert covered["n_pixels"] == 4 * 8000
    assert covered["mean"]["value"] == pytest.approx(279 / 32_000, abs=1e-9)


def test_only_the_kind_and_score_that_are_asked_for_count(tmp_path: Path) -> None:
    rows = [
        looked("a/1.jpg", face(kind="plate"), face(score=0.2)),
        looked("a/2.jpg", face(score=None), face(score=0.5)),
    ]
    found = audit(tmp_path, rows, AuditConfig(min_score=0.5))
    assert found["per_image"]["images_by_regions"] == [[0, 1], [2, 1]]
    kinds = [(each["kind"], each["n_regions"]) for each in found["regions"]["kinds"]]
    assert kinds == [("face", 3), ("plate", 1)]
    assert found["regions"]["n_without_score"] == 1


def test_categories_are_sorted_and_those_above_a_half_are_counted(tmp_path: Path) -> None:
    rows = [looked(f"many/{i}.jpg", face()) for i in range(9)] + [looked("many/x.jpg")]
    rows += [looked(f"few/{i}.jpg") for i in range(9)] + [looked("few/x.jpg", face())]
    rows += [looked("half/1.jpg"), looked("half/2.jpg", face()), not_looked("none/1.jpg")]
    found = audit(tmp_path, rows, AuditConfig(n_listed=1))["categories"]
    assert found["n_categories"] == 4
    assert found["n_judged"] == 3
    (half, quarter) = found["above"]
    assert (half["n_above"], half["n_surely_above"], half["n_possibly_above"]) == (1, 1, 2)
    assert (quarter["n_above"], quarter["n_surely_above"]) == (2, 1)
    assert [each["category"] for each in found["most"]] == ["many"]
    assert [each["category"] for each in found["least"]] == ["few"]
    table = pq.read_table(tmp_path / "audit" / "tables" / "categories.parquet").to_pylist()
    assert [row["category"] for row in table] == ["many", "half", "few", "none"]
    assert table[0]["low"] == pytest.approx(wilson(9, 10)[0])
    assert table[3]["share"] is None


def test_images_that_the_set_lacks_count_as_not_searched(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", ["a/1.png", "a/2.png", "b/3.png"], (9, 9, 9))
    rows = [looked("a/1.png", face()), looked("gone/9.png", face())]
    found = audit(tmp_path, rows, photos=photos)
    assert found["population"] == {
        "n_images": 3, "n_not_in_set": 2, "n_gone": 1, "is_listed": True,
    }  # fmt: skip
    assert found["images"]["statuses"] == {"looked": 1, "not_looked": 2, "could_not_look": 0}
    assert found["per_image"]["n_regions"] == 1
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "Not in the annotation set, and so not searched: 2 images." in page
    assert (
        "Not in the data set any more, though the annotation set names them, and left out: 1 image."
        in page
    )


def test_only_a_part_of_the_data_set(tmp_path: Path) -> None:
    rows = [looked("train/a/1.jpg", face()), looked("train2/a/1.jpg"), looked("val/1.jpg")]
    found = audit(tmp_path, rows, AuditConfig(within="train"))
    assert found["population"]["n_images"] == 1


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("auto", {"n01440764", "n01443537", "val"}),
        ("folder", {"images", "n01440764", "val"}),
        ("wnid", {"n01440764", "n01443537"}),
        ("none", set()),
    ],
)
def test_rules_of_categories(tmp_path: Path, rule: str, expected: set[str]) -> None:
    rows = [
        looked("train/n01443537/n01440764/1.jpg"), looked("val/2.jpg"), looked("3.jpg"),
        looked("n01443537/images/4.jpg"),
    ]  # fmt: skip
    audit(tmp_path, rows, AuditConfig(categories=rule))
    table = pq.read_table(tmp_path / "audit" / "tables" / "categories.parquet")
    assert set(table["category"].to_pylist()) == expected


def test_mapping_by_image_and_by_folder(tmp_path: Path) -> None:
    rows = [looked("a/1.jpg", face()), looked("b/2.jpg"), looked('odd, "name"/3.jpg')]
    by_image = tmp_path / "images.csv"
    by_image.write_text('image_id,category\na/1.jpg,one\n"odd, ""name""/3.jpg",two\nx.jpg,one\n')
    found = audit(tmp_path, rows, mapping=by_image)
    assert found["mapping"] == {"key": "image_id", "n_lines": 3, "n_unused": 1, "by": ""}
    assert found["categories"]["n_images_without"] == 1
    by_folder = tmp_path / "folders.csv"
    by_folder.write_text("folder,wnid\r\na,n01\r\nb,n01\r\n")
    audit_dataset(None, tmp_path / "set", tmp_path / "audit", mapping=by_folder)
    found = json.loads((tmp_path / "audit" / "audit.json").read_bytes())
    assert [(e["category"], e["n_images"]) for e in found["categories"]["most"]] == [("n01", 2)]


def test_names_come_through_whatever_they_hold(tmp_path: Path) -> None:
    name = "it's; DROP TABLE images; -- \u202e<script>"
    rows = [looked(f"{name}/1.jpg", face()), looked(f"{name}/'.jpg")]
    found = audit(tmp_path, rows)
    assert found["categories"]["most"][0]["category"] == name
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "<script" not in page
    con = duckdb.connect()
    path = tmp_path / "audit" / "tables" / "categories.csv"
    assert con.execute("SELECT category FROM read_csv(?)", [str(path)]).fetchall() == [(name,)]


def test_names_are_no_markup_and_no_formula(tmp_path: Path) -> None:
    names = ("<script>alert(1)", '=HYPERLINK("http:evil","x")', "@SUM(1)", "\t+1")
    found = audit(tmp_path, [looked(f"{name}/1.jpg", face()) for name in names])
    assert {each["category"] for each in found["categories"]["most"]} == set(names)
    card = (tmp_path / "audit" / "card.md").read_text()
    assert "<script>" not in card
    with (tmp_path / "audit" / "tables" / "categories.csv").open(newline="") as stream:
        told = {cell for row in csv.reader(stream) for cell in row}
    assert {"'@SUM(1)", "'\t+1"} <= told
    assert not any(cell.startswith(("=", "@", "\t")) for cell in told)


def test_the_result_does_not_depend_on_threads(tmp_path: Path) -> None:
    rows = [
        looked(
            f"{i % 7}/{i:03d}.jpg", *(face((j, j, j + 11.3 + i, j + 20.7)) for j in range(i % 5))
        )
        for i in range(200)
    ]
    annotations = write_set(tmp_path / "set", rows, shard_size=16)
    results = []
    for workers in (1, 4):
        out = tmp_path / f"audit-{workers}"
        audit_dataset(None, annotations, out, workers=workers)
        # These hold times and places.
        dated = ("run.json", "started.json", "lock")
        files = [path for path in sorted(out.rglob("*")) if path.is_file()]
        kept = [p for p in files if p.name not in dated and p.parent.name != "ledger"]
        results.append({path.relative_to(out): path.read_bytes() for path in kept})
    assert results[0] == results[1]
    assert {path.suffix for path in results[0]} == {
        ".json", ".csv", ".parquet", ".svg", ".png", ".html", ".md",
    }  # fmt: skip


def test_images_whose_size_is_not_known(tmp_path: Path) -> None:
    rows = [looked("a/1.jpg", face(), width=0, height=0), looked("a/2.jpg", face((0, 0, 10, 10)))]
    found = audit(tmp_path, rows)
    assert found["per_image"]["n_regions"] == 2
    assert found["sizes"]["covered"]["n_unsized"] == 1
    assert found["sizes"]["covered"]["mean"]["n"] == 1
    assert sum(found["sizes"]["area_share"]["counts"]) == 1
    assert "Of 1 image the size is not known" in (tmp_path / "audit" / "index.html").read_text()
