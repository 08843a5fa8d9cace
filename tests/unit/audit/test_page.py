# SPDX-License-Identifier: Apache-2.0
"""The page, the figures as files, the card and the Croissant file."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.unit.audit.drawn_set import face, looked, not_looked, write_set
from veilset.audit.results import COLUMNS
from veilset.audit.stage import AuditConfig, DataCard, audit_dataset
from veilset.errors import RunError
from veilset.pages.drawings import CurvePoint, RangeRow, draw_curve, draw_ranges, standalone
from veilset.records.audits import read_audit

SVG = "{http://www.w3.org/2000/svg}"

CARD = DataCard(
    name="Drawn faces",
    description="Rectangles.",
    licence="https://creativecommons.org/publicdomain/zero/1.0/",
    url="https://example.org/drawn",
    creators=("Ann Lee",),
    citation="Lee, Drawn faces",
    version="1.0.0",
    published="2026-11-21",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit with everything that a page can show."""
    folder = tmp_path_factory.mktemp("audit")
    people: list[dict[str, Any]] = [
        {"age": 2.0, "age_low": 1.0, "age_high": 4.0, "gender": "female", "gender_score": 0.9},
        {"age": 34.5, "gender": "male", "gender_score": 0.7},
        {"age": 70.0, "age_low": 55.0, "age_high": 80.0, "gender": "female"},
        {"age": "unknown"},
    ]
    rows = [
        looked(f"{i % 5}/{i}.jpg", *(face((j, j, j + 20, j + 25), **people[(i + j) % 4])
                                     for j in range(i % 4)))
        for i in range(40)
    ]  # fmt: skip
    write_set(folder / "set", [*rows, not_looked("5/x.jpg")])
    audit_dataset(None, folder / "set", folder / "out", AuditConfig(card=CARD))
    return folder / "out"


def test_page_refuses_every_request_and_holds_no_picture(made: Path) -> None:
    page = (made / "index.html").read_text()
    assert "default-src &#x27;none&#x27;" in page
    for word in ("<script", "<img", "data:image", 'http-equiv="refresh"', "javascript:"):
        assert word not in page
    assert page.count("<h1>") == 1
    assert "Drawn faces" in page


def test_links_of_the_page_lead_somewhere(made: Path) -> None:
    page = (made / "index.html").read_text()
    targets = {part.split('"')[0] for part in page.split('href="')[1:]}
    anchors = {target[1:] for target in targets if target.startswith("#")}
    assert anchors
    assert all(f'id="{anchor}"' in page for anchor in anchors)
    files = {t for t in targets if not t.startswith(("#", "data:"))}
    assert {"tables/categories.csv", "figures/age.svg", "audit.json", "card.md"} <= files
    assert [target for target in files if not (made / target).is_file()] == []


def test_figures_are_files_of_their_own(made: Path) -> None:
    files = sorted((made / "figures").glob("*.svg"))
    drawn = {each.stem for each in (made / "figures").glob("*.png")}
    assert drawn == {each.stem for each in files}
    assert {each.stem for each in files} >= {
        "share_by_category", "regions_in_image", "shorter_side", "area_share", "covered_share",
        "score", "age", "gender",
    }  # fmt: skip
    for path in files:
        root = ElementTree.fromstring(path.read_bytes())
        assert root.tag == f"{SVG}svg"
        assert "var(" not in path.read_text(), "a file has no style sheet to look into"
        classes = {c for e in root.iter() for c in (e.get("class") or "").split()}
        style = root.find(f"{SVG}style")
        assert style is not None
        known = {"figure", "series-0", "y", "x"}
        assert {c for c in classes - known if f".{c}" not in (style.text or "")} == set()


def test_ages_and_genders_with_what_is_uncertain(made: Path) -> None:
    found = json.loads((made / "audit.json").read_bytes())["people"]
    assert found["n_regions"] == 60
    assert found["age"]["n"] == sum(group["n"] for group in found["age"]["groups"]) == 40
    youngest, *_, oldest = found["age"]["groups"]
    assert youngest["group"] == "0 to 2"
    assert (youngest["n"], youngest["n_sure"], youngest["n_possible"]) == (10, 0, 10)
    assert (oldest["n"], oldest["n_sure"], oldest["n_possible"]) == (10, 0, 10)
    thirties = found["age"]["groups"][4]
    assert (thirties["n"], thirties["n_sure"], thirties["n_possible"]) == (20, 0, 20), (
        "an estimate without a range is never sure"
    )
    assert found["age"]["n_ranged"] == 20
    assert {g["group"]: (g["n"], g["n_scored"]) for g in found["gender"]["groups"]} == {
        "female": (20, 10), "male": (20, 20),
    }  # fmt: skip
    assert found["gender"]["groups"][0]["mean_score"] == pytest.approx(0.9)
    page = (made / "index.html").read_text()
    assert "not be used to decide anything about a person" in page
    lines = (made / "tables" / "people.csv").read_text().splitlines()
    assert lines[0] == "grouping,label,n_regions,share,low,high"
    assert lines[1].startswith("age,0 to 2,10,0.25,")
    assert lines[-1].startswith("gender,male,20,0.5,")


