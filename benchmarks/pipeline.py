# SPDX-License-Identifier: Apache-2.0
"""How well the local engine fills the cores, and what slow storage costs.

    python benchmarks/pipeline.py PHOTOS [--images 200] [--rounds 3] [--delay-ms 50]

Three questions, each answered by ratios within a round, of child processes that are bound to
their cores; ``wall_s`` of the run counts, without the start of Python and of the network:

- *Efficiency*: images/s of ``detect`` and ``obfuscate`` on all cores by those on one.
- *Slowest step alone*: images/s of the whole of ``detect`` by those of its network alone, on
  pictures that were decoded before, with as many threads.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


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
    from veilset.dataset.folder import FolderReader

    photos, work = Path(job["photos"]), Path(job["work"])
    workers, delay_s = job["workers"], job["delay_s"]
    if job["stage"] == "network alone":
        return detect_alone(photos, job["effort"], workers)
    read = FolderReader.read

    def slow_read(self: FolderReader, record: Any) -> bytes:
        time.sleep(delay_s)
        return read(self, record)

    config = veilset.DetectConfig(effort=job["effort"])
    regions = work / "annotations"
    if job["stage"] == "detect":
        # Kernels are compiled for each size of picture: not what is measured here.
        veilset.detect_dataset(photos, work / "warm", config, workers=workers)
    if delay_s:
        FolderReader.read = slow_read  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory(dir=work) as folder:
        if job["stage"] == "detect":
            done = veilset.detect_dataset(photos, Path(folder) / "out", config, workers=workers)
        else:
            out = Path(folder) / "out"
            done = veilset.obfuscate_dataset(photos, regions, out, workers=workers)
    return sum(1 for _ in photos.iterdir()) / done.wall_s


def child(job: dict[str, Any]) -> float:
    """Run a job in a process of its own, on so many cores."""
    done = subprocess.run(
        [sys.executable, __file__, "--job", json.dumps(job)],
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return float(done.stdout)


def spread(values: list[float]) -> str:
    """Give the median and the range of some ratios."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    """Measure, and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--effort", default="fast")
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

    config = veilset.DetectConfig(effort=chosen.effort)
    veilset.detect_dataset(work / "photos", work / "annotations", config)
    n_images = sum(1 for _ in (work / "photos").iterdir())
    print(f"{n_images} images, {len(cores)} cores, {chosen.rounds} rounds, effort {chosen.effort}")
    ratios: dict[str, list[float]] = {}
    for _ in range(chosen.rounds):
        rates: dict[tuple[str, int, float], float] = {}
        delay_s = chosen.delay_ms / 1000
        jobs = [(stage, n, 0.0) for stage in ("detect", "obfuscate") for n in (1, len(cores))]
        jobs += [("network alone", len(cores), 0.0)]
        jobs += [(stage, len(cores), delay_s) for stage in ("detect", "obfuscate")]
        for stage, n, delay in jobs:
            job = {"stage": stage, "workers": n, "cores": cores[:n], "delay_s": delay,
                   "photos": str(work / "photos"), "work": str(work),
                   "effort": chosen.effort}  # fmt: skip
            rates[stage, n, delay] = child(job)
        n = len(cores)
        for stage in ("detect", "obfuscate"):
            fast, slow = rates[stage, n, 0.0], rates[stage, n, delay_s]
            ratios.setdefault(f"{stage}: {n} cores by 1", []).append(fast / rates[stage, 1, 0.0])
            name = f"{stage}: reads of {chosen.delay_ms:g} ms by none"
            ratios.setdefault(name, []).append(slow / fast)
        whole = rates["detect", n, 0.0] / rates["network alone", n, 0.0]
        ratios.setdefault("detect: whole by network alone", []).append(whole)
        print(
            "  ".join(f"{s} on {n}, {d * 1000:g} ms: {r:.1f}/s" for (s, n, d), r in rates.items())
        )
    for name, values in ratios.items():
        print(f"{name:<44} {spread(values)}")


if __name__ == "__main__":
    main()
