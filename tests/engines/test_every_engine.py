# SPDX-License-Identifier: Apache-2.0
"""What every engine has to keep, run over all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.tasks import PER_SHARD, Tally, WritingTask, make_shards
from veilset.engine.shard_locks import FILE, ShardLocks
from veilset.errors import DecodeError
from veilset.plugins import list_plugins, make_engine
from veilset.protocols import Engine, EngineSettings, Shard, ShardReport

N_WORKERS = {"local": 1, "local in processes": 2, "ray": 2}
N_OPEN = {"local": 1, "local in processes": 4, "ray": 2}

MakeEngine = Callable[[], Engine]


def test_every_registered_engine_is_run_here() -> None:
    assert {info.name for info in list_plugins("engine")} == {n.split()[0] for n in N_WORKERS}


@pytest.fixture(params=sorted(N_WORKERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(name: str, request: pytest.FixtureRequest) -> Engine:
    if name == "local":
        return make_engine("local", n_threads=1)
    if name == "local in processes":
        return make_engine(EngineSettings("local", n_processes=2), n_threads=2)
    cluster: Any = request.getfixturevalue("cluster")
    return make_engine(EngineSettings(name, address=cluster.address), n_threads=1)


def test_every_shard_is_done_once_by_workers_that_are_built_once(
    engine: Engine, name: str, tmp_path: Path
) -> None:
    tally = Tally()
    reports = list(engine.run(WritingTask(tmp_path, 0.01), make_shards(12), tick=tally))
    assert sorted(report.index for report in reports) == list(range(12))
    assert all(report.n_images == PER_SHARD for report in reports)
    assert (tally.n_done, tally.n_failed) == (12 * PER_SHARD, 12 * PER_SHARD // 2)
    for index in range(12):
        assert len((tmp_path / f"did-{index}").read_text().split()) == 1
    n_built = len(list(tmp_path.glob("built-*")))
    assert n_built == N_WORKERS[name]
    assert len(list(tmp_path.glob("closed-*"))) == n_built


def test_shards_are_not_taken_ahead(engine: Engine, name: str, tmp_path: Path) -> None:
    n_taken = 0

    def shards() -> Iterator[Shard]:
        nonlocal n_taken
        for shard in make_shards(30):
            n_taken += 1
            yield shard

    for n_done, _ in enumerate(engine.run(WritingTask(tmp_path), shards(), tick=Tally()), start=1):
        assert n_taken <= n_done + N_OPEN[name]
    assert n_taken == 30


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ("decode", DecodeError, "The file ends early. Restore it."),
        ("value", ValueError, "seven is too many"),
    ],
)
def test_the_first_exception_stops_the_run_as_it_was_raised(
    engine: Engine, tmp_path: Path, error: str, kind: type[Exception], message: str
) -> None:
    task = WritingTask(tmp_path, 0.02, bad_shard=2, error=error)
    reports: list[ShardReport] = []
    with pytest.raises(kind) as caught:
        reports.extend(engine.run(task, make_shards(200), tick=Tally()))
    assert str(caught.value) == message
    assert type(caught.value) is kind
    if isinstance(caught.value, DecodeError):
        assert caught.value.reason == "truncated"
    assert len(list(tmp_path.glob("did-*"))) < 20


def test_no_shard_is_no_work(engine: Engine, tmp_path: Path) -> None:
    assert list(engine.run(WritingTask(tmp_path), iter(()), tick=Tally())) == []
    assert not (tmp_path / FILE).exists()


def test_a_caller_that_stops_leaves_no_worker_behind(engine: Engine, tmp_path: Path) -> None:
    reports = engine.run(WritingTask(tmp_path, 0.05), make_shards(50), tick=Tally())
    next(reports)
    reports.close()  # type: ignore[attr-defined]  # of every engine, a generator
    with ShardLocks(tmp_path) as locks:
        assert locks.await_none(patience_s=0)
    done = sorted(tmp_path.glob("did-*"))
    time.sleep(0.5)
    assert sorted(tmp_path.glob("did-*")) == done