def test_attributes_that_are_no_numbers_are_passed_over(tmp_path: Path) -> None:
    rows = [looked("a/1.jpg", face(age="old", gender=" "), face(age=-3.0), face(age="NaN"))]
    write_set(tmp_path / "set", rows)
    audit_dataset(None, tmp_path / "set", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "audit.json").read_bytes())["people"]
    assert found["age"] is None
    assert found["gender"] is None
    assert "were not estimated" in (tmp_path / "out" / "index.html").read_text()


def point(share: float, i: int) -> CurvePoint:
    return CurvePoint(f"category {i} <&>", share, share * 0.9, min(1.0, share * 1.1), 100)


@pytest.mark.parametrize("n", [1, 2, 7, 1000, 5000])
def test_the_curve_of_any_number_of_categories(n: int) -> None:
    points = [point(1 - i / n, i) for i in range(n)]
    svg = draw_curve(points, (0.5, 0.25), "images with a face")
    root = ElementTree.fromstring(svg)
    strips = [each for each in root.iter("rect") if each.get("class") == "strip"]
    assert len(strips) == min(n, 1000 if n <= 1000 else len(strips)) <= 1200
    titles = [each.findtext("title") or "" for each in strips]
    assert titles[0].startswith("1. category 0 <&>: 100 % (90.0 % to 100 %), n = 100")
    # The strips lie side by side over the whole plot, so that none is out of reach.
    left = [float(each.get("x", 0)) for each in strips]
    right = [float(each.get("x", 0)) + float(each.get("width", 0)) for each in strips]
    assert left[0] == pytest.approx(46)
    assert right[-1] >= 349.9
    assert all(a == pytest.approx(b, abs=0.02) for a, b in zip(left[1:], right, strict=False))
    if n > 1:
        (line,) = root.iter("polyline")
        ys = [float(pair.split(",")[1]) for pair in (line.get("points") or "").split()]
        assert ys == sorted(ys)
        assert ys[0] == pytest.approx(22)
    n_above = sum(each.share > 0.5 for each in points)
    assert f"{n_above:,} above 50 %" in svg


@pytest.mark.parametrize("n", [4, 10, 60, 1000])
@pytest.mark.parametrize("bend", [0.3, 1.0, 4.0])
def test_words_of_a_threshold_lie_outside_the_band(n: int, bend: float) -> None:
    shares = [(1 - (i + 0.5) / n) ** bend for i in range(n)]
    points = [
        CurvePoint("", each, max(0, each - 0.06), min(1, each + 0.06), 100) for each in shares
    ]
    root = ElementTree.fromstring(draw_curve(points, (0.5, 0.25), "images"))
    band = next(root.iter("polygon")).get("points") or ""
    corners = [tuple(map(float, pair.split(","))) for pair in band.split()]
    half = len(corners) // 2
    upper, lower = corners[:half], corners[half:]
    words = [each for each in root.iter("text") if each.get("class") == "mark-label"]
    assert len(words) == 2
    for each in words:
        x, y, width = float(each.get("x", 0)), float(each.get("y", 0)), 65
        if each.get("text_anchor", each.get("text-anchor")) == "start":
            assert all(top >= y for at, top in upper if x <= at <= x + width)
        else:
            assert all(bottom <= y - 8 for at, bottom in lower if x - width <= at <= x)
            x -= width
        assert 46 <= x <= x + width <= 360


@pytest.mark.parametrize("n_above", [1, 6, 30, 50])
def test_words_of_a_threshold_stay_in_the_plot_where_the_band_fills_it(n_above: int) -> None:
    """One image in each category: every share may be anything."""
    points = [CurvePoint("", 1.0 if i < n_above else 0.0, 0.2, 0.8, 1) for i in range(51)]
    root = ElementTree.fromstring(draw_curve(points, (0.5, 0.25), "images"))
    words = [each for each in root.iter("text") if each.get("class") == "mark-label"]
    assert len(words) == 2
    for each in words:
        x, width = float(each.get("x", 0)), 7.2 * len(each.text or "")
        x -= width if each.get("text-anchor") == "end" else 0
        assert 46 <= x <= x + width <= 360


