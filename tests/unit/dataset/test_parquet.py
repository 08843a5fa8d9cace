# SPDX-License-Identifier: Apache-2.0
"""Parquet files that cannot be used, disks that are full, and work that is killed."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from PIL import Image as PillowImage

from tests.unit.dataset.drawn_parquet import (
    FIRST,
    IMAGE,
    PICTURE,
    SECOND,
    Row,
    pack,
    rewritten,
    store,
)
from tests.unit.verify.drawn import draw_photos
from veilset.dataset.containers import ContainerWriter
from veilset.dataset.parquet import ParquetReader
from veilset.dataset.places import open_folder, open_reader
from veilset.errors import DatasetError, DecodeError, RunError
from veilset.files import PART_PREFIX
from veilset.types import ImageRecord


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Parquet files."""
    base = tmp_path_factory.mktemp("parquet")
    draw_photos(base / "pictures")
    pack(base / "pictures", base / "photos")
    return base / "photos"


@pytest.mark.parametrize(
    ("name", "data_type", "value", "says"),
    [
        ("images", pa.list_(IMAGE), [{"bytes": PICTURE, "path": "x"}], "holds images inside of"),
        ("pair", pa.struct([("left", IMAGE)]), {"left": None}, "holds images inside of"),
        ("also", pa.struct([("bytes", pa.string()), ("path", pa.string())]), None, "has string"),
        ("also", pa.struct([("bytes", pa.null()), ("path", pa.string())]), None, "has null"),
        ("list", pa.list_(pa.binary()), [b"v", PICTURE], "published unseen"),
        ("map", pa.map_(pa.string(), pa.binary()), [("a", PICTURE)], "published unseen"),
        ("class", pa.dictionary(pa.int8(), pa.binary()), PICTURE, "published unseen"),
    ],
)
def test_images_where_none_are_looked_for_are_refused(
    tmp_path: Path, name: str, data_type: Any, value: object, says: str
) -> None:
    schema = pa.schema([("image", IMAGE), (name, data_type)])
    rows: list[Row] = [{"image": {"bytes": PICTURE, "path": None}, name: value}]
    store(tmp_path / "x.parquet", rows, schema)
    reader = ParquetReader(tmp_path)

    def read() -> None:
        for shard in reader.shards():
            with reader.open_shard(shard):
                pass

    with pytest.raises(DatasetError, match=says):
        read()


def test_an_image_far_down_a_column_of_other_bytes_is_refused(tmp_path: Path) -> None:
    schema = pa.schema([("image", IMAGE), ("vector", pa.binary())])
    # No accident of four bytes is taken for an image.
    rows: list[Row] = [{"image": {"bytes": PICTURE, "path": None}, "vector": b"II*\0abcd"}] * 200
    store(tmp_path / "x.parquet", rows, schema)
    rows.append(rows[0] | {"vector": PICTURE})
    store(tmp_path / "y.parquet", rows, schema)
    reader = ParquetReader(tmp_path)
    first, second = reader.shards()
    with reader.open_shard(first) as container:
        assert container.read(first.records[7]) == PICTURE
    with pytest.raises(DatasetError, match=r"'vector' holds an image"), reader.open_shard(second):
        pass


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x0cjP  \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x4f\xff\x51\0", b"BM"]
)
def test_formats_without_a_name_are_known_by_their_bytes(tmp_path: Path, head: bytes) -> None:
    value = head + bytes(90)
    if head == b"BM":
        stream = io.BytesIO()
        PillowImage.new("RGB", (9, 9)).save(stream, "BMP")
        value = stream.getvalue()
    schema = pa.schema([("image", IMAGE), ("mask", pa.binary())])
    rows: list[Row] = [{"image": {"bytes": PICTURE, "path": None}, "mask": value}]
    (shard,) = ParquetReader(store(tmp_path / "x.parquet", rows, schema)).shards()
    assert [record.image_id.split(".")[-1] for record in shard.records] == ["image", "mask"]


