# SPDX-License-Identifier: Apache-2.0
"""What an update costs beside a run from scratch: some photographs are added to a release.

    python benchmarks/update.py PHOTOS NEW [--n-new 10] [--rounds 3] [--effort balanced]

PHOTOS are released once. Each round adds the first of NEW to a copy of that release with
``veilset run --update``, and releases all of them from scratch, one after the other on the same
machine; ratios are taken within a round. Times are those of whole processes, start-up included;
CPU seconds are of all their threads. Both have to give the same output and the same tables.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("veilset")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def pictures(folder: Path) -> list[Path]:
    """Give the photographs below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def copy(files: list[Path], source: Path, target: Path) -> None:
    """Copy photographs with the folders they lie in."""
    for path in files:
        to = target / path.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)


def release(photos: Path, out: Path, *options: str) -> tuple[float, float]:
    """Run ``veilset run``; give wall-clock and CPU seconds."""
    command = [PROGRAM, "run", photos, out, "--quiet", "--json", *options]
    started = time.monotonic()
    with Path(out.with_suffix(".json")).open("wb") as stdout:
        process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - started
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        raise SystemExit(f"{' '.join(map(str, command))} failed.")
    return wall_s, usage.ru_utime + usage.ru_stime


def results(out: Path) -> dict[str, bytes]:
    """Give the output, the tables and the release manifest."""
    record = out.with_name(out.name + ".veilset")
    found = {f"out/{p.relative_to(out)}": p.read_bytes() for p in out.rglob("*") if p.is_file()}
    for stage in ("annotations", "obfuscate", "verify"):
        files = [*(record / stage).glob("*.parquet"), *(record / stage).glob("manifest.json")]
        found |= {f"{stage}/{p.name}": p.read_bytes() for p in files}
    return found


def measure(work: Path, args: argparse.Namespace) -> None:
    """Do the rounds, and print what they took."""
    photos, old = work / "photos", pictures(args.photos)
    new = pictures(args.new)[: args.n_new]
    copy(old, args.photos, photos)
    effort = ("--effort", args.effort)
    release(photos, work / "base", *effort)
    copy(new, args.new, photos / "new")
    ratios: dict[str, list[float]] = {"wall": [], "CPU": []}
    for number in range(1, args.rounds + 1):
        out, scratch = work / f"update-{number}", work / f"scratch-{number}"
        for ending in ("", ".veilset"):
            shutil.copytree(work / f"base{ending}", work / f"{out.name}{ending}")
        update_s = release(photos, out, *effort, "--update")
        scratch_s = release(photos, scratch, *effort)
        if results(out) != results(scratch):
            raise SystemExit(f"Round {number}: the update gave something else.")
        counts = json.loads(out.with_suffix(".json").read_bytes())
        reused = [counts[stage]["counts"]["reused"] for stage in ("detect", "obfuscate", "verify")]
        for name, ours, theirs in zip(ratios, update_s, scratch_s, strict=True):
            ratios[name].append(theirs / ours)
            print(f"round {number}, {name}: update {ours:.1f} s, from scratch {theirs:.1f} s")
        print(f"  reused in detect, obfuscate, verify: {reused} of {len(old) + len(new)}")
    for name, values in ratios.items():
        low, high = min(values), max(values)
        middle = statistics.median(values)
        print(f"{name}: {middle:.1f} times faster ({low:.1f} to {high:.1f}, n = {len(values)})")


def main() -> None:
    """Read the arguments, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--n-new", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--effort", default="balanced")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        measure(Path(work), args)


if __name__ == "__main__":
    main()
