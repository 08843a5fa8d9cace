# SPDX-License-Identifier: Apache-2.0
"""Data sets at a URL through every stage: the same results as from a folder."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner

from tests.conftest import files_below
from tests.flow.packed_tars import pack
from tests.s3 import get_files, put_files, s3_server
from tests.unit.verify.drawn import QUIET, draw_photos, planted_detectors
from veilset.annotations.store import AnnotationSet
from veilset.audit.stage import audit_dataset
from veilset.cli.app import app
from veilset.dataset.stores import open_store
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.errors import ConfigError, DatasetError, RunError
from veilset.obfuscate.stage import obfuscate_dataset
from veilset.records.outcomes import OutcomeTable
from veilset.records.verdicts import VerdictTable
from veilset.remove.stage import RemoveConfig, remove_images
from veilset.run.stage import ReleaseSummary, RunConfig, run_dataset
from veilset.runs import FINISHED
from veilset.verify.manifest import verify_manifest
from veilset.verify.stage import verify_dataset

CONFIG = RunConfig(detect=DetectConfig(detector="planted", effort="fast"), verify=QUIET)
PLACES = ("s3://bucket", "memory://bucket")


@dataclass(frozen=True)
class Place:
    """Where originals and release lie, and the records on this machine."""

    photos: str | Path
    out: str | Path
    record: Path

    def run(self) -> ReleaseSummary:
        return run_dataset(self.photos, self.out, CONFIG, record=self.record, workers=2)

    def files(self) -> dict[str, bytes]:
        if isinstance(self.out, str):
            return get_files(self.out)
        return files_below(self.out)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    base = tmp_path_factory.mktemp("urls")
    draw_photos(base / "folder")
    pack(base / "folder", base / "tars")
    with s3_server(), planted_detectors():
        for place in PLACES:
            for layout in ("folder", "tars"):
                put_files(f"{place}/{layout}", files_below(base / layout))
        yield {layout: base / layout for layout in ("folder", "tars")}


@pytest.fixture(scope="module", params=["folder", "tars"])
def all_three(
    request: pytest.FixtureRequest, pictures: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[tuple[Place, ReleaseSummary]]:  # fmt: skip
    """The same pictures released on a disk, on S3 and, as a folder, in memory."""
    base, layout = tmp_path_factory.mktemp("released"), request.param
    places = [Place(pictures[layout], base / "out", base / "0")] + [
        Place(f"{place}/{layout}/", f"{place}/out-{layout}", base / str(n))
        for n, place in enumerate(PLACES[: 2 if layout == "folder" else 1], 1)
    ]
    return [(place, place.run()) for place in places]


def test_the_same_rows_bytes_and_verdicts(all_three: list[tuple[Place, ReleaseSummary]]) -> None:
    (local, expected), *others = all_three
    assert expected.obfuscate.counts["failed"] == 1
    rows = [list(table(local.record / name)) for name, table in TABLES.items()]
    for place, summary in others:
        assert place.files() == local.files()
        assert [list(table(place.record / name)) for name, table in TABLES.items()] == rows
        for stage in ("detect", "obfuscate", "verify"):
            assert getattr(summary, stage).counts == getattr(expected, stage).counts
        digests = {digest_of(each.record / "annotations") for each in (local, place)}
        assert len(digests) == 1
        page = summary.report.read_text()
        assert page.count("data:image/jpeg") == expected.report.read_text().count("data:image/jpeg")
        assert "bucket" not in page.replace(str(place.out).rpartition("/")[2], "")
        again = place.run()
        assert again.verify.counts == summary.verify.counts


TABLES: Mapping[str, Callable[[Path], Iterable[object]]] = {
    "annotations": AnnotationSet,
    "obfuscate": OutcomeTable,
    "verify": VerdictTable,
}


def digest_of(annotations: Path) -> str:
    return str(AnnotationSet(annotations).manifest["outputs_sha256"])


def test_what_somebody_changes_at_the_url_is_found(
    all_three: list[tuple[Place, ReleaseSummary]], tmp_path: Path
) -> None:
    place = all_three[1][0]
    record = tmp_path / "record"
    shutil.copytree(place.record, record)
    manifest = record / "verify"
    assert verify_manifest(manifest, place.out).is_intact
    name, data = sorted(place.files().items())[0]
    put_files(str(place.out), {name: data[:-1] + b"x", ".hidden/left.jpg": data})
    try:
        check = verify_manifest(manifest, place.out)
        assert {(each.image_id, each.code) for each in check.findings} == {
            (name, "changed"), (".hidden/left.jpg", "unexpected"),
        }  # fmt: skip
        summary = verify_dataset(
            place.photos, place.out, record / "annotations", QUIET, record=record, workers=2
        )
        assert summary.extra["overall"] == "leaks"
        leaks = {row.image_id for row in VerdictTable(manifest) if row.verdict == "leak"}
        assert ".hidden/left.jpg" in leaks
        assert any(leak == name or leak.startswith(f"{name}/") for leak in leaks)
    finally:
        put_files(str(place.out), {name: data})
        open_store(place.out).delete(".hidden/left.jpg")


def test_an_object_that_vanishes_is_a_recorded_failure(
    pictures: dict[str, Path], tmp_path: Path
) -> None:
    photos, annotations = "s3://bucket/vanishing", tmp_path / "annotations"
    put_files(photos, files_below(pictures["folder"]))
    detect_dataset(photos, annotations, CONFIG.detect, workers=2)
    open_store(photos).delete("a/one.jpg")
    known = obfuscate_dataset(photos, annotations, tmp_path / "out", workers=2)
    assert known.counts["failed"] == 1
    assert "a/one.jpg" not in files_below(tmp_path / "out")


def test_a_place_that_is_out_of_reach_stops_the_run_and_it_goes_on_later(
    pictures: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, annotations = "memory://bucket/folder", tmp_path / "annotations"
    plain = MemoryFileSystem.cat_file
    left = [3]

    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("the line is dead")

    def count_down(self: MemoryFileSystem, path: str, **limits: int) -> object:
        left[0] -= 1
        if not left[0]:
            monkeypatch.setattr(MemoryFileSystem, "cat_file", lost)
            monkeypatch.setattr(MemoryFileSystem, "info", lost)
        return plain(self, path, **limits)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", count_down)
    with pytest.raises(RunError, match=r"cannot be reached \(the line is dead\)"):
        detect_dataset(photos, annotations, CONFIG.detect, workers=2)
    monkeypatch.undo()
    summary = detect_dataset(photos, annotations, CONFIG.detect, workers=2)
    assert (summary.counts["looked"], summary.counts["could_not_look"]) == (6, 1)


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from tests.flow.test_urls import CONFIG
from tests.unit.verify.drawn import planted_detectors
from veilset.dataset.remote import RemoteStore
from veilset.remove.stage import RemoveConfig, remove_images
from veilset.run.stage import run_dataset

photos, out, record, n = sys.argv[1:]
left, plain = [int(n)], RemoteStore.create

def count_down(*args):
    result = plain(*args)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

RemoteStore.create = count_down
with planted_detectors():
    run_dataset(photos, out, CONFIG, record=Path(record), workers=2)
"""


