# SPDX-License-Identifier: Apache-2.0
"""How long it takes to import the face annotations of ImageNet, and how much memory.

    python benchmarks/formats.py [--images 1431093] [--shuffled] [--profile]

A file of the released form is drawn: 1,431,093 entries, of which 243,198 have 562,626 boxes,
at most 100 an image. It is imported without the photographs, in a process of its own, and
the counts are compared with those that were drawn; the set is then exported again. CPU
seconds tell more than the clock where others use the machine.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_IMAGES, N_WITH_FACES, N_FACES, CAP = 1_431_093, 243_198, 562_626, 100
PER_CATEGORY, N_VALIDATION = 1_300, 50_000


def faces_per_image(n_images: int, generator: np.random.Generator) -> np.ndarray:
    """Draw how many faces each image has: the study's totals, or as large a share of them."""
    n_with = round(N_WITH_FACES * n_images / N_IMAGES)
    n_faces = round(N_FACES * n_images / N_IMAGES)
    counts = np.minimum(generator.zipf(2.2, n_with), CAP)
    while (excess := int(counts.sum()) - n_faces) != 0:
        able = np.flatnonzero(counts > 1 if excess > 0 else counts < CAP)
        some = generator.choice(able, min(abs(excess), able.size), replace=False)
        counts[some] -= np.sign(excess)
    every = np.zeros(n_images, dtype=int)
    every[generator.choice(n_images, n_with, replace=False)] = counts
    return every


def image_name(number: int, n_training: int) -> str:
    """Give the name of an image as ImageNet has it, training images first."""
    if number >= n_training:
        return f"val/ILSVRC2012_val_{number - n_training + 1:08d}.JPEG"
    wnid = f"n{1_440_764 + number // PER_CATEGORY:08d}"
    return f"train/{wnid}/{wnid}_{number % PER_CATEGORY * 17}.JPEG"


def make(path: Path, n_images: int, *, is_shuffled: bool) -> dict[str, int]:
    """Write the file; give what it holds."""
    generator = np.random.default_rng(7)
    counts = faces_per_image(n_images, generator)
    n_training = max(n_images - N_VALIDATION, n_images // 2)
    order = generator.permutation(n_images) if is_shuffled else np.arange(n_images)
    with path.open("w", encoding="utf-8") as stream:
        for place, number in enumerate(order.tolist()):
            low = generator.uniform(0, (400, 300), (counts[number], 2))
            high = low + generator.uniform(4, 90, low.shape)
            boxes = [
                dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))
                for box in np.hstack([low, high]).tolist()
            ]
            entry = {"url": image_name(number, n_training), "bboxes": boxes}
            stream.write(("[" if place == 0 else ", ") + json.dumps(entry))
        stream.write("]")
    return {
        "looked": n_images,
        "n_regions": int(counts.sum()),
        "with_regions": int((counts > 0).sum()),
    }


def work(verb: str, folder: Path, *, is_profiled: bool) -> None:
    """Do one thing in this process and print what it took."""
    from veilset.annotations.config import ExportConfig, ImportConfig
    from veilset.annotations.exchange import export_annotations, import_annotations

    source, out = folder / "faces.json", folder / "set"
    started, cpu = time.perf_counter(), time.process_time()
    profile = cProfile.Profile()
    if is_profiled:
        profile.enable()
    if verb == "import":
        found = dict(import_annotations(source, None, out, ImportConfig("ilsvrc")).counts)
    else:
        counts = export_annotations(out, folder / "again.json", ExportConfig("ilsvrc"))
        found = {"looked": counts.n_images, "n_regions": counts.n_regions}
    if is_profiled:
        profile.disable()
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    print(json.dumps({
        "found": found,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))  # fmt: skip


def measure(verb: str, folder: Path, drawn: dict[str, int], *, is_profiled: bool) -> None:
    """Do one thing in a process of its own, check what came out, and print a line."""
    done = subprocess.run(
        [sys.executable, __file__, "--work", verb, "--folder", folder]
        + ["--profile"] * is_profiled,
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout.splitlines()[-1])
    wrong = {name: n for name, n in said["found"].items() if drawn.get(name, n) != n}
    if wrong:
        raise SystemExit(f"{verb} gave {wrong}, and {drawn} were drawn.")
    print(
        f"{verb:<7} {said['seconds']:7.1f} s {said['cpu_seconds']:7.1f} CPU s "
        f"{said['peak_mib']:6.0f} MiB",
        flush=True,
    )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=N_IMAGES)
    parser.add_argument("--shuffled", action="store_true", help="entries in no order")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--work", choices=["import", "export"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.folder, is_profiled=options.profile)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = make(folder / "faces.json", options.images, is_shuffled=options.shuffled)
        n_bytes = (folder / "faces.json").stat().st_size
        print(f"{drawn['looked']:,} images, {drawn['n_regions']:,} boxes, {n_bytes / 1e6:.0f} MB")
        for verb in ("import", "export"):
            measure(verb, folder, drawn, is_profiled=options.profile)


if __name__ == "__main__":
    main()
