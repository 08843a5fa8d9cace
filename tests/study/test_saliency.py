# SPDX-License-Identifier: Apache-2.0
"""Saliency maps: the formula of the study's authors, what is chosen, and what is written."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from PIL import Image as PillowImage
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

from tests.study.drawn_pictures import list_of, make_study
from tests.study.drawn_runs import drawn_study
from veilset.cli.app import app
from veilset.errors import ConfigError, MissingExtraError, RunError
from veilset.study.config import NetworkSpec, ObjectsSpec, SaliencySpec
from veilset.study.gradcam import attention, mass_on, require_grad_cam
from veilset.study.kept import KeptFolder
from veilset.study.layout import Predictions, read_predictions
from veilset.study.networks import cam_layer
from veilset.study.one_run import Workshop, train_run
from veilset.study.plan import Study
from veilset.study.recipe import make_recipe
from veilset.study.saliency import choose_images, saliency_pairs


def released_formula(features: torch.Tensor, scores: torch.Tensor, labels: list[int]) -> Any:
    """Grad-CAM as in the scripts that the study's authors released, before it is scaled up."""
    chosen = sum(scores[row, label] for row, label in enumerate(labels))
    (gradients,) = torch.autograd.grad(chosen, features)
    weights = gradients.mean((2, 3))
    found = functional.relu((features * weights[:, :, None, None]).sum(1)).detach()
    found -= found.amin((1, 2), keepdim=True)
    return (found / found.amax((1, 2), keepdim=True)).numpy()


def test_a_map_is_that_of_the_released_scripts() -> None:
    torch.manual_seed(1)
    first, second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, stride=4, padding=1)
    features = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
    module = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)).eval()
    pixels, labels = torch.randn(3, 3, 32, 32), [0, 2, 3]
    maps = features(pixels)
    expected = released_formula(maps, module[1:](maps), labels)
    found = attention(module, features, pixels, labels)
    assert len(found) == 3
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == (32, 32)
        # Scaled up by 4 with whole factors between places: their middles stay what they are.
        again = torch.tensor(theirs)[None, None]
        scaled = functional.interpolate(again, (32, 32), mode="bilinear", align_corners=False)
        scaled = scaled[0, 0].numpy()
        assert np.allclose(ours, (scaled - scaled.min()) / np.ptp(scaled), atol=1e-5)
    assert all(each.grad is None for each in module.parameters())


def test_a_network_that_overwrites_its_features_is_seen_before_it_does() -> None:
    torch.manual_seed(3)
    net = torchvision.models.DenseNet(4, (1, 1), 8, num_classes=3).eval()
    pixels = torch.randn(1, 3, 96, 96)
    maps = net.features(pixels)
    assert (maps < 0).any(), "the rectifier behind it would hide nothing"
    pooled = functional.adaptive_avg_pool2d(functional.relu(maps), 1).flatten(1)
    expected = released_formula(maps, net.classifier(pooled), [1])[0]
    (found,) = attention(net, cam_layer(net, NetworkSpec("densenet")), pixels, [1])
    scaled = functional.interpolate(torch.tensor(expected)[None, None], (96, 96), mode="bilinear")
    scaled = scaled[0, 0].numpy()
    assert np.allclose(found, (scaled - scaled.min()) / np.ptp(scaled), atol=1e-4)


def test_the_mass_on_objects_is_counted_in_what_was_cut_out() -> None:
    found = np.zeros((4, 4), np.float32)
    found[0, 0], found[3, 3] = 1, 3
    # A picture of 16 x 8 becomes 8 x 4; its middle 4 x 4 begin at 2.
    corner = np.array([[4.0, 0.0, 6.0, 2.0]])
    assert mass_on(found, corner, (16, 8), 4) == 0.25
    assert mass_on(found, np.array([[0.0, 0.0, 16.0, 8.0]]), (16, 8), 4) == 1
    # Twice the same place counts once; what lies outside the cut not at all.
    assert mass_on(found, np.concatenate([corner, corner]), (16, 8), 4) == 0.25
    assert mass_on(found, np.array([[0.0, 0.0, 3.0, 8.0]]), (16, 8), 4) == 0
    assert mass_on(found, np.zeros((0, 4)), (16, 8), 4) is None
    assert mass_on(np.zeros((4, 4), np.float32), corner, (16, 8), 4) is None


def predictions(top: list[int], chances: list[float], labels: Any) -> Predictions:
    return Predictions(
        image_ids=(), labels=labels, top=np.array(top, np.int32)[:, None], scores=None,
        run_id="", setting="", loss=-np.log(np.array(chances, np.float32)),
    )  # fmt: skip


