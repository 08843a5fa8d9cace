# SPDX-License-Identifier: Apache-2.0
"""Which layout lies at a place, and what cannot be told."""

from __future__ import annotations

import errno
import io
import os
import pickle
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.dataset.test_folder import PNG, put
from veilset.dataset import patience, stores
from veilset.dataset.containers import ContainerWriter
from veilset.dataset.folder import FolderReader, FolderWriter
from veilset.dataset.places import open_folder, open_reader, open_writer
from veilset.dataset.tar_index import Member
from veilset.dataset.webdataset import WebDatasetReader
from veilset.errors import ConfigError, DatasetError, DecodeError, RunError
from veilset.types import ImageRecord


def put_tar(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(PNG)
            tar.addfile(info, io.BytesIO(PNG))


def test_the_layout_is_told_from_the_names(tmp_path: Path) -> None:
    put(tmp_path / "a", "deep/er/x.png", ".hidden.tar", "words.txt")
    (tmp_path / "a" / "folder.tar").mkdir()
    put_tar(tmp_path / "b" / "deep" / "x.TAR", "y.png")
    (tmp_path / "b" / "index.json").write_text("{}")
    (tmp_path / "c").mkdir()
    assert isinstance(open_reader(tmp_path / "a"), FolderReader)
    assert isinstance(open_reader(tmp_path / "c"), FolderReader)
    for place in (tmp_path / "b", tmp_path / "b" / "deep" / "x.TAR"):
        reader = open_reader(place)
        assert isinstance(reader, WebDatasetReader)
        assert reader.count() == 1
        assert isinstance(open_writer(tmp_path / "out", like=reader), ContainerWriter)
    assert reader.passed_over() == {}
    folder = open_reader(tmp_path / "a")
    assert isinstance(open_writer(tmp_path / "out", like=folder), FolderWriter)


def test_tar_files_beside_images_are_refused_until_the_layout_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a/x.png")
    put_tar(tmp_path / "b.tar", "y.png")
    with pytest.raises(DatasetError, match="--layout"):
        open_reader(tmp_path)
    folder, tars = open_reader(tmp_path, "folder"), open_reader(tmp_path, "webdataset")
    found = [[r.image_id for s in each.shards(9) for r in s.records] for each in (folder, tars)]
    assert found == [["a/x.png"], ["b.tar/y.png"]]
    assert folder.passed_over() == {"not an image": 1}
    assert tars.passed_over() == {"not a tar file": 1}


def test_what_is_no_layout_or_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="auto, folder, webdataset"):
        open_reader(tmp_path, "tar")
    with pytest.raises(DatasetError, match="There is no folder"):
        open_reader(tmp_path / "nothing", "webdataset")
    with pytest.raises(DatasetError, match="holds no tar file"):
        open_reader(tmp_path, "webdataset").count()
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("only.txt"))
    with pytest.raises(DatasetError, match="hold no image"):
        open_reader(tmp_path).count()
    with pytest.raises(DatasetError, match=r"holds tar files, and review takes"):
        open_folder(tmp_path, "review")


def test_a_reader_of_tar_files_can_be_carried_to_another_process(tmp_path: Path) -> None:
    put_tar(tmp_path / "x.tar", "b.png", "a.png")
    reader = open_reader(tmp_path)
    shards = list(reader.shards(1))
    assert [r.image_id for r in shards[0].records] == ["x.tar/a.png", "x.tar/b.png"]
    copy = pickle.loads(pickle.dumps(reader))
    assert list(copy.shards(1)) == shards
    assert copy.read(shards[0].records[0]) == PNG


@pytest.mark.parametrize(
    "name", ["x.tar/c.png", "y.tar/a.png", "a.png", "../x.tar/a.png", "x.tar", "d/../x.tar/a.png"]
)
def test_one_image_that_is_not_there(tmp_path: Path, name: str) -> None:
    put_tar(tmp_path / "in" / "x.tar", "a.png")
    put_tar(tmp_path / "x.tar", "a.png")
    reader = open_reader(tmp_path / "in")
    with pytest.raises(DecodeError):
        reader.read(ImageRecord(name))


