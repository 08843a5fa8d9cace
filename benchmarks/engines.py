# SPDX-License-Identifier: Apache-2.0
"""What the Ray engine costs and gives beside the local one, on one machine.

    python benchmarks/engines.py [--images 400] [--shard-size 50] [--rounds 3]

The data set is drawn by code: JPEG pictures of 500 x 375 pixels, each another one. Each round
runs ``detect`` (CenterFace, fast) once with each engine, in a cluster that is up already; what
it costs to start one, and to start the actors, is timed by itself. All annotation sets have to
be equal to the byte. Ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import veilset
from veilset.engine.ray_cluster import import_ray, joined
from veilset.engine.threads import usable_cores
from veilset.protocols import EngineSettings
from veilset.runs import read_manifest

SIZE_WH = (500, 375)


def draw(folder: Path, n_images: int) -> None:
    """Write the data set."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(5)
    for number in range(n_images):
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize(SIZE_WH, Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:05d}.jpg", quality=88)


def timed_detect(
    photos: Path, shard_size: int, engine: EngineSettings, threads: int
) -> tuple[float, str]:
    """Run the stage; give the wall-clock seconds, and the digest of what it wrote."""
    out = photos.with_name("out")
    config = veilset.DetectConfig(effort="fast", shard_size=shard_size)
    start = time.perf_counter()
    veilset.detect_dataset(photos, out, config, workers=threads, engine=engine)
    spent = time.perf_counter() - start
    digest = str(read_manifest(out)["outputs_sha256"])
    shutil.rmtree(out)
    return spent, digest


def main() -> None:
    """Measure, print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--shard-size", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    n_cores = usable_cores()
    local, ray = EngineSettings("local"), EngineSettings("ray", address="local")
    ways = {
        f"local, {n_cores} threads": (local, n_cores),
        f"ray, 1 actor of {n_cores} threads": (ray, n_cores),
        f"ray, {n_cores} actors of 1 thread": (ray, 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw(root / "photos", chosen.images)
        draw(root / "few", 1)
        start = time.perf_counter()
        with joined(import_ray(), ray):
            cluster_s = time.perf_counter() - start
            few = {}
            for name, (engine, threads) in ways.items():
                few[name], _ = timed_detect(root / "few", 1, engine, threads)
            for _ in range(chosen.rounds):
                for name, (engine, threads) in ways.items():
                    spent, digest = timed_detect(
                        root / "photos", chosen.shard_size, engine, threads
                    )
                    seconds[name].append(spent)
                    digests.add(digest)
    if len(digests) != 1:
        raise SystemExit(f"The engines gave different results: {sorted(digests)}")
    first = seconds[next(iter(ways))]
    print(f"cluster: {cluster_s:.1f} s to start")
    rows = {}
    for name, each in seconds.items():
        ratios = [mine / base for mine, base in zip(each, first, strict=True)]
        rows[name] = {"seconds": each, "ratios": ratios, "one_image_s": few[name]}
        print(
            f"{name:32} {statistics.median(each):6.1f} s   times local "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})   "
            f"one image {few[name]:.1f} s"
        )
    print(json.dumps({"images": chosen.images, "cluster_s": cluster_s, "engines": rows}))


if __name__ == "__main__":
    main()
