# SPDX-License-Identifier: Apache-2.0
"""How many people are in a photograph, by counting what detectors find?

    python benchmarks/people.py IMAGENET WIDER [--counts benchmarks/people_counts.csv]

IMAGENET holds the photographs of the counts: 240 of ILSVRC, drawn by the digests of their names,
in which one person counted by eye, on contact sheets and enlarged where in doubt, the people
(anybody of whom a part is seen, a hand, a leg or a reflection too; a picture inside the
picture, a statue and a doll are nobody; crowds are estimated) and those of them whose face is
seen. WIDER holds ``images/`` and a ``*.txt`` of official face boxes, of which those marked
invalid are left out; people without a face are not in it. Printed for each way of counting:

- ``exact``: share of photographs with the right number,
- ``finds``: share of the photographs with people in which at least one is counted,
- ``empty``: share of those without people in which none is counted,
- ``error``: mean of counted minus true number.

All have 95 % intervals: Wilson's, and for the error 2,000 bootstrap samples of photographs.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import areas, intersections, iou
from veilset.detect.candidates import pad
from veilset.detect.nudenet import resized
from veilset.images.decode import decode_image
from veilset.intervals import wilson
from veilset.networks.runtime import Preparation, Session, open_session
from veilset.networks.weights import packaged_weights
from veilset.plugins import make_detector
from veilset.protocols import DetectorSettings
from veilset.types import Image

Boxes = NDArray[np.float64]
"""``(N, 5)``: x0 y0 x1 y1 in pixels and the score."""

SAME_IOU, SAME_INSIDE = 0.3, 0.6
"""Boxes of two detectors show the same face from this IoU, or this share of the smaller, on."""

_FACES = (1, 12)
"""Classes of NudeNet that are faces; the others are parts of a body."""


@dataclass(frozen=True)
class Found:
    """What the detectors found in one photograph."""

    centerface: Boxes
    nudenet: Boxes
    dlib: Boxes
    parts: Boxes


class Finder:
    """Runs all detectors, at the thresholds that they choose for themselves."""

    def __init__(self, n_threads: int) -> None:
        settings = DetectorSettings(n_threads=n_threads)
        self._detectors = [
            make_detector(name, settings) for name in ("centerface", "nudenet", "dlib-hog")
        ]
        weights = packaged_weights("nudenet", "nudenet/320n.onnx", self._detectors[1].card)
        self._network: Session = open_session(weights.data, Preparation(scale=255.0), settings)

    def find(self, image: Image) -> Found:
        """Search one photograph."""
        faces = []
        for detector in self._detectors:
            (regions,) = detector.detect([image])
            rows = [[*each.box_xyxy, each.score or 0.0] for each in regions]
            faces.append(np.array(rows, dtype=np.float64).reshape(-1, 5))
        centerface, nudenet, dlib = faces
        return Found(centerface, nudenet, dlib, self._parts(image))

    def _parts(self, image: Image) -> Boxes:
        """Find parts of bodies, at the size that NudeNet was made for."""
        small = resized(image, 640)
        with self._network.run(pad(small, 32)) as (output,):
            rows = np.array(output[0], dtype=np.float64).T
        scores = np.delete(rows[:, 4:], _FACES, axis=1).max(axis=1)
        keep = scores >= 0.3
        centre, half = rows[keep, :2], rows[keep, 2:4] / 2
        return np.column_stack([centre - half, centre + half, scores[keep]])


def union(first: Boxes, second: Boxes) -> int:
    """Count the boxes of two detectors, those that show the same face once."""
    if not len(first) or not len(second):
        return len(first) + len(second)
    one, other = first[:, :4], second[:, :4]
    smaller = np.minimum(areas(one)[:, None], areas(other)[None, :])
    is_inside = intersections(one, other) >= SAME_INSIDE * np.maximum(smaller, 1e-9)
    same = (iou(one, other) >= SAME_IOU) | is_inside
    return len(first) + int((~same.any(axis=0)).sum())


def above(boxes: Boxes, score: float) -> Boxes:
    """Give the boxes of at least that score."""
    return boxes[boxes[:, 4] >= score]


def with_parts(found: Found, score: float) -> int:
    """Count faces; where there is none, any part of a body is one person."""
    return len(found.centerface) or int(len(above(found.parts, score)) > 0)


WAYS: Mapping[str, Callable[[Found], int]] = {
    "CenterFace": lambda found: len(found.centerface),
    "CenterFace from 0.4": lambda found: len(above(found.centerface, 0.4)),
    "CenterFace from 0.5": lambda found: len(above(found.centerface, 0.5)),
    "and NudeNet's faces": lambda found: union(found.centerface, found.nudenet),
    "and NudeNet's from 0.5": lambda found: union(found.centerface, above(found.nudenet, 0.5)),
    "and dlib's faces": lambda found: union(found.centerface, found.dlib),
    "or a body part from 0.3": lambda found: with_parts(found, 0.3),
    "or a body part from 0.5": lambda found: with_parts(found, 0.5),
}


def read_counts(path: Path, column: str) -> dict[str, int]:
    """Read the counts by eye: of ``n_people`` or ``n_faces``."""
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["image_id"]: int(row[column]) for row in csv.DictReader(stream)}


def read_wider(path: Path) -> dict[str, int]:
    """Count the valid boxes of each photograph in WIDER's text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    counts, at = {}, 0
    while at < len(lines) and lines[at].strip():
        n_rows = max(int(lines[at + 1]), 1)
        rows = [[int(each) for each in line.split()] for line in lines[at + 2 : at + 2 + n_rows]]
        counts[lines[at]] = sum(row[2] > 0 and row[3] > 0 and not row[7] for row in rows)
        at += 2 + n_rows
    return counts


