# SPDX-License-Identifier: Apache-2.0
"""A command with workers is killed, or stopped by Ctrl+C: the next one goes on at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.engines.tasks import Tally, WritingTask, make_shards
from veilset.engine.local import LocalEngine
from veilset.engine.shard_locks import FILE, ShardLocks
from veilset.runs import read_manifest

N_SHARDS = 14


def start(folder: Path, address: str, seconds: float = 0.1) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.engines.driver", str(folder), address]
    return subprocess.Popen(
        [*command, str(N_SHARDS), str(seconds)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def await_entries(folder: Path, process: subprocess.Popen[str], n: int) -> set[str]:
    """Wait until the ledger has some entries; give their names."""
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        names = {path.stem for path in folder.glob("ledger/0*.json")}
        if len(names) >= n:
            return names
        time.sleep(0.02)
    raise AssertionError(process.communicate()[1])


@pytest.fixture(params=["processes", "ray"])
def address(request: pytest.FixtureRequest) -> str:
    """Where the command runs."""
    if request.param == "processes":
        return "processes"
    cluster: Any = request.getfixturevalue("cluster")
    return str(cluster.address)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_the_next_command_goes_on(address: str, tmp_path: Path, how: signal.Signals) -> None:
    folder, local = tmp_path / "run", tmp_path / "local"
    process = start(folder, address)
    kept = await_entries(folder, process, 3)
    process.send_signal(how)
    process.communicate(timeout=30)
    assert process.returncode != 0
    if how is signal.SIGINT:
        assert not (folder / FILE).exists()
    again = start(folder, address)
    out, err = again.communicate(timeout=90)
    assert (again.returncode, out, err) == (0, "", "")
    local.mkdir()
    list(LocalEngine().run(WritingTask(local), make_shards(N_SHARDS), tick=Tally()))
    for path in local.glob("shard-*"):
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert read_manifest(folder)["n_images"] == N_SHARDS * 4
    times = {i: len((folder / f"did-{i}").read_text().split()) for i in range(N_SHARDS)}
    assert all(times[int(name)] == 1 for name in kept)
    # At most what the two workers had in hand was done again.
    assert sum(times.values()) <= N_SHARDS + 6
    assert not (folder / FILE).exists()


@pytest.mark.parametrize("address", ["local", "processes"])
def test_ctrl_c_ends_what_the_command_has_started(address: str, tmp_path: Path) -> None:
    process = start(tmp_path / "run", address)
    await_entries(tmp_path / "run", process, 1)
    # A terminal tells every process of the command.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    with ShardLocks(tmp_path / "run") as locks:
        assert locks.await_none(patience_s=0)
    until = time.monotonic() + 20
    while processes_of(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not processes_of(process.pid)


def processes_of(session: int) -> list[str]:
    """Give the command lines of the processes that were started by a command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found
