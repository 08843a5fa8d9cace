# SPDX-License-Identifier: Apache-2.0
"""Tables of drops with both intervals, over all images and over those with and without faces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilset.intervals import holm
from veilset.study.found import Found
from veilset.study.paired import Drop
from veilset.study.scores import METRIC_NAMES, METRICS, Question
from veilset.study.small_faces import Contrast, contrast
from veilset.study.tables import (
    AVERAGE,
    Cell,
    Column,
    Table,
    count_column,
    interval_cell,
    text_column,
)

INTERVALS = (
    Column("drop", "Δ", "%", 2),
    Column("over_trainings", "95 % over trainings", "%", 2, "interval"),
    Column("over_images", "95 % over images", "%", 2, "interval"),
    Column("detectable_trainings", "detectable over trainings", "%", 2),
    Column("detectable_images", "detectable over images", "%", 2),
    Column("p", "p", "", 4),
    Column("p_holm", "p (Holm)", "", 4),
    count_column("n_seeds", "seeds"),
    count_column("n_images", "images"),
    text_column("resolved", "resolved"),
)

HOW = (
    "Δ is accuracy on the reference minus accuracy on the setting; positive is worse. Over "
    "trainings: Student's t over seeds, what other trainings would have given. Over images: "
    "bootstrap within class, what other images of the same classes would have given. A drop is "
    "resolved if both exclude 0. With one seed, or where all seeds agree, there is none over "
    "trainings; one of images without width excludes nothing. Detectable: the least drop that "
    "this interval would have shown 4 times of 5, from the same standard error; of a smaller one "
    "that is not resolved nothing is known. p: paired t test over seeds, corrected by Holm{}."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a row compares with the reference.

    Attributes:
        table: Which of the paper's tables it belongs to; p values are corrected within it.
        question: The runs.
    """

    table: str
    question: Question


def asked_questions(found: Found) -> list[Asked]:
    """Give every comparison that the study plans, those of Table 3 first."""
    rows = []
    for table, chosen in (
        ("table_3", [Question(each, each) for each in found.settings]),
        ("table_8", [Question(each, found.reference) for each in found.settings]),
        ("table_7", [Question(found.reference, each) for each in found.settings]),
    ):
        rows += [
            Asked(table, each) for each in chosen if each in found.questions and each != found.own
        ]
    return rows


def drops_table(found: Found) -> Table:
    """Give every drop with its intervals: each network, and the average of all."""
    rows = []
    for asked in asked_questions(found):
        for metric in METRICS:
            if found.scores.has(metric):
                rows += list(_drop_rows(found, asked, metric))
    correct_for_many(rows, ("table", "metric"))
    columns = (
        text_column("network", "Network"),
        text_column("trained", "trained on"),
        text_column("evaluated", "evaluated on"),
        text_column("metric", "metric"),
        *INTERVALS,
    )
    questions = [found.own, *(asked.question for asked in asked_questions(found))]
    how = HOW.format(" over the rows of one metric and kind of comparison")
    note = f"{how} {found.missing_note(questions)}".strip()
    return Table("drops", "What obfuscation costs, with intervals", note, columns, _frozen(rows))


def _drop_rows(found: Found, asked: Asked, metric: str) -> Iterator[dict[str, Cell]]:
    for network in (*found.scores.networks, AVERAGE):
        networks = found.scores.networks if network == AVERAGE else (network,)
        drop = found.scores.compare(
            networks,
            (found.own, asked.question),
            metric,
            n_resamples=found.n_resamples,
            rng=found.rng("drops", network, *asked.question, metric),
        )
        yield {
            "table": asked.table,
            "network": network,
            "trained": asked.question.trained,
            "evaluated": asked.question.evaluated,
            "metric": METRIC_NAMES[metric],
            **drop_cells(drop),
        }


def drop_cells(drop: Drop | None) -> dict[str, Cell]:
    """Give the cells of a drop; all None where there is none."""
    if drop is None:
        return {column.key: None for column in INTERVALS}
    return {
        "drop": drop.drop,
        "over_trainings": interval_cell(drop.over_trainings),
        "over_images": interval_cell(drop.over_images),
        "detectable_trainings": drop.detectable_trainings,
        "detectable_images": drop.detectable_images,
        "p": drop.p,
        "p_holm": None,
        "n_seeds": drop.n_seeds,
        "n_images": drop.n_images,
        "resolved": "yes" if drop.is_resolved else "no",
    }


