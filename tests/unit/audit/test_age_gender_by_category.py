# SPDX-License-Identifier: Apache-2.0
"""Ages and genders by category equal a computation in plain Python, image by image."""

from __future__ import annotations

import csv
import json
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.unit.audit.drawn_set import face, looked, not_looked, write_set
from veilset.audit.stage import AuditConfig, audit_dataset
from veilset.audit.who import AGE_EDGES, MAX_GENDERS, age_group
from veilset.types import Annotations, Origin, Region

Z2 = 1.959963984540054**2
AGES = [age_group(AGE_EDGES, i) for i in range(len(AGE_EDGES))]


def drawn_rows(n: int = 240, seed: int = 4) -> list[Annotations]:
    """Draw images whose faces are alike, in categories of very different make-up."""
    generator = random.Random(seed)
    rows: list[Annotations] = [not_looked("b/never.jpg"), looked("empty/none.jpg")]
    for i in range(n):
        category = generator.choice("aaaabbcd")
        middle = {"a": 8, "b": 25, "c": 45, "d": 70}[category] + generator.gauss(0, 9)
        leaning = generator.betavariate(0.5, 0.5)
        faces = []
        for _ in range(generator.choice([0, 1, 1, 2, 3, 9])):
            attributes: dict[str, Any] = {}
            if generator.random() < 0.8:
                attributes["age"] = round(middle + generator.gauss(0, 4), 1)
            if generator.random() < 0.9:
                attributes["gender"] = "female" if generator.random() < leaning else "male"
                attributes["gender_score"] = 0.9
            faces.append(face(**attributes))
        rows.append(looked(f"{category}/{i:04d}.jpg", *faces))
    return rows


def group_of(name: str, region: Region) -> str | None:
    """Give the group of a region, None without one."""
    if name == "gender":
        text = str(region.attributes.get("gender", "")).strip()
        return text or None
    age = region.attributes.get("age")
    if age is None or not math.isfinite(float(age)) or float(age) < 0:
        return None
    return AGES[sum(float(age) >= edge for edge in AGE_EDGES) - 1]


def share_over_images(hits: Sequence[int], sizes: Sequence[int]) -> tuple[float, float, float]:
    """Give a share and Wilson's interval of the faces that it is worth, from every image."""
    n, m = sum(sizes), len(sizes)
    p = sum(hits) / n
    if p in (0.0, 1.0):
        worth = float(m)
    elif m < 2:
        worth = 1.0
    else:
        residuals = [h - p * size for h, size in zip(hits, sizes, strict=True)]
        variance = m / (m - 1) * math.fsum(r * r for r in residuals) / n**2
        worth = n / max(1.0, variance * n / (p * (1 - p)))
    middle = (p + Z2 / (2 * worth)) / (1 + Z2 / worth)
    half = math.sqrt(Z2) / (1 + Z2 / worth) * math.sqrt(p * (1 - p) / worth + Z2 / (4 * worth**2))
    return p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half))


def by_hand(name: str, rows: Sequence[Annotations], labels: Sequence[str]) -> list[list[Any]]:
    """Count category by category, image by image."""
    images: dict[str, list[list[str]]] = defaultdict(list)
    for row in rows:
        groups = [group for each in row.regions if (group := group_of(name, each)) is not None]
        if groups:
            images[row.image_id.partition("/")[0]].append(groups)
    table = []
    for category in sorted(images):
        sizes = [len(groups) for groups in images[category]]
        for label in labels:
            hits = [groups.count(label) for groups in images[category]]
            table.append([category, label, sum(hits), sum(sizes), len(sizes),
                          *share_over_images(hits, sizes)])  # fmt: skip
    return table


def read_table(folder: Path, name: str) -> list[list[Any]]:
    with (folder / "tables" / f"{name}_by_category.csv").open() as stream:
        return [
            [row["category"], row["label"], *(int(row[key]) for key in
             ("n_regions", "n_estimates", "n_images_estimated")),
             *(float(row[key]) for key in ("share", "low", "high"))]
            for row in csv.DictReader(stream)
        ]  # fmt: skip


def audit(tmp_path: Path, rows: list[Annotations], **settings: Any) -> dict[str, Any]:
    annotations = write_set(tmp_path / "set", rows, shard_size=64)
    audit_dataset(None, annotations, tmp_path / "audit", AuditConfig(**settings), workers=2)
    found: dict[str, Any] = json.loads((tmp_path / "audit" / "audit.json").read_bytes())
    return found


def test_tables_equal_plain_python(tmp_path: Path) -> None:
    rows = drawn_rows()
    found = audit(tmp_path, rows, n_listed=2)["people"]
    for name, labels in (
        ("age", AGES),
        ("gender", [g["group"] for g in found["gender"]["groups"]]),
    ):
        expected = by_hand(name, rows, labels)
        got = read_table(tmp_path / "audit", name)
        assert [row[:5] for row in got] == [row[:5] for row in expected]
        for ours, theirs in zip(got, expected, strict=True):
            assert ours[5:] == pytest.approx(theirs[5:], abs=1e-9)
        parquet = pq.read_table(tmp_path / "audit" / "tables" / f"{name}_by_category.parquet")
        assert parquet["share"].to_pylist() == [row[5] for row in got]
        check_most(found[name]["by_category"], expected, labels)


def check_most(told: dict[str, Any], expected: list[list[Any]], labels: Sequence[str]) -> None:
    """Compare what the page is told: the two categories with the most estimates."""
    totals = {row[0]: row[3] for row in expected}
    assert told["n_categories"] == len(totals) == 4
    most = sorted(totals, key=lambda each: (-totals[each], each))[:2]
    assert [each["category"] for each in told["most"]] == most
    for each in told["most"]:
        shares = {row[1]: row[5] for row in expected if row[0] == each["category"]}
        assert each["n"] == totals[each["category"]]
        assert [share["value"] for share in each["shares"]] == pytest.approx(
            [shares[label] for label in labels]
        )


