# SPDX-License-Identifier: Apache-2.0
"""CSV for people, who open it in a spreadsheet: a name in it must not become a formula.

For tables that are read, not for files that programs exchange: those stay exact.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from veilset.files import discard_part, part_path

# What begins a formula, also behind the blanks that a spreadsheet drops, and in the wide letters
# that some of them take for the narrow ones.
_BEGINS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001  these wide letters are meant
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def safe_cell(value: object) -> object:
    """Give a value for a cell; a text that would be a formula gets an apostrophe before it.

    Example:
        >>> safe_cell("=1+1"), safe_cell("a=1"), safe_cell("-1.50"), safe_cell(-1.5)
        ("'=1+1", 'a=1', '-1.50', -1.5)
    """
    return f"'{value}" if isinstance(value, str) and _is_a_formula(value) else value


def text_of_cell(cell: str) -> str:
    """Give back the text that ``safe_cell`` made a cell of.

    Example:
        >>> text_of_cell("'=1+1"), text_of_cell("'s-Hertogenbosch")
        ('=1+1', "'s-Hertogenbosch")
    """
    return cell[1:] if cell[:1] == "'" and _is_a_formula(cell[1:]) else cell


def _is_a_formula(text: str) -> bool:
    return text.startswith(_BEGINS_A_FORMULA) and not _NUMBER.fullmatch(text)


def csv_text(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    r"""Give a table as CSV for a spreadsheet, empty where a value is None.

    Example:
        >>> csv_text(["name", "n"], [["@SUM(1)", 2], ["b", None]])
        "name,n\n'@SUM(1),2\nb,\n"
    """
    return "".join(_line([safe_cell(value) for value in row]) for row in (header, *rows))


def make_file_safe(path: Path, texts: Collection[int]) -> None:
    """Do the same to a CSV file that another program wrote; one without such a text stays.

    Args:
        path: The file, in UTF-8, with a header.
        texts: Places of the columns that hold text.

    Raises:
        OSError: If it cannot be written.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        is_safe = not any(_can_do_harm(row, texts) for row in csv.reader(stream))
    if is_safe:
        return
    part = part_path(path)
    try:
        with (
            path.open(newline="", encoding="utf-8") as stream,
            part.open("w", newline="", encoding="utf-8") as sink,
        ):
            sink.writelines(_line(_safe(row, texts)) for row in csv.reader(stream))
        part.replace(path)
    except BaseException:
        discard_part(part)
        raise


def _can_do_harm(row: list[str], texts: Collection[int]) -> bool:
    return row != _safe(row, texts) or any(cell != _quoted(cell) for cell in row)


def _safe(row: list[str], texts: Collection[int]) -> list[str]:
    return [str(safe_cell(cell)) if at in texts else cell for at, cell in enumerate(row)]


def _line(row: Sequence[object]) -> str:
    # Python's writer leaves a carriage return bare, where a spreadsheet begins another row.
    cells = ["" if value is None else str(value) for value in row]
    return (",".join(map(_quoted, cells)) or '""') + "\n"


def _quoted(cell: str) -> str:
    needs_quotes = any(letter in cell for letter in '",\r\n;\t')
    return '"' + cell.replace('"', '""') + '"' if needs_quotes else cell
