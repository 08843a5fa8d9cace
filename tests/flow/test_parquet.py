# SPDX-License-Identifier: Apache-2.0
"""Parquet files through every stage: the same results as from a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.dataset.drawn_parquet import (
    CUT,
    FIRST,
    IMAGE,
    SCHEMA,
    SECOND,
    Row,
    pack,
    pictures,
    rewritten,
    row_of,
    store,
)
from tests.unit.verify.drawn import (
    QUIET,
    Release,
    draw_photos,
    make_release,
    planted_detectors,
    release_both,
)
from veilset.annotations.store import AnnotationSet
from veilset.audit.stage import audit_dataset
from veilset.dataset.places import open_reader
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.obfuscate.stage import ObfuscateConfig, obfuscate_dataset
from veilset.records.outcomes import OutcomeTable
from veilset.records.verdicts import Verdict
from veilset.report.stage import write_report
from veilset.verify.manifest import verify_manifest
from veilset.verify.stage import verify_dataset


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Release, Release]]:
    """The same pictures as a folder and as Parquet files, both released."""
    base = tmp_path_factory.mktemp("parquet")
    with planted_detectors():
        yield release_both(base, pack)


@pytest.fixture
def packed(both: tuple[Release, Release], tmp_path: Path) -> Release:
    return both[1].copy(tmp_path / "copy")


def test_same_regions_and_same_pictures_as_from_a_folder(both: tuple[Release, Release]) -> None:
    folder, packed = both
    known = {row.sha256: row.regions for row in AnnotationSet(folder.annotations)}
    assert {row.sha256: row.regions for row in AnnotationSet(packed.annotations)} == known
    inside = {
        row["image"]["path"]: row["image"]["bytes"]
        for name in (FIRST, SECOND)
        for row in pq.read_table(packed.out / name).to_pylist()
        if row["image"]
    }
    plain = {p.relative_to(folder.out).as_posix(): p.read_bytes() for p in pictures(folder.out)}
    assert inside == plain
    assert len(inside) == 6


def test_all_else_is_as_it_was_and_the_row_of_a_failed_image_goes(
    both: tuple[Release, Release],
) -> None:
    packed = both[1]
    assert sorted(path.name for path in packed.out.rglob("*.*")) == [
        Path(name).name for name in (FIRST, SECOND)
    ]
    for name, gone in ((FIRST, []), (SECOND, [0])):
        before, after = pq.ParquetFile(packed.photos / name), pq.ParquetFile(packed.out / name)
        rows = [
            {k: v for k, v in row.items() if k != "image"}
            | {"path": (row["image"] or {}).get("path")}
            for row in before.read().to_pylist()
        ]
        found = [
            {k: v for k, v in row.items() if k != "image"}
            | {"path": (row["image"] or {}).get("path")}
            for row in after.read().to_pylist()
        ]
        assert repr(found) == repr([row for at, row in enumerate(rows) if at not in gone])
        assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
        assert after.schema_arrow.metadata == SCHEMA.metadata
        sizes = [
            [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
            for file in (before, after)
        ]
        assert sizes[1] == ([1, *sizes[0][1:]] if gone else sizes[0])
    failed = [row for row in OutcomeTable(packed.record / "obfuscate") if row.reason]
    assert [(row.image_id, row.reason) for row in failed] == [(CUT, "truncated")]
    # Names hold in the release, so that a row can be found, shown and withdrawn.
    names = [r.image_id for shard in open_reader(packed.out).shards(0) for r in shard.records]
    known = [row.image_id for row in OutcomeTable(packed.record / "obfuscate")]
    assert len(known) == 7
    assert names == [name for name in known if name != CUT]


def load(root: Path, base: Path) -> Any:
    """Load a folder of Parquet files as their users do, without any network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(base / "home"))
        import datasets  # type: ignore[import-untyped]  # it has no types

        datasets.disable_progress_bars()
        files = sorted(str(path) for path in root.rglob("*.parquet"))
        cache = str(base / "cache")
        return datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)


def test_datasets_loads_the_source_and_the_release(
    both: tuple[Release, Release], tmp_path: Path
) -> None:
    import datasets

    before, after = (load(root, tmp_path) for root in (both[1].photos, both[1].out))
    assert after.features == before.features
    assert after.features["label"].names == ["a", "b", "c"]
    assert isinstance(after.features["image"], datasets.Image)
    assert (before.num_rows, after.num_rows) == (9, 8)
    before = before.select([at for at in range(9) if at != 5])
    assert before["caption"] == after["caption"]
    sizes = [[image and image.size for image in each["image"]] for each in (before, after)]
    assert sizes[0] == sizes[1]


