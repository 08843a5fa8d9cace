# SPDX-License-Identifier: Apache-2.0
"""The release manifest: it names every file, and notices whatever is done to one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.flow.command import command
from tests.unit.verify.drawn import Release, make_release, planted_detectors
from veilset.engine.drive import Progress
from veilset.errors import DatasetError, RunError
from veilset.files import sha256_file, sha256_hex
from veilset.records.verdicts import ImageVerdict, Verdict, write_verdicts
from veilset.verify import manifest as module
from veilset.verify.manifest import ManifestFinding, verify_manifest, write_manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    with planted_detectors():
        release = make_release(tmp_path_factory.mktemp("release") / "base")
        release.verify()
        yield release


@pytest.fixture
def release(made: Release, tmp_path: Path) -> Release:
    shutil.copytree(made.base, tmp_path / "copy")
    return Release(tmp_path / "copy")


def record_of(release: Release) -> Path:
    return release.record / "verify"


def codes(release: Release) -> list[tuple[str, str]]:
    check = verify_manifest(record_of(release), release.out, workers=2)
    assert not check.is_intact or not check.findings
    return [(finding.image_id, finding.code) for finding in check.findings]


def test_the_manifest_lists_every_file_with_its_digest(made: Release) -> None:
    rows = pq.read_table(record_of(made) / "manifest.parquet").to_pylist()
    there = sorted(p.relative_to(made.out) for p in made.out.rglob("*") if p.is_file())
    assert [row["image_id"] for row in rows] == [path.as_posix() for path in there]
    for row in rows:
        path = made.out / row["image_id"]
        assert (row["sha256"], row["n_bytes"]) == (sha256_file(path), path.stat().st_size)
        assert row["verdict"] == "passed"
    assert [row["n_regions"] for row in rows] == [1, 2, 0, 0, 0, 1]
    document = json.loads((record_of(made) / "manifest.json").read_bytes())
    assert document["overall"] == "passed"
    assert document["method"]["name"] == "veil"
    assert document["files_sha256"] == sha256_file(record_of(made) / "manifest.parquet")


def test_an_untouched_release_is_intact_wherever_it_lies(release: Release, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    release.out.rename(moved)
    seen: list[Progress] = []
    check = verify_manifest(record_of(release) / "manifest.json", moved, on_progress=seen.append)
    assert check.is_intact
    assert check.n_files == seen[-1].n_done == seen[-1].n_total == 6


@pytest.mark.parametrize("place", ["out/a/one.jpg", "out/a/two.png", "out/b/none.jpg"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(release: Release, place: str, at: int, bit: int) -> None:
    path = release.base / place
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    assert codes(release) == [(place.removeprefix("out/"), "changed")]
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    assert codes(release) == []


def test_any_flipped_byte_of_the_list_is_noticed(release: Release) -> None:
    path = record_of(release) / "manifest.parquet"
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        data = bytearray(whole)
        data[at] ^= 1
        path.write_bytes(data)
        with pytest.raises(DatasetError, match="one of the two was changed"):
            codes(release)
    path.write_bytes(whole)
    assert codes(release) == []


def rename(out: Path) -> None:
    (out / "a/one.jpg").rename(out / "a/ona.jpg")


def add(out: Path) -> None:
    (out / "a/.new").write_bytes(b"")


def add_badly_named(out: Path) -> None:
    (out / os.fsdecode(b"b/\xfe")).write_bytes(b"")


def remove(out: Path) -> None:
    shutil.rmtree(out / "b")


def swap(out: Path) -> None:
    (out / "b/none.jpg").rename(out / "x")
    (out / "c/plain.jpg").rename(out / "b/none.jpg")
    (out / "x").rename(out / "c/plain.jpg")


def link(out: Path) -> None:
    (out / "b/none.jpg").rename(out.parent / "kept.jpg")
    (out / "b/none.jpg").symlink_to(out.parent / "kept.jpg")


def cut(out: Path) -> None:
    path = out / "c/plain.jpg"
    path.write_bytes(path.read_bytes()[:-1])


def add_folder(out: Path) -> None:
    (out / "d").mkdir()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (rename, [("a/ona.jpg", "unexpected"), ("a/one.jpg", "missing")]),
        (add, [("a/.new", "unexpected")]),
        (add_badly_named, [("b/\\xfe", "unexpected")]),
        (remove, [("b/none.jpg", "missing"), ("b/none.png", "missing")]),
        (swap, [("b/none.jpg", "changed"), ("c/plain.jpg", "changed")]),
        (link, [("b/none.jpg", "changed")]),
        (cut, [("c/plain.jpg", "changed")]),
        (add_folder, [("d", "unexpected")]),
    ],
)
def test_whatever_is_done_to_the_folder_is_named(
    release: Release, spoil: Callable[[Path], None], expected: list[tuple[str, str]]
) -> None:
    spoil(release.out)
    assert codes(release) == expected


def test_a_release_that_leaked_is_never_intact(release: Release) -> None:
    shutil.copy(release.photos / "a/one.jpg", release.out / "a/one.jpg")
    with planted_detectors():
        assert release.verify().extra["overall"] == "leaks"
    check = verify_manifest(record_of(release), release.out)
    assert not check.is_intact
    assert check.overall == "leaks"
    assert check.findings == (ManifestFinding("a/one.jpg", "not passed"),)


def test_findings_beyond_a_limit_are_only_counted(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LISTED", 2)
    for index in range(5):
        (release.out / f"{index}").write_bytes(b"")
    check = verify_manifest(record_of(release), release.out)
    assert check.counts == {"unexpected": 5}
    assert len(check.findings) == 2


def test_rows_are_kept_in_groups_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(module, "_ROWS_IN_GROUP", 4)
    names = [f"{number:02d}.jpg" for number in range(11)]
    for index, part in enumerate((names[:5], names[5:])):
        rows = [ImageVerdict(name, Verdict.PASSED, sha256=name, n_bytes=7) for name in part]
        write_verdicts(tmp_path, index, rows)
    write_manifest(tmp_path, 2, {"overall": "passed"})
    listed = pq.ParquetFile(tmp_path / "manifest.parquet")
    sizes = [listed.metadata.row_group(at).num_rows for at in range(listed.num_row_groups)]
    assert sizes == [4, 4, 3]
    assert listed.read().column("image_id").to_pylist() == names


def test_a_list_of_any_length_is_read_group_by_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 512)
    monkeypatch.setattr(module, "_ROWS_IN_GROUP", 512)
    rows = [
        ImageVerdict(f"{number:05d}.jpg", Verdict.PASSED, sha256=sha256_hex(b"%d" % number))
        for number in range(20_000)
    ]
    write_verdicts(tmp_path, 0, rows)
    write_manifest(tmp_path, 1, {"overall": "passed"})
    before = pa.total_allocated_bytes()
    listed = module._listed(tmp_path / "manifest.parquet")
    found = list(islice(listed, 19_000))
    # A quarter of what the digests alone take.
    assert pa.total_allocated_bytes() - before < 64 * 5_000
    assert [row.image_id for row in found] == [row.image_id for row in rows[:19_000]]


def test_missing_pieces_are_told_apart(release: Release, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no folder"):
        verify_manifest(record_of(release), tmp_path / "nowhere")
    with pytest.raises(RunError, match="cannot be read"):
        verify_manifest(tmp_path, release.out)
    (record_of(release) / "manifest.parquet").unlink()
    with pytest.raises(DatasetError, match=r"manifest\.parquet cannot be read"):
        verify_manifest(record_of(release), release.out)
    (record_of(release) / "manifest.json").write_text("{}")
    with pytest.raises(DatasetError, match="no release manifest"):
        verify_manifest(record_of(release), release.out)
    (record_of(release) / "manifest.json").write_text("{")
    with pytest.raises(DatasetError, match="not valid JSON"):
        verify_manifest(record_of(release), release.out)


def test_a_name_forges_no_line_of_what_the_verb_says(release: Release) -> None:
    forged = "evil\nOK: all files intact\x1b[2K.jpg"
    (release.out / forged).write_bytes(b"")
    words = ("verify", "--manifest", release.record / "verify", release.out, "--quiet")
    done = command(*words, code=3)
    assert "\nOK" not in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert r"unexpected	evil\x0aOK: all files intact\x1b[2K.jpg" in done.stdout
    told = json.loads(command(*words, "--json", code=3).stdout)
    assert forged in [each["image_id"] for each in told["findings"]]
