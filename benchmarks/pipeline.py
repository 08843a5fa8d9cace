# SPDX-License-Identifier: Apache-2.0
"""How well the local engine fills the cores, and what slow storage costs.

    python benchmarks/pipeline.py PHOTOS [--stage detect] [--images 1500] [--rounds 3]
                                         [--delay-ms 50] [--effort fast] [--only WAY ...]

Ratios within a round, of child processes that are bound to their cores; ``wall_s`` of the run
counts, without the start of the first process. Photographs are used several times if there are
fewer than asked for.

- *Efficiency*: images/s on all cores by those on one.
- *What the machine gives*: images/s of a run on each core, at the same time, by those of one
  run alone: two runs that have nothing to do with each other share the memory's bandwidth, too.
- *Network alone*: images/s of the whole of ``detect`` by those of its network, on pictures that
  were decoded before and of sizes that it has seen before, with as many threads.
  Alone it needs no start and compiles nothing, which a short run pays for: ask many images.
- *Slow storage*: images/s when every read sleeps for so many milliseconds, by those without.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


SLOW_READS = """
import time
from veilset.dataset.folder import FolderReader
read = FolderReader.read
def slow_read(self, record):
    time.sleep({delay_s})
    return read(self, record)
FolderReader.read = slow_read
"""
# Python imports a module of this name in every process that finds it.
CUSTOM = "sitecustomize.py"


def detect_alone(photos: Path, effort: str, workers: int) -> float:
    """Search pictures that were decoded before; give images/s."""
    from veilset.images.decode import decode_image
    from veilset.plugins import make_detector
    from veilset.protocols import DetectorSettings

    images = [decode_image(p.read_bytes())[0] for p in sorted(photos.iterdir())]
    detector = make_detector("centerface", DetectorSettings(effort=effort, n_threads=workers))
    with ThreadPoolExecutor(workers) as executor:
        list(executor.map(lambda image: detector.detect([image]), images))
        begun = time.perf_counter()
        list(executor.map(lambda image: detector.detect([image]), images))
    return len(images) / (time.perf_counter() - begun)


def run_stage(job: dict[str, Any]) -> float:
    """Run one stage; give images/s."""
    import veilset

    photos, work = Path(job["photos"]), Path(job["work"])
    workers = len(job["cores"])
    if job["what"] == "network alone":
        return detect_alone(photos, job["effort"], workers)
    config = veilset.DetectConfig(effort=job["effort"])
    with tempfile.TemporaryDirectory(dir=work) as folder:
        out = Path(folder) / "out"
        if job["stage"] == "detect":
            done = veilset.detect_dataset(photos, out, config, workers=workers)
        else:
            done = veilset.obfuscate_dataset(photos, work / "annotations", out, workers=workers)
    return sum(1 for _ in photos.iterdir()) / done.wall_s


def start(job: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start a job in a process of its own, on its cores."""
    found = os.pathsep.join(filter(None, [job["customs"], os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, __file__, "--job", json.dumps(job)],
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": found},
    )  # fmt: skip


def rate_of(*jobs: dict[str, Any]) -> float:
    """Run jobs at the same time; give the sum of their images/s."""
    processes = [start(job) for job in jobs]
    return sum(float(process.communicate()[0]) for process in processes)


def spread(values: list[float]) -> str:
    """Give the median and the range of some ratios."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    """Measure, and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--stage", choices=["detect", "obfuscate"], default="detect")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--effort", default="fast")
    parser.add_argument(
        "--only", nargs="+", choices=["one", "all", "each", "slow", "alone"], metavar="WAY",
        help="one core, all cores, a run on each, slow reads, network alone; all if not given",
    )  # fmt: skip
    parser.add_argument("--job", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.job:
        job = json.loads(chosen.job)
        os.sched_setaffinity(0, job["cores"])
        print(run_stage(job))
        return
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "photos").mkdir()
        found = [p for p in sorted(chosen.photos.rglob("*")) if p.suffix.lower() in SUFFIXES]
        for number, path in zip(range(chosen.images), itertools.cycle(found), strict=False):
            (work / "photos" / f"{number:05d}{path.suffix}").hardlink_to(path)
        report(chosen, work, cores)


def report(chosen: argparse.Namespace, work: Path, cores: list[int]) -> None:
    """Run the rounds and print a table."""
    import veilset

    if chosen.stage == "obfuscate":
        config = veilset.DetectConfig(effort=chosen.effort)
        veilset.detect_dataset(work / "photos", work / "annotations", config)
    slow = work / "slow"
    slow.mkdir()
    (slow / CUSTOM).write_text(SLOW_READS.format(delay_s=chosen.delay_ms / 1000))
    print(
        f"{chosen.stage}, {chosen.images} images, {len(cores)} cores, {chosen.rounds} rounds, "
        f"effort {chosen.effort}",
        flush=True,
    )

    def job(cores: list[int], what: str = "", customs: str = "") -> dict[str, Any]:
        return {
            "stage": chosen.stage, "effort": chosen.effort, "cores": cores, "what": what,
            "customs": customs, "photos": str(work / "photos"), "work": str(work),
        }  # fmt: skip

    n = len(cores)
    slowly = f"reads of {chosen.delay_ms:g} ms"
    by = {f"on {n}": "on 1", "one run on each": "on 1", slowly: f"on {n}"}
    if chosen.stage == "detect":
        by[f"on {n} "] = "network alone"
    ways: dict[str, tuple[str, Callable[[], float]]] = {
        "one": ("on 1", lambda: rate_of(job(cores[:1]))),
        "all": (f"on {n}", lambda: rate_of(job(cores))),
        "each": ("one run on each", lambda: rate_of(*(job([core]) for core in cores))),
        "slow": (slowly, lambda: rate_of(job(cores, customs=str(slow)))),
    }
    if chosen.stage == "detect":
        ways["alone"] = ("network alone", lambda: rate_of(job(cores, "network alone")))
    asked = [way for name, way in ways.items() if name in (chosen.only or ways)]
    ratios: dict[str, list[float]] = {}
    for _ in range(chosen.rounds):
        rates = {what: measure() for what, measure in asked}
        print("  ".join(f"{what}: {rate:.1f}/s" for what, rate in rates.items()), flush=True)
        for one, other in by.items():
            if one.strip() in rates and other in rates:
                ratio = rates[one.strip()] / rates[other]
                ratios.setdefault(f"{one} by {other}", []).append(ratio)
    for name, values in ratios.items():
        print(f"{name:<40} {spread(values)}")


if __name__ == "__main__":
    main()
