# SPDX-License-Identifier: Apache-2.0
"""Images per second of ``veilset run`` beside the command line of deface, in one run.

    python benchmarks/end_to_end.py PHOTOS [--rounds 5] [--recheck touched] [--before CHECKOUT]

Every round runs each program once, one after the other, on the same files; ratios are taken
within a round, because the speed of a shared machine drifts between rounds. Both get virtual
environments of their own (deface with ONNX Runtime, its faster backend). deface detects,
blurs and writes; ``veilset run --effort fast`` detects, obfuscates, verifies and reports. Times are
those of whole processes, start-up included. CPU seconds are of all their threads; they bear
neighbours on the machine better than the wall clock does. ``--before`` names another checkout,
whose programs run in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
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
PROGRAMS: tuple[str, ...] = ("deface", "veilset-full", "veilset-fast")
BEFORE = ("before-full", "before-fast")


def deface_program() -> Path:
    """Give deface's command, installed into an environment of its own."""
    home = WORK / "deface"
    program = home / "bin" / "deface"
    if not program.exists():
        venv.create(home, with_pip=True)
        subprocess.run([home / "bin" / "pip", "install", "--quiet", *DEFACE], check=True)
    return program


def veilset_program(name: str, checkout: Path) -> Path:
    """Give the command of a checkout, installed as users do, without extras."""
    home = WORK / name
    if not (home / "bin" / "pip").exists():
        venv.create(home, with_pip=True)
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


def timed(command: list[str | Path], ok: tuple[int, ...]) -> tuple[float, float]:
    """Run a command and give its seconds, of the wall clock and of the CPU."""
    # A plain "import onnxruntime" reports itself to its maker; nothing here needs that.
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}
    start, cpu_start = time.perf_counter(), cpu_of_children()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds, cpu_seconds = time.perf_counter() - start, cpu_of_children() - cpu_start
    if done.returncode not in ok:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds, cpu_seconds


def cpu_of_children() -> float:
    """Give the CPU seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_once(program: str, source: Path, scratch: Path, recheck: str) -> tuple[float, float]:
    """Run one program on a fresh copy of the photographs; give its seconds."""
    photos = scratch / "photos"
    shutil.copytree(source, photos)
    try:
        if program == "deface":
            return timed([deface_program(), photos], ok=(0,))
        home, precision = program.split("-")
        command = [WORK / home / "bin" / "veilset", "run", photos, scratch / "out"]
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
    parser.add_argument("--before", type=Path, help="another checkout, to run beside this one")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    deface_program()
    veilset_program("veilset", Path(__file__).parents[1])
    programs = PROGRAMS
    if options.before:
        veilset_program("before", options.before)
        programs += BEFORE
    seconds: dict[str, list[float]] = {program: [] for program in programs}
    cpu_seconds: dict[str, list[float]] = {program: [] for program in programs}
    with tempfile.TemporaryDirectory() as folder:
        source, scratch = Path(folder) / "source", Path(folder) / "scratch"
        scratch.mkdir()
        n_images = flat_copy(options.photos, source)
        for number in range(options.rounds):
            for program in programs:
                wall, cpu = run_once(program, source, scratch, options.recheck)
                seconds[program].append(wall)
                cpu_seconds[program].append(cpu)
            line = ", ".join(
                f"{p} {n_images / seconds[p][-1]:.1f}/s ({cpu_seconds[p][-1]:.1f} s CPU)"
                for p in programs
            )
            print(f"round {number + 1}: {line}", flush=True)
    result = {
        "n_images": n_images,
        "rounds": options.rounds,
        "recheck": options.recheck,
        "cores": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "images_per_s": {p: spread([n_images / s for s in seconds[p]]) for p in programs},
        "cpu_s": {p: spread(cpu_seconds[p]) for p in programs},
        "ratio_to_deface": ratios(seconds),
        "cpu_ratio_to_deface": ratios(cpu_seconds),
    }
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def ratios(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Say how many times as fast as deface each program was, round by round."""
    return {
        program: spread([d / s for d, s in zip(seconds["deface"], values, strict=True)])
        for program, values in seconds.items()
    }


if __name__ == "__main__":
    main()
