# SPDX-License-Identifier: Apache-2.0
"""Pictures that cannot be processed are images all the same: none is carried over unseen."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.dataset.drawn_parquet import IMAGE, PICTURE, Row, store
from tests.unit.images.test_first_bytes import STUBS, WRITTEN
from veilset.dataset.folder import FolderReader
from veilset.dataset.parquet import ParquetReader
from veilset.dataset.webdataset import WebDatasetReader
from veilset.errors import DatasetError

BESIDE = {
    "x.cls": b"P1\n", "x.txt": b"P5 is what it shows", "x.json": b'{"a": "<svg/>"}',
    "x.xml": b"<?xml version='1.0'?><annotation/>", "x.npy": b"\x93NUMPY\1\0", "x.id": b"BM 7",
}  # fmt: skip
NAMED = ("x.ppm", "x.svg", "x.ICO", "x.psd", "x.dng", "x.cr3", "x.nef", "x.arw", "x.raf")


def pack(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_file_or_a_member_of_any_kind_and_name_is_an_image(tmp_path: Path, kind: str) -> None:
    members = {"x.png": PICTURE, "x.dat": WRITTEN[kind], **BESIDE}
    (tmp_path / "tars").mkdir()
    pack(tmp_path / "tars" / "a.tar", members)
    (shard,) = WebDatasetReader(tmp_path / "tars").shards()
    assert [each.image_id for each in shard.records] == ["a.tar/x.dat", "a.tar/x.png"]
    (tmp_path / "folder").mkdir()
    for name, data in members.items():
        (tmp_path / "folder" / name).write_bytes(data)
    (shard,) = FolderReader(tmp_path / "folder").shards()
    assert [each.image_id for each in shard.records] == ["x.dat", "x.png"]


@pytest.mark.parametrize("name", NAMED)
def test_the_ending_of_a_picture_is_enough(tmp_path: Path, name: str) -> None:
    pack(tmp_path / "a.tar", {"x.png": PICTURE, name: b"of a kind that nobody knows"})
    (shard,) = WebDatasetReader(tmp_path).shards()
    assert {each.image_id for each in shard.records} == {"a.tar/x.png", f"a.tar/{name}"}
    (tmp_path / name).write_bytes(b"of a kind that nobody knows")
    (shard,) = FolderReader(tmp_path).shards()
    assert [each.image_id for each in shard.records] == [name]


def read(path: Path) -> list[str]:
    reader = ParquetReader(path)
    (shard,) = reader.shards()
    with reader.open_shard(shard) as container:
        container.read(shard.records[0])
    return [each.image_id.rpartition(".")[2] for each in shard.records]


def rows_of(values: list[bytes]) -> list[Row]:
    return [{"image": {"bytes": PICTURE, "path": None}, "other": each} for each in values]


@pytest.mark.parametrize("data", [*WRITTEN.values(), *STUBS])
def test_of_a_parquet_file_too(tmp_path: Path, data: bytes) -> None:
    schema = pa.schema([("image", IMAGE), ("other", pa.binary())])
    store(tmp_path / "first.parquet", rows_of([data]), schema)
    assert read(tmp_path / "first.parquet") == ["image", "other"]
    store(tmp_path / "late.parquet", rows_of([b"vector"] * 70 + [data]), schema)
    with pytest.raises(DatasetError, match="published unseen"):
        read(tmp_path / "late.parquet")


def test_columns_of_numbers_are_none_of_pictures(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    values = [each.tobytes() for each in chance.normal(size=(400, 16)).astype("<f4")]
    # Two bytes of the first number are those of a JPEG XL without boxes.
    values[9] = b"\xff\x0a\xfa\x1f\x01\x90" + values[9][6:]
    values[10] = b"\xff\xd8\xff\0" + values[10][4:]
    values[11] = b"II*\0\xff\xff\xff\x3f" + values[11][8:]
    schema = pa.schema([("image", IMAGE), ("other", pa.binary())])
    store(tmp_path / "x.parquet", rows_of(values), schema)
    assert set(read(tmp_path / "x.parquet")) == {
        f"parquet/{at:08d}" for at in range(len(values))
    }  # one column of images: no name of a column follows
