# SPDX-License-Identifier: Apache-2.0
"""The figures of a study, drawn from its numbers: the same in the files and in the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from veilset.pages.audit_figures import Figure
from veilset.pages.drawings import CurvePoint, RangeRow, draw_curve, draw_ranges
from veilset.pages.figures import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axes,
    draw_histogram,
)
from veilset.pages.histogram import Histogram
from veilset.pages.markup import Markup, el
from veilset.pages.parts import percent

_PLOT_W, _PLOT_H = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
_METRICS = {"top1": "top-1", "top5": "top-5"}
_APART = 14
"""Between the marks of two metrics over one bin."""
_MOST_FACES = 10
_THRESHOLDS = (0.5, 0.25)

Bin = Mapping[str, Any]


def draw_study_figures(figures: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw every figure of a study, by name.

    Args:
        figures: ``study.json["figures"]``.
    """
    drawn: list[Figure | None] = []
    for name, found in figures.items():
        if name == "figure_2":
            drawn += [_curve(found["categories"]), _per_image(found["images_by_faces"])]
        elif "bins" in found:
            drawn.append(_bins(name, found))
        else:
            drawn.append(_competing(name, found))
    return {figure.name: figure for figure in drawn if figure is not None}


def _curve(categories: Sequence[Mapping[str, Any]]) -> Figure | None:
    if not categories:
        return None
    points = [
        CurvePoint(each["name"], each["share"], each["low"], each["high"], each["n"])
        for each in categories
    ]
    drawing = draw_curve(points, _THRESHOLDS, "images with a face")
    title = "Images with a face, by category"
    return Figure("figure_2", title, f"{len(points):,} categories", drawing)


def _per_image(images_by_faces: Sequence[Sequence[int]]) -> Figure | None:
    edges = tuple(float(n) for n in range(_MOST_FACES + 1))
    histogram = Histogram(edges, open_ended=True)
    for n_faces, n_images in images_by_faces:
        histogram.counts[min(n_faces, _MOST_FACES)] += n_images
    if not histogram.n:
        return None
    labels = [*(str(n) for n in range(1, _MOST_FACES)), f"{_MOST_FACES}+"]
    ticks = [(i + 0.5, label) for i, label in enumerate(labels)]
    axes = Axes(1, _MOST_FACES + 1, ticks, "faces in an image", "images")
    title = "Images by number of faces"
    drawing = draw_histogram(histogram, axes, title)
    rows = list(zip(labels, histogram.counts[1:], strict=True))
    note = f"{histogram.n:,} images with a face"
    return Figure("figure_2_faces", title, note, drawing, ("faces", "images"), rows)


def _competing(name: str, found: Mapping[str, Any]) -> Figure | None:
    """Draw the accuracies of competing categories in both settings, with standard errors."""
    rows = []
    for each in found["rows"]:
        if all(each["top1"]):
            ranges = [_reach(cell) for cell in each["top1"]]
            told = ", ".join(
                f"{series} {percent(value)}"
                for series, (value, _, _) in zip(found["series"], ranges, strict=True)
            )
            rows.append(RangeRow(each["name"], f"{each['name']}: {told}", ranges))
    if not rows:
        return None
    drawing = draw_ranges(rows, found["series"], found["title"], "top-1 accuracy")
    return Figure(name, found["title"], "± standard error", drawing)


def _reach(cell: Mapping[str, float | None]) -> tuple[float, float, float]:
    mean, sem = cell["mean"] or 0.0, cell["sem"] or 0.0
    return mean, max(0.0, mean - sem), min(1.0, mean + sem)