CLEAN = {
    FIRST: (Verdict.WHOLE, set[str]()),
    SECOND: (Verdict.WHOLE, set[str]()),
    CUT: (Verdict.ABSENT, set[str]()),
}
CHANGED = (Verdict.LEAK, {"container-changed"})


def test_a_clean_release_passes_and_its_manifest_is_of_parquet_files(packed: Release) -> None:
    summary = packed.verify()
    assert summary.extra["overall"] == "passed"
    assert packed.found() == CLEAN
    manifest = packed.record / "verify" / "manifest.json"
    check = verify_manifest(manifest, packed.out)
    assert (check.n_files, check.is_intact) == (2, True)
    page = write_report(packed.out, packed.annotations)
    assert page.read_text().count("data:image/jpeg;base64,") == 3
    numbers = json.loads(page.with_suffix(".json").read_bytes())
    assert numbers["verified"]["verdicts"] == {"absent": 1, "passed": 6, "whole": 2}


def set_value(column: str, value: object, at: int = 0) -> Callable[[list[Row]], None]:
    def change(rows: list[Row]) -> None:
        rows[at][column] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_value("caption", "other words"),
        set_value("label", 2),
        set_value("scores", [0.5, None, None]),
        lambda rows: rows[0]["image"].update(path="ann.jpg"),
        lambda rows: rows.reverse(),
        lambda rows: rows.append(rows[1]),
    ],
)
def test_a_changed_value_is_found(packed: Release, change: Callable[[list[Row]], None]) -> None:
    rewritten(packed.out / FIRST, change)
    assert packed.found()[FIRST] == CHANGED


def test_what_is_stored_in_another_way_or_beside_the_columns_is_found(packed: Release) -> None:
    rewritten(packed.out / FIRST, lambda rows: None)
    assert packed.found() == CLEAN
    rewritten(packed.out / FIRST, lambda rows: None, compression="gzip")
    assert packed.found() == CLEAN | {FIRST: CHANGED}
    shutil.copy(packed.photos / FIRST, packed.out / FIRST)
    data = (packed.out / SECOND).read_bytes()
    n_footer = int.from_bytes(data[-8:-4], "little") + 8
    (packed.out / SECOND).write_bytes(data[:-n_footer] + b"a face" + data[-n_footer:])
    found = packed.found()
    assert found[SECOND] == CHANGED
    # The originals themselves: the file holds what it should, and no image is obfuscated.
    assert found[f"{FIRST}/00000000"][0] is Verdict.LEAK
    assert {"digest", "metadata"} <= found[f"{FIRST}/00000000"][1]


def test_originals_put_back_and_files_gone_or_added_are_found(packed: Release) -> None:
    shutil.copy(packed.photos / SECOND, packed.out / SECOND)
    (packed.out / FIRST).rename(packed.out / "data" / "other.parquet")
    found = packed.found()
    assert found[SECOND] == CHANGED
    assert found[CUT] == (Verdict.LEAK, {"failed-but-present"})
    assert found[FIRST] == (Verdict.ERROR, {"missing"})
    assert found["data/other.parquet"] == (Verdict.LEAK, {"unexpected-file"})
    (packed.out / SECOND).write_bytes((packed.out / SECOND).read_bytes()[:-1])
    assert packed.found()[SECOND] == CHANGED


def test_the_images_of_a_row_go_together_and_plain_bytes_are_images(tmp_path: Path) -> None:
    draw_photos(tmp_path / "pictures")
    good = (tmp_path / "pictures" / "a" / "one.jpg").read_bytes()
    schema = pa.schema([("left", IMAGE), ("right", pa.large_binary()), ("vector", pa.binary())])
    rows: list[Row] = [
        {"left": {"bytes": good, "path": "x"}, "right": good, "vector": b"12"},
        {"left": {"bytes": good, "path": "x"}, "right": good[:900], "vector": b"34"},
        {"left": None, "right": good, "vector": None},
        {"left": {"bytes": None, "path": "elsewhere.jpg"}, "right": None, "vector": b"56"},
    ]
    store(tmp_path / "photos" / "x.parquet", rows, schema)
    with planted_detectors():
        release = make_release(tmp_path)
        outcomes = {row.image_id: row.reason for row in OutcomeTable(release.record / "obfuscate")}
        assert outcomes == {
            "x.parquet/00000000.left": "",
            "x.parquet/00000000.right": "",
            "x.parquet/00000001.left": "sample",
            "x.parquet/00000001.right": "truncated",
            "x.parquet/00000002.right": "",
            "x.parquet/00000003.left": "missing",
        }
        table = pq.read_table(release.out / "x.parquet")
        assert table["vector"].to_pylist() == [b"12", None]
        assert table["left"].to_pylist()[1] is None
        assert good not in [*table["right"].to_pylist(), table["left"].to_pylist()[0]["bytes"]]
        assert release.verify().extra["overall"] == "passed"