def faces_table(found: Found) -> Table | None:
    """Give the drops on images with faces and on those without, averaged over networks.

    Returns:
        None without annotations, or if nothing is compared.
    """
    facts = found.facts
    if facts is None:
        return None
    groups = {
        "all": None,
        "with faces": facts.with_faces,
        "without faces": facts.without_faces,
        "not searched": ~facts.is_looked,
    }
    rows: list[dict[str, Cell]] = []
    asked = trained_or_evaluated(found)
    for setting, question in asked.items():
        for metric in METRICS:
            if found.scores.has(metric):
                rows += _faces_rows(found, (setting, question), metric, groups)
    if not rows:
        return None
    correct_for_many(rows, ("metric", "images"))
    with_faces, without, n_not = (
        int(group.sum()) for group in groups.values() if group is not None
    )
    how = HOW.format(" over the rows of one metric and kind of images")
    note = (
        f"Averaged over networks. {with_faces} images have a face, {without} have none; {n_not} "
        f"were not searched and count in neither. {how} "
        f"{found.missing_note([found.own, *asked.values()])}"
    )
    columns = (
        text_column("setting", "Setting"),
        text_column("metric", "metric"),
        text_column("images", "images"),
        *INTERVALS,
    )
    title = "Drops on images with faces and without"
    return Table("faces", title, note.strip(), columns, _frozen(rows))


def trained_or_evaluated(found: Found) -> dict[str, Question]:
    """Give what is asked of each setting: of networks trained on it, or else on the reference."""
    asked = {}
    for setting in (each for each in found.settings if each != found.reference):
        for question in (Question(setting, setting), Question(found.reference, setting)):
            if question in found.questions:
                asked[setting] = question
                break
    return asked


def _faces_rows(
    found: Found,
    asked: tuple[str, Question],
    metric: str,
    groups: Mapping[str, NDArray[np.bool_] | None],
) -> list[dict[str, Cell]]:
    setting, question = asked
    start: dict[str, Cell] = {"setting": setting, "metric": METRIC_NAMES[metric]}
    rows = []
    for name, images in groups.items():
        # Over all images this is the row of the other table, to the last digit.
        words = ("drops", AVERAGE) if images is None else ("faces", name)
        drop = found.scores.compare(
            found.scores.networks,
            (found.own, question),
            metric,
            images=images,
            n_resamples=found.n_resamples,
            rng=found.rng(*words, *question, metric),
        )
        rows.append(start | {"images": name, **drop_cells(drop)})
    with_faces, without = groups["with faces"], groups["without faces"]
    if with_faces is not None and without is not None:
        difference = _difference(found, question, metric, with_faces, without)
        rows.append(start | {"images": "with minus without", **contrast_cells(difference)})
    return rows


def _difference(
    found: Found,
    question: Question,
    metric: str,
    images: NDArray[np.bool_],
    minus: NDArray[np.bool_],
) -> Contrast | None:
    scores = found.scores
    questions = (found.own, question)
    seeds = scores.seeds(scores.networks, questions)
    a, b = (scores.correct(scores.networks, each, seeds, metric) for each in questions)
    if a is None or b is None:
        return None
    return contrast(
        a - b,
        scores.labels,
        images,
        minus=minus,
        n_resamples=found.n_resamples,
        rng=found.rng("faces", "difference", *question, metric),
    )


def contrast_cells(found: Contrast | None) -> dict[str, Cell]:
    """Give the cells of a difference; it has no p."""
    if found is None:
        return {column.key: None for column in INTERVALS}
    return {
        "drop": found.value,
        "over_trainings": interval_cell(found.over_trainings),
        "over_images": interval_cell(found.over_images),
        "detectable_trainings": found.detectable_trainings,
        "detectable_images": found.detectable,
        "p": None,
        "p_holm": None,
        "n_seeds": found.n_seeds,
        "n_images": found.n_images,
        "resolved": "no" if found.verdict == "cannot tell" else "yes",
    }


def correct_for_many(rows: Sequence[dict[str, Cell]], keys: Sequence[str]) -> None:
    """Put Holm's correction into the rows, among those that agree in these keys."""
    families: dict[tuple[Cell, ...], list[dict[str, Cell]]] = {}
    for row in (each for each in rows if each["p"] is not None):
        families.setdefault(tuple(row[key] for key in keys), []).append(row)
    for family in families.values():
        p_values = [_number(row["p"]) for row in family]
        for row, corrected in zip(family, holm(p_values), strict=True):
            row["p_holm"] = corrected


def _number(cell: Cell) -> float:
    if not isinstance(cell, int | float):
        raise TypeError(f"{cell!r} is no number")
    return float(cell)


def _frozen(rows: Sequence[Mapping[str, Cell]]) -> tuple[Mapping[str, Cell], ...]:
    return tuple({key: cell for key, cell in row.items() if key != "table"} for row in rows)
