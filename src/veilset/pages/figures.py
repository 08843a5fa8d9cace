# SPDX-License-Identifier: Apache-2.0
"""Figures as inline SVG. Colours come from the style sheet, so they follow dark and light.

A figure is drawn 360 units wide and shown at about that many pixels, so that its text has
the size of the text around it, on a phone as on a desk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from veilset.pages.histogram import Histogram
from veilset.pages.markup import Markup, el

WIDTH, HEIGHT = 360, 224
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 22, 44
_PLOT_W, _PLOT_H = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line across a figure.

    Attributes:
        at: Place in bins from the left end of the figure.
        label: What it stands for.
    """

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Axes:
    """What a histogram is drawn against.

    Attributes:
        first: First bin that is drawn.
        last: Bin after the last that is drawn.
        ticks: Place in bins from the left end of the figure, and text.
        x_label: Quantity and unit.
        y_label: What is counted.
    """

    first: int
    last: int
    ticks: Sequence[tuple[float, str]]
    x_label: str
    y_label: str


def compact(value: int) -> str:
    """Write a count in at most five letters.

    Example:
        >>> [compact(v) for v in (0, 950, 9_500, 12_000, 1_400_000)]
        ['0', '950', '9,500', '12k', '1.4M']
    """
    for least, unit, letter in ((10**9, 10**9, "G"), (10**6, 10**6, "M"), (10**4, 10**3, "k")):
        if value >= least:
            return f"{value / unit:.1f}".removesuffix(".0") + letter
    return f"{value:,}"


def nice_step(highest: int, n_steps: int = 4) -> int:
    """Give a step of 1, 2 or 5 times a power of ten that reaches ``highest`` in few steps.

    Example:
        >>> [nice_step(v) for v in (0, 3, 17, 82, 1234)]
        [1, 1, 5, 50, 500]
    """
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * n_steps >= highest:
                return factor * power
        power *= 10


def occupied(counts: Sequence[int], *, even: bool = False) -> tuple[int, int]:
    """Give the range of bins that hold something, ``(first, last + 1)``.

    Args:
        counts: Count of each bin.
        even: Widen the range to even ends, where the round numbers of an axis are.

    Example:
        >>> occupied([0, 0, 0, 4, 1, 0, 0]), occupied([0, 0, 0, 4, 1, 0, 0], even=True)
        ((3, 5), (2, 6))
    """
    filled = [i for i, count in enumerate(counts) if count]
    if not filled:
        return 0, len(counts)
    first, last = filled[0], filled[-1] + 1
    if even:
        first, last = first - first % 2, min(last + last % 2, len(counts))
    return first, last


def size_axes(histogram: Histogram) -> Axes:
    """Give the axes for face sizes in half octaves: a tick at each power of two."""
    first, last = occupied(histogram.counts, even=True)
    every = 2 if last - first > 16 else 1
    ticks = [
        (float(i - first), f"{histogram.edges[i]:.0f}")
        for i in range(first, last + 1)
        if i % (2 * every) == 0
    ]
    return Axes(first, last, ticks, "shorter side of the box, pixels", "regions")


def score_axes(histogram: Histogram) -> Axes:
    """Give the axes for scores from 0 to 1."""
    n_bins = len(histogram.counts)
    ticks = [(n_bins * i / 5, f"{i / 5:.1f}") for i in range(6)]
    return Axes(0, n_bins, ticks, "score of the detector", "regions")


def regions_axes(histogram: Histogram) -> Axes:
    """Give the axes for the number of regions in an image: a tick under each bar.

    A bar that stands for several numbers is named by the first, as ``5+``: the ranges in
    full would run into each other.
    """
    last = min(max(occupied(histogram.counts)[1], 4), len(histogram.counts))
    ticks = [
        (i + 0.5, f"{histogram.edges[i]:.0f}{'' if bin_label(histogram, i).isdigit() else '+'}")
        for i in range(last)
    ]
    return Axes(0, len(ticks), ticks, "regions in an image", "images")


