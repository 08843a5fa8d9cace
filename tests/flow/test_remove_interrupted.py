# SPDX-License-Identifier: Apache-2.0
"""A removal that was killed or had no room: the same command ends it as if nothing had been."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, files_below
from tests.flow.removable import (
    asked,
    folder,
    intact,
    made,
    obfuscate,
    tars,
)
from tests.unit.verify.drawn import (
    Release,
)
from veilset.errors import RunError
from veilset.records.outcomes import OutcomeTable
from veilset.records.removals import Pending, Removal, read_log, write_pending
from veilset.remove.stage import remove_images
from veilset.runs import read_manifest

__all__ = ["folder", "made", "tars"]


def test_an_unfinished_run_is_refused(folder: Release) -> None:
    (folder.record / "obfuscate" / "run.json").unlink()
    with pytest.raises(RunError, match="is not finished"):
        remove_images(folder.out, asked("a/one.jpg"))


def test_a_full_disk_is_a_sentence_and_the_same_command_goes_on(
    tars: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("veilset.records.amend.write_atomically", refuse)
        with pytest.raises(RunError, match=r"json cannot be written \(No space left"):
            remove_images(tars.out, asked("00000.tar/a/two.png"))
    assert remove_images(tars.out, asked("00000.tar/a/two.png")).manifest_sha256
    assert intact(tars)
    assert len(read_log(tars.record)) == 1


DRIVER = """
import shutil, sys
from pathlib import Path
import PIL.Image, pyarrow.parquet  # before the fork, not after each
from tests.flow.killed_children import run_in_child
from veilset.remove.stage import RemoveConfig, remove_images

base, image_id, first, step = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

for kill_at in (0, *range(first, 200, step)):
    folder = base.with_name(f"{base.name}-{kill_at}")
    shutil.copytree(base, folder)
    remove = lambda: remove_images(folder / "out", RemoveConfig("asked", (image_id,)))
    killed = run_in_child(remove, kill_at) if kill_at else 0
    print(kill_at, killed, run_in_child(remove, 0), flush=True)
    if kill_at and killed == 0:
        break
"""


# Every change is one place to be killed at; both layouts together see each kind of them.
@pytest.mark.parametrize(("layout", "first"), [("folder", "1"), ("tars", "3")])
def test_killed_at_any_change_the_same_command_ends_the_same(
    layout: str, first: str, folder: Release, tars: Release, tmp_path: Path
) -> None:
    release = folder if layout == "folder" else tars
    image_id = "a/two.png" if layout == "folder" else "00000.tar/a/two.png"
    base = tmp_path / "base"
    shutil.copytree(release.base, base)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, base, image_id, first, "5"],
        capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    ended = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(ended) > 6
    assert [again for _, _, again in ended] == [0] * len(ended)
    assert {killed for _, killed, _ in ended[1:-1]} == {-9}
    expected = _comparable(base.with_name("base-0"))
    for kill_at, _, _ in ended[1:]:
        assert _comparable(base.with_name(f"base-{kill_at}")) == expected


def _comparable(folder: Path) -> dict[str, bytes]:
    """Give the files of a release without times and without digests of what has times."""
    stamp = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
    return {name: stamp.sub(b"TIME", data) for name, data in files_below(folder).items()}


def test_a_removal_under_way_stops_all_else_until_it_is_finished(folder: Release) -> None:
    row = next(iter(OutcomeTable(folder.record / "obfuscate")))
    removal = Removal(row.image_id, row.sha256_out, row.sha256_in, "asked", "2026-01-31T12:00:00Z")
    made = read_manifest(folder.record / "obfuscate")
    write_pending(folder.record, Pending((removal,), 0, made["outputs_sha256"]))
    for work in (obfuscate, Release.verify):
        with pytest.raises(RunError, match=r"was not finished\. Run veilset remove"):
            work(folder)
    with pytest.raises(RunError, match="was not finished"):
        remove_images(folder.out, asked("b/none.jpg"), dry_run=True)
    again = shutil.copytree(folder.base, folder.base.with_name("again"))
    assert remove_images(folder.out).image_ids == (row.image_id,)
    assert intact(folder)
    assert read_log(folder.record) == [removal]
    # With another image it is finished first.
    both = Release(again)
    summary = remove_images(both.out, asked("b/none.jpg"))
    assert summary.image_ids == (row.image_id, "b/none.jpg")
    assert summary.manifest_sha256
    assert intact(both)
    assert len(read_log(both.record)) == 2
