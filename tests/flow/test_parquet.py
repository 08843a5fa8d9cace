# SPDX-License-Identifier: Apache-2.0
"""Parquet files through every stage: the same results as from a folder."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.verify.drawn import Release, draw_photos, make_release, planted_detectors
from veilset.annotations.store import AnnotationSet
from veilset.audit.stage import audit_dataset
from veilset.dataset.parquet import ParquetReader
from veilset.dataset.places import open_reader
from veilset.errors import DatasetError
from veilset.files import PART_PREFIX
from veilset.records.outcomes import OutcomeTable
from veilset.records.verdicts import Verdict
from veilset.report.stage import write_report
from veilset.verify.manifest import verify_manifest

PROGRAM = Path(sys.executable).with_name("veilset")
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


def rewritten(path: Path, change: Callable[[list[Row]], None], **options: Any) -> None:
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
CUT = f"{SECOND}/00000000"
"""Name of ``c/cut.jpg``, which cannot be read."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Release, Release]]:
    """The same pictures as a folder and as Parquet files, both released."""
    base = tmp_path_factory.mktemp("parquet")
    draw_photos(base / "folder" / "photos")
    pack(base / "folder" / "photos", base / "packed" / "photos")
    with planted_detectors():
        yield make_release(base / "folder"), make_release(base / "packed")


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


def test_datasets_loads_the_source_and_the_release(
    both: tuple[Release, Release], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets  # type: ignore[import-untyped]

    datasets.disable_progress_bars()
    loaded = []
    for root in (both[1].photos, both[1].out):
        files = sorted(str(path) for path in root.rglob("*.parquet"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
            loaded.append(
                datasets.load_dataset(
                    "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
                )
            )
    before, after = loaded
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
    rows = [
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


PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(9)


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


def run(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False, **options)


def encrypted(folder: Path, *, plaintext_footer: bool) -> None:
    import base64

    import pyarrow.parquet.encryption as pe

    class Kms(pe.KmsClient):  # type: ignore[misc]
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
    both: tuple[Release, Release], tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(both[1].photos, photos)
    spoil(photos)
    with pytest.raises(DatasetError, match=says) as raised:
        open_reader(photos).count()
    assert "\n" not in str(raised.value)


def test_a_full_disk_and_the_record_of_what_was_passed_over(
    both: tuple[Release, Release], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("run", both[1].photos, out, "--effort", "fast", "--quiet")

    def limit() -> None:
        # Enough for every record and every image, not for all of them in one file.
        resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000))

    done = run(*words, preexec_fn=limit)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "it goes on from here" in done.stderr
    assert not list(out.rglob("*.*"))
    done = run(*words)
    assert done.returncode in (0, 3), done.stderr
    ignored = AnnotationSet(out.with_name("out.veilset") / "annotations").manifest["extra"]
    assert ignored["ignored"] == {"not a Parquet file": 1}


def test_audit_takes_parquet_files_and_review_refuses_them(
    both: tuple[Release, Release], tmp_path: Path
) -> None:
    packed = both[1]
    summary = audit_dataset(packed.photos, packed.annotations, tmp_path / "audit")
    assert summary.counts["looked"] == 6
    done = run("review", "open", packed.photos, "-a", packed.annotations, cwd=tmp_path)
    assert done.returncode == 1
    assert "holds Parquet files" in done.stderr


WORK = """
import sys
from pathlib import Path
from veilset.dataset import containers
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


def test_killed_while_a_file_is_put_together(both: tuple[Release, Release], tmp_path: Path) -> None:
    words = [sys.executable, "-c", WORK, str(both[1].photos)]
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