def test_columns_that_datasets_calls_something_else_are_judged_by_their_values(
    tmp_path: Path,
) -> None:
    features = {"sound": {"_type": "Audio"}, "image": {"_type": "Image"}}
    schema = pa.schema(
        [("image", IMAGE), ("sound", IMAGE)],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    row = {"image": {"bytes": PICTURE, "path": None}, "sound": {"bytes": b"RIFF", "path": "a.wav"}}
    path = store(tmp_path / "x.parquet", [row], schema)
    (shard,) = ParquetReader(path).shards()
    assert [record.image_id for record in shard.records] == ["x.parquet/00000000"]


DUCK_TYPES = """
    image blob, id uuid, big hugeint, price decimal(9, 2), words varchar[], class enum('a', 'b'),
    facts json, at_time time, at_day date, moment timestamptz, took interval, pair struct(a int),
    counts map(varchar, int)
"""
DUCK_ROW = """
    ?, uuid(), 5, 1.5, ['a', null], 'a', '{"a": 1}', '12:00:00', '2020-01-01',
    '2020-01-01 00:00:00+00', interval 1 day, {'a': 1}, map {'k': 1}
"""


def test_a_file_of_another_program_with_types_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "in" / "x.parquet"
    path.parent.mkdir()
    connection = duckdb.connect()
    connection.execute(f"create table made({DUCK_TYPES})")
    for at in range(3):
        connection.execute(f"insert into made values ({DUCK_ROW})", [PICTURE + bytes([at])])
    connection.execute(f"copy made to '{path}' (format parquet, compression zstd)")
    connection.close()
    reader, writer = ParquetReader(path.parent), ContainerWriter(tmp_path / "out")
    (shard,) = reader.shards()
    assert len(shard.records) == 3
    new = {record.image_id: PICTURE + b"new" for record in shard.records[1:]}
    with reader.open_shard(shard) as source, writer.open_shard(shard, source) as target:
        for record in shard.records[1:]:
            target.write(record, new[record.image_id])
        target.discard(shard.records[0])
    out = tmp_path / "out" / "x.parquet"
    with reader.open_container("x.parquet") as source, out.open("rb") as other:
        sizes = {name: len(data) for name, data in new.items()}
        assert not source.find_difference(other, sizes)
    before, after = (pq.read_table(each).drop(["image"]) for each in (path, out))
    assert after.to_pylist() == before.to_pylist()[1:]
    assert [field.type for field in after.schema] == [field.type for field in before.schema]


def test_a_reader_can_be_carried_to_another_process(packed: Path) -> None:
    reader = ParquetReader(packed)
    (first, _) = reader.shards()
    data = reader.read(first.records[0])
    copy = pickle.loads(pickle.dumps(reader))
    assert next(iter(copy.shards())) == first
    assert copy.read(first.records[0]) == data
    for name in (f"{FIRST}/00000001", f"{FIRST}/00000099", f"{FIRST}/1", "x.parquet/00000000"):
        with pytest.raises(DecodeError):
            reader.read(ImageRecord(name))


def test_a_source_that_changes_under_way_is_refused(packed: Path, tmp_path: Path) -> None:
    photos = shutil.copytree(packed, tmp_path / "photos")
    reader = ParquetReader(photos)
    first = next(iter(reader.shards()))
    rewritten(photos / FIRST, lambda rows: rows.pop(0))
    with pytest.raises(DatasetError, match="changed while"), reader.open_shard(first):
        pass


def encrypted(folder: Path, *, plaintext_footer: bool) -> None:
    class Kms(pe.KmsClient):  # type: ignore[misc]  # Any to mypy
        def __init__(self, _: object) -> None:
            pe.KmsClient.__init__(self)

        def wrap_key(self, key: bytes, _: str) -> bytes:
            return base64.b64encode(key)

        def unwrap_key(self, wrapped: bytes, _: str) -> bytes:
            return base64.b64decode(wrapped)

    table = pq.read_table(folder / FIRST)
    configuration = pe.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["label"]}, plaintext_footer=plaintext_footer
    )
    factory = pe.CryptoFactory(lambda connection: Kms(connection))
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), configuration)
    pq.write_table(table, folder / FIRST, encryption_properties=properties)


