# SPDX-License-Identifier: Apache-2.0
"""Figures, markup and colours of pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.pages.figures import (
    Mark,
    draw_histogram,
    nice_step,
    regions_axes,
    score_axes,
    size_axes,
)
from veilset.pages.frame import page_style
from veilset.pages.histogram import FACE_SIZE_EDGES_PX, REGIONS_EDGES, SCORE_EDGES, Histogram
from veilset.pages.markup import Markup, el, escape


@given(st.text(), st.text())
def test_any_text_comes_back_as_text(text: str, attribute: str) -> None:
    class Reader(HTMLParser):
        seen: list[tuple[str, list[tuple[str, str | None]]]]
        data = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen.append((tag, attrs))

        def handle_data(self, data: str) -> None:
            self.data += data

    reader = Reader()
    reader.seen = []
    reader.feed(el("td", text, title=attribute))
    reader.close()
    assert [(tag, len(attrs)) for tag, attrs in reader.seen] == [("td", 1)]
    if text.isascii() and text.isprintable():
        assert reader.data == text
    if attribute.isascii() and attribute.isprintable():
        assert reader.seen[0][1] == [("title", attribute)]
    escape(text).encode("utf-8")  # raises if a lone surrogate is left


def test_markup_is_not_escaped_twice() -> None:
    assert el("p", el("b", "a & b")) == "<p><b>a &amp; b</b></p>"
    assert isinstance(el("p"), Markup)


@given(st.lists(st.floats(0, 1e6), max_size=50))
def test_no_value_is_lost(values: list[float]) -> None:
    for edges, is_open in ((FACE_SIZE_EDGES_PX, False), (REGIONS_EDGES, True)):
        histogram = Histogram(tuple(edges), open_ended=is_open)
        for value in values:
            histogram.add(value)
        assert histogram.n == len(values)


def bars(svg: str) -> Iterator[dict[str, float]]:
    """Give the bars of a figure; it has to be well-formed."""
    for each in ElementTree.fromstring(svg).iter("rect"):
        yield {name: float(each.attrib[name]) for name in ("x", "y", "width", "height")}


def test_bars_are_as_high_as_their_counts() -> None:
    histogram = Histogram(SCORE_EDGES)
    for score, n in ((0.12, 10), (0.52, 40), (0.97, 1)):
        for _ in range(n):
            histogram.add(score)
    svg = draw_histogram(histogram, score_axes(histogram), "Score", [Mark(7.0, "from 0.35")])
    first, second, third = bars(svg)
    assert second["height"] == pytest.approx(4 * first["height"], rel=1e-4)
    assert third["height"] == pytest.approx(0.1 * first["height"], rel=1e-4)
    assert first["y"] + first["height"] == pytest.approx(second["y"] + second["height"], abs=1e-3)
    assert first["x"] < second["x"] < third["x"]
    root = ElementTree.fromstring(svg)
    (mark,) = [each for each in root.iter("line") if each.attrib["class"] == "mark"]
    # 0.35 is 7 of 20 bins into a plot of 304 units that begins at 46.
    assert float(mark.attrib["x1"]) == pytest.approx(46 + 304 * 0.35, abs=1e-2)
    assert root.attrib["aria-label"].startswith("Score, n = 51.")


def test_size_axis_has_its_ticks_at_powers_of_two() -> None:
    histogram = Histogram(FACE_SIZE_EDGES_PX)
    for size in (9, 12, 20, 150):
        histogram.add(size)
    axes = size_axes(histogram)
    assert [text for _, text in axes.ticks] == ["8", "16", "32", "64", "128", "256"]
    assert [at for at, _ in axes.ticks] == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("count", [0, 1, 7, 99, 100, 1_281_167])
def test_any_count_can_be_drawn(count: int) -> None:
    histogram = Histogram(tuple(REGIONS_EDGES), open_ended=True)
    histogram.counts[0] = count
    svg = draw_histogram(histogram, regions_axes(histogram), "Regions")
    assert all(bar["y"] >= 22 for bar in bars(svg)), "a bar leaves the figure"
    assert 4 * nice_step(count) >= count


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_is_aa(theme: str) -> None:
    blocks = re.findall(r":root \{(.*?)\}", page_style(), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", blocks[["light", "dark"].index(theme)]))
    grounds = [colours["page"], colours["surface"]]
    pairs = [(colours[name], ground) for name in ("text", "muted", "accent") for ground in grounds]
    for tone in ("pass", "leak", "warn"):
        pairs += [(colours[tone], colours[f"{tone}-ground"])]
        pairs += [(colours["text"], colours[f"{tone}-ground"])]
        pairs += [(colours["warn"], colours[f"{tone}-ground"])]
    for one, other in pairs:
        assert contrast(one, other) >= 4.5, (one, other)
    # Parts of figures that carry meaning: 3 to 1.
    for ground in grounds:
        assert contrast(colours["bar"], ground) >= 3, (colours["bar"], ground)