@pytest.mark.parametrize("all_three", ["tars"], indirect=True)
def test_killed_and_resumed(all_three: list[tuple[Place, ReleaseSummary]], tmp_path: Path) -> None:
    local, there = all_three[0][0], all_three[1][0]
    place = Place(there.photos, f"{there.out}-killed", tmp_path / "record")
    words = [place.photos, place.out, place.record, 3]
    done = subprocess.run([sys.executable, "-c", KILLED_AT, *map(str, words)], check=False)
    assert done.returncode == -signal.SIGKILL
    whole, left = local.files(), get_files(str(place.out))
    assert left
    assert not (place.record / "obfuscate" / FINISHED).exists()
    assert all(whole[name] == data for name, data in left.items())
    place.run()
    assert place.files() == whole


def test_what_cannot_be_written_stops_the_run_and_leaves_nothing(
    pictures: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(pictures["tars"], "memory://bucket/refused", tmp_path / "record")

    def refuse(*_: object) -> None:
        raise PermissionError("Forbidden")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", refuse)
        with pytest.raises(RunError, match=r"refused/0000\d.tar cannot be written \(Forbidden\)"):
            place.run()
    assert open_store(place.out).is_empty()
    assert place.run().verify.extra["overall"] == "passed"


def test_no_bucket_no_record_no_rights_are_a_sentence_each(
    pictures: dict[str, Path], tmp_path: Path
) -> None:
    photos, folder = "s3://bucket/folder", str(pictures["folder"])
    for words, says in (
        (["run", folder, "s3://bucket/x"], "--record FOLDER"),
        (["run", folder, "s3://nobody/x", "--record", "r"], "s3://nobody/x cannot be written to"),
        (["run", "s3://nobody/x", "out"], "There is nothing at s3://nobody/x"),
        (["run", "s3://bucket/nothing", "out"], "There is nothing at s3://bucket/nothing"),
        (["run", photos, "s3://bucket/folder/out", "--record", "r"], "lie in each other"),
        (["run", photos, "out", "--record", "s3://bucket/r"], "The record cannot lie at a URL"),
        (["detect", photos, "-o", "s3://bucket/a"], "An annotation set cannot lie at a URL"),
        (["run", photos, "s3://bucket/out-folder", "--record", "r"], "is not empty"),
        (["review", "open", photos, "-a", "a"], "review takes a local folder"),
        (["annotations", "import", "x", "-f", "cvat", "-o", "a", "--photos", photos],
         "import takes a local folder"),
    ):  # fmt: skip
        done = CliRunner().invoke(app, words)
        told = str(done.exception)
        assert isinstance(done.exception, (ConfigError, DatasetError, RunError)), (words, told)
        assert says in told
        assert "\n" not in told
    assert not list(tmp_path.iterdir())


def test_an_image_is_withdrawn_and_others_are_added_there(
    pictures: dict[str, Path], tmp_path: Path
) -> None:
    place = Place("memory://withdrawn/tars", "memory://withdrawn/out", tmp_path / "record")
    put_files(str(place.photos), files_below(pictures["tars"]))
    place.run()
    before = place.files()
    removed = "00000.tar/a/one.jpg"
    remove_images(place.out, RemoveConfig("asked for", (removed,)), record=place.record)
    after = place.files()
    assert {name for name in before if before[name] != after[name]} == {"00000.tar"}
    assert len(after["00000.tar"]) < len(before["00000.tar"])
    put_files(str(place.photos), {"new.tar": files_below(pictures["tars"])["00001.tar"]})
    updated = run_dataset(place.photos, place.out, CONFIG, record=place.record, update=True)
    assert updated.verify.extra["overall"] == "passed"
    assert place.files() == after | {"new.tar": after["00001.tar"]}


def test_audit_reads_at_a_url(pictures: dict[str, Path], tmp_path: Path) -> None:
    annotations = tmp_path / "annotations"
    detect_dataset(pictures["folder"], annotations, CONFIG.detect, workers=2)
    with pytest.raises(ConfigError, match="An audit cannot lie at a URL"):
        audit_dataset("s3://bucket/folder", annotations, "s3://bucket/audit")
    summary = audit_dataset("s3://bucket/folder", annotations, tmp_path / "audit")
    assert summary.counts["looked"] == 6