def test_images_with_faces_that_lost_most_come_first(tmp_path: Path) -> None:
    config = make_study(tmp_path)
    images = list_of(config, "val")
    study = Study(config, tmp_path, None, {"val": images}, {})  # type: ignore[arg-type]  # no plan is needed
    # Every second of the ten has a face: 0, 2 and 4 of each class.
    labels = images.labels
    right, wrong = labels.tolist(), (1 - labels).tolist()
    a = predictions([*right[:9], wrong[9]], [0.9] * 10, labels)
    b = predictions(
        [right[0], *wrong[1:]], [0.5, 0.1, 0.6, 0.1, 0.2, 0.3, 0.1, 0.6, 0.4, 0.1], labels
    )
    spec = SaliencySpec("resnet18", ("original", "mosaic"), 1, n=3)
    # 2, 4, 5, 7 have faces, and 9, which the first network gets wrong too; 2 and 7 draw level.
    assert choose_images(study, spec, a, b) == ([4, 5, 2], 4)
    only = {name: config.settings[name] for name in ("original", "released")}
    blind = replace(
        config, settings=only, train=tuple(only), data=replace(config.data, annotations=None)
    )
    without = Study(blind, tmp_path, None, {"val": images}, {})  # type: ignore[arg-type]  # no plan is needed
    assert choose_images(without, spec, a, b) == ([1, 3, 6], 8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with two finished runs, and the left half of one image as its object."""
    base = tmp_path_factory.mktemp("saliency")
    # A feature map of one place only would be 0 there.
    large = make_recipe("small", {"epochs": 2, "warmup_epochs": 1, "batch_size": 8})
    study = drawn_study(base, recipe=large)
    ids = study.lists["val"].image_ids
    write_coco(base / "objects.json", ids[3:5])
    with KeptFolder(base / "kept", 0) as kept:
        for run in study.plan.runs:
            study.paths.run(run.run_id).mkdir(parents=True)
            assert train_run(study, run, Workshop("cpu", kept)) is not None
    data = replace(study.config.data, objects=ObjectsSpec("coco", base / "objects.json"))
    return replace(study, config=replace(study.config, data=data))


def write_coco(path: Path, ids: tuple[str, ...]) -> None:
    images = [{"id": n, "file_name": i, "width": 48, "height": 40} for n, i in enumerate(ids)]
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 24, 40]}
    categories = [{"id": 1, "name": ids[0].split("/")[1]}]
    path.write_text(json.dumps({"images": images, "annotations": [box], "categories": categories}))


def test_pairs_are_drawn_and_stay_private(trained: Study) -> None:
    ids = trained.lists["val"].image_ids
    # Of both something speaks for the true class, in both networks.
    spec = SaliencySpec("tiny", ("original", "dark"), 1, choose="list", images=ids[3:5])
    study = replace(trained, config=replace(trained.config, saliency=spec))
    summary = saliency_pairs(study)
    folder = summary.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (summary.n_pairs, summary.n_measured, summary.n_candidates) == (2, 1, 2)
    rows = pq.read_table(folder / "pairs.parquet").to_pylist()
    assert [row["image_id"] for row in rows] == list(ids[3:5])
    assert rows[0]["run_id_b"] == "tiny.dark.s1"
    assert rows[1]["mass_on_object_a"] is rows[1]["mass_on_object_b"] is None
    for side, setting in (("a", "original"), ("b", "dark")):
        assert summary.mass_on_object[setting] == pytest.approx(rows[0][f"mass_on_object_{side}"])
        told = study.paths.predictions(rows[0][f"run_id_{side}"], setting)
        seen = read_predictions(told)
        assert rows[0][f"top1_{side}"] == seen.top[3, 0]
        assert rows[0][f"p_{side}"] == pytest.approx(np.exp(-seen.loss[3]), rel=1e-5)
    assert sorted(path.name for path in (folder / "pairs").iterdir()) == ["0000.png", "0001.png"]
    with PillowImage.open(folder / rows[0]["file"]) as picture:
        assert picture.size == (256, 64)
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    (folder / "pairs/0007.png").write_bytes(b"of another time")
    saliency_pairs(study)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_what_cannot_be_drawn_is_told(trained: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    config = trained.config
    with pytest.raises(ConfigError, match="asks for no saliency maps"):
        saliency_pairs(trained)
    spec = SaliencySpec("tiny", ("original", "dark"), 1, choose="list", images=("val/x.png",))
    with pytest.raises(ConfigError, match=r"evaluates no image 'val/x\.png'"):
        saliency_pairs(replace(trained, config=replace(config, saliency=spec)))
    runs = tuple(run for run in trained.plan.runs if run.setting == "original")
    less = replace(trained, plan=replace(trained.plan, runs=runs))
    with pytest.raises(ConfigError, match=r"nothing is trained on 'dark' by tiny with seed 1"):
        saliency_pairs(replace(less, config=replace(config, saliency=spec)))
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps grad-cam"):
        require_grad_cam()


def test_a_run_that_is_not_finished_is_told(tmp_path: Path) -> None:
    spec = SaliencySpec("tiny", ("original", "dark"), 1)
    study = drawn_study(tmp_path, saliency=spec)
    with pytest.raises(RunError, match=r"tiny\.original\.s1 is not finished"):
        saliency_pairs(study)


def test_the_command_says_where_the_maps_are(trained: Study) -> None:
    ids = trained.lists["val"].image_ids
    path = trained.folder.parent / "study.yaml"
    path.write_text(
        "format: veilset-study/1\nname: drawn\nout: out\n"
        "data: {objects: {format: coco, path: objects.json}}\n"
        "settings: {original: {root: original}, dark: {root: dark}}\n"
        "networks: [{name: tiny, source: timm, model: resnet18, "
        "arguments: {layers: [1, 1, 1, 1], channels: [4, 4, 8, 8]}}]\n"
        "seeds: [1]\nrecipe: {base: small, epochs: 2, warmup_epochs: 1, batch_size: 8}\n"
        "saliency: {network: tiny, settings: [original, dark], seed: 1, choose: list, "
        f"images: [{ids[3]}]}}\n"
    )
    done = CliRunner().invoke(app, ["study", "saliency", str(path)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(trained.folder / "saliency")
    assert "1 pairs of 1 images" in done.stderr
    assert "of the maps lies on objects (1 pairs)" in done.stderr
