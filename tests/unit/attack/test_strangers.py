# SPDX-License-Identifier: Apache-2.0
"""Strangers: attackers may learn from them, and no number is ever about them."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.attack.drawn_attack import (
    QUICK,
    Album,
    annotate_album,
    draw_album,
    planted_plugins,
)
from veilset.annotations.store import AnnotationSet
from veilset.attack.config import method_setting, release_setting
from veilset.attack.faces import choose_photographs
from veilset.attack.identities import GALLERY, PROBE, STRANGER
from veilset.attack.lessons import Lessons, lessons_of
from veilset.attack.looking import view_slugs
from veilset.attack.people.material import open_material
from veilset.attack.stage import gather_evidence
from veilset.attack.views import read_faces
from veilset.errors import ConfigError, DatasetError, ResumeMismatchError

N_STRANGERS = 5
CONFIG = replace(
    QUICK,
    settings=(method_setting("veil"),),
    attacks=("recognise", "parrot-pixels", "scene"),
    shard_size=64,
)
WITH = replace(CONFIG, strangers=True)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Album]:
    with planted_plugins(tmp_path_factory.mktemp("package")):
        yield draw_album(tmp_path_factory.mktemp("album"), n_people=3, n_strangers=N_STRANGERS)


@pytest.fixture(scope="module")
def done(album: Album) -> Album:
    album.attack(WITH, keep_private=True)
    return album


@pytest.fixture
def copy(album: Album, tmp_path: Path) -> Album:
    """Photographs and annotations of their own, to be spoilt."""
    for name in ("photos", "annotations"):
        shutil.copytree(album.base / name, tmp_path / name)
    return Album(tmp_path)


def annotate_again(album: Album, known: AnnotationSet) -> None:
    shutil.rmtree(album.annotations)
    boxes = {row.image_id: row.regions[0] for row in known}
    annotate_album(album, {name: boxes[name] for name in album.image_ids() if name in boxes})


def test_no_number_changes_where_nobody_learns_from_them(done: Album, tmp_path: Path) -> None:
    summary = done.attack(CONFIG, tmp_path / "out")
    assert "strangers" not in summary.counts
    assert summary.extra["left_out"] == {"nobody is named": N_STRANGERS}
    for name in ("results.parquet", "results.csv", "summary.csv", "summary.md", "frontier.svg"):
        assert (tmp_path / "out" / name).read_bytes() == (done.out / name).read_bytes(), name


def test_they_are_counted_apart_and_in_no_half(done: Album) -> None:
    summary = done.attack(WITH, keep_private=True)
    assert summary.counts["strangers"] == N_STRANGERS
    assert summary.counts["strangers_failed"] == summary.counts["failed"] == 0
    assert summary.counts["photographs"] == 12
    assert (summary.counts["gallery"], summary.counts["probes"], summary.counts["people"]) == (
        6, 6, 3,
    )  # fmt: skip
    assert not summary.extra["left_out"]
    rows = read_faces(done.out / "look", 1)
    assert Counter(row["half"] for row in rows) == {GALLERY: 6, PROBE: 6, STRANGER: N_STRANGERS}
    assert {row["person"] for row in rows if row["half"] == STRANGER} == {""}
    assert all(("stranger" in row["image_id"]) == (row["half"] == STRANGER) for row in rows)


def test_lessons_hold_the_gallery_and_strangers_and_no_probe(done: Album) -> None:
    evidence = gather_evidence(done.out / "look", WITH)
    assert not any("stranger" in name for name in evidence.image_ids)
    assert len(evidence.strangers) == N_STRANGERS
    lessons = lessons_of(evidence, "veil")
    assert (lessons.n_gallery, lessons.n_strangers) == (6, N_STRANGERS)
    assert lessons.shown.shape == lessons.clear.shape == (6 + N_STRANGERS, 32, 32, 3)
    assert lessons.embeddings.shape == (6 + N_STRANGERS, 48)
    assert np.isfinite(lessons.embeddings).all()
    clear = evidence.view("clear")
    for probe in clear.chips[~evidence.is_gallery]:
        assert not (lessons.clear == probe).all(axis=(1, 2, 3)).any()
    # Each embedding is that of its face.
    (seen,) = evidence.recogniser.embed([lessons.clear[-1]])
    assert np.abs(seen - lessons.embeddings[-1]).max() < 0.02
    assert (lessons.shown != lessons.clear).any(axis=(1, 2, 3)).all()
    without = lessons_of(replace(evidence, strangers=()), "veil")
    assert (without.n_gallery, without.n_strangers) == (6, 0)


def test_faces_are_held_out_of_the_strangers_first() -> None:
    pictures = np.zeros((60, 32, 32, 3), np.uint8)
    of_both = Lessons(pictures, pictures, np.zeros((60, 4), np.float32), 20)
    aside = of_both.held_out(seed=1)
    assert aside.sum() == 4
    assert not aside[:20].any()
    assert (aside == of_both.held_out(seed=1)).all()
    assert (aside != of_both.held_out(seed=2)).any()
    gallery = Lessons(pictures, pictures, np.zeros((60, 4), np.float32), 60)
    assert gallery.held_out(seed=1).sum() == 6
    few = Lessons(pictures[:12], pictures[:12], np.zeros((12, 4), np.float32), 12)
    assert few.held_out(seed=1).sum() == 2
    # Of a handful nobody can be spared.
    handful = Lessons(pictures[:2], pictures[:2], np.zeros((2, 4), np.float32), 2)
    assert not handful.held_out(seed=1).any()


def test_people_are_never_asked_about_them(done: Album) -> None:
    material = open_material(done.out)
    assert {each.half for each in material.candidates} == {GALLERY, PROBE}


def test_a_look_without_them_is_not_gone_on_with(done: Album) -> None:
    with pytest.raises(ResumeMismatchError):
        done.attack(CONFIG)


def test_what_decides_a_look_is_as_it_was_without_them() -> None:
    assert "strangers" not in CONFIG.seen_as_json()
    assert WITH.seen_as_json() == {**CONFIG.seen_as_json(), "strangers": True}
    assert set(view_slugs(WITH)) - set(view_slugs(CONFIG)) == {
        "clear+strangers", "filled+strangers", "veil+strangers",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="ends as that of strangers' faces"):
        release_setting("veil+strangers=out")


def test_a_probe_once_more_is_no_stranger(copy: Album, album: Album) -> None:
    known = AnnotationSet(album.annotations)
    chosen = choose_photographs(known, WITH)
    probe = next(name for name, half in chosen.split.halves.items() if half == PROBE)
    shutil.copy(copy.photos / probe, copy.photos / "stranger-000.png")
    boxes = {row.image_id: row.regions[0] for row in known}
    boxes["stranger-000.png"] = boxes[probe]
    shutil.rmtree(copy.annotations)
    annotate_album(copy, boxes)
    counts = copy.attack(WITH).counts
    assert counts["strangers"] == N_STRANGERS - 1
    assert counts["copies"] == 0
    # Known too when no picture is left to be compared.
    assert copy.attack(WITH).counts == counts


def test_those_that_cannot_be_looked_at_are_counted(copy: Album) -> None:
    names = [name for name in copy.image_ids() if "stranger" in name]
    (copy.photos / names[0]).write_bytes(b"no picture")
    counts = copy.attack(WITH).counts
    assert (counts["strangers"], counts["strangers_failed"], counts["failed"]) == (
        N_STRANGERS - 1, 1, 0,
    )  # fmt: skip
    for name in names:
        (copy.photos / name).write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="No stranger could be looked at"):
        copy.attack(WITH, copy.base / "other")


def test_asked_for_and_not_there(copy: Album, album: Album) -> None:
    known = AnnotationSet(album.annotations)
    none = {row.image_id: row.regions[0] for row in known if "stranger" not in row.image_id}
    shutil.rmtree(copy.annotations)
    annotate_album(copy, none)
    with pytest.raises(DatasetError, match=r"learned from \(5: nobody is named, no face found\)"):
        copy.attack(WITH)
    for name in copy.image_ids():
        if "stranger" in name:
            (copy.photos / name).unlink()
    annotate_again(copy, known)
    with pytest.raises(DatasetError, match=r"Every photograph .* beside the folders, or leave out"):
        copy.attack(WITH)
    listed = copy.base / "who.csv"
    lines = [f"{name},{name.split('/')[0]}" for name in copy.image_ids()]
    listed.write_text("\n".join(["image_id,person", *lines]))
    with pytest.raises(DatasetError, match=r"Every photograph .* that --identities leaves out"):
        copy.attack(replace(WITH, identities=str(listed)))
    assert not copy.out.exists()
