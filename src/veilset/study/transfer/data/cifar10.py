# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 in its two official layouts (Krizhevsky, 2009).

====================== ==================================================================
``cifar-10-batches-bin`` ``data_batch_1.bin`` to ``5``, ``test_batch.bin``: records of one byte
                         for the class and 3,072 for the picture; ``batches.meta.txt``
``cifar-10-batches-py``  the same as pickles without a suffix; ``batches.meta``
====================== ==================================================================

A picture is 32 rows of 32 pixels, all of red, then green, then blue. Where a folder holds
both layouts the binary one is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from veilset.errors import DatasetError
from veilset.study.lists import ImageList
from veilset.study.transfer.data.plain_pickle import StoredArray, StoredType, read_plain_pickle
from veilset.study.transfer.data.text_files import check_count, find_file, read_lines

SIDE = 32
N_VALUES = 3 * SIDE * SIDE
N_CLASSES = 10
N_IN_FILE = 10_000
TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILE = "test_batch"

_Bytes = NDArray[np.uint8]


@dataclass(slots=True)
class CifarPictures:
    """Pictures of CIFAR-10 by ``<file>/<number>``; each process reads a file once.

    Attributes:
        folder: Where the batches lie.
        is_binary: Which layout.
    """

    folder: Path
    is_binary: bool
    _loaded: dict[str, _Bytes] = field(default_factory=dict, repr=False, compare=False)

    def read(self, image_id: str) -> PIL.Image.Image:
        """Give a picture, 32 x 32, RGB.

        Raises:
            DatasetError: If there is no such picture, or its file cannot be read any more.
        """
        name, _, number = image_id.partition("/")
        if name not in self._loaded:
            self._loaded[name] = read_batch(self.folder, name, is_binary=self.is_binary)[1]
        pixels = self._loaded[name]
        if not number.isdecimal() or int(number) >= len(pixels):
            raise DatasetError(f"{self.folder / name} holds no picture {number!r}.")
        planes = pixels[int(number)].reshape(3, SIDE, SIDE)
        return PIL.Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))

    def __getstate__(self) -> tuple[Path, bool]:
        # 180 MB that every loader process reads for itself.
        return self.folder, self.is_binary

    def __setstate__(self, state: tuple[Path, bool]) -> None:
        self.folder, self.is_binary = state
        self._loaded = {}


@dataclass(frozen=True, slots=True)
class Cifar10:
    """The data set: 50,000 pictures to train on and 10,000 to test with."""

    train: ImageList
    test: ImageList
    pictures: CifarPictures


def read_cifar10(root: Path, *, sample: bool = False) -> Cifar10:
    """Read CIFAR-10.

    Args:
        root: The folder of the batches, or the one above it.
        sample: Whether batches may hold another number than 10,000 pictures.

    Raises:
        DatasetError: If a file is missing, damaged or of another size; the message names it.
    """
    folder, is_binary = _layout(root)
    pictures = CifarPictures(folder, is_binary)
    classes = _classes(folder, is_binary=is_binary)
    train = _listed(pictures, TRAIN_FILES, classes, sample=sample)
    return Cifar10(train, _listed(pictures, (TEST_FILE,), classes, sample=sample), pictures)


def _layout(root: Path) -> tuple[Path, bool]:
    binary = f"{TRAIN_FILES[0]}.bin"
    places = (
        binary,
        f"cifar-10-batches-bin/{binary}",
        TRAIN_FILES[0],
        f"cifar-10-batches-py/{TRAIN_FILES[0]}",
    )
    found = find_file(root, places, "CIFAR-10")
    return found.parent, found.suffix == ".bin"


def _listed(
    pictures: CifarPictures, names: tuple[str, ...], classes: tuple[str, ...], *, sample: bool
) -> ImageList:
    image_ids: list[str] = []
    labels: list[NDArray[np.int64]] = []
    for name in names:
        found, _ = read_batch(pictures.folder, name, is_binary=pictures.is_binary)
        where = f"CIFAR-10, {pictures.folder / name}: pictures"
        check_count(len(found), N_IN_FILE, where, sample=sample)
        image_ids += [f"{name}/{number:05d}" for number in range(len(found))]
        labels.append(found.astype(np.int64))
    return ImageList(tuple(image_ids), np.concatenate(labels), classes)


def read_batch(folder: Path, name: str, *, is_binary: bool) -> tuple[_Bytes, _Bytes]:
    """Read one file.

    Returns:
        Classes ``(n,)`` in 0 to 9, and pixels ``(n, 3072)``, ``uint8``.

    Raises:
        DatasetError: If it is missing or damaged.
    """
    path = find_file(folder, (f"{name}.bin" if is_binary else name,), "CIFAR-10")
    labels, pixels = _binary(path) if is_binary else _pickled(path)
    if len(labels) and int(labels.max()) >= N_CLASSES:
        number = int(np.flatnonzero(labels >= N_CLASSES)[0])
        raise DatasetError(
            f"{path}, picture {number}: its class is {int(labels[number])}, and there are "
            f"{N_CLASSES}. Download it again."
        )
    return labels, pixels


def _binary(path: Path) -> tuple[_Bytes, _Bytes]:
    size = path.stat().st_size
    if size == 0 or size % (1 + N_VALUES):
        raise DatasetError(
            f"{path} has {size} bytes, no multiple of {1 + N_VALUES}: it is cut or damaged. "
            "Download it again."
        )
    records = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, 1 + N_VALUES)
    return np.array(records[:, 0]), np.asarray(records[:, 1:])


def _pickled(path: Path) -> tuple[_Bytes, _Bytes]:
    batch = read_plain_pickle(path)
    if not isinstance(batch, dict):
        raise _wrong(path, "no dictionary")
    labels = batch.get(b"labels", batch.get("labels"))
    data = batch.get(b"data", batch.get("data"))
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise _wrong(path, "no list of classes")
    if any(not 0 <= label < 256 for label in labels):
        raise _wrong(path, "a class beyond 255")
    if not isinstance(data, StoredArray):
        raise _wrong(path, "no array of pixels")
    pixels = _pixels(path, data.state)
    if len(pixels) != len(labels):
        raise _wrong(path, f"{len(labels)} classes for {len(pixels)} pictures")
    return np.asarray(labels, dtype=np.uint8), pixels


def _pixels(path: Path, state: object) -> _Bytes:
    match state:
        case (
            _,
            (int(n), int(width)),
            StoredType(arguments=("u1" | b"u1", *_)),
            False,
            bytes(data),
        ):
            if width == N_VALUES and n >= 0 and len(data) == n * N_VALUES:
                return np.frombuffer(data, dtype=np.uint8).reshape(n, N_VALUES)
    raise _wrong(path, f"an array that is not (n, {N_VALUES}) bytes, row by row")


def _wrong(path: Path, what: str) -> DatasetError:
    return DatasetError(f"{path} is no batch of CIFAR-10: it holds {what}. Download it again.")


def _classes(folder: Path, *, is_binary: bool) -> tuple[str, ...]:
    path = find_file(folder, ("batches.meta.txt" if is_binary else "batches.meta",), "CIFAR-10")
    if is_binary:
        names = tuple(read_lines(path))
    else:
        meta = read_plain_pickle(path)
        found = meta.get(b"label_names", meta.get("label_names")) if isinstance(meta, dict) else ()
        given = found if isinstance(found, list) else []
        names = tuple(n.decode("latin-1") if isinstance(n, bytes) else str(n) for n in given)
    if len(names) != N_CLASSES or len(set(names)) != N_CLASSES:
        raise DatasetError(f"{path} names {len(names)} classes instead of 10. Download it again.")
    return names
