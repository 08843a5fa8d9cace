# SPDX-License-Identifier: Apache-2.0
"""Tasks that a network is fine-tuned for: pictures of one class, or with several marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from veilset.errors import DatasetError
from veilset.files import sha256_hex
from veilset.seeds import derive
from veilset.study.batches import Batch, EvalBatches, TrainBatches
from veilset.study.config import TransferSpec
from veilset.study.feed import feed, to_device
from veilset.study.layout import (
    FloatMatrix,
    Predictions,
    predictions_schema,
    predictions_table,
)
from veilset.study.lists import ImageList
from veilset.study.networks import logits, training_loss
from veilset.study.one_run import classify
from veilset.study.pictures import FolderPictures, PictureSource
from veilset.study.predict import best_classes
from veilset.study.recipe import Recipe
from veilset.study.train import Batches, Outcome, Step, TrainingError
from veilset.study.transfer.data.celeba import read_celeba
from veilset.study.transfer.data.cifar10 import read_cifar10
from veilset.study.transfer.data.sun397 import read_sun397
from veilset.study.transfer.metrics import attribute_precision
from veilset.study.transfer.starts import Start, with_new_head

MARKS_FORMAT = "veilset-transfer-marks/1"

HELD_OUT = 0.1
"""Share of the training pictures on which learning rates are compared (ours)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a fine-tuned network came to.

    Attributes:
        metrics: In [0, 1], by name.
        counts: What they were measured on.
        table: What the network says of every test picture.
        file: Name of the file that holds it.
    """

    metrics: Mapping[str, float]
    counts: Mapping[str, int]
    table: pa.Table
    file: str = "predictions.parquet"


class Task(Protocol):
    """A data set with its loss and its metric."""

    @property
    def name(self) -> str:
        """Its name, one of ``config.TASKS``."""

    @property
    def metric(self) -> str:
        """The metric by which learning rates are compared."""

    def digests(self) -> dict[str, str]:
        """Give digests of what is trained on and tested with."""

    def network(self, start: Start, recipe: Recipe) -> nn.Module:
        """Give the network that is fine-tuned, on the CPU."""

    def batches(self, recipe: Recipe, seed: int) -> Batches:
        """Give what is trained on."""

    def step(self, device: torch.device, recipe: Recipe) -> Step:
        """Give what computes the loss of a batch."""

    def measure(
        self,
        module: nn.Module,
        recipe: Recipe,
        fabric: Fabric,
        metadata: Mapping[str, str],
        *,
        workers: int,
    ) -> Measured:
        """Test a network."""

    def held_out(self) -> Self:
        """Give the task that trains on nine tenths of its pictures, and tests with the others."""


@dataclass(frozen=True, slots=True)
class PictureTask:
    """A task with one label, or one row of marks, for each picture.

    Attributes:
        name: Name of the task.
        train: What is trained on.
        test: What is tested with; the same classes.
        pictures: Gives the pictures.
        has_marks: Whether labels are ``(N, A)`` of 0 and 1 instead of classes.
    """

    name: str
    train: ImageList
    test: ImageList
    pictures: PictureSource
    has_marks: bool = False

    @property
    def metric(self) -> str:
        """The metric by which learning rates are compared."""
        return "mAP" if self.has_marks else "top1"

    def digests(self) -> dict[str, str]:
        """Give digests of the lists of pictures and their labels."""
        return {"train": self.train.sha256, "test": self.test.sha256}

    def network(self, start: Start, recipe: Recipe) -> nn.Module:
        """Give the network of a start with its last layer made anew for this task."""
        return with_new_head(start, self.name, len(self.train.classes))

    def batches(self, recipe: Recipe, seed: int) -> TrainBatches:
        """Give what is trained on, cut and flipped as the recipe says."""
        return TrainBatches(self.pictures, self.train, recipe, seed)

    def step(self, device: torch.device, recipe: Recipe) -> Step:
        """Give the loss: cross entropy, or for marks the mean binary cross entropy of each."""

        def with_marks(module: nn.Module, batch: Batch) -> Outcome:
            pixels, marks = to_device(batch, device, recipe)
            loss, _ = training_loss(
                module,
                pixels,
                lambda given: functional.binary_cross_entropy_with_logits(
                    given, marks.to(torch.float32)
                ),
            )
            return Outcome(loss, len(marks))

        return with_marks if self.has_marks else classify(recipe, device)

    def measure(
        self,
        module: nn.Module,
        recipe: Recipe,
        fabric: Fabric,
        metadata: Mapping[str, str],
        *,
        workers: int,
    ) -> Measured:
        """Test a network, which is on the device of ``fabric``.

        Raises:
            DatasetError: If a picture cannot be had.
            TrainingError: If a score is not a number.
        """
        scores = _scores(module, EvalBatches(self.pictures, self.test, recipe), fabric, workers)
        if np.isnan(scores).any():
            row = int(np.isnan(scores).any(axis=1).argmax())
            raise TrainingError(
                "nan-loss",
                recipe.epochs * self.batches(recipe, 0).n_batches - 1,
                f"The network gives no number for {self.test.image_ids[row]!r}. Its fine-tuning "
                "went wrong: lower its learning rate in study.yaml, and run again.",
            )
        counts = {"n_images": len(scores)}
        if self.has_marks:
            mean, each = attribute_precision(self.test.labels.astype(np.bool_), scores)
            counts["n_attributes"] = sum(value is not None for value in each)
            return Measured({"mAP": mean}, counts, self._marks(scores, metadata))
        top = best_classes(scores)
        right = float((top[:, 0] == self.test.labels).mean())
        return Measured({"top1": right}, counts, self._classes(scores, top, metadata))

    def _marks(self, scores: FloatMatrix, metadata: Mapping[str, str]) -> pa.Table:
        n_marks = len(self.test.classes)
        flat = (pa.array(self.test.labels.astype(np.bool_).ravel()), pa.array(scores.ravel()))
        columns = [pa.FixedSizeListArray.from_arrays(values, n_marks) for values in flat]
        schema = pa.schema(
            [
                ("image_id", pa.string()),
                ("labels", pa.list_(pa.bool_(), n_marks)),
                ("scores", pa.list_(pa.float32(), n_marks)),
            ],
            metadata={"veilset": MARKS_FORMAT, **metadata},
        )
        names = pa.array(self.test.image_ids, pa.string())
        return pa.Table.from_arrays([names, *columns], schema=schema)

    def _classes(
        self, scores: FloatMatrix, top: NDArray[np.int32], metadata: Mapping[str, str]
    ) -> pa.Table:
        labels = self.test.labels
        given = torch.from_numpy(scores), torch.from_numpy(labels)
        predictions = Predictions(
            image_ids=self.test.image_ids,
            labels=labels,
            top=top,
            scores=scores,
            run_id=metadata["run_id"],
            setting=self.name,
            loss=functional.cross_entropy(*given, reduction="none").numpy(),
        )
        classes = sha256_hex("\0".join(self.test.classes).encode())
        digests = {"setting": self.name, "classes_sha256": classes, "list_sha256": self.test.sha256}
        schema = predictions_schema(
            len(self.test.classes), with_scores=True, metadata={**digests, **metadata}
        )
        return predictions_table(predictions, schema)

    def held_out(self) -> Self:
        """Split the training pictures; each class by itself, if each picture has one.

        The split depends on the task alone: it is the same for all networks and starts.

        Raises:
            DatasetError: If there are too few pictures to hold any out.
        """
        n_images, n_classes = len(self.train.image_ids), len(self.train.classes)
        groups = [np.arange(n_images)]
        if not self.has_marks:
            groups = [np.flatnonzero(self.train.labels == c) for c in range(n_classes)]
        is_held = hold_out(self.name, groups, n_images)
        return replace(self, train=_part(self.train, ~is_held), test=_part(self.train, is_held))


def hold_out(task: str, groups: Sequence[NDArray[np.int64]], n_images: int) -> NDArray[np.bool_]:
    """Choose a tenth of each group, at least one of two; the choice depends on the task alone.

    Args:
        task: Name of the task.
        groups: Positions of the pictures, each in one group.
        n_images: How many there are.

    Returns:
        ``(n_images,)``, true for those that are held out.

    Raises:
        DatasetError: If no group has two.
    """
    generator = np.random.Generator(np.random.PCG64(derive(0, "held-out", task)))
    is_held = np.zeros(n_images, dtype=np.bool_)
    for group in groups:
        n_held = max(1, int(len(group) * HELD_OUT)) if len(group) > 1 else 0
        is_held[generator.permutation(group)[:n_held]] = True
    if not is_held.any():
        raise DatasetError(
            f"{task}: no class has two pictures to train on, so that learning rates cannot be "
            "compared. Give a single one as lr_grid."
        )
    return is_held


def _part(images: ImageList, keep: NDArray[np.bool_]) -> ImageList:
    positions = np.flatnonzero(keep)
    names = tuple(images.image_ids[position] for position in positions)
    return ImageList(names, images.labels[positions], images.classes)


def _scores(module: nn.Module, batches: EvalBatches, fabric: Fabric, workers: int) -> FloatMatrix:
    module.eval()
    found: list[Tensor] = []
    pin = fabric.device.type == "cuda"
    for batch in feed(batches, range(batches.n_batches), workers=workers, pin=pin):
        with torch.no_grad(), fabric.autocast():
            pixels, _ = to_device(batch, fabric.device, batches.recipe)
            found.append(logits(module, pixels).float().cpu())
    scores: FloatMatrix = torch.cat(found).numpy()
    return scores


def open_picture_task(spec: TransferSpec) -> PictureTask:
    """Read the data set of a task, and check it.

    Args:
        spec: Of task ``cifar10``, ``sun397`` or ``celeba``.

    Raises:
        DatasetError: If something is missing, damaged or of another number than published.
    """
    if spec.task == "cifar10":
        cifar = read_cifar10(spec.root, sample=spec.sample)
        return PictureTask(spec.task, cifar.train, cifar.test, cifar.pictures)
    if spec.task == "sun397":
        sun = read_sun397(spec.root, partition=spec.partition, sample=spec.sample)
        pictures = FolderPictures(sun.folder, "SUN397")
        return PictureTask(spec.task, sun.train, sun.test, pictures)
    faces = read_celeba(spec.root, n_train=spec.n_train, sample=spec.sample)
    pictures = FolderPictures(faces.folder, "CelebA")
    return PictureTask(spec.task, faces.train, faces.test, pictures, has_marks=True)
