# SPDX-License-Identifier: Apache-2.0
"""A disk that takes no more: one sentence, nothing half-written, and the same command goes on.

The system refuses what makes a file larger than a limit of the process (``RLIMIT_FSIZE``), with
another error than a full disk, at the same places.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo_photos import make_photos
from veilset.files import PART_PREFIX

PROGRAM = Path(sys.executable).with_name("veilset")


def limit(n_bytes: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def run(*words: str | Path, n_bytes: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *words, "--quiet"], capture_output=True, text=True, check=False,
        preexec_fn=limit(n_bytes) if n_bytes else None,
    )  # fmt: skip


def tables(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("shard-*.parquet")}


@dataclass(frozen=True)
class Made:
    photos: Path
    regions: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    base = tmp_path_factory.mktemp("made")
    make_photos(base / "photos")
    done = run("detect", base / "photos", "--effort", "fast", "--out", base / "regions")
    assert done.returncode == 0
    return Made(base / "photos", base / "regions")


def check_stopped(stopped: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert stopped.returncode == 1
    assert "(File too large)" in stopped.stderr or ": File too large." in stopped.stderr
    assert "run the same command again" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not list(folder.rglob(f"{PART_PREFIX}*"))


def test_a_run_that_cannot_even_start(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stopped = run("detect", made.photos, "--effort", "fast", "--out", out, n_bytes=100)
    check_stopped(stopped, tmp_path)
    assert f"{out / 'started.json'} cannot be written" in stopped.stderr


def test_a_table_that_cannot_be_written(made: Made, tmp_path: Path) -> None:
    words: list[str | Path] = ["detect", made.photos, "--effort", "fast", "--out", tmp_path / "out"]
    stopped = run(*words, n_bytes=4_000)
    check_stopped(stopped, tmp_path)
    assert "shard-00000.parquet cannot be written" in stopped.stderr
    assert not (tmp_path / "out" / "run.json").exists()
    assert run(*words).returncode == 0
    assert tables(tmp_path / "out") == tables(made.regions)


def test_images_that_cannot_be_written(made: Made, tmp_path: Path) -> None:
    words: list[str | Path] = ["obfuscate", made.photos, "--annotations", made.regions,
                               "--out", tmp_path / "out"]  # fmt: skip
    check_stopped(run(*words, n_bytes=20_000), tmp_path)
    # What is there is whole: smaller than the limit.
    found = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert all(p.stat().st_size < 20_000 for p in found)
    assert run(*words).returncode == 0
    assert sum(p.is_file() for p in (tmp_path / "out").rglob("*")) == 11
