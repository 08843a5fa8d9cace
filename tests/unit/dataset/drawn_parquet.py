# SPDX-License-Identifier: Apache-2.0
"""Pictures packed into Parquet files as Hugging Face's ``datasets`` has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": ["a", "b", "c"], "_type": "ClassLabel"},
    "caption": {"dtype": "string", "_type": "Value"},
    "scores": {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "List"},
}
SCHEMA = pa.schema(
    [
        ("image", IMAGE),
        ("label", pa.int64()),
        ("caption", pa.string()),
        ("scores", pa.list_(pa.float32())),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)
Row = dict[str, Any]


def pictures(photos: Path) -> list[Path]:
    return sorted(path for path in photos.rglob("*") if path.suffix in (".jpg", ".png"))


def row_of(photos: Path, path: Path) -> Row:
    name = path.relative_to(photos).as_posix()
    return {
        "image": {"bytes": path.read_bytes(), "path": name},
        "label": "abc".find(name[0]),
        "caption": f"a picture of {name}, Zoë",
        "scores": [0.5, float("nan"), None],
    }


def store(path: Path, rows: list[Row], schema: Any = SCHEMA, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, **options)
    return path


def pack(photos: Path, folder: Path, n_each: int = 4) -> None:
    """Pack a folder of pictures as ``datasets`` names and stores it, two rows in a group."""
    files = pictures(photos)
    n_files = -(-len(files) // n_each)
    for at in range(n_files):
        rows = [row_of(photos, path) for path in files[at * n_each : (at + 1) * n_each]]
        rows.insert(1, {"image": None, "label": None, "caption": "no picture", "scores": []})
        name = f"data/train-{at:05d}-of-{n_files:05d}.parquet"
        store(folder / name, rows, row_group_size=2, compression="zstd")
    (folder / "README.md").write_text("a card")


def rewritten(path: Path, change: Callable[[list[Row]], object], **options: Any) -> None:
    """Write a file anew with other rows, as an attacker or a careless owner would."""
    file = pq.ParquetFile(path)
    rows = file.read().to_pylist()
    change(rows)
    schema = file.schema_arrow
    beside = {k: v for k, v in (file.metadata.metadata or {}).items() if k == b"veilset"}
    defaults = {"row_group_size": 2, "compression": "zstd"}
    table = pa.Table.from_pylist(rows, schema=schema)
    # Groups from which a row went are smaller.
    with pq.ParquetWriter(path, schema, compression=(defaults | options)["compression"]) as writer:
        at = 0
        for group in range(file.num_row_groups):
            n_rows = file.metadata.row_group(group).num_rows
            writer.write_table(table.slice(at, n_rows), row_group_size=max(1, n_rows))
            at += n_rows
        if at < table.num_rows:
            writer.write_table(table.slice(at))
        if beside:
            writer.add_key_value_metadata(beside)


FIRST, SECOND = "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(9)
CUT = f"{SECOND}/00000000"
"""Name of ``c/cut.jpg``, which cannot be read."""
