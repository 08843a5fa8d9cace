# SPDX-License-Identifier: Apache-2.0
"""The figure of an attack: who is still named, against what is left of the pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from veilset.pages.figures import BOTTOM, LEFT, RIGHT, TOP, WIDTH
from veilset.pages.markup import Markup, el

CLEAR, FILLED = "clear", "filled"

_HEIGHT = 300
_PLOT_W, _PLOT_H = WIDTH - LEFT - RIGHT, _HEIGHT - TOP - BOTTOM
_DIGIT_W, _LINE_H = 7.5, 12.0
_MOST_LETTERS, _FEW_LETTERS = 52, 24
_KEY_LINE_H = 15.0
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One setting.

    Attributes:
        label: Its name.
        similarity: What is left of the pictures, at most 1.
        named: Share of photographs that the worst attack names, in [0, 1].
        low, high: Ends of its interval.
        is_frontier: Whether no other setting is better in both.
    """

    label: str
    similarity: float
    named: float
    low: float
    high: float
    is_frontier: bool


def frontier_points(
    standings: Sequence[Mapping[str, Any]],
) -> tuple[list[FrontierPoint], dict[str, float]]:
    """Give the points of the settings of an attack, and the level of filled faces.

    Args:
        standings: As the record of an attack has them. Clear faces, whose pictures are their own
            equals, and filled ones are no points.
    """
    points = [
        FrontierPoint(
            each["setting"], each["ssim"]["value"], each["worst"]["value"], each["worst"]["low"],
            each["worst"]["high"], each["is_frontier"],
        )
        for each in standings
        if each["setting"] not in (CLEAR, FILLED) and each["ssim"]
    ]  # fmt: skip
    filled = [each["worst"]["value"] for each in standings if each["setting"] == FILLED]
    return points, {"filled faces": filled[0]} if filled else {}


def draw_frontier(points: Sequence[FrontierPoint], levels: Mapping[str, float]) -> Markup:
    """Draw settings as points; those that no other beats are joined, and numbered from the left.

    A key below the figure says what the numbers stand for; every point tells its name where a
    reader points at it.

    Args:
        points: At least one.
        levels: Shares to which lines are drawn across, by what they are.
    """
    left, step = _left_end([point.similarity for point in points])
    highest = max([point.high for point in points] + list(levels.values()))
    top = next((each for each in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if each >= highest), 1.0)

    def x(value: float) -> float:
        return LEFT + _PLOT_W * (value - left) / (1 - left)

    def y(value: float) -> float:
        return TOP + _PLOT_H * (1 - min(value, top) / top)

    xs = [x(point.similarity) for point in points]
    parts = [
        *_y_axis(top),
        *_x_axis(left, step),
        *_levels({n: y(v) for n, v in levels.items()}, xs),
    ]
    joined = sorted((each for each in points if each.is_frontier), key=lambda e: e.similarity)
    if len(joined) > 1:
        path = " ".join(f"{x(each.similarity):.1f},{y(each.named):.1f}" for each in joined)
        parts.append(el("polyline", points=path, class_="curve"))
    for each in sorted(points, key=lambda e: e.is_frontier):
        parts += _point(each, x(each.similarity), (y(each.named), y(each.low), y(each.high)))
    taken = [_box_around(x(each.similarity), y(each.named)) for each in points]
    parts += _numbers([(x(each.similarity), y(each.named)) for each in joined], taken)
    parts.append(
        el("text", "SSIM of the pictures (more is left →)", x=LEFT + _PLOT_W / 2, y=_HEIGHT - 8,
           text_anchor="middle", class_="label")
    )  # fmt: skip
    parts.append(el("text", "named at rank 1 by the worst attack", x=4, y=12, class_="label"))
    key, height = _key([each.label for each in joined])
    return el(
        "svg", *parts, *key, viewBox=f"0 0 {WIDTH} {_HEIGHT + height:g}", role="img",
        class_="figure",
        aria_label="Worst attack against similarity of pictures. The numbers follow as a table.",
    )  # fmt: skip


def _levels(heights: Mapping[str, float], xs: Sequence[float]) -> list[Markup]:
    """Draw lines across, and say what they are at the end that is farther from all points."""
    is_left = min(xs) - LEFT >= WIDTH - RIGHT - max(xs)
    at, anchor = (LEFT + 4, "start") if is_left else (WIDTH - RIGHT, "end")
    parts = []
    for name, y in heights.items():
        parts.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="mark"))
        parts.append(el("text", name, x=at, y=y - 4, text_anchor=anchor, class_="tick"))
    return parts


