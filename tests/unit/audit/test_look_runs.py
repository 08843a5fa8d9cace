# SPDX-License-Identifier: Apache-2.0
"""The look as a run: workers, stops, other settings, and what it records of itself."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.audit.drawn_place import ALL, Place, place
from tests.unit.audit.planted import (
    PlantedFaces,
    plant,
)
from veilset.annotations.store import AnnotationSet, detection_of
from veilset.audit.annotated import AnnotatedImages
from veilset.audit.config import AuditConfig
from veilset.audit.estimators import open_estimators
from veilset.audit.looking import LookTask
from veilset.dataset.folder import FolderReader
from veilset.errors import (
    AnnotationError,
    ResumeMismatchError,
    RunError,
)
from veilset.files import sha256_file
from veilset.protocols import Shard
from veilset.runs import Run

__all__ = ["place"]


def test_any_number_of_workers_gives_the_same_bytes(place: Place, tmp_path: Path) -> None:
    place.look(workers=1)
    place.look(workers=4, out=tmp_path / "other")
    mine, other = (
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.parquet")}
        for folder in (place.out, tmp_path / "other")
    )
    assert mine == other
    assert len(mine) == 2 * 4


def test_it_goes_on_where_it_was_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class StopError(Exception):
        """Stands for kill -9."""

    faces = PlantedFaces()
    plant(monkeypatch, faces=faces)
    commit, committed = Run.commit, list[int]()

    def killed(run: Run, report: Any) -> None:
        if report.index == 2:
            raise StopError
        commit(run, report)
        committed.append(report.index)

    with monkeypatch.context() as stopped:
        stopped.setattr(Run, "commit", killed)
        with pytest.raises(StopError):
            place.look()
    with pytest.raises(AnnotationError, match="not finished"):
        AnnotationSet(place.out)
    # Two are under way at a time: the third may end before one of the first two.
    written = [p for each in committed for p in place.out.rglob(f"shard-0000{each}.parquet")]
    before = {p: p.stat().st_mtime_ns for p in written}
    assert len(before) == 2 * len(committed) > 0
    faces.n_seen = 0
    summary = place.look()
    assert summary.counts["looked"] == 8
    assert faces.n_seen <= 8 - 2 * len(committed)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    faces.n_seen = 0
    assert place.look().counts == summary.counts
    assert faces.n_seen == 0


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (replace(ALL, demographics="none"), "demographics changed from 'planted' to 'none'"),
        (replace(ALL, within="a"), "within changed from '' to 'a'"),
        (replace(ALL, max_pixels=9_000_000), "max_pixels changed from 100000000 to 9000000"),
    ],
)
def test_other_settings_are_refused_with_both_values(
    place: Place, config: AuditConfig, says: str
) -> None:
    place.look()
    before = place.found()
    with pytest.raises(ResumeMismatchError, match=says):
        place.look(config)
    assert place.found() == before


def test_another_model_or_set_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.look()
    with monkeypatch.context() as planted:
        plant(planted, faces=PlantedFaces({"year": 2}))
        with pytest.raises(ResumeMismatchError, match=r"demographics_settings\.year .* 1 to 2"):
            place.look()
    place.set = place.set.with_name("other")
    place.write(list(place.rows.values())[:3])
    with pytest.raises(ResumeMismatchError, match="annotations_sha256"):
        place.look()


def test_its_files_are_those_of_its_ledger(place: Place) -> None:
    place.look()
    ledger = sorted((place.out / "ledger").glob("0*.json"))
    tables = sorted(place.out.glob("shard-*.parquet"))
    assert len(ledger) == len(tables) == 4
    # As verify asks, before it trusts a set that something was obfuscated by.
    for entry, table in zip(ledger, tables, strict=True):
        assert json.loads(entry.read_bytes())["digest"] == sha256_file(table)


def test_the_manifest_holds_models_and_where_it_came_from(place: Place) -> None:
    place.look()
    manifest = AnnotationSet(place.out).manifest
    assert [card["name"] for card in manifest["models"]] == [
        "planted-faces", "planted-classes", "planted-nsfw",
    ]  # fmt: skip
    assert manifest["config"]["nsfw_weights"] == "c" * 64
    assert manifest["extra"]["looked_at"]["outputs_sha256"] == manifest["inputs"][
        "annotations_sha256"
    ]  # fmt: skip
    detected = {"stage": "detect", "config": {"detector": "d"}}
    looked_at = {"stage": "look", "config": {}, "extra": {"looked_at": detected}}
    assert detection_of(looked_at) == {"detector": "d"}


def test_the_task_can_be_carried_elsewhere(place: Place) -> None:
    images = AnnotatedImages(AnnotationSet(place.set), FolderReader(place.photos))
    place.out.mkdir()
    task = pickle.loads(pickle.dumps(LookTask(images, place.out, ALL, 1, open_estimators(ALL, 1))))
    assert task.estimators is None
    with task.open() as work:
        report = work(Shard(0, next(images.shards(3)).records), lambda *_: None)
    assert report.counts["opened"] == 3


def test_a_service_that_is_out_of_reach_stops_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(PlantedFaces):
        def estimate(self, image: Any, faces: Any) -> Any:
            raise RunError("The service cannot be reached.")

    plant(monkeypatch, faces=Away())
    with pytest.raises(RunError, match="cannot be reached"):
        place.look()
