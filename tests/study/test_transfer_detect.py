# SPDX-License-Identifier: Apache-2.0
"""Faster R-CNN on drawn scenes: what it is trained on, its start, its score, and its resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from tests.study.drawn_study_runs import RESNET, TINY, drawn_study, finish_runs
from tests.study.drawn_transfer import draw_voc
from veilset.errors import ConfigError, DatasetError
from veilset.files import sha256_file
from veilset.learning.devices import open_device
from veilset.study.config import NetworkSpec, StudyConfig, TransferSpec
from veilset.study.layout import StudyPaths, open_table
from veilset.study.recipe import make_recipe
from veilset.study.transfer.coco_metric import coco_precision
from veilset.study.transfer.data.voc import CATEGORIES, Scene
from veilset.study.transfer.detect import (
    DETECTIONS_FORMAT,
    DetectionTask,
    SceneBatches,
    open_detection_task,
)
from veilset.study.transfer.metrics import FoundObjects, voc07_precisions
from veilset.study.transfer.stage import TransferOptions, transfer
from veilset.study.transfer.starts import find_start

SMALL = {"epochs": 1, "train_size": 64, "lr": 1e-3}


def _study(
    folder: Path, networks: tuple[NetworkSpec, ...] = (RESNET,), **changes: Any
) -> StudyConfig:
    root = folder / "VOCdevkit"
    spec = TransferSpec(
        "voc-detection",
        root if root.exists() else draw_voc(root),
        tuple(network.name for network in networks),
        ("original",),
        (1,),
        SMALL,
        sample=True,
    )
    return replace(drawn_study(folder, replace(spec, **changes), networks=networks), seeds=(1,))


def _task(tmp_path: Path) -> DetectionTask:
    return open_detection_task(_study(tmp_path).transfer[0])


def test_difficult_objects_are_tested_with_and_not_trained_on(tmp_path: Path) -> None:
    task = _task(tmp_path)
    assert [len(scene.categories) for scene in task.train] == [1, 1, 1, 1]
    assert [len(scene.categories) for scene in task.test] == [2, 2]
    root = tmp_path / "VOCdevkit/VOC2012/Annotations/000100.xml"
    root.write_text(root.read_text().replace("<difficult>0", "<difficult>1"))
    assert len(_task(tmp_path).train) == 3


def test_a_part_of_the_pictures_is_held_out_for_rates(tmp_path: Path) -> None:
    task = _task(tmp_path)
    part = task.held_out()
    names = [scene.image_id for scene in (*part.train, *part.test)]
    assert sorted(names) == [scene.image_id for scene in task.train]
    assert len(part.test) == 1
    assert part.digests() == task.held_out().digests()


def test_mirrored_boxes_lie_on_the_same_pixels(tmp_path: Path) -> None:
    task = _task(tmp_path)
    recipe = make_recipe("finetune", SMALL | {"batch_size": 4, "flip": 1.0})
    plain, mirrored = (
        SceneBatches(task.pictures, task.train, replace(recipe, flip=flip), 5)[0, 0]
        for flip in (0.0, 1.0)
    )
    for one, other, box, mirrored_box in zip(
        plain.pixels, mirrored.pixels, plain.boxes_xyxy, mirrored.boxes_xyxy, strict=True
    ):
        assert torch.equal(one.flip(2), other)
        x0, y0, x1, y1 = box[0].int().tolist()
        u0, v0, u1, v1 = mirrored_box[0].int().tolist()
        assert torch.equal(one[:, y0:y1, x0:x1].flip(2), other[:, v0:v1, u0:u1])
        # The yellow rectangle was drawn exactly there.
        assert one[0, y0:y1, x0:x1].float().mean() > 230


def test_batches_are_functions_of_their_key(tmp_path: Path) -> None:
    task = _task(tmp_path)
    recipe = make_recipe("finetune", SMALL | {"batch_size": 3})
    batches = SceneBatches(task.pictures, task.train, recipe, 5)
    assert batches.n_batches == 2
    later = [batches[3, 1], batches[0, 0], batches[3, 1]]
    assert all(map(torch.equal, later[0].pixels, later[2].pixels))
    assert [len(batches[epoch, 1].pixels) for epoch in range(2)] == [1, 1]
    seen = [tuple(pixels.sum() for pixels in batches[e, b].pixels) for e in (0, 1) for b in (0, 1)]
    assert sorted(map(int, sum(seen[:2], ()))) == sorted(map(int, sum(seen[2:], ())))


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    task = _task(tmp_path)
    scene = replace(task.train[0], size_wh=(95, 80))
    batches = SceneBatches(task.pictures, (scene,), make_recipe("finetune", SMALL), None)
    with pytest.raises(DatasetError, match="has 96 x 80 pixels, its annotation says 95 x 80"):
        batches[0, 0]


def test_the_detector_holds_the_trained_layers(tmp_path: Path) -> None:
    config = _study(tmp_path)
    finish_runs(config)
    start = find_start(StudyPaths(config.out), RESNET, "original", 1)
    assert start is not None
    task, recipe = _task(tmp_path), make_recipe("finetune", SMALL)
    detector, again = (task.network(start, recipe) for _ in range(2))
    other = find_start(StudyPaths(config.out), RESNET, "blurred", 1)
    assert other is not None
    states = [module.state_dict() for module in (detector, again, task.network(other, recipe))]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    differing = {
        name for name, value in states[0].items() if not torch.equal(value, states[2][name])
    }
    # Settings differ in what they were trained on, and in nothing else.
    assert differing
    assert all(name.startswith("backbone.body.") for name in differing)
    assert any(isinstance(each, FrozenBatchNorm2d) for each in detector.modules())
    frozen = {name for name, value in detector.named_parameters() if not value.requires_grad}
    assert {name.split(".")[2] for name in frozen} == {"conv1", "layer1"}


def _read(path: Path, scenes: tuple[Scene, ...]) -> list[FoundObjects]:
    rows = open_table(path, DETECTIONS_FORMAT).to_pylist()
    found = []
    for scene in scenes:
        mine = [row for row in rows if row["image_id"] == scene.image_id]
        boxes = np.array([[row[side] for side in ("x0", "y0", "x1", "y1")] for row in mine])
        found.append(
            FoundObjects(
                scene.image_id,
                boxes.reshape(-1, 4),
                np.array([CATEGORIES.index(row["category"]) for row in mine], dtype=np.int64),
                np.array([row["score"] for row in mine], dtype=np.float64),
            )
        )
    return found


class _Knowing(nn.Module):  # type: ignore[misc]  # PyTorch is Any to mypy
    """Answers with what is in the pictures, in the shape in which torchvision's detectors do."""

    def __init__(self, scenes: tuple[Scene, ...]) -> None:
        super().__init__()
        self.left = list(scenes)

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        answers = []
        for image in images:
            scene = self.left.pop(0)
            assert (image.shape[2], image.shape[1]) == scene.size_wh
            assert 0.5 < float(image.max()) <= 1.0
            answers.append(
                {
                    "boxes": torch.from_numpy(scene.boxes_xyxy.astype(np.float32)),
                    "labels": torch.from_numpy(scene.categories + 1),
                    "scores": torch.full((len(scene.categories),), 0.9),
                }
            )
        return answers


