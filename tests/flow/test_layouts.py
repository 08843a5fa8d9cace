# SPDX-License-Identifier: Apache-2.0
"""WebDataset tar files through every stage: the same results as from a folder."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import times
from tests.flow.command import command
from tests.flow.packed_tars import add, both, members, pack, packed, repack
from tests.unit.verify.drawn import (
    Release,
    draw_photos,
    make_release,
    planted_detectors,
)
from veilset.annotations.store import AnnotationSet
from veilset.audit.stage import audit_dataset
from veilset.dataset.webdataset import WebDatasetReader
from veilset.errors import DatasetError
from veilset.files import PART_PREFIX, sha256_hex
from veilset.records.outcomes import OutcomeTable
from veilset.records.verdicts import Verdict
from veilset.report.stage import write_report

__all__ = ["both", "packed"]


PROGRAM = Path(sys.executable).with_name("veilset")


def test_same_regions_and_same_pictures_as_from_a_folder(both: tuple[Release, Release]) -> None:
    folder, tars = both
    regions = {row.image_id: (row.regions, row.sha256) for row in AnnotationSet(folder.annotations)}
    packed = {row.image_id: (row.regions, row.sha256) for row in AnnotationSet(tars.annotations)}
    assert {name.partition("/")[2]: each for name, each in packed.items()} == regions
    assert [name.split("/")[0] for name in packed] == sorted(name.split("/")[0] for name in packed)
    plain = {
        path.relative_to(folder.out).as_posix(): path.read_bytes()
        for path in folder.out.rglob("*.*")
    }
    inside = {
        info.name: data
        for path in tars.out.iterdir()
        for info, data in members(path)
        if info.name.endswith((".jpg", ".png"))
    }
    assert inside == plain
    assert len(inside) == 6


def test_all_else_is_as_it_was_and_a_failed_image_takes_its_sample_out(
    both: tuple[Release, Release],
) -> None:
    _, tars = both
    sources = sorted(path.name for path in tars.photos.iterdir())
    assert sorted(path.name for path in tars.out.iterdir()) == sources
    assert len(sources) == 4
    for name in sources:
        before, after = members(tars.photos / name), members(tars.out / name)
        kept = [(info, data) for info, data in before if not info.name.startswith("c/cut.")]
        assert [info.name for info, _ in after] == [info.name for info, _ in kept]
        for (old, data), (new, written) in zip(kept, after, strict=True):
            assert (old.mtime, old.uid, old.mode) == (new.mtime, new.uid, new.mode)
            if not old.name.endswith((".jpg", ".png")):
                assert written == data
    text = (tars.photos / "99999.tar").read_bytes()
    assert (tars.out / "99999.tar").read_bytes() == text
    failed = [row for row in OutcomeTable(tars.record / "obfuscate") if row.reason]
    assert [(row.image_id, row.reason) for row in failed] == [("00001.tar/c/cut.jpg", "truncated")]


def test_a_failed_image_takes_the_others_of_its_sample_with_it(tmp_path: Path) -> None:
    draw_photos(tmp_path / "pictures")
    good = (tmp_path / "pictures" / "a" / "one.jpg").read_bytes()
    (tmp_path / "photos").mkdir()
    with tarfile.open(tmp_path / "photos" / "x.tar", "w") as tar:
        for key in ("one", "two"):
            add(tar, f"{key}.jpg", good)
            add(tar, f"{key}.left.jpg", good if key == "two" else good[:900])
            add(tar, f"{key}.txt", b"words")
    with planted_detectors():
        release = make_release(tmp_path)
        outcomes = {row.image_id: row.reason for row in OutcomeTable(release.record / "obfuscate")}
        assert outcomes == {
            "x.tar/one.jpg": "sample",
            "x.tar/one.left.jpg": "truncated",
            "x.tar/two.jpg": "",
            "x.tar/two.left.jpg": "",
        }
        names = [info.name for info, _ in members(release.out / "x.tar")]
        assert names == ["two.jpg", "two.left.jpg", "two.txt"]
        found = release.found()
        assert {verdict for verdict, _ in found.values()} == {Verdict.ABSENT, Verdict.WHOLE}


def test_the_report_shows_pictures_of_tar_files(packed: Release) -> None:
    packed.verify()
    page = write_report(packed.out, packed.annotations)
    numbers = json.loads(page.with_suffix(".json").read_bytes())
    assert "Tar files" in page.read_text()
    assert page.read_text().count("data:image/jpeg;base64,") == 3
    assert numbers["verified"]["verdicts"] == {"absent": 1, "passed": 6, "whole": 4}


def run(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "a.jpg").write_bytes(b"\xff\xd8\xff"), "say with --layout which"),
        (lambda f: (f / "b.tar.gz").write_bytes(b"\x1f\x8b"), "is compressed"),
        (lambda f: (f / "b.tar").write_bytes(b"\x1f\x8b" + bytes(600)), "is compressed"),
        (lambda f: (f / "b.tar").write_bytes(b""), "is no whole tar file"),
        (lambda f: (f / "b.tar").write_bytes(b"no tar" * 200), "is no whole tar file"),
        (lambda f: os.truncate(f / "00000.tar", 4000), "is no whole tar file"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(
    both: tuple[Release, Release], tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(both[1].photos, photos)
    spoil(photos)
    words = ("--detector", "planted", "--effort", "fast", "--quiet")
    done = command("run", photos, tmp_path / "out", *words, code=1)
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list((tmp_path / "out").rglob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a.jpg", "a.jpg"], "'a.jpg' twice"),
        (["a.jpg", "./a.jpg"], "'a.jpg' twice"),
        (["../a.jpg"], "leads out"),
        (["/etc/a.txt"], "leads out"),
    ],
)
def test_names_that_cannot_be_used(tmp_path: Path, names: list[str], says: str) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in names:
            add(tar, name, b"")
    with planted_detectors(), pytest.raises(DatasetError, match=says):
        make_release_of(tmp_path)


def make_release_of(tars: Path) -> Release:
    base = tars / "release"
    base.mkdir()
    (base / "photos").mkdir()
    for path in tars.glob("*.tar"):
        path.rename(base / "photos" / path.name)
    return make_release(base)


def test_links_hidden_members_and_devices_are_not_carried_over(tmp_path: Path) -> None:
    draw_photos(tmp_path / "pictures")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        add(tar, "one.jpg", (tmp_path / "pictures" / "a" / "one.jpg").read_bytes())
        add(tar, "._one.jpg", b"a preview")
        for name, kind in (
            ("link.jpg", tarfile.SYMTYPE),
            ("link.txt", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("pipe", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "one.jpg"
            tar.addfile(info)
        add(tar, "hard.txt", b"goes with its picture")
    with planted_detectors():
        release = make_release_of(tmp_path)
        assert [i.name for i, _ in members(release.out / "x.tar")] == ["one.jpg"]
        reasons = {r.image_id: r.reason for r in OutcomeTable(release.record / "obfuscate")}
        assert reasons == {
            "x.tar/hard.jpg": "unsupported",
            "x.tar/link.jpg": "unsupported",
            "x.tar/one.jpg": "",
        }
        assert release.verify().extra["overall"] == "passed"
    ignored = AnnotationSet(release.annotations).manifest["extra"]["ignored"]
    assert ignored == {"hidden": 1, "link": 1, "not a regular file": 1}


def test_a_single_tar_file_and_a_full_disk(both: tuple[Release, Release], tmp_path: Path) -> None:
    source, out = both[1].photos / "00000.tar", tmp_path / "out"
    words = ("run", source, out, "--effort", "fast", "--quiet")

    def limit() -> None:
        # Enough for every record and every image, not for all of them in one file.
        resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000))

    done = run(*words, preexec_fn=limit)
    assert done.returncode == 1
    assert "00000.tar cannot be written" in done.stderr
    assert "it goes on from here" in done.stderr
    assert not list(out.iterdir())
    done = run(*words)
    assert done.returncode in (0, 3), done.stderr
    assert [path.name for path in out.iterdir()] == ["00000.tar"]
    assert "1 whole" in done.stderr


def test_audit_takes_tar_files_and_review_refuses_them(
    both: tuple[Release, Release], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tars = both[1]
    monkeypatch.chdir(tmp_path)
    summary = audit_dataset(tars.photos, tars.annotations, tmp_path / "audit")
    assert summary.counts["looked"] == 6
    for words in (
        ("review", "open", tars.photos, "-a", tars.annotations),
        ("annotations", "import", tars.annotations, "-f", "cvat", "-o", tmp_path / "ann",
         "--photos", tars.photos),
    ):  # fmt: skip
        done = command(*words, code=1)
        assert len(done.stderr.strip().splitlines()) == 1
        assert "tar files" in done.stderr


@pytest.mark.slow
def test_killed_at_random_instants_the_tar_files_are_the_same(tmp_path: Path) -> None:
    from demo_photos import make_photos

    make_photos(tmp_path / "pictures")
    pack(tmp_path / "pictures", tmp_path / "photos", 4)
    words: list[str | Path] = ["run", tmp_path / "photos", tmp_path / "whole", "--effort", "fast"]
    assert run(*words).returncode in (0, 3)
    expected = {p.name: sha256_hex(p.read_bytes()) for p in (tmp_path / "whole").iterdir()}
    assert len(expected) == 4
    words[2] = tmp_path / "out"
    chance = random.Random(5)
    n_kills = 0
    while n_kills < times(4, 8):
        process = subprocess.Popen(
            [PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.communicate(timeout=chance.uniform(0.4, 2.5))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            n_kills += 1
        else:
            shutil.rmtree(tmp_path / "out")
            shutil.rmtree(tmp_path / "out.veilset")
            n_kills += 1
        # Whatever is there under a final name is whole.
        for path in (tmp_path / "out").glob("*.tar"):
            assert sha256_hex(path.read_bytes()) == expected[path.name]
    assert run(*words).returncode in (0, 3)
    assert {p.name: sha256_hex(p.read_bytes()) for p in (tmp_path / "out").iterdir()} == expected
    assert not list(tmp_path.rglob(f"{PART_PREFIX}*"))


def test_a_source_that_changes_under_way_is_refused(packed: Release) -> None:
    reader = WebDatasetReader(packed.photos)
    first = next(iter(reader.shards()))
    repack(packed.photos / "00000.tar", lambda old: old[:-3])
    with pytest.raises(DatasetError, match="changed while"), reader.open_shard(first):
        pass
