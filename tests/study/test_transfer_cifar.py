# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 in both layouts; a pickle runs nothing, whatever it names."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.study.drawn_transfer import CIFAR_CLASSES, cifar_batch, draw_cifar, python2_batch
from veilset.errors import DatasetError
from veilset.study.transfer.data.cifar10 import read_cifar10


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "pickles of Python 2"])
def test_both_layouts_give_the_pictures_that_were_written(tmp_path: Path, binary: bool) -> None:
    root = draw_cifar(tmp_path / "cifar", binary=binary)
    found = read_cifar10(root, sample=True)
    assert found.train.classes == CIFAR_CLASSES
    assert (len(found.train.image_ids), len(found.test.image_ids)) == (40, 10)
    labels, pixels = cifar_batch(8, 8)
    assert found.train.labels[8:16].tolist() == labels.tolist()
    read = np.asarray(found.pictures.read("data_batch_2/00003"))
    assert np.array_equal(read, pixels[3].reshape(3, 32, 32).transpose(1, 2, 0))
    # What a loader process gets is not the pixels.
    copied = pickle.dumps(found.pictures)
    assert len(copied) < 1000
    again = pickle.loads(copied).read("data_batch_2/00003")
    assert np.array_equal(np.asarray(again), read)


def test_pickles_of_this_numpy_are_read_too(tmp_path: Path) -> None:
    root = draw_cifar(tmp_path / "cifar", binary=False)
    labels, pixels = cifar_batch(0, 8)
    batch = {b"labels": [int(label) for label in labels], b"data": pixels}
    (root / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=3))
    read = np.asarray(read_cifar10(root, sample=True).pictures.read("data_batch_1/00007"))
    assert np.array_equal(read, pixels[7].reshape(3, 32, 32).transpose(1, 2, 0))


def test_folder_above_and_binary_first(tmp_path: Path) -> None:
    draw_cifar(tmp_path / "cifar-10-batches-py", binary=False)
    assert not read_cifar10(tmp_path, sample=True).pictures.is_binary
    draw_cifar(tmp_path / "cifar-10-batches-bin")
    assert read_cifar10(tmp_path, sample=True).pictures.is_binary


class _Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    root = draw_cifar(tmp_path / "cifar", binary=False)
    made = tmp_path / "made"
    (root / "data_batch_3").write_bytes(pickle.dumps({"data": _Harmful(made)}, protocol=2))
    with pytest.raises(DatasetError, match=r"data_batch_3 is damaged.*posix\.mkdir.*Nothing in it"):
        read_cifar10(root, sample=True)
    assert not made.exists()


def test_a_pickle_cannot_change_what_reads_it(tmp_path: Path) -> None:
    root = draw_cifar(tmp_path / "cifar", binary=False)
    whole = (root / "data_batch_1").read_bytes()
    # BUILD with (None, {name: value}) sets attributes of whatever lies below it.
    hostile = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nN}U\x0c__setstate__U\x01xs\x86b."
    (root / "data_batch_1").write_bytes(hostile)
    with pytest.raises(DatasetError, match="data_batch_1"):
        read_cifar10(root, sample=True)
    (root / "data_batch_1").write_bytes(whole)
    assert len(read_cifar10(root, sample=True).train.image_ids) == 40


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("stem", ["data_batch_1", "data_batch_4", "test_batch", "batches.meta"])
def test_each_missing_file_is_named(tmp_path: Path, stem: str, binary: bool) -> None:
    root = draw_cifar(tmp_path / "cifar", binary=binary)
    suffix = {True: ".txt" if stem == "batches.meta" else ".bin", False: ""}[binary]
    (root / f"{stem}{suffix}").unlink()
    with pytest.raises(DatasetError, match=rf"{stem}.* is missing.*nothing is downloaded"):
        read_cifar10(root, sample=True)


def test_other_counts_only_as_a_sample(tmp_path: Path) -> None:
    root = draw_cifar(tmp_path / "cifar")
    with pytest.raises(DatasetError, match=r"data_batch_1: pictures: 8 instead of 10000.*sample"):
        read_cifar10(root)


@pytest.mark.parametrize("keep", [0, 1, 3072, 3074])
def test_a_cut_binary_batch_is_refused(tmp_path: Path, keep: int) -> None:
    root = draw_cifar(tmp_path / "cifar")
    path = root / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"data_batch_2\.bin has .* cut or damaged"):
        read_cifar10(root, sample=True)


def test_a_class_beyond_the_ten_is_refused(tmp_path: Path) -> None:
    root = draw_cifar(tmp_path / "cifar")
    path = root / "test_batch.bin"
    data = bytearray(path.read_bytes())
    data[3073] = 10
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"test_batch\.bin, picture 1: its class is 10"):
        read_cifar10(root, sample=True)


def _batches() -> dict[str, bytes]:
    labels, pixels = cifar_batch(0, 8)
    whole = python2_batch(labels, pixels)
    return {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "a list": pickle.dumps([1, 2]),
        "no classes": pickle.dumps({b"data": pixels}, protocol=3),
        "classes that are texts": pickle.dumps({b"labels": ["1"], b"data": pixels}, protocol=3),
        "no array": pickle.dumps({b"labels": [1]}, protocol=3),
        "fewer classes": python2_batch(labels[:3], pixels),
        "narrower": python2_batch(labels, pixels[:, :3000]),
        "other numbers": pickle.dumps(
            {b"labels": labels.tolist(), b"data": pixels.astype("u2")}, protocol=3
        ),
        "by columns": pickle.dumps(
            {b"labels": labels.tolist(), b"data": np.asfortranarray(pixels)}, protocol=3
        ),
        "shorter than it says": whole.replace(b"J\x08\0\0\0J\x00\x0c", b"J\x09\0\0\0J\x00\x0c"),
        "a type of types": whole.replace(b"U\x02u1", b"(U\x02u1l"),
    }


@pytest.mark.parametrize("name", _batches())
def test_damaged_pickles_are_refused(tmp_path: Path, name: str) -> None:
    root = draw_cifar(tmp_path / "cifar", binary=False)
    (root / "data_batch_5").write_bytes(_batches()[name])
    with pytest.raises(DatasetError, match="data_batch_5"):
        read_cifar10(root, sample=True)


@pytest.mark.parametrize("binary", [True, False])
def test_another_number_of_names_is_refused(tmp_path: Path, binary: bool) -> None:
    root = draw_cifar(tmp_path / "cifar", binary=binary)
    if binary:
        (root / "batches.meta.txt").write_text("cat\ndog\n")
    else:
        (root / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"cat"]}, protocol=3))
    with pytest.raises(DatasetError, match=r"names (1|2) classes instead of 10"):
        read_cifar10(root, sample=True)
