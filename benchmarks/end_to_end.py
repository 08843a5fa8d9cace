# SPDX-License-Identifier: Apache-2.0
"""Images per second of ``veilset run`` beside the command line of deface, in one run.

    python benchmarks/end_to_end.py PHOTOS [--rounds 5] [--recheck touched] [--json FILE]

Every round runs each program once, one after the other, on the same files; ratios are taken
within a round, because the speed of a shared machine drifts between rounds. Both get virtual
environments of their own (deface with ONNX Runtime, its faster backend). deface detects,
blurs and writes; ``veilset run --effort fast`` detects, obfuscates, verifies and reports. Times are
those of whole processes, start-up included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
import venv
from pathlib import Path

WORK = Path(__file__).parent / "work"
DEFACE = ("deface==1.5.0", "onnxruntime")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
PROGRAMS = ("deface", "veilset-full", "veilset-fast")


def deface_program() -> Path:
    """Give deface's command, installed into an environment of its own."""
    home = WORK / "deface"
    program = home / "bin" / "deface"
    if not program.exists():
        venv.create(home, with_pip=True)
        subprocess.run([home / "bin" / "pip", "install", "--quiet", *DEFACE], check=True)
    return program


def veilset_program() -> Path:
    """Give the command of this checkout, installed as users do, without extras."""
    home = WORK / "veilset"
    if not (home / "bin" / "pip").exists():
        venv.create(home, with_pip=True)
    checkout = Path(__file__).parents[1]
    subprocess.run([home / "bin" / "pip", "install", "--quiet", checkout], check=True)
    return home / "bin" / "veilset"


def flat_copy(photos: Path, folder: Path) -> int:
    """Copy all photographs into one flat folder, which is all that deface reads."""
    folder.mkdir(parents=True)
    number = 0
    for path in sorted(photos.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            shutil.copyfile(path, folder / f"{number:06d}{path.suffix.lower()}")
            number += 1
    return number


def timed(command: list[str | Path], ok: tuple[int, ...]) -> float:
    """Run a command and give its wall-clock seconds."""
    # A plain "import onnxruntime" reports itself to its maker; nothing here needs that.
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds = time.perf_counter() - start
    if done.returncode not in ok:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds


def run_once(program: str, source: Path, scratch: Path, recheck: str) -> float:
    """Run one program on a fresh copy of the photographs; give its seconds."""
    photos = scratch / "photos"
    shutil.copytree(source, photos)
    try:
        if program == "deface":
            return timed([deface_program(), photos], ok=(0,))
        precision = program.removeprefix("veilset-")
        command = [WORK / "veilset" / "bin" / "veilset", "run", photos, scratch / "out"]
        # A leak that verify finds makes it 3: the work is done all the same.
        settings = ["--effort", "fast", "--precision", precision, "--recheck", recheck, "-q"]
        return timed([*command, *settings], ok=(0, 3))
    finally:
        shutil.rmtree(scratch)
        scratch.mkdir()


def spread(values: list[float]) -> dict[str, float]:
    """Give median, least and greatest of some values."""
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def main() -> None:
    """Measure, print a table, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recheck", default="touched", help="what verify searches again")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    deface_program()
    veilset_program()
    seconds: dict[str, list[float]] = {program: [] for program in PROGRAMS}
    with tempfile.TemporaryDirectory() as folder:
        source, scratch = Path(folder) / "source", Path(folder) / "scratch"
        scratch.mkdir()
        n_images = flat_copy(options.photos, source)
        for number in range(options.rounds):
            for program in PROGRAMS:
                seconds[program].append(run_once(program, source, scratch, options.recheck))
            line = ", ".join(f"{p} {n_images / seconds[p][-1]:.1f}/s" for p in PROGRAMS)
            print(f"round {number + 1}: {line}", flush=True)
    result = {
        "n_images": n_images,
        "rounds": options.rounds,
        "recheck": options.recheck,
        "cores": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "images_per_s": {p: spread([n_images / s for s in seconds[p]]) for p in PROGRAMS},
        "ratio_to_deface": {
            p: spread([d / s for d, s in zip(seconds["deface"], seconds[p], strict=True)])
            for p in PROGRAMS
        },
    }
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
