# SPDX-License-Identifier: Apache-2.0
"""The figures of the audit as SVG, for the page and as files of their own.

As on every page, a figure is 360 units wide and takes its colours from the style sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from veilset.pages.figures import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from veilset.pages.markup import Markup, el
from veilset.pages.parts import percent

_PLOT_W, _PLOT_H = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
_MAX_STRIPS = 1200
"""Categories that can be pointed at one by one; of more, each strip speaks of several."""

_HALF_DIGIT = 3.0
"""At least half the width of a digit under an axis."""

_BOLD = 7.2
"""Width of a letter of the words at a threshold, on average."""

_LAST_START = 0.6
"""Share of the width up to which there is room for words that begin there."""

_ROW_H, _LABEL_W, _AFTER, _EDGE = 26, 132, 22, 8

_TOPS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Where the axis of a chart of ranges may end: at the first that holds all of it."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One category on the curve.

    Attributes:
        label: Its name.
        share: Share of its images that have a region, in [0, 1].
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Its searched images.
    """

    label: str
    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class RangeRow:
    """One row of a chart of ranges.

    Attributes:
        label: What it is of.
        title: Told when one points at it.
        ranges: Value and ends of the interval of each series, in [0, 1].
    """

    label: str
    title: str
    ranges: Sequence[tuple[float, float, float]]


