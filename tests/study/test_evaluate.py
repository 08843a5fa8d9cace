# SPDX-License-Identifier: Apache-2.0
"""An evaluation as a whole: what is missing is said, what does not fit is refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.study.drawn_results import Drawn, draw_results
from veilset.audit.lettering import is_known
from veilset.errors import DatasetError, RunError
from veilset.pages.study_figures import draw_study_figures
from veilset.runs import json_bytes
from veilset.study.config import ObjectsSpec, TransferSpec
from veilset.study.evaluate import evaluate
from veilset.study.layout import read_predictions, write_predictions
from veilset.study.plan import Study
from veilset.study.records import Failure, write_failure
from veilset.study.render import shown_rows
from veilset.study.tables import Table
from veilset.study.written import read_results, write_results, write_tables_and_figures


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return draw_results(tmp_path, Drawn(networks=("small", "wide"), per_class=10))


def _tables(found: dict[str, Any]) -> dict[str, Table]:
    return {table["name"]: Table.from_json(table) for table in found["tables"]}


def test_the_same_files_give_the_same_bytes(study):
    first, second = (json_bytes(evaluate(study)) for _ in range(2))
    assert first == second


def test_a_run_that_failed_is_named_and_its_average_is_not_made_up(study):
    for seed in (1, 2, 3):
        run_id = f"wide.blurred.s{seed}"
        shutil.rmtree(study.paths.run(run_id))
        study.paths.run(run_id).mkdir()
        write_failure(study.paths.run(run_id), Failure("nan-loss", 812, "The loss became nan."))
    found = evaluate(study)
    assert found["runs"]["planned"] == 18
    assert found["runs"]["done"] == 15
    assert {each["kind"] for each in found["runs"]["failed"]} == {"nan-loss"}
    table = _tables(found)["table_3"]
    assert "wide.blurred.s1 (nan-loss)" in table.note
    shown = {row[0]: row for row in shown_rows(table)}
    blurred = [column.key for column in table.columns].index("top1.blurred")
    for network in ("wide", "Average"):
        assert shown[network][blurred : blurred + 2] == ["-", "-"]
    assert "±" in shown["small"][blurred]
    assert "-" not in shown["wide"][blurred + 2 : blurred + 3]


def test_a_missing_seed_is_told_in_its_cell(study):
    shutil.rmtree(study.paths.run("wide.blurred.s3"))
    table = _tables(evaluate(study))["table_3"]
    row = next(row for row in table.rows if row["network"] == "wide")
    cell = row["top1.blurred"]
    assert isinstance(cell, dict)
    assert cell["n"] == 2
    column = [column.key for column in table.columns].index("top1.blurred")
    assert shown_rows(table)[1][column].endswith("(n = 2)")


def test_where_no_seed_is_missing_no_cell_counts_them_and_errors_are_as_asked(tmp_path):
    drawn = Drawn(
        networks=tuple("abcd"), seeds=(1, 2, 3), per_class=8, options={"sem_ddof": 2}
    )  # fmt: skip
    table = _tables(evaluate(draw_results(tmp_path, drawn)))["table_3"]
    assert not any("n =" in cell for row in shown_rows(table) for cell in row)
    assert "ddof 2" in table.note
    usual = Drawn(networks=tuple("abcd"), seeds=(1, 2, 3), per_class=8)
    other = _tables(evaluate(draw_results(tmp_path / "usual", usual)))["table_3"]
    for row, with_1 in zip(table.rows[:4], other.rows[:4], strict=True):
        cell, cell_1 = row["top1.blurred"], with_1["top1.blurred"]
        assert isinstance(cell, dict)
        assert isinstance(cell_1, dict)
        assert cell["sem"] == pytest.approx(cell_1["sem"] * 2**0.5)


def test_published_weights_on_obfuscated_images_are_table_7_alone(tmp_path):
    settings = ("original", "red", "blurred")
    drawn = Drawn(
        settings=settings, train=("original",), evaluate={"original": settings}, seeds=(0,),
        per_class=8,
    )  # fmt: skip
    study = draw_results(tmp_path, drawn)
    found = evaluate(study)
    tables = _tables(found)
    assert "table_7" in tables
    assert not {"table_3", "table_4", "table_8", "categories", "correlations"} & set(tables)
    assert [column.key for column in tables["table_7"].columns[1:]] == [
        "top5.original", "top5.red", "top5.red.drop", "top5.blurred", "top5.blurred.drop"
    ]  # fmt: skip
    assert {row["evaluated"] for row in tables["drops"].rows} == {"red", "blurred"}
    # Of networks that were trained on the reference, where none was on the setting.
    assert {row["setting"] for row in tables["faces"].rows} == {"red", "blurred"}
    assert tables["faces"].rows[0]["drop"] == tables["drops"].rows[3]["drop"]
    write_tables_and_figures(found, tmp_path / "out")


def test_one_seed_has_no_error_and_no_interval_over_trainings(tmp_path):
    study = draw_results(tmp_path, Drawn(seeds=(4,), per_class=8))
    tables = _tables(evaluate(study))
    row = tables["drops"].rows[0]
    assert row["over_trainings"] is None
    assert row["p"] is None
    assert row["resolved"] == "no"
    assert tables["pairs"].rows == ()
    assert "Too few runs" in tables["pairs"].note


def test_without_annotations_nothing_is_said_of_faces(tmp_path):
    study = draw_results(tmp_path, Drawn(per_class=8), annotations=False)
    found = evaluate(study)
    assert found["figures"] == {}
    tables = _tables(found)
    assert not {"faces", "correlations", "objects"} & set(tables)
    assert "no annotations" in tables["small_faces"].note


def test_roles_that_no_setting_takes_are_named(study):
    note = _tables(evaluate(study))["small_faces"].note
    assert "no setting is released and none per_face" in note


def test_five_classes_have_no_top_five_and_without_scores_there_is_no_precision(tmp_path):
    drawn = Drawn(classes=tuple("abcde"), per_class=8, with_scores=False)
    found = evaluate(draw_results(tmp_path, drawn))
    keys = {column.key for table in _tables(found).values() for column in table.columns}
    assert not any(key.startswith(("top5.", "ap.")) for key in keys)
    assert all(each["top5"] is None for each in found["figures"]["figure_3.blurred"]["bins"])
    assert "scores: top" in _tables(found)["categories"].note


def test_objects_that_faces_cover(tmp_path):
    boxes = tmp_path / "boxes.csv"
    lines = ["ImageId,PredictionString"]
    # Faces of every fifth image from the third on: 40 x 30 in the corner, and one elsewhere.
    lines += [f"{i:04d},class{i // 10} 1 1 40 60 class9 1 1 9 9" for i in range(70)]
    boxes.write_text("\n".join([*lines, ""]))
    drawn = Drawn(per_class=10, data={"objects": ObjectsSpec("ilsvrc-csv", boxes)})
    study = draw_results(tmp_path, drawn)
    found = evaluate(study)
    facts = pq.read_table(study.paths.facts / "images.parquet").to_pydict()
    covered = facts["object_covered"][70:]
    assert covered[2] == pytest.approx(40 * 30 / (40 * 60))
    assert covered[0] is None
    assert covered[4] == 0.0
    tables = _tables(found)
    top = tables["objects"].rows[0]
    shares = [each["object_covered"] for each in tables["categories"].rows]
    assert top["covered"] == max(each for each in shares if isinstance(each, float))
    assert sum(each["n"] for each in found["figures"]["figure_4.blurred"]["bins"]) == 7
    against = {row["against"] for row in tables["correlations"].rows}
    assert len(against) == 2


def test_predictions_of_other_weights_or_images_are_refused(study):
    path = study.paths.predictions("small.blurred.s1", "blurred")
    shutil.copy(study.paths.predictions("small.blurred.s2", "blurred"), path)
    with pytest.raises(RunError, match="was made from another"):
        evaluate(study)


@pytest.mark.parametrize(
    ("n_turned", "changed", "said"),
    [
        (3, {}, "speaks of other images"),
        (0, {"list_sha256": "x"}, "another list"),
        (0, {"weights_sha256": "x"}, "another weights"),
    ],
)
def test_predictions_of_another_list_or_training_are_refused(study, n_turned, changed, said):
    path = study.paths.predictions("small.blurred.s1", "blurred")
    given = read_predictions(path)
    ids = given.image_ids[n_turned:] + given.image_ids[:n_turned]
    digests = {
        "weights_sha256": "weights of small.blurred.s1",
        "list_sha256": study.lists["val"].sha256,
    }
    write_predictions(path, replace(given, image_ids=ids), n_classes=7, digests=digests | changed)
    with pytest.raises(RunError, match=said):
        evaluate(study)


def test_damaged_predictions_are_refused(study):
    path = study.paths.predictions("small.blurred.s1", "blurred")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match="damaged"):
        evaluate(study)


def test_nothing_finished_is_an_error(study):
    shutil.rmtree(study.folder / "runs")
    with pytest.raises(RunError, match="No run of the study"):
        evaluate(study)


def test_images_that_were_left_out_are_counted_under_every_table(study):
    short = replace(study, plan=replace(study.plan, left_out=("val/a.jpg", "val/b.jpg")))
    tables = _tables(evaluate(short))
    assert all("Left out: 2 images" in table.note for table in tables.values())


def test_scores_of_other_tasks_become_tables(study):
    for setting, top1 in (("none", 0.5), ("original", 0.9), ("blurred", 0.8)):
        folder = study.paths.transfer("cifar10", f"small.{setting}.s1")
        folder.mkdir(parents=True)
        score = {
            "format": "veilset-transfer/1", "task": "cifar10", "network": "small",
            "from": setting, "seed": 1, "metrics": {"top1": top1},
        }  # fmt: skip
        (folder / "score.json").write_text(json.dumps(score))
    sources = ("none", "original", "blurred")
    spec = TransferSpec("cifar10", study.folder, ("small",), sources, (1,))
    study = replace(study, config=replace(study.config, transfer=(spec,)))
    found = evaluate(study)
    row = _tables(found)["table_5"].rows[0]
    for setting, top1 in (("none", 0.5), ("original", 0.9), ("blurred", 0.8)):
        assert row[f"cifar10.{setting}"] == {"mean": top1, "sem": None, "n": 1}
    assert _tables(found)["transfer_drops"].rows[0]["drop"] == pytest.approx(0.1)
    assert "transfer/cifar10/small.none.s1/score.json" in found["inputs"]


def test_names_for_people(study, tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"class0": "tench"}))
    data = replace(study.config.data, names=path)
    named = replace(study, config=replace(study.config, data=data))
    assert _tables(evaluate(named))["categories"].rows[0]["name"] == "tench"
    path.write_text("[1]")
    with pytest.raises(DatasetError, match="no JSON map"):
        evaluate(named)


def test_on_ilsvrc_the_paper_stands_beside_and_its_pairs_are_listed(tmp_path):
    listed = resources.files("veilset.audit") / "imagenet_categories.txt"
    classes = tuple(re.findall(r"^(n\d{8}) ", listed.read_text("utf-8"), flags=re.MULTILINE))
    drawn_as = Drawn(classes=classes, per_class=2, networks=("resnet18",), seeds=(1,),
                  settings=("original", "blurred"))  # fmt: skip
    found = evaluate(draw_results(tmp_path, drawn_as))
    assert found["is_ilsvrc"]
    tables = _tables(found)
    assert tables["table_3"].rows[0]["top1.blurred.drop.paper"] == 0.007
    assert len(tables["table_4"].rows) == 8
    # A cell is of one of several kinds, this one a mapping.
    assert tables["table_4"].rows[0]["top1.original.paper"]["mean"] == 0.508  # type: ignore[index]
    assert tables["correlations"].rows[0]["r.paper"] == 0.28
    drawn = draw_study_figures(found["figures"])
    assert "Eskimo dog" not in drawn["figure_5.blurred"].drawing
    assert drawn["figure_5.blurred"].drawing.count("n02109961") == 2
    bins = [row.get("top5.paper") for row in tables["bins"].rows]
    assert bins == [0.003, None, None, None, 0.0404]


def test_tables_and_figures_are_written_from_the_file_alone(study, tmp_path):
    with pytest.raises(RunError, match="study evaluate' first"):
        read_results(study.paths)
    write_results(study.paths, evaluate(study))
    shutil.rmtree(study.folder / "runs")
    out = tmp_path / "out"
    write_tables_and_figures(read_results(study.paths), out)
    names = {each.stem for each in (out / "tables").iterdir()}
    assert {"table_3", "drops", "faces", "categories", "pairs", "small_faces"} <= names
    figures = {each.name for each in (out / "figures").iterdir()}
    assert {"figure_2.svg", "figure_3.blurred.png", "figure_3.overlaid.svg"} <= figures
    before = {each: each.read_bytes() for each in out.rglob("*.*")}
    write_tables_and_figures(read_results(study.paths), out)
    assert {each: each.read_bytes() for each in out.rglob("*.*")} == before
    study.paths.results.write_bytes(b"{}")
    with pytest.raises(RunError, match="damaged"):
        read_results(study.paths)


def _bin(low: float, high: float, mean: float | None, reach: float) -> dict[str, Any]:
    drop = None if mean is None else {"mean": mean, "low": mean - reach, "high": mean + reach}
    return {"low": low, "high": high, "n": 3, "top1": drop, "top5": None}


def test_a_figure_shows_drops_where_they_are():
    bins = [_bin(0, 0.01, 0.0, 0.01), _bin(0.01, 0.5, None, 0), _bin(0.5, 1, 0.04, 0.01)]
    found = {"setting": "s", "title": "T", "x_label": "x", "bins": bins}
    drawing = draw_study_figures({"figure_3.s": found})["figure_3.s"].drawing
    marks = re.findall(
        r'<circle cx="([\d.]+)" cy="([\d.]+)" r="3.5" class="dot series-0"><title', drawing
    )
    (x0, y0), (x1, y1) = ((float(x), float(y)) for x, y in marks)
    (axis,) = re.findall(r'y1="([\d.]+)" y2="[\d.]+" class="axis"', drawing)
    assert y0 == pytest.approx(float(axis))
    whiskers = re.findall(r'y1="([\d.]+)" y2="([\d.]+)" class="whisker', drawing)
    # One point is as high everywhere: the whiskers reach one up and one down, the mark is at 4.
    per_point = (float(whiskers[0][0]) - float(whiskers[0][1])) / 2
    assert y0 - y1 == pytest.approx(4 * per_point, rel=1e-3)
    assert x1 > x0
    assert ">50+<" in drawing
    # Other letters would be written in whatever fonts a machine has.
    assert is_known("".join(re.findall(r">([^<]+)</text>", drawing)))
