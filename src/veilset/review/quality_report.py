# SPDX-License-Identifier: Apache-2.0
"""How good annotations are before and after people corrected them: Table 1 of the ImageNet study.

Yang et al. (2022) had an expert look at 50 images of each of 20 categories and counted the
false positives and false negatives of the detector alone and of the corrected boxes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from veilset.boxes import region_boxes
from veilset.errors import AnnotationError, ConfigError
from veilset.files import write_atomically
from veilset.intervals import clustered_rate
from veilset.pages.markdown import plain
from veilset.review.rules.gold import score_gold
from veilset.review.rules.match import match_boxes
from veilset.review.settings import JobSettings
from veilset.review.values import Drawn
from veilset.spreadsheets import csv_text
from veilset.types import Annotations, Direction, ImageRecord, Measurement, Region, Status

RULES = ("iou", "covered")


@dataclass(frozen=True, slots=True)
class QualityRow:
    """The errors of one category.

    Attributes:
        category: Name of the folder, "" for images at the root.
        n_images: Images that were judged.
        n_regions: Regions that the expert found on them.
        fp_before: False positives before review, those of all images together.
        fp_after: The same after review.
        fn_before: False negatives before review.
        fn_after: The same after review.
    """

    category: str
    n_images: int
    n_regions: int
    fp_before: int
    fp_after: int
    fn_before: int
    fn_after: int


@dataclass(frozen=True, slots=True)
class QualityTable:
    """Errors before and after review, by category.

    Attributes:
        rows: In the order asked for, else by name. A category of which no image could be
            judged has a row of zeros.
        averages: ``fp_before``, ``fp_after``, ``fn_before`` and ``fn_after`` of a category on
            average, as the last row of the study's table; none without a judged image.
        n_judged: Images that were judged.
        n_without_expert: Images that were not, because no expert looked at them.
        n_not_looked: Images that an expert looked at but that one of the two sets does not
            have or could not search: they are not judged either.
        rule: ``iou`` or ``covered``.
        least_iou: From this IoU on a box and a region are a pair; used by ``iou``.
    """

    rows: tuple[QualityRow, ...]
    averages: dict[str, Measurement]
    n_judged: int
    n_without_expert: int
    n_not_looked: int
    rule: str
    least_iou: float


@dataclass(slots=True)
class _Errors:
    """The errors of each judged image of a category, in four lists that run in step."""

    n_regions: int = 0
    fp_before: list[int] = field(default_factory=list)
    fp_after: list[int] = field(default_factory=list)
    fn_before: list[int] = field(default_factory=list)
    fn_after: list[int] = field(default_factory=list)

    def row(self, category: str) -> QualityRow:
        counts = (sum(getattr(self, name)) for name in _COUNTS)
        return QualityRow(category, len(self.fp_before), self.n_regions, *counts)


_COUNTS = ("fp_before", "fp_after", "fn_before", "fn_after")


def quality_table(
    before: Iterable[Annotations],
    after: Iterable[Annotations],
    expert: Iterable[Annotations],
    categories: Sequence[str] | None = None,
    *,
    kinds: Collection[str] = ("face",),
    rule: str = "iou",
    least_iou: float = 0.5,
) -> QualityTable:
    """Count false positives and false negatives before and after review.

    Rule ``iou``: boxes and the expert's regions are paired one to one from ``least_iou`` on;
    what has no pair is an error. Rule ``covered``: a region is missed if less than three
    quarters of it lie under boxes, a box is false if less than a quarter of it lies on
    regions (the defaults of gold, see ``gold.score_gold``), so that one box over two faces
    is no error. All sets are read once, in step, and need not fit into memory.

    The intervals of the averages take images for the unit and say how far the numbers would
    move with other images of these categories (``intervals.clustered_rate``).

    Args:
        before: What the detector found, in data-set order.
        after: What people made of it, in data-set order.
        expert: What an expert found, in data-set order; any part of the images.
        categories: Names of folders, in the order of the rows; all that were judged if not
            given.
        kinds: Kinds of regions that count; empty for all.
        rule: ``iou`` or ``covered``.
        least_iou: For the rule ``iou``, above 0 and at most 1.

    Returns:
        The table.

    Raises:
        ConfigError: If the rule or the IoU cannot be used.
        AnnotationError: If a set is not in data-set order.

    Example:
        >>> face, dog = Region((0, 0, 9, 9)), Region((40, 40, 60, 60))
        >>> def image(*regions): return [Annotations("dog/1.jpg", Status.LOOKED, regions)]
        >>> table = quality_table(image(face, dog), image(face), image(face))
        >>> table.rows[0].fp_before, table.rows[0].fp_after, table.n_judged
        (1, 0, 1)
    """
    if rule not in RULES or not 0 < least_iou <= 1:
        raise ConfigError(
            f"Rule {rule!r} with an IoU of {least_iou} cannot be used. "
            f"Give one of {', '.join(RULES)}, and an IoU above 0, at most 1."
        )
    wanted = {name: _Errors() for name in categories or ()}
    n_without_expert = n_not_looked = 0
    for image_id, rows in _in_step({"before": before, "after": after, "expert": expert}):
        category = ImageRecord(image_id).category
        if categories is not None and category not in wanted:
            continue
        reference = rows.get("expert")
        if reference is None or reference.status is not Status.LOOKED:
            n_without_expert += 1
            continue
        found = [row for name in ("before", "after") if (row := rows.get(name)) is not None]
        if len(found) < 2 or any(row.status is not Status.LOOKED for row in found):
            n_not_looked += 1
            continue
        errors = wanted.setdefault(category, _Errors())
        truth = _of_kinds(reference, kinds)
        errors.n_regions += len(truth)
        for row, name in zip(found, ("before", "after"), strict=True):
            fp, fn = _count(_of_kinds(row, kinds), truth, _size(reference, *found), rule, least_iou)
            getattr(errors, f"fp_{name}").append(fp)
            getattr(errors, f"fn_{name}").append(fn)
    names = list(wanted) if categories is not None else sorted(wanted)
    made = tuple(wanted[name].row(name) for name in names)
    return QualityTable(
        rows=made,
        averages=_averages([wanted[name] for name in names]),
        n_judged=sum(row.n_images for row in made),
        n_without_expert=n_without_expert,
        n_not_looked=n_not_looked,
        rule=rule,
        least_iou=least_iou,
    )


def _in_step(
    sets: dict[str, Iterable[Annotations]],
) -> Iterator[tuple[str, dict[str, Annotations]]]:
    """Give each image with the rows that the sets have of it, in data-set order."""
    streams = {name: _ordered(name, rows) for name, rows in sets.items()}
    ahead = {name: next(stream, None) for name, stream in streams.items()}
    while waiting := {name: row for name, row in ahead.items() if row is not None}:
        first = min(waiting.values(), key=_order_key)
        rows = {name: row for name, row in waiting.items() if row.image_id == first.image_id}
        for name in rows:
            ahead[name] = next(streams[name], None)
        yield first.image_id, rows


def _order_key(row: Annotations) -> tuple[str, ...]:
    return ImageRecord(row.image_id).order_key


def _ordered(name: str, rows: Iterable[Annotations]) -> Iterator[Annotations]:
    last: Annotations | None = None
    for row in rows:
        if last is not None and _order_key(row) <= _order_key(last):
            raise AnnotationError(
                f"The annotation set '{name}' of the quality report has {row.image_id} after "
                f"{last.image_id}. Sort it by the parts of the paths, each image once."
            )
        last = row
        yield row


def _of_kinds(row: Annotations, kinds: Collection[str]) -> list[Region]:
    return [region for region in row.regions if not kinds or region.kind in kinds]


def _size(*rows: Annotations) -> tuple[int, int]:
    """Give a size that holds the image, also where it was not noted."""
    sides = [(row.width, row.height) for row in rows]
    sides += [
        (math.ceil(region.box_xyxy[2]), math.ceil(region.box_xyxy[3]))
        for row in rows
        if not row.width
        for region in row.regions
    ]
    return max(width for width, _ in sides), max(height for _, height in sides)


def _count(
    found: Sequence[Region],
    truth: Sequence[Region],
    size_wh: tuple[int, int],
    rule: str,
    least_iou: float,
) -> tuple[int, int]:
    """Give the false positives and the false negatives of an image."""
    if rule == "iou":
        n_pairs = len(match_boxes(region_boxes(found), region_boxes(truth), least_iou))
        return len(found) - n_pairs, len(truth) - n_pairs
    true, drawn = (tuple(Drawn(each.box_xyxy) for each in regions) for regions in (truth, found))
    verdict = score_gold(true, drawn, size_wh, JobSettings())
    return verdict.n_drawn - verdict.n_right, verdict.n_true - verdict.n_found


def _averages(categories: Sequence[_Errors]) -> dict[str, Measurement]:
    judged = [errors for errors in categories if errors.fp_before]
    averages = {}
    for name in _COUNTS if judged else ():
        counts = [count for errors in judged for count in getattr(errors, name)]
        low, high = clustered_rate(counts, len(judged))
        averages[name] = Measurement(
            name=f"{_TITLES[name]} of a category",
            value=sum(counts) / len(judged),
            low=low,
            high=high,
            n=len(counts),
            unit="regions",
            direction=Direction.LOWER,
        )
    return averages


_TITLES = {
    "fp_before": "false positives before review",
    "fp_after": "false positives after review",
    "fn_before": "false negatives before review",
    "fn_after": "false negatives after review",
}


def write_quality_csv(table: QualityTable, path: Path) -> None:
    """Write the rows of the table as CSV, a line for each category; whole or not at all."""
    names = ["category", "n_images", "n_regions", *_COUNTS]
    rows = ([getattr(row, name) for name in names] for row in table.rows)
    write_atomically(path, csv_text(names, rows).encode())


def quality_markdown(table: QualityTable) -> str:
    """Give the table as Markdown: rows, averages with intervals, and what was not judged.

    Example:
        >>> table = quality_table([], [], [])
        >>> print(quality_markdown(table).splitlines()[0])
        | category | images | regions | FP before | FP after | FN before | FN after |
    """
    lines = [
        "| category | images | regions | FP before | FP after | FN before | FN after |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table.rows:
        counts = [row.n_images, row.n_regions, *(getattr(row, name) for name in _COUNTS)]
        lines.append(f"| {_cell(row.category)} | {' | '.join(f'{each:,}' for each in counts)} |")
    if table.averages:
        each = [table.averages[name] for name in _COUNTS]
        cells = [f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]" for found in each]
        lines.append(f"| average | {table.n_judged:,} | | {' | '.join(cells)} |")
    how = f"at an IoU of {table.least_iou:g}" if table.rule == "iou" else "by coverage"
    lines += [
        "",
        f"{table.n_judged:,} images were judged {how}; 95 % intervals, over images. Not judged: "
        f"{table.n_without_expert:,} that no expert looked at, {table.n_not_looked:,} that were "
        "not searched before or after.",
    ]
    return "\n".join(lines) + "\n"


def write_quality_markdown(table: QualityTable, path: Path) -> None:
    """Write ``quality_markdown`` to a file; whole or not at all."""
    write_atomically(path, quality_markdown(table).encode())


def _cell(text: str) -> str:
    # A folder can have any name; in Markdown it must stay text, and one cell.
    return plain(text) or "(root)"
