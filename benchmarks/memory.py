# SPDX-License-Identifier: Apache-2.0
"""Memory of the stages against the number of images: it has to stay flat.

    python benchmarks/memory.py [--images 20000 200000]

The tree is synthetic: hard links to one small drawn picture, 1,000 to a folder, so that
nothing but the number of images grows. Detection is done by a plugin that finds one region in
every image, without a network. Each stage runs in a process of its own, whose greatest resident
size is read from the system; so is that of the largest process that it started.
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


# A package of its own, since every process of a stage has to find it.
PLUGIN = """
from veilset.types import ModelCard, Region

class OneRegion:
    card = ModelCard("one-region", "drawn by code", "Apache-2.0", True)
    settings = {}
    batch_size = 1

    def __init__(self, settings):
        pass

    def detect(self, images):
        return [(Region((20.0, 10.0, 44.0, 40.0), score=0.9),) for _ in images]
"""
ENTRY_POINTS = "[veilset.detectors]\none-region = one_region:OneRegion\n"
METADATA = "Metadata-Version: 2.1\nName: one-region\nVersion: 1\n"


def make_plugin(folder: Path) -> None:
    """Write a package that brings the detector ``one-region``."""
    announced = folder / "one_region-1.dist-info"
    announced.mkdir(parents=True)
    (folder / "one_region.py").write_text(PLUGIN)
    (announced / "entry_points.txt").write_text(ENTRY_POINTS)
    (announced / "METADATA").write_text(METADATA)


def run_stage(stage: str, root: Path) -> None:
    """Run one stage in this process and print its peak memory in MiB."""
    import veilset
    from veilset.verify.config import VerifyConfig

    photos, out, record = root / "photos", root / "out", root / "out.veilset"
    annotations = record / "annotations"
    start = time.perf_counter()
    if stage == "detect":
        veilset.detect_dataset(photos, annotations, veilset.DetectConfig(detector="one-region"))
    elif stage == "obfuscate":
        veilset.obfuscate_dataset(photos, annotations, out)
    elif stage == "verify":
        config = VerifyConfig(detector="one-region", second_detectors=())
        veilset.verify_dataset(photos, out, annotations, config)
    else:
        veilset.write_report(out, annotations, record, record / "report.html")
    own, started = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    seconds = time.perf_counter() - start
    print(json.dumps({"peak_mib": own, "started_mib": started, "seconds": seconds}))


def measure(n_images: int) -> dict[str, dict[str, float]]:
    """Run every stage on a tree of that size, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_tree(root / "photos", n_images)
        make_plugin(root / "plugin")
        found = {}
        for stage in STAGES:
            done = subprocess.run(
                [sys.executable, __file__, "--stage", stage, "--root", root],
                capture_output=True, text=True, check=False,
                env=os.environ | {"PYTHONPATH": str(root / "plugin")},
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
                f"{n_images:>8,} images  {stage:<10} {values['peak_mib']:7.0f} MiB, "
                f"largest worker {values['started_mib']:7.0f} MiB {values['seconds']:8.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
