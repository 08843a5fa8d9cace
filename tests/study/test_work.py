# SPDX-License-Identifier: Apache-2.0
"""Working through the runs of a study: alone, with others, interrupted, and with failures."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.study.drawn_runs import TINY, drawn_study
from veilset.errors import ConfigError, ResumeMismatchError, RunError
from veilset.files import sha256_file
from veilset.study import records
from veilset.study.claims import claim
from veilset.study.kept import KeptFolder
from veilset.study.layout import read_predictions
from veilset.study.local_workers import work_locally
from veilset.study.one_run import WEIGHTS, is_complete
from veilset.study.plan import Study
from veilset.study.work import Counts, Event, Options, forget_failures, work_through

FIRST, SECOND = "tiny.original.s1", "tiny.dark.s1"


def results(study: Study) -> dict[str, str]:
    """Give the digests of all that a study made, but for times."""
    found = {}
    for run in study.plan.runs:
        found[run.run_id] = sha256_file(study.paths.run(run.run_id) / WEIGHTS)
        for setting in run.evaluate:
            path = study.paths.predictions(run.run_id, setting)
            found[f"{run.run_id} on {setting}"] = sha256_file(path)
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with four runs that one process worked through."""
    study = drawn_study(tmp_path_factory.mktemp("done"), seeds=(1, 2))
    assert work_through(study, "cpu", Options()) == Counts(4, 4, 0, 0)
    return study


def test_a_finished_run_tells_what_it_was(done: Study) -> None:
    folder = done.paths.run(FIRST)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["curve.parquet", "lock", "run.json", "started.json", WEIGHTS]
    record = records.read_run(folder)
    assert record is not None
    assert record.weights_sha256 == sha256_file(folder / WEIGHTS)
    # 24 images in batches of 8, twice.
    assert (record.work.n_steps, record.work.n_images_seen, record.work.sessions) == (6, 48, 1)
    values = json.loads((folder / "run.json").read_bytes())
    assert values["recipe"]["epochs"] == 2
    assert values["machine"]["device"] == "cpu"
    assert values["packages"]["torch"]
    path = done.paths.predictions(FIRST, "original")
    expected = {"run_id": FIRST, "weights_sha256": record.weights_sha256}
    assert read_predictions(path, expected).image_ids == done.lists["val"].image_ids
    # The pictures that were kept are copies of originals.
    assert not (done.folder / ".kept").exists()


def test_what_is_done_is_not_done_again(done: Study) -> None:
    before, events = results(done), list[Event]()
    work_through(done, "cpu", Options(), events.append)
    assert events == []
    assert results(done) == before


def test_settings_and_seeds_differ(done: Study) -> None:
    assert len(set(results(done).values())) == 8


def test_two_processes_share_the_list(done: Study, tmp_path: Path) -> None:
    study, events = drawn_study(tmp_path, seeds=(1, 2)), list[Event]()
    assert work_locally(study, ("cpu", "cpu"), Options(), events.append) == Counts(4, 4, 0, 0)
    started = Counter(event.run_id for event in events if event.kind == "started")
    assert started == {run.run_id: 1 for run in study.plan.runs}
    assert len({event.worker for event in events}) == 2
    assert os.getpid() not in {event.worker for event in events}
    assert results(study) == results(done)


@pytest.mark.parametrize("n_steps", [1, 3, 4])
def test_a_stopped_study_goes_on_with_the_same_result(
    done: Study, tmp_path: Path, n_steps: int
) -> None:
    study, asked = drawn_study(tmp_path, seeds=(1, 2), checkpoint_every_s=1e-9), [0]

    def should_stop() -> bool:
        asked[0] += 1
        # Once before each pass and run, then after each step.
        return asked[0] >= 2 + n_steps

    assert work_through(study, "cpu", Options(), should_stop=should_stop).left == 4
    state = json.loads((study.paths.run(FIRST) / "checkpoint.json").read_bytes())
    assert state["step"] == n_steps
    assert work_through(study, "cpu", Options()).done == 4
    record = records.read_run(study.paths.run(FIRST))
    assert record is not None
    assert record.work.sessions == 2
    assert results(study) == results(done)


def test_a_picture_that_cannot_be_read_stops_its_run_only(tmp_path: Path) -> None:
    study, events = drawn_study(tmp_path, cache_mb=0), list[Event]()
    path = tmp_path / "original" / study.lists["train"].image_ids[5]
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    assert work_through(study, "cpu", Options(), events.append) == Counts(2, 1, 1, 0)
    failure = records.read_failure(study.paths.run(FIRST))
    assert failure is not None
    assert failure.kind == "data"
    assert study.lists["train"].image_ids[5] in failure.message
    assert "original" in failure.message
    assert [event.message for event in events if event.kind == "failed"] == [failure.message]
    assert not (study.paths.run(FIRST) / "run.json").exists()
    # Mended, it is still passed over until somebody asks for it.
    path.write_bytes(whole)
    assert work_through(study, "cpu", Options()) == Counts(2, 1, 1, 0)
    forget_failures(study)
    assert work_through(study, "cpu", Options()) == Counts(2, 2, 0, 0)


