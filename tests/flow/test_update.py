# SPDX-License-Identifier: Apache-2.0
"""A release brought up to date: to the bytes of a run from scratch, without redoing the old."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.conftest import REPOSITORY, files_below
from tests.flow.packed_tars import Members, members, pack, repack
from tests.unit.verify.drawn import (
    MAGENTA,
    QUIET,
    Release,
    draw,
    draw_photos,
    jpeg_bytes,
    planted_detectors,
)
from veilset.annotations.store import AnnotationSet
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.errors import AnnotationError, DatasetError, ResumeMismatchError, RunError
from veilset.obfuscate.stage import ObfuscateConfig
from veilset.records.outcomes import Outcome, OutcomeTable
from veilset.remove.stage import RemoveConfig, remove_images
from veilset.run.stage import ReleaseSummary, RunConfig, run_dataset
from veilset.run.update import begin_update
from veilset.verify.manifest import verify_manifest

CONFIG = RunConfig(
    detect=DetectConfig(detector="planted", effort="fast", shard_size=3),
    obfuscate=ObfuscateConfig(shard_size=3),
    verify=replace(QUIET, shard_size=3),
)


def run(release: Release, config: RunConfig = CONFIG, *, update: bool = False) -> ReleaseSummary:
    return run_dataset(release.photos, release.out, config, workers=2, update=update)


@pytest.fixture(autouse=True, scope="module")
def planted() -> Iterator[None]:
    with planted_detectors():
        yield


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """A finished release of seven pictures in a folder."""
    release = Release(tmp_path / "release")
    draw_photos(release.photos)
    run(release)
    return release


def change(photos: Path) -> None:
    """Add two pictures, change one, spoil one, mend one, and delete a folder of two."""
    crowd = draw(4, 1, {(0, 0): MAGENTA, (3, 0): MAGENTA})
    (photos / "0").mkdir()
    (photos / "0/first.jpg").write_bytes(jpeg_bytes(crowd))
    PillowImage.fromarray(draw(2, 3, {(0, 1): MAGENTA})).save(photos / "c/z.png")
    PillowImage.fromarray(draw(3, 3, {(2, 2): MAGENTA})).save(photos / "b/none.png")
    (photos / "c/plain.jpg").write_bytes((photos / "c/plain.jpg").read_bytes()[:900])
    (photos / "c/cut.jpg").write_bytes(jpeg_bytes(draw(3, 1, {})))
    shutil.rmtree(photos / "a")


def results(release: Release) -> dict[str, bytes]:
    """Give what must not depend on how a release came about: output, tables, release manifest."""
    tables = {
        name: data
        for stage in ("annotations", "obfuscate", "verify")
        for name, data in files_below(release.record / stage).items()
        if name.endswith(".parquet") or name == "manifest.json"
        for name in [f"{stage}/{name}"]
    }
    return tables | files_below(release.out)


def from_scratch(release: Release) -> dict[str, bytes]:
    """Run on the photographs as they are now, into a folder of its own."""
    other = Release(release.base.with_name("scratch"))
    shutil.copytree(release.photos, other.photos)
    if (release.record / "removed").exists():
        shutil.copytree(release.record / "removed", other.record / "removed")
    run(other)
    return results(other)


def test_an_update_gives_what_a_run_from_scratch_gives(release: Release) -> None:
    change(release.photos)
    summary = run(release, update=True)
    assert results(release) == from_scratch(release)
    # b/none.jpg and c/turned.jpg are what they were.
    counts = (summary.detect.counts, summary.obfuscate.counts, summary.verify.counts)
    assert [each["reused"] for each in counts] == [2, 2, 2]
    assert not (release.out / "a").exists()
    assert verify_manifest(release.record / "verify", release.out).is_intact
    assert not (release.record / "update.json").exists()
    assert (release.record / "before/1/annotations/run.json").exists()


def test_without_a_change_everything_is_taken_over(release: Release) -> None:
    before = results(release)
    times = {path: path.stat().st_mtime_ns for path in release.out.rglob("*.*")}
    summary = run(release, update=True)
    assert results(release) == before
    assert summary.detect.counts["reused"] == summary.detect.counts["looked"] == 6
    assert summary.obfuscate.counts["reused"] == summary.verify.counts["reused"] == 6
    assert {path: path.stat().st_mtime_ns for path in release.out.rglob("*.*")} == times
    run(release, update=True)
    assert results(release) == before
    assert sorted(path.name for path in (release.record / "before").iterdir()) == ["1", "2"]
    run(release)
    assert results(release) == before


def test_tar_files_are_updated_too(tmp_path: Path) -> None:
    release = Release(tmp_path / "release")
    draw_photos(tmp_path / "pictures")
    pack(tmp_path / "pictures", release.photos)
    run(release)
    first = release.photos / "00000.tar"

    def add_sample(old: Members) -> Members:
        info, _ = members(first)[0]
        new = info.replace(name="later/new.jpg")
        return [*old, (new, jpeg_bytes(draw(2, 1, {(1, 0): MAGENTA})))]

    repack(first, add_sample)
    (release.photos / "99999.tar").unlink()
    (release.photos / "00001.tar").unlink()
    shutil.copy(first, release.photos / "00007.tar")
    summary = run(release, update=True)
    assert results(release) == from_scratch(release)
    assert summary.obfuscate.counts["reused"] == summary.verify.counts["reused"] == 4
    assert verify_manifest(release.record / "verify", release.out).is_intact


def test_what_was_removed_stays_out(release: Release) -> None:
    data = (release.photos / "a/one.jpg").read_bytes()
    remove_images(release.out, RemoveConfig("asked", ("a/one.jpg", "b/none.jpg")))
    change(release.photos)
    (release.photos / "c/again.jpg").write_bytes(data)
    run(release, update=True)
    assert results(release) == from_scratch(release)
    outcomes = {row.image_id: row.outcome for row in OutcomeTable(release.record / "obfuscate")}
    assert outcomes["c/again.jpg"] is outcomes["b/none.jpg"] is Outcome.REMOVED
    assert not (release.out / "c/again.jpg").exists()


def test_what_somebody_changed_in_the_output_is_made_anew(release: Release) -> None:
    for name in ("b/none.jpg", "c/turned.jpg"):
        (release.out / name).write_bytes((release.photos / name).read_bytes() + b"x")
    (release.out / "c/plain.jpg").unlink()
    summary = run(release, update=True)
    assert results(release) == from_scratch(release)
    assert summary.obfuscate.counts["reused"] == 3
    assert summary.verify.counts["reused"] == 6


def test_records_that_somebody_changed_are_refused(release: Release) -> None:
    path = release.record / "obfuscate" / "shard-00000.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DatasetError, match="are not those that its run wrote"):
        run(release, update=True)


OTHER_SETTINGS = pytest.mark.parametrize(
    ("config", "says"),
    [
        (replace(CONFIG, detect=replace(CONFIG.detect, effort="balanced")), "effort changed from"),
        (replace(CONFIG, detect=replace(CONFIG.detect, max_pixels=10**6)), "max_pixels changed"),
        (replace(CONFIG, obfuscate=ObfuscateConfig("blackout")), "method.* changed from"),
    ],
)


@OTHER_SETTINGS
def test_other_settings_are_refused_and_the_release_stays_as_it_is(
    release: Release, config: RunConfig, says: str
) -> None:
    change(release.photos)
    before = files_below(release.base)
    with pytest.raises(ResumeMismatchError, match=says):
        run(release, config, update=True)
    assert files_below(release.base) == before
    remove_images(release.out, RemoveConfig("asked", ("c/plain.jpg",)))


@OTHER_SETTINGS
def test_an_update_that_was_begun_refuses_other_settings_and_the_right_ones_finish_it(
    release: Release, config: RunConfig, says: str
) -> None:
    change(release.photos)
    begin_update(release.record, lambda: None)
    with pytest.raises(ResumeMismatchError, match=says):
        run(release, config, update=True)
    with pytest.raises(RunError, match=r"An update of the release .* was not finished"):
        run(release)
    run(release, update=True)
    assert results(release) == from_scratch(release)


def test_photographs_that_are_not_there_leave_the_release_as_it_is(release: Release) -> None:
    before = files_below(release.base)
    with pytest.raises(DatasetError):
        run_dataset(release.base / "fotos", release.out, CONFIG, update=True)
    assert files_below(release.base) == before


def test_shards_may_have_another_size(release: Release) -> None:
    change(release.photos)
    other = RunConfig(
        replace(CONFIG.detect, shard_size=4), replace(CONFIG.obfuscate, shard_size=4), CONFIG.verify
    )
    summary = run(release, other, update=True)
    assert summary.verify.counts["reused"] == 2
    expected = from_scratch(release)
    found = files_below(release.out)
    assert found == {name: data for name, data in expected.items() if name in found}


def test_verdicts_are_found_anew_by_another_verification(release: Release) -> None:
    config = replace(CONFIG, verify=replace(CONFIG.verify, recheck="all"))
    summary = run(release, config, update=True)
    assert "reused" not in summary.verify.counts
    assert summary.verify.counts["searched_all"] == 6


def test_an_image_that_is_in_the_new_sample_is_searched(tmp_path: Path) -> None:
    """The share of the sample depends on how many images there are."""
    release = Release(tmp_path / "release")
    draw_photos(release.photos)
    for at in range(30):
        picture = np.full((24, 24, 3), 8 * at, np.uint8)
        PillowImage.fromarray(picture).save(release.photos / f"b/{at:02d}.png")
    verify = replace(CONFIG.verify, recheck_sample=0.01, recheck_minimum=10)
    config = replace(CONFIG, verify=verify)
    run(release, config)
    for at in range(20):
        (release.photos / f"b/{at:02d}.png").unlink()
    summary = run(release, config, update=True)
    other = Release(tmp_path / "scratch")
    shutil.copytree(release.photos, other.photos)
    run(other, config)
    assert results(release) == results(other)
    assert 6 < summary.verify.counts["reused"] < 16


def test_an_unfinished_release_is_refused(release: Release) -> None:
    (release.record / "obfuscate" / "run.json").unlink()
    with pytest.raises(RunError, match="is not finished"):
        run(release, update=True)
    with pytest.raises(RunError, match="holds no run"):
        run_dataset(release.photos, release.base / "new", CONFIG, update=True)


def test_records_that_cannot_be_put_aside_are_a_sentence(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = results(release)

    def refuse(path: Path, _target: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(RunError, match=r"cannot be moved to .*before/1 .Read-only"):
            run(release, update=True)
    run(release, update=True)
    assert results(release) == before


def test_a_reviewed_release_is_refused(release: Release) -> None:
    for name in ("started.json", "run.json"):
        path = release.record / "obfuscate" / name
        data = json.loads(path.read_bytes())
        data["inputs"]["annotations_sha256"] = "of another set"
        path.write_text(json.dumps(data))
    before = files_below(release.base)
    with pytest.raises(AnnotationError, match="not made with the annotation set"):
        run(release, update=True)
    assert files_below(release.base) == before


def test_detection_alone_takes_rows_over(release: Release, tmp_path: Path) -> None:
    change(release.photos)
    old = release.record / "annotations"
    detect: Callable[..., object] = detect_dataset
    summary = detect_dataset(release.photos, tmp_path / "new", CONFIG.detect, reuse=old, workers=2)
    detect(release.photos, tmp_path / "scratch", CONFIG.detect, workers=2)
    assert summary.counts["reused"] == 2
    assert list(AnnotationSet(tmp_path / "new")) == list(AnnotationSet(tmp_path / "scratch"))


DRIVER = """
import shutil, sys
from pathlib import Path
import PIL.Image, pyarrow.parquet  # before the fork, not after each
from tests.flow.killed_children import run_in_child
from tests.flow.test_update import Release, planted_detectors, run
import veilset.report.stage

