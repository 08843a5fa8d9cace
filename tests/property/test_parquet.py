# SPDX-License-Identifier: Apache-2.0
"""Random Parquet files: every image is read; written anew, all else is the same."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilset.dataset.containers import ContainerWriter
from veilset.dataset.parquet import ParquetReader
from veilset.errors import DatasetError, DecodeError
from veilset.protocols import Shard

PNG = b"\x89PNG\r\n\x1a\n"
HUGGING_FACE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CODECS = ("NONE", "SNAPPY", "GZIP", "ZSTD", "LZ4", "BROTLI")

floats = st.floats(width=32) | st.sampled_from([float("nan"), -0.0, 0.0, float("inf")])
texts = st.text(max_size=5)
COLUMNS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "label": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "small": (pa.uint8(), st.integers(0, 255)),
    "flag": (pa.bool_(), st.booleans()),
    "a.b": (pa.float32(), floats),
    "double": (pa.float64(), floats),
    "half": (pa.float16(), st.floats(width=16)),
    "caption/é": (pa.string(), texts),
    "large": (pa.large_string(), texts),
    "words": (pa.list_(pa.string()), st.lists(texts | st.none(), max_size=3)),
    "vector": (pa.list_(pa.float32(), 2), st.lists(floats, min_size=2, max_size=2)),
    "inner": (
        pa.struct([("x", pa.int8()), ("y", pa.list_(pa.float64()))]),
        st.fixed_dictionaries(
            {"x": st.integers(-9, 9) | st.none(), "y": st.lists(floats, max_size=2) | st.none()}
        ),
    ),
    "pairs": (pa.map_(pa.string(), pa.float32()), st.lists(st.tuples(texts, floats), max_size=2)),
    "class": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["dog", "cat", "Zoë"])),
    "time": (
        pa.timestamp("us", "Europe/Berlin"),
        st.integers(0, 10**12).map(lambda s: datetime.fromtimestamp(s / 1000, UTC)),
    ),
    "price": (pa.decimal128(9, 2), st.integers(0, 9999).map(lambda n: Decimal(n) / 100)),
    "embedding": (pa.binary(), st.binary(max_size=9).map(lambda data: b"v" + data)),
    "fixed": (pa.binary(4), st.binary(min_size=3, max_size=3).map(lambda data: b"f" + data)),
}


@dataclass(frozen=True)
class Stored:
    """A table, and how it is stored."""

    table: Any
    options: dict[str, Any]

    def write(self, path: Path, table: Any = None) -> Path:
        table = self.table if table is None else table
        options = dict(self.options)
        n_rows, beside = options.pop("row_group_size"), options.pop("beside")
        with pq.ParquetWriter(path, table.schema, **options) as writer:
            writer.write_table(table, row_group_size=n_rows)
            if beside:
                writer.add_key_value_metadata(beside)
        return path

    def images(self) -> dict[str, bytes]:
        """Give what the images are, by name, told without the code under test."""
        names = [name for name in ("image", "z/plain") if name in self.table.column_names]
        found = {}
        for name in names:
            suffix = "" if len(names) == 1 else f".{name.replace('/', '%2F')}"
            for row, value in enumerate(self.table[name].to_pylist()):
                data = value["bytes"] if isinstance(value, dict) else value
                if data is not None:
                    found[f"x.parquet/{row:08d}{suffix}"] = data
        return found


@st.composite
def stored_tables(draw: st.DrawFn) -> Stored:
    n_rows = draw(st.integers(1, 12))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values | st.none(), min_size=n_rows, max_size=n_rows))

    image = st.binary(max_size=40).map(lambda data: PNG + data)
    struct = st.fixed_dictionaries({"bytes": image, "path": texts | st.none()})
    empty = st.just({"bytes": None, "path": None})
    fields = [pa.field("image", HUGGING_FACE)]
    columns = [column(struct | empty)]
    # Without one picture at least, plain bytes are no images.
    plain = column(image) if draw(st.booleans()) else []
    if any(plain):
        fields.append(pa.field("z/plain", pa.large_binary()))
        columns.append(plain)
    for name in draw(st.lists(st.sampled_from(sorted(COLUMNS)), unique=True, max_size=5)):
        data_type, values = COLUMNS[name]
        fields.append(pa.field(name, data_type, metadata=draw(st.sampled_from([None, {"a": "b"}]))))
        columns.append(column(values))
    metadata = draw(st.sampled_from([None, {"huggingface": "{}", "other": "Zoë"}]))
    order = draw(st.permutations(range(len(fields))))
    schema = pa.schema([fields[at] for at in order], metadata=metadata)
    arrays = [pa.array(columns[at], fields[at].type) for at in order]
    options = {
        "row_group_size": draw(st.integers(1, n_rows)),
        "compression": draw(st.sampled_from(CODECS)),
        "use_dictionary": draw(st.booleans()),
        "store_schema": draw(st.booleans()),
        "write_statistics": draw(st.booleans()),
        "write_page_index": draw(st.booleans()),
        # As writers other than pyarrow do it.
        "beside": draw(st.sampled_from([{}, {"org.apache.spark": "Zoë"}])),
    }
    return Stored(pa.Table.from_arrays(arrays, schema=schema), options)


def one_shard(folder: Path) -> tuple[ParquetReader, Shard]:
    reader = ParquetReader(folder)
    shards = list(reader.shards())
    assert [shard.container for shard in shards] == ["x.parquet", "y.parquet"]
    return reader, shards[0]


def put(folder: Path, stored: Stored) -> None:
    folder.mkdir()
    stored.write(folder / "x.parquet")
    # Another file, so that there always is an image somewhere.
    row = [{"bytes": PNG, "path": None}]
    pq.write_table(pa.table({"image": pa.array(row, HUGGING_FACE)}), folder / "y.parquet")


def rewrite(source: Path, target: Path, new: dict[str, bytes]) -> tuple[Path, set[str]]:
    """Write the images of a file anew; those without new bytes are discarded."""
    reader, shard = one_shard(source)
    with (
        reader.open_shard(shard) as container,
        ContainerWriter(target).open_shard(shard, container) as writer,
    ):
        for record in reversed(shard.records):
            if record.image_id in new:
                writer.write(record, new[record.image_id])
            else:
                writer.discard(record)
        withdrawn = set(writer.withdrawn())
    assert [path.name for path in target.iterdir()] == ["x.parquet"]
    return target / "x.parquet", withdrawn


def difference(source: Path, path: Path, written: dict[str, bytes]) -> str:
    reader, shard = one_shard(source)
    sizes = {name: len(data) for name, data in written.items()}
    with reader.open_container(shard.container) as container, path.open("rb") as other:
        return container.find_difference(other, sizes)


def stored_values(path: Path) -> str:
    """Give all values of a file as a text: NaN is equal to NaN, and 0 is not -0."""
    return repr(pq.ParquetFile(path).read().to_pylist())


def facts(path: Path) -> tuple[Any, ...]:
    """Give what of a file has to stay besides its values."""
    file = pq.ParquetFile(path)
    groups = [file.metadata.row_group(at) for at in range(file.num_row_groups)]
    return (
        str(file.schema).partition("\n")[2],
        repr(file.schema_arrow.metadata),
        [field.metadata for field in file.schema_arrow],
        [group.num_rows for group in groups],
        [group.column(at).compression for group in groups for at in range(group.num_columns)],
        {k: v for k, v in (file.metadata.metadata or {}).items() if k != b"ARROW:schema"},
        b"ARROW:schema" in (file.metadata.metadata or {}),
    )


@settings(deadline=None, max_examples=40)
@given(stored_tables())
def test_every_image_is_listed_and_read_and_all_else_stays(stored: Stored) -> None:
    images = stored.images()
    with tempfile.TemporaryDirectory() as base:
        source = Path(base) / "in"
        put(source, stored)
        reader, shard = one_shard(source)
        order = [record.order_key for record in shard.records]
        assert order == sorted(order)
        with reader.open_shard(shard) as container:
            assert {r.image_id: container.read(r) for r in shard.records} == images
        assert {r.image_id: reader.read(r) for r in shard.records} == images
        path, withdrawn = rewrite(source, Path(base) / "out", images)
        assert not withdrawn
        assert stored_values(path) == stored_values(source / "x.parquet")
        assert facts(path) == facts(source / "x.parquet")
        assert b"veilset" not in (pq.ParquetFile(path).metadata.metadata or {})
        assert not difference(source, path, images)


@settings(deadline=None, max_examples=40)
@given(stored_tables(), st.data())
def test_rows_of_failed_images_go_and_the_others_keep_their_names(
    stored: Stored, draw: st.DataObject
) -> None:
    images = stored.images()
    chosen = draw.draw(st.sets(st.sampled_from(sorted(images)))) if images else set()
    new = {name: PNG + draw.draw(st.binary(max_size=90)) for name in sorted(chosen)}
    gone = {int(name.split("/")[1][:8]) for name in images if name not in new}
    left = {name: data for name, data in new.items() if int(name.split("/")[1][:8]) not in gone}
    with tempfile.TemporaryDirectory() as base:
        source = Path(base) / "in"
        put(source, stored)
        path, withdrawn = rewrite(source, Path(base) / "out", new)
        assert withdrawn == new.keys() - left.keys()
        shutil.copy(source / "y.parquet", Path(base) / "out")
        outputs, shard = one_shard(Path(base) / "out")
        assert {r.image_id: outputs.read(r) for r in shard.records} == left
        kept = [row for row in range(stored.table.num_rows) if row not in gone]
        plain = [name for name in stored.table.column_names if name not in ("image", "z/plain")]
        before = pq.read_table(source / "x.parquet").select(plain).to_pylist()
        after = pq.read_table(path).select(plain).to_pylist()
        assert repr(after) == repr([before[row] for row in kept])
        assert not difference(source, path, left)
        # Once more, as when an image is withdrawn from a release.
        if left:
            more = {name: left[name] for name in sorted(left)[1:]}
            again, _ = rewrite(Path(base) / "out", Path(base) / "again", more)
            shutil.copy(source / "y.parquet", Path(base) / "again")
            outputs, shard = one_shard(Path(base) / "again")
            assert {r.image_id for r in shard.records} <= more.keys()
            assert all(outputs.read(r) == more[r.image_id] for r in shard.records)
            assert again.name == "x.parquet"


@settings(deadline=None, max_examples=60)
@given(stored_tables(), st.data())
def test_any_other_value_is_a_difference(stored: Stored, draw: st.DataObject) -> None:
    images = stored.images()
    table = stored.table
    name = draw.draw(st.sampled_from(table.column_names))
    row = draw.draw(st.integers(0, table.num_rows - 1))
    at = table.column_names.index(name)
    values = table[name].to_pylist()
    if name == "image":
        old = values[row] or {"bytes": None, "path": None}
        other: Any = {"bytes": old["bytes"], "path": (old["path"] or "") + "x"}
    elif name == "z/plain":
        other = None if values[row] is not None else PNG
    else:
        other = draw.draw(COLUMNS[name][1] | st.none())
    changed = [*values[:row], other, *values[row + 1 :]]
    array = pa.array(changed, table.schema.field(name).type)
    with tempfile.TemporaryDirectory() as base:
        source = Path(base) / "in"
        put(source, stored)
        path = stored.write(Path(base) / "x.parquet", table.set_column(at, table.field(at), array))
        is_same = stored_values(path) == stored_values(source / "x.parquet")
        assert bool(difference(source, path, images)) != is_same


@settings(deadline=None, max_examples=25)
@given(stored_tables(), st.data())
def test_cut_anywhere_it_is_refused(stored: Stored, draw: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as base:
        path = stored.write(Path(base) / "x.parquet")
        data = path.read_bytes()
        path.write_bytes(data[: draw.draw(st.integers(0, len(data) - 1))])
        with pytest.raises(DatasetError, match="no whole Parquet file"):
            list(ParquetReader(path).shards())


@settings(deadline=None, max_examples=60)
@given(stored_tables(), st.data())
def test_a_damaged_byte_ends_in_a_sentence_or_in_an_image(
    stored: Stored, draw: st.DataObject
) -> None:
    """Pages without a checksum may give other values, never another kind of error."""
    with tempfile.TemporaryDirectory() as base:
        data = bytearray(stored.write(Path(base) / "x.parquet").read_bytes())
    at = draw.draw(st.integers(0, len(data) - 8 - int.from_bytes(data[-8:-4], "little") - 1))
    data[at] ^= draw.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as base:
        path = Path(base) / "x.parquet"
        path.write_bytes(data)
        reader = ParquetReader(path)
        try:
            (shard,) = reader.shards()
            with reader.open_shard(shard) as container:
                for record in shard.records:
                    container.read(record)
        except (DecodeError, DatasetError):
            return
        assert len(shard.records) <= 2 * stored.table.num_rows


@settings(deadline=None, max_examples=60)
@given(stored_tables(), st.data())
def test_a_damaged_byte_of_a_release_is_found_or_changes_no_value(
    stored: Stored, draw: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as base:
        source = Path(base) / "in"
        put(source, stored)
        data = bytearray((source / "x.parquet").read_bytes())
        at = draw.draw(st.integers(0, len(data) - 1))
        data[at] ^= draw.draw(st.integers(1, 255))
        path = Path(base) / "x.parquet"
        path.write_bytes(data)
        if difference(source, path, stored.images()):
            return
        for before, after in zip(rows_without_images(source / "x.parquet"),
                                 rows_without_images(path), strict=True):  # fmt: skip
            assert before == after


def rows_without_images(path: Path) -> list[str]:
    """Give the rows of a file as texts, with the sizes of the images in their place."""
    rows = pq.ParquetFile(path).read().to_pylist()
    for row in rows:
        if row["image"]:
            row["image"]["bytes"] = len(row["image"]["bytes"] or b"")
        if row.get("z/plain"):
            row["z/plain"] = len(row["z/plain"])
    return [repr(row) for row in rows]