def bin_label(histogram: Histogram, index: int) -> str:
    """Name a bin of whole numbers: ``3``, ``5–9`` or ``100+``."""
    low = int(histogram.edges[index])
    if index + 1 == len(histogram.edges):
        return f"{low}+"
    high = int(histogram.edges[index + 1]) - 1
    return str(low) if high == low else f"{low}–{high}"


def draw_histogram(
    histogram: Histogram, axes: Axes, title: str, marks: Sequence[Mark] = ()
) -> Markup:
    """Draw a histogram with axes, ticks and marks.

    Args:
        histogram: What to draw.
        axes: Its range, ticks and labels.
        title: Read out by a screen reader in place of the drawing.
        marks: Vertical lines, labelled at their top.
    """
    counts = histogram.counts[axes.first : axes.last]
    step = nice_step(max(counts, default=0))
    top = step * max(1, -(-max(counts, default=0) // step))
    per_bin = _PLOT_W / max(len(counts), 1)
    parts = [*_grid(top, step), *_bars(counts, top, per_bin), *_x_axis(axes, per_bin)]
    for mark in marks:
        if 0 <= mark.at <= len(counts):
            parts += _mark(mark, per_bin)
    parts.append(el("text", axes.y_label, x=LEFT, y=11, class_="label"))
    return el(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title}, n = {histogram.n:,}. The numbers follow as a table.",
        class_="figure",
    )


def share_bar(share: float, *, strong: bool = False) -> Markup:
    """Draw a share of 1 as a flat bar that is as wide as its place.

    Args:
        share: In [0, 1].
        strong: Draw it in the colour that stands out.
    """
    return el(
        "svg",
        el("rect", width="100%", height=8, rx=4, class_="track"),
        el(
            "rect",
            width=f"{100 * share:.2f}%",
            height=8,
            rx=4,
            class_="fill strong" if strong else "fill",
        ),
        class_="share",
        height=8,
        aria_hidden="true",
    )


def _grid(top: int, step: int) -> list[Markup]:
    parts = []
    for value in range(0, top + 1, step):
        y = _y(value, top)
        parts.append(
            el(
                "line",
                x1=LEFT,
                x2=WIDTH - RIGHT,
                y1=y,
                y2=y,
                class_="axis" if not value else "grid",
            )
        )
        parts.append(
            el("text", compact(value), x=LEFT - 8, y=y + 3.5, text_anchor="end", class_="tick")
        )
    return parts


def _bars(counts: Sequence[int], top: int, per_bin: float) -> list[Markup]:
    gap = 1 if per_bin < 20 else 3
    parts = []
    for i, count in enumerate(counts):
        if count:
            # One face among a million still shows: a bar is at least a line.
            height = max(_PLOT_H * count / top, 1.5)
            parts.append(
                el(
                    "rect",
                    x=LEFT + i * per_bin + gap / 2,
                    y=TOP + _PLOT_H - height,
                    width=per_bin - gap,
                    height=height,
                    rx=1.5,
                    class_="bar",
                )
            )
    return parts


def _x_axis(axes: Axes, per_bin: float) -> list[Markup]:
    base = TOP + _PLOT_H
    parts = []
    for at, text in axes.ticks:
        x = LEFT + at * per_bin
        parts.append(el("text", text, x=x, y=base + 16, text_anchor="middle", class_="tick"))
    middle = LEFT + _PLOT_W / 2
    parts.append(
        el("text", axes.x_label, x=middle, y=HEIGHT - 8, text_anchor="middle", class_="label")
    )
    return parts


def _mark(mark: Mark, per_bin: float) -> list[Markup]:
    x = LEFT + mark.at * per_bin
    anchor, shift = ("start", 5) if x < WIDTH / 2 else ("end", -5)
    return [
        el("line", x1=x, x2=x, y1=TOP - 6, y2=TOP + _PLOT_H, class_="mark"),
        el("text", mark.label, x=x + shift, y=TOP + 2, text_anchor=anchor, class_="mark-label"),
    ]


def _y(value: int, top: int) -> float:
    return TOP + _PLOT_H - _PLOT_H * value / top
