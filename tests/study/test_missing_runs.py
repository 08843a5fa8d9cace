# SPDX-License-Identifier: Apache-2.0
"""While runs are missing: what each number is over is told, and nothing is mixed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.study.drawn_results import Drawn, draw_results
from veilset.errors import RunError
from veilset.study.config import TransferSpec
from veilset.study.evaluate import evaluate
from veilset.study.plan import Study
from veilset.study.render import shown_rows
from veilset.study.tables import Table

BY_SETTING = ("pairs", "categories", "correlations", "bins")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    roles = {"roles": {"released": "blurred", "per_face": "overlaid"}}
    return draw_results(tmp_path, Drawn(networks=("small", "wide"), per_class=10, options=roles))


def tables_of(study: Study) -> dict[str, Table]:
    return {each["name"]: Table.from_json(each) for each in evaluate(study)["tables"]}


def rate(study: Study, run_id: str, setting: str) -> float:
    """The accuracy of one run, from its file."""
    given = pd.read_parquet(study.paths.predictions(run_id, setting))
    return float((given["top"].str[0] == given["label"]).mean())


def test_an_average_is_over_the_seeds_that_all_networks_have(study: Study) -> None:
    shutil.rmtree(study.paths.run("wide.original.s3"))
    rows = {row["network"]: row for row in tables_of(study)["table_3"].rows}
    cell = rows["Average"]["top1.original"]
    expected = [rate(study, f"{n}.original.s{s}", "original") for n in ("small", "wide")
                for s in (1, 2)]  # fmt: skip
    assert isinstance(cell, Mapping)
    assert cell["mean"] == pytest.approx(sum(expected) / 4)
    assert cell["n"] == 2
    # No network has both settings of no seed that all have.
    for seed in (1, 2):
        shutil.rmtree(study.paths.run(f"small.original.s{seed}"))
    average = tables_of(study)["table_3"].rows[-1]
    assert (average["network"], average["top1.original"]) == ("Average", None)


def test_fewer_seeds_than_planned_are_told_even_where_all_cells_have_as_many(
    study: Study,
) -> None:
    for folder in study.folder.glob("runs/*.s3"):
        shutil.rmtree(folder)
    tables = tables_of(study)
    table = tables["table_3"]
    place = [column.key for column in table.columns].index("top1.blurred")
    assert all(row[place].endswith("(n = 2)") for row in shown_rows(table))
    for name in (*BY_SETTING, "small_faces", "table_3", "drops", "faces"):
        assert "wide.blurred.s3" in tables[name].note, name
        assert "runs are missing" in tables[name].note, name
    assert {row["n_seeds"] for name in ("correlations", "bins") for row in tables[name].rows} == {2}


def test_nothing_is_said_of_seeds_where_none_is_missing(study: Study) -> None:
    found = evaluate(study)
    assert not [table for table in found["tables"] if "missing" in table["note"]]
    assert found["figures"]["figure_3.blurred"]["title"] == "Drop of categories, blurred"
    assert found["figures"]["figure_3.blurred"]["n_seeds"] == 3


def test_figures_say_over_how_many_seeds_they_are(study: Study) -> None:
    shutil.rmtree(study.paths.run("wide.blurred.s3"))
    figures = evaluate(study)["figures"]
    assert figures["figure_3.blurred"]["title"].endswith("blurred (2 of 3 seeds)")
    assert figures["figure_3.overlaid"]["title"].endswith("overlaid")


def test_the_reference_of_categories_is_the_same_for_all_settings(study: Study) -> None:
    # Of the last setting one seed is there: the reference has all of its own.
    for seed in (2, 3):
        shutil.rmtree(study.paths.run(f"wide.overlaid.s{seed}"))
    row = tables_of(study)["categories"].rows[0]
    counts = {key: cell["n"] for key, cell in row.items() if isinstance(cell, Mapping)}
    assert counts["top1.original"] == counts["top1.blurred"] == 3
    assert counts["top1.overlaid"] == 1


def test_what_is_missing_is_said_while_it_is_evaluated(study: Study) -> None:
    told: list[str] = []
    evaluate(study, told.append)
    assert not [each for each in told if "missing" in each]
    shutil.rmtree(study.paths.run("wide.blurred.s3"))
    evaluate(study, told.append)
    assert "1 of 18 predictions are missing" in " ".join(told)


def begun(study: Study, run_id: str, **values: Any) -> None:
    path = study.paths.run(run_id) / "run.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | values))


def begin_all(study: Study) -> None:
    for run in study.plan.runs:
        lr = 0.1 if run.network.name == "small" else 0.01
        begun(
            study, run.run_id, recipe={"epochs": 20, "lr": lr}, network={"arguments": {"width": 1}}
        )


def test_runs_of_two_recipes_are_not_put_into_one_table(study: Study) -> None:
    begin_all(study)
    evaluate(study)
    changed = {"recipe": {"epochs": 30, "lr": 0.01}, "network": {"arguments": {"width": 1}}}
    begun(study, "wide.blurred.s2", **changed)
    with pytest.raises(RunError, match=r"wide.blurred.s2 cannot stand .* recipe.epochs was 30 for"):
        evaluate(study)
    # Of runs that are not finished nothing is in a table.
    (study.paths.run("wide.blurred.s2") / "run.json").unlink()
    evaluate(study)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"recipe": {"epochs": 20, "lr": 0.5}}, "recipe.lr was 0.5"),
        ({"network": {"arguments": {"width": 2}}}, "network.arguments.width was 2"),
    ],
)
def test_runs_of_two_networks_of_one_name_are_not_either(
    study: Study, changed: dict[str, Any], said: str
) -> None:
    begin_all(study)
    usual = {"recipe": {"epochs": 20, "lr": 0.01}, "network": {"arguments": {"width": 1}}}
    begun(study, "wide.original.s3", **usual | changed)
    with pytest.raises(RunError, match=f"wide.original.s3 cannot .* wide.original.s1: {said}"):
        evaluate(study)


def test_transfers_that_are_missing_are_named_and_others_are_not_counted(study: Study) -> None:
    for setting, seed in (("original", 1), ("original", 2), ("original", 7), ("blurred", 1)):
        folder = study.paths.transfer("cifar10", f"small.{setting}.s{seed}")
        folder.mkdir(parents=True)
        score = {
            "format": "veilset-transfer/1", "task": "cifar10", "network": "small",
            "from": setting, "seed": seed, "metrics": {"top1": seed / 10},
        }  # fmt: skip
        (folder / "score.json").write_text(json.dumps(score))
    sources = ("original", "blurred")
    spec = TransferSpec("cifar10", study.folder, ("small",), sources, (1, 2))
    tables = tables_of(replace(study, config=replace(study.config, transfer=(spec,))))
    # Seed 7 is of an earlier study.yaml.
    cell = tables["table_5"].rows[0]["cifar10.original"]
    assert isinstance(cell, Mapping)
    assert cell["mean"] == pytest.approx(0.15)
    assert cell["n"] == 2
    assert tables["transfer_drops"].rows[0]["n_seeds"] == 1
    for name in ("table_5", "transfer_drops"):
        assert "1 run is missing: cifar10/small.blurred.s2." in tables[name].note
    assert shown_rows(tables["table_5"])[0][-1] == "10.0 (n = 1)"
