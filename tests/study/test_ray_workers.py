# SPDX-License-Identifier: Apache-2.0
"""Studies on a Ray cluster: the results of one machine, whoever dies."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.clusters import add_node, bare_cluster
from tests.conftest import IS_THOROUGH
from tests.study.drawn_runs import drawn_config, drawn_study
from veilset.cli.app import app
from veilset.engine.same_places import sight
from veilset.errors import ConfigError, ResumeMismatchError, RunError, UnknownPluginError
from veilset.files import sha256_file
from veilset.packages import package_versions
from veilset.protocols import EngineSettings, Places
from veilset.study import ray_workers, records
from veilset.study.claims import claim
from veilset.study.one_run import WEIGHTS
from veilset.study.plan import Study
from veilset.study.ray_actor import Ended, Orders, Ready, StudyActor
from veilset.study.ray_workers import work_on_cluster
from veilset.study.recipe import Recipe
from veilset.study.work import Counts, Event, Options, work_through
from veilset.study.workers import find_workers

FIRST, SECOND = "tiny.original.s1", "tiny.dark.s1"


def long_recipe(base: Path) -> Recipe:
    """Give one that is still at work when somebody has heard of it."""
    return replace(drawn_config(base).recipe, epochs=60)


def results(study: Study) -> dict[str, str]:
    """Give the digests of weights and predictions."""
    found = {}
    for run in study.plan.runs:
        found[run.run_id] = sha256_file(study.paths.run(run.run_id) / WEIGHTS)
        path = study.paths.predictions(run.run_id, run.setting)
        found[f"{run.run_id} predictions"] = sha256_file(path)
    return found


def left_behind(study: Study) -> list[str]:
    return [path.name for path in study.folder.iterdir() if path.name.startswith(".")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster with two nodes of one core each."""
    with bare_cluster() as bare:
        add_node(bare)
        add_node(bare)
        yield bare


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two long runs that one process worked through."""
    base = tmp_path_factory.mktemp("done")
    study = drawn_study(base, recipe=long_recipe(base))
    assert work_through(study, "cpu", Options()) == Counts(2, 2, 0, 0)
    return study


def work(
    cluster: Any,
    study: Study,
    on_event: Callable[[Event], None] = lambda _: None,
    options: Options = Options(),  # noqa: B008  frozen
) -> Counts:
    settings = EngineSettings("ray", address=cluster.address)
    return work_on_cluster(study, settings, "auto", options, on_event)


@pytest.mark.parametrize("victim", ["actor", "node"] if IS_THOROUGH else ["actor"])
def test_who_dies_over_a_run_is_followed_by_another(
    cluster: Any, done: Study, tmp_path: Path, victim: str
) -> None:
    study = drawn_study(tmp_path, recipe=long_recipe(tmp_path), checkpoint_every_s=0.01)
    killed, events = list[str](), list[Event]()

    def kill(event: Event) -> None:
        events.append(event)
        # A checkpoint follows a step that was told.
        if event.progress and event.progress.step > 1 and not killed:
            killed.append(event.run_id)
            if victim == "actor":
                os.kill(event.worker, signal.SIGKILL)
            else:
                cluster.remove_node(node_of(cluster, event.worker), allow_graceful=False)

    assert work(cluster, study, kill) == Counts(2, 2, 0, 0)
    if victim == "node":
        add_node(cluster)
    assert results(study) == results(done)
    for run_id in (FIRST, SECOND):
        workers = [e.worker for e in events if (e.kind, e.run_id) == ("started", run_id)]
        n_sessions = 2 if run_id == killed[0] else 1
        assert len(set(workers)) == len(workers) == n_sessions
        record = records.read_run(study.paths.run(run_id))
        assert record is not None
        assert record.work.sessions == n_sessions
    assert left_behind(study) == []


def node_of(cluster: Any, process_id: int) -> Any:
    """Give the node whose raylet has started a process."""
    parent = int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[1])
    for node in cluster.list_all_nodes():
        if any(
            each.process.pid == parent
            for processes in node.all_processes.values()
            for each in processes
        ):
            return node
    raise AssertionError(f"no node has started {process_id}")


def test_asked_to_end_it_leaves_checkpoints(cluster: Any, done: Study, tmp_path: Path) -> None:
    study = drawn_study(tmp_path, recipe=long_recipe(tmp_path), checkpoint_every_s=600)
    events = []

    def ask(event: Event) -> None:
        events.append(event)
        if event.progress and event.progress.step == 1:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        work(cluster, study, ask, Options(FIRST))
    assert [event.kind for event in events if event.run_id != FIRST] == []
    assert events[-1].kind == "stopped"
    assert (study.paths.run(FIRST) / "checkpoint.json").exists()
    assert left_behind(study) == []
    assert work_through(study, "cpu", Options()) == Counts(2, 2, 0, 0)
    assert results(study) == results(done)


def test_a_run_that_kills_every_worker_fails_and_the_others_go_on(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each death costs the start of a process with PyTorch.
    monkeypatch.setattr(ray_workers, "MAX_DEATHS", 2)
    study, killed = drawn_study(tmp_path), set[int]()

    def kill(event: Event) -> None:
        if event.kind == "started" and event.run_id == FIRST:
            os.kill(event.worker, signal.SIGKILL)
            killed.add(event.worker)

    assert work(cluster, study, kill) == Counts(2, 1, 1, 0)
    assert len(killed) == 2
    failure = records.read_failure(study.paths.run(FIRST))
    assert failure is not None
    assert failure.message.startswith(f"2 workers died over {FIRST} without getting further")


def test_what_stops_a_worker_is_told_as_by_one_machine(done: Study, tmp_path: Path) -> None:
    study = drawn_study(tmp_path)
    study.paths.run(FIRST).mkdir(parents=True)
    started = done.paths.run(FIRST) / "started.json"
    (study.paths.run(FIRST) / "started.json").write_bytes(started.read_bytes())
    places = Places(study.folder, writes=(study.folder,))
    orders = Orders(study, sight(places, ""), package_versions(), "cpu", "", keep=False)
    actor = StudyActor()
    ready = actor.start(orders)
    assert isinstance(ready, Ready)
    assert claim(ready.held) is None
    actor.work(orders, None)
    assert claim(ready.held) is not None
    ended = actor.told(0)[-1]
    assert isinstance(ended, Ended)
    assert ended.broken is not None
    with pytest.raises(ResumeMismatchError, match=f"Cannot resume {FIRST}"):
        raise ended.broken.error


def test_a_node_with_other_packages_or_locks_is_refused(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = drawn_study(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(ray_workers, "claim", lambda _: nullcontext())
        with pytest.raises(RunError, match=r"A lock of the node \S+ in .*out does not hold"):
            work(cluster, study, options=Options(FIRST))
    versions = package_versions() | {"torch": "1.0"}
    monkeypatch.setattr(ray_workers, "package_versions", lambda: versions)
    with pytest.raises(RunError, match=r"has torch \S+, this machine 1\.0: results could differ"):
        work(cluster, study)
    assert not (study.folder / "runs").exists()
    assert left_behind(study) == []


def test_no_run_is_begun_after_the_deadline(cluster: Any, tmp_path: Path) -> None:
    study = drawn_study(tmp_path)
    assert work(cluster, study, options=Options(deadline=time.monotonic())).left == 2
    assert not (study.folder / "runs").exists()


def test_workers_that_fit_nowhere_are_refused(cluster: Any, tmp_path: Path) -> None:
    study = drawn_study(tmp_path, threads=2, workers=3)
    with pytest.raises(ConfigError, match=r"5 cores and 0 GPUs: .* Lower threads and workers in"):
        work(cluster, study)
    settings = EngineSettings("ray", address=cluster.address)
    with pytest.raises(ConfigError, match="4 cores and 1 GPUs: the largest has 1 cores and 0"):
        work_on_cluster(study, settings, "cuda", Options(), lambda _: None)


@pytest.mark.parametrize(
    ("engine", "devices", "processes", "says"),
    [
        (EngineSettings("ray"), "cuda:0,cuda:1", 1, "give auto, cpu or cuda: Ray chooses"),
        (EngineSettings("ray"), "auto", 2, "--processes is for the local engine"),
        (EngineSettings("ray", n_gpus=2), "auto", 1, "--gpus is 2, and a run works on one"),
        (EngineSettings("ray", n_gpus=1), "cpu", 1, "--gpus is not for --devices cpu"),
        (EngineSettings("ray", address="ray://a:1"), "auto", 1, "one of Ray's clients"),
        (EngineSettings("local", address="auto"), "cpu", 1, "knows no --address"),
        (EngineSettings("local", n_gpus=1), "cpu", 1, "knows no --gpus"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    engine: EngineSettings, devices: str, processes: int, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        find_workers(engine, devices, processes)


def test_an_engine_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownPluginError, match="'rai'"):
        find_workers("rai", "cpu", 1)
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = CliRunner().invoke(app, ["study", "run", "no.yaml", "--engine", "ray"])
    assert "pip install 'veilset[ray]'" in str(ended.exception)
