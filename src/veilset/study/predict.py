# SPDX-License-Identifier: Apache-2.0
"""What a trained network says of every image of a list, as a Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional

from veilset.errors import RunError
from veilset.files import discard_part, part_path, writing
from veilset.study.batches import EvalBatches
from veilset.study.feed import feed, to_device
from veilset.study.layout import (
    N_TOP,
    ROW_GROUP,
    FloatMatrix,
    FloatVector,
    IntMatrix,
    Predictions,
    predictions_schema,
    predictions_table,
)
from veilset.study.lists import ImageList
from veilset.study.networks import logits
from veilset.study.pictures import PictureSource
from veilset.study.recipe import Recipe


class PredictionWriter:
    """Writes the predictions of a list in its order; the file appears when the block ends well."""

    def __init__(
        self, path: Path, images: ImageList, metadata: Mapping[str, str], *, with_scores: bool
    ) -> None:
        """Name the file; its folder must exist.

        Args:
            path: The file.
            images: The list that is predicted.
            metadata: Of what network, setting and digests; for the schema.
            with_scores: Whether the scores of all classes are kept, or the best ones alone.
        """
        self.path, self.images = path, images
        self._with_scores = with_scores
        self._part = part_path(path)
        self._schema = predictions_schema(
            len(images.classes), with_scores=with_scores, metadata=metadata
        )
        self._waiting: list[pa.Table] = []
        self._n_waiting = self._n_written = 0

    def __enter__(self) -> Self:
        with writing(self.path):
            self._file = pq.ParquetWriter(self._part, self._schema, compression="zstd")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with writing(self.path):
                if kind is None:
                    self._flush()
                self._file.close()
            if kind is None:
                self._check_whole()
                with writing(self.path):
                    self._part.replace(self.path)
        finally:
            discard_part(self._part)

    def add(self, scores: FloatMatrix, loss: FloatVector) -> None:
        """Add what the network says of the next images.

        Args:
            scores: ``(B, K)``, logits.
            loss: ``(B,)``, nats.

        Raises:
            RunError: If a score is not a number, or the file cannot be written.
        """
        first = self._n_written + self._n_waiting
        if np.isnan(scores).any():
            row = int(np.isnan(scores).any(axis=1).argmax())
            raise RunError(
                f"The network gives no number for {self.images.image_ids[first + row]!r}. Its "
                "training went wrong: lower lr in study.yaml, and train anew."
            )
        stop = first + len(scores)
        part = Predictions(
            image_ids=self.images.image_ids[first:stop],
            labels=self.images.labels[first:stop],
            top=best_classes(scores),
            scores=scores if self._with_scores else None,
            run_id="",
            setting="",
            loss=loss,
        )
        self._waiting.append(predictions_table(part, self._schema))
        self._n_waiting += len(scores)
        if self._n_waiting >= ROW_GROUP:
            with writing(self.path):
                self._flush()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.concat_tables(self._waiting).combine_chunks()
            self._file.write_table(table, row_group_size=ROW_GROUP)
            self._n_written += len(table)
            self._waiting, self._n_waiting = [], 0

    def _check_whole(self) -> None:
        n_wanted = len(self.images.image_ids)
        if self._n_written != n_wanted:
            raise RunError(
                f"{self.path} would hold {self._n_written:,} of {n_wanted:,} images. Run again."
            )


def best_classes(scores: FloatMatrix) -> IntMatrix:
    """Give the classes with the highest scores, best first; of equal ones the lower class first.

    Args:
        scores: ``(N, K)``, none of them NaN.

    Returns:
        ``(N, min(5, K))``.

    Example:
        >>> best_classes(np.array([[1, 3, 3, 2, 0, 9]], np.float32)).tolist()
        [[5, 1, 2, 3, 0]]
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    return order[:, :N_TOP].astype(np.int32)


def predict(
    module: nn.Module,
    source: PictureSource,
    images: ImageList,
    recipe: Recipe,
    fabric: Fabric,
    sink: PredictionWriter,
    *,
    workers: int = 0,
) -> None:
    """Ask a network about all images of a list, and hand on what it says, in their order.

    Args:
        module: The network, on the device of ``fabric``; it is left in evaluation mode.
        source: Gives the pictures.
        images: The list.
        recipe: How pictures are cut, and how many are looked at together.
        fabric: Device and precision.
        sink: Takes scores and losses.
        workers: Processes that load pictures.

    Raises:
        DatasetError: If a picture cannot be had.
        RunError: If a score is not a number, or the file cannot be written.
    """
    module.eval()
    batches = EvalBatches(source, images, recipe)
    keys = range(batches.n_batches)
    pin = fabric.device.type == "cuda"
    for batch in feed(batches, keys, workers=workers, pin=pin):
        with torch.no_grad():
            pixels, labels = to_device(batch, fabric.device, recipe)
            with fabric.autocast():
                scores = logits(module, pixels)
            scores = scores.float()
            loss = functional.cross_entropy(scores, labels, reduction="none")
        sink.add(scores.cpu().numpy(), loss.cpu().numpy())
