# SPDX-License-Identifier: Apache-2.0
"""How many photographs get a candidate of nudity, by threshold and effort.

    python benchmarks/nsfw.py PHOTOS [--detector nudenet-nsfw] [--effort balanced] [--regions FILE]

PHOTOS is a folder whose photographs show no nudity as far as its owner knows, so that all
candidates count as false until somebody has looked at them; FILE receives them as CSV, for
that. How much of what is there is found cannot be told by this.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from veilset.images.decode import decode_image
from veilset.intervals import wilson
from veilset.plugins import make_detector
from veilset.protocols import DetectorSettings
from veilset.types import Region

THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def table(found: dict[Path, tuple[Region, ...]]) -> None:
    """Print images with a candidate in 1,000, with Wilson's interval, and candidates."""
    n = len(found)
    print("threshold  images  in 1,000            candidates")
    for threshold in THRESHOLDS:
        scores = [[r.score for r in regions if r.passes(threshold)] for regions in found.values()]
        k = sum(bool(each) for each in scores)
        low, high = wilson(k, n)
        in_1000 = f"{1000 * k / n:.1f} [{1000 * low:.1f}, {1000 * high:.1f}]"
        print(f"{threshold:9.2f} {k:7}  {in_1000:<18} {sum(map(len, scores)):11}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--detector", default="nudenet-nsfw")
    parser.add_argument("--effort", default="balanced")
    parser.add_argument("--regions", type=Path)
    options = parser.parse_args()

    settings = DetectorSettings(effort=options.effort, threshold=THRESHOLDS[0], n_threads=1)
    detector = make_detector(options.detector, settings)
    paths = sorted(p for p in options.photos.rglob("*") if p.suffix.lower() in SUFFIXES)
    found = {}
    for number, path in enumerate(paths, start=1):
        image, _ = decode_image(path.read_bytes())
        (found[path],) = detector.detect([image])
        print(f"\r{number}/{len(paths)}", end="", file=sys.stderr)
    print(f"\n{options.effort}, {len(paths)} photographs")
    table(found)
    if options.regions:
        with options.regions.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "x0", "y0", "x1", "y1", "score", "label"])
            for path, regions in found.items():
                for r in regions:
                    name = path.relative_to(options.photos)
                    writer.writerow([name, *r.box_xyxy, r.score, r.attributes.get("label", "")])


if __name__ == "__main__":
    main()
