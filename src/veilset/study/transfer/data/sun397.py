# SPDX-License-Identifier: Apache-2.0
"""SUN397: scenes, with the ten official partitions of 50 + 50 pictures a class (Xiao, 2010).

``ClassName.txt`` lists the classes as ``/a/abbey``, one a line; ``Training_01.txt`` and
``Testing_01.txt`` the pictures as ``/a/abbey/sun_x.jpg``. Pictures lie below the root under
those paths; the text files in ``Partitions`` or at the root.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from veilset.errors import DatasetError
from veilset.study.lists import ImageList
from veilset.study.transfer.data.text_files import (
    check_count,
    check_pictures,
    find_file,
    read_lines,
)

N_CLASSES = 397
N_PER_CLASS = 50


@dataclass(frozen=True, slots=True)
class Sun397:
    """One partition. ``folder`` holds the pictures; names are POSIX paths below it."""

    folder: Path
    train: ImageList
    test: ImageList


def read_sun397(root: Path, *, partition: int = 1, sample: bool = False) -> Sun397:
    """Read one partition of SUN397.

    Args:
        root: The folder that holds ``a`` to ``z``.
        partition: 1 to 10.
        sample: Whether other numbers of classes and pictures than the official are allowed.

    Raises:
        DatasetError: If a file is missing or does not fit; the message names it.
    """
    classes = _classes(root, sample=sample)
    train = _listed(root, f"Training_{partition:02d}.txt", classes, sample=sample)
    test = _listed(root, f"Testing_{partition:02d}.txt", classes, sample=sample)
    both = sorted(set(train.image_ids) & set(test.image_ids))
    if both:
        raise DatasetError(
            f"SUN397, partition {partition}: {len(both)} pictures are in training and in "
            f"testing, the first {both[0]!r}. Download the partitions again."
        )
    return Sun397(root, train, test)


def _classes(root: Path, *, sample: bool) -> tuple[str, ...]:
    path = find_file(root, ("ClassName.txt", "Partitions/ClassName.txt"), "SUN397")
    lines = read_lines(path)
    names = tuple(line.removeprefix("/") for line in lines)
    if len(set(names)) != len(names):
        raise DatasetError(f"{path} names a class twice. Download it again.")
    check_count(len(names), N_CLASSES, f"SUN397, {path}: classes", sample=sample)
    return names


def _listed(root: Path, name: str, classes: tuple[str, ...], *, sample: bool) -> ImageList:
    path = find_file(root, (f"Partitions/{name}", name), "SUN397")
    positions = {label: position for position, label in enumerate(classes)}
    image_ids: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(read_lines(path), 1):
        image_id = line.removeprefix("/")
        label = image_id.rpartition("/")[0]
        if label not in positions:
            raise DatasetError(
                f"{path}, line {number}: the class {label!r} is not in ClassName.txt. "
                "Take both files from one download."
            )
        image_ids.append(image_id)
        labels.append(positions[label])
    if len(set(image_ids)) != len(image_ids):
        raise DatasetError(f"{path} names a picture twice. Download it again.")
    counts = Counter(labels)
    for position, label in enumerate(classes):
        what = f"SUN397, {path}: pictures of {label!r}"
        check_count(counts[position], N_PER_CLASS, what, sample=sample)
    check_pictures(root, tuple(image_ids), "SUN397")
    return ImageList(tuple(image_ids), np.asarray(labels, dtype=np.int64), classes)