def test_a_loss_that_is_not_finite_stops_its_run_only(tmp_path: Path) -> None:
    wild = replace(TINY, name="wild", lr=1e30)
    study = drawn_study(tmp_path, networks=(wild, TINY))
    assert work_through(study, "cpu", Options()) == Counts(4, 2, 2, 0)
    failure = records.read_failure(study.paths.run("wild.original.s1"))
    assert failure is not None
    assert failure.kind == "nan-loss"
    assert "Lower lr of this network in study.yaml" in failure.message
    assert not study.paths.predictions("wild.original.s1", "original").exists()


def test_a_damaged_checkpoint_stops_its_run_only(tmp_path: Path) -> None:
    study = drawn_study(tmp_path)
    work_through(study, "cpu", Options(), should_stop=iter([False] * 4 + [True] * 9).__next__)
    path = next(study.paths.run(FIRST).glob("checkpoint-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert work_through(study, "cpu", Options()) == Counts(2, 1, 1, 0)
    failure = records.read_failure(study.paths.run(FIRST))
    assert failure is not None
    assert failure.kind == "damaged-checkpoint"
    assert path.exists()


def test_a_changed_recipe_is_refused(done: Study) -> None:
    config = replace(done.config, recipe=replace(done.config.recipe, epochs=3))
    study = replace(done, config=config)
    runs = tuple(replace(run, recipe=config.recipe) for run in done.plan.runs)
    study = replace(study, plan=replace(done.plan, runs=runs))
    done.paths.predictions(FIRST, "original").unlink()
    with pytest.raises(
        ResumeMismatchError,
        match=r"tiny\.original\.s1: recipe\.epochs changed from 2 to 3\. .*anew",
    ):
        work_through(study, "cpu", Options())
    # Asked as before, the predictions alone are made again.
    before = sha256_file(done.paths.run(FIRST) / WEIGHTS)
    assert work_through(done, "cpu", Options()).done == 4
    assert sha256_file(done.paths.run(FIRST) / WEIGHTS) == before


def test_predictions_made_later_are_the_same(done: Study) -> None:
    before = results(done)
    done.paths.predictions(SECOND, "dark").unlink()
    work_through(done, "cpu", Options())
    assert results(done) == before


def test_a_setting_to_evaluate_can_be_added(done: Study) -> None:
    runs = (replace(done.plan.runs[0], evaluate=("original", "dark")),)
    study = replace(done, plan=replace(done.plan, runs=runs))
    assert not is_complete(study, runs[0])
    assert work_through(study, "cpu", Options()) == Counts(1, 1, 0, 0)
    assert read_predictions(study.paths.predictions(FIRST, "dark")).setting == "dark"


def test_published_weights_are_evaluated_as_they_are(done: Study, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    weights = done.paths.run(FIRST) / WEIGHTS
    (folder / "tiny.safetensors").write_bytes(weights.read_bytes())
    study = drawn_study(tmp_path, init="weights", weights=folder, train=("original",))
    assert work_through(study, "cpu", Options()) == Counts(1, 1, 0, 0)
    record = records.read_run(study.paths.run(FIRST))
    assert record is not None
    assert (record.work.n_steps, record.work.final_loss) == (0, None)
    assert record.started["models"][0]["sha256"] == sha256_file(weights)
    found, trained = (
        read_predictions(each.paths.predictions(FIRST, "original")).scores for each in (study, done)
    )
    assert found is not None
    assert trained is not None
    assert np.array_equal(found, trained)


def test_only_some_runs(tmp_path: Path) -> None:
    study = drawn_study(tmp_path)
    assert work_through(study, "cpu", Options(only="*.dark.*")) == Counts(1, 1, 0, 0)
    assert not study.paths.run(FIRST).exists()
    with pytest.raises(ConfigError, match=r"'x\*' matches no run. Their names are like tiny\.or"):
        work_through(study, "cpu", Options(only="x*"))


def test_no_step_is_begun_after_the_deadline(tmp_path: Path) -> None:
    study = drawn_study(tmp_path)
    assert work_through(study, "cpu", Options(deadline=time.monotonic())).left == 2


def test_too_few_images_for_a_batch_are_told(tmp_path: Path) -> None:
    study = drawn_study(tmp_path, networks=(replace(TINY, batch_size=25),))
    with pytest.raises(ConfigError, match="24 images do not fill one batch of 25"):
        work_through(study, "cpu", Options())


HOLD = """
import sys, time
from pathlib import Path
from veilset.study.claims import claim
assert claim(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [("ENOSYS", "lies where files cannot be locked"), ("EIO", r"cannot be locked \(Input/output")],
)
def test_no_run_is_claimed_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunError, match=says):
        claim(tmp_path / "run")


def test_no_pixels_are_kept_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(RunError, match="lies where files cannot be locked"),
        KeptFolder(tmp_path / ".kept", 0),
    ):
        pass


def test_a_killed_process_frees_its_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert claim(folder) is None
        holder.kill()
    claimed = claim(folder)
    assert claimed is not None
    with claimed:
        # Nor twice by one process.
        assert claim(folder) is None
