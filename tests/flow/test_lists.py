# SPDX-License-Identifier: Apache-2.0
"""List files and COCO's JSON through every stage: the results of a folder, and what tells of them.

The lists and the JSON of a release are what those of the data set are without the images that
failed, byte by byte; whatever else is there is found.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from tests.conftest import files_below
from tests.s3 import get_files, put_files, s3_server
from tests.unit.verify.drawn import QUIET, Release, draw_photos, make_release, planted_detectors
from veilset.annotations.store import AnnotationSet
from veilset.audit.stage import audit_dataset
from veilset.dataset.coco import NO_ENTRY, NO_FILE
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.errors import DatasetError
from veilset.obfuscate.stage import obfuscate_dataset
from veilset.records.outcomes import OutcomeTable
from veilset.records.verdicts import Verdict
from veilset.remove.stage import RemoveConfig, remove_images
from veilset.report.stage import write_report
from veilset.run.stage import RunConfig, run_dataset
from veilset.runs import RunSummary
from veilset.verify.config import VerifyConfig
from veilset.verify.manifest import verify_manifest
from veilset.verify.stage import verify_dataset

PROGRAM = Path(sys.executable).with_name("veilset")
LIST = "train.txt"
JSON = "annotations/instances_c.json"
LINES = (
    b"# of this split\nc/turned.jpg 3\r\nb/none.jpg 1\nc/cut.jpg 2\n"
    b"a/two.png\tZo\xc3\xab\n\na/one.jpg 0"
)
ABSENT = (Verdict.ABSENT, set[str]())
WHOLE = (Verdict.WHOLE, set[str]())
CHANGED = (Verdict.LEAK, {"container-changed"})


@dataclass(frozen=True)
class Told(Release):
    """A release of a data set that is given by a file, or by its layout."""

    told_by: str = ""
    layout: str = "auto"

    @property
    def photos(self) -> Path:
        return self.base / "photos" / self.told_by

    def copy(self, base: Path) -> Told:
        shutil.copytree(self.base, base, ignore=shutil.ignore_patterns("verify"))
        return Told(base, self.told_by, self.layout)

    def make(self) -> Told:
        config = DetectConfig(detector="planted", effort="fast")
        detect_dataset(self.photos, self.annotations, config, workers=2, layout=self.layout)
        obfuscate_dataset(self.photos, self.annotations, self.out, workers=2, layout=self.layout)
        return self

    def verify(self, config: VerifyConfig = QUIET, workers: int = 2) -> RunSummary:
        return verify_dataset(
            self.photos, self.out, self.annotations, config, workers=workers, layout=self.layout
        )


def document() -> dict[str, Any]:
    """Give COCO's JSON of the folder c: three images that are there, and one that is not."""
    names = ("cut.jpg", "turned.jpg", "gone.jpg", "plain.jpg")
    return {
        "info": {"description": "Zoë's"},
        "images": [
            {"id": n, "file_name": name, "width": 160, "height": 240}
            for n, name in enumerate(names, start=1)
        ],
        "annotations": [
            {"id": 10 * n + k, "image_id": n, "category_id": k, "bbox": [1, 2, 30, 40], "area": 9}
            for n in (1, 2, 3, 4)
            for k in (1, 2)
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Release, Told, Told]]:
    """The same pictures released as a folder, by a list and with a JSON."""
    base = tmp_path_factory.mktemp("told")
    for name in ("folder", "list", "coco"):
        draw_photos(base / name / "photos")
    (base / "list" / "photos" / LIST).write_bytes(LINES)
    path = base / "coco" / "photos" / JSON
    path.parent.mkdir()
    path.write_text(json.dumps(document(), indent=1, ensure_ascii=False), encoding="utf-8")
    with planted_detectors():
        listed = Told(base / "list", LIST).make()
        coco = Told(base / "coco", layout="coco").make()
        yield make_release(base / "folder"), listed, coco


@pytest.fixture
def listed(made: tuple[Release, Told, Told], tmp_path: Path) -> Told:
    return made[1].copy(tmp_path / "list")


@pytest.fixture
def coco(made: tuple[Release, Told, Told], tmp_path: Path) -> Told:
    return made[2].copy(tmp_path / "coco")


def test_the_same_regions_and_bytes_as_from_a_folder(made: tuple[Release, Told, Told]) -> None:
    folder, listed, coco = made
    expected = files_below(folder.out)
    with_json = files_below(coco.out)
    assert with_json.pop(JSON)
    assert with_json == expected
    chosen = files_below(listed.out)
    assert chosen.pop(LIST)
    assert sorted(chosen) == ["a/one.jpg", "a/two.png", "b/none.jpg", "c/turned.jpg"]
    assert chosen == {name: expected[name] for name in chosen}
    digests = [each.record / "obfuscate" for each in (folder, coco)]
    assert list(OutcomeTable(digests[0])) == list(OutcomeTable(digests[1]))
    first, second = (AnnotationSet(each.annotations) for each in (folder, coco))
    assert first.manifest["outputs_sha256"] == second.manifest["outputs_sha256"]
    known = {row.image_id: row for row in first}
    assert all(row == known[row.image_id] for row in AnnotationSet(listed.annotations))


