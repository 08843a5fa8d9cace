# SPDX-License-Identifier: Apache-2.0
"""Files at a URL: the same answers as from a folder, on a real S3 server and in memory."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from tests.s3 import get_files, put_files
from tests.unit.dataset.remote_places import names, place, s3, server
from tests.unit.dataset.test_folder import PNG
from veilset.dataset.folder import FolderReader
from veilset.dataset.places import open_reader, open_writer
from veilset.dataset.remote import RemoteStore
from veilset.dataset.stores import LocalStore, Store, open_place, open_store
from veilset.dataset.urls import connect
from veilset.dataset.webdataset import WebDatasetReader
from veilset.errors import ConfigError, DatasetError, DecodeError, RunError

__all__ = ["place", "s3", "server"]


FILES = {
    "a.jpg": b"1",
    "a/x/y.png": b"22",
    "a-b/z.png": b"333",
    "b/2.jpg": b"",
    "b/10.jpg": b"4444",
    "b/.hidden/c.jpg": b"5",
    ".h.jpg": b"6",
    "words é 漢?.txt": b"7",
}


def test_listed_as_in_a_folder(place: str, tmp_path: Path) -> None:
    put_files(place, FILES)
    local = LocalStore(tmp_path)
    for name, data in FILES.items():
        local.write(name, data)
    store = open_store(place)
    assert names(store) == names(local)
    assert names(local)[1] == {"hidden": 2, "a text": 1}
    assert list(store.everything()) == list(local.everything())
    assert list(RemoteStore(f"{place}/").everything()) == list(local.everything())
    for name, data in FILES.items():
        assert store.read(name, 4) == local.read(name, 4) == data
        assert store.head(name) == data
        with store.open(name) as stream:
            assert stream.read() == data
            assert stream.seek(-len(data), os.SEEK_END) == 0
            assert os.pread(stream.fileno(), 9, 0) == data


def test_what_is_written_is_there_and_what_breaks_off_is_not(place: str) -> None:
    store = open_store(place)
    assert store.is_empty()
    store.write("a/b.jpg", b"1")
    store.write("a/b.jpg", b"two")
    with store.create("c.tar") as target:
        target.write(b"whole")
    with pytest.raises(KeyError):
        break_off(store)
    assert get_files(place) == {"a/b.jpg": b"two", "c.tar": b"whole"}
    assert not store.is_empty()
    store.delete("a/b.jpg")
    store.delete("a/b.jpg")
    assert get_files(place) == {"c.tar": b"whole"}
    with pytest.raises(DatasetError, match="leads out"):
        store.write("../x", b"")


def break_off(store: Store) -> None:
    with store.create("d.tar") as target:
        target.write(b"half")
        raise KeyError


def test_facts_change_with_the_file(place: str) -> None:
    put_files(place, {"a/b.jpg": b"1", "a/c.jpg": b"1"})
    store = open_store(place)
    assert store.facts("nothing") is None
    asked = store.facts("a/b.jpg")
    assert names(store)[0] == ["a/b.jpg", "a/c.jpg"]
    # What the listing said and what the file itself says are one.
    assert repr(store.facts("a/b.jpg")) == repr(asked) == repr(store.version("a/b.jpg"))
    put_files(place, {"a/b.jpg": b"2"})
    assert store.version("a/b.jpg") != asked
    assert names(store)[0]
    assert store.facts("a/b.jpg") != asked


def test_a_file_is_fetched_once_by_all_threads_until_it_changes(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 40
    put_files(place, {"x.tar": data, **dict.fromkeys("abcd", b"1")})
    store = RemoteStore(place)
    fs, _ = connect(place)
    fetched: list[str] = []
    get_file = fs.get_file

    def count(source: str, target: str, **options: Any) -> None:
        fetched.append(source.rpartition("/")[2])
        get_file(source, target, **options)

    monkeypatch.setattr(fs, "get_file", count)
    monkeypatch.setattr("veilset.dataset.remote.connect", lambda url: (fs, connect(url)[1]))

    def read(at: int) -> bytes:
        with store.open("x.tar") as stream:
            stream.seek(at)
            return stream.read(10)

    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(read, range(64)))
    assert found == [data[at : at + 10] for at in range(64)]
    assert fetched == ["x.tar"]
    with store.open("x.tar") as stream:
        for name in "abcd":
            with store.open(name):
                pass
        # It is not among the last four any more, and stays whole for those who have it open.
        assert stream.read() == data
    read(0)
    assert fetched == ["x.tar", *"abcd", "x.tar"]
    put_files(place, {"x.tar": data[::-1]})
    assert read(0) == data[::-1][:10]


def test_no_room_for_temporary_files_is_said(place: str) -> None:
    put_files(place, {"x.tar": bytes(30_000)})
    store = open_store(place)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="has no room for it: set TMPDIR"), store.open("x.tar"):
            pass
        with pytest.raises(RunError, match=f"{tempfile.gettempdir()} cannot be written"):
            write_large(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [name for name, _ in store.everything()] == ["x.tar"]


def test_only_what_fails_in_writing_is_told_of_the_target(place: str, tmp_path: Path) -> None:
    for store in (open_store(place), open_store(tmp_path)):
        with pytest.raises(OSError, match="the source is gone"):
            write_and_fail(store)
        assert list(store.everything()) == []
        with store.create("x.tar") as target:
            target.write(b"1")
        assert store.read("x.tar", 9) == b"1"


def write_and_fail(store: Store) -> None:
    with store.create("x.tar") as target:
        target.write(bytes(30_000))
        raise OSError(errno.EIO, "the source is gone")


def test_one_image(place: str) -> None:
    put_files(place, {"a.jpg": b"12345"})
    store = open_store(place)
    with pytest.raises(DecodeError, match="5 bytes, the limit is 4") as caught:
        store.read("a.jpg", 4)
    assert caught.value.reason == "over-limit"
    with pytest.raises(DecodeError, match="The file is gone") as caught:
        store.read("b.jpg", 4)
    assert caught.value.reason == "missing"
    single, name = open_place(f"{place}/a.jpg")
    assert (single.root, name) == (place, "a.jpg")
    assert open_place(place)[1] == ""


def test_a_place_where_nothing_is(place: str) -> None:
    with pytest.raises(DatasetError, match=f"There is nothing at {place}"):
        FolderReader(place)
    store = open_store(place)
    # An object store knows no folders: what is not there yet can be written to.
    assert store.is_there()
    assert store.is_empty()
    put_files(place, {"a.jpg": b""})
    with pytest.raises(DatasetError, match="is not a folder"):
        FolderReader(f"{place}/a.jpg")


def test_names_that_only_an_object_store_has(s3: str) -> None:
    put_files(s3, {"a.jpg": b"1", "a.jpg/b.jpg": b"2", "c/": b"", "c/d.jpg": b"3", "e/": b""})
    store = open_store(s3)
    assert names(store) == (["a.jpg", "a.jpg/b.jpg", "c/d.jpg"], {})
    everything = [("a.jpg", "file"), ("a.jpg/b.jpg", "file"), ("c/d.jpg", "file"), ("e", "folder")]
    assert list(store.everything()) == everything
    put_files(s3, {"c//f.jpg": b"4", "g/": b"content"})
    with pytest.raises(DatasetError, match="an empty part"):
        names(store)
    strange = [("c//", "other"), ("g//", "other")]
    assert [pair for pair in store.everything() if pair not in everything] == strange


KILLED_WITHIN = """
import os, signal, sys
import s3fs
from veilset.dataset.places import open_reader, open_writer
from veilset.dataset.remote import RemoteStore
from veilset.dataset.urls import answers, connect

