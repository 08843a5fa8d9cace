# SPDX-License-Identifier: Apache-2.0
"""The annotation set: what goes in comes out, and three states stay three."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.errors import AnnotationError, DatasetError
from veilset.protocols import Shard, ShardReport
from veilset.runs import Run
from veilset.types import Annotations, ImageRecord, Origin, Region, Status

numbers = st.floats(-1e6, 1e6, allow_nan=False)
scalars = st.one_of(st.text(max_size=5), st.integers(-9, 9), st.booleans(), numbers)


@st.composite
def regions(draw: st.DrawFn) -> Region:
    x0, x1 = sorted((draw(numbers), draw(numbers)))
    y0, y1 = sorted((draw(numbers), draw(numbers)))
    return Region(
        (x0, y0, x1, y1),
        kind=draw(st.sampled_from(["face", "plate", "nsfw"])),
        score=draw(st.none() | st.floats(0, 1)),
        origin=draw(st.sampled_from(list(Origin))),
        landmarks_xy=tuple(draw(st.lists(st.tuples(numbers, numbers), max_size=5))),
        attributes=draw(st.dictionaries(st.text(max_size=4), scalars, max_size=3)),
    )


def write_set(folder: Path, shards: list[list[Annotations]]) -> AnnotationSet:
    with Run.open(folder, "detect", {}, {}) as run:
        records = [
            Shard(i, tuple(ImageRecord(r.image_id) for r in s)) for i, s in enumerate(shards)
        ]
        for shard in run.missing(records):
            digest = write_annotations(folder, shard.index, shards[shard.index])
            run.commit(ShardReport(shard.index, len(shard.records), digest=digest))
        run.finish()
    return AnnotationSet(folder)


@given(st.lists(regions(), max_size=4))
def test_regions_come_back_as_they_went(found: list[Region]) -> None:
    row = Annotations("a/b.jpg", Status.LOOKED, tuple(found), 10, 20, "ab", 3)
    with tempfile.TemporaryDirectory() as folder:
        known = write_set(Path(folder), [[row]])
        assert list(known) == [row]
        assert known.find(ImageRecord("a/b.jpg")) == row


def test_three_states_are_three_states(tmp_path: Path) -> None:
    known = write_set(
        tmp_path,
        [
            [
                Annotations("a.jpg", Status.LOOKED),
                Annotations("b.jpg", Status.COULD_NOT_LOOK, reason="truncated", message="..."),
            ]
        ],
    )
    states = [known.find(ImageRecord(n)).status for n in ("a.jpg", "b.jpg", "c.jpg")]
    assert states == [Status.LOOKED, Status.COULD_NOT_LOOK, Status.NOT_LOOKED]


def test_finding_goes_across_shards_in_path_order(tmp_path: Path) -> None:
    names = ["a/x.jpg", "a-b/x.jpg", "a.jpg", "b/1.jpg", "b/2.jpg", "c.jpg", "d.jpg"]
    rows = [Annotations(name, Status.LOOKED, n_bytes=i) for i, name in enumerate(names)]
    known = write_set(tmp_path, [rows[:3], rows[3:4], rows[4:]])
    assert [known.find(ImageRecord(n)).n_bytes for n in names] == list(range(7))
    for stranger in ("0.jpg", "a/y.jpg", "b/15.jpg", "z.jpg"):
        assert known.find(ImageRecord(stranger)).status is Status.NOT_LOOKED


def test_the_path_of_a_set_may_be_text(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [[Annotations("a.jpg", Status.LOOKED)]])
    assert [row.image_id for row in AnnotationSet(f"{tmp_path}/set")] == ["a.jpg"]


def test_an_unfinished_or_foreign_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="holds no run"):
        AnnotationSet(tmp_path)
    Run.open(tmp_path, "detect", {}, {}).__exit__()
    with pytest.raises(AnnotationError, match="not finished"):
        AnnotationSet(tmp_path)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    known = write_set(tmp_path, [[Annotations("a.jpg", Status.LOOKED)]])
    path = tmp_path / "shard-00000.parquet"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DatasetError, match=r"shard-00000.parquet is damaged"):
        known.find(ImageRecord("a.jpg"))
    path.unlink()
    with pytest.raises(DatasetError, match=r"shard-00000.parquet is missing"):
        list(known)


def test_any_parquet_reader_can_read_it(tmp_path: Path) -> None:
    region = Region((1, 2, 3, 4), score=0.5)
    write_set(tmp_path, [[Annotations("a.jpg", Status.LOOKED, (region,), 8, 6)]])
    table = pq.read_table(tmp_path / "shard-00000.parquet")
    assert table.column_names == (
        "image_id status width height n_bytes sha256 reason message regions".split()
    )
    (row,) = table.to_pylist()
    assert row["regions"][0]["x1"] == 3.0
