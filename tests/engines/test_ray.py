# SPDX-License-Identifier: Apache-2.0
"""The Ray engine where nodes and actors die, do not fit, or are not what they should be."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import STORE_BYTES, add_node
from tests.engines.tasks import PER_SHARD, Tally, WritingTask, make_shards
from veilset.engine import ray as ray_engine
from veilset.engine import ray_cluster
from veilset.engine.local import LocalEngine
from veilset.errors import ConfigError, RunError
from veilset.packages import package_versions
from veilset.plugins import make_engine
from veilset.protocols import Engine, EngineSettings, ShardReport

Digests = dict[int, str]


def engine_of(cluster: Any, n_threads: int = 1) -> Engine:
    return make_engine(EngineSettings("ray", address=cluster.address), n_threads=n_threads)


def digests(reports: list[ShardReport]) -> Digests:
    return {report.index: report.digest for report in reports}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Digests:
    task = WritingTask(tmp_path_factory.mktemp("local"))
    return digests(list(LocalEngine().run(task, make_shards(16), tick=Tally())))


def test_a_node_killed_in_the_middle_costs_nothing(
    cluster: Any, tmp_path: Path, expected: Digests
) -> None:
    victim = add_node(cluster)
    tally = Tally()
    reports = []
    n_built = 0
    for report in engine_of(cluster).run(WritingTask(tmp_path, 0.1), make_shards(16), tick=tally):
        reports.append(report)
        n_built = len(list(tmp_path.glob("built-*")))
        if n_built == 3 and victim in cluster.list_all_nodes():
            cluster.remove_node(victim, allow_graceful=False)
    assert victim not in cluster.list_all_nodes(), "it was never used"
    assert len(reports) == 16
    assert digests(reports) == expected
    assert (tally.n_done, tally.n_failed) == (16 * PER_SHARD, 16 * PER_SHARD // 2)


def test_an_actor_killed_over_a_shard_costs_nothing(
    cluster: Any, tmp_path: Path, expected: Digests
) -> None:
    tally = Tally()
    task = WritingTask(tmp_path, 0.05, bad_shard=5, n_deaths=2)
    reports = list(engine_of(cluster).run(task, make_shards(16), tick=tally))
    assert len(list(tmp_path.glob("died-*"))) == 2
    assert len(reports) == 16
    assert digests(reports) == expected
    assert tally.n_done == 16 * PER_SHARD
    assert {len(path.read_text().split()) for path in tmp_path.glob("did-*")} == {1}


def test_a_shard_that_kills_every_actor_is_named(cluster: Any, tmp_path: Path) -> None:
    task = WritingTask(tmp_path, 0.01, bad_shard=3, n_deaths=99)
    with pytest.raises(RunError, match=r"3 actors died over shard 3 \('003/0.jpg' to '003/3.jpg'"):
        list(engine_of(cluster).run(task, make_shards(16), tick=Tally()))
    assert len(list(tmp_path.glob("died-*"))) == 3


def test_progress_is_told_while_a_shard_is_worked_on(cluster: Any, tmp_path: Path) -> None:
    tally = Tally()
    list(engine_of(cluster).run(WritingTask(tmp_path, 0.4), make_shards(1), tick=tally))
    assert tally.n_calls > 1
    assert tally.n_done == PER_SHARD


def test_an_error_that_cannot_travel_is_told_without_its_text(cluster: Any, tmp_path: Path) -> None:
    task = WritingTask(tmp_path, bad_shard=0, error="unpicklable")
    says = r"stopped the work on the node .* \(UnpicklableError\)"
    with pytest.raises(RunError, match=says) as caught:
        list(engine_of(cluster).run(task, make_shards(2), tick=Tally()))
    told = str(caught.value) + "".join(caught.value.__notes__)
    assert tmp_path.name not in told
    assert "tasks.py" in told


def test_a_path_that_a_node_does_not_see_is_named(cluster: Any, tmp_path: Path) -> None:
    # What /proc/self leads to is another folder in every process.
    own = Path(f"/proc/self/task/{os.getpid()}")
    task = WritingTask(tmp_path, reads=(own,))
    with pytest.raises(RunError, match=rf"The node \S+ does not see {own}\. Every node"):
        list(engine_of(cluster).run(task, make_shards(2), tick=Tally()))


def test_a_node_with_another_version_is_refused(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = package_versions() | {"pillow": "1.0"}
    monkeypatch.setattr(ray_engine, "package_versions", lambda: versions)
    with pytest.raises(RunError, match=r"has pillow \S+, this machine 1\.0: results could differ"):
        list(engine_of(cluster).run(WritingTask(tmp_path), make_shards(2), tick=Tally()))


def test_an_actor_that_fits_nowhere_is_refused(cluster: Any, tmp_path: Path) -> None:
    engine = engine_of(cluster, n_threads=7)
    with pytest.raises(ConfigError, match="actor of 7 cores and 0 GPUs: the largest has 1 cores"):
        list(engine.run(WritingTask(tmp_path), make_shards(2), tick=Tally()))


def test_an_actor_with_a_gpu_runs_where_one_is(cluster: Any, tmp_path: Path) -> None:
    # Ray believes what a node says it has.
    node = cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=STORE_BYTES)
    try:
        settings = EngineSettings("ray", address=cluster.address, n_gpus=1)
        engine = make_engine(settings, n_threads=1)
        list(engine.run(WritingTask(tmp_path, 0.02), make_shards(6), tick=Tally()))
    finally:
        cluster.remove_node(node)
    assert [path.read_text() for path in tmp_path.glob("built-*")] == ["0"]
    assert len(list(tmp_path.glob("shard-*"))) == 6


def test_a_gpu_that_nobody_has_is_asked_for_in_vain(cluster: Any, tmp_path: Path) -> None:
    engine = make_engine(EngineSettings("ray", address=cluster.address, n_gpus=1), n_threads=1)
    with pytest.raises(ConfigError, match="actor of 1 cores and 1 GPUs: the largest has 1 cores"):
        list(engine.run(WritingTask(tmp_path), make_shards(2), tick=Tally()))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (EngineSettings("ray", address="ray://head:10001"), "one of Ray's clients"),
        (EngineSettings("ray", address="head"), "Give auto, local, or HOST:PORT"),
        (EngineSettings("ray", n_gpus=1.5), r"--gpus is 1\.5"),
        (EngineSettings("ray", n_gpus=-1), "--gpus is -1"),
        (EngineSettings("local", address="auto"), "knows no --address"),
        (EngineSettings("ray", n_processes=2), "--processes is for the local engine"),
        (EngineSettings("local", n_gpus=1), "knows no --gpus"),
        (EngineSettings("local", n_processes=2), "--processes is 2, with 1 workers"),
        (EngineSettings("local", n_processes=-1), "--processes is -1"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(settings: EngineSettings, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_engine(settings, n_threads=1)


@pytest.mark.parametrize("what", ["nobody", "somebody silent"])
def test_an_address_without_a_cluster_is_named_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(ray_cluster, "_CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        if what == "nobody":
            server.close()
        engine = make_engine(EngineSettings("ray", address=address), n_threads=1)
        with pytest.raises(RunError, match=rf"The Ray cluster at {address} cannot be joined"):
            list(engine.run(WritingTask(tmp_path), make_shards(1), tick=Tally()))


def test_where_no_cluster_runs_the_ways_out_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_found(_address: str) -> str:
        raise ConnectionError("Could not find any running Ray instance.")

    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray._private.services, "canonicalize_bootstrap_address", none_found)
    engine = make_engine("ray", n_threads=1)
    with pytest.raises(RunError, match=r"No Ray cluster runs here\. Start one .* --address local"):
        list(engine.run(WritingTask(tmp_path), make_shards(1), tick=Tally()))
