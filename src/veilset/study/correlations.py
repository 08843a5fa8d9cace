# SPDX-License-Identifier: Apache-2.0
"""How the drops of categories go with what is covered of them: Figures 3 and 4, and their r."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veilset.intervals import wilson
from veilset.study.drops import Bin, CategoryDrops, binned, category_drops, means_by_class
from veilset.study.facts import ImageFacts
from veilset.study.found import Found
from veilset.study.paper import paper_cell, paper_rows
from veilset.study.scores import METRIC_NAMES, METRICS, Question
from veilset.study.statistics import pearson
from veilset.study.tables import (
    PAPER,
    Cell,
    Column,
    Table,
    count_column,
    interval_cell,
    text_column,
)

FloatVector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Against:
    """What drops are held against.

    Attributes:
        key: ``area`` or ``object``.
        figure: Which figure of the paper.
        label: For people.
        shares: ``(K,)`` in [0, 1], of each category; NaN where not known.
        edges: Of the bins.
    """

    key: str
    figure: str
    label: str
    shares: FloatVector
    edges: Sequence[float]


def covered_categories(found: Found) -> list[Against]:
    """Give what is known to be covered of each category, as far as anything is."""
    facts = found.facts
    if facts is None:
        return []
    given = [
        Against(
            "area", "figure_3", "share of the image that is obfuscated",
            share_by_class(found, facts.obfuscated_share), found.area_bins,
        )
    ]  # fmt: skip
    if _has_objects(facts):
        given.append(
            Against(
                "object", "figure_4", "share of the object that faces cover",
                share_by_class(found, facts.object_covered), found.object_bins,
            )
        )  # fmt: skip
    return given


def share_by_class(found: Found, shares: FloatVector) -> FloatVector:
    """Give the mean share of the test images of each category that have one."""
    return means_by_class(shares, found.scores.labels, found.scores.n_classes)


def _has_objects(facts: ImageFacts) -> bool:
    return bool(np.isfinite(facts.object_covered).any())


def drops_of(found: Found, setting: str) -> dict[str, CategoryDrops]:
    """Give the drops of all categories by metric, those that are known."""
    metrics = [metric for metric in (*METRICS, "ap") if found.scores.has(metric)]
    given = {
        metric: category_drops(found.scores, found.own, Question(setting, setting), metric)
        for metric in metrics
    }
    return {metric: each for metric, each in given.items() if each is not None}


def correlations_table(found: Found) -> Table | None:
    """Give the correlation of the drops of categories with what is covered of them.

    Returns:
        None without annotations.
    """
    rows: list[dict[str, Cell]] = []
    against = covered_categories(found)
    for setting in found.obfuscated():
        drops = drops_of(found, setting)
        for each in against:
            known = [drops[metric] for metric in METRICS if metric in drops]
            rows += [_correlation(found, setting, each, metric) for metric in known]
    if not rows:
        return None
    columns = [
        text_column("setting", "Setting"),
        text_column("against", "against"),
        text_column("metric", "metric"),
        Column("r", "r", "", 2),
        Column("interval", "95 % interval", "", 2, "interval"),
        Column("p", "p", "", 4),
        Column("rank", "Spearman's r", "", 2),
        count_column("n", "categories"),
        count_column("n_seeds", "seeds"),
        text_column("reason", "why there is none"),
    ]
    if found.is_ilsvrc:
        columns += [Column("r.paper", f"r{PAPER}"), Column("p.paper", f"p{PAPER}", "", 4)]
    note = (
        "Pearson's r over categories of the drop (mean over networks and seeds) with the mean "
        "share over test images; p two-sided; interval by Fisher's transformation."
        f" {found.missing_in_settings()}"
    ).strip()
    title = "Drops of categories against what is covered of them"
    return Table("correlations", title, note, tuple(columns), tuple(rows))


def _correlation(
    found: Found, setting: str, against: Against, drops: CategoryDrops
) -> dict[str, Cell]:
    given = pearson(against.shares, drops.drop)
    row: dict[str, Cell] = {
        "setting": setting,
        "against": against.label,
        "metric": METRIC_NAMES[drops.metric],
        "r": given.r,
        "interval": (
            None
            if given.low is None or given.high is None
            else {"low": given.low, "high": given.high}
        ),
        "p": given.p,
        "rank": given.rank,
        "n": given.n,
        "n_seeds": len(drops.before),
        "reason": given.reason,
    }
    if found.is_ilsvrc:
        printed = paper_rows("correlations").get(f"{setting}.{against.key}", {})
        for letter in ("r", "p"):
            row[f"{letter}.paper"] = printed.get(f"{drops.metric}.{letter}", {}).get("value")
    return row


def binned_figures(found: Found) -> dict[str, Any]:
    """Give the numbers of Figures 3 and 4 of each setting, by ``figure_3.<setting>``."""
    figures: dict[str, Any] = {}
    for setting in found.obfuscated():
        drops = drops_of(found, setting)
        for each in covered_categories(found):
            by_metric = {
                metric: binned(each.shares, drops[metric].drop, each.edges)
                for metric in METRICS
                if metric in drops
            }
            n_seeds = min((len(drops[metric].before) for metric in by_metric), default=0)
            n_planned = found.n_planned(Question(setting, setting))
            some = f" ({n_seeds} of {n_planned} seeds)" if n_seeds < n_planned else ""
            if by_metric:
                figures[f"{each.figure}.{setting}"] = {
                    "setting": setting,
                    "title": f"Drop of categories, {setting}{some}",
                    "n_seeds": n_seeds,
                    "x_label": each.label,
                    "bins": _bins(by_metric),
                }
    return figures


def bins_table(found: Found) -> Table | None:
    """Give the numbers of Figures 3 and 4; on ILSVRC those ends beside that the paper tells.

    Returns:
        None without annotations.
    """
    columns = [
        text_column("setting", "Setting"), text_column("against", "against"),
        Column("low", "from", "%", 1), Column("high", "to", "%", 1),
        count_column("n", "categories"), count_column("n_seeds", "seeds"),
    ]  # fmt: skip
    metrics = [metric for metric in METRICS if found.scores.has(metric)]
    for metric in metrics:
        name = METRIC_NAMES[metric].lower()
        columns.append(Column(metric, f"Δ {name}", "%", 2))
        columns.append(Column(f"{metric}.interval", "95 % over categories", "%", 2, "interval"))
    rows: list[dict[str, Cell]] = []
    for name, figure in binned_figures(found).items():
        part = [_bin_row(figure, one, metrics) for one in figure["bins"]]
        if found.is_ilsvrc and part and name == "figure_3.blurred":
            for row, end in ((part[0], "first_bin"), (part[-1], "last_bin")):
                cell = paper_cell("figure_3", end, "top5.blurred.drop")
                row["top5.paper"] = cell["mean"] if cell else None
        rows += part
    if not rows:
        return None
    if found.is_ilsvrc:
        columns.append(Column("top5.paper", f"Δ top-5 accuracy{PAPER}", "%", 2))
    note = "Mean drop of the categories whose mean share over test images lies from one end to the"
    note += " other, the lower one included; mean over networks and seeds."
    note = f"{note} {found.missing_in_settings()}".strip()
    title = "Drops of categories by what is covered of them"
    return Table("bins", title, note, tuple(columns), tuple(rows))


def _bin_row(
    figure: Mapping[str, Any], one: Mapping[str, Any], metrics: Sequence[str]
) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "setting": figure["setting"], "against": figure["x_label"], "low": one["low"],
        "high": one["high"], "n": one["n"], "n_seeds": figure["n_seeds"],
    }  # fmt: skip
    for metric in metrics:
        drop = one[metric]
        row[metric] = drop["mean"] if drop else None
        has_ends = drop is not None and drop["low"] is not None
        row[f"{metric}.interval"] = {k: drop[k] for k in ("low", "high")} if has_ends else None
    return row


def _bins(by_metric: Mapping[str, Sequence[Bin]]) -> list[dict[str, Any]]:
    first = next(iter(by_metric.values()))
    rows: list[dict[str, Any]] = []
    for i, each in enumerate(first):
        row: dict[str, Any] = {"low": each.low, "high": each.high, "n": each.n}
        for metric in METRICS:
            bins = by_metric.get(metric)
            row[metric] = None if bins is None or not bins[i].n else _drop(bins[i])
        rows.append(row)
    return rows


def _drop(found: Bin) -> dict[str, float | None]:
    ends = interval_cell(found.interval)
    low, high = (ends["low"], ends["high"]) if isinstance(ends, dict) else (None, None)
    return {"mean": found.mean, "low": low, "high": high}


def figure_2(found: Found) -> dict[str, Any] | None:
    """Give the share of images with faces of each category, and images by number of faces.

    Images of both splits count, as far as they were searched.

    Returns:
        None without annotations.
    """
    if not found.splits:
        return None
    n_classes = found.scores.n_classes
    n_looked, n_with = np.zeros((2, n_classes), dtype=np.int64)
    by_faces: Counter[int] = Counter()
    for facts, labels in found.splits:
        n_looked += np.bincount(labels[facts.is_looked], minlength=n_classes)
        n_with += np.bincount(labels[facts.with_faces], minlength=n_classes)
        by_faces.update(facts.n_faces[facts.with_faces].tolist())
    categories = [
        _share_with(found, k, int(n_with[k]), int(n_looked[k]))
        for k in range(n_classes)
        if n_looked[k]
    ]
    return {
        "categories": sorted(categories, key=lambda each: (-each["share"], each["category"])),
        "images_by_faces": [[n, by_faces[n]] for n in sorted(by_faces)],
    }


def _share_with(found: Found, k: int, n_with: int, n_looked: int) -> dict[str, Any]:
    low, high = wilson(n_with, n_looked)
    return {
        "category": found.classes[k],
        "name": found.names[k],
        "share": n_with / n_looked,
        "low": low,
        "high": high,
        "n": n_looked,
    }