def draw_curve(points: Sequence[CurvePoint], thresholds: Sequence[float], y_label: str) -> Markup:
    """Draw the shares of categories, sorted, with their intervals as a band.

    Args:
        points: With the largest share first, at least one.
        thresholds: Shares at which a line is drawn that says how many are above.
        y_label: What the shares are of.
    """
    n = len(points)
    stride = -(-n // _MAX_STRIPS)
    shown = list(points[::stride])
    xs = [LEFT + _PLOT_W * (i * stride + 0.5) / n for i in range(len(shown))]
    parts = [*_share_grid(), *_rank_ticks(n)]
    upper = [f"{x:.2f},{_y(each.high):.2f}" for x, each in zip(xs, shown, strict=True)]
    lower = [f"{x:.2f},{_y(each.low):.2f}" for x, each in zip(xs, shown, strict=True)]
    parts.append(el("polygon", points=" ".join([*upper, *reversed(lower)]), class_="band"))
    line = " ".join(f"{x:.2f},{_y(each.share):.2f}" for x, each in zip(xs, shown, strict=True))
    if n > 1:
        parts.append(el("polyline", points=line, class_="curve"))
    else:
        parts.append(el("circle", cx=xs[0], cy=_y(shown[0].share), r=3, class_="dot"))
    for threshold in thresholds:
        parts += _threshold(points, threshold)
    parts += _strips(shown, stride, n)
    parts.append(el("text", y_label, x=LEFT, y=11, class_="label"))
    x_label = f"{n:,} categories, sorted"
    parts.append(_x_label(x_label, HEIGHT))
    title = f"{y_label} in each of {n:,} categories, sorted; the numbers are in the tables."
    return _svg(parts, HEIGHT, title)


def _y(share: float) -> float:
    return TOP + _PLOT_H * (1 - share)


def _share_grid() -> list[Markup]:
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(share)
        parts.append(
            el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid" if share else "axis")
        )
        label = f"{100 * share:.0f} %"
        parts.append(el("text", label, x=LEFT - 8, y=y + 3.5, text_anchor="end", class_="tick"))
    return parts


def _rank_ticks(n: int) -> list[Markup]:
    """Mark the first, the last and the quarters between, where they are whole numbers apart."""
    places = sorted({1, n, *(round(n * i / 4) for i in (1, 2, 3) if n >= 8)})
    y = TOP + _PLOT_H + 16
    parts = []
    for place in places:
        label = f"{place:,}"
        x, anchor = LEFT + _PLOT_W * (place - 0.5) / n, "middle"
        # A long number under the right end would leave the figure.
        if x + _HALF_DIGIT * len(label) > WIDTH:
            x, anchor = WIDTH, "end"
        parts.append(el("text", label, x=x, y=y, text_anchor=anchor, class_="tick"))
    return parts


def _threshold(points: Sequence[CurvePoint], threshold: float) -> list[Markup]:
    n = len(points)
    n_above = sum(each.share > threshold for each in points)
    x = LEFT + _PLOT_W * n_above / n
    y = _y(threshold)
    # The words lie outside the band: to the right of it above the line, else to its left below.
    label = f"{n_above:,} above {100 * threshold:g} %"
    room = _BOLD * len(label) + 6
    right_of = next((i for i, each in enumerate(points) if each.high <= threshold), n)
    left_of = sum(each.low > threshold for each in points)
    if right_of < _LAST_START * n:
        at, anchor = (LEFT + _PLOT_W * (right_of + 0.5) / n + 6, y - 6), "start"
    else:
        at, anchor = (LEFT + _PLOT_W * left_of / n - 6 if left_of else x - 6, y + 13), "end"
    # A band that fills the plot has no outside: then they stand in it, beside the line.
    if anchor == "end" and at[0] - room < LEFT:
        is_left = x + room > WIDTH
        at, anchor = ((x - 6, y + 13), "end") if is_left else ((x + 6, y - 6), "start")
    return [
        el("line", x1=LEFT, x2=x, y1=y, y2=y, class_="mark"),
        el("circle", cx=x, cy=y, r=2.5, class_="dot"),
        el("text", label, x=at[0], y=at[1], text_anchor=anchor, class_="mark-label"),
    ]


def _strips(shown: Sequence[CurvePoint], stride: int, n: int) -> list[Markup]:
    """Lay an invisible strip over each category, with a title that tells its numbers."""
    width = _PLOT_W * stride / n
    parts = []
    for i, each in enumerate(shown):
        text = (
            f"{i * stride + 1}. {each.label}: {percent(each.share)} "
            f"({percent(each.low)} to {percent(each.high)}), n = {each.n:,}"
        )
        parts.append(
            el(
                "rect",
                el("title", text),
                x=round(LEFT + i * width, 2),
                y=TOP,
                width=round(width, 3),
                height=_PLOT_H,
                class_="strip",
            )
        )
    return parts


def draw_ranges(
    rows: Sequence[RangeRow], series: Sequence[str], title: str, x_label: str
) -> Markup:
    """Draw shares with their intervals, a row for each group.

    Args:
        rows: At least one, each with a range for every series.
        series: Names of the series; a legend is drawn if there are two.
        title: Read out by a screen reader in place of the drawing.
        x_label: What the shares are of.
    """
    top = 30 if len(series) > 1 else 12
    base = top + _ROW_H * len(rows)
    height = base + BOTTOM
    width = WIDTH - _LABEL_W - _AFTER
    highest = max((high for row in rows for _, _, high in row.ranges), default=1.0)
    end = next((each for each in _TOPS if each >= highest), 1.0)
    parts = list(_legend(series)) if len(series) > 1 else []
    n_steps = 4 if end in (0.2, 1.0) else 5
    for i in range(n_steps + 1):
        x = _LABEL_W + width * i / n_steps
        parts.append(el("line", x1=x, x2=x, y1=top, y2=base, class_="grid"))
        text = f"{100 * end * i / n_steps:g} %"
        parts.append(el("text", text, x=x, y=base + 16, text_anchor="middle", class_="tick"))
    for i, row in enumerate(rows):
        middle = top + _ROW_H * (i + 0.5)
        parts.append(
            el("text", _short(row.label), x=_LABEL_W - 10, y=middle + 4, text_anchor="end",
               class_="row-label")
        )  # fmt: skip
        for j, (value, low, high) in enumerate(row.ranges):
            y = middle + 7 * (j - (len(row.ranges) - 1) / 2)
            ends = (value / end, low / end, high / end)
            parts += _range(_LABEL_W, width, y, ends, f"series-{j}")
        parts.append(
            el("rect", el("title", row.title), x=0, y=middle - _ROW_H / 2, width=WIDTH,
               height=_ROW_H, class_="strip")
        )  # fmt: skip
    label = el(
        "text", x_label, x=_LABEL_W + width / 2, y=height - 8, text_anchor="middle", class_="label"
    )
    return _svg([*parts, label], height, f"{title}. The numbers follow as a table.")


def _range(
    left: float, width: float, y: float, ends: tuple[float, float, float], series: str
) -> list[Markup]:
    value, low, high = (left + width * each for each in ends)
    return [
        el("line", x1=low, x2=high, y1=y, y2=y, class_=f"whisker {series}"),
        el("circle", cx=value, cy=y, r=3.5, class_=f"dot {series}"),
    ]


def _legend(series: Sequence[str]) -> list[Markup]:
    parts = []
    x = float(_LABEL_W)
    for j, name in enumerate(series):
        parts.append(el("circle", cx=x + 4, cy=12, r=3.5, class_=f"dot series-{j}"))
        parts.append(el("text", name, x=x + 13, y=16, class_="label"))
        x += 24 + 6.2 * len(name)
    return parts


def _short(text: str, n: int = 21) -> str:
    return text if len(text) <= n else text[: n - 1].rstrip() + "…"


def _x_label(text: str, height: float) -> Markup:
    x = LEFT + _PLOT_W / 2
    return el("text", text, x=x, y=height - 8, text_anchor="middle", class_="label")


def _svg(parts: Sequence[Markup], height: float, title: str) -> Markup:
    return el(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_label=title,
        class_="figure",
    )


_STANDALONE_STYLE = """
text{font-family:"Helvetica Neue",Helvetica,Arial,"DejaVu Sans",sans-serif;fill:#5e5a54}
.tick{font-size:11px}.label,.row-label{font-size:11.5px}.row-label{fill:#1d1c1a}
.mark-label{font-size:11px;fill:#1d1c1a;font-weight:600;paint-order:stroke;stroke:#fff;
stroke-width:4px;stroke-linejoin:round}
.grid{stroke:#e5e1da}.axis{stroke:#5e5a54}
.mark{stroke:#1d1c1a;stroke-width:1.25;stroke-dasharray:4 3}
.bar{fill:#6f8dc4}.band{fill:#6f8dc4;fill-opacity:.35}
.curve{fill:none;stroke:#3a5a94;stroke-width:2;stroke-linejoin:round}
.dot{fill:#3a5a94}.whisker{stroke:#3a5a94;stroke-width:2}
.dot.series-1{fill:#b0672c}.whisker.series-1{stroke:#b0672c}.strip{fill:none;pointer-events:all}
"""


def standalone(figure: Markup, n_pixels: int = 1080) -> bytes:
    """Give a figure as an SVG file of its own, in light colours, for a paper or a slide.

    Args:
        figure: What one of the drawing functions gave.
        n_pixels: Its width in pixels where nothing else says how wide it is.
    """
    head, _, rest = figure.partition(">")
    view = head.partition('viewBox="')[2].partition('"')[0].split()
    # The last tick of an axis may stand over the edge, which a page shows and a file cuts.
    width, height = float(view[2]) + 2 * _EDGE, float(view[3]) + 2 * _EDGE
    head = head.replace(
        f'viewBox="{" ".join(view)}"', f'viewBox="{-_EDGE} {-_EDGE} {width:g} {height:g}"'
    )
    size = f'width="{n_pixels}" height="{round(n_pixels * height / width)}"'
    opened = head.replace("<svg", f'<svg xmlns="http://www.w3.org/2000/svg" {size}')
    ground = f'<rect x="{-_EDGE}" y="{-_EDGE}" width="100%" height="100%" fill="#ffffff"/>'
    style = f"<style>{_STANDALONE_STYLE.strip()}</style>"
    return f"{opened}>{style}{ground}{rest}\n".encode()
