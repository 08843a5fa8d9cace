# SPDX-License-Identifier: Apache-2.0
"""Recall, false boxes and protection of the detector on a WIDER-style set of photographs.

    python benchmarks/detection.py DATA SCORER OUT [--effort balanced] [--every 1] [--enlarge 0.2]

DATA holds ``images/`` and one ``*.txt`` of truth in WIDER's format; SCORER is the program
that scores, called as ``SCORER TRUTH PRED --regions REG``. OUT receives ``PRED.json`` (boxes
and scores), ``REG.json`` (what the obfuscation covers for certain), the truth of the photographs
looked at and ``run.json`` (settings, cost). The last lines are the scorer's own. For CenterFace
the pixels that the network was shown are counted, padding included.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from veilset.detect.candidates import Candidates
from veilset.detect.centerface import CenterFace
from veilset.images.decode import decode_image
from veilset.plugins import make_detector, make_obfuscator
from veilset.protocols import DetectorSettings
from veilset.types import Image


class PixelCount:
    """Counts what CenterFace is shown, padding included, while it is installed."""

    def __init__(self) -> None:
        self.n = 0
        look = CenterFace.look

        def counted(
            network: CenterFace, images: Sequence[Image], *, floor: float
        ) -> list[Candidates]:
            for image in images:
                height, width = (-(-side // network.stride) for side in image.shape[:2])
                self.n += height * width * network.stride**2
            return look(network, images, floor=floor)

        CenterFace.look = counted


def blocks(truth: Path) -> Iterator[tuple[str, str]]:
    """Give each photograph's name and its lines of the truth."""
    lines = truth.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines) and lines[at].strip():
        rows = max(int(lines[at + 1]), 1)
        yield lines[at], "\n".join(lines[at : at + 2 + rows]) + "\n"
        at += 2 + rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("scorer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--detector", default="centerface")
    parser.add_argument("--effort", default="balanced")
    parser.add_argument("--threshold", type=float, default=None)
    parser.add_argument("--every", type=int, default=1, help="look at every n-th photograph")
    parser.add_argument("--method", default="veil")
    parser.add_argument("--enlarge", type=float, default=None)
    options = parser.parse_args()

    detector = make_detector(
        options.detector, DetectorSettings(effort=options.effort, threshold=options.threshold)
    )
    parameters = {} if options.enlarge is None else {"enlarge": options.enlarge}
    obfuscator = make_obfuscator(options.method, parameters)
    (truth,) = options.data.glob("*.txt")
    chosen = list(blocks(truth))[:: options.every]

    found, covered, seconds, cpu_seconds, n_pixels = {}, {}, 0.0, 0.0, 0
    shown = PixelCount()
    for number, (name, _) in enumerate(chosen, start=1):
        image, _ = decode_image((options.data / "images" / name).read_bytes())
        start, cpu_start = time.perf_counter(), time.process_time()
        (regions,) = detector.detect([image])
        seconds += time.perf_counter() - start
        cpu_seconds += time.process_time() - cpu_start
        size = (image.shape[1], image.shape[0])
        n_pixels += image.shape[0] * image.shape[1]
        found[name] = [[*region.box_xyxy, region.score] for region in regions]
        covered[name] = obfuscator.core(regions, size).tolist()
        print(f"\r{number}/{len(chosen)}", end="", file=sys.stderr)
    print(file=sys.stderr)

    options.out.mkdir(parents=True, exist_ok=True)
    files = {"PRED.json": found, "REG.json": covered}
    files["run.json"] = {
        "detector": dict(detector.settings),
        "obfuscator": dict(obfuscator.card.parameters),
        "n_images": len(chosen),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "megapixels": n_pixels / 1e6,
        "network_megapixels": shown.n / 1e6,
        "machine": f"{platform.machine()} {platform.processor()}".strip(),
    }
    for name, value in files.items():
        (options.out / name).write_text(json.dumps(value), encoding="utf-8")
    (options.out / "truth.txt").write_text("".join(lines for _, lines in chosen), encoding="utf-8")
    print(
        f"{options.effort}: {len(chosen)} photographs, {seconds:.1f} s in the detector "
        f"({cpu_seconds:.1f} s of CPU), "
        f"{shown.n / n_pixels:.2f} network pixels for each pixel"
    )
    command = [sys.executable, options.scorer, options.out / "truth.txt", options.out / "PRED.json"]
    subprocess.run([*map(str, command), "--regions", str(options.out / "REG.json")], check=True)


if __name__ == "__main__":
    main()