async def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

s3fs.core.calculate_chunksize = lambda size, chunksize: 5 << 20
store = RemoteStore(sys.argv[1])
connect(sys.argv[1])[0]._upload_file_part_concurrent = die
with store.create("y.tar") as target:
    target.truncate(11 << 20)
"""


def test_a_large_file_appears_whole_or_not_at_all(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, client = open_store(s3), boto3.client("s3")
    done = subprocess.run([sys.executable, "-c", KILLED_WITHIN, s3], check=False)
    assert done.returncode == -signal.SIGKILL
    # The upload had begun, in parts, and what there is of it has no name.
    (begun,) = client.list_multipart_uploads(Bucket="bucket")["Uploads"]
    assert begun["Key"].endswith("/y.tar")
    assert store.is_empty()
    fs, _ = connect(s3)
    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda size, chunksize: 5 << 20)

    async def fail(*_: object, **__: object) -> None:
        raise OSError(5, "the line is dead")

    with monkeypatch.context() as patch:
        patch.setattr(fs, "_upload_file_part_concurrent", fail)
        with pytest.raises(RunError, match="the line is dead"):
            write_large(store)
    assert len(client.list_multipart_uploads(Bucket="bucket")["Uploads"]) == 1
    assert store.is_empty()
    write_large(store)
    assert client.head_object(Bucket="bucket", Key=begun["Key"])["ContentLength"] == 11 << 20
    client.close()


def write_large(store: Store) -> None:
    with store.create("y.tar") as target:
        target.truncate(11 << 20)


def drawn_layouts() -> dict[str, tuple[str, dict[str, bytes]]]:
    """Give data sets of every layout: where to open each below its place, and its files."""
    images = {"a/1.png": PNG + b"1", "b.png": PNG + b"2"}
    entries = [{"id": n, "file_name": name} for n, name in enumerate(images)]
    tar, table = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as target:
        for name, data in {**images, "b.txt": b"words"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    rows = [{"bytes": data, "path": name} for name, data in images.items()]
    pq.write_table(pa.table({"image": rows, "label": [1, 2]}), table)
    return {
        "folder": ("", images),
        "webdataset": ("", {"x/1.tar": tar.getvalue()}),
        "parquet": ("", {"x/1.parquet": table.getvalue()}),
        "list": ("/a.txt", images | {"a.txt": b"b.png 1\na/1.png 2\n"}),
        "coco": ("/c.json", images | {"c.json": json.dumps({"images": entries}).encode()}),
    }


@pytest.mark.parametrize("layout", drawn_layouts())
def test_every_layout_is_read_and_written_there(layout: str, place: str, tmp_path: Path) -> None:
    below, files = drawn_layouts()[layout]
    local = LocalStore(tmp_path / "in")
    for name, data in files.items():
        local.write(name, data)
    put_files(f"{place}/in", files)
    written = []
    for base in (str(tmp_path), place):
        reader = open_reader(f"{base}/in{below}")
        assert reader.describe()["layout"] == layout
        writer = open_writer(f"{base}/out", like=reader)
        shards = list(reader.shards(9))
        first, *others = [record for shard in shards for record in shard.records]
        for shard in shards:
            with reader.open_shard(shard) as source, writer.open_shard(shard, source) as target:
                target.discard(first)
                for record in others:
                    target.write(record, source.read(record) + b"new")
        writer.finish([first.image_id])
        written.append((shards, [reader.read(record) for record in (first, *others)]))
    assert written[0] == written[1]
    out = tmp_path / "out"
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.*")}
    assert get_files(f"{place}/out") == found
    assert any(PNG + b"2new" in data for data in found.values())
    assert not any(PNG + b"1" in data for data in found.values())


def test_carried_to_another_process(s3: str) -> None:
    put_files(s3, {"a.jpg": b"\xff\xd8\xff"})
    reader = FolderReader(s3)
    assert reader.count() == 1
    copy = pickle.loads(pickle.dumps(reader))
    assert list(copy.shards()) == list(reader.shards())
    put_files("memory://carried", {"a.jpg": b"", "b.tar": b""})
    for each in (FolderReader, WebDatasetReader):
        with pytest.raises(ConfigError, match="memory of this process"):
            pickle.dumps(each("memory://carried"))
