# SPDX-License-Identifier: Apache-2.0
"""Runs: started, resumed, refused, finished."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from veilset.errors import ResumeMismatchError, RunError
from veilset.protocols import Shard, ShardReport
from veilset.runs import Run, read_manifest
from veilset.types import ImageRecord


def shards(*names: str) -> list[Shard]:
    return [Shard(i, (ImageRecord(name),)) for i, name in enumerate(names)]


def report(shard: Shard) -> ShardReport:
    return ShardReport(
        index=shard.index,
        n_images=1,
        counts={"looked": 1},
        seconds={"read": 0.5},
        digest=shard.records[0].image_id,
        first_id=shard.records[0].image_id,
        last_id=shard.records[0].image_id,
    )


def do_all(folder: Path, todo: list[Shard], **config: object) -> list[int]:
    done = []
    with Run.open(folder, "detect", config, {"root": "x"}) as run:
        for shard in run.missing(todo):
            run.commit(report(shard))
            done.append(shard.index)
        run.finish()
    return done


def test_a_finished_run_sums_up_its_shards(tmp_path: Path) -> None:
    assert do_all(tmp_path / "run", shards("a", "b", "c"), threshold=0.3) == [0, 1, 2]
    manifest = read_manifest(tmp_path / "run")
    assert manifest["counts"] == {"looked": 3}
    assert manifest["seconds"] == {"read": 1.5}
    assert manifest["n_images"] == manifest["n_shards"] == 3
    assert manifest["config"] == {"threshold": 0.3}


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    todo = shards("a", "b", "c")
    passed: list[int] = []
    with Run.open(tmp_path, "detect", {}, {}) as run:
        for shard in run.missing(todo[:2]):
            run.commit(report(shard))
    with pytest.raises(RunError, match=r"not finished\. Run the same command again"):
        read_manifest(tmp_path)
    with Run.open(tmp_path, "detect", {}, {}) as run:
        assert [s.index for s in run.missing(todo, on_resumed=passed.append)] == [2]
    assert passed == [1, 1]


def test_a_finished_run_is_not_rewritten(tmp_path: Path) -> None:
    do_all(tmp_path, shards("a"))
    before = (tmp_path / "run.json").read_bytes()
    assert do_all(tmp_path, shards("a")) == []
    assert (tmp_path / "run.json").read_bytes() == before


def test_changed_settings_are_refused_with_both_values(tmp_path: Path) -> None:
    do_all(tmp_path, shards("a"), threshold=0.3, method={"cells": 6})
    with pytest.raises(ResumeMismatchError, match=r"method.cells changed from 6 to 8"):
        do_all(tmp_path, shards("a"), threshold=0.3, method={"cells": 8})
    with pytest.raises(ResumeMismatchError, match=r"threshold changed from 0.3 to 'not set'"):
        do_all(tmp_path, shards("a"), method={"cells": 6})


def test_of_long_lists_only_what_differs_is_told(tmp_path: Path) -> None:
    methods = [f"blur:strength={number}" for number in range(20)]
    do_all(tmp_path, shards("a"), settings=methods)
    with pytest.raises(ResumeMismatchError) as told:
        do_all(tmp_path, shards("a"), settings=[*methods[1:], "veil"])
    assert "settings changed: 'veil' added; 'blur:strength=0' gone. Restore" in str(told.value)
    with pytest.raises(ResumeMismatchError, match=r"'blur:strength=2' and 17 more gone\. Restore"):
        do_all(tmp_path, shards("a"), settings=[])
    with pytest.raises(ResumeMismatchError, match="changed: the same in another order or number"):
        do_all(tmp_path, shards("a"), settings=methods[::-1])


def test_another_method_is_told_by_its_name(tmp_path: Path) -> None:
    faces = {"name": "synthesize", "draws_faces": True, "parameters": {"model": "x"}}
    plain = {"name": "veil", "parameters": {"cells": 6}}
    do_all(tmp_path, shards("a"), method=faces)
    with pytest.raises(ResumeMismatchError, match="method changed from 'synthesize' to 'veil'"):
        do_all(tmp_path, shards("a"), method=plain)


def test_another_stage_or_another_version_is_refused(tmp_path: Path) -> None:
    do_all(tmp_path, shards("a"))
    with pytest.raises(ResumeMismatchError, match="holds a run of 'detect', and no 'verify'"):
        Run.open(tmp_path, "verify", {}, {"root": "x"})
    started = json.loads((tmp_path / "started.json").read_text())
    (tmp_path / "started.json").write_text(json.dumps(started | {"veilset": "0.0.1"}))
    with pytest.raises(ResumeMismatchError, match=r"veilset changed from '0.0.1'"):
        do_all(tmp_path, shards("a"))


def test_a_changed_data_set_is_refused(tmp_path: Path) -> None:
    do_all(tmp_path, shards("a", "b"))
    with pytest.raises(ResumeMismatchError, match=r"images were added.*shard 1 ran from 'b'"):
        do_all(tmp_path, shards("a", "c"))


def test_a_missing_shard_stops_the_finish(tmp_path: Path) -> None:
    with Run.open(tmp_path, "detect", {}, {}) as run:
        list(run.missing(shards("a")))
        with pytest.raises(RunError, match="Shard 0 of the detect run"):
            run.finish()


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(RunError, match=r"not empty \(it holds 'holiday.jpg'\)"):
        Run.open(tmp_path, "detect", {}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_folder_that_holds_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run of Veilset"):
        read_manifest(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match="not valid JSON"):
        read_manifest(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "other"}')
    with pytest.raises(RunError, match="not a run manifest of this version"):
        read_manifest(tmp_path)


def test_a_damaged_ledger_entry_is_named(tmp_path: Path) -> None:
    do_all(tmp_path, shards("a"))
    (tmp_path / "ledger" / "00000.json").write_text("{")
    with pytest.raises(RunError, match="Delete it to redo that shard"):
        do_all(tmp_path, shards("a"))


@pytest.mark.parametrize("text", ["{", "[]", '{"counts": {}}'])
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("started.json", "Restore it, or start a new run in another folder"),
        ("ledger/00000.json", "Delete it to redo that shard"),
        ("ledger/wall_s.json", "Delete it, and run again"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(
    tmp_path: Path, name: str, text: str, remedy: str
) -> None:
    do_all(tmp_path, shards("a"))
    (tmp_path / name).write_text(text)
    with pytest.raises(RunError, match=remedy):
        do_all(tmp_path, shards("a"))


def test_what_is_not_finite_is_null_and_no_other_setting(tmp_path: Path) -> None:
    for _ in range(2):
        do_all(tmp_path, shards("a"), largest=float("inf"), least=(float("nan"), 1.0))
    for path in tmp_path.rglob("*.json"):
        assert not re.search("NaN|Infinity", path.read_text())
    assert read_manifest(tmp_path)["config"] == {"largest": None, "least": [None, 1.0]}


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, veilset.runs, veilset.errors\n"
        "try: veilset.runs.Run.open(pathlib.Path(sys.argv[1]), 'detect', {}, {})\n"
        "except veilset.errors.RunError as error: print(error)"
    )
    with Run.open(tmp_path, "detect", {}, {}):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
        )
    assert "Another process is working on the run" in done.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ENOLCK", r"lies where files cannot be locked, .*Choose a place on a local disk"),
        ("ENOSYS", r"lies where files cannot be locked, .*Choose a place on a local disk"),
        ("EOPNOTSUPP", r"lies where files cannot be locked, .*Choose a place on a local disk"),
        ("EIO", r"lock cannot be locked \(Input/output error\)\. Mend that"),
        ("EAGAIN", r"Another process is working on the run in .*Wait for it"),
        ("EACCES", r"Another process is working on the run in .*Wait for it"),
    ],
)
def test_no_process_is_looked_for_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunError, match=says):
        Run.open(tmp_path, "detect", {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be made"):
        Run.open(tmp_path / "file", "detect", {}, {})
