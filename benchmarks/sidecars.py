# SPDX-License-Identifier: Apache-2.0
"""What it costs to read COCO's JSON and lists, and to write them without an image.

python benchmarks/sidecars.py [--megabytes 450] [--lines 1281167] [--repeats 3]

Processor time, and what the peak of resident memory grew by, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from veilset.dataset.coco import CocoReader
from veilset.dataset.listed import ListReader


def write_json(path: Path, n_bytes: int) -> None:
    """Write a JSON with an outline of 40 numbers for each of seven boxes of an image."""
    draw = random.Random(0).random
    outline = [round(draw() * 500, 2) for _ in range(40)]
    (path.parent / "0.jpg").touch()
    with path.open("w") as stream:
        stream.write('{"images": [{"id": 0, "file_name": "0.jpg", "width": 640}')
        n_images = n_bytes // 2800
        for n in range(1, n_images):
            stream.write(f', {{"id": {n}, "file_name": "{n:012d}.jpg", "width": 640}}')
        stream.write('], "annotations": [{"id": -1, "image_id": 0}')
        for n in range(7 * n_images):
            entry = {"id": n, "image_id": n // 7, "segmentation": [outline], "bbox": outline[:4]}
            stream.write(", " + json.dumps(entry))
        stream.write("]}")


def write_list(path: Path, n_lines: int) -> None:
    """Write a list as of ImageNet, in a random order."""
    names = [f"train/n{n % 1000:08d}/n{n % 1000:08d}_{n}.JPEG {n % 1000}" for n in range(n_lines)]
    random.Random(0).shuffle(names)
    path.write_text("\n".join(names))


def _drain(path: Path) -> None:
    for sidecar in CocoReader(path.parent).sidecars():
        for _ in sidecar.released({"0.jpg"}):
            pass


WORK: dict[str, Callable[[Path], object]] = {
    "json.loads of the standard library": lambda path: json.loads(path.read_bytes()),
    "JSON read": lambda path: CocoReader(path.parent).sidecars(),
    "JSON read, and written without one image": _drain,
    "list read and sorted": lambda path: ListReader(path).count(),
    "list written without one image": lambda path: sum(
        map(len, ListReader(path).list_file.released({"0.jpg"}))
    ),
}


def measure(name: str, path: Path) -> None:
    """Do one piece of work in this process; print seconds and MiB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    WORK[name](path)
    seconds = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{seconds:.3f} {grown:.1f}")


def main() -> None:
    """Print each piece of work with its repeats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=450)
    parser.add_argument("--lines", type=int, default=1_281_167)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        measure(options.only[0], Path(options.only[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        told, listed = Path(folder) / "x.json", Path(folder) / "x.txt"
        write_json(told, options.megabytes * 1_000_000)
        write_list(listed, options.lines)
        for name in WORK:
            path = listed if name.startswith("list") else told
            for _ in range(options.repeats):
                words = (sys.executable, __file__, "--only", name, path)
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                seconds, grown = map(float, done.stdout.split())
                rate = path.stat().st_size / 1e6 / seconds
                print(f"{name}: {seconds:.2f} s, {rate:.0f} MB/s, {grown:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
