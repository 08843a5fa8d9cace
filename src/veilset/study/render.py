# SPDX-License-Identifier: Apache-2.0
"""Tables as CSV, Parquet, Markdown and LaTeX. Shares are written in percent, as papers do.

CSV and Parquet hold every digit; a mean has columns of its own for its standard error and the
number of seeds, an interval for its ends. Markdown and LaTeX round, for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from veilset.files import write_atomically
from veilset.pages.markdown import plain
from veilset.pages.markup import visible
from veilset.runs import make_folder
from veilset.spreadsheets import csv_text
from veilset.study.layout import write_table
from veilset.study.tables import Cell, Column, Table

FORMAT = "veilset-study-table/1"

TABLE_SUFFIXES = (".csv", ".md", ".tex", ".parquet")
"""Endings of the files of a table."""

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "Δ": r"$\Delta$", "−": r"$-$", "≥": r"$\geq$",  # noqa: RUF001  as shown
}  # fmt: skip
_PARTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "mean_sem": (("mean", ""), ("sem", ".sem"), ("n", ".n")),
    "interval": (("low", ".low"), ("high", ".high")),
}
_BELOW = 1e-4
"""A probability below it is written with its power of ten."""


def csv_of(table: Table) -> str:
    """Give a table as CSV, with a line of names; percent where a name ends in ``[%]``.

    Example:
        >>> rows = ({"a": 0.125, "b": {"low": 0, "high": 1}},)
        >>> columns = (Column("a", "A", "%"), Column("b", "B", kind="interval"))
        >>> csv_of(Table("t", "T", "", columns, rows))
        'a [%],b.low,b.high\\n12.5,0,1\\n'
    """
    flat = _all_parts(table)
    header = [f"{name} [{unit}]" if unit else name for name, _, _, unit in flat]
    rows = (
        [_part(row.get(column.key), part, unit) for _, column, part, unit in flat]
        for row in table.rows
    )
    return csv_text(header, rows)


def parquet_of(table: Table) -> pa.Table:
    """Give a table for Parquet, columns as in the CSV file; units are in the schema."""
    columns: dict[str, list[Any]] = {}
    fields = []
    for name, column, part, unit in _all_parts(table):
        kind = _kind(column, part)
        fields.append(pa.field(name, kind, metadata={"unit": unit, "label": column.label}))
        values = [_part(row.get(column.key), part, unit) for row in table.rows]
        columns[name] = [_typed(value, kind) for value in values]
    schema = pa.schema(fields, metadata={"veilset": FORMAT, "title": table.title})
    return pa.Table.from_pydict(columns, schema=schema)


def _kind(column: Column, part: str) -> pa.DataType:
    if column.kind == "text":
        return pa.string()
    return pa.int64() if column.kind == "count" or part == "n" else pa.float64()


def _typed(value: object, kind: pa.DataType) -> object:
    if value is None:
        return None
    return str(value) if pa.types.is_string(kind) else value


def _all_parts(table: Table) -> list[tuple[str, Column, str, str]]:
    return [part for column in table.columns for part in _parts(column)]


def _parts(column: Column) -> Iterator[tuple[str, Column, str, str]]:
    """Give name, column, part and unit of what a column becomes."""
    for part, suffix in _PARTS.get(column.kind, (("", ""),)):
        yield f"{column.key}{suffix}", column, part, "" if part == "n" else column.unit


def _part(cell: Cell, part: str, unit: str) -> Any:
    value: Any = cell
    if part:
        value = cell.get(part) if isinstance(cell, Mapping) else None
    if unit == "%" and isinstance(value, int | float):
        return 100 * value
    return value


def markdown_of(table: Table) -> str:
    """Give a table as Markdown: title, table, note."""
    labels = [plain(_label(column)) for column in table.columns]
    rules = [":---" if column.kind == "text" else "---:" for column in table.columns]
    lines = [f"### {plain(table.title)}", ""]
    lines += [_line(labels), _line(rules)]
    lines += [_line([plain(each) for each in row]) for row in shown_rows(table)]
    if table.note:
        lines += ["", plain(table.note)]
    return "\n".join([*lines, ""])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def latex_of(table: Table) -> str:
    """Give a table as LaTeX, for the package ``booktabs``; columns of numbers to the right."""
    rules = "".join("l" if column.kind == "text" else "r" for column in table.columns)
    labels = [_escaped(_label(column), _LATEX) for column in table.columns]
    lines = [
        r"\begin{table}", r"\centering", rf"\caption{{{_escaped(table.title, _LATEX)}.}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}", rf"\begin{{tabular}}{{{rules}}}",
        r"\toprule", " & ".join(labels) + r" \\", r"\midrule",
    ]  # fmt: skip
    lines += [
        " & ".join(_escaped(each, _LATEX) for each in row) + r" \\" for row in shown_rows(table)
    ]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.note:
        lines += ["", rf"\smallskip {{\footnotesize {_escaped(table.note, _LATEX)}}}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _label(column: Column) -> str:
    return f"{column.label} (%)" if column.unit == "%" else column.label


def _escaped(text: str, letters: Mapping[str, str]) -> str:
    return "".join(letters.get(letter, letter) for letter in visible(text))


def shown_rows(table: Table) -> list[list[str]]:
    """Give the cells as people read them: rounded, ``-`` where there is nothing.

    A mean over fewer seeds than are planned, or than the best cell of the table, says over how
    many.

    Example:
        >>> columns = (Column("a", "A", "%", kind="mean_sem"),)
        >>> rows = ({"a": {"mean": 0.5, "sem": 0.012, "n": 3}}, {"a": {"mean": 0.5, "n": 1}})
        >>> shown_rows(Table("t", "T", "", columns, rows))
        [['50.0 ± 1.2'], ['50.0 (n = 1)']]
    """
    counts = [
        cell["n"] or 0
        for row in table.rows
        for cell in row.values()
        if isinstance(cell, Mapping) and "n" in cell
    ]
    most = max(table.n_seeds, int(max(counts, default=0)))
    return [[shown(row.get(each.key), each, most) for each in table.columns] for row in table.rows]


def shown(cell: Cell, column: Column, n_usual: int = 0) -> str:
    """Give one cell as people read it."""
    if isinstance(cell, Mapping):
        return _shown_parts(cell, column, n_usual)
    if cell is None or cell == "":
        return "-"
    if isinstance(cell, str):
        return cell
    if column.kind == "count":
        return f"{int(cell):,}"
    return _number(float(cell), column)


def _shown_parts(cell: Mapping[str, float | int | None], column: Column, n_usual: int) -> str:
    if column.kind == "interval":
        low, high = cell["low"], cell["high"]
        if low is None or high is None:
            return "-"
        return f"{_number(low, column)} to {_number(high, column)}"
    mean, sem, n = cell["mean"], cell.get("sem"), cell.get("n")
    if mean is None:
        return "-"
    text = _number(mean, column)
    if sem is not None:
        text += f" ± {_number(sem, column)}"
    return f"{text} (n = {n})" if n is not None and n < n_usual else text


def _number(value: float, column: Column) -> str:
    scaled = 100 * value if column.unit == "%" else value
    if not column.unit and 0 < abs(scaled) < _BELOW:
        return f"{scaled:.1e}"
    # Adding 0.0 takes the sign from a zero that was rounded.
    return f"{round(scaled, column.digits) + 0.0:.{column.digits}f}"


def write_tables(folder: Path, tables: Sequence[Table]) -> None:
    """Write every table in all four forms; the folder is made.

    Raises:
        RunError: If one cannot be written.
    """
    make_folder(folder)
    for table in tables:
        write_atomically(folder / f"{table.name}.csv", csv_of(table).encode())
        write_atomically(folder / f"{table.name}.md", markdown_of(table).encode())
        write_atomically(folder / f"{table.name}.tex", latex_of(table).encode())
        write_table(folder / f"{table.name}.parquet", parquet_of(table))
