# SPDX-License-Identifier: Apache-2.0
"""What the Ray engine is made of, without Ray: locks, shared paths, errors that travel."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import veilset
from tests.conftest import REPOSITORY
from veilset.engine.same_places import enter_places, sight, take_signs
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


def test_the_same_places_are_accepted_and_left_clean(tmp_path: Path) -> None:
    photos, run, out = tmp_path / "photos", tmp_path / "run", tmp_path / "out"
    for folder in (photos, run, out):
        folder.mkdir()
    (photos / "a.jpg").touch()
    weights = tmp_path / "weights.onnx"
    weights.write_bytes(b"weights")
    sighting = sight(Places(run, reads=(photos, weights), writes=(out,)))
    signs = enter_places(sighting, "node7")
    assert [sign.parent for sign in signs] == [run, out]
    take_signs(signs, "node7")
    assert not list(run.iterdir())
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("empty photos", "photos on the node node7 is not the one of this machine"),
        ("no photos", "node7 does not see .*photos"),
        ("other weights", "weights.onnx on the node node7 is not the one"),
        ("no weights", "node7 does not see .*weights.onnx"),
        ("no run", "node7 does not see .*run"),
    ],
)
def test_other_places_are_named(tmp_path: Path, change: str, says: str) -> None:
    photos, run, weights = tmp_path / "photos", tmp_path / "run", tmp_path / "weights.onnx"
    photos.mkdir()
    run.mkdir()
    (photos / "a.jpg").touch()
    weights.write_bytes(b"weights")
    sighting = sight(Places(run, reads=(photos, weights)))
    if change.endswith("photos"):
        (photos / "a.jpg").unlink()
    if change == "no photos":
        photos.rmdir()
    if change == "other weights":
        weights.write_bytes(b"others")
    if change == "no weights":
        weights.unlink()
    if change == "no run":
        run.rmdir()
    with pytest.raises(RunError, match=says):
        enter_places(sighting, "node7")


def test_a_folder_of_the_same_name_on_another_disk_is_named(tmp_path: Path) -> None:
    signs = enter_places(sight(Places(tmp_path)), "node7")
    signs[0].unlink()  # as the driver finds it where the folder is another one
    with pytest.raises(RunError, match="on the node node7 is not the one of this machine"):
        take_signs(signs, "node7")


def every_error() -> list[type[VeilsetError]]:
    for module in pkgutil.walk_packages(veilset.__path__, "veilset."):
        if module.name.split(".")[1] not in ("review", "cli"):
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
