# SPDX-License-Identifier: Apache-2.0
"""The audit in the report: told only where it is of the set that was released."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.audit.drawn_set import face, looked, write_set
from tests.unit.audit.planted import plant, searched, write_photo
from tests.unit.report.drawn_release import HOSTILE, DrawnRelease, Image, many_images
from tests.unit.report.test_report import Elements
from veilset.annotations.store import AnnotationSet
from veilset.audit.stage import AuditConfig, audit_dataset
from veilset.errors import RunError
from veilset.report.stage import write_report
from veilset.types import Region


@pytest.fixture
def release(tmp_path: Path) -> DrawnRelease:
    known: dict[str, str | int | float | bool] = {
        "age": 31.0,
        "gender": "female",
        "gender_score": 0.8,
    }
    images = [
        replace(image, regions=tuple(replace(r, attributes=known) for r in image.regions))
        for image in many_images(60)
    ]
    hostile = Image(f"{HOSTILE}/1.jpg", (Region((60, 40, 140, 144), score=0.9),))
    return DrawnRelease(tmp_path / "work", [hostile, *images]).write()


def test_the_page_tells_who_is_in_it(release: DrawnRelease) -> None:
    audit = release.record / "audit"
    audit_dataset(None, release.annotations, audit)
    page = write_report(release.out, audit=audit)
    found = Elements(page.read_text())
    (section,) = [each for each in found.all("section") if each.get("id") == "audit"]
    assert section
    for text in (
        "Who is in the data set", "searched images", "Estimated age", "Estimated gender",
        "by category",
        "must not be used to decide anything about a person",
    ):  # fmt: skip
        assert text in found.text
    hrefs = [each.get("href") or "" for each in found.all("a")]
    assert "audit/index.html" in hrefs
    assert (page.parent / "audit/index.html").is_file()
    assert not [each for each in hrefs if each.startswith("tables/")]
    pictures = [each.get("src") or "" for each in found.all("img")]
    assert all(each.startswith("data:image/") for each in pictures)
    data = json.loads(page.with_suffix(".json").read_bytes())
    numbers = json.loads((audit / "audit.json").read_bytes())
    assert data["audit"]["per_image"] == numbers["per_image"]
    assert data["audit"]["summary"] in found.text.replace("\u00a0", " ")


def test_without_an_audit_nothing_is_told(release: DrawnRelease) -> None:
    page = write_report(release.out)
    assert "Who is in the data set" not in page.read_text()
    assert json.loads(page.with_suffix(".json").read_bytes())["audit"] is None


def test_the_audit_of_another_set_is_refused(release: DrawnRelease, tmp_path: Path) -> None:
    write_set(tmp_path / "other", [looked("a/1.jpg", face())])
    audit_dataset(None, tmp_path / "other", tmp_path / "audit")
    with pytest.raises(RunError, match=r"of another annotation set than this release .*--audit"):
        write_report(release.out, audit=tmp_path / "audit")
    assert not (release.record / "report.html").exists()


def test_an_audit_that_was_changed_is_refused(release: DrawnRelease, tmp_path: Path) -> None:
    audit_dataset(None, release.annotations, tmp_path / "audit")
    table = tmp_path / "audit" / "tables" / "categories.csv"
    table.write_text(table.read_text().replace("n00", "n99"))
    with pytest.raises(RunError, match="not the table that the audit wrote"):
        write_report(release.out, audit=tmp_path / "audit")
    table.unlink()
    with pytest.raises(RunError, match="not the table that the audit wrote"):
        write_report(release.out, audit=tmp_path / "audit")
    numbers = tmp_path / "audit" / "audit.json"
    numbers.write_text(numbers.read_text().replace("photos", "fotos"))
    with pytest.raises(RunError, match="not the file that the audit wrote"):
        write_report(release.out, audit=tmp_path / "audit")
    with pytest.raises(RunError, match="holds no run of Veilset"):
        write_report(release.out, audit=tmp_path / "nowhere")


def test_an_audit_far_away_is_told_and_not_linked(release: DrawnRelease, tmp_path: Path) -> None:
    audit = tmp_path / "ann lee" / "audit"
    audit_dataset(None, release.annotations, audit)
    text = write_report(release.out, audit=audit).read_text()
    assert "ann lee" not in text
    assert "page of the audit itself" in text
    beside = release.folder / "audit"
    shutil.copytree(audit, beside)
    assert 'href="../audit/index.html"' in write_report(release.out, audit=beside).read_text()


def test_an_audit_with_estimates_is_of_the_set_they_were_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    release = DrawnRelease(tmp_path, [Image("a/1.jpg"), Image("a/2.jpg")])
    photos = tmp_path / "photos"
    for name in ("a/1.jpg", "a/2.jpg"):
        write_photo(photos / name, 30)
    release.write("detect")
    shutil.rmtree(release.annotations)
    write_set(release.annotations, [searched(photos, f"a/{i}.jpg", face()) for i in (1, 2)])
    release.write("obfuscate", "verify")
    config = AuditConfig(demographics="planted")
    audit_dataset(photos, release.annotations, release.record / "audit", config)
    page = write_report(release.out, audit=release.record / "audit")
    assert "planted-faces" in page.read_text(), "its models are listed with their licences"
    looked_at = release.record / "audit" / "annotations"
    release_of_it = AnnotationSet(looked_at)
    shutil.rmtree(release.record / "obfuscate")
    shutil.rmtree(release.record / "verify")
    shutil.rmtree(release.annotations)
    shutil.copytree(looked_at, release.annotations)
    release.write("obfuscate", "verify")
    page = write_report(release.out, audit=release.record / "audit")
    text = page.read_text()
    assert release_of_it.manifest["stage"] == "look"
    assert "Estimates of an audit" in text
    assert "cp -r AUDIT/annotations ANN" in text
