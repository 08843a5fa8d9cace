# SPDX-License-Identifier: Apache-2.0
"""Bad input ends in a sentence that says what is wrong and what to do."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from tests.unit.audit.drawn_set import face, failed, looked, not_looked, write_photos, write_set
from veilset.audit.stage import AuditConfig, audit_dataset
from veilset.errors import (
    AnnotationError,
    ConfigError,
    DatasetError,
    MissingExtraError,
    RunError,
)


def refuse(error: type[Exception], message: str, tmp_path: Path, **inputs: Any) -> None:
    """Expect an audit of ``tmp_path/set`` to be refused, leaving no result."""
    config = inputs.pop("config", None)
    with pytest.raises(error, match=message):
        audit_dataset(
            inputs.pop("photos", None), tmp_path / "set", tmp_path / "audit", config, **inputs
        )
    assert not (tmp_path / "audit" / "run.json").exists()
    assert not (tmp_path / "audit" / ".work").exists()


def test_unfinished_set(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg")], finish=False)
    refuse(AnnotationError, "not finished. Run the same command again", tmp_path)


def test_no_set(tmp_path: Path) -> None:
    refuse(AnnotationError, "holds no run of Veilset", tmp_path)


def test_empty_set(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [])
    refuse(AnnotationError, "holds no image, so there is nothing to count", tmp_path)


def test_damaged_set(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg"), looked("a/2.jpg")], shard_size=1)
    (tmp_path / "set" / "shard-00001.parquet").write_bytes(b"PAR1 no")
    refuse(DatasetError, "is damaged", tmp_path)
    (tmp_path / "set" / "shard-00001.parquet").unlink()
    refuse(DatasetError, r"shard-00001\.parquet is missing", tmp_path)


def test_set_that_lost_rows(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg"), looked("a/2.jpg")], shard_size=1)
    first = (tmp_path / "set" / "shard-00000.parquet").read_bytes()
    (tmp_path / "set" / "shard-00001.parquet").write_bytes(first)
    refuse(AnnotationError, "names an image twice", tmp_path)
    write_set(tmp_path / "other", [looked("a/1.jpg")])
    (tmp_path / "set" / "run.json").write_bytes((tmp_path / "other" / "run.json").read_bytes())
    manifest = (tmp_path / "set" / "run.json").read_text()
    (tmp_path / "set" / "run.json").write_text(manifest.replace('"n_images": 1', '"n_images": 7'))
    refuse(AnnotationError, "has 1 images, its run.json says 7", tmp_path)


def test_photos_of_another_set(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg")])
    photos = write_photos(tmp_path / "photos", ["b/1.png"], (1, 2, 3))
    refuse(AnnotationError, r"no image in common.*'b/1\.png'.*'a/1\.jpg'", tmp_path, photos=photos)


def test_part_that_is_not_there(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("train/a/1.jpg")])
    config = AuditConfig(within="test")
    refuse(AnnotationError, r"below 'test'.*'train/a/1\.jpg'", tmp_path, config=config)


def test_folder_that_is_not_empty(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg")])
    (tmp_path / "audit" / "tables").mkdir(parents=True)
    (tmp_path / "audit" / "tables" / "mine.csv").write_text("kept")
    refuse(RunError, "is not empty", tmp_path)
    assert (tmp_path / "audit" / "tables" / "mine.csv").read_text() == "kept"


def test_folder_inside_the_data_set(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", ["a/1.png"], (1, 2, 3))
    write_set(tmp_path / "set", [looked("a/1.png")])
    with pytest.raises(DatasetError, match="Choose an output folder beside"):
        audit_dataset(photos, tmp_path / "set", photos / "audit")


def test_an_audit_is_made_anew(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg", face())])
    first = audit_dataset(None, tmp_path / "set", tmp_path / "audit")
    assert first.counts["with_regions"] == 1
    again = audit_dataset(None, tmp_path / "set", tmp_path / "audit", AuditConfig(min_score=0.95))
    assert again.counts["with_regions"] == 0


def test_an_audit_that_was_killed_is_made_anew(tmp_path: Path, monkeypatch: Any) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg", face())])

    def die(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("veilset.audit.stage.render_page", die)
    with pytest.raises(KeyboardInterrupt):
        audit_dataset(None, tmp_path / "set", tmp_path / "audit")
    monkeypatch.undo()
    assert audit_dataset(None, tmp_path / "set", tmp_path / "audit").counts["looked"] == 1


def test_nothing_was_searched(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [not_looked("a/1.jpg"), failed("a/2.jpg")])
    summary = audit_dataset(None, tmp_path / "set", tmp_path / "audit").extra["summary"]
    assert summary == "None of 2 images was searched, so nothing is known of faces in them."
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "No image was searched. Run detect, then audit again." in page
    assert "0 %" not in page.split("How many")[1].split("What was searched")[0]


def test_nothing_was_found(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked(f"a/{i}.jpg") for i in range(59)])
    audit_dataset(None, tmp_path / "set", tmp_path / "audit")
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "No face was found in 59 searched images" in page
    assert "at most 6.1 %" in page.replace("\u00a0", " ")


def test_images_without_a_category(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("1.jpg", face()), looked("2.jpg")])
    audit_dataset(None, tmp_path / "set", tmp_path / "audit")
    assert "No image has a category" in (tmp_path / "audit" / "index.html").read_text()
    config = AuditConfig(categories="wnid")
    with pytest.raises(ConfigError, match="No image lies in a folder that is a WordNet"):
        audit_dataset(None, tmp_path / "set", tmp_path / "audit2", config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,category\na,b\n", "has to be image_id,category or folder,category"),
        ("", "has to be image_id,category"),
        ("image_id,category\nx.jpg,one\n", r"names no image_id of the data set.*'x\.jpg'.*'a/1"),
        ("image_id,category\na/1.jpg,one\na/1.jpg,two\n", "'a/1.jpg' the categories 'one' and"),
        ("image_id,category\na/1.jpg,\n", "a line with an empty field"),
        ("image_id,category\na/1.jpg,one,more\n", "is not CSV of 2 columns: it cannot be read"),
    ],
)
def test_mapping_files(tmp_path: Path, text: str, message: str) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg")])
    path = tmp_path / "mapping.csv"
    path.write_text(text)
    refuse(DatasetError, message, tmp_path, mapping=path)


def test_missing_mapping_file(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg")])
    refuse(DatasetError, "There is no mapping file", tmp_path, mapping=tmp_path / "no.csv")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": ""}, "kind is empty"),
        ({"min_score": 1.5}, "min_score is 1.5"),
        ({"categories": "name"}, "Give one of: auto, folder"),
        ({"n_listed": 0}, "n_listed is 0"),
        ({"iou": 0.0}, "everything would be found"),
    ],
)
def test_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AuditConfig(**settings)


def test_settings_that_need_more(tmp_path: Path) -> None:
    write_set(tmp_path / "set", [looked("a/1.jpg")])
    refuse(ConfigError, "need a hierarchy", tmp_path, config=AuditConfig(synsets=("bird",)))
    refuse(ConfigError, "needs the images and a reference", tmp_path,
           config=AuditConfig(skin_tone=True))  # fmt: skip
    refuse(ConfigError, "Give at least 128", tmp_path, memory_mb=12)


def test_duckdb_that_is_not_installed(tmp_path: Path, monkeypatch: Any) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "duckdb":
            raise ImportError(name)
        return real(name, *rest, **more)

    write_set(tmp_path / "set", [looked("a/1.jpg")])
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'veilset\[audit\]'"):
        audit_dataset(None, tmp_path / "set", tmp_path / "audit")