def test_names_that_are_not_utf8_are_listed_and_fail(tmp_path: Path) -> None:
    put_tar(tmp_path / "x.tar", "a.png", "b\udcff.png")
    reader = open_reader(tmp_path)
    (shard,) = reader.shards(1)
    assert [bool(record.problem) for record in shard.records] == [False, True]
    with reader.open_shard(shard) as tar, pytest.raises(DecodeError, match="UTF-8"):
        tar.read(shard.records[1])


@pytest.mark.parametrize(
    ("name", "least", "error", "says"),
    [
        ("EIO", 2, DecodeError, r"cannot be read \(Input/output error\)"),
        ("EIO", 0, RunError, r"x.tar cannot be read any more .*it goes on from here"),
        ("ENOTCONN", 0, RunError, r"x.tar/a.png could not .*endpoint is not connected\. .*goes on"),
    ],
)
def test_an_image_of_a_tar_file_that_the_disk_does_not_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, least: int, error: type[Exception], says: str,
) -> None:  # fmt: skip
    put_tar(tmp_path / "x.tar", "a.png")
    plain, number = os.pread, getattr(errno, name)

    def fail(descriptor: int, n_bytes: int, offset: int) -> bytes:
        if n_bytes >= least:
            raise OSError(number, os.strerror(number))
        return plain(descriptor, n_bytes, offset)

    monkeypatch.setattr(patience, "_PAUSES_S", (0, 0))
    with WebDatasetReader(tmp_path).open_container("x.tar") as container:
        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(error, match=says):
            container.read(ImageRecord("x.tar/a.png"))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ESTALE])
def test_a_container_that_the_machine_cannot_open_is_no_unreadable_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: str) -> None:
        raise OSError(number, os.strerror(number))

    put_tar(tmp_path / "x.tar", "a.png")
    reader = WebDatasetReader(tmp_path)
    monkeypatch.setattr(stores, "open", fail, raising=False)
    with pytest.raises(RunError, match=rf"x.tar could not .*{os.strerror(number)}\. .*it goes on"):
        reader.read(ImageRecord("x.tar/a.png"))


def test_a_source_that_cannot_be_read_is_not_told_of_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    put_tar(tmp_path / "in" / "x.tar", "a.png")
    reader = WebDatasetReader(tmp_path / "in")
    writer = ContainerWriter(tmp_path / "out")
    (shard,) = reader.shards()
    says = r"^x.tar cannot be put together: its source, or .* cannot be read \(Input/output error\)"
    with reader.open_shard(shard) as source, ExitStack() as stack:
        target = stack.enter_context(writer.open_shard(shard, source))
        target.write(shard.records[0], PNG)
        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(RunError, match=says):
            stack.close()
        # Nor what the block itself could not read.
        with pytest.raises(TimeoutError), writer.open_shard(shard, source):
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    assert not list((tmp_path / "out").iterdir())


def test_an_image_is_found_without_going_through_all_members(tmp_path: Path) -> None:
    put_tar(tmp_path / "x.tar", "a.png", "b.png")
    reader = open_reader(tmp_path)
    assert isinstance(reader, WebDatasetReader)
    with reader.open_container("x.tar") as tar:
        object.__setattr__(tar.index, "members", Unread())
    # Whatever goes through them for each image takes time that grows with their square.
    for name in ("x.tar/b.png", "x.tar/a.png"):
        assert reader.read(ImageRecord(name)) == PNG
    with pytest.raises(DecodeError, match="not in the tar file any more"):
        reader.read(ImageRecord("x.tar/c.png"))


class Unread(tuple[Member, ...]):
    """Members that are not to be gone through."""

    def __iter__(self) -> Iterator[Member]:
        raise AssertionError("All members were gone through.")
