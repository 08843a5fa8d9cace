# SPDX-License-Identifier: Apache-2.0
"""A file becomes an annotation set of the data set, and a set becomes a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as PillowImage

from veilset.annotations.config import ExportConfig, ImportConfig
from veilset.annotations.exchange import export_annotations, import_annotations
from veilset.annotations.formats.cvat import write_cvat
from veilset.annotations.formats.label_studio import read_label_studio, write_label_studio
from veilset.annotations.store import AnnotationSet
from veilset.dataset.folder import FolderReader
from veilset.errors import AnnotationError, ConfigError, ResumeMismatchError, RunError
from veilset.files import sha256_file
from veilset.protocols import ShardReport
from veilset.runs import Run
from veilset.types import Annotations, ImageRecord, Origin, Region, Status

CVAT = ImportConfig("cvat")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images; the order of the data set is not that of the names as texts."""
    folder = tmp_path / "photos"
    for name, size in {
        "a/1.png": (40, 30),
        "a-b/2.png": (40, 30),
        "b.png": (20, 20),
        "c.png": (20, 20),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(folder / name)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    return folder


def looked(name: str, size: tuple[int, int], *regions: Region) -> Annotations:
    return Annotations(name, Status.LOOKED, regions, *size)


FACE = Region((1, 2, 11, 12), origin=Origin.REVIEWED, attributes={"pose": "side"})


def test_a_set_in_the_order_of_the_data_set(photos: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "file.xml", tmp_path / "out"
    rows = [
        looked("c.png", (20, 20)),
        looked("gone/x.png", (9, 9), FACE),
        looked("broken.png", (9, 9), FACE),
        looked("a-b/2.png", (40, 30), FACE),
        looked("a/1.png", (40, 30), FACE, FACE),
    ]
    write_cvat(file, rows)
    ticks: list[tuple[int, int]] = []
    config = replace(CVAT, shard_size=2)
    summary = import_annotations(
        file, FolderReader(photos), out, config, tick=lambda n, m: ticks.append((n, m))
    )
    found = list(AnnotationSet(out))
    assert [row.image_id for row in found] == [
        record.image_id for shard in FolderReader(photos).shards() for record in shard.records
    ]
    by_name = {row.image_id: row for row in found}
    assert by_name["a/1.png"].regions == (FACE, FACE)
    assert by_name["a/1.png"].sha256 == sha256_file(photos / "a/1.png")
    assert by_name["a/1.png"].n_bytes == (photos / "a/1.png").stat().st_size
    assert (by_name["c.png"].status, by_name["c.png"].regions) == (Status.LOOKED, ())
    assert by_name["b.png"].status is Status.NOT_LOOKED
    assert by_name["broken.png"].status is Status.COULD_NOT_LOOK
    assert by_name["broken.png"].regions == ()
    assert summary.counts == {
        "looked": 3,
        "not_looked": 1,
        "could_not_look": 1,
        "n_regions": 3,
        "with_regions": 2,
    }
    assert summary.extra == {"n_not_in_dataset": 1, "not_in_dataset": ["gone/x.png"]}
    assert sum(n for n, _ in ticks) == 5
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]
    assert AnnotationSet(out).find(ImageRecord("a-b/2.png")).regions == (FACE,)


def test_boxes_of_another_picture_are_not_used(photos: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "file.xml", tmp_path / "out"
    write_cvat(file, [looked("a/1.png", (30, 40), FACE), looked("b.png", (99, 99), FACE)])
    import_annotations(file, FolderReader(photos), out, CVAT)
    by_name = {row.image_id: row for row in AnnotationSet(out)}
    turned, other = by_name["a/1.png"], by_name["b.png"]
    assert turned.status is other.status is Status.COULD_NOT_LOOK
    assert turned.reason == other.reason == "changed"
    assert "not turned upright" in turned.message
    assert "99 x 99 px, the image has 20 x 20. Annotate" in other.message


def test_an_image_that_the_camera_turned_is_upright_in_both(photos: Path, tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    picture = PillowImage.fromarray(np.zeros((30, 40, 3), np.uint8))
    picture.save(photos / "turned.jpg", exif=exif)
    file, out = tmp_path / "file.xml", tmp_path / "out"
    write_cvat(file, [looked("turned.jpg", (30, 40), FACE)])
    import_annotations(file, FolderReader(photos), out, CVAT)
    row = AnnotationSet(out).find(ImageRecord("turned.jpg"))
    assert (row.status, row.width, row.height) == (Status.LOOKED, 30, 40)


@pytest.mark.parametrize("format_name", ["cvat", "label-studio"])
def test_there_and_back(photos: Path, tmp_path: Path, format_name: str) -> None:
    file, out, again = tmp_path / "file", tmp_path / "out", tmp_path / "again"
    write_cvat(file, [looked("a/1.png", (40, 30), FACE), looked("c.png", (20, 20))])
    import_annotations(file, FolderReader(photos), out, CVAT)
    counts = export_annotations(
        out, tmp_path / "other", ExportConfig(format_name, labels={"face": "Face"})
    )
    assert counts.n_regions == 1
    config = ImportConfig(format_name, kinds={"Face": "face"})
    import_annotations(tmp_path / "other", FolderReader(photos), again, config)
    before, after = list(AnnotationSet(out)), list(AnnotationSet(again))
    assert [row.image_id for row in before] == [row.image_id for row in after]
    assert [row.status for row in before] == [row.status for row in after]
    for old, new in zip(before, after, strict=True):
        assert [region.box_xyxy for region in new.regions] == [
            pytest.approx(region.box_xyxy) for region in old.regions
        ]
        assert [replace(r, box_xyxy=(0, 0, 0, 0)) for r in new.regions] == [
            replace(r, box_xyxy=(0, 0, 0, 0)) for r in old.regions
        ]


def test_a_set_of_a_detector_becomes_predictions(photos: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "file", tmp_path / "out"
    write_cvat(file, [looked("a/1.png", (40, 30), replace(FACE, origin=Origin.DETECTED))])
    import_annotations(file, FolderReader(photos), out, CVAT)
    tasks, boxes = tmp_path / "tasks.json", tmp_path / "boxes.xml"
    export_annotations(out, tasks, ExportConfig("label-studio", image_url="https://host/photos/"))
    rows = {row.image_id: row for row in read_label_studio(tasks, prefix="photos/")}
    assert rows["a/1.png"].regions[0].origin is Origin.DETECTED
    assert rows["b.png"].status is Status.NOT_LOOKED
    export_annotations(out, boxes, ExportConfig("cvat"))
    assert len(list(ElementTree.parse(boxes).getroot().iter("image"))) == 1


def test_percentages_are_cut_to_the_image(photos: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "file", tmp_path / "out"
    write_label_studio(file, [looked("a/1.png", (40, 30), Region((-5, -5, 400, 3)))])
    import_annotations(file, FolderReader(photos), out, ImportConfig("label-studio"))
    (region,) = AnnotationSet(out).find(ImageRecord("a/1.png")).regions
    assert region.box_xyxy == pytest.approx((0, 0, 40, 3))


def test_names_that_do_not_fit_are_said_and_a_prefix_helps(photos: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "file.xml", tmp_path / "out"
    write_cvat(file, [looked("data/photos/b.png", (20, 20), FACE)])
    with pytest.raises(AnnotationError, match=r"says 'data/photos/b\.png', where .* prefix"):
        import_annotations(file, FolderReader(photos), out, CVAT)
    assert not out.exists(), "nothing is left behind"
    import_annotations(file, FolderReader(photos), out, replace(CVAT, prefix="data/photos/"))
    assert AnnotationSet(out).find(ImageRecord("b.png")).regions == (FACE,)


def test_a_name_that_stands_twice_is_refused(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.xml"
    write_cvat(file, [looked("b.png", (20, 20)), looked("./b.png", (20, 20), FACE)])
    with pytest.raises(AnnotationError, match=r"'b\.png' is named a second time; .* number 1"):
        import_annotations(file, FolderReader(photos), tmp_path / "out", CVAT)


def test_it_goes_on_where_it_was_stopped(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = tmp_path / "file.xml", tmp_path / "out"
    write_cvat(file, [looked("c.png", (20, 20), FACE), looked("zz.png", (1, 1))])
    config = replace(CVAT, shard_size=2)
    commit = Run.commit

    def stop_at_the_second(run: Run, report: ShardReport) -> None:
        if report.index == 1:
            raise KeyboardInterrupt
        commit(run, report)

    monkeypatch.setattr(Run, "commit", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        import_annotations(file, FolderReader(photos), out, config)
    monkeypatch.setattr(Run, "commit", commit)
    summary = import_annotations(file, FolderReader(photos), out, config)
    assert summary.counts["looked"] == 1
    assert summary.extra["n_not_in_dataset"] == 1
    assert AnnotationSet(out).find(ImageRecord("c.png")).regions == (FACE,)
    write_cvat(file, [looked("c.png", (20, 20))])
    with pytest.raises(ResumeMismatchError, match="file_sha256"):
        import_annotations(file, FolderReader(photos), out, config)


def test_what_cannot_be_done_is_said(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.xml"
    write_cvat(file, [looked("b.png", (20, 20))])
    with pytest.raises(ConfigError, match=r"Known: coco, cvat, .* mean 'yolo'"):
        import_annotations(file, FolderReader(photos), tmp_path / "out", ImportConfig("yollo"))
    with pytest.raises(RunError, match="not empty"):
        import_annotations(file, FolderReader(photos), photos, CVAT)
    out = tmp_path / "out"
    import_annotations(file, FolderReader(photos), out, CVAT)
    with pytest.raises(ConfigError, match="No format is named ''"):
        export_annotations(out, tmp_path / "x", ExportConfig(""))
    with pytest.raises(AnnotationError, match="holds no run"):
        export_annotations(tmp_path / "none", tmp_path / "x", ExportConfig("cvat"))
