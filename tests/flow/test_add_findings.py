# SPDX-License-Identifier: Apache-2.0
"""Missed faces go into the annotation set, and the next release hides them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flow.command import command
from tests.unit.verify.drawn import (
    CELL,
    CYAN,
    MAGENTA,
    QUIET,
    Release,
    draw,
    jpeg_bytes,
    make_release,
    planted_detectors,
)
from veilset.annotations.store import AnnotationSet, detection_of
from veilset.errors import AnnotationError, DatasetError, RunError
from veilset.obfuscate.stage import obfuscate_dataset
from veilset.records.verdicts import MISSED_FACE, VerdictTable, write_verdicts
from veilset.runs import FINISHED
from veilset.tables import table_path
from veilset.types import ImageRecord, Status
from veilset.verify.findings import add_findings
from veilset.verify.stage import verify_dataset

SEARCH_ALL = replace(QUIET, recheck="all")


@pytest.fixture
def missed(tmp_path: Path) -> Iterator[Release]:
    """A release that leaves a face in one of three pictures, verified."""
    release = Release(tmp_path / "missed")
    release.photos.mkdir(parents=True)
    for name, faces in {
        "a.jpg": {(0, 0): MAGENTA, (2, 0): CYAN}, "b.jpg": {}, "c.jpg": {(1, 0): MAGENTA},
    }.items():  # fmt: skip
        picture = draw(3, 1, faces)
        (release.photos / name).write_bytes(jpeg_bytes(picture, subsampling=0))
    (release.photos / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    with planted_detectors():
        make_release(release.base).verify(SEARCH_ALL)
        yield release


def test_what_was_missed_is_hidden_the_next_time(missed: Release, tmp_path: Path) -> None:
    added, again = tmp_path / "added", tmp_path / "again"
    (finding,) = missed.verdicts()["a.jpg"].findings
    assert finding.code == MISSED_FACE
    told = command("annotations", "add-findings", missed.annotations, missed.out, "-o", added)
    assert told.stdout.strip() == str(added)
    assert "regions added: 1, in 1 of 4 images" in told.stderr
    before = {row.image_id: row for row in AnnotationSet(missed.annotations)}
    after = {row.image_id: row for row in AnnotationSet(added)}
    assert {name: after[name] for name in ("b.jpg", "c.jpg", "torn.jpg")} == {
        name: before[name] for name in ("b.jpg", "c.jpg", "torn.jpg")
    }
    assert after["torn.jpg"].status is Status.COULD_NOT_LOOK
    *known, new = after["a.jpg"].regions
    assert tuple(known) == before["a.jpg"].regions
    assert (new.kind, new.score) == ("face", 0.8)
    assert new.box_xyxy[0] == pytest.approx(2 * CELL + 16, abs=2)
    assert detection_of(AnnotationSet(added).manifest)["detector_settings"]["effort"] == "fast"
    obfuscate_dataset(missed.photos, added, again)
    summary = verify_dataset(missed.photos, again, added, SEARCH_ALL)
    assert "finding missed-face" not in summary.counts
    assert summary.extra["verification"]["effort"] == "balanced"


def test_killed_and_run_again_it_comes_to_the_same_files(missed: Release, tmp_path: Path) -> None:

    def stop(_n: int, _n_failed: int) -> None:
        raise KeyboardInterrupt

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    add_findings(missed.annotations, missed.out, whole, shard_size=1)
    with pytest.raises(KeyboardInterrupt):
        add_findings(missed.annotations, missed.out, cut, shard_size=1, tick=stop)
    ticks: list[int] = []
    summary = add_findings(
        missed.annotations, missed.out, cut, shard_size=1, tick=lambda n, _: ticks.append(n)
    )
    assert len(ticks) == 3
    assert summary.counts == {
        "looked": 3, "could_not_look": 1, "n_regions": 3, "n_added": 1, "with_regions": 2,
        "with_added": 1,
    }  # fmt: skip
    for index in range(4):
        assert table_path(whole, index).read_bytes() == table_path(cut, index).read_bytes()


def test_a_finding_of_another_kind_keeps_it(missed: Release, tmp_path: Path) -> None:
    folder = missed.record / "verify"
    # As a release of plates: and one of before kinds were written down.
    rows = list(VerdictTable(folder))
    (finding,) = rows[0].findings
    assert finding.kind == "face"
    for kind, expected in (("plate", "plate"), ("", "face")):
        rows[0] = replace(rows[0], findings=(replace(finding, kind=kind, score=None),))
        digest = hashlib.sha256(write_verdicts(folder, 0, rows).encode()).hexdigest()
        manifest = json.loads((folder / FINISHED).read_bytes())
        (folder / FINISHED).write_text(json.dumps(manifest | {"outputs_sha256": digest}))
        add_findings(missed.annotations, missed.out, tmp_path / expected)
        added = AnnotationSet(tmp_path / expected).find(ImageRecord("a.jpg")).regions[-1]
        assert (added.kind, added.score) == (expected, None)


def test_what_is_of_another_release_is_refused(missed: Release, tmp_path: Path) -> None:
    added = tmp_path / "added"
    other = make_release(tmp_path / "other")
    with pytest.raises(AnnotationError, match="was not verified with the annotation set"):
        add_findings(other.annotations, missed.out, added)
    with pytest.raises(DatasetError, match="annotations"):
        add_findings(missed.annotations, missed.out, missed.annotations)
    table = table_path(missed.record / "verify", 0)
    table.write_bytes(table.read_bytes()[:-1])
    with pytest.raises(DatasetError, match="are not those that its run wrote"):
        add_findings(missed.annotations, missed.out, added)
    shutil.rmtree(missed.record / "verify")
    with pytest.raises(RunError, match="verify"):
        add_findings(missed.annotations, missed.out, added)
    assert not added.exists()