def _bins(name: str, found: Mapping[str, Any]) -> Figure | None:
    """Draw the mean drop of the categories of each bin, with its interval."""
    bins: Sequence[Bin] = found["bins"]
    metrics = [each for each in _METRICS if any(one[each] for one in bins)]
    if not metrics:
        return None
    low, high, step = _scale(bins, metrics)
    parts = _levels(low, high, step)
    for i, one in enumerate(bins):
        middle = LEFT + _PLOT_W * (i + 0.5) / len(bins)
        for j, metric in enumerate(metrics):
            if one[metric]:
                x = middle + _APART * (j - (len(metrics) - 1) / 2)
                parts += _mark(one[metric], x, (low, high), f"series-{j}", _METRICS[metric])
        base = TOP + _PLOT_H + 16
        label = bin_label(one, is_last=i + 1 == len(bins))
        parts.append(el("text", label, x=middle, y=base, text_anchor="middle", class_="tick"))
    parts += _legend(metrics)
    middle = LEFT + _PLOT_W / 2
    x_label = f"{found['x_label']}, %"
    parts.append(el("text", x_label, x=middle, y=HEIGHT - 8, text_anchor="middle", class_="label"))
    parts.append(el("text", "drop, points", x=LEFT, y=11, class_="label"))
    title = str(found["title"])
    drawing = el(
        "svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="figure",
        aria_label=f"{title}, by {x_label}. The numbers follow as a table.",
    )  # fmt: skip
    rows = [
        (bin_label(one, is_last=i + 1 == len(bins)), int(one["n"])) for i, one in enumerate(bins)
    ]
    note = "mean over categories, 95 % interval"
    return Figure(name, title, note, drawing, (x_label, "categories"), rows)


def bin_label(found: Bin, *, is_last: bool) -> str:
    """Name a bin of shares, in percent.

    Example:
        >>> bin_label({"low": 0.005, "high": 0.05}, is_last=False)
        '0.5-5'
        >>> bin_label({"low": 0.08, "high": 1.0}, is_last=True)
        '8+'
    """
    low, high = (f"{100 * found[end]:.4g}" for end in ("low", "high"))
    return f"{low}+" if is_last else f"{low}-{high}"


def _scale(bins: Sequence[Bin], metrics: Sequence[str]) -> tuple[float, float, float]:
    """Give the lowest and highest level of the axis and the step between, in points."""
    values = [0.0]
    for one in bins:
        for metric in metrics:
            if one[metric]:
                values += [100 * each for each in one[metric].values() if each is not None]
    reach = max(max(values) - min(values), 0.1)
    power = 10.0 ** math.floor(math.log10(reach))
    step = next(factor * power for factor in (0.2, 0.5, 1, 2, 5) if 5 * factor * power >= reach)
    return step * math.floor(min(values) / step), step * math.ceil(max(values) / step), step


def _levels(low: float, high: float, step: float) -> list[Markup]:
    parts = []
    for i in range(round((high - low) / step) + 1):
        level = low + i * step
        y = _y(level, (low, high))
        kind = "axis" if abs(level) < step / 2 else "grid"
        parts.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_=kind))
        label = f"{level:.4g}" if abs(level) >= step / 2 else "0"
        parts.append(el("text", label, x=LEFT - 8, y=y + 3.5, text_anchor="end", class_="tick"))
    return parts


def _mark(
    drop: Mapping[str, float | None], x: float, ends: tuple[float, float], series: str, metric: str
) -> list[Markup]:
    mean, low, high = (drop[key] for key in ("mean", "low", "high"))
    if mean is None:
        return []
    y = _y(100 * mean, ends)
    parts, told = [], f"{metric}: {_points(mean)}"
    if low is not None and high is not None:
        y1, y2 = _y(100 * low, ends), _y(100 * high, ends)
        parts.append(el("line", x1=x, x2=x, y1=y1, y2=y2, class_=f"whisker {series}"))
        told += f" ({_points(low)} to {_points(high)})"
    return [*parts, el("circle", el("title", told), cx=x, cy=y, r=3.5, class_=f"dot {series}")]


def _points(share: float) -> str:
    return f"{100 * share:.2f} points"


def _y(points: float, ends: tuple[float, float]) -> float:
    return TOP + _PLOT_H * (ends[1] - points) / (ends[1] - ends[0])


def _legend(metrics: Sequence[str]) -> list[Markup]:
    parts = []
    for j, metric in enumerate(metrics):
        x = WIDTH - RIGHT - 52 * (len(metrics) - j)
        parts.append(el("circle", cx=x, cy=7, r=3.5, class_=f"dot series-{j}"))
        parts.append(el("text", _METRICS[metric], x=x + 8, y=11, class_="label"))
    return parts
