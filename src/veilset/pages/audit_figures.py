# SPDX-License-Identifier: Apache-2.0
"""Which figures an audit has, drawn from its numbers: the same on its page, in the files and in
the report of a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from veilset.pages.drawings import CurvePoint, RangeRow, draw_curve, draw_ranges
from veilset.pages.figures import Axes, draw_histogram, occupied, score_axes, size_axes
from veilset.pages.histogram import Histogram
from veilset.pages.markup import Content, Markup, el, join
from veilset.pages.parts import card, folded, percent, table, told

PER_IMAGE_EDGES = tuple(range(11))
"""Images by number of regions: 0 to 9, and 10 or more."""

MAX_ROWS = 24
"""Rows of a chart of ranges; the rest is in the table."""


PEOPLE_LIMIT = (
    "Age and gender are guesses of a model from pixels. They are not what a person is or says "
    "of themselves, they are wrong more often for some groups than for others, and they must "
    "not be used to decide anything about a person in a picture."
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, with the numbers that it shows.

    Attributes:
        name: Of its file, without the suffix.
        title: Above it.
        note: Beside the title: how many values it shows.
        drawing: SVG.
        headers: Of the table of its numbers.
        rows: Rows of that table.
        table: Name of the file that holds its numbers, where they are too many for the page.
    """

    name: str
    title: str
    note: str
    drawing: Markup
    headers: Sequence[str] = ()
    rows: Sequence[tuple[str, int]] = ()
    table: str = ""


def draw_figures(found: Mapping[str, Any], points: Sequence[CurvePoint]) -> dict[str, Figure]:
    """Draw every figure for which there are numbers, by name.

    Args:
        found: Numbers of the audit.
        points: Categories with their shares, the largest first.
    """
    noun, plural = found["noun"], found["plural"]
    figures = [
        _curve(points, found["categories"]["above"], noun),
        _per_image(found["per_image"], plural),
        _sizes(found["sizes"]["shorter_px"], plural),
        _area_shares(found["sizes"]["area_share"], plural),
        _covered(found["sizes"]["covered"]),
        _scores(found["regions"]["score"], plural),
        _supercategories(found["supercategories"], noun),
        *(_disparities(found["disparity"]) if found["disparity"] else ()),
        *_people(found["people"]),
    ]
    return {figure.name: figure for figure in figures if figure is not None}


def figure_card(figure: Figure, *, has_tables: bool = True) -> Markup:
    """Give a figure in a box, with its numbers folded up below.

    Args:
        figure: The figure.
        has_tables: Whether the tables of the audit lie beside the page.
    """
    numbers = (
        folded("Numbers", table(figure.title, figure.headers, figure.rows, numbers=(1,)))
        if figure.rows
        else ""
    )
    if figure.table and has_tables:
        link = el("a", "Table of all of them", href=f"tables/{figure.table}.csv")
        numbers = el("p", link, class_="note")
    return card(join(figure.title, el("small", figure.note)), figure.drawing, numbers)


def key_numbers(found: Mapping[str, Any]) -> Markup:
    """Give the few numbers that are read first."""
    counted = found["per_image"]
    statuses = found["images"]["statuses"]
    n_not = statuses["not_looked"] + statuses["could_not_look"]
    numbers: list[tuple[str, Content, str]] = [
        ("images searched", counted["n_looked"], ""),
        ("not searched", n_not, "warn" if n_not else ""),
    ]
    if counted["n_looked"]:
        numbers += [
            (f"with a {found['noun']}", counted["n_with"], ""),
            ("of the searched", percent(counted["share_with"]["value"]), ""),
            (found["plural"], counted["n_regions"], ""),
        ]
    if found["categories"]["n_judged"] > 1:
        half = found["categories"]["above"][0]["n_above"]
        numbers.append(("categories above a half", half, ""))
    return el(
        "dl",
        [el("div", el("dt", label), el("dd", value), class_=tone or None)
         for label, value, tone in numbers],
        class_="numbers",
    )  # fmt: skip


def _curve(
    points: Sequence[CurvePoint], above: Sequence[Mapping[str, Any]], noun: str
) -> Figure | None:
    if not points:
        return None
    thresholds = [each["threshold"] for each in above]
    drawing = draw_curve(points, thresholds, f"images with a {noun}")
    title = f"Images with a {noun}, by category"
    note = f"{len(points):,} categories"
    return Figure("share_by_category", title, note, drawing, table="categories")


def _per_image(found: Mapping[str, Any], plural: str) -> Figure | None:
    if not found["n_with"]:
        return None
    histogram = Histogram(tuple(float(each) for each in PER_IMAGE_EDGES), open_ended=True)
    for n_regions, n_images in found["images_by_regions"]:
        histogram.counts[min(n_regions, len(histogram.counts) - 1)] += n_images
    labels = [*(str(each) for each in PER_IMAGE_EDGES[:-1]), f"{PER_IMAGE_EDGES[-1]}+"]
    last = max(occupied(histogram.counts)[1], 5)
    ticks = [(i - 0.5, labels[i]) for i in range(1, last)]
    # The images without any are many times more; they are told in words.
    axes = Axes(1, last, ticks, f"{plural} in an image", "images")
    title = f"Images by number of {plural}"
    return Figure(
        "regions_in_image",
        title,
        f"{found['n_with']:,} with, {found['n_looked'] - found['n_with']:,} without",
        draw_histogram(histogram, axes, title),
        (f"{plural}", "images"),
        list(zip(labels, histogram.counts, strict=True)),
    )


