# SPDX-License-Identifier: Apache-2.0
"""WebDataset tar files through every stage: the same results as from a folder."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import times
from tests.flow.command import command
from tests.unit.verify.drawn import (
    QUIET,
    Release,
    draw_photos,
    jpeg_bytes,
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
from veilset.verify.manifest import verify_manifest

PROGRAM = Path(sys.executable).with_name("veilset")
Members = list[tuple[tarfile.TarInfo, bytes]]


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.uid, info.mode = len(data), 1_700_000_000, 1001, 0o640
    tar.addfile(info, io.BytesIO(data))


def pack(photos: Path, tars: Path, n_each: int = 3) -> None:
    """Pack a folder of pictures, ``n_each`` to a tar file, each with a caption and a label."""
    tars.mkdir(parents=True)
    files = sorted(path for path in photos.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))
    for at in range(0, len(files), n_each):
        with tarfile.open(tars / f"{at // n_each:05d}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            add(tar, "README", b"of this shard")
            # Not in the order of the names: the order of the source has to stay.
            for path in reversed(files[at : at + n_each]):
                key = path.relative_to(photos).with_suffix("").as_posix()
                add(tar, f"{key}.txt", f"a picture of {key}, Zoë".encode())
                add(tar, f"{key}{path.suffix}", path.read_bytes())
                add(tar, f"{key}.json", json.dumps({"key": key}).encode())
    with tarfile.open(tars / "99999.tar", "w") as tar:
        add(tar, "words/only.txt", b"no picture at all")


def members(path: Path) -> Members:
    with tarfile.open(path, "r:") as tar:
        return [(info, (tar.extractfile(info) or io.BytesIO()).read()) for info in tar]


def contents(path: Path) -> dict[str, bytes]:
    return {info.name: data for info, data in members(path)}


def repack(path: Path, change: Callable[[Members], Members]) -> None:
    """Write a tar file anew with other members, as an attacker or a careless owner would."""
    changed = change(members(path))
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in changed:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def with_data(name: str, data: bytes) -> Callable[[Members], Members]:
    return lambda old: [(info, data if info.name == name else was) for info, was in old]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Release, Release]]:
    """The same pictures as a folder and as tar files, both released."""
    base = tmp_path_factory.mktemp("layouts")
    draw_photos(base / "folder" / "photos")
    pack(base / "folder" / "photos", base / "tars" / "photos")
    with planted_detectors():
        yield make_release(base / "folder"), make_release(base / "tars")


@pytest.fixture
def packed(both: tuple[Release, Release], tmp_path: Path) -> Release:
    return both[1].copy(tmp_path / "copy")


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


CLEAN = {
    "00000.tar": (Verdict.WHOLE, set[str]()),
    "00001.tar": (Verdict.WHOLE, set[str]()),
    "00001.tar/c/cut.jpg": (Verdict.ABSENT, set[str]()),
    "00002.tar": (Verdict.WHOLE, set[str]()),
    "99999.tar": (Verdict.WHOLE, set[str]()),
}
CHANGED = (Verdict.LEAK, {"container-changed"})


def test_a_clean_release_passes_and_its_manifest_is_of_tar_files(packed: Release) -> None:
    summary = packed.verify()
    assert summary.extra["overall"] == "passed"
    assert packed.found() == CLEAN
    manifest = packed.record / "verify" / "manifest.json"
    check = verify_manifest(manifest, packed.out)
    assert (check.n_files, check.is_intact) == (4, True)
    path = packed.out / "00000.tar"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    check = verify_manifest(manifest, packed.out)
    assert [(each.image_id, each.code) for each in check.findings] == [("00000.tar", "changed")]


def test_a_changed_caption_is_found(packed: Release) -> None:
    repack(packed.out / "00000.tar", with_data("a/one.txt", "a picture of a/one, Zoé".encode()))
    assert packed.found() == CLEAN | {"00000.tar": CHANGED}


def test_an_original_put_back_is_found(packed: Release) -> None:
    original = contents(packed.photos / "00000.tar")
    repack(packed.out / "00000.tar", with_data("a/one.jpg", original["a/one.jpg"]))
    found = packed.found()
    verdict, codes = found.pop("00000.tar/a/one.jpg")
    assert verdict is Verdict.LEAK
    assert {"digest", "shows-through", "metadata"} <= codes
    assert found == CLEAN | {"00000.tar": CHANGED}


def test_a_whole_original_tar_put_back_is_found(packed: Release) -> None:
    shutil.copy(packed.photos / "00001.tar", packed.out / "00001.tar")
    found = packed.found()
    assert found["00001.tar"] == CHANGED
    assert found["00001.tar/c/cut.jpg"] == (Verdict.LEAK, {"failed-but-present"})


@pytest.mark.parametrize("name", ["a/one.extra.npy", ".hidden.jpg", "z/new.txt"])
def test_an_added_member_is_found(packed: Release, name: str) -> None:
    def more(old: Members) -> Members:
        return [*old, (tarfile.TarInfo(name), b"pixels of a face")]

    repack(packed.out / "00000.tar", more)
    assert packed.found() == CLEAN | {"00000.tar": CHANGED}


def test_an_added_image_is_found_whatever_its_name(packed: Release) -> None:
    data = contents(packed.photos / "00000.tar")["a/one.jpg"]
    repack(packed.out / "00000.tar", lambda old: [*old, (tarfile.TarInfo("a/one.cls"), data)])
    found = packed.found()
    assert found["00000.tar"] == CHANGED
    assert found["00000.tar/a/one.cls"] == (Verdict.LEAK, {"unexpected-file"})


def test_a_thumbnail_in_an_image_is_found(packed: Release) -> None:
    thumbnail = jpeg_bytes(np.zeros((60, 80, 3), np.uint8))
    inside = contents(packed.out / "00002.tar")
    # An EXIF block without tags, whose second directory points at a JPEG file behind it.
    tags = ((0x0201, 44), (0x0202, len(thumbnail)))
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack(">2sHIHI", b"MM", 42, 8, 0, 14)
    segment = b"Exif\0\0" + head + struct.pack(">H", 2) + entries + bytes(4) + thumbnail
    app1 = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    data = inside["c/turned.jpg"]
    repack(packed.out / "00002.tar", with_data("c/turned.jpg", data[:2] + app1 + data[2:]))
    codes = packed.found()["00002.tar/c/turned.jpg"][1]
    assert {"digest", "embedded-preview"} <= codes


def test_data_behind_the_end_and_in_the_padding_is_found(packed: Release) -> None:
    first, second = packed.out / "00000.tar", packed.out / "00001.tar"
    first.write_bytes(first.read_bytes() + bytes(10240))
    data = bytearray(second.read_bytes())
    info = next(i for i, _ in members(second) if i.name == "b/none.png")
    end = info.offset_data + info.size
    assert end % 512
    data[end] = 1
    second.write_bytes(data)
    assert packed.found() == CLEAN | {"00000.tar": CHANGED, "00001.tar": CHANGED}


def test_tar_files_that_are_gone_cut_added_or_links(packed: Release) -> None:
    (packed.out / "00000.tar").unlink()
    cut = (packed.out / "00001.tar").read_bytes()
    (packed.out / "00001.tar").write_bytes(cut[:-10240])
    (packed.out / "00002.tar").rename(packed.out / "other.tar")
    (packed.out / "00002.tar").symlink_to("other.tar")
    found = packed.found()
    assert found["00000.tar"] == (Verdict.ERROR, {"missing"})
    assert found["00000.tar/a/one.jpg"] == (Verdict.ERROR, {"missing"})
    assert found["00001.tar"] == CHANGED
    assert found["00002.tar"] == (Verdict.LEAK, {"unexpected-link", "missing"})
    assert found["other.tar"] == (Verdict.LEAK, {"unexpected-file"})


def test_a_change_after_verification_starts_it_anew(packed: Release) -> None:
    packed.verify()
    repack(packed.out / "00000.tar", with_data("a/one.txt", b"other words"))
    assert packed.found() == CLEAN | {"00000.tar": CHANGED}


def test_the_report_shows_pictures_of_tar_files(packed: Release) -> None:
    packed.verify()
    page = write_report(packed.out, packed.annotations)
    numbers = json.loads(page.with_suffix(".json").read_bytes())
    assert "Tar files" in page.read_text()
    assert page.read_text().count("data:image/jpeg;base64,") == 3
    assert numbers["verified"]["verdicts"] == {"absent": 1, "passed": 6, "whole": 4}


def test_detectors_search_the_images_in_tar_files_again(packed: Release) -> None:
    summary = packed.verify(replace(QUIET, recheck="all"))
    assert summary.counts["searched_all"] == 6


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
