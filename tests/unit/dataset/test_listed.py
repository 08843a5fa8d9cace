# SPDX-License-Identifier: Apache-2.0
"""Lists of images: what a line names, in which order, and what is left of the list."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import pytest

from tests.unit.dataset.test_folder import NOT_UTF8, PNG, put, put_bytes
from veilset.dataset import listed
from veilset.dataset.folder import FolderReader, check_apart
from veilset.dataset.listed import ListReader
from veilset.dataset.places import open_reader, open_release, open_writer
from veilset.dataset.sidecars import SidecarWriter
from veilset.errors import DatasetError, DecodeError
from veilset.types import ImageRecord


def listing(folder: Path, text: bytes) -> ListReader:
    (folder / "train.txt").write_bytes(text)
    reader = open_reader(folder / "train.txt")
    assert isinstance(reader, ListReader)
    return reader


def names(reader: ListReader) -> list[str]:
    return [record.image_id for shard in reader.shards(2) for record in shard.records]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"a/b.jpg", "a/b.jpg"),
        (b"  a b.jpg  ", "a b.jpg"),
        (b"a b.jpg 3", "a b.jpg"),
        (b"a.jpg   3 -1 +20 ", "a.jpg"),
        (b"a.jpg 3.5", "a.jpg 3.5"),
        (b"a.jpg\ta caption\twith 2", "a.jpg"),
        (b"photo 3\t", "photo 3"),
        (b"a.jpg 7\tx", "a.jpg 7"),
        (b"7", "7"),
        (b"./a//b/../c.jpg\r", "a/c.jpg"),
        ("Zoë.jpg 1".encode(), "Zoë.jpg"),
        (b"s\\xff.jpg", "s\\xff.jpg"),
        (b"./#1.jpg", "#1.jpg"),
    ],
)
def test_what_a_line_names(tmp_path: Path, line: bytes, name: str) -> None:
    reader = listing(tmp_path, b"# a comment\n\n \t\n" + line + b"\n")
    assert names(reader) == [name]
    assert b"".join(reader.list_file.released(())) == (tmp_path / "train.txt").read_bytes()
    assert b"".join(reader.list_file.released({name})) == b"# a comment\n\n \t\n"


def test_the_order_is_that_of_a_folder_whatever_the_list_says(tmp_path: Path) -> None:
    paths = ["b.png", "a/x.png", "a-b/y.png", "a/b/z.png", "a.png", "ä.png", "a/B.png", "é/1.png"]
    put(tmp_path, *paths)
    random.Random(5).shuffle(paths)
    reader = listing(tmp_path, "\n".join(paths).encode())
    expected = [r.image_id for s in FolderReader(tmp_path).shards(99) for r in s.records]
    assert names(reader) == expected
    assert reader.count() == len(paths)
    assert [len(shard.records) for shard in reader.shards(3)] == [3, 3, 2]


def test_names_that_are_not_utf8_stand_where_their_ids_belong(tmp_path: Path) -> None:
    put_bytes(tmp_path, *NOT_UTF8)
    reader = listing(tmp_path, b"\n".join(NOT_UTF8[::-1]))
    found = [record for shard in reader.shards(3) for record in shard.records]
    assert found == sorted(found, key=lambda record: record.order_key)
    assert found == [
        record for shard in FolderReader(tmp_path).shards() for record in shard.records
    ]
    with pytest.raises(DatasetError, match="in the lines 1 and 3"):
        listing(tmp_path, b"\xe9.png\na.png\n\xe9.png").count()


def test_a_list_longer_than_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "_GROUP", 7)
    reader = listing(tmp_path, b"".join(b"%d.jpg %d\n" % (n, n) for n in range(50)))
    assert names(reader) == sorted(f"{n}.jpg" for n in range(50))


def test_an_absolute_path_becomes_relative_in_a_release(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    lines = [
        f"{tmp_path}/link/a b.jpg 3",
        f"{tmp_path}/real/c.jpg\t{tmp_path}/real/c.jpg",
        "d.jpg 1",
        f"  {tmp_path}/real/#e.jpg",
    ]
    reader = listing(tmp_path / "link", b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert names(reader) == ["#e.jpg", "a b.jpg", "c.jpg", "d.jpg"]
    # What is behind a tab is carried over, whatever it is.
    expected = f"\ufeffa b.jpg 3\r\nc.jpg\t{tmp_path}/real/c.jpg\r\nd.jpg 1\r\n  ./#e.jpg"
    assert b"".join(reader.list_file.released(())).decode() == expected
    (tmp_path / "out").mkdir()
    again = listing(tmp_path / "out", expected.encode())
    assert names(again) == names(reader)
    assert b"".join(again.list_file.released(())).decode() == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a.jpg\nb.jpg\n./a.jpg 3\n", "'a.jpg' in the lines 1 and 3"),
        (b"../a.jpg", "line 1: it names what is not below"),
        (b"a.jpg\n/etc/b.jpg", "line 2: it names what is not below"),
        (b"a/../..", "line 1: it names what is not below"),
        (b".", "line 1: it names what is not below"),
        (b"# nothing\n\n", "names no image"),
        (b"", "names no image"),
        ("a.jpg".encode("utf-16"), "no UTF-8 text"),
        (b"a" * 70_000, "longer than a path can be"),
        (b"train.txt", "names the list itself"),
        (b"train.txt/a.jpg", "names the list itself"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path: Path, text: bytes, says: str) -> None:
    reader = listing(tmp_path, text)
    with pytest.raises(DatasetError, match=f"The list {tmp_path}/train.txt.*{says}"):
        reader.count()


def test_a_list_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no file"):
        open_reader(tmp_path, "list")
    with pytest.raises(DatasetError, match="is no file"):
        open_reader(tmp_path / "nothing.txt", "list")
    reader = listing(tmp_path, b"a.jpg")
    (tmp_path / "train.txt").unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        reader.count()


def test_images_that_cannot_be_read_are_failures_of_their_own(tmp_path: Path) -> None:
    put(tmp_path / "in", "here.png", "folder/x.png")
    put(tmp_path, "outside.png")
    (tmp_path / "in" / "out.png").symlink_to("../outside.png")
    (tmp_path / "in" / "inside.png").symlink_to("here.png")
    (tmp_path / "in" / "away").symlink_to("..")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    lines = b"here.png\ninside.png\nout.png\naway/outside.png\ngone.png\nfolder\npipe.png\n"
    reader = listing(tmp_path / "in", lines + b"b\xff.png")
    found = {}
    for shard in reader.shards():
        for record in shard.records:
            try:
                found[record.image_id] = reader.read(record)
            except DecodeError as error:
                found[record.image_id] = error.reason.encode()
    assert found == {
        "here.png": PNG,
        "inside.png": PNG,
        "out.png": b"unsupported",
        "away/outside.png": b"unsupported",
        "gone.png": b"missing",
        "folder": b"unreadable",
        "pipe.png": b"unreadable",
        "b\\xff.png": b"unsupported",
    }


def test_it_is_carried_to_another_process_without_its_names(tmp_path: Path) -> None:
    reader = listing(tmp_path, b"".join(b"%06d.jpg\n" % n for n in range(10_000)))
    assert reader.count() == 10_000
    data = pickle.dumps(reader)
    assert len(data) < 2000
    assert pickle.loads(data).count() == 10_000


def test_the_writer_writes_the_list_once_and_whole(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.png", "b.png")
    reader = listing(tmp_path / "in", b"b.png 1\na.png 0\ngone.png 2\n")
    writer = open_writer(tmp_path / "out", like=reader)
    assert isinstance(writer, SidecarWriter)
    writer.write(ImageRecord("a.png"), PNG)
    writer.write(ImageRecord("b.png"), PNG)
    # Nothing can lie below an image.
    writer.discard(ImageRecord("a.png/x.png"))
    writer.finish(["gone.png"])
    path = tmp_path / "out" / "train.txt"
    assert path.read_bytes() == b"b.png 1\na.png 0\n"
    before = path.stat()
    pickle.loads(pickle.dumps(writer)).finish(["gone.png"])
    assert path.stat() == before
    writer.finish(["gone.png", "a.png"])
    assert path.read_bytes() == b"b.png 1\n"
    again = open_release(tmp_path / "out", reader.describe())
    assert isinstance(again, ListReader)
    assert names(again) == ["b.png"]


def test_a_list_that_turns_bad_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    reader = listing(tmp_path / "in", b"a.jpg\n")
    writer = open_writer(tmp_path / "out", like=reader)
    (tmp_path / "in" / "train.txt").write_bytes(b"a.jpg\n" * 20_000 + b"/etc/x")
    with pytest.raises(DatasetError, match="line 20,001"):
        writer.finish([])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["train.txt", "annotations/val.json"])
def test_the_output_may_not_lie_among_the_originals(tmp_path: Path, name: str) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True)
    path.write_text("")
    for out in (tmp_path / "in", tmp_path / "in" / "out", tmp_path):
        with pytest.raises(DatasetError, match="lie in each other"):
            check_apart(path, out)
    check_apart(path, tmp_path / "out.txt")
    check_apart(tmp_path / "out.txt", tmp_path / "out.txt.veilset")