def test_who_finds_everything_scores_one(tmp_path: Path) -> None:
    task = _task(tmp_path)
    recipe = make_recipe("finetune", SMALL | {"batch_size": 2})
    fabric = open_device("cpu", recipe)
    measured = task.measure(_Knowing(task.test), recipe, fabric, {"run_id": "a"}, workers=0)
    assert measured.metrics == pytest.approx(dict.fromkeys(measured.metrics, 1.0))
    assert len(measured.metrics) == 5
    assert measured.table["category"].to_pylist() == ["person", "dog"] * 2


def test_from_end_to_end_and_stopped(tmp_path: Path) -> None:
    whole, parts = (_study(tmp_path / name) for name in ("whole", "parts"))
    folders = []
    for config in (whole, parts):
        finish_runs(config, settings=("original",))
        folders.append(StudyPaths(config.out).transfer("voc-detection", "resnet18.original.s1"))
    steps: list[int] = []
    options = TransferOptions(device="cpu", on_progress=lambda p: steps.append(p.step))
    assert transfer(whole, options, lambda: False).is_complete
    assert steps == [1, 2]
    assert not transfer(parts, options, lambda: len(steps) >= 3).is_complete
    assert steps == [1, 2, 1]
    assert transfer(parts, options, lambda: False).is_complete
    assert steps == [1, 2, 1, 2]
    for name in ("weights.safetensors", "detections.parquet"):
        assert sha256_file(folders[0] / name) == sha256_file(folders[1] / name)

    score = json.loads((folders[0] / "score.json").read_text())
    assert score["counts"] == {"n_images": 2, "n_objects": 2}
    assert score["lr"] == 1e-3
    test = _task(tmp_path / "whole").test
    found = _read(folders[0] / "detections.parquet", test)
    assert all(len(row.scores) for row in found)
    assert score["metrics"]["mAP50_voc07"] == voc07_precisions(test, found)[0]
    coco = coco_precision(test, found)
    assert score["metrics"]["mAP50"] == coco.at_50
    assert score["metrics"]["AP50_person"] == coco.each_at_50[CATEGORIES.index("person")]


@pytest.mark.parametrize("network", [TINY, NetworkSpec("squeezenet1_1")])
def test_only_resnets_are_taken_and_nothing_is_begun(tmp_path: Path, network: NetworkSpec) -> None:
    config = _study(tmp_path, (network,))
    with pytest.raises(ConfigError, match=f"ResNet of torchvision, and {network.name} is none"):
        transfer(config, TransferOptions(device="cpu"), lambda: False)
    assert not config.out.exists()