def _left_end(values: Sequence[float]) -> tuple[float, float]:
    """Give where the axis of similarity begins, and its step: room for every point."""
    span = max(1 - min(values), 0.02)
    step = next((each for each in _STEPS if span / each <= 6), _STEPS[-1])
    return max(0.0, 1 - step * math.ceil(span * 1.05 / step)), step


def _y_axis(top: float) -> list[Markup]:
    parts = []
    n = 5 if top in (0.1, 1.0) else 4
    for i in range(n + 1):
        share = top * i / n
        at = TOP + _PLOT_H * (1 - share / top)
        parts.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(
            el("text", f"{100 * share:g} %", x=LEFT - 6, y=at + 4, text_anchor="end", class_="tick")
        )
    return parts


def _x_axis(left: float, step: float) -> list[Markup]:
    parts = []
    for i in range(round((1 - left) / step) + 1):
        value = left + i * step
        at = LEFT + _PLOT_W * (value - left) / (1 - left)
        parts.append(
            el("line", x1=at, x2=at, y1=TOP + _PLOT_H, y2=TOP + _PLOT_H + 4, class_="axis")
        )
        parts.append(
            el("text", f"{value:.2f}".rstrip("0").rstrip("."), x=at, y=TOP + _PLOT_H + 17,
               text_anchor="middle", class_="tick")
        )  # fmt: skip
    base = TOP + _PLOT_H
    return [el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=base, y2=base, class_="axis"), *parts]


def _point(each: FrontierPoint, x: float, ys: tuple[float, float, float]) -> list[Markup]:
    middle, low, high = ys
    series = "series-0" if each.is_frontier else "series-1"
    told = (
        f"{each.label}: named {100 * each.named:.1f} % ({100 * each.low:.1f} to "
        f"{100 * each.high:.1f}), SSIM {each.similarity:.3f}"
    )
    return [
        el("line", x1=x, x2=x, y1=low, y2=high, class_=f"whisker {series}"),
        el("circle", el("title", told), cx=x, cy=middle, r=3.5, class_=f"dot {series}"),
    ]


Box = tuple[float, float, float, float]


def _box_around(x: float, y: float) -> Box:
    return x - 4.0, y - 4.0, x + 4.0, y + 4.0


def _numbers(places: Sequence[tuple[float, float]], taken: list[Box]) -> list[Markup]:
    """Write 1, 2, 3, ... beside places, each where it covers least of what is taken."""
    parts: list[Markup] = []
    for number, (x, y) in enumerate(places, 1):
        width = _DIGIT_W * len(str(number))
        spots = [
            (max(LEFT, min(WIDTH - width, x + side * (reach + width / 2) - width / 2)), y + rise)
            for reach in (6, 14)
            for side, rise in ((-1, -3), (1, 13), (1, -3), (-1, 13), (-1, 5), (1, 5))
        ]
        spots = [spot for spot in spots if TOP + 4 <= spot[1] <= TOP + _PLOT_H]
        boxes = [(at, base - _LINE_H + 2, at + width, base) for at, base in spots]
        # The first of those that cover least: nearest to its point.
        best = min(range(len(boxes)), key=lambda i: sum(_shared(boxes[i], each) for each in taken))
        taken.append(boxes[best])
        at, base = spots[best]
        parts.append(el("text", str(number), x=at, y=base, class_="mark-label"))
    return parts


def _shared(one: Box, other: Box) -> float:
    """Give the area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _key(names: Sequence[str]) -> tuple[list[Markup], float]:
    """Write what the numbers stand for, and give how high that is."""
    n_columns = 2 if all(len(name) <= _FEW_LETTERS for name in names) else 1
    n_rows = math.ceil(len(names) / n_columns)
    parts = []
    for at, name in enumerate(names):
        column, row = divmod(at, n_rows)
        told = name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"
        x, y = 8 + column * WIDTH / 2, _HEIGHT + 10 + row * _KEY_LINE_H
        parts.append(el("text", f"{at + 1}", x=x, y=y, class_="mark-label"))
        parts.append(el("text", told, x=x + 18, y=y, class_="row-label"))
    return parts, n_rows * _KEY_LINE_H + 4
