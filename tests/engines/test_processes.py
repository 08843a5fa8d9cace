# SPDX-License-Identifier: Apache-2.0
"""The processes of the local engine: chosen, killed, broken, and sharing the cores."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.engines.tasks import MAX_BUILT, PER_SHARD, BusyTask, Tally, WritingTask, make_shards
from veilset.engine import local
from veilset.engine.local import LocalEngine
from veilset.engine.shard_locks import FILE
from veilset.errors import DecodeError, RunError
from veilset.plugins import make_engine
from veilset.protocols import Engine, EngineSettings, Shard
from veilset.types import ImageRecord


@pytest.fixture
def engine() -> Engine:
    return make_engine(EngineSettings("local", n_processes=2), n_threads=2)


def workers(folder: Path) -> set[str]:
    """Give the numbers of the processes that did a shard."""
    return {line for path in folder.glob("did-*") for line in path.read_text().split()}


@pytest.mark.parametrize(
    ("n_shards", "n_threads", "per_process", "n_processes"),
    [(8, 2, 1, 2), (8, 4, 2, 2), (1, 2, 1, 1), (2, 2, 1, 2), (3, 2, 1, 2), (8, 1, 1, 1),
     (8, 3, 2, 1), (4, 3, 1, 3)],
)  # fmt: skip
def test_as_many_as_there_is_work_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    n_shards: int, n_threads: int, per_process: int, n_processes: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(local, "IMAGES_PER_PROCESS", PER_SHARD)
    found = make_engine("local", n_threads=n_threads, threads_per_process=per_process)
    list(found.run(WritingTask(tmp_path), make_shards(n_shards), tick=Tally()))
    pids = {int(path.name[6:]) for path in tmp_path.glob("built-*")}
    assert len(pids) == n_processes
    assert (os.getpid() in pids) == (n_processes == 1)
    assert len(list(tmp_path.glob("did-*"))) == n_shards


def test_little_to_do_is_done_here(tmp_path: Path) -> None:
    list(make_engine("local", n_threads=2).run(WritingTask(tmp_path), make_shards(9), tick=Tally()))
    assert workers(tmp_path) == {str(os.getpid())}


def test_one_that_is_killed_over_a_shard_costs_nothing(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "near").mkdir()
    (tmp_path / "far").mkdir()
    near = list(LocalEngine().run(WritingTask(tmp_path / "near"), make_shards(16), tick=Tally()))
    tally = Tally()
    task = WritingTask(tmp_path / "far", 0.02, bad_shard=5, n_deaths=2)
    far = list(engine.run(task, make_shards(16), tick=tally))
    assert len(list((tmp_path / "far").glob("died-*"))) == 2
    assert {report.index: report.digest for report in far} == {
        report.index: report.digest for report in near
    }
    assert len(far) == 16
    assert (tally.n_done, tally.n_failed) == (16 * PER_SHARD, 16 * PER_SHARD // 2)


def test_a_shard_that_kills_every_process_is_named(engine: Engine, tmp_path: Path) -> None:
    task = WritingTask(tmp_path, 0.01, bad_shard=3, n_deaths=99)
    says = (
        r"3 worker processes died over shard 3 \('003/0.jpg' to '003/3.jpg'; killed by signal 9\)"
        r"\. One of its images may need more memory .* the same command again\."
    )
    with pytest.raises(RunError, match=says):
        list(engine.run(task, make_shards(16), tick=Tally()))
    assert len(list(tmp_path.glob("died-*"))) == 3
    assert not (tmp_path / FILE).exists()


def test_processes_that_do_not_start_are_given_up(engine: Engine, tmp_path: Path) -> None:
    says = r"3 worker processes in a row died while they started \(killed by signal 9\).*memory"
    with pytest.raises(RunError, match=says):
        list(engine.run(WritingTask(tmp_path, error="dies opening"), make_shards(4), tick=Tally()))
    assert not (tmp_path / FILE).exists()


def test_one_that_dies_when_its_work_is_done_is_not_replaced(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = WritingTask(tmp_path, error="dies closing")
    reports = list(engine.run(task, make_shards(4), tick=Tally()))
    assert sorted(report.index for report in reports) == [0, 1, 2, 3]
    assert len(list(tmp_path.glob("built-*"))) == 2 < MAX_BUILT
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert said == ["A worker process has died (killed by signal 9) after its work was done."] * 2
    assert not (tmp_path / FILE).exists()


def test_those_hired_are_dismissed_if_another_cannot_be(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    plain = subprocess.Popen

    def start(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        if started:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        started.append(plain(*args, **options))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", start)
    says = r"worker process cannot be started \(Resource temporarily unavailable\).*--processes"
    with pytest.raises(RunError, match=says):
        list(engine.run(WritingTask(tmp_path), make_shards(4), tick=Tally()))
    assert [process.returncode for process in started] == [-signal.SIGKILL]
    assert not (tmp_path / FILE).exists()


def test_what_stops_one_while_it_starts_is_raised(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="The weights end early"):
        list(engine.run(WritingTask(tmp_path, error="opening"), make_shards(4), tick=Tally()))


def test_an_error_that_cannot_travel_is_told_without_its_text(
    engine: Engine, tmp_path: Path
) -> None:
    task = WritingTask(tmp_path, bad_shard=0, error="unpicklable")
    says = r"stopped the work in a worker process \(UnpicklableError\)"
    with pytest.raises(RunError, match=says) as caught:
        list(engine.run(task, make_shards(2), tick=Tally()))
    told = str(caught.value) + "".join(caught.value.__notes__)
    assert tmp_path.name not in told
    assert "tasks.py" in told


def test_their_log_is_this_process_s(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        list(engine.run(WritingTask(tmp_path), make_shards(4), tick=Tally()))
    said = [(r.name, r.levelname, r.getMessage()) for r in caplog.records]
    assert said == [("veilset.planted", "INFO", "opened it")] * 2


def test_cores_without_work_are_lent(tmp_path: Path) -> None:
    def shards() -> Iterator[Shard]:
        for index, n in enumerate((20, 90)):
            yield Shard(index, tuple(ImageRecord(f"{index}/{i}.jpg") for i in range(n)))

    engine = make_engine(EngineSettings("local", n_processes=2), n_threads=3)
    list(engine.run(BusyTask(tmp_path, 0.05, 3), shards(), tick=Tally()))
    first, second = (
        list(map(int, (tmp_path / f"busy-{index}").read_text().split())) for index in (0, 1)
    )
    # One process has two of the three cores, the other one; who is ready first has the first shard.
    # While another waits, nobody has all cores; over the last one somebody has.
    assert max(first) in (1, 2)
    assert max(second) == 3


def test_a_script_without_a_guard_is_run_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\n"
        "from pathlib import Path\n"
        "from tests.engines.tasks import Tally, WritingTask, make_shards\n"
        "from veilset.plugins import make_engine\n"
        "from veilset.protocols import EngineSettings\n"
        "engine = make_engine(EngineSettings('local', n_processes=2), n_threads=2)\n"
        f"task = WritingTask(Path({str(tmp_path)!r}))\n"
        "print(len(list(engine.run(task, make_shards(4), tick=Tally()))))\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("once\n4\n", 0), done.stderr
