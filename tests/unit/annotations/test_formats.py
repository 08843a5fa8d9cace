# SPDX-License-Identifier: Apache-2.0
"""Every format of the table through the same doors: import, export, and without photographs."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from veilset.annotations.config import ExportConfig, ImportConfig
from veilset.annotations.exchange import export_annotations, import_annotations
from veilset.annotations.formats.registry import FORMATS, Format
from veilset.annotations.formats.written import Exported
from veilset.annotations.index import FileIndex
from veilset.annotations.store import AnnotationSet
from veilset.dataset.folder import FolderReader
from veilset.errors import AnnotationError, ConfigError, ResumeMismatchError
from veilset.types import Annotations, ImageRecord, Region, Status

SIZES = {"a-b/1.png": (40, 30), "a/2.png": (40, 30), "c.png": (20, 20), "d.png": (20, 20)}
BOX = (1.0, 2.0, 11.0, 12.0)

every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))
without_photographs = pytest.mark.parametrize(
    "form", [form for form in FORMATS.values() if not form.is_relative], ids=lambda form: form.name
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name, (width, height) in SIZES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(np.zeros((height, width, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def known_set(photos: Path, tmp_path: Path) -> Path:
    """A set with a face, nothing found, and an image that nobody looked at."""
    return imported(
        tmp_path / "set",
        FolderReader(photos),
        [("a/2.png", [BOX, (5.0, 5.0, 6.0, 9.0)]), ("c.png", []), ("a-b/1.png", [BOX])],
    )


def imported(
    out: Path, reader: FolderReader | None, found: list[tuple[str, list[tuple[float, ...]]]]
) -> Path:
    file = out.with_suffix(".json")
    file.write_text(json.dumps([entry(name, *boxes) for name, boxes in found]))
    import_annotations(file, reader, out, ImportConfig("ilsvrc"))
    return out


def entry(name: str, *boxes: tuple[float, ...]) -> dict[str, object]:
    sides = ("x0", "y0", "x1", "y1")
    return {"url": name, "bboxes": [dict(zip(sides, box, strict=True)) for box in boxes]}


def said(folder: Path) -> dict[str, tuple[Status, list[tuple[float, ...]], list[str]]]:
    return {
        row.image_id: (
            row.status,
            [tuple(map(round, region.box_xyxy)) for region in row.regions],
            [region.kind for region in row.regions],
        )
        for row in AnnotationSet(folder)
    }


@every_format
def test_a_set_comes_back(form: Format, known_set: Path, photos: Path, tmp_path: Path) -> None:
    file, again = tmp_path / "file", tmp_path / "again"
    counts = export_annotations(known_set, file, ExportConfig(form.name))
    assert file.is_dir() == form.is_folder
    n_left_out = 0 if form.name == "label-studio" else 1
    assert counts == Exported(4 - n_left_out, 3, n_left_out)
    summary = import_annotations(file, FolderReader(photos), again, ImportConfig(form.name))
    assert said(again) == said(known_set)
    assert said(again)["d.png"][0] is Status.NOT_LOOKED
    assert [row.image_id for row in AnnotationSet(again)] == [
        "a/2.png",
        "a-b/1.png",
        "c.png",
        "d.png",
    ]
    assert summary.counts == {"looked": 3, "not_looked": 1, "n_regions": 3, "with_regions": 2}
    assert all(row.sha256 for row in AnnotationSet(again) if row.status is Status.LOOKED)
    assert AnnotationSet(again).has_images


@without_photographs
def test_a_set_comes_back_without_photographs(
    form: Format, known_set: Path, tmp_path: Path
) -> None:
    file, again = tmp_path / "file", tmp_path / "again"
    export_annotations(known_set, file, ExportConfig(form.name))
    config = ImportConfig(form.name, shard_size=2)
    ticks: list[int] = []
    import_annotations(file, None, again, config, tick=lambda n, _: ticks.append(n))
    named = {name: row for name, row in said(known_set).items() if name != "d.png"}
    found = said(again)
    assert {name: row for name, row in found.items() if name != "d.png"} == named
    assert list(named) == ["a/2.png", "a-b/1.png", "c.png"], "the order of a data set"
    known = AnnotationSet(again)
    assert sum(ticks) == len(found)
    assert not any(row.sha256 or row.n_bytes for row in known)
    (face,) = known.find(ImageRecord("a-b/1.png")).regions
    assert face.box_xyxy == pytest.approx(BOX)
    has_sizes = form.name in ("coco", "cvat", "label-studio", "voc")
    assert known.find(ImageRecord("a/2.png")).width == (40 if has_sizes else 0)
    assert not known.has_images
    with pytest.raises(AnnotationError, match="imported without its photographs"):
        known.require_images()


@every_format
def test_only_the_kinds_asked_for_are_written(form: Format, photos: Path, tmp_path: Path) -> None:
    boxes = [
        ("a/2.png", 1, [1, 2, 10, 10]),
        ("a/2.png", 2, [5, 5, 8, 8]),
        ("c.png", 1, [0, 0, 9, 9]),
    ]
    names = sorted({name for name, _, _ in boxes})
    document = {
        "categories": [{"id": 1, "name": "nsfw"}, {"id": 2, "name": "face"}],
        "images": [{"id": index, "file_name": name} for index, name in enumerate(names)],
        "annotations": [
            {"id": index, "image_id": names.index(name), "category_id": kind, "bbox": box}
            for index, (name, kind, box) in enumerate(boxes)
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    import_annotations(
        tmp_path / "boxes.json", FolderReader(photos), tmp_path / "set", ImportConfig("coco")
    )
    config = ExportConfig(form.name, kinds=("face",), prefix="p/")
    assert export_annotations(tmp_path / "set", tmp_path / "file", config).n_regions == 1
    again = ImportConfig(form.name, prefix="images/p/" if form.name == "yolo" else "p/")
    import_annotations(tmp_path / "file", FolderReader(photos), tmp_path / "out", again)
    assert {name: row[1] for name, row in said(tmp_path / "out").items() if row[1]} == {
        "a/2.png": [(5, 5, 13, 13)]
    }


@every_format
def test_the_table_says_what_a_format_is(form: Format) -> None:
    assert form.title
    assert form.found_none
    assert form.loses
    known = {field.name for config in (ImportConfig, ExportConfig) for field in fields(config)}
    assert form.options <= known
    assert form.names_in_file("a/b.jpg")


@every_format
def test_an_empty_set_can_be_written(form: Format, tmp_path: Path) -> None:
    config = ExportConfig(form.name)
    assert form.write(tmp_path / "out", [], config, False) == Exported(0, 0, 0)
    if not form.is_folder:
        assert list(form.read(tmp_path / "out", ImportConfig(form.name))) == []


@pytest.mark.parametrize("name", ["coco", "label-studio"])
def test_a_number_that_json_cannot_hold_is_said(name: str, tmp_path: Path) -> None:
    region = Region(BOX, attributes={"age": float("nan")})
    rows = [Annotations("a.jpg", Status.LOOKED, (region,), 40, 30)]
    with pytest.raises(AnnotationError, match=r"'a\.jpg' has an attribute that is not finite"):
        FORMATS[name].write(tmp_path / "out", rows, ExportConfig(name), False)
    assert not list(tmp_path.iterdir())


def test_boxes_over_the_border_are_cut_and_counted(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    boxes = [(-3, 2, 11, 99), (50, 5, 60, 9), BOX, (0, 0, 40.001, 30)]
    file.write_text(json.dumps([entry("a/2.png", *boxes), entry("c.png", (-9, -9, -1, -1))]))
    summary = import_annotations(file, FolderReader(photos), tmp_path / "o", ImportConfig("ilsvrc"))
    assert summary.counts == {
        "looked": 2, "not_looked": 2, "n_regions": 3, "with_regions": 1,
        "n_clipped": 1, "n_outside": 2,
    }  # fmt: skip
    row = AnnotationSet(tmp_path / "o").find(ImageRecord("a/2.png"))
    assert [r.box_xyxy for r in row.regions] == [(0, 2, 11, 30), BOX, (0, 0, 40, 30)]


def test_images_with_as_many_faces_as_there_can_be_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_text(json.dumps([entry(f"{n}.jpg", *[BOX] * n) for n in (1, 99, 100, 101)]))
    summary = import_annotations(file, None, tmp_path / "out", ImportConfig("ilsvrc"))
    assert (summary.counts["n_at_cap"], summary.counts["n_regions"]) == (2, 301)


def test_what_needs_photographs_or_names_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"yolo are fractions .* photographs too"):
        import_annotations(tmp_path, None, tmp_path / "out", ImportConfig("yolo"))
    file = tmp_path / "file.json"
    file.write_text("[]")
    with pytest.raises(AnnotationError, match="names no image"):
        import_annotations(file, None, tmp_path / "out", ImportConfig("ilsvrc"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (ImportConfig("cvat", image_key="img"), "cvat has no image_key"),
        (ImportConfig("coco", several="all"), "coco has no several"),
        (ImportConfig("wider", kinds={"a": "b"}), r"wider does not say what a box shows, .*\(a\)"),
        (ImportConfig("ilsvrcc"), "Did you mean 'ilsvrc'"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(
    config: ImportConfig, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        import_annotations(tmp_path, None, tmp_path / "out", config)
    with pytest.raises(ConfigError, match="voc has no image_url"):
        export_annotations(tmp_path, tmp_path / "x", ExportConfig("voc", image_url="x"))


def test_two_files_about_one_image_are_refused(photos: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    for name in ("c.xml", "other.xml"):
        labels.mkdir(exist_ok=True)
        stem = "c.png" if name == "c.xml" else "c"
        (labels / name).write_text(f"<annotation><filename>{stem}</filename></annotation>")
    with pytest.raises(AnnotationError, match=r"'c\.png' twice, as 'c\.png' and as 'c'"):
        import_annotations(labels, FolderReader(photos), tmp_path / "out", ImportConfig("voc"))


@pytest.mark.parametrize(
    ("given", "dataset"),
    [("", ""), ("", "images"), ("", "images/train"), ("labels", ""), ("labels", "images")],
)
def test_labels_of_yolo_find_their_images(tmp_path: Path, given: str, dataset: str) -> None:
    root = tmp_path / "root"
    for kind in ("images", "labels"):
        (root / kind / "train").mkdir(parents=True)
    PillowImage.fromarray(np.zeros((8, 4, 3), np.uint8)).save(root / "images/train/a.png")
    (root / "labels/train/a.txt").write_text("0 0.5 0.25 0.5 0.5")
    prefix = "images/train/" if dataset == "images/train" else ""
    out, reader = tmp_path / "out", FolderReader(root / dataset)
    import_annotations(root / given, reader, out, ImportConfig("yolo", prefix=prefix))
    (row,) = AnnotationSet(out)
    assert [region.box_xyxy for region in row.regions] == [(1, 0, 3, 4)]


def test_another_folder_is_another_input(photos: Path, tmp_path: Path) -> None:
    labels, out = tmp_path / "labels", tmp_path / "out"
    labels.mkdir()
    (labels / "c.txt").write_text("0 0.5 0.5 1 1")
    config = ImportConfig("yolo", kinds={"0": "face"})
    first = import_annotations(labels, FolderReader(photos), out, config)
    assert first.counts["n_regions"] == 1
    assert said(out)["c.png"] == (Status.LOOKED, [(0, 0, 20, 20)], ["face"])
    (labels / "d.txt").write_text("")
    with pytest.raises(ResumeMismatchError, match="file_sha256 changed"):
        import_annotations(labels, FolderReader(photos), out, config)


def test_everything_about_a_row_waits_on_disk(tmp_path: Path) -> None:
    region = Region(BOX, "nsfw", 0.25, landmarks_xy=((1.5, 2.0),), attributes={"a": True})
    rows = [
        Annotations("b", Status.LOOKED, (region,), 9, 8),
        Annotations("a/x", Status.COULD_NOT_LOOK, reason="truncated", message="cut off"),
        Annotations("a", Status.NOT_LOOKED),
        Annotations("c", Status.LOOKED),
    ]
    index = FileIndex.build(tmp_path, rows, lambda name: (name,))
    (shard,) = index.shards(9)
    assert index.rows(shard) == sorted(rows, key=lambda row: ImageRecord(row.image_id).order_key)
    assert [index.find(ImageRecord(row.image_id)) for row in rows] == rows
    assert index.find(ImageRecord("z")) == replace(rows[2], image_id="z")
    index.close()
