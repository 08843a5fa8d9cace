# SPDX-License-Identifier: Apache-2.0
"""Killed at any instant and run again, verification comes to the same; it never stands still."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.unit.verify.drawn import QUIET, Planted, Release, make_release, planted_detectors
from veilset.engine.drive import Progress
from veilset.engine.local import LocalEngine
from veilset.errors import ResumeMismatchError, RunError
from veilset.protocols import Shard, ShardReport, ShardTask, Tick
from veilset.runs import read_manifest
from veilset.types import Region
from veilset.verify.stage import VerifyConfig, verify_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    with planted_detectors():
        yield make_release(tmp_path_factory.mktemp("release") / "base")


@pytest.fixture
def release(made: Release, tmp_path: Path) -> Release:
    return made.copy(tmp_path / "copy")


def outputs(release: Release) -> dict[str, bytes]:
    folder = release.record / "verify"
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix == ".parquet" or path.name == "manifest.json"
    }


def test_killed_around_every_write_and_resumed_it_is_the_same(release: Release) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.verify.killing", str(release.base), "2"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    # Four shards of two files each, and what begins and ends the run.
    assert result["n_instants"] >= 20
    assert len(result["digests"]) == 1
    assert len(result["digests"][0]) == 64, "a half-written file was left behind"


@pytest.mark.parametrize("workers", [1, 4])
def test_tables_do_not_depend_on_the_number_of_threads(release: Release, workers: int) -> None:
    release.verify(workers=2)
    expected = outputs(release)
    release.verify(replace(QUIET, seed=1))
    release.verify(workers=workers)
    assert outputs(release) == expected


def test_unchanged_it_stands_without_looking_again(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = release.verify()
    before = read_manifest(release.record / "verify")

    def refuse(self: Planted, images: object) -> list[tuple[Region, ...]]:
        raise AssertionError("it searched again")

    monkeypatch.setattr(Planted, "detect", refuse)
    assert release.verify().counts == first.counts
    assert read_manifest(release.record / "verify") == before


def test_the_work_can_be_carried_to_another_process(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.verify(replace(QUIET, shard_size=2))
    expected = outputs(release)
    run = LocalEngine.run

    def carried(
        self: LocalEngine, task: ShardTask, shards: Iterable[Shard], *, tick: Tick
    ) -> Iterator[ShardReport]:
        packed = (pickle.loads(pickle.dumps(shard)) for shard in shards)
        return run(self, pickle.loads(pickle.dumps(task)), packed, tick=tick)

    monkeypatch.setattr(LocalEngine, "run", carried)
    shutil.rmtree(release.record / "verify")
    release.verify(replace(QUIET, shard_size=2))
    assert outputs(release) == expected


@pytest.mark.parametrize("place", ["photos/b/none.jpg", "out/b/none.jpg"])
def test_changed_since_it_is_verified_anew(release: Release, place: str) -> None:
    assert release.verify().extra["overall"] == "passed"
    path = release.base / place
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert release.verify().extra["overall"] != "passed"
    data[-20] ^= 1
    path.write_bytes(data)
    assert release.verify().extra["overall"] == "passed"


def test_changed_between_two_sessions_it_starts_anew(release: Release) -> None:
    config = replace(QUIET, shard_size=2)
    stop_after(release, config, 2)
    (release.out / "a/one.jpg").write_bytes((release.photos / "a/one.jpg").read_bytes())
    assert release.verify(config).counts["leak"] == 1


class StoppedError(Exception):
    pass


def stop_after(release: Release, config: VerifyConfig, n_done: int) -> None:
    def stop(progress: Progress) -> None:
        if progress.n_done > n_done:
            raise StoppedError

    with pytest.raises(StoppedError):
        verify_dataset(
            release.photos, release.out, release.annotations, config,
            workers=1, on_progress=stop,
        )  # fmt: skip


def test_other_settings_are_refused_for_an_unfinished_run_only(release: Release) -> None:
    config = replace(QUIET, shard_size=2)
    stop_after(release, config, 2)
    with pytest.raises(ResumeMismatchError, match=r"leak_score changed from 0\.6 to 0\.5"):
        release.verify(replace(config, leak_score=0.5))
    release.verify(config)
    release.verify(replace(config, leak_score=0.5))
    manifest = read_manifest(release.record / "verify")
    assert manifest["config"]["leak_score"] == 0.5


def test_a_resumed_run_tells_what_it_did_not_do_again(release: Release) -> None:
    config = replace(QUIET, shard_size=2)
    stop_after(release, config, 4)
    seen: list[Progress] = []
    verify_dataset(
        release.photos, release.out, release.annotations, config, on_progress=seen.append
    )
    assert seen[-1].n_done == seen[-1].n_total == 7
    # Two shards are under way at a time: the second may not have been recorded any more.
    assert seen[0].n_resumed in (2, 4)


def test_an_output_that_changes_meanwhile_is_not_vouched_for(release: Release) -> None:
    def disturb(progress: Progress) -> None:
        (release.out / "late.jpg").write_bytes(b"x")

    with pytest.raises(RunError, match="changed while they were verified"):
        verify_dataset(release.photos, release.out, release.annotations, QUIET, on_progress=disturb)
    assert not (release.record / "verify/run.json").exists()
    assert not (release.record / "verify/manifest.json").exists()
    assert release.verify().extra["overall"] == "leaks"


def test_a_record_inside_the_output_is_refused(release: Release) -> None:
    with pytest.raises(RunError, match="holds no run"):
        verify_dataset(
            release.photos, release.out, release.annotations, QUIET, record=release.base / "x"
        )
    inside = release.out / "records"
    (release.record).rename(inside)
    with pytest.raises(Exception, match="same folder or lie in each other"):
        verify_dataset(release.photos, release.out, release.annotations, QUIET, record=inside)
