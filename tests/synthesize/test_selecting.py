# SPDX-License-Identifier: Apache-2.0
"""Attributes chosen over a whole set: what is kept, what cannot be drawn, and end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.unit.networks.drawn_landmarks import drawn_landmarks
from tests.unit.synthesize.drawn_faces import NAMES, drawn_photo
from veilset.annotations.store import AnnotationSet, detection_of, write_annotations
from veilset.dataset.folder import FolderReader
from veilset.errors import ConfigError, ResumeMismatchError, RunError
from veilset.files import sha256_hex
from veilset.networks.factor_generator import FACE_ATTRIBUTES
from veilset.networks.landmarks import LANDMARKS_CARD, Points, five_landmarks
from veilset.obfuscate.stage import ObfuscateConfig, obfuscate_dataset
from veilset.protocols import ShardReport
from veilset.runs import Run, RunSummary
from veilset.synthesize import looking, selecting
from veilset.synthesize.looking import LOGITS, NOT_DRAWN, LookConfig, count_looked
from veilset.synthesize.selecting import SeenFaces, choose, read_reference
from veilset.synthesize.stage import Groups, SelectConfig, Way, select_faces
from veilset.types import Annotations, BoxXyxy, Image, Region, Status

LANDMARKS = drawn_landmarks((50, 55))
FACE = Region((25.0, 25.0, 75.0, 95.0), score=0.9, attributes={"age": 30})
SMALL = Region((0, 0, 20, 30), score=0.8)
ELSEWHERE = Region((60, 0, 100, 40), score=0.7)
PLATE = Region((0, 80, 30, 99), "plate", 1.0)
SHARES = dict.fromkeys(NAMES, 0.5)


class DrawnFinder:
    """Finds the landmarks where all drawn faces have them, whatever the box."""

    card = LANDMARKS_CARD
    n_looks = 0

    def find(self, image: Image, box_xyxy: BoxXyxy) -> Points:
        DrawnFinder.n_looks += 1
        return LANDMARKS.copy()


@pytest.fixture(autouse=True)
def drawn_finder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "LandmarkFinder", DrawnFinder)
    DrawnFinder.n_looks = 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give six photographs in two folders; the last one is broken."""
    for at in range(6):
        present = np.random.default_rng(at).random(4) < 0.5
        path = tmp_path / "photos" / "ab"[at // 3] / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(drawn_photo(present, LANDMARKS, seed=at)).save(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    reader = FolderReader(tmp_path / "photos")
    with Run.open(tmp_path / "boxes", "detect", {"detector": "x"}, reader.describe()) as run:
        for shard in run.missing(reader.shards(100)):
            rows = [annotated(tmp_path / "photos", each.image_id) for each in shard.records]
            digest = write_annotations(tmp_path / "boxes", shard.index, rows)
            run.commit(ShardReport(shard.index, len(rows), digest=digest))
        run.finish()
    return tmp_path


def annotated(photos: Path, name: str) -> Annotations:
    regions: tuple[Region, ...] = (SMALL, FACE, PLATE)
    if name == "a/1.png":
        regions = (ELSEWHERE, replace(FACE, attributes={FACE_ATTRIBUTES: "Old"}))
    if name == "a/2.png":
        # The detector saw another face in this box.
        away = np.add(five_landmarks(LANDMARKS), (0, 25))
        regions = (replace(FACE, landmarks_xy=tuple(map(tuple, away.tolist()))),)
    digest = sha256_hex((photos / name).read_bytes())
    return Annotations(name, Status.LOOKED, regions, 100, 100, digest, 1)


def select(
    folder: Path, classifier: Path, config: SelectConfig, out: str = "chosen"
) -> tuple[RunSummary, dict[str, Annotations]]:
    summary = select_faces(
        folder / "photos", folder / "boxes", folder / out, classifier, config,
        LookConfig(shard_size=2), seen=folder / "seen", workers=1,
    )  # fmt: skip
    return summary, {row.image_id: row for row in AnnotationSet(folder / out)}


def test_faces_that_can_be_drawn_carry_landmarks_and_attributes(
    folder: Path, classifier: Path
) -> None:
    summary, rows = select(folder, classifier, SelectConfig(Way.ALL))
    small, face, plate = rows["a/0.png"].regions
    assert (small.landmarks_xy, small.attributes) == ((), {NOT_DRAWN: "too small"})
    assert plate == PLATE
    np.testing.assert_array_equal(face.landmarks_xy, LANDMARKS)
    assert face.attributes["age"] == 30
    assert set(face.attributes) == {"age", FACE_ATTRIBUTES}
    elsewhere, again = rows["a/1.png"].regions
    assert elsewhere.attributes == {NOT_DRAWN: "no face that landmarks fit"}
    assert "Old" not in str(again.attributes[FACE_ATTRIBUTES])
    assert rows["a/2.png"].regions[0].landmarks_xy == ()
    broken = rows["b/5.png"]
    assert (broken.status, broken.regions) == (Status.COULD_NOT_LOOK, ())
    counts = summary.counts
    assert [counts[name] for name in ("looked", "could_not_look", "faces")] == [5, 1, 4]
    assert counts["faces: too small"] == 3
    assert counts["faces: no face that landmarks fit"] == 2
    assert summary.extra["selection"]["n_edits"] == 4 * 4
    # What made the boxes is still known, and what was seen is nobody's business.
    assert detection_of(AnnotationSet(folder / "chosen").manifest) == {"detector": "x"}
    assert (folder / "seen").stat().st_mode & 0o077 == 0
    assert not any(LOGITS in each.attributes for row in rows.values() for each in row.regions)


def test_a_second_selection_looks_at_no_photograph(folder: Path, classifier: Path) -> None:
    _, rows = select(folder, classifier, SelectConfig(Way.ALL))
    n_looks = DrawnFinder.n_looks
    _, drawn = select(folder, classifier, SelectConfig(Way.RANDOM), "drawn")
    assert DrawnFinder.n_looks == n_looks
    assert drawn["a/0.png"].regions[1].landmarks_xy == rows["a/0.png"].regions[1].landmarks_xy
    with pytest.raises(ResumeMismatchError, match="way changed from 'all' to 'ppas'"):
        select(folder, classifier, SelectConfig(Way.PPAS))


@pytest.mark.parametrize("wrong", ["boxes", "photos.txt"])
def test_a_place_that_cannot_be_used_is_told_before_the_look(
    wrong: str, folder: Path, classifier: Path
) -> None:
    (folder / "photos.txt").mkdir()
    (folder / "photos.txt" / "mine").write_text("mine")
    n_looks = DrawnFinder.n_looks
    with pytest.raises(RunError, match=r"holds a run of 'detect', and no|is not empty"):
        select(folder, classifier, SelectConfig(Way.ALL), wrong)
    assert DrawnFinder.n_looks == n_looks
    assert not (folder / "seen").exists()


def test_interrupted_it_goes_on_and_gives_the_same(
    folder: Path, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SelectConfig(Way.PPAS, t=0.3, groups=Groups.FOLDERS)
    whole, rows = select(folder, classifier, config, "whole")

    def fail_at_last(folder: Path, index: int, rows: list[Annotations]) -> str:
        if index == 2:
            raise KeyboardInterrupt
        return write_annotations(folder, index, rows)

    monkeypatch.setattr(selecting, "write_annotations", fail_at_last)
    with pytest.raises(KeyboardInterrupt):
        select(folder, classifier, config)
    monkeypatch.undo()
    summary, again = select(folder, classifier, config)
    assert again == rows
    assert summary.extra == whole.extra


def test_an_image_that_changed_is_not_looked_at(folder: Path, classifier: Path) -> None:
    PillowImage.new("RGB", (100, 100)).save(folder / "photos" / "a" / "0.png")
    _, rows = select(folder, classifier, SelectConfig(Way.ALL))
    assert (rows["a/0.png"].status, rows["a/0.png"].reason) == (Status.COULD_NOT_LOOK, "changed")


def seen_faces(present: list[list[bool]], folders: tuple[str, ...] = ()) -> SeenFaces:
    logits = np.where(present, 2.0, -2.0).astype(np.float32)
    return SeenFaces(NAMES, logits, folders or ("",) * len(present))


def test_ppas_says_what_it_promises() -> None:
    faces = seen_faces([[True, True, False, False]] * 8, ("a",) * 4 + ("b",) * 4)
    config = SelectConfig(Way.PPAS, t=0.25, epsilon=0.0, groups=Groups.FOLDERS)
    chosen = choose(faces, SHARES, config)
    told = chosen.told
    assert told["way"] == "PPAS (our reconstruction)"
    assert (told["distance_before"], told["distance_after"], told["unmet"]) == (0.5, 0.25, [])
    assert told["n_edits"] == 4 * 2
    assert told["bound_nats"] is None
    assert "does not cover" in told["bound_covers"]
    assert told["mutual_information"]["Young"]["n"] == 8
    assert choose(faces, SHARES, replace(config, epsilon=0.5)).told["bound_nats"] > 0


def test_gender_is_kept_unless_asked_for() -> None:
    names = ("Male", "Mustache", "Pointy_Nose", "Smiling", "Young", "Big_Nose")
    faces = SeenFaces(names, np.full((2, 6), -1, np.float32), ("", ""))
    assert not choose(faces, {}, SelectConfig(Way.ALL)).present[:, :2].any()
    assert choose(faces, {}, SelectConfig(Way.ALL, keep_gender=False)).present.all()
    four = choose(faces, {}, SelectConfig())
    np.testing.assert_array_equal(four.present[0], [0, 0, 1, 1, 1, 1])
    assert four.told["editable"] == list(names[2:])


def test_a_reference_is_followed_and_checked(tmp_path: Path) -> None:
    faces = seen_faces([[False] * 4] * 5)
    path = tmp_path / "shares.json"
    path.write_text('{"Blond_Hair": 0, "Smiling": 1, "Young": 1, "Pale_Skin": 0}')
    chosen = choose(faces, SHARES, SelectConfig(Way.RANDOM, reference=read_reference(path)))
    np.testing.assert_array_equal(chosen.present, [[False, True, True, False]] * 5)
    with pytest.raises(ConfigError, match="does not say how often 'Blond_Hair' is there"):
        choose(faces, {}, SelectConfig(Way.RANDOM))
    with pytest.raises(ConfigError, match=r"not in \[0, 1\]"):
        choose(faces, SHARES, SelectConfig(Way.PPAS, reference=dict.fromkeys(NAMES, 2.0)))
    path.write_text("[1]")
    with pytest.raises(ConfigError, match="it is no object of shares"):
        read_reference(path)


def test_without_faces_there_is_nothing_to_choose() -> None:
    none = SeenFaces(NAMES, np.zeros((0, 4), np.float32), ())
    for way in (Way.PPAS, Way.RANDOM, Way.ALL):
        assert choose(none, SHARES, SelectConfig(way)).told["n_faces"] == 0


def test_the_chosen_faces_are_drawn_into_the_photographs(
    folder: Path, classifier: Path, exported: Path
) -> None:
    select(folder, classifier, SelectConfig(Way.RANDOM))
    summary = obfuscate_dataset(
        folder / "photos", folder / "chosen", folder / "out",
        ObfuscateConfig("synthesize", {"model": str(exported)}), workers=1,
    )  # fmt: skip
    assert (summary.counts["obfuscated"], summary.counts["failed"]) == (5, 1)
    assert not (folder / "out" / "b" / "5.png").exists()
    with PillowImage.open(folder / "out" / "a" / "0.png") as made:
        new = np.array(made)
    with PillowImage.open(folder / "photos" / "a" / "0.png") as photo:
        assert (np.array(photo)[30:90, 30:70] != new[30:90, 30:70]).mean() > 0.9


def test_what_there_is_none_of_is_counted_as_none() -> None:
    found = count_looked(Annotations("a.png", Status.LOOKED, (FACE, PLATE)))
    assert found == {"looked": 1, "could_not_look": 0, "not_looked": 0, "faces": 1}
    assert count_looked(Annotations("b.png", Status.NOT_LOOKED))["faces"] == 0