def test_a_row_group_goes_with_its_last_row_and_datasets_loads_the_rest(tmp_path: Path) -> None:
    draw_photos(tmp_path / "pictures")
    good, cut = (tmp_path / "pictures" / name for name in ("a/one.jpg", "c/cut.jpg"))
    rows = [row_of(tmp_path / "pictures", path) for path in (cut, cut, good, cut, good)]
    store(tmp_path / "photos" / "x.parquet", rows, row_group_size=2)
    store(tmp_path / "photos" / "y.parquet", rows[:2])
    with planted_detectors():
        release = make_release(tmp_path)
        assert release.verify().extra["overall"] == "passed"
        files = [pq.ParquetFile(release.out / name) for name in ("x.parquet", "y.parquet")]
        sizes = [[f.metadata.row_group(g).num_rows for g in range(f.num_row_groups)] for f in files]
        assert sizes == [[1, 1], []]
        # Without an image left, it still is what it was.
        kinds = {row.image_id: row.verdict for row in release.verdicts().values()}
        assert kinds["y.parquet"] is Verdict.WHOLE
        assert kinds["x.parquet/00000004"] is Verdict.PASSED
    assert [s.container for s in open_reader(release.out).shards(0)] == ["x.parquet", "y.parquet"]
    loaded = load(release.out, tmp_path)
    assert loaded["caption"][:] == [rows[2]["caption"]] * 2


def test_a_file_that_datasets_itself_wrote(tmp_path: Path) -> None:
    import datasets

    draw_photos(tmp_path / "pictures")
    rows = [row_of(tmp_path / "pictures", path) for path in pictures(tmp_path / "pictures")]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    rows = [{name: row[name] for name in features} for row in rows]
    (tmp_path / "photos").mkdir()
    datasets.disable_progress_bars()
    made = datasets.Dataset.from_list(rows, features=features)
    made.to_parquet(tmp_path / "photos" / "x.parquet", batch_size=3)
    before = pq.ParquetFile(tmp_path / "photos" / "x.parquet")
    assert b"content_defined_chunking" in before.metadata.metadata
    assert before.metadata.row_group(0).column(0).has_offset_index
    with planted_detectors():
        release = make_release(tmp_path)
        assert release.verify().extra["overall"] == "passed"
    after = pq.ParquetFile(release.out / "x.parquet")
    assert after.metadata.row_group(0).column(0).has_offset_index
    kept = {key: each for key, each in after.metadata.metadata.items() if key != b"veilset"}
    assert kept == before.metadata.metadata
    loaded = load(release.out, tmp_path)
    assert loaded.features == made.features
    assert loaded["label"][:] == [row["label"] for row in rows if "cut" not in row["image"]["path"]]


def test_at_a_url_the_files_are_the_same(both: tuple[Release, Release], tmp_path: Path) -> None:
    packed = both[1]
    memory = fsspec.filesystem("memory")
    for path in packed.photos.rglob("*.parquet"):
        memory.pipe(f"/parquet/in/{path.relative_to(packed.photos)}", path.read_bytes())
    places = "memory://parquet/in", "memory://parquet/out"
    annotations, record = tmp_path / "annotations", tmp_path / "record"
    detect_dataset(places[0], annotations, DetectConfig(detector="planted", effort="fast"))
    obfuscate_dataset(places[0], annotations, places[1], ObfuscateConfig(), record=record)
    summary = verify_dataset(*places, annotations, QUIET, record=record)
    assert summary.extra["overall"] == "passed"
    for name in (FIRST, SECOND):
        assert memory.cat(f"/parquet/out/{name}") == (packed.out / name).read_bytes()
    memory.rm("/parquet", recursive=True)


def test_what_lies_beside_is_counted_and_audit_takes_parquet_files(
    both: tuple[Release, Release], tmp_path: Path
) -> None:
    packed = both[1]
    extra = AnnotationSet(packed.annotations).manifest["extra"]
    assert extra["ignored"] == {"not a Parquet file": 1}
    summary = audit_dataset(packed.photos, packed.annotations, tmp_path / "audit")
    assert summary.counts["looked"] == 6
