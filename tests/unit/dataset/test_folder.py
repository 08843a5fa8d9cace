# SPDX-License-Identifier: Apache-2.0
"""The folder data set: what is an image, in which order, and what is never followed."""

from __future__ import annotations

import errno
import os
import resource
import sys
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.annotations.store import write_annotations
from veilset.dataset import patience, stores, tree
from veilset.dataset.folder import FolderReader, FolderWriter, check_apart
from veilset.errors import DatasetError, DecodeError, RunError
from veilset.tables import ShardedTable
from veilset.types import Annotations, ImageRecord, Status

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


def ids(root: Path, shard_size: int = 1024) -> list[str]:
    shards = FolderReader(root).shards(shard_size)
    return [record.image_id for shard in shards for record in shard.records]


def ids_below(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PNG)


def test_any_nesting_in_path_order(tmp_path: Path) -> None:
    put(tmp_path, "b/2.jpg", "b/10.JPEG", "a.png", "a/x/y/z.webp", "c.tif", "a-b/1.bmp")
    assert ids(tmp_path) == ["a/x/y/z.webp", "a-b/1.bmp", "a.png", "b/10.JPEG", "b/2.jpg", "c.tif"]
    records = [ImageRecord(name) for name in ids(tmp_path)]
    assert records == sorted(records, key=lambda r: r.order_key)
    assert [r.category for r in records] == ["y", "a-b", "", "b", "b", ""]
    assert FolderReader(tmp_path).count() == 6


@given(st.sets(st.text(st.sampled_from("aB.-_ é1"), min_size=1, max_size=6), max_size=12))
def test_order_is_the_order_key(names: set[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for i, name in enumerate(sorted(names - {".", ".."})):
            put(root, f"{name}/x.png" if i % 2 else f"{name}.png")
        put(root, "always.png")
        found = ids(root, shard_size=2)
        assert found == sorted(found, key=lambda n: ImageRecord(n).order_key)


def test_shards_are_fixed_runs(tmp_path: Path) -> None:
    put(tmp_path, *(f"{i}.png" for i in range(5)))
    shards = list(FolderReader(tmp_path).shards(2))
    assert [len(s.records) for s in shards] == [2, 2, 1]
    assert [s.index for s in shards] == [0, 1, 2]


def test_hidden_and_foreign_files_are_passed_over_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "a.png", ".b.png", ".git/c.png", "nameless")
    (tmp_path / "notes.txt").write_text("x")
    os.mkfifo(tmp_path / "pipe.png")
    reader = FolderReader(tmp_path)
    assert reader.count() == 2  # a.png, and what begins like an image
    assert reader.passed_over() == {"hidden": 2, "not an image": 1, "not a regular file": 1}


def test_links_out_of_the_tree_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "in/a.png", "out/secret.png")
    root = tmp_path / "in"
    (root / "inside.png").symlink_to(root / "a.png")
    (root / "outside.png").symlink_to(tmp_path / "out" / "secret.png")
    (root / "folder").symlink_to(tmp_path / "out")
    (root / "loop").symlink_to(root)
    (root / "broken.png").symlink_to(root / "nothing.png")
    reader = FolderReader(root)
    assert [r.image_id for s in reader.shards() for r in s.records] == ["a.png", "inside.png"]
    assert reader.passed_over() == {
        "link out of the data set": 2,
        "link to a folder": 1,
        "link that leads nowhere": 1,
    }


def test_an_empty_folder_says_what_was_passed_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"holds no image\. Passed over: 1 x not an image"):
        ids(tmp_path)


def test_missing_folder_and_file_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no folder"):
        FolderReader(tmp_path / "nothing")
    put(tmp_path, "a.png")
    with pytest.raises(DatasetError, match="is not a folder"):
        FolderReader(tmp_path / "a.png")


