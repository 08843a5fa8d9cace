# SPDX-License-Identifier: Apache-2.0
"""Recall and protection by group: who is counted, who is compared, who is left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as PilImage

from tests.unit.audit.drawn_set import face, looked, not_looked, write_photos, write_set
from veilset.audit.skin_tone import class_of, typology_angle
from veilset.audit.stage import AuditConfig, audit_dataset
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin

CONFIG = AuditConfig(min_faces=4, min_images=3, enlarge=0.0)
BOX = (10.0, 10.0, 30.0, 40.0)


def reviewed(box: tuple[float, float, float, float] = BOX, **attributes: Any) -> Any:
    """Give a region that a person drew."""
    return face(box, None, Origin.REVIEWED, **attributes)


def measure(
    tmp_path: Path,
    ours: Sequence[Annotations],
    theirs: Sequence[Annotations],
    config: AuditConfig = CONFIG,
    photos: Path | None = None,
) -> Any:
    """Give the disparity of detections against a reference."""
    write_set(tmp_path / "set", ours)
    write_set(tmp_path / "reference", theirs)
    audit_dataset(photos, tmp_path / "set", tmp_path / "audit", config,
                  reference=tmp_path / "reference", workers=2)  # fmt: skip
    return json.loads((tmp_path / "audit" / "audit.json").read_bytes())["disparity"]


def grouping(found: Any, name: str) -> dict[str, Any]:
    (wanted,) = [each for each in found["groupings"] if each["name"] == name]
    return {group["label"]: group for group in wanted["groups"]}


def test_recall_and_protection_by_attribute(tmp_path: Path) -> None:
    ours, theirs = [], []
    for i in range(8):
        # Women are found; of men only every fourth, and another is covered but not found.
        theirs.append(looked(f"f/{i}.jpg", reviewed(gender="female", age=25.0 + i)))
        ours.append(looked(f"f/{i}.jpg", face(BOX)))
        theirs.append(looked(f"m/{i}.jpg", reviewed(gender="male", age=71.0)))
        box = {0: BOX, 4: BOX, 1: (0.0, 0.0, 90.0, 70.0)}.get(i)
        ours.append(looked(f"m/{i}.jpg", *([face(box)] if box else [])))
    found = measure(tmp_path, ours, theirs)
    assert found["judged"]["n_regions"] == 16
    assert found["overall"]["found"]["value"] == 10 / 16
    gender = grouping(found, "gender")
    assert gender["female"]["found"]["value"] == 1.0
    assert gender["male"]["found"]["value"] == 2 / 8
    assert gender["male"]["protected"]["value"] == 3 / 8
    assert gender["male"]["found_difference"]["value"] == pytest.approx(-0.75)
    # Of two groups the one is the rest of the other: one test for each outcome, not two.
    assert gender["male"]["found_difference"]["p"] == pytest.approx(
        gender["female"]["found_difference"]["p"]
    )
    (by_gender,) = [each for each in found["groupings"] if each["name"] == "gender"]
    assert by_gender["n_tests"] == 2
    p = gender["male"]["found_difference"]
    other = gender["male"]["protected_difference"]
    assert p["p_corrected"] == pytest.approx(min(2 * p["p"], max(2 * p["p"], other["p"])))
    ages = grouping(found, "age")
    assert list(ages) == ["20 to 29", "30 to 39", "70 and over"]
    assert ages["20 to 29"]["n_regions"] == 5
    assert ages["30 to 39"]["found_difference"] is None, "three regions are too few"
    table = pq.read_table(tmp_path / "audit" / "tables" / "disparity.parquet").to_pylist()
    (row,) = [r for r in table if (r["label"], r["outcome"]) == ("male", "found")]
    assert (row["share"], row["p"]) == (0.25, p["p"])
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "too few" in page
    assert "figures/recall_by_gender.svg" in page


def test_what_no_person_has_seen_is_no_truth(tmp_path: Path) -> None:
    ours = [looked("a/1.jpg", face(BOX)), looked("a/2.jpg"), not_looked("a/3.jpg")]
    theirs = [
        looked("a/1.jpg", reviewed(), face((50, 50, 60, 60), 0.7)),
        looked("a/2.jpg", face(BOX, None, Origin.IMPORTED)),
        looked("a/3.jpg", reviewed()),
        looked("b/4.jpg", reviewed()),
    ]
    judged = measure(tmp_path, ours, theirs)["judged"]
    assert judged == {
        "n_images": 2, "n_regions": 2, "n_not_reviewed": 1, "n_changed": 0, "n_undecoded": 0,
    }  # fmt: skip
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "Left out: 1 region of the reference that no person has seen." in page


def test_images_that_changed_are_left_out(tmp_path: Path) -> None:
    ours = [looked("a/1.jpg"), looked("a/2.jpg"), looked("a/3.jpg", face(BOX))]
    theirs = [
        looked("a/1.jpg", reviewed(), width=50),
        looked("a/2.jpg", reviewed()),
        looked("a/3.jpg", reviewed()),
    ]
    ours[1] = replace(ours[1], sha256="0" * 64)
    theirs[1] = replace(theirs[1], sha256="1" * 64)
    judged = measure(tmp_path, ours, theirs)["judged"]
    assert (judged["n_changed"], judged["n_regions"]) == (2, 1)


def test_detections_are_enlarged_as_obfuscation_does(tmp_path: Path) -> None:
    ours = [looked("a/1.jpg", face((12, 12, 28, 38)))]
    theirs = [looked("a/1.jpg", reviewed())]
    found = measure(tmp_path, ours, theirs, replace(CONFIG, enlarge=0.2))
    assert found["overall"]["protected"]["value"] == 1.0
    (tmp_path / "bare").mkdir()
    found = measure(tmp_path / "bare", ours, theirs)
    assert found["overall"]["protected"]["value"] == 0.0


def test_groups_that_nobody_told(tmp_path: Path) -> None:
    found = measure(tmp_path, [looked("1.jpg", face(BOX))], [looked("1.jpg", reviewed())])
    missing = {each["name"]: each["missing"] for each in found["groupings"]}
    assert "Estimate ages on the reviewed set first" in missing["age"]
    assert missing["category"] == "No image has a category."
    assert missing["size"] == ""


def test_a_reference_that_says_nothing(tmp_path: Path) -> None:
    ours = write_set(tmp_path / "set", [looked("a/1.jpg", face())])
    with pytest.raises(AnnotationError, match="The reference is the annotation set itself"):
        audit_dataset(None, ours, tmp_path / "audit", reference=ours)
    theirs = write_set(tmp_path / "other", [looked("a/1.jpg", face(score=0.5))])
    with pytest.raises(AnnotationError, match=r"that people reviewed \(1 are of a detector only"):
        audit_dataset(None, ours, tmp_path / "audit", reference=theirs)
    with pytest.raises(AnnotationError, match="holds no run of Veilset"):
        audit_dataset(None, ours, tmp_path / "audit", reference=tmp_path / "no")


def test_skin_tone_proxy_is_crude_and_says_so(tmp_path: Path) -> None:
    light = write_photos(tmp_path / "photos", ["a/1.png", "a/2.png"], (240, 215, 195))
    write_photos(light, ["b/1.png", "b/2.png"], (60, 40, 32))
    (light / "c").mkdir()
    (light / "c" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    names = ["a/1.png", "a/2.png", "b/1.png", "b/2.png", "c/1.png"]
    ours = [looked(name, face(BOX)) for name in names]
    theirs = [looked(name, reviewed(), reviewed((50, 50, 55, 60))) for name in names]
    found = measure(tmp_path, ours, theirs, replace(CONFIG, skin_tone=True), light)
    tones = grouping(found, "skin tone")
    assert {label: group["n_regions"] for label, group in tones.items()} == {
        "very light": 2, "dark": 2,
    }  # fmt: skip
    assert found["judged"]["n_undecoded"] == 1
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "it is no ethnicity" in page


def test_typology_angle_of_flat_colours() -> None:
    def angle(red: int, green: int, blue: int) -> float:
        pixels = np.array(PilImage.new("RGB", (80, 80), (red, green, blue)))
        found = typology_angle(pixels, (10, 10, 60, 60))
        assert found is not None
        return found

    # CIELAB of (198, 134, 66): L* 61.0, b* 44.6 (scikit-image): atan(11.0 / 44.6).
    assert angle(198, 134, 66) == pytest.approx(13.9, abs=0.3)
    assert class_of(angle(255, 224, 189)) == "very light"
    assert class_of(angle(60, 46, 40)) == "dark"
    assert angle(40, 60, 200) == -90.0, "a bluish face is not called light by its angle"
    assert typology_angle(np.zeros((40, 40, 3), np.uint8), (0, 0, 15, 40)) is None
    assert typology_angle(np.zeros((40, 40, 3), np.uint8), (90, 90, 150, 150)) is None