def _sizes(found: Mapping[str, Any], plural: str) -> Figure | None:
    histogram = Histogram(tuple(found["edges"]), counts=list(found["counts"]))
    if not histogram.n:
        return None
    axes = size_axes(histogram)
    title = f"Size of {plural}"
    rows = [
        (f"{histogram.edges[i]:.3g} to {histogram.edges[i + 1]:.3g}", histogram.counts[i])
        for i in range(axes.first, axes.last)
    ]
    drawing = draw_histogram(histogram, axes, title)
    note = f"{histogram.n:,} {plural}"
    return Figure("shorter_side", title, note, drawing, (axes.x_label, axes.y_label), rows)


def _area_shares(found: Mapping[str, Any], plural: str) -> Figure | None:
    histogram = Histogram(tuple(found["edges"]), counts=list(found["counts"]))
    if not histogram.n:
        return None
    edges = histogram.edges
    ticks = [(float(i), f"{100 * edges[i]:g}") for i in range(len(edges))]
    axes = Axes(0, len(edges) - 1, ticks, "area of the region, % of its image", "regions")
    title = f"{plural.capitalize()} by share of their image"
    rows = [
        (f"{100 * edges[i]:g} to {100 * edges[i + 1]:g} %", n)
        for i, n in enumerate(histogram.counts)
    ]
    drawing = draw_histogram(histogram, axes, title)
    return Figure(
        "area_share", title, f"{histogram.n:,} {plural}", drawing, ("share", "regions"), rows
    )


def _covered(found: Mapping[str, Any]) -> Figure | None:
    histogram = Histogram(tuple(found["edges"]), counts=list(found["counts"]))
    if not histogram.n:
        return None
    edges = histogram.edges
    labels = [f"{100 * edges[i]:g} to {100 * edges[i + 1]:g}" for i in range(len(edges) - 1)]
    labels[-1] = f"{100 * edges[-2]:g} and over"
    ticks = [(i + 0.5, label) for i, label in enumerate(labels)]
    axes = Axes(0, len(labels), ticks, "area under all regions together, % of the image", "images")
    title = "Images by covered area"
    return Figure(
        "covered_share",
        title,
        f"{histogram.n:,} images with regions",
        draw_histogram(histogram, axes, title),
        ("covered, %", "images"),
        list(zip(labels, histogram.counts, strict=True)),
    )


def _scores(found: Mapping[str, Any], plural: str) -> Figure | None:
    histogram = Histogram(tuple(found["edges"]), counts=list(found["counts"]))
    if not histogram.n:
        return None
    edges = histogram.edges
    rows = [(f"{edges[i]:.2f} to {edges[i + 1]:.2f}", n) for i, n in enumerate(histogram.counts)]
    title = "Score of the detector"
    drawing = draw_histogram(histogram, score_axes(histogram), title)
    return Figure("score", title, f"{histogram.n:,} {plural}", drawing, ("score", "regions"), rows)


def _supercategories(found: Mapping[str, Any], noun: str) -> Figure | None:
    known = [each for each in found["rows"] if each["share"] is not None]
    rows = known[:MAX_ROWS]
    if not rows:
        return None
    ranges = [
        RangeRow(
            each["name"],
            f"{each['name']}: {percent(each['share'])} ({percent(each['low'])} to "
            f"{percent(each['high'])}), {each['n_categories']:,} categories, "
            f"{each['n_looked']:,} images",
            [(each["share"], each["low"], each["high"])],
        )
        for each in rows
    ]
    title = f"Images with a {noun}, by supercategory"
    drawing = draw_ranges(ranges, [noun], title, f"images with a {noun}")
    note = f"{len(rows)} of {len(known)} supercategories"
    return Figure("share_by_supercategory", title, note, drawing)


def _disparities(found: Mapping[str, Any]) -> list[Figure]:
    figures = []
    outcomes = tuple(found["overall"])
    for grouping in found["groupings"]:
        groups = grouping["groups"]
        # A hundred categories make no chart; the lowest are listed in a table instead.
        if not groups or len(groups) > MAX_ROWS:
            continue
        rows = [
            RangeRow(
                each["label"],
                f"{each['label']}, n = {each['n_regions']:,}: "
                + ", ".join(f"{name} {told(each[name])}" for name in outcomes),
                [(each[name]["value"], each[name]["low"], each[name]["high"]) for name in outcomes],
            )
            for each in groups
        ]
        title = f"Found and protected by {grouping['title'].lower()}"
        drawing = draw_ranges(rows, outcomes, title, "of the reviewed regions")
        n = sum(each["n_regions"] for each in groups)
        name = f"recall_by_{grouping['name'].replace(' ', '_')}"
        figures.append(Figure(name, title, f"{n:,} regions", drawing))
    return figures


def _people(found: Mapping[str, Any]) -> list[Figure]:
    figures = []
    for name, title in (("age", "Estimated age"), ("gender", "Estimated gender")):
        if not found[name]:
            continue
        rows = [
            RangeRow(
                each["group"],
                f"{each['group']}: {told(each['share'])}, n = {each['n']:,}",
                [(each["share"]["value"], each["share"]["low"], each["share"]["high"])],
            )
            for each in found[name]["groups"]
        ]
        drawing = draw_ranges(rows, [name], title, "of the regions with an estimate")
        note = f"{found[name]['n']:,} with an estimate"
        figures.append(Figure(name, title, note, drawing))
    return figures
