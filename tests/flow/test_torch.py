# SPDX-License-Identifier: Apache-2.0
"""Obfuscated images in the real loaders: PyTorch's, torchvision's ImageFolder, WebDataset."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from operator import neg
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset as wds
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tests.flow.packed_tars import add, contents, pack
from tests.unit.verify.drawn import Release, make_release, planted_detectors
from veilset.errors import ConfigError, DatasetError
from veilset.layer.stage import LayerConfig, write_layer
from veilset.obfuscate.stage import obfuscate_dataset
from veilset.torch import ObfuscatedImages, ObfuscateSamples

LOSSLESS = ("two.png", "none.png")

# WebDataset leaves it to the garbage collector to close its tar files.
leaves_files_open = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
# Python warns of a fork beside threads, and a data loader forks beside those of PyTorch.
forks = pytest.mark.filterwarnings("ignore:This process .* multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release, its layer, and its photographs without the one that could not be searched."""
    with planted_detectors():
        release = make_release(tmp_path_factory.mktemp("made") / "base")
    nested = release.photos / "a" / "more" / "deep.jpg"
    nested.parent.mkdir()
    shutil.copyfile(release.photos / "b/none.jpg", nested)
    (release.photos / "a-first").mkdir()
    shutil.copyfile(release.photos / "c/plain.jpg", release.photos / "a-first/Z.JPG")
    write_layer(release.annotations, release.base / "layer.arrow")
    whole = release.base / "whole"
    shutil.copytree(release.photos, whole)
    (whole / "c/cut.jpg").unlink()
    obfuscate_dataset(whole, release.base / "layer.arrow", release.base / "released", workers=2)
    return release


@pytest.fixture
def layer(made: Release) -> Path:
    return made.base / "layer.arrow"


