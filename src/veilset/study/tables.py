# SPDX-License-Identifier: Apache-2.0
"""Tables as values, and Tables 3, 7 and 8 of the face study in the paper's form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from veilset.study.found import Found
from veilset.study.paper import paper_cell
from veilset.study.scores import METRIC_NAMES, METRICS, Question
from veilset.study.statistics import Interval, MeanSem

Kind = Literal["text", "count", "value", "mean_sem", "interval"]
Cell = str | int | float | bool | None | Mapping[str, float | int | None]

AVERAGE = "Average"
PAPER = " (paper)"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        key: Of its cells in the rows.
        label: For people.
        unit: ``%`` for shares, which are shown times 100; "" for what has none.
        digits: After the point, where it is shown to people.
        kind: What its cells are.
    """

    key: str
    label: str
    unit: str = ""
    digits: int = 1
    kind: Kind = "value"


@dataclass(frozen=True, slots=True)
class Table:
    """One table; its cells are JSON values.

    Attributes:
        name: Of its files.
        title: Above it.
        note: Below it: how it was computed, and what is missing.
        columns: In order.
        rows: Cells by the keys of columns; None where there is nothing to say.
        n_seeds: How many seeds are planned; 0 where that is not the same for all.
    """

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Cell], ...]
    n_seeds: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return asdict(self) | {"rows": [dict(row) for row in self.rows]}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Table:
        """Read what ``to_json`` gave."""
        columns = tuple(Column(**column) for column in found["columns"])
        rows, n_seeds = tuple(found["rows"]), int(found.get("n_seeds", 0))
        return cls(found["name"], found["title"], found["note"], columns, rows, n_seeds)


def text_column(key: str, label: str) -> Column:
    """Give a column of texts."""
    return Column(key, label, kind="text", digits=0)


def count_column(key: str, label: str) -> Column:
    """Give a column of whole numbers."""
    return Column(key, label, kind="count", digits=0)


def mean_cell(found: MeanSem | None) -> Cell:
    """Give a mean as a cell."""
    return None if found is None else {"mean": found.mean, "sem": found.sem, "n": found.n}


def interval_cell(found: Interval | None) -> Cell:
    """Give an interval as a cell."""
    return None if found is None else {"low": found.low, "high": found.high}


def table_3(found: Found) -> Table | None:
    """Give accuracies of networks that were trained and evaluated on each setting.

    Returns:
        None if no obfuscated setting is trained on.
    """
    others = [Question(each, each) for each in found.settings if each != found.reference]
    asked = [(each.trained, each) for each in others if each in found.questions]
    title = "Accuracy on the test images, networks trained and evaluated on the same setting"
    return _accuracies(found, "table_3", title, METRICS, asked) if asked else None


def table_7(found: Found) -> Table | None:
    """Give top-5 accuracies of networks that were trained on the reference only.

    Where there are five classes or fewer it gives top-1 accuracies.

    Returns:
        None if they are not evaluated on other settings.
    """
    others = [Question(found.reference, each) for each in found.settings]
    asked = [
        (each.evaluated, each)
        for each in others
        if each in found.questions and each.evaluated != found.reference
    ]
    title = f"Networks trained on {found.reference}, evaluated on obfuscated images"
    metrics = ("top5",) if found.scores.has("top5") else ("top1",)
    return _accuracies(found, "table_7", title, metrics, asked) if asked else None


def table_8(found: Found) -> Table | None:
    """Give accuracies on the reference of networks that were trained on each setting.

    Returns:
        None if none is evaluated on the reference.
    """
    others = [Question(each, found.reference) for each in found.settings]
    asked = [
        (each.trained, each)
        for each in others
        if each in found.questions and each.trained != found.reference
    ]
    title = f"Networks trained on obfuscated images, evaluated on {found.reference}"
    return _accuracies(found, "table_8", title, METRICS, asked) if asked else None


def _accuracies(
    found: Found,
    name: str,
    title: str,
    metrics: Sequence[str],
    asked: Sequence[tuple[str, Question]],
) -> Table:
    """Give a row for each network and one for their average: the reference, others, drops."""
    own = Question(found.reference, found.reference)
    known = [metric for metric in metrics if found.scores.has(metric)]
    columns = [text_column("network", "Network")]
    for metric in known:
        columns += _metric_columns(found, metric, [found.reference, *(each for each, _ in asked)])
    rows = []
    for network in (*found.scores.networks, AVERAGE):
        row: dict[str, Cell] = {"network": network}
        for metric in known:
            row |= _metric_cells(found, network, metric, [(found.reference, own), *asked])
        rows.append(row)
    if found.is_ilsvrc:
        columns, rows = beside_paper(name, columns, rows)
    note = (
        "Mean over seeds ± standard error of the mean"
        f"{'' if found.scores.ddof == 1 else f' (ddof {found.scores.ddof})'}; Δ is "
        f"{found.reference} minus the setting, over the seeds that both have (the table 'drops' "
        f"counts them). {AVERAGE}: over networks. "
        f"{found.missing_note([own, *(each for _, each in asked)])}"
    )
    return Table(name, title, note.strip(), tuple(columns), tuple(rows))


def _metric_columns(found: Found, metric: str, settings: Sequence[str]) -> Iterator[Column]:
    for setting in settings:
        label = f"{METRIC_NAMES[metric]}, {setting}"
        yield Column(f"{metric}.{setting}", label, "%", 1, "mean_sem")
        if setting != found.reference:
            yield Column(f"{metric}.{setting}.drop", f"Δ {setting}", "%", 1)


def _metric_cells(
    found: Found, network: str, metric: str, asked: Iterable[tuple[str, Question]]
) -> Iterator[tuple[str, Cell]]:
    scores = found.scores
    own = Question(found.reference, found.reference)
    networks = scores.networks if network == AVERAGE else (network,)
    for setting, question in asked:
        cell = (
            scores.average(question, metric)
            if network == AVERAGE
            else scores.accuracy(network, question, metric)
        )
        yield f"{metric}.{setting}", mean_cell(cell)
        if setting != found.reference:
            yield f"{metric}.{setting}.drop", scores.mean_drop(networks, (own, question), metric)


def beside_paper(
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Cell]],
    key_of: Callable[[Mapping[str, Cell]], str] = lambda row: str(row["network"]).lower(),
) -> tuple[list[Column], list[dict[str, Cell]]]:
    """Put what the paper printed beside each column of which it printed anything.

    Args:
        name: Of the table.
        columns: Ours.
        rows: Ours.
        key_of: Gives the key of a row in the paper's table.

    Returns:
        Columns and rows with those of the paper, whose keys end in ``.paper``.
    """
    wider: list[Column] = []
    filled = [dict(row) for row in rows]
    for column in columns:
        wider.append(column)
        if column.kind == "text":
            continue
        printed = [paper_cell(name, key_of(row), column.key) for row in rows]
        if not any(printed):
            continue
        key = f"{column.key}.paper"
        wider.append(Column(key, column.label + PAPER, "%", column.digits, column.kind))
        for row, cell in zip(filled, printed, strict=True):
            is_value = column.kind == "value" and cell is not None
            row[key] = cell["mean"] if cell is not None and is_value else cell
    return wider, filled
