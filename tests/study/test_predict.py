# SPDX-License-Identifier: Apache-2.0
"""Predictions: what the network says, image by image, in a file that knows what it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image as PillowImage
from torch.nn import functional
from torchvision import transforms

from tests.study.drawn_runs import CLASSES, N_VAL, drawn_study
from veilset.errors import RunError
from veilset.learning.devices import open_device
from veilset.study.layout import read_predictions
from veilset.study.lists import ImageList
from veilset.study.networks import build
from veilset.study.pictures import open_source
from veilset.study.predict import PredictionWriter, best_classes, predict

METADATA = {"run_id": "tiny.original.s1", "setting": "original", "weights_sha256": "ab"}


def some_images(n: int, k: int) -> ImageList:
    names = tuple(f"val/{number}.png" for number in range(n))
    return ImageList(names, np.arange(n, dtype=np.int64) % k, tuple(map(str, range(k))))


def test_predictions_are_the_network_s_own_scores(tmp_path: Path) -> None:
    study = drawn_study(tmp_path)
    images, recipe = study.lists["val"], study.config.recipe
    module = build(study.config.networks[0], len(CLASSES), seed=3)
    path = tmp_path / "predictions.parquet"
    with PredictionWriter(path, images, METADATA, with_scores=True) as sink:
        source = open_source(study.config, "original")
        predict(module, source, images, recipe, open_device("cpu", recipe), sink)
    found = read_predictions(path, METADATA)
    assert found.image_ids == images.image_ids
    assert found.labels.tolist() == images.labels.tolist()
    # The reference: torchvision's transforms, one picture at a time.
    reference = transforms.Compose(
        [
            transforms.Resize(recipe.eval_resize),
            transforms.CenterCrop(recipe.eval_crop),
            transforms.ToTensor(),
            transforms.Normalize(recipe.mean, recipe.std),
        ]
    )
    for row, image_id in enumerate(images.image_ids):
        with PillowImage.open(tmp_path / "original" / image_id) as picture, torch.no_grad():
            scores = module(reference(picture)[None])
        loss = functional.cross_entropy(scores, torch.tensor([images.labels[row]]))
        assert found.scores is not None
        np.testing.assert_allclose(found.scores[row], scores[0], atol=1e-5)
        assert found.loss[row] == pytest.approx(float(loss), abs=1e-5)
        assert found.top[row].tolist() == scores[0].argsort(descending=True).tolist()


def test_of_equal_scores_the_lower_class_comes_first() -> None:
    scores = np.array([[2, 7, 7, 7, 1, 7, 2], [0, 0, 0, 0, 0, 0, 0], [-0.0, 0, 1, 0, 0, 0, 0]])
    found = best_classes(scores.astype(np.float32))
    assert found.tolist() == [[1, 2, 3, 5, 0], [0, 1, 2, 3, 4], [2, 0, 1, 3, 4]]


@pytest.mark.parametrize("sizes", [(5000,), (4096, 904), (4000, 1000), (1, 4999)])
def test_row_groups_do_not_depend_on_batches(tmp_path: Path, sizes: Any) -> None:
    images, path = some_images(5000, 4), tmp_path / "p.parquet"
    scores = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    with PredictionWriter(path, images, METADATA, with_scores=True) as sink:
        first = 0
        for size in sizes:
            sink.add(scores[first : first + size], np.zeros(size, np.float32))
            first += size
    file = pq.ParquetFile(path)
    groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [4096, 904]
    np.testing.assert_array_equal(read_predictions(path).scores, scores)


def test_without_scores_the_best_classes_are_kept(tmp_path: Path) -> None:
    images, path = some_images(3, 7), tmp_path / "p.parquet"
    with PredictionWriter(path, images, METADATA, with_scores=False) as sink:
        sink.add(np.eye(3, 7, dtype=np.float32), np.zeros(3, np.float32))
    found = read_predictions(path)
    assert found.scores is None
    assert found.top.shape == (3, 5)


def test_a_score_that_is_no_number_is_refused(tmp_path: Path) -> None:
    images, path = some_images(3, 4), tmp_path / "p.parquet"
    scores = np.zeros((3, 4), np.float32)
    scores[1, 2] = np.nan
    with (
        pytest.raises(RunError, match=r"no number for 'val/1\.png'"),
        PredictionWriter(path, images, METADATA, with_scores=True) as sink,
    ):
        sink.add(scores, np.zeros(3, np.float32))
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_the_list_is_no_file(tmp_path: Path) -> None:
    images, path = some_images(3, 4), tmp_path / "p.parquet"
    with (
        pytest.raises(RunError, match="2 of 3 images"),
        PredictionWriter(path, images, METADATA, with_scores=True) as sink,
    ):
        sink.add(np.zeros((2, 4), np.float32), np.zeros(2, np.float32))
    assert list(tmp_path.iterdir()) == []


def test_other_weights_are_told(tmp_path: Path) -> None:
    images, path = some_images(N_VAL, 4), tmp_path / "p.parquet"
    with PredictionWriter(path, images, METADATA, with_scores=True) as sink:
        sink.add(np.zeros((N_VAL, 4), np.float32), np.zeros(N_VAL, np.float32))
    with pytest.raises(RunError, match="another weights"):
        read_predictions(path, METADATA | {"weights_sha256": "cd"})
