# SPDX-License-Identifier: Apache-2.0
"""Tables as files: every digit for programs, rounded for people, nothing that bites."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

import pyarrow.parquet as pq
import pytest

from veilset.study.render import csv_of, latex_of, markdown_of, shown, shown_rows, write_tables
from veilset.study.tables import Cell, Column, Table, beside_paper

COLUMNS = (
    Column("network", "Network", kind="text"),
    Column("top1.original", "Top-1", "%", 1, "mean_sem"),
    Column("drop", "Δ", "%", 1),
    Column("ends", "95 %", "%", 2, "interval"),
    Column("p", "p", "", 4),
    Column("n", "images", kind="count"),
)
ROWS: tuple[Mapping[str, Cell], ...] = (
    {
        "network": "a_b|c&<i>",
        "top1.original": {"mean": 0.123456789, "sem": 0.0123, "n": 3},
        "drop": -0.00001,
        "ends": {"low": -0.01, "high": 0.02},
        "p": 6.31e-20,
        "n": 50_000,
    },
    {"network": "=1+1", "top1.original": {"mean": 0.5, "sem": None, "n": 1}},
)
TABLE = Table("table_x", "Title 100 %", "A note.", COLUMNS, ROWS)


def test_people_read_rounded_numbers_and_over_how_many_seeds():
    assert shown_rows(TABLE) == [
        ["a_b|c&<i>", "12.3 ± 1.2", "0.0", "-1.00 to 2.00", "6.3e-20", "50,000"],
        ["=1+1", "50.0 (n = 1)", "-", "-", "-", "-"],
    ]


def test_programs_read_every_digit(tmp_path):
    rows = list(csv.DictReader(io.StringIO(csv_of(TABLE))))
    assert float(rows[0]["top1.original [%]"]) == 100 * 0.123456789
    assert float(rows[0]["top1.original.sem [%]"]) == pytest.approx(1.23)
    assert rows[0]["top1.original.n"] == "3"
    assert float(rows[0]["p"]) == 6.31e-20
    assert rows[1]["drop [%]"] == ""
    write_tables(tmp_path / "tables", [TABLE])
    found = pq.read_table(tmp_path / "tables" / "table_x.parquet")
    assert found.column_names[:2] == ["network", "top1.original"]
    assert found["top1.original"].to_pylist() == pytest.approx([12.3456789, 50.0])
    assert found["top1.original.n"].to_pylist() == [3, 1]
    assert found["n"].to_pylist() == [50_000, None]
    assert found.schema.field("drop").metadata == {b"unit": b"%", b"label": "Δ".encode()}
    assert sorted(each.suffix for each in (tmp_path / "tables").iterdir()) == [
        ".csv", ".md", ".parquet", ".tex"
    ]  # fmt: skip


def test_a_name_is_no_formula_no_cell_and_no_command():
    assert "'=1+1" in csv_of(TABLE)
    lines = markdown_of(TABLE).splitlines()
    assert r"a\_b\|c\&\<i\>" in lines[4]
    assert {line.replace(r"\|", "").count("|") for line in lines[2:6]} == {7}
    assert r"a\_b|c\&<i>" in latex_of(TABLE)
    assert r"\caption{Title 100 \%.}" in latex_of(TABLE)
    assert r"12.3 $\pm$ 1.2" in latex_of(TABLE)


def test_a_table_is_what_its_json_says():
    assert Table.from_json(TABLE.to_json()) == TABLE


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, "-"), ("", "-"), (0.5, "0.50"), (-0.001, "0.00"), (0.00001, "1.0e-05")],
)
def test_single_cells(cell, text):
    assert shown(cell, Column("r", "r", "", 2)) == text


def test_the_paper_stands_beside_where_it_printed_something():
    columns = [COLUMNS[0], *COLUMNS[1:2], Column("top1.blurred.drop", "Δ blurred", "%")]
    rows: list[dict[str, Cell]] = [
        {"network": "resnet18", "top1.blurred.drop": 0.01},
        {"network": "Average"},
    ]
    wider, filled = beside_paper("table_3", columns, rows)
    assert [column.key for column in wider] == [
        "network", "top1.original", "top1.original.paper", "top1.blurred.drop",
        "top1.blurred.drop.paper",
    ]  # fmt: skip
    assert filled[0]["top1.original.paper"] == {"mean": 0.698, "sem": 0.002, "n": None}
    assert filled[0]["top1.blurred.drop.paper"] == 0.007
    assert filled[1]["top1.blurred.drop.paper"] == 0.007
    table = Table("t", "t", "", tuple(wider), tuple(filled))
    assert shown_rows(table)[0] == ["resnet18", "-", "69.8 ± 0.2", "1.0", "0.7"]
