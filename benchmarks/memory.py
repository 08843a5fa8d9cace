# SPDX-License-Identifier: Apache-2.0
"""Memory of the stages against the number of images: it has to stay flat.

    python benchmarks/memory.py [--images 20000 200000]

The tree is synthetic: hard links to one small drawn picture, 1,000 to a folder, so that
nothing but the number of images grows. Detection is replaced by a plugin that finds one
region in every image, without a network. Each stage runs in a process of its own, whose
greatest resident size is read from the system.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

PER_FOLDER = 1000
STAGES = ("detect", "obfuscate", "verify", "report")


def make_tree(root: Path, n_images: int) -> None:
    """Write a tree of hard links to one drawn picture."""
    picture = Image.fromarray(np.full((48, 64, 3), 160, np.uint8))
    ImageDraw.Draw(picture).ellipse((20, 10, 44, 40), fill=(220, 180, 150), outline=(40, 30, 20))
    source = root.parent / "picture.jpg"
    picture.save(source, quality=85)
    for number in range(n_images):
        folder = root / f"{number // PER_FOLDER:05d}"
        if number % PER_FOLDER == 0:
            folder.mkdir(parents=True)
        link = folder / f"{number:08d}.jpg"
        try:
            os.link(source, link)
        except OSError:  # a file takes a limited number of links: begin with a new copy
            source = root.parent / f"picture-{number}.jpg"
            picture.save(source, quality=85)
            os.link(source, link)


def one_region_detector(settings: object) -> object:
    """Give a detector that says the same of every image: no network, no time."""
    from veilset.types import ModelCard, Region

    class OneRegion:
        card = ModelCard("one-region", "benchmarks/memory.py", "Apache-2.0", True)
        settings: dict[str, str] = {}  # noqa: RUF012
        batch_size = 1

        def detect(self, images: Sequence[object]) -> list[tuple[Region, ...]]:
            return [(Region((20.0, 10.0, 44.0, 40.0), score=0.9),) for _ in images]

    return OneRegion()


def run_stage(stage: str, root: Path) -> None:
    """Run one stage in this process and print its peak memory in MiB."""
    import veilset
    from veilset import plugins

    real = plugins.load_factory
    plugins.load_factory = lambda kind, name: (  # type: ignore[assignment]
        one_region_detector if kind == "detector" else real(kind, name)
    )
    photos, out, record = root / "photos", root / "out", root / "out.veilset"
    annotations = record / "annotations"
    start = time.perf_counter()
    if stage == "detect":
        veilset.detect_dataset(photos, annotations)
    elif stage == "obfuscate":
        veilset.obfuscate_dataset(photos, annotations, out)
    elif stage == "verify":
        veilset.verify_dataset(photos, out, annotations)
    else:
        veilset.write_report(out, annotations, record, record / "report.html")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mib": peak_mib, "seconds": time.perf_counter() - start}))


def measure(n_images: int) -> dict[str, dict[str, float]]:
    """Run every stage on a tree of that size, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_tree(root / "photos", n_images)
        found = {}
        for stage in STAGES:
            done = subprocess.run(
                [sys.executable, __file__, "--stage", stage, "--root", root],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise SystemExit(done.stderr)
            found[stage] = json.loads(done.stdout.splitlines()[-1])
        return found


def main() -> None:
    """Measure trees of several sizes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--stage", choices=STAGES)
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    if options.stage:
        run_stage(options.stage, options.root)
        return
    for n_images in options.images:
        for stage, values in measure(n_images).items():
            print(
                f"{n_images:>8,} images  {stage:<10} {values['peak_mib']:7.0f} MiB "
                f"{values['seconds']:8.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
