# SPDX-License-Identifier: Apache-2.0
"""Images withdrawn from a release: gone from it, from its records, and never back."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import files_below
from tests.flow.packed_tars import add, members
from tests.flow.removable import (
    ASKED,
    asked,
    folder,
    intact,
    made,
    obfuscate,
    outcomes,
    tars,
)
from tests.unit.verify.drawn import (
    CLEAN,
    Release,
    draw_photos,
    make_release,
    planted_detectors,
)
from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.errors import AnnotationError, ConfigError, DatasetError
from veilset.files import sha256_hex
from veilset.records.outcomes import Outcome, OutcomeTable
from veilset.records.removals import read_log
from veilset.records.verdicts import Verdict
from veilset.remove.stage import RemoveConfig, remove_images
from veilset.runs import read_manifest

__all__ = ["folder", "made", "tars"]


PROGRAM = Path(sys.executable).with_name("veilset")


def test_an_image_leaves_the_folder_its_records_and_its_report(folder: Release) -> None:
    before = files_below(folder.out)
    digest_in = sha256_hex((folder.photos / "a/one.jpg").read_bytes())
    summary = remove_images(folder.out, asked("a/one.jpg", "a/two.png"))
    assert summary.image_ids == ("a/one.jpg", "a/two.png")
    assert files_below(folder.out) == {k: v for k, v in before.items() if not k.startswith("a/")}
    assert not (folder.out / "a").exists(), "the name of an empty folder may tell something"
    assert intact(folder)
    assert outcomes(folder)["a/one.jpg"] is Outcome.REMOVED
    counts = read_manifest(folder.record / "obfuscate")["counts"]
    assert counts == {
        "failed": 1, "n_regions": 1, "obfuscated": 1, "removed": 2, "untouched": 3,
    }  # fmt: skip
    manifest = json.loads((folder.record / "verify" / "manifest.json").read_bytes())
    assert manifest["counts"]["passed"] == 4
    assert manifest["overall"] == "passed"
    assert folder.verdicts()["a/one.jpg"].verdict is Verdict.ABSENT
    line = json.loads((folder.record / "removed" / "log.jsonl").read_text().splitlines()[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line.pop("removed_at"))
    assert line == {
        "image_id": "a/one.jpg",
        "sha256": sha256_hex(before["a/one.jpg"]),
        "sha256_original": digest_in,
        "reason": ASKED.reason,
        "because_of": "",
    }
    page = json.loads((folder.record / "report.json").read_bytes())
    assert page["produced"]["outcomes"]["removed"] == 2
    assert "withdrawn" in (folder.record / "report.html").read_text()


def test_a_full_verification_passes_and_sees_what_is_put_back(folder: Release) -> None:
    data = (folder.out / "a/one.jpg").read_bytes()
    remove_images(folder.out, asked("a/one.jpg"))
    assert folder.found() == CLEAN | {"a/one.jpg": (Verdict.ABSENT, set())}
    (folder.out / "a/one.jpg").write_bytes(data)
    assert folder.found()["a/one.jpg"] == (Verdict.LEAK, {"removed-but-present"})


def test_with_the_original_gone_too_the_release_still_verifies(folder: Release) -> None:
    remove_images(folder.out, asked("b/none.jpg"))
    (folder.photos / "b/none.jpg").unlink()
    assert folder.found() == CLEAN | {"b/none.jpg": (Verdict.ABSENT, set())}


def test_a_sample_leaves_its_tar_file_and_all_else_stays(tars: Release) -> None:
    before = {path.name: members(path) for path in tars.out.iterdir()}
    summary = remove_images(tars.out, asked("00000.tar/a/two.png"))
    assert summary.manifest_sha256
    assert intact(tars)
    for path in tars.out.iterdir():
        kept = [(m.name, data) for m, data in before[path.name] if not m.name.startswith("a/two.")]
        assert [(m.name, data) for m, data in members(path)] == kept
    found = tars.found()
    assert found.pop("00000.tar/a/two.png") == (Verdict.ABSENT, set())
    assert {verdict for verdict, _ in found.values()} == {Verdict.ABSENT, Verdict.WHOLE}
    assert outcomes(tars)["00000.tar/a/two.png"] is Outcome.REMOVED


def test_other_images_of_the_sample_go_too_and_are_said_to(tmp_path: Path) -> None:
    release = Release(tmp_path)
    draw_photos(tmp_path / "pictures")
    release.photos.mkdir()
    pictures = {"left": "a/one.jpg", "right": "c/plain.jpg"}
    with tarfile.open(release.photos / "0.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for side, name in pictures.items():
            add(tar, f"pair.{side}.jpg", (tmp_path / "pictures" / name).read_bytes())
        add(tar, "pair.txt", b"two sides")
        add(tar, "single.jpg", (tmp_path / "pictures/b/none.jpg").read_bytes())
    with planted_detectors():
        make_release(tmp_path)
        release.verify()
        summary = remove_images(release.out, asked("0.tar/pair.left.jpg"))
        assert summary.because_of == (("0.tar/pair.right.jpg", "0.tar/pair.left.jpg"),)
        assert intact(release)
        assert [each.because_of for each in read_log(release.record)] == ["", summary.image_ids[0]]
        amended = list(OutcomeTable(release.record / "obfuscate"))
        shutil.rmtree(release.out)
        shutil.rmtree(release.record / "obfuscate")
        obfuscate(release)
        # What a run that knows of the removal records is what the removal wrote into the record.
        assert list(OutcomeTable(release.record / "obfuscate")) == amended
        assert release.verify().extra["overall"] == "passed"


def test_neither_the_same_command_nor_a_new_run_brings_it_back(tmp_path: Path) -> None:
    with planted_detectors():
        folder = make_release(tmp_path)
        _check_never_back(folder)


def _check_never_back(folder: Release) -> None:
    remove_images(folder.out, asked("a/one.jpg"))
    released = files_below(folder.out)
    obfuscate(folder)
    assert files_below(folder.out) == released
    for name in ("out", "annotations", "out.veilset/obfuscate"):
        shutil.rmtree(folder.base / name)
    # Under another name it is the same photograph; under its name it is what was asked for.
    shutil.move(folder.photos / "a/one.jpg", folder.photos / "b/again.jpg")
    shutil.copy(folder.photos / "c/plain.jpg", folder.photos / "a/one.jpg")
    make_release(folder.base)
    assert files_below(folder.out) == released
    ended = outcomes(folder)
    assert (ended["a/one.jpg"], ended["b/again.jpg"]) == (Outcome.REMOVED, Outcome.REMOVED)


def test_asked_for_in_several_ways(folder: Release, tmp_path: Path) -> None:
    released = sha256_hex((folder.out / "a/two.png").read_bytes())
    original = sha256_hex((folder.photos / "b/none.png").read_bytes())
    rows = list(AnnotationSet(folder.annotations))
    by_hand = tmp_path / "by-hand"
    shutil.copytree(folder.annotations, by_hand)
    turned = next(row for row in rows if row.image_id == "c/turned.jpg")
    nude = replace(turned, regions=(replace(turned.regions[0], kind="nsfw"),))
    write_annotations(by_hand, 0, [nude if row is turned else row for row in rows])
    names = tmp_path / "names.txt"
    names.write_text("# asked for on Monday\n\nb/none.jpg\n")
    command: list[str | Path] = [
        PROGRAM, "remove", folder.out, "--image", "a/one.jpg", "--list", names,
        "--sha256", released, "--sha256", original.upper(), "--with-kind", "nsfw",
        "--annotations", by_hand, "--reason", "several", "--json",
    ]  # fmt: skip
    before = files_below(folder.base)
    done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True)
    assert "nothing was changed" in done.stderr
    assert files_below(folder.base) == before
    dry = json.loads(done.stdout)["image_ids"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    gone = ["a/one.jpg", "a/two.png", "b/none.jpg", "b/none.png", "c/turned.jpg"]
    assert json.loads(done.stdout)["image_ids"] == gone == dry
    assert sorted(files_below(folder.out)) == ["c/plain.jpg"]
    assert intact(folder)
    again = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (again["image_ids"], again["already"]) == ([], gone)
    assert len(read_log(folder.record)) == 5


def test_a_copy_under_another_name_goes_with_it(tmp_path: Path) -> None:
    release = Release(tmp_path)
    draw_photos(release.photos)
    shutil.copy(release.photos / "a/one.jpg", release.photos / "c/copy.jpg")
    with planted_detectors():
        make_release(tmp_path)
        release.verify()
        summary = remove_images(release.out, asked("a/one.jpg"))
        assert summary.image_ids == ("a/one.jpg", "c/copy.jpg")
        assert not (release.out / "c/copy.jpg").exists()
        assert intact(release)


def test_a_failed_image_can_be_withdrawn_so_that_no_later_run_releases_it(folder: Release) -> None:
    summary = remove_images(folder.out, asked("c/cut.jpg"))
    assert summary.image_ids == ("c/cut.jpg",)
    assert outcomes(folder)["c/cut.jpg"] is Outcome.REMOVED
    assert intact(folder)


def test_the_last_image_can_go(folder: Release, tars: Release) -> None:
    for release in (folder, tars):
        names = [row.image_id for row in OutcomeTable(release.record / "obfuscate")]
        remove_images(release.out, asked(*names))
        assert intact(release)
    assert not files_below(folder.out)


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        (asked("a/one.jpg", "a/none.jpg"), DatasetError, "no image named 'a/none.jpg'"),
        (replace(ASKED, sha256=("0" * 64,)), DatasetError, "No image of the release has"),
        (RemoveConfig(), ConfigError, "Say which images"),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_changes(
    folder: Release, config: RemoveConfig, error: type[Exception], says: str
) -> None:
    before = files_below(folder.base)
    with pytest.raises(error, match=says):
        remove_images(folder.out, config)
    assert files_below(folder.base) == before


def test_a_kind_that_nothing_has_is_refused(folder: Release) -> None:
    config = replace(ASKED, kinds=("plate",), annotations=folder.annotations)
    with pytest.raises(AnnotationError, match=r"no region of kind 'plate'.*It has: face"):
        remove_images(folder.out, config)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"image_ids": ("a",)}, "Give the reason"),
        ({"image_ids": ("a",), "reason": "one\ntwo"}, "in one line"),
        ({"sha256": ("abc",), "reason": "x"}, "64 digits"),
        ({"kinds": ("face",), "reason": "x"}, "together"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        RemoveConfig(**settings)


def test_a_tar_file_that_was_changed_is_not_vouched_for(tars: Release) -> None:
    path = tars.out / "00000.tar"
    data = path.read_bytes()
    at = data.index(b"a picture of")
    path.write_bytes(data[:at] + b"A" + data[at + 1 :])
    before = files_below(tars.base)
    with pytest.raises(DatasetError, match=r"00000.tar in the output is not the file"):
        remove_images(tars.out, asked("00000.tar/a/two.png"))
    assert files_below(tars.base) == before


def test_without_a_verification_it_is_withdrawn_and_verified_later(folder: Release) -> None:
    shutil.rmtree(folder.record / "verify")
    assert remove_images(folder.out, asked("a/one.jpg")).manifest_sha256 == ""
    assert folder.found() == CLEAN | {"a/one.jpg": (Verdict.ABSENT, set())}