@pytest.fixture
def whole(made: Release) -> Path:
    return made.base / "whole"


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what a test leaves while its warnings are still passed over."""
    yield
    gc.collect()


def pixels(data: Any) -> list[tuple[bytes, int]]:
    return [(np.asarray(picture).tobytes(), target) for picture, target in data]


def test_it_has_the_classes_and_samples_of_image_folder(whole: Path, layer: Path) -> None:
    ours, theirs = ObfuscatedImages(str(whole), layer), ImageFolder(str(whole))
    for name in ("root", "classes", "class_to_idx", "samples", "targets"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert len(ours) == len(theirs) == 8


def test_exact_pictures_are_those_of_the_released_files(
    made: Release, whole: Path, layer: Path
) -> None:
    released = pixels(ImageFolder(str(made.base / "released")))
    assert pixels(ObfuscatedImages(whole, layer, exact=True)) == released
    assert pixels(ImageFolder(str(whole))) != released


def test_plain_pictures_are_those_before_encoding(made: Release, whole: Path, layer: Path) -> None:
    ours = ObfuscatedImages(whole, layer)
    n_differing = 0
    for index, (released, _) in enumerate(ImageFolder(str(made.base / "released"))):
        (picture, _), (path, _) = ours[index], ours.samples[index]
        a, b = np.asarray(picture).astype(int), np.asarray(released).astype(int)
        assert a.shape == b.shape
        if path.endswith(LOSSLESS):
            assert (a == b).all()
        n_differing += bool((a != b).any())
        assert np.abs(a - b).mean() < 0.5
        assert picture.mode == "RGB"
    # The two JPEG files with a face.
    assert n_differing == 2


@pytest.mark.parametrize(("start", "n"), [("fork", 2), ("spawn", 1)])
@forks
def test_workers_of_a_data_loader_give_the_same(
    whole: Path, layer: Path, start: str, n: int
) -> None:
    data = ObfuscatedImages(whole, layer, np.array, neg)
    # Before a fork the parent has used OpenCV's threads, as somebody does who looks at one.
    alone = [data[index] for index in range(len(data))]
    loader = DataLoader(data, batch_size=None, num_workers=n, multiprocessing_context=start)
    batches = list(loader)
    assert [target for _, target in batches] == [target for _, target in alone]
    assert all(
        torch.equal(a, torch.from_numpy(b)) for (a, _), (b, _) in zip(batches, alone, strict=True)
    )


def test_pickled_it_is_small_and_the_same(whole: Path, layer: Path) -> None:
    data = ObfuscatedImages(whole, layer)
    packed = pickle.dumps(data)
    assert len(packed) < 5000
    assert pixels(pickle.loads(packed)) == pixels(data)


def test_what_the_layer_does_not_know_is_never_shown(
    made: Release, layer: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(made.photos, photos)
    edited = photos / "a/one.jpg"
    edited.write_bytes(edited.read_bytes() + b"\0")
    data = ObfuscatedImages(photos, layer)
    refused = {}
    for index, (path, _) in enumerate(data.samples):
        try:
            data[index]
        except DatasetError as error:
            refused[os.path.relpath(path, photos)] = str(error)
    assert set(refused) == {"a/one.jpg", "c/cut.jpg"}
    assert "one.jpg is refused (changed)" in refused["a/one.jpg"]
    assert "Get the original file" in refused["a/one.jpg"]
    assert "cut.jpg is refused (not-looked)" in refused["c/cut.jpg"]
    for exact in (True, False):
        skipping = ObfuscatedImages(photos, layer, on_refused="skip", exact=exact)
        assert skipping.refused == {"a/one.jpg": "changed", "c/cut.jpg": "not-looked"}
        assert len(pixels(skipping)) == 7
        assert skipping.classes == data.classes


@forks
def test_a_worker_tells_which_image_is_refused(made: Release, layer: Path) -> None:
    loader = DataLoader(ObfuscatedImages(made.photos, layer), batch_size=None, num_workers=1)
    fetched = iter(loader)
    with pytest.raises(DatasetError, match=r"cut\.jpg is refused \(not-looked\)"):
        list(fetched)
    # To the end: a worker that is left earlier is waited for, 5 s.
    list(fetched)


def test_a_layer_of_other_images_is_refused_at_once(
    made: Release, whole: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "others"
    (photos / "a").mkdir(parents=True)
    data = (whole / "b/none.jpg").read_bytes()
    (photos / "a/other.jpg").write_bytes(data + b"\0")
    layer = write_layer(made.annotations, tmp_path / "layer.arrow", LayerConfig(names=False)).path
    with pytest.raises(DatasetError, match="knows no image"):
        ObfuscatedImages(photos, layer, on_refused="skip")


def test_folders_that_are_no_classes_are_refused(layer: Path, whole: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copyfile(whole / "b/none.jpg", flat / "x.jpg")
    with pytest.raises(DatasetError, match="holds no folder"):
        ObfuscatedImages(flat, layer)
    (flat / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"'empty' in .* holds no image"):
        ObfuscatedImages(flat, layer)
    with pytest.raises(ConfigError, match="on_refused is 'hide'"):
        ObfuscatedImages(whole, layer, on_refused="hide")


@pytest.fixture(scope="module")
def tars(made: Release) -> Path:
    pack(made.base / "whole", made.base / "tars", n_each=4)
    return made.base / "tars"


def shards(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.glob("*.tar"))]


def pipeline(urls: list[str], **options: Any) -> Any:
    return wds.WebDataset(urls, shardshuffle=False, empty_check=False, **options)


def plain(sample: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in sample.items()
        if not name.startswith("__") or name == "__key__"
    }


@leaves_files_open
@pytest.mark.usefixtures("collected")
def test_samples_of_a_pipeline_are_those_of_the_released_tar_files(
    made: Release, layer: Path, tars: Path, tmp_path: Path
) -> None:
    obfuscate_dataset(tars, layer, tmp_path / "released", workers=2)
    released = [plain(sample) for sample in pipeline(shards(tmp_path / "released"))]
    ours = [plain(s) for s in pipeline(shards(tars)).map(ObfuscateSamples(layer))]
    assert ours == released
    assert sum("jpg" in sample for sample in ours) == 5
    assert [plain(sample) for sample in pipeline(shards(tars))] != released
    decoded = list(pipeline(shards(tars)).map(ObfuscateSamples(layer)).decode("rgb8"))
    assert sum(isinstance(sample.get("png"), np.ndarray) for sample in decoded) == 2


@leaves_files_open
@pytest.mark.usefixtures("collected")
@forks
def test_workers_of_a_pipeline_give_the_same(layer: Path, tars: Path) -> None:
    urls = [url for url in shards(tars) if not url.endswith("99999.tar")]
    data = pipeline(urls).map(ObfuscateSamples(layer))
    alone = {sample["__key__"]: plain(sample) for sample in data}
    loader = DataLoader(data, batch_size=None, num_workers=2)
    assert {sample["__key__"]: plain(sample) for sample in loader} == alone


@leaves_files_open
@pytest.mark.usefixtures("collected")
def test_a_sample_with_an_unknown_image_raises_or_is_left_out(layer: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "one.txt", b"a caption")
        add(tar, "one.img", b"\xff\xd8\xff\xe0 begins like a JPEG file")
        add(tar, "two.txt", b"no picture")
    assert set(contents(path)) == {"one.txt", "one.img", "two.txt"}
    step = ObfuscateSamples(layer)
    with pytest.raises(DatasetError, match=r"one\.img of .*x\.tar is refused \(not-looked\)"):
        list(pipeline([str(path)]).map(step))
    kept = list(pipeline([str(path)]).map(step, handler=wds.ignore_and_continue))
    assert [sample["__key__"] for sample in kept] == ["two"]
    with pytest.raises(DatasetError, match="is decoded already"):
        step({"__key__": "a", "JPG": np.zeros((2, 2, 3), np.uint8)})


def test_importing_it_does_not_load_torch() -> None:
    code = "import sys, veilset.torch; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