def test_ranges_are_drawn_to_scale() -> None:
    rows = [RangeRow("a", "a told", [(0.5, 0.25, 1.0)]), RangeRow("b", "b", [(0.0, 0.0, 0.1)])]
    root = ElementTree.fromstring(draw_ranges(rows, ["found"], "Title", "of them"))
    first, second = [e for e in root.iter("line") if "whisker" in (e.get("class") or "")]
    low, high = float(first.get("x1", 0)), float(first.get("x2", 0))
    dots = [float(e.get("cx", 0)) for e in root.iter("circle")]
    assert (dots[0] - low) / (high - low) == pytest.approx(1 / 3, abs=1e-3)
    assert dots[1] == float(second.get("x1", 0)) == 132
    assert high <= 360


def test_a_file_keeps_the_shape_of_its_figure() -> None:
    svg = standalone(draw_curve([point(0.5, 0)], (), "x"), 720)
    root = ElementTree.fromstring(svg)
    _, _, width, height = (float(each) for each in (root.get("viewBox") or "").split())
    assert float(root.get("width", 0)) / float(root.get("height", 1)) == pytest.approx(
        width / height, abs=0.01
    )


def test_the_card_tells_numbers_limits_and_source(made: Path) -> None:
    text = (made / "card.md").read_text()
    assert text.startswith("## People in Drawn faces\n\nRectangles.\n")
    assert "Of 40 searched images, 30 hold a face: 75.0 % (59.8 to 85.8 %)" in text
    assert "Nothing is known of the others: not searched 1." in text
    assert "must not be used to decide" in text


def test_the_page_shows_the_card_line_by_line(made: Path) -> None:
    page = (made / "index.html").read_text()
    shown = page[page.index('class="card-text"') :].split("</pre>")[0]
    assert shown.count("\n") == (made / "card.md").read_text().rstrip("\n").count("\n") + 1
    assert "\\x0a" not in page


def test_croissant_describes_every_table(made: Path) -> None:
    value = json.loads((made / "croissant.json").read_bytes())
    assert value["conformsTo"][0] == "http://mlcommons.org/croissant/1.0"
    assert value["license"] == CARD.licence
    assert value["creator"] == [{"@type": "sc:Person", "name": "Ann Lee"}]
    files = {each["@id"]: each for each in value["distribution"]}
    for records in value["recordSet"]:
        (name,) = {each["source"]["fileObject"]["@id"] for each in records["field"]}
        path = made / files[name]["contentUrl"]
        header = path.read_text().splitlines()[0].split(",")
        assert [each["source"]["extract"]["column"] for each in records["field"]] == header
        assert set(header) <= set(COLUMNS)


def test_croissant_leaves_out_what_nobody_told(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg", face())])
    audit_dataset(None, tmp_path / "set", tmp_path / "out")
    value = json.loads((tmp_path / "out" / "croissant.json").read_bytes())
    assert not {"license", "url", "creator", "citeAs", "version", "datePublished"} & set(value)
    assert value["name"] == "photos"
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Catalogues also ask for: licence, url, creators, citation, version, published" in page


MLCROISSANT = os.environ.get("VEILSET_MLCROISSANT", "")


@pytest.mark.skipif(not MLCROISSANT, reason="VEILSET_MLCROISSANT names no mlcroissant to ask")
def test_mlcroissant_accepts_it(made: Path) -> None:
    done = subprocess.run(
        [MLCROISSANT, "validate", "--jsonld", str(made / "croissant.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()


def test_the_report_can_read_it(made: Path) -> None:
    audit = read_audit(made)
    assert audit.data_set == "Drawn faces"
    assert (audit.n_images, audit.n_looked, audit.n_with) == (41, 40, 30)
    assert audit.share_with is not None
    assert audit.share_with.n == 40
    assert audit.annotations_sha256
    assert audit.summary.startswith("Of 40 searched images")


def test_a_record_that_is_no_audit(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg")])
    with pytest.raises(RunError, match="is a run of the stage 'detect', not of audit"):
        read_audit(tmp_path / "set")
    with pytest.raises(RunError, match="holds no run of Veilset"):
        read_audit(tmp_path / "no")
