# SPDX-License-Identifier: Apache-2.0
"""An attack of drawn people from end to end: what it finds, what it keeps, what it refuses."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image as PillowImage

from tests.conftest import files_below
from tests.unit.attack.drawn_attack import (
    ONLY_RECOGNISE,
    QUICK,
    RESULTS,
    Album,
    draw_album,
    obfuscated,
    results,
)
from veilset.annotations.store import AnnotationSet
from veilset.attack import stage
from veilset.attack.config import AttackConfig, method_setting, release_setting
from veilset.attack.views import read_faces
from veilset.errors import (
    DatasetError,
    ResumeMismatchError,
    RunError,
)
from veilset.protocols import EngineSettings

pytestmark = pytest.mark.usefixtures("announced")

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    """Eight people whose faces alone tell who they are; sizes of pictures and faces vary."""
    return draw_album(
        tmp_path_factory.mktemp("album"),
        n_people=8,
        sizes_px=((72, 64), (60, 90), (128, 128)),
        faces_px=(32, 40, 29, 48),
    )


@pytest.fixture(scope="module")
def done(album: Album) -> Album:
    """The same, attacked; what is private was kept."""
    album.attack(QUICK, keep_private=True)
    return album


@pytest.fixture
def copy(album: Album, tmp_path: Path) -> Album:
    """Photographs and annotations of their own, to be spoilt."""
    for name in ("photos", "annotations"):
        shutil.copytree(album.base / name, tmp_path / name)
    return Album(tmp_path)


def rank_1(out: Path, setting: str) -> dict[str, dict[str, Any]]:
    """Give the best rank-1 of each attack in one setting."""
    rows: Rows = pq.read_table(out / "results.parquet").to_pylist()
    rows = [each for each in rows if (each["setting"], each["measure"]) == (setting, "rank-1")]
    rows.sort(key=lambda each: each["value"])
    return {each["attack"]: each for each in rows}


def test_a_feeble_method_is_exposed_and_never_recommended(done: Album) -> None:
    clear, feeble = rank_1(done.out, "clear"), rank_1(done.out, "feeble")
    for attack in ("recognise", "parrot-embeddings", "parrot-pixels"):
        assert clear[attack]["value"] >= 0.9
        assert feeble[attack]["value"] >= clear[attack]["value"] - 0.05
    told = json.loads((done.out / "run.json").read_bytes())["extra"]["recommendation"]
    assert "'feeble' leaves" not in told
    assert "No setting protects as much as faces filled" in told


def test_where_the_face_alone_tells_filled_faces_are_at_chance(done: Album) -> None:
    for attack, row in rank_1(done.out, "filled").items():
        assert row["chance"] == pytest.approx(1 / 8)
        assert row["low"] <= row["chance"] <= row["high"], attack
        assert row["value"] < 0.4, attack
    assert set(rank_1(done.out, "filled")) == {
        "recognise", "parrot-embeddings", "parrot-pixels", "scene",
    }  # fmt: skip


def test_where_the_background_tells_scenes_are_named(tmp_path: Path) -> None:
    album = draw_album(tmp_path, n_people=5, telling="background")
    config = replace(QUICK, settings=(method_setting("overlay"),), attacks=("recognise", "scene"))
    album.attack(config)
    filled = rank_1(album.out, "filled")
    assert filled["scene"]["value"] >= 0.9
    assert filled["scene"]["low"] > filled["scene"]["chance"]
    assert filled["recognise"]["low"] <= filled["recognise"]["chance"]
    # A cut-out face shows nothing of the background: filled, it hides who it is.
    assert rank_1(album.out, "overlay")["recognise"]["value"] == pytest.approx(0.2)


def test_the_tables_hold_no_names_and_every_number_its_n(done: Album) -> None:
    rows: Rows = pq.read_table(done.out / "results.parquet").to_pylist()
    for row in rows:
        assert row["n"] > 0
        if row["value"] is None:
            assert row["note"]
        else:
            assert row["low"] <= row["value"] <= row["high"]
    names = {row.image_id for row in AnnotationSet(done.annotations)}
    told = {
        name: data for name, data in files_below(done.out).items() if not name.startswith("look/")
    }
    assert set(RESULTS) < set(told)
    for name, data in told.items():
        for word in ("Person 0", "photo-0", *names):
            assert word.encode() not in data, (name, word)
    assert (done.out / "results.csv").read_text().count("\n") == len(rows) + 1


@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_bytes_on_any_number_of_threads(done: Album, tmp_path: Path, workers: int) -> None:
    done.attack(QUICK, tmp_path / "out", workers=workers)
    assert results(tmp_path / "out") == results(done.out)


def test_the_same_bytes_in_processes(done: Album, tmp_path: Path) -> None:
    stage.attack_dataset(
        done.photos, done.annotations, tmp_path / "out", QUICK,
        workers=2, engine=EngineSettings("local", n_processes=2),
    )  # fmt: skip
    assert results(tmp_path / "out") == results(done.out)


def test_what_is_private_is_readable_by_its_owner_alone_and_goes(done: Album, copy: Album) -> None:
    private = done.out / "look" / "private"
    assert private.stat().st_mode & 0o777 == 0o700
    assert {each.name for each in private.iterdir()} == {
        "clear",
        "filled",
        "feeble",
        "veil+cells=4",
    }
    seen: list[int] = []

    def look(_text: str) -> None:
        seen.append((copy.out / "look" / "private").stat().st_mode & 0o777)

    stage.attack_dataset(copy.photos, copy.annotations, copy.out, ONLY_RECOGNISE, on_step=look)
    assert set(seen) == {0o700}
    assert not (copy.out / "look" / "private").exists()
    assert not list(copy.out.rglob(".veilset-part-*"))
    # Kept only for as long as it is asked for.
    copy.attack(ONLY_RECOGNISE)
    assert not (copy.out / "look" / "private").exists()


def test_another_attack_later_gives_the_same_numbers(done: Album, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done.attack(ONLY_RECOGNISE, out)
    kept = files_below(out / "outcomes")
    first = pq.read_table(out / "results.parquet").to_pylist()
    made: list[str] = []
    stage.attack_dataset(done.photos, done.annotations, out, QUICK, on_step=made.append)
    assert all("recognise" not in each and "similarity" not in each for each in made)
    assert results(out) == results(done.out)
    assert kept.items() <= files_below(out / "outcomes").items()
    rows = pq.read_table(out / "results.parquet").to_pylist()
    assert [row for row in rows if row["attack"] in ("recognise", "similarity")] == first
    assert not (out / "look" / "private").exists()
    # And the one alone again: nothing is left to be made or looked at, and nothing is forgotten.
    made.clear()
    (out / "cost.md").write_text("Beside a study.")
    stage.attack_dataset(done.photos, done.annotations, out, ONLY_RECOGNISE, on_step=made.append)
    assert not made
    assert not (out / "look" / "private").exists()
    assert results(out) == results(done.out)
    manifest = json.loads((out / "run.json").read_bytes())
    assert manifest["extra"]["attacks"] == manifest["config"]["attacks"] == list(QUICK.attacks)


def test_done_it_is_not_done_again(done: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    before = results(done.out)

    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(stage, "measure", refuse)
    monkeypatch.setattr(stage, "measure_similarity", refuse)
    done.attack(QUICK, keep_private=True)
    assert results(done.out) == before


def test_other_settings_are_refused_and_nothing_changes(done: Album, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done.attack(ONLY_RECOGNISE, out)
    before = {name: each for name, each in files_below(out).items() if "lock" not in name}
    for changed in (
        replace(QUICK, gallery_share=0.7),
        replace(QUICK, seed=2),
        replace(QUICK, settings=(method_setting("feeble:levels=2"),)),
        replace(QUICK, chip_px=48),
    ):
        with pytest.raises(ResumeMismatchError, match="Cannot resume the attack-look run"):
            done.attack(changed, out)
    after = {name: each for name, each in files_below(out).items() if "lock" not in name}
    assert after == before


def test_other_draws_make_every_number_anew(done: Album, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done.attack(ONLY_RECOGNISE, out)
    before = pq.read_table(out / "results.parquet").to_pylist()
    done.attack(replace(ONLY_RECOGNISE, n_draws=150), out)
    after = pq.read_table(out / "results.parquet").to_pylist()
    assert after != before
    assert [row["value"] for row in after] == [row["value"] for row in before]


def test_nothing_of_a_name_is_logged(copy: Album, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (copy.photos / "Person 00/photo-0.png").write_bytes(b"no picture")
    copy.attack(QUICK)
    assert caplog.records
    for word in ("Person", "photo-", "no picture"):
        assert word not in caplog.text


def test_pictures_that_cannot_be_looked_at_are_counted_with_reasons(
    copy: Album, caplog: pytest.LogCaptureFixture
) -> None:
    names = copy.image_ids()
    (copy.photos / names[0]).write_bytes((copy.photos / names[5]).read_bytes())
    (copy.photos / names[1]).unlink()
    data = (copy.photos / names[9]).read_bytes()
    (copy.photos / names[9]).write_bytes(data[: len(data) // 2])
    summary = copy.attack(ONLY_RECOGNISE)
    assert summary.counts["failed"] == 3
    assert summary.counts["photographs"] == 32 - 3
    rows = {row["image_id"]: row for row in read_faces(copy.out / "look", 7) if row["reason"]}
    assert set(rows) == {names[0], names[1], names[9]}
    assert rows[names[0]]["reason"] == "changed"
    assert all(row["message"] for row in rows.values())


def test_a_release_comes_to_the_same_as_its_method(album: Album, tmp_path: Path) -> None:
    release = obfuscated(album, tmp_path / "release")
    both = (release_setting(f"released={release}"), method_setting("overlay"))
    album.attack(replace(QUICK, settings=both), tmp_path / "out")
    rows: Rows = pq.read_table(tmp_path / "out/results.parquet").to_pylist()
    told = [
        [{**row, "setting": ""} for row in rows if row["setting"] == name]
        for name in ("released", "overlay")
    ]
    assert told[0] == told[1]
    assert len(told[0]) > 10


def test_a_release_without_some_people_or_of_other_sizes(album: Album, tmp_path: Path) -> None:
    names = album.image_ids()
    release = obfuscated(album, tmp_path / "release", skip=(*names[:4], names[9]))
    PillowImage.new("RGB", (10, 10)).save(release / names[12])
    setting = (release_setting(f"released={release}"),)
    summary = album.attack(replace(QUICK, settings=setting), tmp_path / "out")
    assert summary.counts["failed"] == 6
    assert summary.counts["people"] == 7
    rows = {row["image_id"]: row for row in read_faces(tmp_path / "out/look", 7)}
    assert "another size in released" in rows[names[12]]["message"]
    assert not rows[names[13]]["reason"]


def test_a_person_of_whom_one_half_fails_is_left_out_of_all(
    album: Album, tmp_path: Path, done: Album
) -> None:
    # What was seen of the other half lies in the tables all the same: rows must not slip.
    halves = {row["image_id"]: row["half"] for row in read_faces(done.out / "look", 7)}
    gone = [name for name in album.image_ids()[8:12] if halves[name] == "probe"]
    assert len(gone) == 2
    release = obfuscated(album, tmp_path / "release", skip=tuple(gone))
    setting = (release_setting(f"released={release}"),)
    summary = album.attack(replace(QUICK, settings=setting), tmp_path / "out")
    assert summary.counts["people"] == 7
    assert summary.counts["photographs"] == 28
    assert rank_1(tmp_path / "out", "clear")["recognise"]["value"] >= 0.9
    assert rank_1(tmp_path / "out", "clear")["parrot-pixels"]["value"] >= 0.9


def test_a_release_of_nothing(album: Album, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    release = obfuscated(album, tmp_path / "release", skip=tuple(album.image_ids()[1:]))
    setting = (release_setting(f"released={release}"),)
    with pytest.raises(DatasetError, match=r"0 people are left.*look/faces says what went wrong"):
        album.attack(replace(QUICK, settings=setting), tmp_path / "out")
    assert not any((tmp_path / "out" / name).exists() for name in RESULTS)
    # Nothing can be made of it: no face is kept for that.
    assert not (tmp_path / "out/look/private").exists()


def test_one_gallery_photograph_of_each_of_two_people(tmp_path: Path) -> None:
    album = draw_album(tmp_path, n_people=3, n_each=(2, 2, 1))
    summary = album.attack(QUICK)
    assert summary.counts["people"] == 2
    assert summary.counts["probes"] == 2
    assert rank_1(album.out, "clear")["parrot-embeddings"]["value"] == 1
    # So little tells nothing apart: a method is not recommended for want of evidence.
    assert "'feeble' leaves" not in summary.extra["recommendation"]


def test_given_halves_and_a_probe_whose_person_is_not_in_the_gallery(
    album: Album, tmp_path: Path
) -> None:
    who = tmp_path / "who.csv"
    lines = ["image_id,person,half"]
    for at, name in enumerate(album.image_ids()):
        stranger = at >= 28
        half = "probe" if stranger or at % 2 else "gallery"
        lines.append(f"{name},{name.split('/')[0]},{half}")
    who.write_text("\n".join(lines))
    summary = album.attack(replace(ONLY_RECOGNISE, identities=str(who)), tmp_path / "out")
    assert summary.counts["people"] == 7
    assert summary.extra["left_out"] == {"not in the gallery": 4}


def test_a_damaged_outcome_is_told_and_made_anew_once_deleted(done: Album, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.out, out)
    path = out / "outcomes" / "feeble" / "recognise.json"
    whole = path.read_bytes()
    for damaged in (
        b"", b"{", b"[]", b"\xff", b'{"format": "other/1"}', whole.replace(b'"rows"', b'"r"'),
        whole.replace(b'"facts": {', b'"facts": 3, "f": {'),
    ):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"recognise.json is damaged. Delete it, then run"):
            done.attack(QUICK, out)
    path.unlink()
    done.attack(QUICK, out)
    assert results(out) == results(done.out)


def test_config_of_an_attack_is_written_down(done: Album) -> None:
    told = json.loads((done.out / "run.json").read_bytes())
    assert told["stage"] == "attack"
    assert told["counts"]["people"] == 8
    assert told["counts"]["gallery"] == told["counts"]["probes"] == 16
    assert told["config"]["attacks"] == list(QUICK.attacks)
    assert told["config"]["recogniser_settings"]["recogniser"] == "planted"
    assert AttackConfig().attacks[0] == "recognise"
