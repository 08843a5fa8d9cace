# SPDX-License-Identifier: Apache-2.0
"""Real stages in processes and on a cluster: the same bytes as in one process."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demo_photos import make_photos
from tests.conftest import REPOSITORY
from veilset import DetectConfig, EngineSettings, ObfuscateConfig, RunConfig, run_dataset
from veilset.verify.config import VerifyConfig

CONFIG = RunConfig(
    detect=DetectConfig(effort="fast", shard_size=3),
    obfuscate=ObfuscateConfig(shard_size=3),
    verify=VerifyConfig(effort="fast", second_detectors=(), shard_size=3),
)


def digests(out: Path) -> dict[str, str]:
    """Give the digest of every file of the output and of every table of its record."""
    record = out.with_name(out.name + ".veilset")
    files = {path.relative_to(out): path for path in out.rglob("*")}
    files |= {path.relative_to(record): path for path in record.rglob("*.parquet")}
    files |= {path.relative_to(record): path for path in record.rglob("manifest.*")}
    return {
        str(name): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if path.is_file()
    }


@pytest.mark.slow
def test_a_release_is_the_same_to_the_byte(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photos(tmp_path / "photos")
    # Relative paths mean the same to the actors, whose own folder is another one.
    monkeypatch.chdir(tmp_path)
    near = run_dataset("photos", "near", CONFIG, workers=2)
    expected = digests(tmp_path / "near")
    assert len(expected) > 11
    for out, workers, engine in (
        ("far", 1, EngineSettings("ray", address=cluster.address)),
        ("beside", 2, EngineSettings("local", n_processes=2)),
    ):
        done = run_dataset("photos", out, CONFIG, workers=workers, engine=engine)
        assert digests(tmp_path / out) == expected
        assert done.verify.counts == near.verify.counts
        assert done.obfuscate.counts == near.obfuscate.counts


def veilset(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = f"{code}\nimport sys\nfrom veilset.cli import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=120,
    )  # fmt: skip


def test_without_ray_the_command_says_what_to_install(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    out = tmp_path / "annotations"
    done = veilset(
        "detect", str(tmp_path / "photos"), "--out", str(out), "--engine", "ray",
        code="import sys; sys.modules['ray'] = None",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.strip().endswith(
        "The Ray engine is not installed. Install it with: pip install 'veilset[ray]'"
    )
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_the_command_line_says_nothing_of_ray_and_leaves_the_environment(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    make_photos(tmp_path / "photos")
    out = tmp_path / "annotations"
    watch = (
        "import atexit, os, sys\n"
        "before = dict(os.environ)\n"
        "seen = set()\n"
        "def hook(event, args):\n"
        "    if event == 'socket.getaddrinfo': seen.add(str(args[0]))\n"
        "    if event == 'socket.connect' and isinstance(args[1], tuple): seen.add(args[1][0])\n"
        "sys.addaudithook(hook)\n"
        "atexit.register(lambda: print(sorted(seen), "
        "set(os.environ.items()) ^ set(before.items())))\n"
    )
    done = veilset(
        "detect", str(tmp_path / "photos"), "--out", str(out), "--effort", "fast", "--quiet",
        "--engine", "ray", "--address", "local", "--workers", str(len(os.sched_getaffinity(0))),
        code=watch,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts, time = done.stderr.splitlines()
    assert counts == "detect: 11 looked, 22 regions, 8 with regions"
    assert re.fullmatch(
        r"detect: [\d.]+ s, bottleneck: detect, \d+% of the work of the cores", time
    )
    place, talk = done.stdout.splitlines()
    assert place == str(out)
    assert talk == "[] set()"