def test_reading_says_why_it_could_not(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    reader = FolderReader(tmp_path, max_file_bytes=10)
    with pytest.raises(DecodeError, match="16 bytes, the limit is 10") as caught:
        reader.read(ImageRecord("a.png"))
    assert caught.value.reason == "over-limit"
    with pytest.raises(DecodeError, match="gone") as caught:
        reader.read(ImageRecord("b.png"))
    assert caught.value.reason == "missing"


def test_a_want_of_files_is_no_fault_of_the_image(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    reader = FolderReader(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_free = os.dup(0)
    os.close(next_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, hard))
    try:
        with pytest.raises(
            RunError, match=r"a.png could .*Too many open files\. .*ulimit.*goes on"
        ):
            reader.read(ImageRecord("a.png"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert reader.read(ImageRecord("a.png")) == PNG


class Failing:
    """Files that fail to open with some error: ``numbers`` of each, one for each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **numbers: list[int]) -> None:
        self.numbers = numbers
        monkeypatch.setattr(stores, "open", self.open, raising=False)
        monkeypatch.setattr(patience, "_PAUSES_S", (0, 0))

    def open(self, path: str, mode: str) -> IO[bytes]:
        if left := self.numbers.get(Path(path).stem):
            number = left.pop(0)
            raise OSError(number, os.strerror(number), path)
        return open(path, mode)  # noqa: PTH123  as the store does


@pytest.mark.parametrize(
    "name", ["ENFILE", "ENOMEM", "ESTALE", "ETIMEDOUT", "EHOSTDOWN", "ENOTCONN"]
)
def test_what_the_machine_or_a_mount_lacks_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put(tmp_path, "a.png")
    number = getattr(errno, name)
    Failing(monkeypatch, a=[number])
    with pytest.raises(RunError, match=rf"a.png could not be worked on: {os.strerror(number)}\."):
        FolderReader(tmp_path).read(ImageRecord("a.png"))


@pytest.mark.parametrize("name", ["EACCES", "EPERM", "EISDIR", "ELOOP", "ENAMETOOLONG", "ENXIO"])
def test_what_is_wrong_with_one_file_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put(tmp_path, "a.png")
    Failing(monkeypatch, a=[getattr(errno, name)])
    with pytest.raises(DecodeError, match="The file cannot be read") as caught:
        FolderReader(tmp_path).read(ImageRecord("a.png"))
    assert caught.value.reason == "unreadable"


def test_a_bad_sector_is_one_bad_file_and_a_dead_disk_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a.png", "b.png", "c.png")
    reader = FolderReader(tmp_path)
    bad = Failing(monkeypatch, a=[errno.EIO] * 2, b=[errno.EIO] * 9)
    # It comes and goes.
    assert reader.read(ImageRecord("a.png")) == PNG
    with pytest.raises(DecodeError, match=r"cannot be read \(Input/output error\)") as caught:
        reader.read(ImageRecord("b.png"))
    assert caught.value.reason == "unreadable"
    assert len(bad.numbers["b"]) == 6
    bad.numbers["a"] = [errno.EIO]
    says = rf"{tmp_path} cannot be read any more \(Input/output error\).*it goes on from here"
    with pytest.raises(RunError, match=says):
        reader.read(ImageRecord("b.png"))
    # What was read before is gone: that is no disk that fails.
    (tmp_path / "a.png").unlink()
    with pytest.raises(DecodeError, match="cannot be read"):
        reader.read(ImageRecord("b.png"))
    assert reader.read(ImageRecord("c.png")) == PNG


def test_whether_it_is_an_image_is_not_guessed_where_files_are_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "unnamed")
    Failing(monkeypatch, unnamed=[errno.EMFILE])
    with pytest.raises(RunError, match="Too many open files"):
        ids(tmp_path)
    assert ids(tmp_path) == ["unnamed"]


def test_a_name_that_is_not_utf8_is_listed_and_refused(tmp_path: Path) -> None:
    # A Path has no name in bytes.
    with open(os.fsencode(tmp_path) + b"/caf\xe9.png", "wb") as stream:  # noqa: PTH123
        stream.write(PNG)
    reader = FolderReader(tmp_path)
    (record,) = next(reader.shards()).records
    assert record.image_id == r"caf\xe9.png"
    with pytest.raises(DecodeError, match="Rename the file") as caught:
        reader.read(record)
    assert caught.value.reason == "unsupported"


NOT_UTF8 = (b"c/1.png", b"m0.png", b"m1.png", b"\xe9/1.png", b"\xe9t.png", b"~.png", b"\\xe9u.png")


def put_bytes(root: Path, *names: bytes) -> None:
    put(root, *map(os.fsdecode, names))


def test_names_that_are_not_utf8_stand_where_their_ids_belong(tmp_path: Path) -> None:
    put_bytes(tmp_path / "in", *NOT_UTF8)
    shards = list(FolderReader(tmp_path / "in").shards(2))
    records = [record for shard in shards for record in shard.records]
    assert records == sorted(records, key=lambda record: record.order_key)
    assert [record.image_id for record in records if record.problem] == [
        r"\xe9/1.png",
        r"\xe9t.png",
    ]
    for shard in shards:
        rows = [Annotations(record.image_id, Status.LOOKED) for record in shard.records]
        write_annotations(tmp_path, shard.index, rows)
    table = ShardedTable(tmp_path, len(shards))
    assert [record for record in records if table.find(record) is None] == []


def test_all_that_is_below_a_folder_comes_in_the_same_order(tmp_path: Path) -> None:
    put_bytes(tmp_path, *NOT_UTF8)
    found = [tree.named(name).order_key for name, _ in tree.list_everything(tmp_path)]
    assert found == sorted(found)
    assert len(found) == len(NOT_UTF8)


def test_writer_writes_whole_files_and_discards(tmp_path: Path) -> None:
    writer = FolderWriter(tmp_path)
    record = ImageRecord("a/b/c.png")
    writer.write(record, b"1")
    writer.write(record, b"22")
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["c.png"]
    assert (tmp_path / "a" / "b" / "c.png").read_bytes() == b"22"
    writer.discard(record)
    writer.discard(record)
    assert not list((tmp_path / "a" / "b").iterdir())


def test_a_store_remembers_few_of_the_folders_that_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_N_FOLDERS_KEPT", 3)
    store = stores.LocalStore(tmp_path)
    names = [f"{number % 10}/{number:02d}.png" for number in range(30)]
    for name in names:
        store.write(name, b"1")
        assert len(store._made) <= 3
    assert ids_below(tmp_path) == sorted(names)


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "a/../../x.png"])
def test_writer_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="leads out of the data set"):
        FolderWriter(tmp_path).write(ImageRecord(name), b"")


def test_a_place_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(RunError, match="cannot be written"):
        FolderWriter(tmp_path).write(ImageRecord("a/b.png"), b"")


@pytest.mark.parametrize(("source", "target"), [("x", "x"), ("x", "x/y"), ("x/y", "x")])
def test_output_inside_the_input_is_refused(tmp_path: Path, source: str, target: str) -> None:
    with pytest.raises(DatasetError, match="lie in each other"):
        check_apart(tmp_path / source, tmp_path / target)
    check_apart(tmp_path / "x", tmp_path / "xy")


def test_a_tree_deeper_than_the_stack_of_python(tmp_path: Path) -> None:
    name = "d/" * (sys.getrecursionlimit() + 100) + "x.png"
    (tmp_path / "in").mkdir()
    FolderWriter(tmp_path / "in").write(ImageRecord(name), PNG)
    reader = FolderReader(tmp_path / "in")
    (shard,) = reader.shards()
    assert [record.image_id for record in shard.records] == [name]
    assert reader.read(shard.records[0]) == PNG
    FolderWriter(tmp_path / "in").discard(shard.records[0])
    # What cleans up after the tests calls itself for each folder, too.
    for at in range(len(name) - len("/x.png"), 0, -2):
        (tmp_path / "in" / name[:at]).rmdir()
