# SPDX-License-Identifier: Apache-2.0
"""Tables and figures of an earlier evaluation go; files of other people stay."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.study.drawn_results import Drawn, draw_results
from veilset.errors import MissingExtraError, RunError
from veilset.study import written
from veilset.study.evaluate import evaluate
from veilset.study.written import write_tables_and_figures


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    drawn = Drawn(networks=("small",), seeds=(1, 2), per_class=10)
    return evaluate(draw_results(tmp_path_factory.mktemp("drawn"), drawn))


def fewer(results: Mapping[str, Any]) -> dict[str, Any]:
    """The same study without the setting ``overlaid``, and without pairs."""
    figures = {name: each for name, each in results["figures"].items() if "overlaid" not in name}
    tables = [table for table in results["tables"] if table["name"] != "pairs"]
    return {**results, "tables": tables, "figures": figures}


def names(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*.*")}


def test_what_is_not_written_any_more_goes_and_foreign_files_stay(
    results: Mapping[str, Any], tmp_path: Path
) -> None:
    write_tables_and_figures(results, tmp_path)
    everything = names(tmp_path)
    assert {"tables/pairs.csv", "figures/figure_3.overlaid.png", "written.json"} <= everything
    foreign = {"tables/mine.csv", "figures/figure_3.mine.svg", "notes.md"}
    for name in foreign:
        (tmp_path / name).write_text("mine")

    write_tables_and_figures(fewer(results), tmp_path)
    gone = (everything | foreign) - names(tmp_path)
    assert gone == {
        *(f"tables/pairs{suffix}" for suffix in (".csv", ".md", ".tex", ".parquet")),
        "figures/figure_3.overlaid.svg",
        "figures/figure_3.overlaid.png",
    }
    assert all((tmp_path / name).read_text() == "mine" for name in foreign)
    record = json.loads((tmp_path / "written.json").read_bytes())
    assert {*record["files"], "written.json", *foreign} == names(tmp_path)


def test_a_call_that_ended_within_leaves_nothing_that_the_next_does_not_know(
    results: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, figures: object) -> None:
        raise RunError("The disk is full.")

    write_tables_and_figures(fewer(results), tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(written, "write_figures", full)
        with pytest.raises(RunError, match="full"):
            write_tables_and_figures(results, tmp_path)
    assert (tmp_path / "tables" / "pairs.csv").exists()
    write_tables_and_figures(fewer(results), tmp_path)
    assert not (tmp_path / "tables" / "pairs.csv").exists()


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "veilset-study-written/1", "files": ["../precious.csv"]}',
        '{"format": "veilset-study-written/1", "files": ["tables/../../precious.csv"]}',
        '{"format": "veilset-study-written/1", "files": [3]}',
        '{"format": "veilset-study-written/9", "files": []}',
        "[]",
        "{",
    ],
)
def test_a_record_that_names_other_files_is_refused(
    results: Mapping[str, Any], tmp_path: Path, text: str
) -> None:
    precious = tmp_path / "precious.csv"
    precious.write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "written.json").write_text(text)
    with pytest.raises(RunError, match=r"written.json is damaged.*Delete it, and the folders"):
        write_tables_and_figures(results, out)
    assert precious.read_text() == "mine"
    assert names(out) == {"written.json"}


def test_nothing_is_written_where_figures_cannot_be_drawn(
    results: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MissingExtraError, match="resvg-py"):
        write_tables_and_figures(results, tmp_path / "out")
    assert not (tmp_path / "out").exists()
