# SPDX-License-Identifier: Apache-2.0
"""Does reviewing by priority find missed faces and false boxes earlier than any other order?

    python benchmarks/detection.py DATA SCORER BALANCED --effort balanced
    python benchmarks/detection.py DATA SCORER FAST --effort fast
    python benchmarks/review_order.py BALANCED [--others FAST]

An error is a valid face without a box of IoU 0.5, or a box without a face. Boxes that meet
a face marked invalid are passed over. The figure is the area under the curve of the share of
all errors found against the share of the work done: about 0.5 for a random order, 1 if all
are found at once. Work is counted in images, or in boxes to be checked plus one or ten for
the image. Intervals draw photographs anew (1,000 bootstrap samples, percentiles).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detection import blocks
from veilset.boxes import iou
from veilset.review.rules.match import match_boxes
from veilset.review.rules.order import priority
from veilset.types import Annotations, Region, Status

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Photo:
    """The errors of a photograph and what orders can see of it.

    ``n_boxes`` as an order puts crowds first: what any useful order has to beat.
    """

    ranked: float
    n_boxes: int
    n_missed: int
    n_false: int


def annotations(name: str, rows: list[list[float]]) -> Annotations:
    regions = tuple(Region((x0, y0, x1, y1), score=score) for x0, y0, x1, y1, score in rows)
    return Annotations(name, Status.LOOKED, regions)


def errors(lines: str, rows: list[list[float]], smallest_px: float) -> tuple[int, int]:
    """Count the missed faces and the false boxes of a photograph."""
    _, number, *faces = lines.splitlines()
    table = np.array([[float(value) for value in face.split()] for face in faces[: int(number)]])
    table = table.reshape(-1, 10)
    truth = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
    is_ignored = (table[:, 7] == 1) | (table[:, 2:4].min(axis=1, initial=np.inf) < smallest_px)
    boxes = np.array(rows).reshape(-1, 5)[:, :4]
    found = match_boxes(boxes, truth[~is_ignored])
    free = np.delete(boxes, [i for i, _ in found], axis=0)
    n_false = int((iou(free, truth[is_ignored]).max(axis=1, initial=0.0) < 0.5).sum())
    return int((~is_ignored).sum()) - len(found), n_false


def area(key: Floats, found: Floats, work: Floats) -> float:
    """Give the area under the curve when the photographs with the highest key come first."""
    order = np.argsort(-key, kind="stable")
    y = np.concatenate([[0.0], np.cumsum(found[order])]) / found.sum()
    x = np.concatenate([[0.0], np.cumsum(work[order])]) / work.sum()
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())


def figure(key: Floats, found: Floats, work: Floats, rng: np.random.Generator) -> str:
    samples = [rng.integers(0, len(key), len(key)) for _ in range(1000)]
    drawn = [area(key[each], found[each], work[each]) for each in samples if found[each].any()]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{area(key, found, work):.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("found", type=Path, help="folder that benchmarks/detection.py wrote")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="folders like it")
    parser.add_argument("--smallest", type=float, default=0.0, help="ignore smaller faces, px")
    options = parser.parse_args()

    pred = json.loads((options.found / "PRED.json").read_text())
    others = [json.loads((folder / "PRED.json").read_text()) for folder in options.others]
    photos = []
    for name, lines in blocks(options.found / "truth.txt"):
        also = [annotations(name, other[name]) for other in others]
        ranked = priority(annotations(name, pred[name]), None, also)
        photos.append(Photo(ranked, len(pred[name]), *errors(lines, pred[name], options.smallest)))

    rng = np.random.default_rng(0)
    images = np.ones(len(photos))
    columns = {
        name: np.array([getattr(photo, name) for photo in photos], dtype=np.float64)
        for name in ("ranked", "n_boxes", "n_missed", "n_false")
    }
    boxes = columns["n_boxes"]
    work = {"images": images, "boxes + 1": boxes + 1, "boxes + 10": boxes + 10}
    kinds = {"missed": columns["n_missed"], "false": columns["n_false"]}
    kinds["both"] = kinds["missed"] + kinds["false"]
    shuffled = [rng.random(len(photos)) for _ in range(200)]
    print(
        f"{len(photos)} photographs, " + ", ".join(f"{int(v.sum())} {k}" for k, v in kinds.items())
    )
    print("| work in | errors | priority | number of boxes | random, mean of 200 | best possible |")
    print("|---|---|---|---|---|---|")
    for unit, cost in work.items():
        for kind, found in kinds.items():
            cells = [figure(columns[key], found, cost, rng) for key in ("ranked", "n_boxes")]
            cells.append(f"{np.mean([area(key, found, cost) for key in shuffled]):.3f}")
            cells.append(f"{area(found / cost, found, cost):.3f}")
            print(f"| {unit} | {kind} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
