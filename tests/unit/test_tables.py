# SPDX-License-Identifier: Apache-2.0
"""Sharded tables: a row is found in its shard, whatever lies around it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from veilset.tables import ShardedTable, write_table
from veilset.types import ImageRecord

SCHEMA = pa.schema([("image_id", pa.string())], metadata={"veilset": "test/1"})


@given(
    st.sets(st.text("ab/.", min_size=1, max_size=4), max_size=8),
    st.lists(st.integers(0, 3), max_size=6),
)
def test_rows_are_found_between_shards_without_rows(names: set[str], sizes: list[int]) -> None:
    ordered = sorted(names, key=lambda name: ImageRecord(name).order_key)
    rest, shards = list(ordered), []
    for size in [*sizes, len(names)]:
        shards.append(rest[:size])
        rest = rest[size:]
    with tempfile.TemporaryDirectory() as folder:
        # A last shard without rows, and one before all others.
        for index, shard in enumerate([[], *shards, []]):
            write_table(Path(folder), index, [{"image_id": name} for name in shard], SCHEMA)
        table = ShardedTable(Path(folder), len(shards) + 2)
        assert [row["image_id"] for row in table.rows()] == ordered
        for name in ordered:
            assert table.find(ImageRecord(name)) == {"image_id": name}
        for name in ("", "0", "a/zz", "zz"):
            assert table.find(ImageRecord(name)) is None


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    schema = pa.schema([*SCHEMA, ("a", pa.int32()), ("b", pa.int32())], metadata=SCHEMA.metadata)
    for index in range(2):
        write_table(tmp_path, index, [{"image_id": f"{index}", "a": index, "b": 7}], schema)
    table = ShardedTable(tmp_path, 2)
    assert [list(row.items()) for row in table.rows(["a", "image_id"])] == [
        [("a", 0), ("image_id", "0")],
        [("a", 1), ("image_id", "1")],
    ]
    assert list(table.image_ids()) == ["0", "1"]
