# SPDX-License-Identifier: Apache-2.0
"""Time the methods beside the published full-picture formula: same photos, same boxes, one run.

    python benchmarks/obfuscation.py PHOTOS [--boxes BOXES.json] [--count 80] [--repeats 7]

PHOTOS is a folder tree of images. BOXES.json maps the path of a photo below it to a list of
``[x0, y0, x1, y1]``; photos without boxes are left out. Without it, one to three boxes of
20 to 200 px are drawn at random for each photo (fixed seed).

Printed for each method: milliseconds a photo (median of the repeats, lowest and highest), and
how many times faster than the published formula, computed repeat by repeat, since both ran
right after one another. Decoding and encoding are not in it. OpenCV is held to one thread,
as Pillow has but one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFilter

from veilset.plugins import list_plugins, make_obfuscator
from veilset.types import BoxXyxy, Image, Region

Case = tuple[Image, list[Region]]
SUFFIXES = {".jpg", ".jpeg", ".png"}


def published(image: Image, regions: list[Region]) -> Image:
    """The released formula on the whole picture, in Pillow, as its authors run it."""
    picture = PilImage.fromarray(image)
    keep = PilImage.new("L", picture.size, 255)
    pen, longest = ImageDraw.Draw(keep), 0.0
    for region in regions:
        x0, y0, x1, y1 = region.box_xyxy
        if x0 >= x1 or y0 >= y1:
            continue
        longer = max(x1 - x0, y1 - y0)
        longest = max(longest, longer)
        margin = 0.1 * longer
        pen.rectangle([x0 - margin, y0 - margin, x1 + margin, y1 + margin], fill=0)
    gaussian = ImageFilter.GaussianBlur(0.1 * longest)
    mixed = PilImage.composite(picture, picture.filter(gaussian), keep.filter(gaussian))
    return np.asarray(mixed)


def drawn_boxes(rng: np.random.Generator, width: int, height: int) -> list[BoxXyxy]:
    """One to three boxes of the proportions of a face, 20 to 200 px, inside the picture."""
    boxes: list[BoxXyxy] = []
    for _ in range(int(rng.integers(1, 4))):
        tall = min(float(np.exp(rng.uniform(np.log(20), np.log(200)))), height, width / 0.8)
        x, y = rng.uniform(0, width - 0.8 * tall), rng.uniform(0, height - tall)
        boxes.append((float(x), float(y), float(x + 0.8 * tall), float(y + tall)))
    return boxes


def cases(photos: Path, boxes_file: Path | None, count: int) -> Iterator[Case]:
    """Give decoded photos with their regions, in a fixed random order."""
    rng = np.random.default_rng(0)
    known = json.loads(boxes_file.read_text()) if boxes_file else None
    paths = sorted(path for path in photos.rglob("*") if path.suffix.lower() in SUFFIXES)
    n_given = 0
    for index in rng.permutation(len(paths)):
        path = paths[index]
        boxes = known.get(path.relative_to(photos).as_posix(), []) if known is not None else None
        if n_given == count or boxes == []:
            continue
        image = np.asarray(PilImage.open(path).convert("RGB"))
        chosen = boxes or drawn_boxes(rng, image.shape[1], image.shape[0])
        n_given += 1
        yield image, [Region((*map(float, box),)) for box in chosen]


def seconds(work: Callable[[Image, list[Region]], Image], photos: list[Case]) -> float:
    """Time one pass over all photos, in seconds a photo."""
    start = time.perf_counter()
    for image, regions in photos:
        work(image, regions)
    return (time.perf_counter() - start) / len(photos)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--generator", help="Also time 'synthesize', with this generator.")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = list(cases(options.photos, options.boxes, options.count))
    if not photos:
        print(f"No photo with boxes in {options.photos}.", file=sys.stderr)
        return 1
    released = make_obfuscator("blur-released", {})
    n_equal = sum(np.array_equal(published(*c), released.obfuscate(*c)) for c in photos)
    sides = [max(b[2] - b[0], b[3] - b[1]) for _, rs in photos for b in (r.box_xyxy for r in rs)]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores seen")
    print(
        f"n = {len(photos)} photos, {len(sides)} boxes of {min(sides):.0f} to {max(sides):.0f} px "
        f"(median {statistics.median(sides):.0f}), {options.repeats} repeats, one thread"
    )
    print(f"blur-released equals the published formula byte for byte on {n_equal} of {len(photos)}")
    print(f"{'method':14s} {'ms a photo':>22s} {'times faster':>22s}")
    for name in [info.name for info in list_plugins("obfuscator")]:
        if name == "synthesize" and not options.generator:
            continue
        method = make_obfuscator(name, {"model": options.generator} if name == "synthesize" else {})
        pairs = [
            (seconds(published, photos), seconds(method.obfuscate, photos))
            for _ in range(options.repeats)
        ]
        ours = [1000 * b for _, b in pairs]
        ratios = [a / b for a, b in pairs]
        cells = [
            f"{statistics.median(v):6.2f} [{min(v):.2f}, {max(v):.2f}]" for v in (ours, ratios)
        ]
        print(f"{name:14s} {cells[0]:>22s} {cells[1]:>22s}")
    return 0 if n_equal == len(photos) else 1


if __name__ == "__main__":
    sys.exit(main())
