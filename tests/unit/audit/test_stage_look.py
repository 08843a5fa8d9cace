# SPDX-License-Identifier: Apache-2.0
"""An audit that looks at images first: what is counted then, and what stays in its folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.audit.drawn_set import face, not_looked, write_set
from tests.unit.audit.planted import PlantedFaces, plant, searched, write_photo
from veilset.annotations.store import AnnotationSet
from veilset.audit.stage import AuditConfig, audit_dataset
from veilset.errors import AnnotationError, ConfigError, ResumeMismatchError, RunError
from veilset.files import write_atomically
from veilset.records.audits import read_audit

ALL = AuditConfig(demographics="ages", classify="classes", nsfw=True, shard_size=2)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``photos`` and ``set``: six images without categories, four with a face."""
    plant(monkeypatch)
    rows = []
    for i in range(6):
        name = f"{i} .png" if i == 0 else f"{i}.png"
        write_photo(tmp_path / "photos" / name, 20 + 20 * (i // 3))
        rows.append(searched(tmp_path / "photos", name, *([face()] if i < 4 else [])))
    write_photo(tmp_path / "photos" / "z.png", 5)
    write_set(tmp_path / "set", [*rows, not_looked("z.png")])
    return tmp_path


def audit(place: Path, config: AuditConfig = ALL, **how: Any) -> dict[str, Any]:
    """Audit the set; give the numbers."""
    how.setdefault("workers", 1)
    audit_dataset(place / "photos", place / "set", place / "out", config, **how)
    found: dict[str, Any] = json.loads((place / "out" / "audit.json").read_bytes())
    return found


def test_what_was_estimated_is_counted(place: Path) -> None:
    notices: list[str] = []
    found = audit(place, on_notice=notices.append)
    assert [(g["group"], g["n"]) for g in found["people"]["age"]["groups"] if g["n"]] == [
        ("20 to 29", 3), ("40 to 49", 1),
    ]  # fmt: skip
    assert found["mapping"] == {"key": "image_id", "n_lines": 6, "n_unused": 0, "by": "classes"}
    rows = {each["category"]: each for each in found["categories"]["most"]}
    assert {c: (r["name"], r["n_with"], r["n_looked"]) for c, r in rows.items()} == {
        "n00000020": ("reds of 20", 3, 3), "n00000040": ("reds of 40", 1, 3),
    }  # fmt: skip
    assert found["categories"]["n_images_without"] == 1
    assert {k["kind"]: k["n_regions"] for k in found["regions"]["kinds"]} == {"face": 4, "nsfw": 6}
    look = found["look"]
    assert look["source"]["outputs_sha256"] == AnnotationSet(place / "set").manifest[
        "outputs_sha256"
    ]  # fmt: skip
    assert found["annotations"]["stage"] == "look"
    assert [each["licence"] for each in look["models"]] == ["CC0-1.0", "unknown", "AGPL-3.0"]
    assert notices == [
        "planted-faces (age and gender of faces) is under CC0-1.0.",
        "planted-classes (category of images) has no stated licence.",
        "planted-nsfw (candidates for NSFW regions) is under AGPL-3.0. Duties apply.",
    ]
    manifest = json.loads((place / "out" / "run.json").read_bytes())
    assert [card["name"] for card in manifest["models"]] == [
        "planted-faces", "planted-classes", "planted-nsfw",
    ]  # fmt: skip


def test_the_page_says_with_what(place: Path) -> None:
    audit(place)
    page = (place / "out" / "index.html").read_text()
    for text in (
        "AGPL-3.0", "Age and gender of 4 of 4 faces", "6 candidates for NSFW regions in 6 images",
        "likeliest label of classes", "guesses of a classifier", "not shown to be harmless",
        "must not be used to decide", "20.png",
    )[:-1]:  # fmt: skip
        assert text in page
    assert "<img" not in page
    card = (place / "out" / "card.md").read_text()
    assert "Estimated with planted-faces (CC0-1.0) for age and gender of faces" in card


def test_workers_do_not_change_a_byte(place: Path) -> None:
    audit(place)
    first = files_of(place / "out")
    (place / "out").rename(place / "one")
    audit(place, workers=3)
    assert files_of(place / "out") == first
    assert "annotations/shard-00002.parquet" in first
    assert "categories.csv" in first


def files_of(out: Path) -> dict[str, bytes]:
    """Give what an audit made, but for what holds times."""
    names = ("*.json", "*.html", "*.csv", "*.md", "annotations/**/*.parquet")
    found = {p for name in names for p in out.glob(name)} - {out / "run.json", out / "started.json"}
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(found)}


def test_a_mapping_that_was_given_goes_first(place: Path) -> None:
    mapping = place / "mapping.csv"
    mapping.write_text("image_id,category\n1.png,mine\n")
    found = audit(place, mapping=mapping)
    assert [each["category"] for each in found["categories"]["most"]] == ["mine"]
    assert found["mapping"]["by"] == ""
    assert (place / "out" / "categories.csv").exists()


def test_its_categories_are_a_mapping_file(place: Path) -> None:
    found = audit(place)
    lines = (place / "out" / "categories.csv").read_text().splitlines()
    assert lines[:2] == ["image_id,category,score", "0 .png,n00000020,0.875000"]
    copy = place / "copy.csv"
    copy.write_text("\n".join(lines[2:]).join(["image_id,category,score\n", "\n"]))
    config = AuditConfig()
    audit_dataset(place / "photos", place / "set", place / "again", config, mapping=copy)
    again = json.loads((place / "again" / "audit.json").read_bytes())
    assert [each["category"] for each in again["categories"]["most"]] == [
        each["category"] for each in found["categories"]["most"]
    ]


def test_no_image_classified_is_no_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [p.name for p in (place / "photos").iterdir()]:
        write_photo(place / "photos" / name, 99)
    found = audit(place, replace(ALL, demographics="none"))
    assert found["look"]["n_changed"] == 6
    assert found["images"]["statuses"] == {"looked": 0, "not_looked": 1, "could_not_look": 6}
    assert found["categories"]["n_categories"] == 0
    page = (place / "out" / "index.html").read_text()
    assert "6 files changed since the annotations were made" in page


def test_nothing_is_looked_at_unless_asked_for(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("veilset.audit.looking.decode_image")
    found = audit(place, AuditConfig(demographics="none", classify="none"))
    assert found["look"] is None
    assert not (place / "out" / "annotations").exists()
    assert "What was estimated" not in (place / "out" / "index.html").read_text()


def test_the_same_look_is_counted_again_without_looking(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = PlantedFaces()
    plant(monkeypatch, faces=faces)
    audit(place)
    assert faces.n_seen == 4
    found = audit(place, replace(ALL, min_score=0.95))
    assert found["per_image"]["n_regions"] == 0
    assert faces.n_seen == 4


def test_other_estimates_never_destroy_a_look(place: Path) -> None:
    audit(place)
    before = files_of(place / "out")
    with pytest.raises(RunError, match="Ask for the same estimates again"):
        audit(place, AuditConfig())
    assert files_of(place / "out") == before
    with pytest.raises(ResumeMismatchError, match="nsfw changed from 'nudenet-nsfw' to 'none'"):
        audit(place, replace(ALL, nsfw=False))
    assert files_of(place / "out") == before
    audit(place)
    assert files_of(place / "out") == before


def test_killed_while_looking_it_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = PlantedFaces()
    plant(monkeypatch, faces=faces)

    ledger = place / "out" / "annotations" / "ledger"

    def killed(progress: Any) -> None:
        if any(ledger.glob("0*.json")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(place, on_progress=killed)
    assert not (place / "out" / "run.json").exists()
    assert faces.n_seen
    n_before = faces.n_seen
    found = audit(place)
    assert faces.n_seen < n_before + 4
    assert found["look"]["n_opened"] == 6


@pytest.mark.parametrize("left", [b"{}\n", None])
def test_killed_while_an_old_audit_was_removed(place: Path, left: bytes | None) -> None:
    audit(place)
    before = files_of(place / "out")
    (place / "out" / "run.json").unlink()
    if left is None:
        (place / "out" / "started.json").unlink()
        for name in ("ledger", "tables", "figures"):
            for each in (place / "out" / name).iterdir():
                each.unlink()
            (place / "out" / name).rmdir()
        for name in ("index.html", "audit.json", "card.md", "croissant.json", "categories.csv"):
            (place / "out" / name).unlink()
    else:
        write_atomically(place / "out" / "started.json", left)
    audit(place)
    assert files_of(place / "out") == before


def test_a_folder_that_is_no_audit_is_left_alone(place: Path) -> None:
    out = place / "out"
    write_set(out / "annotations", [])
    (out / "private").mkdir()
    (out / "private" / "letter.txt").write_text("mine")
    (out / "categories.csv").write_text("mine")
    before = sorted(out.rglob("*"))
    for config in (AuditConfig(), ALL):
        with pytest.raises(RunError, match="is not empty"):
            audit(place, config)
        assert {p for p in out.rglob("*") if p.name != "lock"} <= set(before)
        assert (out / "private" / "letter.txt").read_text() == "mine"


def test_a_set_of_somebody_in_the_place_of_the_look(place: Path) -> None:
    audit(place, AuditConfig())
    write_set(place / "out" / "annotations", [])
    with pytest.raises(ResumeMismatchError, match="Cannot resume the audit run"):
        audit(place)
    assert AnnotationSet(place / "out" / "annotations").manifest["stage"] == "detect"


def test_links_are_not_followed_when_an_audit_is_removed(place: Path) -> None:
    audit(place, AuditConfig())
    (place / "mine").mkdir()
    (place / "mine" / "letter.txt").write_text("mine")
    (place / "out" / "private").symlink_to(place / "mine")
    audit(place, AuditConfig(n_listed=3))
    assert (place / "mine" / "letter.txt").read_text() == "mine"


def test_labelled_pictures_are_private_and_named_nowhere(place: Path) -> None:
    audit(place, replace(ALL, labelled=3), workers=2)
    out = place / "out"
    pictures = sorted((out / "private" / "labelled").rglob("*.jpg"))
    assert len(pictures) == 3
    assert list((out / "private" / "sheets").iterdir())
    assert (out / "private").stat().st_mode & 0o777 == 0o700
    page = (out / "index.html").read_text()
    assert "must not be published with it" in page
    told = page + "".join((out / name).read_text() for name in ("croissant.json", "card.md"))
    for each in ("private/", "sheets", *(path.name for path in pictures)):
        assert each not in told
    # What is asked for next time decides what lies there.
    audit(place)
    assert not (out / "private").exists()
    assert "must not be published with it" not in (out / "index.html").read_text()


def test_pictures_can_be_labelled_without_any_estimate(place: Path) -> None:
    audit(place, AuditConfig(labelled=2))
    assert len(list((place / "out" / "private" / "labelled").rglob("*.jpg"))) == 2
    assert not (place / "out" / "annotations").exists()


def test_images_are_needed(place: Path) -> None:
    for config in (ALL, AuditConfig(labelled=3)):
        with pytest.raises(ConfigError, match="the images are needed"):
            audit_dataset(None, place / "set", place / "out", config)
    with pytest.raises(ConfigError, match="demographics is empty"):
        AuditConfig(demographics="")
    assert not (place / "out").exists()


def test_a_set_without_its_images_is_refused(place: Path) -> None:
    manifest = place / "set" / "run.json"
    text = manifest.read_text().replace(
        '"root": "/somewhere/photos"', '"layout": "annotation file"'
    )
    manifest.write_text(text)
    with pytest.raises(AnnotationError, match="imported without its photographs"):
        audit(place)


def test_the_reference_is_still_another_set(place: Path) -> None:
    with pytest.raises(AnnotationError, match="reference is the annotation set itself"):
        audit(place, reference=place / "set")


def test_the_record_tells_the_set_that_was_looked_at(place: Path) -> None:
    audit(place)
    record = read_audit(place / "out")
    ours = AnnotationSet(place / "set").manifest["outputs_sha256"]
    looked = AnnotationSet(place / "out" / "annotations").manifest["outputs_sha256"]
    assert {record.source_sha256, record.annotations_sha256} == {ours, looked}
    assert record.is_about(ours)
    assert record.is_about(looked)
    assert not record.is_about("0" * 64)