def test_a_list_loses_the_lines_of_images_that_failed(listed: Told) -> None:
    assert (listed.out / LIST).read_bytes() == LINES.replace(b"c/cut.jpg 2\n", b"")
    assert listed.verify().extra["overall"] == "passed"
    assert listed.found() == {"c/cut.jpg": ABSENT, LIST: WHOLE}
    check = verify_manifest(listed.record / "verify" / "manifest.json", listed.out)
    assert (check.n_files, check.is_intact) == (5, True)


def test_a_json_loses_the_entries_of_images_that_failed(coco: Told) -> None:
    left = document()
    del left["images"][0], left["annotations"][:2]
    expected = json.dumps(left, indent=1, ensure_ascii=False)
    assert (coco.out / JSON).read_text(encoding="utf-8") == expected
    assert coco.verify().extra["overall"] == "passed"
    assert coco.found() == {"c/cut.jpg": ABSENT, JSON: WHOLE}
    check = verify_manifest(coco.record / "verify" / "manifest.json", coco.out)
    assert (check.n_files, check.is_intact) == (7, True)
    ignored = AnnotationSet(coco.annotations).manifest["extra"]["ignored"]
    # notes.txt; gone.jpg; the two pictures of a and of b.
    assert ignored == {"not an image": 1, NO_FILE: 1, NO_ENTRY: 4}


def test_cocos_own_reader_takes_what_is_left(
    coco: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = COCO(coco.base / "photos" / JSON), COCO(coco.out / JSON)
    assert capsys.readouterr()
    assert set(after.imgs) == set(before.imgs) - {1}
    assert after.loadCats(after.getCatIds()) == before.loadCats(before.getCatIds())
    for image_id in after.imgs:
        boxes = [each.loadAnns(each.getAnnIds(imgIds=image_id)) for each in (before, after)]
        assert boxes[0] == boxes[1]
        assert {box["category_id"] for box in boxes[1]} == {1, 2}


def test_a_list_that_was_changed_is_found(listed: Told) -> None:
    path = listed.out / LIST
    good = path.read_bytes()
    for bad in (LINES, good.replace(b"b/none.jpg 1\n", b""), good + b"\n", good[:-1], b""):
        path.write_bytes(bad)
        assert listed.found()[LIST] == CHANGED
    path.unlink()
    assert listed.found()[LIST] == (Verdict.ERROR, {"missing"})
    path.symlink_to("a/one.jpg")
    assert listed.found()[LIST] == (Verdict.LEAK, {"unexpected-link", "missing"})
    path.unlink()
    path.write_bytes(good)
    (listed.out / "val.txt").write_bytes(good)
    assert listed.found() == {
        "c/cut.jpg": ABSENT, LIST: WHOLE, "val.txt": (Verdict.LEAK, {"unexpected-file"}),
    }  # fmt: skip


def test_a_json_that_was_changed_is_found(coco: Told) -> None:
    path = coco.out / JSON
    good = path.read_bytes()
    shutil.copy(coco.base / "photos" / JSON, path)
    assert coco.found()[JSON] == CHANGED
    path.write_bytes(good.replace(b"30", b"31", 1))
    assert coco.found()[JSON] == CHANGED
    path.write_bytes(good)
    assert coco.found() == {"c/cut.jpg": ABSENT, JSON: WHOLE}
    # The original was changed after the release: it does not tell of it any more.
    original = coco.base / "photos" / JSON
    original.write_bytes(original.read_bytes().replace(b"dog", b"cat"))
    assert coco.found()[JSON] == CHANGED


def test_an_image_that_the_list_does_not_name_is_found_in_the_output(listed: Told) -> None:
    shutil.copy(listed.base / "photos" / "c" / "plain.jpg", listed.out / "c" / "plain.jpg")
    assert listed.found()["c/plain.jpg"] == (Verdict.LEAK, {"unexpected-file"})


def test_done_again_nothing_is_written_again(coco: Told) -> None:
    for folder in (coco.annotations, coco.record, coco.out):
        shutil.rmtree(folder)
    coco.make().verify()
    files = (coco.out / JSON, coco.record / "verify" / "started.json")
    before = [path.stat().st_ctime_ns for path in files]
    coco.make().verify()
    assert [path.stat().st_ctime_ns for path in files] == before


def test_report_and_audit_take_them(listed: Told, coco: Told, tmp_path: Path) -> None:
    coco.verify()
    page = write_report(coco.out, coco.annotations).read_text()
    assert "Tar files, Parquet files, lists" in page
    assert NO_ENTRY in page
    assert page.count("--layout coco") == 3
    assert "data:image/jpeg;base64," in page
    assert audit_dataset(listed.photos, listed.annotations, tmp_path / "out").counts["looked"] == 4


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False)


