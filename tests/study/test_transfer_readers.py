# SPDX-License-Identifier: Apache-2.0
"""SUN397, CelebA and VOC: what is read, and each file that may be missing or damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.study.drawn_transfer import SUN_CLASSES, draw_celeba, draw_sun, draw_voc
from veilset.errors import AnnotationError, DatasetError
from veilset.study.transfer.data.celeba import CelebA, read_celeba
from veilset.study.transfer.data.sun397 import read_sun397
from veilset.study.transfer.data.voc import CATEGORIES, read_voc_detection


def test_sun(tmp_path: Path) -> None:
    found = read_sun397(draw_sun(tmp_path / "sun"), sample=True)
    assert found.train.classes == found.test.classes == SUN_CLASSES
    assert found.train.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    assert found.test.image_ids[3] == "a/apartment_building/outdoor/sun_0005.jpg"


def _replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    def damage(root: Path) -> object:
        path = root / name
        text = path.read_text()
        assert old in text
        return path.write_text(text.replace(old, new, 1))

    return damage


def _without(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).unlink()


TRAINING, TESTING = "Partitions/Training_01.txt", "Partitions/Testing_01.txt"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("ClassName.txt"), r"SUN397: .*ClassName\.txt is missing"),
        (_without(TRAINING), r"Training_01\.txt is missing"),
        (_without(TESTING), r"Testing_01\.txt is missing"),
        (_without("a/abbey/sun_0002.jpg"), "1 of 20 pictures are missing.*a/abbey/sun_0002.jpg"),
        (_without("z/zen_garden/sun_0006.jpg"), "1 of 12 pictures are missing"),
        (_replace("ClassName.txt", "/a/abbey\n", ""), r"line 1: the class 'a/abbey' is not in"),
        (_replace("ClassName.txt", "/z/zen_garden", "/a/abbey"), "names a class twice"),
        (_replace(TRAINING, "sun_0001", "sun_0000"), "names a picture twice"),
        (_replace(TESTING, "sun_0005", "sun_0001"), "in training and in testing, the first 'a/abb"),
        (lambda root: (root / TESTING).write_text("\n"), "Testing_01.txt holds no line"),
        (lambda root: (root / TESTING).write_bytes(b"\xff\xfe\xfa"), "cannot be read as text"),
        (lambda root: (root / TESTING).write_text("/a/abbey/sun_0005.jpg\n"), "outdoor': 0 inst"),
    ],
)
def test_sun_damaged(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    root = draw_sun(tmp_path / "sun")
    damage(root)
    with pytest.raises(DatasetError, match=message):
        read_sun397(root, sample=True)


def test_sun_of_another_number_only_as_a_sample(tmp_path: Path) -> None:
    root = draw_sun(tmp_path / "sun")
    with pytest.raises(DatasetError, match="classes: 4 instead of 397"):
        read_sun397(root)
    with pytest.raises(DatasetError, match=r"Training_02\.txt is missing"):
        read_sun397(root, partition=2, sample=True)


def test_celeba(tmp_path: Path) -> None:
    found = read_celeba(draw_celeba(tmp_path / "celeba"), sample=True)
    assert found.test.image_ids == tuple(f"{n:06d}.jpg" for n in range(1, 25, 3))
    assert found.train.classes == tuple(f"Attribute_{n}" for n in range(5))
    numbers = np.array([int(name[:6]) - 1 for name in found.train.image_ids])
    expected = np.stack([numbers % 2 == 0, numbers % 3 == 0, numbers % 4 == 0], axis=1)
    assert np.array_equal(found.train.labels[:, :3], expected)
    assert not found.test.labels[:, 4].any()


def test_celeba_chooses_the_same_part_each_time(tmp_path: Path) -> None:
    root = draw_celeba(tmp_path / "celeba")
    found, again = (read_celeba(root, n_train=9, sample=True) for _ in range(2))
    whole = read_celeba(root, sample=True)
    assert found.train.image_ids == again.train.image_ids
    assert len(found.train.image_ids) == 9
    assert found.train.image_ids != whole.train.image_ids[:9]
    marks = dict(zip(whole.train.image_ids, whole.train.labels.tolist(), strict=True))
    assert [marks[name] for name in found.train.image_ids] == found.train.labels.tolist()
    assert found.test.image_ids == whole.test.image_ids


def test_celeba_as_it_was_packed_by_its_authors(tmp_path: Path) -> None:
    root = draw_celeba(tmp_path / "celeba")
    flat = read_celeba(root, sample=True)
    for folder, name in (
        ("Img", "img_align_celeba"),
        ("Anno", "list_attr_celeba.txt"),
        ("Eval", "list_eval_partition.txt"),
    ):
        (root / folder).mkdir()
        (root / name).rename(root / folder / name)
    packed: CelebA = read_celeba(root, sample=True)
    assert packed.train.image_ids == flat.train.image_ids
    assert (packed.folder / packed.train.image_ids[0]).is_file()


ATTRIBUTES, PARTS = "list_attr_celeba.txt", "list_eval_partition.txt"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without(ATTRIBUTES), r"CelebA: .*list_attr_celeba\.txt is missing"),
        (_without(PARTS), r"list_eval_partition\.txt is missing"),
        (
            lambda root: (root / "img_align_celeba").rename(root / "pictures"),
            "img_align_celeba is missing",
        ),
        (_without("img_align_celeba/000003.jpg"), "1 of 24 pictures are missing.*000003"),
        (_replace(ATTRIBUTES, "24\n", "25\n"), "pictures: 24 instead of 25"),
        (_replace(ATTRIBUTES, "24\n", ""), "does not begin with the number"),
        (_replace(ATTRIBUTES, "000002.jpg -1", "000002.jpg 2"), "line 4: expected a new picture"),
        (_replace(ATTRIBUTES, "000002.jpg -1", "000002.jpg"), "line 4: .* 5 times"),
        (_replace(ATTRIBUTES, "000002.jpg", "000001.jpg"), "line 4: expected a new picture"),
        (_replace(ATTRIBUTES, "000002.jpg", "x.jpg"), r"only in list_eval_partition\.txt"),
        (_replace(PARTS, "000002.jpg 0\n", ""), r"only in list_attr_celeba\.txt"),
        (_replace(PARTS, "000002.jpg 0", "000002.jpg 3"), "line 2: expected .* 0, 1 or 2"),
        (_replace(PARTS, "000002.jpg 0", "000002.jpg"), "line 2"),
    ],
)
def test_celeba_damaged(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    root = draw_celeba(tmp_path / "celeba")
    damage(root)
    with pytest.raises(DatasetError, match=message):
        read_celeba(root, sample=True)


def test_celeba_of_another_number_only_as_a_sample(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="attributes: 5 instead of 40"):
        read_celeba(draw_celeba(tmp_path / "celeba"))


def test_celeba_needs_both_parts(tmp_path: Path) -> None:
    root = draw_celeba(tmp_path / "celeba")
    text = (root / PARTS).read_text()
    (root / PARTS).write_text(text.replace(" 2\n", " 1\n"))
    with pytest.raises(DatasetError, match="16 pictures to train on and 0 to test with"):
        read_celeba(root, sample=True)


def test_voc(tmp_path: Path) -> None:
    found = read_voc_detection(draw_voc(tmp_path / "VOCdevkit"), sample=True)
    assert [scene.image_id for scene in found.train] == [
        "VOC2007/JPEGImages/000000.jpg",
        "VOC2007/JPEGImages/000001.jpg",
        "VOC2012/JPEGImages/000100.jpg",
        "VOC2012/JPEGImages/000101.jpg",
    ]
    scene = found.train[1]
    assert scene.size_wh == (96, 80)
    # 10 to 40 with both ends counted from 1 is 9 to 40, and the head of a person is no object.
    assert scene.boxes_xyxy.tolist() == [[9, 9, 40, 60], [59, 39, 90, 80]]
    assert [CATEGORIES[category] for category in scene.categories] == ["person", "dog"]
    assert scene.difficult.tolist() == [False, True]
    assert read_voc_detection(tmp_path, sample=True).folder == found.folder


FIRST = "VOC2007/Annotations/000000.xml"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("VOC2007/ImageSets/Main/trainval.txt"), r"2007/.*/trainval\.txt is missing"),
        (_without("VOC2007/ImageSets/Main/test.txt"), r"2007/.*/test\.txt is missing"),
        (_without("VOC2012/ImageSets/Main/trainval.txt"), r"2012/.*/trainval\.txt is missing"),
        (_without("VOC2012/Annotations/000101.xml"), r"000101\.xml is missing"),
        (_without("VOC2012/JPEGImages/000101.jpg"), "1 of 2 pictures are missing"),
        (_replace(FIRST, "<name>dog", "<name>unicorn"), "holds a 'unicorn', none of the 20"),
        (_replace(FIRST, "<width>96", "<width>0"), "width"),
        (_replace(FIRST, "</size>", ""), "000000.xml"),
        (_replace(FIRST, "<xmin>60", "<xmin>95"), "turned inside out"),
        (_replace(FIRST, "<width>96", "<width>30"), "no area inside the picture"),
        (_replace("VOC2007/ImageSets/Main/test.txt", "000003", "000002"), "a picture twice"),
        (_replace("VOC2007/ImageSets/Main/test.txt", "000003", "000001"), "trainval and in test"),
    ],
)
def test_voc_damaged(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    root = draw_voc(tmp_path / "VOCdevkit")
    damage(root)
    with pytest.raises((DatasetError, AnnotationError), match=message):
        read_voc_detection(root, sample=True)


def test_voc_of_another_number_only_as_a_sample(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="pictures: 2 instead of 5011"):
        read_voc_detection(draw_voc(tmp_path / "VOCdevkit"))
