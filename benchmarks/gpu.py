# SPDX-License-Identifier: Apache-2.0
"""Images a second on one GPU, stage by stage and end to end, and what ImageNet would take.

    python benchmarks/gpu.py PHOTOS [--images 20000] [--workers 16] [--price 4.00] [--json FILE]

The photographs are scaled to 500 x 375, written as JPEG, and linked until there are as many as
asked for, 1,000 to a folder; the page cache holds them. ``detect``, ``obfuscate`` and ``verify``
run in this process, as ``veilset run`` does, after a start with a few images that is not timed.
Meanwhile ``nvidia-smi`` tells twice a second how busy the GPU is. ``--device cpu`` does the same
without one, to try the program. The last lines set the speed beside the face study of ImageNet,
whose detector took one day and about $1,500 for 1,431,093 images.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps

import veilset
from veilset.engine.threads import usable_cores
from veilset.runs import RunSummary

SIZE_WH = (500, 375)
PER_FOLDER = 1000
MAX_LINKS = 1000
STUDY_IMAGES, STUDY_HOURS, STUDY_DOLLARS = 1_431_093, 24.0, 1500.0
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
QUERY = ("nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits")


@dataclass(slots=True)
class Use:
    """What ``nvidia-smi`` said, one number for each time it was asked.

    Attributes:
        busy: Percent of the time in which a kernel ran.
        memory_mib: Memory in use.
    """

    busy: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)


def describe_gpu() -> str:
    """Give name and driver of the GPU; end the program where there is none."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(
            "No NVIDIA GPU answers here (nvidia-smi), so nothing was measured. Run this on a "
            "machine with one, or try the program with --device cpu."
        ) from None
    return done.stdout.splitlines()[0]


@contextmanager
def watched(device: str) -> Iterator[Use]:
    """Ask for the use of the first GPU while the block lasts."""
    use = Use()
    if device != "cuda":
        yield use
        return
    with tempfile.TemporaryFile("w+") as answers:
        watcher = subprocess.Popen([*QUERY, "--id=0", "--loop-ms=500"], stdout=answers)
        try:
            yield use
        finally:
            watcher.terminate()
            watcher.wait()
        answers.seek(0)
        for line in answers:
            try:
                busy, memory = map(float, line.split(","))
            except ValueError:
                continue  # the last line, cut off; or a GPU that does not tell
            use.busy.append(busy)
            use.memory_mib.append(memory)


def make_set(photos: Path, folder: Path, n_images: int) -> int:
    """Write the data set; give the number of photographs that differ."""
    found = [path for path in sorted(photos.rglob("*")) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise SystemExit(f"{photos} holds no photograph. Give a folder with some.")
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for number in range(n_images):
        which = number % len(found)
        # A file takes a limited number of links: then begin with a new copy.
        source = sources / f"{which}-{number // len(found) // MAX_LINKS}.jpg"
        if not source.exists():
            with Image.open(found[which]) as picture:
                upright = ImageOps.exif_transpose(picture).convert("RGB")
                ImageOps.fit(upright, SIZE_WH).save(source, quality=90)
        link = folder / "photos" / f"{number // PER_FOLDER:05d}" / f"{number:08d}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, link)
    return min(len(found), n_images)


def stages(folder: Path, options: argparse.Namespace) -> dict[str, Callable[[], RunSummary]]:
    """Give the three stages over the data set of a folder."""
    photos, out = folder / "photos", folder / "out"
    annotations = folder / "out.veilset" / "annotations"
    common = {"device": options.device, "precision": options.precision}
    detection = veilset.DetectConfig(effort=options.effort, **common)
    verification = veilset.VerifyConfig(recheck=options.recheck, **common)
    workers = options.workers
    return {
        "detect": lambda: veilset.detect_dataset(photos, annotations, detection, workers=workers),
        "obfuscate": lambda: veilset.obfuscate_dataset(photos, annotations, out, workers=workers),
        "verify": lambda: veilset.verify_dataset(
            photos, out, annotations, verification, workers=workers
        ),
    }


def measure(folder: Path, options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Run every stage once; say how long it took, on what, and how busy the GPU was."""
    found: dict[str, dict[str, object]] = {}
    for name, stage in stages(folder, options).items():
        start = time.perf_counter()
        with watched(options.device) as use:
            summary = stage()
        seconds = time.perf_counter() - start
        steps = sorted(summary.seconds.items(), key=lambda each: -each[1])[:3]
        row = {
            "seconds": seconds,
            "images_per_s": options.images / seconds,
            "gpu_busy_percent": statistics.fmean(use.busy) if use.busy else None,
            "gpu_memory_mib": max(use.memory_mib, default=None),
            "counts": dict(summary.counts),
            "thread_seconds": dict(steps),
        }
        found[name] = row
        busy = f"GPU {row['gpu_busy_percent']:.1f} % busy" if use.busy else "GPU not told"
        most = ", ".join(f"{step} {spent:.1f}" for step, spent in steps)
        print(
            f"{name:<10} {seconds:8.1f} s {row['images_per_s']:8.1f} images/s   {busy}   "
            f"thread-seconds: {most}",
            flush=True,
        )
    return found


def project(n_images: int, seconds: float, price: float) -> dict[str, float]:
    """Say what the images of the face study would take at this speed."""
    hours = STUDY_IMAGES / n_images * seconds / 3600
    return {
        "images_per_s": n_images / seconds,
        "hours": hours,
        "dollars": hours * price,
        "times_faster_than_the_study": STUDY_HOURS / hours,
        "times_cheaper_than_the_study": STUDY_DOLLARS / (hours * price),
    }


def main() -> None:
    """Measure, print a table, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--effort", default="fast")
    parser.add_argument("--precision", default="fast")
    parser.add_argument("--recheck", default="sample", help="what verify searches again")
    parser.add_argument("--price", type=float, default=4.0, help="dollars an hour of the machine")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    device = describe_gpu() if options.device == "cuda" else "no GPU (--device cpu)"
    with tempfile.TemporaryDirectory() as place:
        warm, timed = Path(place) / "warm", Path(place) / "timed"
        n_different = make_set(options.photos, timed, options.images)
        make_set(options.photos, warm, min(64, options.images))
        print(f"{options.images:,} images, {n_different:,} different, {device}", flush=True)
        for stage in stages(warm, options).values():
            stage()
        found = measure(timed, options)
    seconds = sum(float(str(row["seconds"])) for row in found.values())
    projected = project(options.images, seconds, options.price)
    print(
        f"whole      {seconds:8.1f} s {projected['images_per_s']:8.1f} images/s\n"
        f"{STUDY_IMAGES:,} images at this speed: {projected['hours']:.2f} h, "
        f"${projected['dollars']:,.2f} at ${options.price:.2f} an hour; the study's detector took "
        f"{STUDY_HOURS:.0f} h and about ${STUDY_DOLLARS:,.0f}"
    )
    settings = {name: str(value) for name, value in vars(options).items() if name != "json"}
    result = {"device": device, "settings": settings, "stages": found, "projected": projected}
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