def test_what_cannot_be_used_is_refused_before_any_work(listed: Told, tmp_path: Path) -> None:
    listed.photos.write_bytes(b"a/one.jpg\na/one.jpg\n")
    done = run("run", listed.photos, tmp_path / "out", "--effort", "fast", "--quiet")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1), done.stderr
    assert "in the lines 1 and 2" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["s3://bucket/told", "memory://told"])
def test_the_same_at_a_url(listed: Told, coco: Told, tmp_path: Path, place: str) -> None:
    config = RunConfig(detect=DetectConfig(detector="planted", effort="fast"), verify=QUIET)
    with s3_server() if place.startswith("s3") else nullcontext():
        put_files(f"{place}/list", files_below(listed.base / "photos"))
        put_files(f"{place}/coco", files_below(coco.base / "photos"))
        for release, folder, name in ((listed, "list", LIST), (coco, "coco", JSON)):
            photos = f"{place}/{folder}/{name}"
            out, record = f"{place}/out-{release.told_by}", tmp_path / f"of-{release.told_by}"
            summary = run_dataset(photos, out, config, record=record, workers=2)
            assert get_files(out) == files_below(release.out)
            assert list(AnnotationSet(record / "annotations")) == list(
                AnnotationSet(release.annotations)
            )
            assert summary.verify.counts["whole"] == 1
            assert summary.n_leaks == 0
            with pytest.raises(DatasetError, match="lie in each other"):
                run_dataset(photos, f"{place}/{folder}/out", config, record=record)


def test_an_image_that_is_withdrawn_goes_from_list_and_json(listed: Told, coco: Told) -> None:
    for release, name in ((listed, LIST), (coco, JSON)):
        release.verify()
        remove_images(release.out, RemoveConfig(reason="asked", image_ids=("c/turned.jpg",)))
        assert "turned" not in (release.out / name).read_text(encoding="utf-8")
        assert verify_manifest(release.record / "verify", release.out).is_intact
        assert release.found() == {"c/cut.jpg": ABSENT, "c/turned.jpg": ABSENT, name: WHOLE}
    left = document()
    del left["images"][:2], left["annotations"][:4]
    expected = json.dumps(left, indent=1, ensure_ascii=False)
    assert (coco.out / JSON).read_text(encoding="utf-8") == expected


def test_an_update_of_a_list_ends_as_from_scratch(
    made: tuple[Release, Told, Told], tmp_path: Path
) -> None:
    config = RunConfig(detect=DetectConfig(detector="planted", effort="fast"), verify=QUIET)
    draw_photos(tmp_path / "photos")
    path = tmp_path / "photos" / LIST
    path.write_bytes(LINES)
    run_dataset(path, tmp_path / "out", config, workers=2)
    # One is added, one left out, and the line of one is another.
    lines = LINES.replace(b"a/one.jpg 0", b"c/plain.jpg 0").replace(
        b"turned.jpg 3", b"turned.jpg 4"
    )
    path.write_bytes(lines)
    run_dataset(path, tmp_path / "out", config, workers=2, update=True)
    run_dataset(path, tmp_path / "scratch", config, workers=2)
    assert files_below(tmp_path / "out") == files_below(tmp_path / "scratch")
    assert (tmp_path / "out" / LIST).read_bytes() == lines.replace(b"c/cut.jpg 2\n", b"")


KILLED_WHILE_FINISHING = """
import os, signal, sys
from veilset.dataset import coco
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.obfuscate.stage import obfuscate_dataset
coco.WINDOW = 100
plain = coco.CocoFile.released
def released(self, gone):
    for n, piece in enumerate(plain(self, gone)):
        if n == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        yield piece
coco.CocoFile.released = released
photos, annotations, out = sys.argv[1:]
obfuscate_dataset(photos, annotations, out, workers=1, layout="coco")
"""


def test_killed_while_the_json_is_written(coco: Told, tmp_path: Path) -> None:
    out = tmp_path / "again"
    words = (sys.executable, "-c", KILLED_WHILE_FINISHING, coco.photos, coco.annotations, out)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert "c/turned.jpg" in files_below(out)
    assert not (out / JSON).exists()
    summary = obfuscate_dataset(coco.photos, coco.annotations, out, workers=1, layout="coco")
    assert summary.counts["failed"] == 1
    assert files_below(out) == files_below(coco.out)
    assert [path.name for path in (out / "annotations").iterdir()] == [Path(JSON).name]
