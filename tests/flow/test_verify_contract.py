# SPDX-License-Identifier: Apache-2.0
"""What a verification holds the outputs against: annotation set, record and method."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.verify.drawn import (
    QUIET,
    Release,
    annotate,
    forge,
    found_in,
    make_release,
    planted_detectors,
)
from veilset.annotations.store import AnnotationSet
from veilset.errors import AnnotationError, DatasetError, RunError
from veilset.metadata.clean import clean_metadata
from veilset.obfuscate.stage import ObfuscateConfig, obfuscate_dataset
from veilset.records.outcomes import Outcome
from veilset.records.verdicts import Verdict
from veilset.types import Origin, Region

LEAK, ERROR, REVIEW, ABSENT = Verdict.LEAK, Verdict.ERROR, Verdict.REVIEW, Verdict.ABSENT


def test_another_annotation_set_is_refused(release: Release, tmp_path: Path) -> None:
    other = Release(tmp_path / "other")
    other.base.mkdir()
    other.photos.symlink_to(release.photos)
    annotate(other, {})
    with pytest.raises(AnnotationError, match="another annotation set"):
        replace_annotations(release, other).verify()


def replace_annotations(release: Release, other: Release) -> Release:
    release.annotations.rename(release.annotations.with_name("old"))
    other.annotations.rename(release.annotations)
    return release


@pytest.mark.parametrize("place", ["annotations", "out.veilset/obfuscate"])
def test_changed_tables_are_refused(release: Release, place: str) -> None:
    path = release.base / place / "shard-00000.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="not those that its run wrote"):
        release.verify()


def test_regions_that_the_run_ignored(release: Release) -> None:
    original = (release.photos / "a/one.jpg").read_bytes()
    forge(release, "a/one.jpg", clean_metadata(original), outcome=Outcome.UNTOUCHED, n_regions=0)
    assert found_in(release) == {"a/one.jpg": (LEAK, {"regions-ignored", "shows-through"})}


def test_regions_of_other_kinds_and_low_scores_are_left_alone(tmp_path: Path) -> None:
    config = ObfuscateConfig(min_score=0.95)
    with planted_detectors():
        release = make_release(tmp_path / "weak", obfuscate=config)
        found = release.found(replace(QUIET, recheck="all"))
        # Left visible on purpose, yet faces that anybody finds: still leaks.
        assert {name for name, (verdict, _) in found.items() if verdict is LEAK} == {
            "a/one.jpg",
            "a/two.png",
            "c/turned.jpg",
        }
        assert {code for _, codes in found.values() for code in codes} == {"missed-face"}
        plates = make_release(tmp_path / "plates")
        regions = {row.image_id: list(row.regions) for row in AnnotationSet(plates.annotations)}
        regions["a/one.jpg"].append(Region((0, 0, 8, 8), "plate"))
        for folder in (plates.annotations, plates.out, plates.record):
            shutil.rmtree(folder)
        annotate(plates, regions)
        config = ObfuscateConfig(kinds=("plate",))
        obfuscate_dataset(plates.photos, plates.annotations, plates.out, config)
        summary = plates.verify(replace(QUIET, recheck="all"))
    assert summary.extra["overall"] == "passed"
    assert [warning["code"] for warning in summary.extra["warnings"]] == ["faces-not-hidden"]


def test_what_people_decided_is_hidden_whatever_the_detector_thought(tmp_path: Path) -> None:
    with planted_detectors():
        release = make_release(tmp_path / "reviewed", obfuscate=ObfuscateConfig(min_score=0.95))
        rows = {row.image_id: row for row in AnnotationSet(release.annotations)}
        reviewed = {
            name: [replace(region, origin=Origin.REVIEWED) for region in row.regions]
            for name, row in rows.items()
        }
        assert any(0 < (each.score or 0) < 0.95 for some in reviewed.values() for each in some)
        for folder in (release.annotations, release.out, release.record):
            shutil.rmtree(folder)
        annotate(release, reviewed)
        obfuscate_dataset(
            release.photos, release.annotations, release.out, ObfuscateConfig(min_score=0.95)
        )
        found = release.found(replace(QUIET, recheck="all"))
    assert not [name for name, (verdict, _) in found.items() if verdict is LEAK]


def test_an_output_of_another_method(release: Release, tmp_path: Path) -> None:
    with planted_detectors():
        other = make_release(tmp_path / "other", "swirl")
    for name in ("a/one.jpg", "a/two.png", "c/turned.jpg"):
        (release.out / name).write_bytes((other.out / name).read_bytes())
    found = found_in(release)
    assert {name for name, (verdict, _) in found.items() if verdict is LEAK} == {
        "a/one.jpg",
        "a/two.png",
        "c/turned.jpg",
    }
    assert all("digest" in codes for _, codes in found.values())


def test_another_version_of_the_method_is_refused(release: Release) -> None:
    path = release.record / "obfuscate/run.json"
    manifest = json.loads(path.read_bytes())
    manifest["config"]["method"]["version"] += 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="Verify with the version"):
        release.verify()
