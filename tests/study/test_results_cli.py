# SPDX-License-Identifier: Apache-2.0
"""``veilset study evaluate`` and ``tables`` on finished runs, from the YAML file on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.study.drawn_finished import draw_finished
from veilset.cli.app import app

RUNNER = CliRunner()


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return draw_finished(tmp_path)


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
