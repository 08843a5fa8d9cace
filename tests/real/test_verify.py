# SPDX-License-Identifier: Apache-2.0
"""Real photographs, from detection to the verdict; and every file of the robustness corpus."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.verify.drawn import QUIET, Release, planted_detectors
from veilset.annotations.store import write_annotations
from veilset.dataset.folder import FolderReader
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.errors import DecodeError
from veilset.files import sha256_hex
from veilset.images.decode import decode_image
from veilset.obfuscate.stage import obfuscate_dataset
from veilset.protocols import ShardReport
from veilset.records.verdicts import Verdict, VerdictTable
from veilset.runs import Run
from veilset.types import Annotations, ImageRecord, Region, Status
from veilset.verify.manifest import verify_manifest
from veilset.verify.stage import VerifyConfig, verify_dataset

pytestmark = pytest.mark.real

FALSE_ALARMS = {"sharp_fixtures/bgbn4a08.png"}
"""A synthetic ramp of 32 px: its own gradient is all that a region of 11 px has, and the
survival of it counts as detail."""


def searched(reader: FolderReader, record: ImageRecord) -> Annotations:
    """Say that two regions are in every picture that opens."""
    try:
        data = reader.read(record)
        image, _ = decode_image(data)
    except DecodeError as error:
        return Annotations(
            record.image_id, Status.COULD_NOT_LOOK, reason=error.reason, message=str(error)
        )
    height, width = image.shape[:2]
    regions = (
        Region((width * 0.3, height * 0.3, width * 0.6, height * 0.6), score=0.9),
        Region((width * 0.9, height * 0.9, width, height), score=0.9),
    )
    return Annotations(
        record.image_id, Status.LOOKED, regions, width, height, sha256_hex(data), len(data)
    )


def test_no_false_alarm_over_the_robustness_corpus(real_data: Path, tmp_path: Path) -> None:
    release = Release(tmp_path)
    release.photos.symlink_to(real_data / "robustness")
    reader = FolderReader(release.photos)
    with Run.open(release.annotations, "import", {}, reader.describe()) as run:
        for shard in run.missing(reader.shards()):
            rows = [searched(reader, record) for record in shard.records]
            digest = write_annotations(release.annotations, shard.index, rows)
            run.commit(ShardReport(shard.index, len(rows), digest=digest))
        run.finish()
    made = obfuscate_dataset(release.photos, release.annotations, release.out)
    with planted_detectors():
        summary = release.verify(replace(QUIET, recheck="none"))
    found = {name: row for name, row in release.verdicts().items() if row.findings}
    assert set(found) <= FALSE_ALARMS
    assert summary.counts["passed"] == made.counts["obfuscated"] - len(found) > 50
    assert summary.counts["absent"] == made.counts["failed"] > 10


def test_faces_in_the_wild_from_detection_to_the_verdict(real_data: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for path in sorted((real_data / "celeba_wild").rglob("*.jpg"))[::20]:
        shutil.copy(path, photos / path.name)
    annotations = tmp_path / "annotations"
    found = detect_dataset(photos, annotations, DetectConfig(effort="balanced"))
    assert found.counts["looked"] == found.counts["with_regions"] == 20
    obfuscate_dataset(photos, annotations, out)
    config = VerifyConfig(effort="balanced", second_detectors=())
    summary = verify_dataset(photos, out, annotations, config)
    # The same detector at the same effort on the same pixels outside: what it finds there
    # it found before, so nothing is left that is sure to be a face.
    verdicts = {row.image_id: row for row in VerdictTable(summary.folder)}
    bad = {Verdict.LEAK, Verdict.ERROR}
    assert {name: row for name, row in verdicts.items() if row.verdict in bad} == {}
    assert summary.counts["searched_touched"] == 20
    assert verify_manifest(summary.folder, out).is_intact

    victim = sorted(photos.iterdir())[0]
    shutil.copy(victim, out / victim.name)
    spoilt = verify_dataset(photos, out, annotations, config)
    assert (spoilt.extra["overall"], spoilt.counts["leak"]) == ("leaks", 1)
    codes = {
        f.code for row in VerdictTable(spoilt.folder) for f in row.findings if f.level == "leak"
    }
    assert {"digest", "shows-through"} <= codes
    check = verify_manifest(summary.folder, out)
    assert not check.is_intact
