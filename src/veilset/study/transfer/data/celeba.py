# SPDX-License-Identifier: Apache-2.0
"""CelebA: faces of known people with 40 attributes each (Liu et al., 2015).

``list_attr_celeba.txt``: the number of pictures, the names of the attributes, then a line
for each picture with 1 or -1 for each attribute. ``list_eval_partition.txt``: each picture
with 0 (train), 1 (validation) or 2 (test). Pictures lie in ``img_align_celeba``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veilset.errors import DatasetError
from veilset.seeds import derive
from veilset.study.lists import ImageList
from veilset.study.transfer.data.text_files import (
    check_count,
    check_pictures,
    find_file,
    read_lines,
)

N_ATTRIBUTES = 40
N_PICTURES = 202_599
TRAIN, TEST = "0", "2"


@dataclass(frozen=True, slots=True)
class CelebA:
    """The chosen part of the data set.

    Attributes:
        folder: What holds the pictures.
        train: Names below it; ``classes`` are the attributes, ``labels`` is ``(n, 40)``, 1
            where a picture has an attribute and 0 where not.
        test: The same of the test partition.
    """

    folder: Path
    train: ImageList
    test: ImageList


def read_celeba(root: Path, *, n_train: int = 5000, sample: bool = False) -> CelebA:
    """Read CelebA, and choose what to train on.

    The choice depends on the names of the training partition and on ``n_train`` alone: it
    is the same for every network, setting and seed.

    Args:
        root: The folder of the data set.
        n_train: How many pictures of the training partition to take; 5,000 in the paper.
        sample: Whether other numbers of pictures and attributes than the official are
            allowed; then all of a training partition smaller than ``n_train`` is taken.

    Raises:
        DatasetError: If a file is missing or does not fit; the message names it.
    """
    folder = find_file(root, ("img_align_celeba", "Img/img_align_celeba"), "CelebA")
    attributes, marks = _attributes(root, sample=sample)
    parts = _parts(root)
    if parts.keys() != marks.keys():
        name = min(parts.keys() ^ marks.keys())
        where = "list_eval_partition.txt" if name in parts else "list_attr_celeba.txt"
        raise DatasetError(
            f"CelebA: {name!r} is only in {where}. Take both files from one download."
        )
    train = sorted(name for name, part in parts.items() if part == TRAIN)
    test = sorted(name for name, part in parts.items() if part == TEST)
    if not test or (len(train) < n_train and not sample) or not train:
        raise DatasetError(
            f"CelebA: the partition holds {len(train)} pictures to train on and {len(test)} to "
            f"test with; {n_train} and at least 1 are wanted. Download it again."
        )
    if len(train) > n_train:
        generator = np.random.Generator(np.random.PCG64(derive(0, "celeba")))
        chosen = np.sort(generator.choice(len(train), size=n_train, replace=False))
        train = [train[position] for position in chosen]
    check_pictures(folder, (*train, *test), "CelebA")
    return CelebA(folder, _listed(train, marks, attributes), _listed(test, marks, attributes))


def _listed(
    names: list[str], marks: Mapping[str, NDArray[np.int64]], attributes: tuple[str, ...]
) -> ImageList:
    return ImageList(tuple(names), np.stack([marks[name] for name in names]), attributes)


def _attributes(
    root: Path, *, sample: bool
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    path = find_file(root, ("list_attr_celeba.txt", "Anno/list_attr_celeba.txt"), "CelebA")
    lines = read_lines(path)
    if len(lines) < 3 or not lines[0].isdecimal():
        raise DatasetError(f"{path} does not begin with the number of pictures. Download it again.")
    attributes = tuple(lines[1].split())
    check_count(len(attributes), N_ATTRIBUTES, f"CelebA, {path}: attributes", sample=sample)
    marks: dict[str, NDArray[np.int64]] = {}
    for number, line in enumerate(lines[2:], 3):
        name, *values = line.split()
        if len(values) != len(attributes) or not set(values) <= {"1", "-1"} or name in marks:
            raise DatasetError(
                f"{path}, line {number}: expected a new picture and {len(attributes)} times "
                "1 or -1. Download it again."
            )
        marks[name] = np.array([value == "1" for value in values], dtype=np.int64)
    # The first line is what tells a cut file.
    check_count(len(marks), int(lines[0]), f"CelebA, {path}: pictures", sample=False)
    check_count(len(marks), N_PICTURES, f"CelebA, {path}: pictures", sample=sample)
    return attributes, marks


def _parts(root: Path) -> dict[str, str]:
    path = find_file(root, ("list_eval_partition.txt", "Eval/list_eval_partition.txt"), "CelebA")
    parts: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        name, *part = line.split()
        if len(part) != 1 or part[0] not in ("0", "1", "2") or name in parts:
            raise DatasetError(
                f"{path}, line {number}: expected a new picture and 0, 1 or 2. Download it again."
            )
        parts[name] = part[0]
    return parts
