# SPDX-License-Identifier: Apache-2.0
"""The images of a study: the same in every setting, in the order of torchvision's ImageFolder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from tests.study.drawn_pictures import annotate
from tests.study.drawn_study import draw_study
from veilset.errors import AnnotationError, DatasetError, VeilsetError
from veilset.study.checks import annotated
from veilset.study.lists import find_images, read_list, write_list
from veilset.study.opening import open_study
from veilset.study.yaml_file import read_study


@pytest.fixture
def yaml_file(tmp_path: Path) -> Path:
    return draw_study(tmp_path)


def test_images_come_as_in_image_folder(yaml_file: Path) -> None:
    for root in ("photos", "released"):
        folder = yaml_file.parent / root / "train" / "cat"
        (folder / ".hidden.png").write_bytes(b"")
        (folder / "notes.txt").write_bytes(b"")
        for inner in ("1", "1-b", "1/x"):
            (folder / inner).mkdir()
            shutil.copy(folder / "0.png", folder / inner / "1.png")
    found = find_images(read_study(yaml_file))
    for split, images in found.lists.items():
        reference = ImageFolder(str(yaml_file.parent / "photos" / split))
        names = [f"{split}/{Path(path).relative_to(reference.root)}" for path, _ in reference.imgs
                 if not Path(path).name.startswith(".")]  # fmt: skip
        assert list(images.image_ids) == names
        assert list(images.classes) == reference.classes
        assert images.labels.tolist() == [int("dog" in name) for name in names]


def test_a_folder_deeper_than_the_stack_of_python(
    yaml_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = (yaml_file.parent / "photos/train/cat/0.png").read_bytes()
    before = find_images(read_study(yaml_file)).lists["train"].image_ids
    for root in ("photos", "released"):
        monkeypatch.chdir(yaml_file.parent / root / "train/cat")
        for _ in range(1010):
            Path("d").mkdir()
            os.chdir("d")
        Path("0.png").write_bytes(photo)
    try:
        found = find_images(read_study(yaml_file)).lists["train"].image_ids
    finally:
        # What cleans up after the tests calls itself for each folder, too.
        for root in ("photos", "released"):
            os.chdir(yaml_file.parent / root / "train/cat" / ("d/" * 1010))
            Path("0.png").unlink()
            for _ in range(1010):
                os.chdir("..")
                Path("d").rmdir()
    assert set(found) - set(before) == {"train/cat/" + "d/" * 1010 + "0.png"}


def test_a_list_is_written_and_read(yaml_file: Path, tmp_path: Path) -> None:
    images = find_images(read_study(yaml_file)).lists["val"]
    write_list(tmp_path / "lists" / "val.parquet", images)
    again = read_list(tmp_path / "lists" / "val.parquet", images.classes)
    assert again.sha256 == images.sha256
    assert again.image_ids == images.image_ids


def test_classes_that_differ_are_refused(yaml_file: Path) -> None:
    (yaml_file.parent / "photos" / "train" / "emu").mkdir()
    with pytest.raises(DatasetError, match="hold different classes: 'emu' is only in original/tra"):
        find_images(read_study(yaml_file))


def test_an_image_that_was_not_obfuscated_is_named(yaml_file: Path) -> None:
    (yaml_file.parent / "released" / "val" / "cat" / "3.png").unlink()
    (yaml_file.parent / "released" / "val" / "cat" / "4.png").unlink()
    complaint = "released/val misses 2 images that original has, the first 'val/cat/3.png'"
    with pytest.raises(DatasetError, match=complaint):
        find_images(read_study(yaml_file))


def test_an_image_without_original_is_named(yaml_file: Path) -> None:
    (yaml_file.parent / "photos" / "train" / "dog" / "0.png").unlink()
    complaint = "original/train misses 1 image that released has, the first 'train/dog/0.png'"
    with pytest.raises(DatasetError, match=complaint):
        find_images(read_study(yaml_file))


def test_shared_images_are_counted(yaml_file: Path) -> None:
    (yaml_file.parent / "released" / "val" / "cat" / "3.png").unlink()
    (yaml_file.parent / "photos" / "train" / "dog" / "1.png").unlink()
    text = yaml_file.read_text().replace("faces}", "faces, images: shared}")
    yaml_file.write_text(text)
    study = open_study(read_study(yaml_file))
    assert study.plan.left_out == ("train/dog/1.png", "val/cat/3.png")
    assert "val/cat/3.png" not in study.lists["val"].image_ids
    assert json.loads(study.paths.plan.read_bytes())["left_out"] == list(study.plan.left_out)


@pytest.mark.parametrize("images", ["same", "shared"])
def test_a_class_without_images_is_refused(yaml_file: Path, images: str) -> None:
    folders = [yaml_file.parent / root / "val" / "dog" for root in ("photos", "released")]
    for folder in folders if images == "same" else folders[:1]:
        shutil.rmtree(folder)
        folder.mkdir()
    yaml_file.write_text(yaml_file.read_text().replace("faces}", f"faces, images: {images}}}"))
    with pytest.raises(DatasetError, match="no image of the class 'dog'"):
        find_images(read_study(yaml_file))


def test_a_missing_folder_is_named(yaml_file: Path) -> None:
    shutil.rmtree(yaml_file.parent / "released" / "val")
    with pytest.raises(DatasetError, match="The setting 'released' cannot be read"):
        find_images(read_study(yaml_file))


def test_classes_can_be_chosen_and_ordered(yaml_file: Path) -> None:
    chosen = yaml_file.parent / "classes.json"
    chosen.write_text('["dog", "cat"]')
    yaml_file.write_text(yaml_file.read_text().replace("faces}", "faces, classes: classes.json}"))
    images = find_images(read_study(yaml_file)).lists["train"]
    assert images.classes == ("dog", "cat")
    assert images.labels.tolist() == [0] * 5 + [1] * 5
    chosen.write_text('["dog", "emu"]')
    with pytest.raises(DatasetError, match="names the class 'emu'"):
        find_images(read_study(yaml_file))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{", "[1, 2]", '["cat"]', '["cat", "cat"]', "\xff"]
)
def test_an_odd_list_of_classes_is_refused(yaml_file: Path, text: str) -> None:
    (yaml_file.parent / "classes.json").write_text(text, encoding="latin-1")
    yaml_file.write_text(yaml_file.read_text().replace("faces}", "faces, classes: classes.json}"))
    with pytest.raises(DatasetError, match=r"classes\.json is (not valid JSON|no list of two)"):
        find_images(read_study(yaml_file))


def test_an_original_among_the_obfuscated_is_refused(yaml_file: Path) -> None:
    folder = yaml_file.parent
    shutil.copy(folder / "photos/val/cat/2.png", folder / "released/val/cat/2.png")
    with pytest.raises(DatasetError, match=r"released/val/cat/2.png has 1 region to hide and is b"):
        open_study(read_study(yaml_file))
    # Without a face, the released file may well be the original.
    shutil.copy(folder / "released/val/cat/4.png", folder / "released/val/cat/2.png")
    shutil.copy(folder / "photos/val/cat/1.png", folder / "released/val/cat/1.png")
    open_study(read_study(yaml_file))


@pytest.mark.parametrize("split", ["val", "train"])
def test_annotations_may_be_of_one_split(yaml_file: Path, split: str) -> None:
    folder = yaml_file.parent
    annotate(folder / "photos" / split, folder / "of-split")
    yaml_file.write_text(yaml_file.read_text().replace("faces}", "of-split}"))
    config = read_study(yaml_file)
    lists = open_study(config).lists
    found = [(image_id, len(row.regions)) for image_id, row in annotated(config, lists)]
    assert found == [(name, int(name[-5]) % 2 == 0) for name in lists[split].image_ids]
    shutil.copy(folder / f"photos/{split}/dog/0.png", folder / f"released/{split}/dog/0.png")
    with pytest.raises(DatasetError, match=f"released/{split}/dog/0.png has 1 region to hide"):
        open_study(config)


def test_annotations_of_either_split_are_refused(yaml_file: Path) -> None:
    folder = yaml_file.parent
    shutil.copy(folder / "photos/train/cat/0.png", folder / "photos/val/cat/0.png")
    annotate(folder / "photos" / "val", folder / "of-split")
    yaml_file.write_text(yaml_file.read_text().replace("faces}", "of-split}"))
    with pytest.raises(AnnotationError, match=r"has 'train/cat/0.png' and 'val/cat/0.png': which"):
        open_study(read_study(yaml_file))


def test_annotations_of_other_images_are_refused(yaml_file: Path) -> None:
    for root in ("photos", "released"):
        for split in ("train", "val"):
            (yaml_file.parent / root / split).rename(yaml_file.parent / root / f"{split}2")
    text = yaml_file.read_text().replace("faces}", "faces, train: train2, val: val2}")
    yaml_file.write_text(text)
    with pytest.raises(AnnotationError, match="knows none of the images of the study"):
        open_study(read_study(yaml_file))


def test_a_file_that_is_not_there_any_more_is_named(yaml_file: Path) -> None:
    (yaml_file.parent / "released" / "val" / "cat" / "5.png").symlink_to("nowhere")
    with pytest.raises(DatasetError, match=r"'released' cannot be read: .*5\.png \(No such file"):
        find_images(read_study(yaml_file))


def test_a_name_that_is_no_text_is_shown(yaml_file: Path) -> None:
    for root in ("photos", "released"):
        name = bytes(yaml_file.parent / root / "val" / "cat") + b"/caf\xe9.png"
        shutil.copy(yaml_file.parent / root / "val" / "cat" / "0.png", os.fsdecode(name))
    with pytest.raises(DatasetError, match=r"The name caf\\xe9\.png in val/cat is no UTF-8"):
        find_images(read_study(yaml_file))


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        ("{method: mosiac}", "No obfuscator is named 'mosiac'.*Did you mean 'mosaic'"),
        ("{method: mosaic, set: {cell: 3}}", "has no parameter 'cell'"),
    ],
)
def test_a_method_is_tried_before_training(yaml_file: Path, method: str, complaint: str) -> None:
    yaml_file.write_text(yaml_file.read_text().replace("{root: released}", method))
    with pytest.raises(VeilsetError, match=complaint):
        open_study(read_study(yaml_file))


def test_a_missing_layer_is_named(yaml_file: Path) -> None:
    yaml_file.write_text(yaml_file.read_text().replace("{root: released}", "{layer: no.arrow}"))
    with pytest.raises(DatasetError, match=r"There is no redaction layer .*no.arrow"):
        open_study(read_study(yaml_file))