base, step = Path(sys.argv[1]), int(sys.argv[2])

def update():
    with planted_detectors():
        run(Release(base), update=True)

copy = base.with_name("copy")
for kill_at in range(7, 1000, step):
    base.rename(copy)
    shutil.copytree(copy, base)
    killed = run_in_child(update, kill_at)
    again = run_in_child(update, 0)
    base.rename(base.with_name(f"killed-{kill_at}"))
    copy.rename(base)
    print(kill_at, killed, again, flush=True)
    if killed == 0:
        break
"""


def test_killed_at_any_change_the_same_command_ends_the_same(release: Release) -> None:
    change(release.photos)
    expected = from_scratch(release)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, release.base, "47"],
        capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    ended = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(ended) > 2
    assert [again for _, _, again in ended] == [0] * len(ended)
    assert {killed for _, killed, _ in ended[:-1]} == {-9}
    for kill_at, _, _ in ended:
        killed = Release(release.base.with_name(f"killed-{kill_at}"))
        assert results(Release(killed.base)) == expected


def test_another_folder_is_no_output_of_the_release(release: Release, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "a").mkdir(parents=True)
    (other / "a/one.jpg").write_bytes(b"somebody else's")
    before = files_below(tmp_path)
    with pytest.raises(RunError, match="does not hold what the earlier run released"):
        run_dataset(release.photos, other, CONFIG, record=release.record, update=True)
    assert files_below(tmp_path) == before
