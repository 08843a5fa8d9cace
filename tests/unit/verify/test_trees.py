# SPDX-License-Identifier: Apache-2.0
"""Originals, output and record are joined by name, and nothing falls between them."""

from __future__ import annotations

import errno
import os
import pickle
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.dataset.folder import FolderReader
from veilset.dataset.stores import LocalStore
from veilset.dataset.webdataset import WebDatasetReader
from veilset.errors import DecodeError, RunError
from veilset.protocols import ShardReport
from veilset.records.outcomes import ImageOutcome, Outcome, write_outcomes
from veilset.runs import Run
from veilset.types import ImageRecord
from veilset.verify.trees import Trees, digest_file, keyed, list_tree


def make(base: Path, photos: list[bytes], out: list[bytes], recorded: list[str]) -> Trees:
    for folder, names in (("photos", photos), ("out", out)):
        (base / folder).mkdir()
        for name in names:
            path = base / folder / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\xff\xd8\xff" + name)
    reader, record = FolderReader(base / "photos"), base / "record"
    rows = [ImageOutcome(name, Outcome.UNTOUCHED) for name in recorded]
    with Run.open(record, "obfuscate", {}, {}) as run:
        for shard in run.missing(reader.shards()):
            digest = write_outcomes(record, shard.index, rows)
            run.commit(ShardReport(shard.index, len(rows), digest=digest))
        run.finish()
    return Trees(reader, base / "out", record)


def seen(trees: Trees) -> dict[str, str]:
    return {
        entry.image_id: "".join(
            letter
            for letter, part in zip(
                "pfr", (entry.original, entry.found, entry.outcome), strict=True
            )
            if part
        )
        for entry in trees.entries()
    }


def test_every_combination_is_seen_once(tmp_path: Path) -> None:
    photos = [b"a.jpg", b"b/c.jpg", b"b.jpg", b"d.jpg", b"e.jpg"]
    out = [b"a.jpg", b"b/c.jpg", b"b/.x", b"f.jpg", b"g.jpg"]
    trees = make(tmp_path, photos, out, ["a.jpg", "b.jpg", "e.jpg", "g.jpg", "h.jpg"])
    expected = {
        "a.jpg": "pfr",
        "b.jpg": "pr",
        "b/.x": "f",
        "b/c.jpg": "pf",
        "d.jpg": "p",
        "e.jpg": "pr",
        "f.jpg": "f",
        "g.jpg": "fr",
        "h.jpg": "r",
    }
    assert seen(trees) == expected
    assert trees.count() == len(expected)
    shards = list(trees.shards(4))
    assert [len(shard.records) for shard in shards] == [4, 4, 1]
    order = [record.order_key for shard in shards for record in shard.records]
    assert order == sorted(order)


def test_names_that_are_not_utf8_do_not_tear_others_apart(tmp_path: Path) -> None:
    names = [b"Z.jpg", b"a.jpg", b"\xff.jpg", "é.jpg".encode(), "\U0001f600.jpg".encode()]
    # Its readable form "\xff.jpg" sorts before "a.jpg", the name itself after it.
    out = [name for name in names if name != b"\xff.jpg"]
    readable = [name.decode("utf-8", "backslashreplace") for name in names]
    shard = next(iter(FolderReader(make_photos(tmp_path, names)).shards()))
    order = [record.image_id for record in shard.records]
    assert sorted(order) == sorted(readable)
    trees = make(tmp_path, names, out, order)
    assert seen(trees) == {name: "pr" if name == "\\xff.jpg" else "pfr" for name in readable}


def make_photos(base: Path, names: list[bytes]) -> Path:
    folder = base / "first"
    folder.mkdir()
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(b"\xff\xd8\xff")
    return folder


def test_a_want_of_files_is_no_damage_to_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    (tmp_path / "a.jpg").touch()
    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(RunError, match=r"a.jpg could not .*Too many open files\. .*it goes on"):
        digest_file(LocalStore(tmp_path), "a.jpg")


@given(st.lists(st.text("ab/.", min_size=1, max_size=6), max_size=12))
def test_keys_rise_whatever_the_order(names: list[str]) -> None:
    keys = [key for key, _ in keyed(ImageRecord(name) for name in names)]
    assert [key[0] for key in keys] == sorted(key[0] for key in keys)
    ordered = sorted({tuple(name.split("/")) for name in names})
    keys = [key for key, _ in keyed(ImageRecord("/".join(parts)) for parts in ordered)]
    assert [key[:2] for key in keys] == [(parts, False) for parts in ordered]


def test_a_tree_deeper_than_the_stack_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1010):
        Path("d").mkdir()
        os.chdir("d")
    Path("x").write_bytes(b"")
    found = list(list_tree(LocalStore(tmp_path)))
    Path("x").unlink()
    for _ in range(1010):
        os.chdir("..")
        Path("d").rmdir()
    assert [len(entry.order_key) for entry in found] == [1011]


def test_state_changes_with_every_write(tmp_path: Path) -> None:
    trees = make(tmp_path, [b"a.jpg", b"b.jpg"], [b"a.jpg"], ["a.jpg"])
    states = [trees.state(), trees.state()]
    assert states[0] == states[1]
    path = tmp_path / "out" / "a.jpg"
    before = path.stat()
    time.sleep(0.02)
    data = path.read_bytes()
    path.write_bytes(bytes(reversed(data)))
    # Setting the time of the content back does not hide the write.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    states.append(trees.state())
    (tmp_path / "out" / ".new").write_bytes(b"")
    states.append(trees.state())
    (tmp_path / "photos" / "b.jpg").unlink()
    states.append(trees.state())
    assert len(set(states)) == 4


def test_no_container_is_opened_to_tell_whether_one_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("photos", "out"):
        (tmp_path / folder).mkdir()
        with tarfile.open(tmp_path / folder / "0.tar", "w") as tar:
            tar.addfile(tarfile.TarInfo("a.jpg"))
    reader, record = WebDatasetReader(tmp_path / "photos"), tmp_path / "record"
    with Run.open(record, "obfuscate", {}, {}) as run:
        for shard in run.missing(reader.shards()):
            run.commit(ShardReport(shard.index, len(shard.records)))
        run.finish()

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(WebDatasetReader, "open_container", refuse)
    trees = Trees(reader, tmp_path / "out", record)
    assert trees.count() == 2
    states = {trees.state(), trees.state()}
    assert len(states) == 1
    for place in ("out/0.tar", "out/1.tar", "photos/0.tar"):
        with (tmp_path / place).open("ab") as stream:
            stream.write(b"x")
        states.add(trees.state())
    assert len(states) == 4


def test_it_can_be_carried_to_another_process(tmp_path: Path) -> None:
    trees = make(tmp_path, [b"a.jpg"], [b"a.jpg", b".b"], ["a.jpg"])
    copy = pickle.loads(pickle.dumps(trees))
    assert list(copy.shards()) == list(trees.shards())
    shard = next(iter(trees.shards()))
    assert pickle.loads(pickle.dumps(shard)) == shard


def test_a_missing_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(RunError, match="There is no folder"):
        Trees(FolderReader(tmp_path / "photos"), tmp_path / "out", tmp_path)


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    store = LocalStore(tmp_path)
    assert store.read("file", 4, follow=False) == b"data"
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "nothing", "."):
        with pytest.raises(DecodeError):
            store.read(name, 4, follow=False)
