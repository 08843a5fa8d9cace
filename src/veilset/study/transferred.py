# SPDX-License-Identifier: Apache-2.0
"""Tables 5 and 6 and the numbers on detection: what was learned, put to another task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from veilset.errors import RunError
from veilset.study.comparisons import correct_for_many
from veilset.study.statistics import MeanSem, mean_sem, t_interval, t_test
from veilset.study.tables import (
    Cell,
    Column,
    Table,
    beside_paper,
    count_column,
    interval_cell,
    mean_cell,
    text_column,
)

FORMAT = "veilset-transfer/1"
SCORE = "score.json"

_MAIN = {
    "cifar10": "top1", "sun397": "top1", "celeba": "mAP", "voc-detection": "mAP50_voc07",
}  # fmt: skip
_NAMES = {
    "cifar10": "CIFAR-10, top-1", "sun397": "SUN397, top-1", "celeba": "CelebA, mAP",
    "voc-detection": "VOC 2007, mAP",
}  # fmt: skip
_SHOWN = {"mAP": "mAP50_voc07", "person": "AP50_voc07_person", "mAP50": "mAP50", "coco": "mAP"}
_LABELS = {
    "mAP": "mAP (VOC 07)", "person": "AP of person (VOC 07)", "mAP50": "mAP at IoU .5",
    "coco": "mAP (COCO)",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TransferScore:
    """What one network reached in another task.

    Attributes:
        task: Its name.
        network: The network.
        source: Setting that it was trained on before, or ``none``.
        seed: Its seed.
        metrics: By name, in [0, 1].
    """

    task: str
    network: str
    source: str
    seed: int
    metrics: Mapping[str, float]


def read_score(path: Path) -> TransferScore:
    """Read the score of a finished run.

    Raises:
        RunError: If it is damaged, or of another format.
    """
    try:
        given: dict[str, Any] = json.loads(path.read_bytes())
        if given["format"] != FORMAT:
            raise ValueError(f"its format is {given['format']!r}")
        metrics = {
            str(name): float(value)
            for name, value in given["metrics"].items()
            if isinstance(value, int | float)
        }
        if not all(0 <= value <= 1 for value in metrics.values()):
            raise ValueError("a metric is not in [0, 1]")
        return TransferScore(
            given["task"], given["network"], given["from"], int(given["seed"]), metrics
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} is damaged ({error}). Delete its folder; 'veilset study transfer' makes it "
            "again."
        ) from error


def transfer_tables(
    scores: Sequence[TransferScore], sources: Sequence[str], *, ddof: int, is_ilsvrc: bool
) -> list[Table]:
    """Give the tables of the tasks that have scores.

    Args:
        scores: Of all finished runs.
        sources: ``none`` and the settings, in order; the first setting is the reference.
        ddof: Of standard errors.
        is_ilsvrc: Whether the paper's numbers are put beside.
    """
    tables = []
    for name, title, tasks in (
        ("table_5", "Top-1 accuracy on other data sets after fine-tuning", ("cifar10", "sun397")),
        ("table_6", "Attributes of faces after fine-tuning", ("celeba",)),
    ):
        known = [task for task in tasks if any(score.task == task for score in scores)]
        if known:
            tables.append(_task_table(name, title, known, scores, sources, ddof, is_ilsvrc))
    if any(score.task == "voc-detection" for score in scores):
        tables.append(_voc_table(scores, sources, ddof, is_ilsvrc))
    if scores:
        tables.append(_tests_table(scores, sources))
    return tables


def _task_table(
    name: str, title: str, tasks: Sequence[str], scores: Sequence[TransferScore],
    sources: Sequence[str], ddof: int, is_ilsvrc: bool,
) -> Table:  # fmt: skip
    networks = list(dict.fromkeys(score.network for score in scores if score.task in tasks))
    columns = [text_column("network", "Network")]
    columns += [
        Column(f"{task}.{source}", f"{_NAMES[task]}, {_from(source)}", "%", 1, "mean_sem")
        for task in tasks
        for source in _given(scores, task, sources)
    ]
    rows: list[dict[str, Cell]] = []
    for network in networks:
        row: dict[str, Cell] = {"network": network}
        for task in tasks:
            for source in _given(scores, task, sources):
                values = list(_values(scores, task, network, source, _MAIN[task]).values())
                row[f"{task}.{source}"] = _mean(values, ddof)
        rows.append(row)
    if is_ilsvrc:
        columns, rows = beside_paper(name, columns, rows)
    note = "Mean over seeds ± standard error of the mean."
    return Table(name, title, note, tuple(columns), tuple(rows))


def _voc_table(
    scores: Sequence[TransferScore], sources: Sequence[str], ddof: int, is_ilsvrc: bool
) -> Table:
    task = "voc-detection"
    columns = [text_column("setting", "Pretrained on"), text_column("network", "Network")]
    columns += [Column(key, label, "%", 2, "mean_sem") for key, label in _LABELS.items()]
    rows: list[dict[str, Cell]] = []
    for network in dict.fromkeys(score.network for score in scores if score.task == task):
        for source in _given(scores, task, sources):
            row: dict[str, Cell] = {"setting": source, "network": network}
            for key, metric in _SHOWN.items():
                values = list(_values(scores, task, network, source, metric).values())
                row[key] = _mean(values, ddof)
            rows.append(row)
    if is_ilsvrc:
        columns, rows = beside_paper("table_voc", columns, rows, lambda row: str(row["setting"]))
    title = "Detection on Pascal VOC 2007 after fine-tuning"
    note = (
        "Mean over seeds ± standard error. VOC 07: precision at 11 points of recall, as the "
        "paper's evaluator; COCO: mean over IoU .5 to .95."
    )
    return Table("table_voc", title, note, tuple(columns), tuple(rows))


def _tests_table(scores: Sequence[TransferScore], sources: Sequence[str]) -> Table:
    """Compare every setting with the reference, over the seeds that both have."""
    settings = [source for source in sources if source != "none"]
    reference = settings[0]
    rows: list[dict[str, Cell]] = []
    for task, metric in _MAIN.items():
        for network in dict.fromkeys(each.network for each in scores if each.task == task):
            before = _values(scores, task, network, reference, metric)
            for setting in settings[1:]:
                after = _values(scores, task, network, setting, metric)
                seeds = sorted(before.keys() & after.keys())
                if seeds:
                    drops = [before[seed] - after[seed] for seed in seeds]
                    rows.append(_test_row(task, network, setting, drops))
    correct_for_many(rows, ("task",))
    columns = (
        text_column("task", "Task"), text_column("network", "Network"),
        text_column("setting", "Setting"), Column("drop", "Δ", "%", 2),
        Column("over_trainings", "95 % over trainings", "%", 2, "interval"),
        Column("p", "p", "", 4), Column("p_holm", "p (Holm)", "", 4),
        count_column("n_seeds", "seeds"),
    )  # fmt: skip
    note = (
        f"Δ is {reference} minus the setting, over the seeds that both have; paired t test, "
        "corrected by Holm within a task. A large p does not show that there is no difference."
    )
    title = "Does pretraining on obfuscated images change other tasks?"
    return Table("transfer_drops", title, note, columns, tuple(rows))


def _test_row(task: str, network: str, setting: str, drops: Sequence[float]) -> dict[str, Cell]:
    return {
        "task": _NAMES[task],
        "network": network,
        "setting": setting,
        "drop": float(np.mean(drops)),
        "over_trainings": interval_cell(t_interval(drops)),
        "p": t_test(drops),
        "p_holm": None,
        "n_seeds": len(drops),
    }


def _given(scores: Sequence[TransferScore], task: str, sources: Sequence[str]) -> list[str]:
    there = {score.source for score in scores if score.task == task}
    return [source for source in sources if source in there]


def _values(
    scores: Sequence[TransferScore], task: str, network: str, source: str, metric: str
) -> dict[int, float]:
    return {
        score.seed: score.metrics[metric]
        for score in scores
        if (score.task, score.network, score.source) == (task, network, source)
        and metric in score.metrics
    }


def _mean(values: Sequence[float], ddof: int) -> Cell:
    found: MeanSem | None = mean_sem(values, ddof) if values else None
    return mean_cell(found)


def _from(source: str) -> str:
    return "no pretraining" if source == "none" else source
