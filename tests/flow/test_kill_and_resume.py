# SPDX-License-Identifier: Apache-2.0
"""Killed at any instant, the same command finishes the work, with the same result."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo_photos import make_photos
from tests.conftest import times
from tests.flow.command import command
from veilset.files import PART_PREFIX

N_KILLS = times(8, 20)
PROGRAM = Path(sys.executable).with_name("veilset")


def digests(folder: Path) -> dict[str, str]:
    """Give the digest of every image and every table below a folder and its records."""
    record = folder.with_name(folder.name + ".veilset")
    files = [p for p in folder.rglob("*") if p.is_file()]
    files += [p for p in record.rglob("*.parquet") if p.is_file()]
    root = folder.parent
    return {
        str(p.relative_to(root)).replace(folder.name, "OUT"): hashlib.sha256(
            p.read_bytes()
        ).hexdigest()
        for p in files
    }


def start(photos: Path, out: Path) -> subprocess.Popen[bytes]:
    command: list[str | Path] = [
        PROGRAM,
        "run",
        photos,
        out,
        "--effort",
        "fast",
        "--shard-size",
        "2",
        "--quiet",
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(photos: Path, out: Path) -> float:
    begun = time.monotonic()
    process = start(photos, out)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (0, 3), errors.decode()
    return time.monotonic() - begun


def remove(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(out.with_name(out.name + ".veilset"), ignore_errors=True)


def kill_and_finish(photos: Path, out: Path, n_kills: int, within_s: float, seed: int) -> int:
    """Kill the command so many times, then let it finish; give how often it was too quick."""
    chance = random.Random(seed)
    n_finished = 0
    while n_kills:
        process = start(photos, out)
        try:
            process.communicate(timeout=chance.uniform(0.02, 0.8) * within_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            n_kills -= 1
            continue
        assert process.returncode in (0, 3)
        remove(out)
        n_finished += 1
    finish(photos, out)
    return n_finished


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_random_instants_the_result_is_the_same(tmp_path: Path) -> None:
    photos, whole = tmp_path / "photos", tmp_path / "whole"
    make_photos(photos)
    finish(photos, whole)  # the first run fills the caches of the system
    remove(whole)
    typical_s = finish(photos, whole)
    expected = digests(whole)
    assert len(expected) > 11
    # Two at a time: most of the time of each goes into one thread that starts up.
    outs = [tmp_path / "killed-1", tmp_path / "killed-2"]
    with ThreadPoolExecutor(2) as both:
        list(both.map(
            lambda job: kill_and_finish(photos, job[1], N_KILLS // 2, typical_s, job[0]),
            enumerate(outs),
        ))  # fmt: skip
    for out in outs:
        assert digests(out) == expected
        for original in photos.rglob("*.*"):
            assert (out / original.relative_to(photos)).exists()
    assert not list(tmp_path.rglob(f"{PART_PREFIX}*"))


def test_changed_settings_are_refused_with_both_values(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    make_photos(photos)
    finish(photos, out)
    before = digests(out)
    for option, value, says in (
        ("--threshold", "0.61", "threshold"),
        ("--method", "blackout", "'veil'"),
        ("--metadata", "strip", "metadata changed from 'safe' to 'strip'"),
    ):
        words = ("--effort", "fast", "--shard-size", "2", option, value)
        done = command("run", photos, out, *words, code=1)
        assert "Cannot resume the" in done.stderr
        assert says in done.stderr
        assert value in done.stderr
    assert digests(out) == before
