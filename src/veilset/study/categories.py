# SPDX-License-Identifier: Apache-2.0
"""Tables of categories: all of them, the pairs that compete, and the objects under faces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veilset.study.correlations import drops_of, share_by_class
from veilset.study.drops import CategoryDrops
from veilset.study.found import Found
from veilset.study.pairs import IntMatrix, Moves, Pair, confusions, find_pairs
from veilset.study.paper import paper_cell, paper_rows
from veilset.study.scores import METRIC_NAMES, Question
from veilset.study.statistics import mean_sem
from veilset.study.tables import (
    PAPER,
    Cell,
    Column,
    Table,
    beside_paper,
    count_column,
    mean_cell,
    text_column,
)

_NAMED = (text_column("category", "Category"), text_column("name", "name"))


def categories_table(found: Found) -> Table | None:
    """Give every category in every setting.

    Returns:
        None if nothing was trained on an obfuscated setting.
    """
    by_setting = {setting: drops_of(found, setting) for setting in found.obfuscated()}
    by_setting = {setting: drops for setting, drops in by_setting.items() if drops}
    if not by_setting:
        return None
    columns: list[Column] = [*_NAMED, count_column("n_images", "images")]
    rows: list[dict[str, Cell]] = [
        {"category": folder, "name": name, "n_images": int(n)}
        for folder, name, n in zip(found.classes, found.names, _n_images(found), strict=True)
    ]
    _add_shares(found, columns, rows)
    before = _before(found)
    for setting, drops in by_setting.items():
        columns += _metric_columns(found, setting, drops)
        for k, row in enumerate(rows):
            row |= _cells(found, setting, drops, before, k)
    note = (
        "Mean over networks first, then mean over seeds ± standard error; average precision is "
        "one class against the rest, over logits."
    )
    if not found.scores.has("ap"):
        note += " It is not known here: scores of all classes were not kept (scores: top)."
    note = f"{note} {found.missing_in_settings()}".strip()
    return Table("categories", "Categories", note, _unique(columns), tuple(rows))


def _n_images(found: Found) -> list[int]:
    counts = np.bincount(found.scores.labels, minlength=found.scores.n_classes)
    return [int(each) for each in counts]


def _add_shares(found: Found, columns: list[Column], rows: list[dict[str, Cell]]) -> None:
    if found.facts is None:
        return
    shares = (
        ("obfuscated_share", "obfuscated", found.facts.obfuscated_share),
        ("object_covered", "object covered", found.facts.object_covered),
    )
    for key, label, values in shares:
        columns.append(Column(key, label, "%", 2))
        for row, share in zip(rows, share_by_class(found, values), strict=True):
            row[key] = float(share) if np.isfinite(share) else None


def _metric_columns(
    found: Found, setting: str, drops: Mapping[str, CategoryDrops]
) -> Iterator[Column]:
    for metric in drops:
        label = METRIC_NAMES[metric]
        yield Column(f"{metric}.{found.reference}", f"{label}, {found.reference}", "%", 1,
                     "mean_sem")  # fmt: skip
        yield Column(f"{metric}.{setting}", f"{label}, {setting}", "%", 1, "mean_sem")
        yield Column(f"{metric}.{setting}.drop", f"Δ {setting}", "%", 1)


def _before(found: Found) -> dict[str, NDArray[np.float64]]:
    """Give metrics of the reference, ``(S, K)``: all its seeds, whatever a setting has."""
    scores = found.scores
    seeds = scores.seeds(scores.networks, [found.own])
    given = {metric: scores.by_class(found.own, seeds, metric) for metric in METRIC_NAMES}
    return {metric: each for metric, each in given.items() if each is not None and seeds}


def _cells(
    found: Found,
    setting: str,
    drops: Mapping[str, CategoryDrops],
    reference: Mapping[str, NDArray[np.float64]],
    k: int,
) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    for metric, each in drops.items():
        before, after = reference[metric][:, k], each.after[:, k]
        is_known = bool(np.isfinite(before).all() and np.isfinite(after).all())
        ddof = found.scores.ddof
        cells[f"{metric}.{found.reference}"] = (
            mean_cell(mean_sem(before, ddof)) if is_known else None
        )
        cells[f"{metric}.{setting}"] = mean_cell(mean_sem(after, ddof)) if is_known else None
        cells[f"{metric}.{setting}.drop"] = float(each.drop[k]) if is_known else None
    return cells


def _unique(columns: Iterable[Column]) -> tuple[Column, ...]:
    return tuple({column.key: column for column in columns}.values())


def pairs_of(found: Found, setting: str) -> list[Pair] | None:
    """Find the pairs of categories whose preference shifted; None with too few runs."""
    before, after = (
        _confusions(found, question) for question in (found.own, Question(setting, setting))
    )
    return find_pairs(before, after)


def _confusions(found: Found, question: Question) -> dict[tuple[str, int], IntMatrix]:
    scores = found.scores
    return {
        (key.network, key.seed): confusions(scores.labels, run.predicted, scores.n_classes)
        for key, run in scores.runs.items()
        if key.question == question
    }


def pairs_table(found: Found) -> Table | None:
    """Give all pairs whose preference shifted, with what makes a pair compete.

    Returns:
        None if nothing was trained on an obfuscated setting.
    """
    rows: list[dict[str, Cell]] = []
    too_few = []
    for setting in found.obfuscated():
        pairs, drops = pairs_of(found, setting), drops_of(found, setting)
        if pairs is None or "top1" not in drops:
            too_few.append(setting)
            continue
        rows += [_pair_row(found, setting, pair, drops) for pair in pairs]
    if not found.obfuscated():
        return None
    note = (
        "Candidates are the pairs confused in 2 % of their images or more, whatever the setting; "
        "shift of preference from a to b, t test over runs, false discovery rate 5 % over all "
        "candidates. A pair competes if both top-1 accuracies move by 3 points or more in "
        "opposite directions while top-5 accuracy and average precision move by half as much or "
        "less. Runs of one seed share the order of images: p over seeds is beside, and a pair is "
        "marked where seeds disagree."
    )
    if not found.scores.has("ap"):
        note += " Scores were not kept (scores: top): average precision, and so who competes, is "
        note += "not known."
    if missing := found.missing_in_settings():
        note += f" {missing}"
    if too_few:
        note += f" Too few runs to search: {', '.join(too_few)}."
    flags = ("opposite", "top5_evaporates", "ap_evaporates", "competes", "few_seeds")
    columns = (
        text_column("setting", "Setting"), text_column("a", "a"), text_column("b", "b"),
        Column("shift", "shift to b", "%", 1), Column("p", "p", "", 4), Column("q", "q", "", 4),
        Column("p_seeds", "p over seeds", "", 4), Column("confusion", "confused", "%", 1),
        Column("top1_a", "Δ top-1, a", "%", 1), Column("top1_b", "Δ top-1, b", "%", 1),
        *(text_column(flag, flag.replace("_", " ")) for flag in flags),
    )  # fmt: skip
    title = "Pairs of categories whose preference shifted"
    return Table("pairs", title, note, columns, tuple(rows))


def _pair_row(
    found: Found, setting: str, pair: Pair, drops: Mapping[str, CategoryDrops]
) -> dict[str, Cell]:
    moves = moves_of(pair, drops)
    return {
        "setting": setting,
        "a": found.names[pair.a],
        "b": found.names[pair.b],
        "shift": pair.shift,
        "p": pair.p,
        "q": pair.q,
        "p_seeds": pair.p_seeds,
        "confusion": pair.confusion,
        "top1_a": moves.top1[0],
        "top1_b": moves.top1[1],
        "opposite": _yes(moves.are_opposite),
        "top5_evaporates": _yes(moves.evaporate_in(moves.top5)),
        "ap_evaporates": _yes(moves.evaporate_in(moves.ap)),
        "competes": _yes(moves.compete),
        "few_seeds": _yes(pair.few_seeds),
    }


def _yes(flag: bool | None) -> Cell:
    return None if flag is None else "yes" if flag else "no"


def moves_of(pair: Pair, drops: Mapping[str, CategoryDrops]) -> Moves:
    """Give how the accuracies of a pair moved; ``drops`` has ``top1``."""

    def of(metric: str) -> tuple[float, float] | None:
        if metric not in drops:
            return None
        drop = drops[metric].drop
        return float(drop[pair.a]), float(drop[pair.b])

    return Moves(of("top1") or (0.0, 0.0), of("top5"), of("ap"))


def table_4(found: Found) -> Table | None:
    """Give the competing pairs as the paper does; on ILSVRC also those of the paper.

    Returns:
        None if there is no such pair.
    """
    columns: list[Column] = [text_column("setting", "Setting"), *_NAMED]
    rows: list[dict[str, Cell]] = []
    before = _before(found)
    for setting in found.obfuscated():
        drops = drops_of(found, setting)
        if "top1" not in drops:
            continue
        competing = [
            pair for pair in pairs_of(found, setting) or () if moves_of(pair, drops).compete
        ]
        classes = list(dict.fromkeys(chain.from_iterable((pair.a, pair.b) for pair in competing)))
        if found.is_ilsvrc:
            named = [found.classes.index(wnid) for wnid in paper_rows("table_4")]
            classes = list(dict.fromkeys([*classes, *named]))
        for k in classes:
            start: dict[str, Cell] = {
                "setting": setting, "category": found.classes[k], "name": found.names[k]
            }  # fmt: skip
            rows.append(start | _cells(found, setting, drops, before, k))
        columns += _metric_columns(found, setting, drops)
    if not rows:
        return None
    columns = list(_unique(columns))
    if found.is_ilsvrc:
        # The README of the released code has the same numbers with three digits more.
        columns, rows = beside_paper(
            "table_4_released", columns, rows, lambda row: str(row["category"])
        )
    title = "Categories that compete: top-1 accuracy moves in opposite directions"
    note = "Mean over networks first, then mean over seeds ± standard error."
    note = f"{note} {found.missing_in_settings()}".strip()
    return Table("table_4", title, note, tuple(columns), tuple(rows))


def pair_figures(table: Table | None, reference: str) -> dict[str, Any]:
    """Give the numbers of Figure 5 (b), top-1 accuracies of competing categories, by setting.

    Args:
        table: What ``table_4`` gave.
        reference: The setting that others are compared with.
    """
    figures: dict[str, Any] = {}
    for row in table.rows if table else ():
        setting = str(row["setting"])
        figure = figures.setdefault(
            f"figure_5.{setting}",
            {
                "setting": setting,
                "title": "Top-1 accuracy of categories that compete",
                "series": [reference, setting],
                "rows": [],
            },
        )
        cells = [row[f"top1.{each}"] for each in (reference, setting)]
        figure["rows"].append({"name": row["name"], "top1": cells})
    return figures


def objects_table(found: Found) -> Table | None:
    """Give the categories whose objects faces cover most, with their drops.

    Returns:
        None without boxes of objects.
    """
    if found.facts is None:
        return None
    shares = share_by_class(found, found.facts.object_covered)
    order = [int(k) for k in np.argsort(-shares, kind="stable") if np.isfinite(shares[k])]
    settings = {setting: drops_of(found, setting) for setting in found.obfuscated()}
    if not order or not any(settings.values()):
        return None
    columns = [*_NAMED, Column("covered", "covered by faces", "%", 2)]
    rows: list[dict[str, Cell]] = [
        {"category": found.classes[k], "name": found.names[k], "covered": float(shares[k])}
        for k in order
    ]
    for setting, drops in settings.items():
        for metric in (each for each in ("top1", "top5") if each in drops):
            key = f"{metric}.{setting}.drop"
            columns.append(Column(key, f"Δ {METRIC_NAMES[metric].lower()}, {setting}", "%", 2))
            for row, k in zip(rows, order, strict=True):
                row[key] = float(drops[metric].drop[k])
    if found.is_ilsvrc:
        for key in ("covered", "top5.blurred.drop"):
            columns.append(Column(f"{key}.paper", f"{key}{PAPER}", "%", 2))
            for row in rows:
                cell = paper_cell("objects", str(row["category"]), key)
                row[f"{key}.paper"] = cell["mean"] if cell else None
    note = "Share of the boxes of the image's own category that faces cover, mean over images."
    title = "Objects that faces cover"
    return Table("objects", title, note, tuple(columns), tuple(rows))