def search(root: Path, names: Iterable[str], finder: Finder) -> dict[str, Found]:
    """Search photographs, telling how far it is."""
    found = {}
    for number, name in enumerate(names, start=1):
        image, _ = decode_image((root / name).read_bytes())
        found[name] = finder.find(image)
        print(f"\r{root.name}: {number}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return found


def share(hits: Sequence[bool]) -> str:
    """Write a share with its interval."""
    if not hits:
        return "-"
    low, high = wilson(sum(hits), len(hits))
    return f"{sum(hits) / len(hits):.3f} [{low:.3f}, {high:.3f}] n={len(hits)}"


def mean(errors: Sequence[int]) -> str:
    """Write a mean with its interval."""
    random = np.random.default_rng(0)
    values = np.array(errors)
    means = values[random.integers(0, len(values), (2000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def tell(title: str, truth: Mapping[str, int], found: Mapping[str, Found]) -> None:
    """Print the table of one truth."""
    print(f"\n{title}: {len(truth)} photographs, {sum(truth.values())} in truth\n")
    print(f"| {'way':24} | counted | {'exact':30} | {'finds':30} | {'empty':30} | error |")
    print("|---|---|---|---|---|---|")
    for name, way in WAYS.items():
        counted = {each: way(found[each]) for each in truth}
        exact = [counted[each] == n for each, n in truth.items()]
        finds = [counted[each] > 0 for each, n in truth.items() if n]
        empty = [counted[each] == 0 for each, n in truth.items() if not n]
        errors = [counted[each] - n for each, n in truth.items()]
        print(
            f"| {name:24} | {sum(counted.values()):7} | {share(exact):30} | {share(finds):30} "
            f"| {share(empty):30} | {mean(errors)} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("imagenet", type=Path)
    parser.add_argument("wider", type=Path)
    parser.add_argument(
        "--counts", type=Path, default=Path(__file__).with_name("people_counts.csv")
    )
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    finder = Finder(options.threads)
    people = read_counts(options.counts, "n_people")
    found = search(options.imagenet, people, finder)
    tell("ImageNet, people counted by eye", people, found)
    tell("ImageNet, faces counted by eye", read_counts(options.counts, "n_faces"), found)
    (text,) = options.wider.glob("*.txt")
    faces = read_wider(text)
    found = search(options.wider / "images", faces, finder)
    tell("WIDER, official faces", faces, found)
    few = {name: n for name, n in faces.items() if n <= 10}
    tell("WIDER, photographs with at most 10 faces", few, found)


if __name__ == "__main__":
    main()
