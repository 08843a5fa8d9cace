# SPDX-License-Identifier: Apache-2.0
"""What the Ray engine is made of, without Ray: locks, shared paths, errors that travel."""

from __future__ import annotations

import errno
import fcntl
import importlib
import os
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import veilset
from tests.conftest import REPOSITORY
from veilset.engine.same_places import Sighting, check_places, leave_signs, sight, take_signs
from veilset.engine.shard_locks import FILE, ShardLocks, await_earlier_workers
from veilset.errors import DecodeError, RunError, VeilsetError
from veilset.protocols import Places

HOLD = """
import sys
from pathlib import Path
from veilset.engine.shard_locks import ShardLocks
with ShardLocks(Path(sys.argv[1])) as locks, locks.shard(3):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds shard 3 until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    with process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_shard_is_held_by_one_process_at_a_time(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    with ShardLocks(tmp_path) as locks:
        with locks.shard(2, patience_s=0):
            pass
        with pytest.raises(RunError, match="Shard 3 of the run"), locks.shard(3, patience_s=0.2):
            pass
        holder.kill()
        with locks.shard(3, patience_s=5):
            pass


def test_shards_are_done_where_parts_of_files_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with ShardLocks(tmp_path) as locks, locks.shard(3, patience_s=0):
        assert "parts of files cannot be locked" in caplog.text
    await_earlier_workers(tmp_path, patience_s=0)
    assert not (tmp_path / FILE).exists()


def test_a_new_command_waits_for_the_workers_of_a_killed_one(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="Workers of an earlier command still write"):
        await_earlier_workers(tmp_path, patience_s=0.2)
    assert (tmp_path / FILE).exists()
    holder.kill()
    await_earlier_workers(tmp_path, patience_s=5)
    assert not (tmp_path / FILE).exists()


def test_a_worker_that_comes_late_does_not_work(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has ended meanwhile"):
        ShardLocks(tmp_path, is_worker=True)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A data set, weights, a run and an output."""
    photos, run, out = tmp_path / "photos", tmp_path / "run", tmp_path / "out"
    for folder in (photos, run, out):
        folder.mkdir()
    (photos / "a.jpg").touch()
    weights = tmp_path / "weights.onnx"
    weights.write_bytes(b"weights")
    return Places(run, reads=(photos, weights), writes=(out,))


def sight_run(places: Places) -> Sighting:
    with ShardLocks(places.run) as locks:
        return sight(places, locks.sign())


def test_the_same_places_are_accepted_and_left_clean(places: Places) -> None:
    check_places(sight_run(places), "node7")
    signs = leave_signs(places, 0, "node7")
    assert [sign.parent for sign in signs] == list(places.writes)
    take_signs(signs, "node7")
    assert not list(places.writes[0].iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("empty photos", "photos on the node node7 is not the one of this machine"),
        ("no photos", "node7 does not see .*photos"),
        ("other weights", "weights.onnx on the node node7 is not the one"),
        ("no weights", "node7 does not see .*weights.onnx"),
        ("no run", "node7 does not see .*run"),
        ("empty run", "run on the node node7 is not the one"),
        ("other run", "run on the node node7 is not the one"),
    ],
)
def test_other_places_are_named(places: Places, change: str, says: str) -> None:
    sighting = sight_run(places)
    photos, weights = places.reads
    how, what = change.split()
    if what == "photos":
        (photos / "a.jpg").unlink()
        if how == "no":
            photos.rmdir()
    elif what == "run" and how == "other":
        sight_run(places)
    elif what == "run":
        (places.run / FILE).unlink()
        if how == "no":
            places.run.rmdir()
    elif how == "other":
        weights.write_bytes(b"others")
    else:
        weights.unlink()
    with pytest.raises(RunError, match=says):
        check_places(sighting, "node7")


def test_an_output_that_a_node_does_not_see_is_named(places: Places) -> None:
    places.writes[0].rmdir()
    with pytest.raises(RunError, match=r"node7 does not see .*out"):
        leave_signs(places, 0, "node7")


@pytest.mark.parametrize("left", ["", "the sign of a command that was killed"])
def test_an_output_of_the_same_name_on_another_disk_is_named(places: Places, left: str) -> None:
    signs = leave_signs(places, 0, "node7")
    # What the driver finds where its folder is another one than the worker's:
    for sign in signs:
        sign.unlink()
        if left:
            sign.write_text(left)
    with pytest.raises(RunError, match="out on the node node7 is not the one of this machine"):
        take_signs(signs, "node7")
    assert not list(places.writes[0].iterdir())


TRAINING = ("attack", "learning", "study", "synthesize")


def every_error() -> list[type[VeilsetError]]:
    for module in pkgutil.walk_packages(veilset.__path__, "veilset."):
        # What trains loads PyTorch, which has its own process; none of its errors travels by Ray.
        if module.name.split(".")[1] not in ("review", "cli", *TRAINING):
            importlib.import_module(module.name)
    found, todo = [], [VeilsetError]
    while todo:
        kind = todo.pop()
        found.append(kind)
        todo += kind.__subclasses__()
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_arrives_as_it_was_raised(kind: type[VeilsetError]) -> None:
    text = "The file 'a.jpg' is not here. Restore it."
    error = kind("missing", text) if issubclass(kind, DecodeError) else kind(text)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == text
    assert vars(copy) == vars(error)
