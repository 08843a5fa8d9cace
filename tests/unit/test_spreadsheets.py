# SPDX-License-Identifier: Apache-2.0
"""Names that a spreadsheet would take for formulas, in every table that people open."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from veilset.audit.database import Database
from veilset.spreadsheets import csv_text, make_file_safe, safe_cell, text_of_cell
from veilset.study.render import csv_of
from veilset.study.tables import Column, Table

FORMULAS = [
    '=HYPERLINK("http:evil","x")', "@SUM(1)", "+1+1", "-A1", "-1\n=1", "\t=1", "\r=1", "\n=1",
    "＝1",  # noqa: RUF001  a wide one
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_a_formula(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert text_of_cell(f"'{text}") == text
    told = csv_text([text], [[text, -1.5, None]])
    assert list(csv.reader(io.StringIO(told, newline=""))) == [
        [f"'{text}"],
        [f"'{text}", "-1.5", ""],
    ]
    table = Table("t", "T", "", (Column("a", "A", kind="text"),), ({"a": text},))
    assert list(csv.reader(io.StringIO(csv_of(table), newline="")))[1] == [f"'{text}"]


def test_no_row_and_no_cell_begins_within_another() -> None:
    # Some spreadsheets end a cell at a semicolon or a tab.
    for text in ("a\r=1", "a\n=1", "a;=1", "a\t=1", 'a"=1', "a,=1"):
        quoted = text.replace('"', '""')
        assert csv_text(["x", "y"], [[text, 1]]) == f'x,y\n"{quoted}",1\n'


def test_other_cells_stay() -> None:
    for value in ("a=1", "'s-Hertogenbosch", "", -1, 1.5, None):
        assert safe_cell(value) == value
    assert text_of_cell("'s-Hertogenbosch") == "'s-Hertogenbosch"


@pytest.mark.parametrize("text", ["-0.076199", "-1", "+3", "-.5", "-2.", "-1e-05", "+1E6"])
def test_numbers_that_were_rounded_stay_numbers(text: str) -> None:
    assert csv_text(["value"], [[text]]) == f"value\n{text}\n"
    assert text_of_cell(f"'{text}") == f"'{text}"


def test_tables_of_an_audit(tmp_path: Path) -> None:
    with Database.open(tmp_path / "work", n_threads=1, memory_mb=200) as database:
        database.run("CREATE TABLE found (place BIGINT, name VARCHAR, share DOUBLE)")
        for place, text in enumerate(FORMULAS):
            database.run("INSERT INTO found VALUES (?, ?, -0.5)", [place, text])
        sql = "SELECT name, share FROM found ORDER BY place"
        database.export(sql, tmp_path / "x.csv")
        database.export("SELECT share, 'plain' AS name FROM found", tmp_path / "y.csv")
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as stream:
        found = list(csv.reader(stream))
    assert found == [["name", "share"], *([f"'{text}", "-0.5"] for text in FORMULAS)]
    before = (tmp_path / "y.csv").read_bytes()
    make_file_safe(tmp_path / "y.csv", {1})
    assert (tmp_path / "y.csv").read_bytes() == before