def test_faces_of_one_image_widen_the_interval(tmp_path: Path) -> None:
    # In both categories half of 40 faces are called women; in one of them, 20 to an image.
    rows = [looked(f"apart/{i}.jpg", face(gender="male" if i % 2 else "female")) for i in range(40)]
    rows += [looked(f"crowd/{i}.jpg", *[face(gender=each)] * 20)
             for i, each in enumerate(("male", "female"))]  # fmt: skip
    audit(tmp_path, rows)
    widths = {row[0]: row[7] - row[6] for row in read_table(tmp_path / "audit", "gender")}
    assert widths["crowd"] > 2 * widths["apart"]


def test_the_same_bytes_with_any_number_of_threads(tmp_path: Path) -> None:
    annotations = write_set(tmp_path / "set", drawn_rows(400), shard_size=32)
    results = []
    for workers in (1, 2, 4):
        out = tmp_path / f"audit-{workers}"
        audit_dataset(None, annotations, out, workers=workers)
        files = sorted((out / "tables").glob("*_by_category.*"))
        assert len(files) == 4
        results.append([path.read_bytes() for path in files])
    assert results[0] == results[1] == results[2]


def test_many_texts_are_no_genders(tmp_path: Path) -> None:
    rows = [looked(f"a/{i:02d}.jpg", face(gender=f"text {i:02d}")) for i in range(MAX_GENDERS + 3)]
    audit(tmp_path, rows)
    table = read_table(tmp_path / "audit", "gender")
    assert len(table) == MAX_GENDERS
    # Those that have no row are among the estimates nevertheless.
    assert {row[3] for row in table} == {MAX_GENDERS + 3}


def test_only_those_without_a_row(tmp_path: Path) -> None:
    rows = [looked(f"a/{i}{j}.jpg", face(gender=f"text {i:02d}"))
            for i in range(MAX_GENDERS) for j in (1, 2)]  # fmt: skip
    rows.append(looked("b/1.jpg", face(gender="rare")))
    audit(tmp_path, rows)
    table = [row for row in read_table(tmp_path / "audit", "gender") if row[0] == "b"]
    assert [row[2] for row in table] == [0] * MAX_GENDERS
    assert {row[3] for row in table} == {1}


@pytest.mark.parametrize("kept", ["neither", "age", "gender"])
def test_without_estimates_or_categories_there_is_no_table(tmp_path: Path, kept: str) -> None:
    told: dict[str, dict[str, Any]] = {"age": {"age": 30.0}, "gender": {"gender": "x"}}
    attributes = told.get(kept, {})
    found = audit(tmp_path, [looked("a/1.jpg", face(**attributes))])
    tables = {path.stem for path in (tmp_path / "audit" / "tables").glob("*_by_category.csv")}
    assert tables == ({f"{kept}_by_category"} if kept != "neither" else set())
    assert [name for name in ("age", "gender") if found["people"][name]] == (
        [kept] if kept != "neither" else []
    )
    bare = audit(tmp_path / "bare", [looked("1.jpg", face(**attributes))], categories="none")
    assert not list((tmp_path / "bare" / "audit" / "tables").glob("*_by_category.csv"))
    if kept != "neither":
        assert bare["people"][kept]["by_category"] is None


def page_of(tmp_path: Path) -> str:
    return (tmp_path / "audit" / "index.html").read_text(encoding="utf-8")


def test_the_page_tells_the_categories_with_most_estimates_and_warns(tmp_path: Path) -> None:
    made = (("<i>", 4, "male"), ("runner-up", 3, "female"), ("least", 1, "female"))
    rows = [looked(f"{name}/{i}.jpg", face(age=30.0, gender=gender))
            for name, n, gender in made for i in range(n)]  # fmt: skip
    audit(tmp_path, rows, n_listed=2)
    page = page_of(tmp_path)
    assert "Estimated age by category: the 2 of 3 categories with the most estimates" in page
    assert 'href="tables/gender_by_category.csv"' in page
    people = page.partition('id="people"')[2].partition("</section>")[0]
    assert people.count('class="caution warn"') == 1
    assert people.index("guesses of a model") < people.index("Estimated age")
    assert people.index("&lt;i&gt;") < people.index("runner-up")
    assert '<th scope="row">least' not in people


def test_one_category_is_the_whole_data_set_and_has_no_table_on_the_page(tmp_path: Path) -> None:
    audit(tmp_path, [looked(f"a/{i}.jpg", face(age=30.0, gender="female")) for i in range(3)])
    assert "by category" not in page_of(tmp_path).partition('id="people"')[2].partition("</sec")[0]
    assert len(read_table(tmp_path / "audit", "gender")) == 1


@pytest.mark.parametrize("known", [{}, {"age": 30.0}, {"gender": "female"}])
def test_the_warning_stands_at_recall_by_age_or_gender_too(
    tmp_path: Path, known: dict[str, Any]
) -> None:
    rows = [looked(f"a/{i}.jpg", face(**known)) for i in range(4)]
    truth = [looked(f"a/{i}.jpg", face(score=None, origin=Origin.REVIEWED, **known))
             for i in range(4)]  # fmt: skip
    write_set(tmp_path / "reference", truth)
    annotations = write_set(tmp_path / "set", rows)
    audit_dataset(None, annotations, tmp_path / "audit", reference=tmp_path / "reference")
    disparity = page_of(tmp_path).partition('id="disparity"')[2].partition("</section>")[0]
    assert disparity.count('class="caution warn"') == bool(known)
