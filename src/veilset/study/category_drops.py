# SPDX-License-Identifier: Apache-2.0
"""The drop of every category by itself, with both intervals."""

from __future__ import annotations

import numpy as np

from veilset.study.comparisons import (
    HOW,
    INTERVALS,
    correct_for_many,
    drop_cells,
    trained_or_evaluated,
)
from veilset.study.found import Found
from veilset.study.paired import paired_drop
from veilset.study.scores import Question
from veilset.study.tables import Cell, Table, text_column


def category_drops_table(found: Found) -> Table | None:
    """Give what each category loses in top-1 accuracy, averaged over networks.

    Returns:
        None if nothing is compared with the reference.
    """
    asked = trained_or_evaluated(found)
    rows: list[dict[str, Cell]] = []
    for setting, question in asked.items():
        rows += _rows(found, setting, question)
    if not rows:
        return None
    correct_for_many(rows, ("setting",))
    how = HOW.format(", over the categories of one setting")
    note = (
        f"Top-1 accuracy, averaged over networks. {how} "
        f"{found.missing_note([found.own, *asked.values()])}"
    )
    columns = (
        text_column("setting", "Setting"),
        text_column("category", "Category"),
        text_column("name", "name"),
        *INTERVALS,
    )
    title = "Drops of categories, with intervals"
    return Table("category_drops", title, note.strip(), columns, tuple(rows))


def _rows(found: Found, setting: str, question: Question) -> list[dict[str, Cell]]:
    scores = found.scores
    questions = (found.own, question)
    seeds = scores.seeds(scores.networks, questions)
    a, b = (scores.correct(scores.networks, each, seeds, "top1") for each in questions)
    if not seeds or a is None or b is None:
        return []
    rows: list[dict[str, Cell]] = []
    for label, (category, name) in enumerate(zip(found.classes, found.names, strict=True)):
        chosen = np.flatnonzero(scores.labels == label)
        drop = paired_drop(
            a[:, chosen],
            b[:, chosen],
            scores.labels[chosen],
            n_resamples=found.n_resamples,
            rng=found.rng("category", category, *question),
        )
        start: dict[str, Cell] = {"setting": setting, "category": category, "name": name}
        rows.append(start | drop_cells(drop))
    return rows
