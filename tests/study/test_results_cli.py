# SPDX-License-Identifier: Apache-2.0
"""``veilset study evaluate`` and ``tables`` on finished runs, from the YAML file on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.study.drawn_results import Drawn, draw_predictions
from tests.study.drawn_study import draw_study
from veilset.cli.app import app
from veilset.study.opening import open_study
from veilset.study.records import Work, check_started, finish_run
from veilset.study.yaml_file import read_study

RUNNER = CliRunner()


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    path = draw_study(tmp_path)
    study = open_study(read_study(path))
    for run in study.plan.runs:
        folder = study.paths.run(run.run_id)
        folder.mkdir(parents=True)
        check_started(folder, {"run_id": run.run_id})
        for setting in run.evaluate:
            draw_predictions(study, run.run_id, run.setting, setting, Drawn())
        finish_run(folder, f"weights of {run.run_id}", Work(), device="none")
    return path


def test_evaluate_then_tables(finished: Path, tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["study", "evaluate", str(finished)])
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    found = json.loads(Path(line).read_bytes())
    assert found["runs"] == {"planned": 8, "done": 8, "failed": []}
    assert "evaluate  predictions of run 8 of 8" in done.stderr
    before = Path(line).read_bytes()
    again = RUNNER.invoke(app, ["study", "evaluate", "--quiet", str(finished)])
    assert (again.exit_code, again.stderr) == (0, "")
    assert Path(line).read_bytes() == before
    out = tmp_path / "paper"
    done = RUNNER.invoke(app, ["study", "tables", str(finished), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(out)
    assert "released" in (out / "tables" / "table_3.md").read_text("utf-8")
    assert (out / "figures" / "figure_2.png").read_bytes()[:4] == b"\x89PNG"


def test_tables_before_evaluate_say_what_to_do(finished: Path) -> None:
    done = RUNNER.invoke(app, ["study", "tables", str(finished)])
    assert done.exit_code == 1
    assert "study evaluate' first" in done.stderr or "study evaluate' first" in str(done.exception)
