# SPDX-License-Identifier: Apache-2.0
"""Detection on Pascal VOC: Faster R-CNN on the ResNet of a run, with a feature pyramid.

The paper used MMDetection; this is torchvision's. Sides of 600 to 1,000 pixels, frozen norm
layers, and a first stage that is not trained are what both have by default for VOC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d

from veilset.errors import ConfigError, DatasetError
from veilset.seeds import derive
from veilset.study.batches import n_batches
from veilset.study.config import NetworkSpec, TransferSpec
from veilset.study.crops import flips
from veilset.study.feed import feed
from veilset.study.networks import build
from veilset.study.pictures import FolderPictures
from veilset.study.recipe import Recipe
from veilset.study.train import Outcome, Step
from veilset.study.transfer.coco_metric import coco_precision
from veilset.study.transfer.data.voc import CATEGORIES, Scene, read_voc_detection
from veilset.study.transfer.metrics import FoundObjects, voc07_precisions
from veilset.study.transfer.starts import Start, load_trained
from veilset.study.transfer.tasks import Measured, hold_out

DETECTIONS_FORMAT = "veilset-detections/1"
PERSON = CATEGORIES.index("person")

LONGER_SIDE = 5 / 3
"""Most of it as a multiple of the shorter side: 1,000 for 600 pixels."""

_SCHEMA = [("image_id", pa.string()), ("category", pa.string())] + [
    (name, pa.float32()) for name in ("x0", "y0", "x1", "y1", "score")
]


@dataclass(frozen=True, slots=True)
class SceneBatch:
    """Pictures of several sizes, and what is in them.

    Attributes:
        pixels: ``(3, H, W)`` uint8 RGB each.
        boxes_xyxy: ``(N, 4)`` float32 each, pixels.
        labels: ``(N,)`` int64 each: positions in ``voc.CATEGORIES``, plus one.
    """

    pixels: tuple[Tensor, ...]
    boxes_xyxy: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]

    def pin_memory(self) -> SceneBatch:
        """Give the same batch in page-locked memory, from which a GPU can fetch it."""
        return SceneBatch(
            tuple(each.pin_memory() for each in self.pixels),
            tuple(each.pin_memory() for each in self.boxes_xyxy),
            tuple(each.pin_memory() for each in self.labels),
        )


@dataclass(frozen=True, slots=True)
class SceneBatches:
    """The batches of a training, or with seed None those of a test, in the order of the list.

    Attributes:
        pictures: Gives the pictures.
        scenes: What is in them.
        recipe: Size of a batch and probability of a mirrored picture.
        seed: Seed of the run.
    """

    pictures: FolderPictures
    scenes: tuple[Scene, ...]
    recipe: Recipe
    seed: int | None

    @property
    def n_batches(self) -> int:
        """Batches in an epoch; the last may be smaller, if the recipe does not drop it."""
        whole = replace(self.recipe, drop_last=False) if self.seed is None else self.recipe
        return n_batches(len(self.scenes), whole)

    def __getitem__(self, key: tuple[int, int]) -> SceneBatch:
        """Make the batch ``(epoch, batch)``.

        Raises:
            DatasetError: If a picture cannot be had, or is not of the size that was annotated.
        """
        epoch, batch = key
        order = torch.arange(len(self.scenes))
        generator = torch.Generator()
        if self.seed is not None:
            generator.manual_seed(derive(self.seed, "order", epoch))
            order = torch.randperm(len(self.scenes), generator=generator)
        size = self.recipe.batch_size
        made = []
        for position in order[batch * size : (batch + 1) * size].tolist():
            is_flipped = False
            if self.seed is not None:
                generator.manual_seed(derive(self.seed, "picture", epoch, position))
                is_flipped = flips(generator, self.recipe.flip)
            made.append(self._scene(self.scenes[position], is_flipped=is_flipped))
        pixels, boxes, labels = zip(*made, strict=True)
        return SceneBatch(pixels, boxes, labels)

    def _scene(self, scene: Scene, *, is_flipped: bool) -> tuple[Tensor, Tensor, Tensor]:
        picture = self.pictures.read(scene.image_id)
        if picture.size != scene.size_wh:
            raise DatasetError(
                f"VOC/{scene.image_id} has {picture.size[0]} x {picture.size[1]} pixels, its "
                f"annotation says {scene.size_wh[0]} x {scene.size_wh[1]}. Unpack it again."
            )
        pixels = np.asarray(picture)
        boxes = scene.boxes_xyxy
        if is_flipped:
            pixels = pixels[:, ::-1]
            x0, y0, x1, y1 = boxes.T
            boxes = np.stack([scene.size_wh[0] - x1, y0, scene.size_wh[0] - x0, y1], axis=1)
        return (
            torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))),
            torch.from_numpy(boxes.astype(np.float32)),
            torch.from_numpy(scene.categories + 1),
        )


@dataclass(frozen=True, slots=True)
class DetectionTask:
    """Finding the objects of VOC.

    Attributes:
        train: What is trained on: no difficult objects, and no picture without others.
        test: What is tested with, all of it.
        pictures: Gives the pictures.
    """

    train: tuple[Scene, ...]
    test: tuple[Scene, ...]
    pictures: FolderPictures

    @property
    def name(self) -> str:
        """Name of the task."""
        return "voc-detection"

    @property
    def metric(self) -> str:
        """The metric by which learning rates are compared."""
        return "mAP50_voc07"

    def digests(self) -> dict[str, str]:
        """Give digests of the lists of pictures and their objects."""
        return {"train": _digest(self.train), "test": _digest(self.test)}

    def network(self, start: Start, recipe: Recipe) -> nn.Module:
        """Give a detector on the layers of a trained ResNet.

        Everything else is drawn from the seed and the task alone.
        """
        resnet = build(_with_frozen_norms(start.network), start.n_classes, seed=start.seed)
        load_trained(resnet, start)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(start.seed, "head", self.name))
            return _detector(resnet, recipe)

    def batches(self, recipe: Recipe, seed: int) -> SceneBatches:
        """Give what is trained on."""
        return SceneBatches(self.pictures, self.train, recipe, seed)

    def step(self, device: torch.device, recipe: Recipe) -> Step:
        """Give the sum of the four losses of Faster R-CNN."""

        def step(module: nn.Module, batch: SceneBatch) -> Outcome:
            targets = [
                {"boxes": boxes.to(device), "labels": labels.to(device)}
                for boxes, labels in zip(batch.boxes_xyxy, batch.labels, strict=True)
            ]
            losses: dict[str, Tensor] = module(_images(batch, device), targets)
            return Outcome(torch.stack(list(losses.values())).sum(), len(targets))

        return step

    def measure(
        self,
        module: nn.Module,
        recipe: Recipe,
        fabric: Fabric,
        metadata: Mapping[str, str],
        *,
        workers: int,
    ) -> Measured:
        """Test a detector, which is on the device of ``fabric``.

        Raises:
            DatasetError: If a picture cannot be had.
        """
        module.eval()
        batches = SceneBatches(self.pictures, self.test, recipe, None)
        keys = ((0, batch) for batch in range(batches.n_batches))
        pin = fabric.device.type == "cuda"
        found: list[FoundObjects] = []
        for batch in feed(batches, keys, workers=workers, pin=pin):
            with torch.no_grad(), fabric.autocast():
                outputs = module(_images(batch, fabric.device))
            found += [
                _found(output, scene)
                for output, scene in zip(outputs, self.test[len(found) :], strict=False)
            ]
        mean, each = voc07_precisions(self.test, found)
        coco = coco_precision(self.test, found)
        known = {
            "mAP50_voc07": mean,
            "mAP50": coco.at_50,
            "mAP": coco.mean,
            "AP50_voc07_person": each[PERSON],
            "AP50_person": coco.each_at_50[PERSON],
        }
        metrics = {name: value for name, value in known.items() if value is not None}
        n_objects = sum(int((~scene.difficult).sum()) for scene in self.test)
        counts = {"n_images": len(self.test), "n_objects": n_objects}
        return Measured(metrics, counts, _table(found, metadata), "detections.parquet")

    def held_out(self) -> Self:
        """Split the training pictures; the split is the same for all networks and starts."""
        is_held = hold_out(self.name, [np.arange(len(self.train))], len(self.train))
        parts = [
            tuple(scene for scene, held in zip(self.train, is_held, strict=True) if held == wanted)
            for wanted in (False, True)
        ]
        return replace(self, train=parts[0], test=parts[1])


def check_backbones(networks: Sequence[NetworkSpec]) -> None:
    """Check that detectors can be made of some networks.

    Raises:
        ConfigError: If one is no ResNet of torchvision.
    """
    for network in networks:
        try:
            with torch.device("meta"):
                is_fit = isinstance(build(_with_frozen_norms(network), 1, seed=0), ResNet)
        except ConfigError:
            is_fit = False
        if not is_fit or network.source != "torchvision":
            raise ConfigError(
                f"voc-detection needs a ResNet of torchvision, and {network.name} is none. "
                "Leave it out of 'networks' of this task."
            )


def _with_frozen_norms(network: NetworkSpec) -> NetworkSpec:
    return replace(network, arguments={**network.arguments, "norm_layer": FrozenBatchNorm2d})


def open_detection_task(spec: TransferSpec) -> DetectionTask:
    """Read VOC 2007 and 2012, and check them.

    Raises:
        DatasetError: If something is missing, damaged or of another number than published.
    """
    data = read_voc_detection(spec.root, sample=spec.sample)
    without = (_without_difficult(scene) for scene in data.train)
    train = tuple(scene for scene in without if len(scene.categories))
    return DetectionTask(train, data.test, FolderPictures(data.folder, "VOC"))


def _without_difficult(scene: Scene) -> Scene:
    keep = ~scene.difficult
    return replace(
        scene,
        boxes_xyxy=scene.boxes_xyxy[keep],
        categories=scene.categories[keep],
        difficult=scene.difficult[keep],
    )


def _detector(resnet: Any, recipe: Recipe) -> nn.Module:
    for name, parameter in resnet.named_parameters():
        parameter.requires_grad_(name.startswith(("layer2", "layer3", "layer4")))
    widths = [resnet.inplanes // 8 * 2**stage for stage in range(4)]
    layers = {f"layer{stage + 1}": str(stage) for stage in range(4)}
    detector: nn.Module = FasterRCNN(
        BackboneWithFPN(resnet, layers, widths, 256),
        num_classes=1 + len(CATEGORIES),
        min_size=recipe.train_size,
        max_size=round(recipe.train_size * LONGER_SIDE),
        image_mean=list(recipe.mean),
        image_std=list(recipe.std),
    )
    return detector


def _images(batch: SceneBatch, device: torch.device) -> list[Tensor]:
    return [each.to(device, non_blocking=True).to(torch.float32) / 255 for each in batch.pixels]


def _found(output: Mapping[str, Tensor], scene: Scene) -> FoundObjects:
    return FoundObjects(
        scene.image_id,
        output["boxes"].float().cpu().numpy().astype(np.float64),
        output["labels"].cpu().numpy() - 1,
        output["scores"].float().cpu().numpy().astype(np.float64),
    )


def _table(found: list[FoundObjects], metadata: Mapping[str, str]) -> pa.Table:
    boxes = np.concatenate([row.boxes_xyxy for row in found]).astype(np.float32)
    categories: NDArray[np.int64] = np.concatenate([row.categories for row in found])
    columns = [
        [row.image_id for row in found for _ in row.scores],
        [CATEGORIES[category] for category in categories],
        *boxes.T,
        np.concatenate([row.scores for row in found]).astype(np.float32),
    ]
    schema = pa.schema(_SCHEMA, metadata={"veilset": DETECTIONS_FORMAT, **metadata})
    arrays = [pa.array(column, each.type) for column, each in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _digest(scenes: tuple[Scene, ...]) -> str:
    digest = hashlib.sha256()
    for scene in scenes:
        numbers = (scene.boxes_xyxy.tolist(), scene.categories.tolist(), scene.difficult.tolist())
        digest.update(f"{scene.image_id}\t{scene.size_wh}\t{numbers}\n".encode())
    return digest.hexdigest()