def damage(folder: Path) -> None:
    data = bytearray((folder / FIRST).read_bytes())
    data[-200:-100] = bytes(100)
    (folder / FIRST).write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "a.jpg").write_bytes(b"\xff\xd8\xff"), "say with --layout which"),
        (lambda f: (f / "a.tar").write_bytes(b""), "say with --layout which"),
        (lambda f: (f / "a.parquet").write_bytes(b""), "no whole Parquet file"),
        (lambda f: os.truncate(f / FIRST, 4000), "no whole Parquet file"),
        (damage, "no whole Parquet file"),
        (lambda f: pq.write_table(pa.table({"x": [1]}), f / "a.parquet"), "no column of images"),
        (lambda f: encrypted(f, plaintext_footer=False), "is encrypted"),
        (lambda f: encrypted(f, plaintext_footer=True), "is encrypted"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(
    packed: Path, tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(packed, photos)
    spoil(photos)
    with pytest.raises(DatasetError, match=says) as raised:
        open_reader(photos).count()
    assert "\n" not in str(raised.value)


FLIP = """
import sys
from pathlib import Path
from veilset.dataset.parquet import ParquetReader
from veilset.errors import VeilsetError

path = Path(sys.argv[1])
data = path.read_bytes()
n_footer = int.from_bytes(data[-8:-4], "little")
n_refused = 0
for at in range(len(data) - 8 - n_footer, len(data) - 8):
    for flip in (6, 0xFF):
        changed = bytearray(data)
        changed[at] ^= flip
        path.write_bytes(changed)
        reader = ParquetReader(path)
        try:
            (shard,) = reader.shards()
            with reader.open_shard(shard) as container:
                container.read(shard.records[0])
        except VeilsetError:
            n_refused += 1
print(n_footer, n_refused)
"""


def test_no_damaged_byte_of_a_footer_ends_the_process(tmp_path: Path) -> None:
    """pyarrow ends the process where it is asked about a column that contradicts the schema."""
    schema = pa.schema([("image", IMAGE), ("label", pa.list_(pa.int8()))])
    rows: list[Row] = [{"image": {"bytes": PICTURE, "path": None}, "label": [at]} for at in (1, 2)]
    path = store(tmp_path / "x.parquet", rows, schema, store_schema=False)
    words = [sys.executable, "-c", FLIP, str(path)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    n_footer, n_refused = map(int, done.stdout.split())
    assert n_refused > n_footer


@contextmanager
def full_disk(n_bytes: int) -> Iterator[None]:
    """Let no file grow beyond that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Room for the images that wait, not for the file; then not even for those.
@pytest.mark.parametrize("n_bytes", [24_900, 26_000])
def test_a_full_disk_leaves_nothing_under_the_name(
    packed: Path, tmp_path: Path, n_bytes: int
) -> None:
    reader, writer = ParquetReader(packed), ContainerWriter(tmp_path / "out")
    shard = next(iter(reader.shards()))
    with (
        reader.open_shard(shard) as source,
        pytest.raises(RunError, match=r"cannot be written .*it goes on from here"),
        full_disk(25_000),
        writer.open_shard(shard, source) as target,
    ):
        target.write(shard.records[0], os.urandom(n_bytes))
    assert not list(tmp_path.rglob("*.parquet"))
    assert not list(tmp_path.rglob(f"{PART_PREFIX}*"))


def test_a_full_disk_for_temporary_files(packed: Path) -> None:
    reader = ParquetReader(packed)
    record = next(iter(reader.shards())).records[0]
    with full_disk(1000), pytest.raises(RunError, match="The folder for temporary files"):
        reader.read(record)


def test_review_refuses_parquet_files(packed: Path) -> None:
    with pytest.raises(DatasetError, match="holds Parquet files, and review takes"):
        open_folder(packed, "review")


WORK = """
import sys
from pathlib import Path
from veilset.dataset import containers
from veilset.dataset.containers import ContainerWriter
from veilset.dataset.parquet import ParquetReader

source, target = map(Path, sys.argv[1:3])
n_read, stop_at = 0, int(sys.argv[3])
read_image = containers.Spool.read

def read(spool, image_id):
    global n_read
    n_read += 1
    if n_read == stop_at:
        print("assembling", flush=True)
        sys.stdin.read()
    return read_image(spool, image_id)

containers.Spool.read = read
reader, writer = ParquetReader(source), containers.ContainerWriter(target)
for shard in reader.shards():
    with reader.open_shard(shard) as container, writer.open_shard(shard, container) as images:
        for record in shard.records:
            images.write(record, container.read(record) + b"new")
"""


def test_killed_while_a_file_is_put_together(packed: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", WORK, str(packed)]
    subprocess.run([*words, str(tmp_path / "whole"), "0"], check=True)
    out = tmp_path / "out"
    killed = subprocess.Popen(
        [*words, str(out), "7"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout
    assert killed.stdout.readline() == "assembling\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    # The first file is whole, of the second there is nothing but a part.
    found = {p.name: p.read_bytes() for p in out.rglob("*.parquet")}
    assert found == {Path(FIRST).name: (tmp_path / "whole" / FIRST).read_bytes()}
    assert [p.name.startswith(PART_PREFIX) for p in (out / "data").glob(".*")] == [True]
    subprocess.run([*words, str(out), "0"], check=True)
    for name in (FIRST, SECOND):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(out.rglob(f"{PART_PREFIX}*"))
