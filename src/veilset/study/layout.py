# SPDX-License-Identifier: Apache-2.0
"""What a study writes, and where: names, columns, and reading it back.

``docs/study.md`` describes the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from veilset.errors import RunError
from veilset.files import sha256_hex, write_atomically, writing

IntVector: TypeAlias = NDArray[np.int64]
"""``(N,)`` whole numbers."""

IntMatrix: TypeAlias = NDArray[np.int32]
"""``(N, M)`` whole numbers."""

FloatVector: TypeAlias = NDArray[np.float32]
"""``(N,)`` numbers."""

FloatMatrix: TypeAlias = NDArray[np.float32]
"""``(N, M)`` numbers."""

LIST_FORMAT = "veilset-study-list/1"
PREDICTIONS_FORMAT = "veilset-predictions/1"
ROW_GROUP = 4096
N_TOP = 5

LIST_SCHEMA = pa.schema(
    [("image_id", pa.string()), ("label", pa.int32())], metadata={"veilset": LIST_FORMAT}
)


@dataclass(frozen=True, slots=True)
class StudyPaths:
    """The files of a study.

    Attributes:
        folder: Its folder.
    """

    folder: Path

    @property
    def started(self) -> Path:
        """What the images are."""
        return self.folder / "started.json"

    @property
    def plan(self) -> Path:
        """The runs."""
        return self.folder / "plan.json"

    @property
    def results(self) -> Path:
        """All that was evaluated."""
        return self.folder / "study.json"

    @property
    def facts(self) -> Path:
        """Folder of what is known about images and categories."""
        return self.folder / "facts"

    @property
    def tables(self) -> Path:
        """Folder of tables for people."""
        return self.folder / "tables"

    @property
    def figures(self) -> Path:
        """Folder of figures."""
        return self.folder / "figures"

    @property
    def saliency(self) -> Path:
        """Folder of saliency maps; it holds pictures of people."""
        return self.folder / "saliency"

    def images(self, split: str) -> Path:
        """Give the list of the images of a split, ``train`` or ``val``."""
        return self.folder / "lists" / f"{split}.parquet"

    def run(self, run_id: str) -> Path:
        """Give the folder of a run."""
        return self.folder / "runs" / run_id

    def predictions(self, run_id: str, setting: str) -> Path:
        """Give what a run says of the validation images of a setting."""
        return self.folder / "predictions" / run_id / f"{setting}.parquet"

    def transfer(self, task: str, run_id: str) -> Path:
        """Give the folder of a run of another task."""
        return self.folder / "transfer" / task / run_id


def run_name(network: str, setting: str, seed: int) -> str:
    """Name a run.

    Example:
        >>> run_name("resnet18", "blurred", 1)
        'resnet18.blurred.s1'
    """
    return f"{network}.{setting}.s{seed}"


def write_table(path: Path, table: pa.Table) -> str:
    """Write a Parquet file whole or not at all; its folder is made.

    Returns:
        SHA-256 of the file, lower-case hex.

    Raises:
        RunError: If it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=ROW_GROUP)
    data = sink.getvalue().to_pybytes()
    write_atomically(path, data)
    return sha256_hex(data)


def open_table(
    path: Path,
    format_name: str,
    *,
    expect: Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Read a Parquet file of a study, and check that it is what it should be.

    Args:
        path: The file.
        format_name: Its format, as the key ``veilset`` of its metadata has it.
        expect: Further metadata that it must have.
        columns: What to read; None for all.

    Raises:
        RunError: If it is missing, damaged, of another format or of other inputs.
    """
    try:
        found = pq.ParquetFile(path, memory_map=True)
        metadata = {
            bytes(key).decode(): bytes(value).decode()
            for key, value in (found.schema_arrow.metadata or {}).items()
            if key != b"ARROW:schema"
        }
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing. 'veilset study run' writes it.") from error
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    if metadata.get("veilset") != format_name:
        raise RunError(f"{path} is no {format_name} of Veilset. Delete it, and run again.")
    for key, value in (expect or {}).items():
        if metadata.get(key) != value:
            raise RunError(
                f"{path} was made from another {key.removesuffix('_sha256').replace('_', ' ')}. "
                "Delete it; 'veilset study run' writes it again."
            )
    try:
        return found.read(columns=list(columns) if columns else None)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(f"{path} is damaged ({type(error).__name__}). Delete it, and run again.")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a network says of a list of images.

    Attributes:
        image_ids: The images, in the order of the list.
        labels: ``(N,)`` int64, their true classes.
        top: ``(N, min(5, K))`` int32, the classes it thinks most likely, best first.
        scores: ``(N, K)`` float32, logits of all classes; None if they were not kept.
        run_id: The run whose weights they come from.
        setting: The setting in which it saw the images.
        loss: ``(N,)`` float32, cross entropy in nats.
    """

    image_ids: tuple[str, ...]
    labels: IntVector
    top: IntMatrix
    scores: FloatMatrix | None
    run_id: str
    setting: str
    loss: FloatVector


def predictions_schema(
    n_classes: int, *, with_scores: bool, metadata: Mapping[str, str]
) -> pa.Schema:
    """Give the columns of a file of predictions.

    Args:
        n_classes: K.
        with_scores: Whether the scores of all classes are kept; else the column is null.
        metadata: ``run_id``, ``setting`` and the digests of what they were made from.
    """
    scores = pa.list_(pa.float32(), n_classes) if with_scores else pa.null()
    return pa.schema(
        [
            ("image_id", pa.string()),
            ("label", pa.int32()),
            ("top", pa.list_(pa.int32(), min(N_TOP, n_classes))),
            ("loss", pa.float32()),
            ("scores", scores),
        ],
        metadata={"veilset": PREDICTIONS_FORMAT, **metadata},
    )


def predictions_table(predictions: Predictions, schema: pa.Schema) -> pa.Table:
    """Give predictions, or a part of them, as a table."""
    n_images = len(predictions.image_ids)
    scores: Any = pa.nulls(n_images)
    if predictions.scores is not None:
        scores = _fixed(predictions.scores, pa.float32())
    columns = [
        pa.array(predictions.image_ids, pa.string()),
        pa.array(predictions.labels, pa.int32()),
        _fixed(predictions.top, pa.int32()),
        pa.array(predictions.loss, pa.float32()),
        scores,
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def write_predictions(
    path: Path, predictions: Predictions, *, n_classes: int, digests: Mapping[str, str]
) -> str:
    """Write predictions; errors and result as ``write_table``.

    Args:
        path: The file.
        predictions: What it will hold.
        n_classes: How many classes there are.
        digests: ``weights_sha256``, ``classes_sha256``, ``list_sha256``, ``recipe_sha256``.
    """
    metadata = {"run_id": predictions.run_id, "setting": predictions.setting, **digests}
    schema = predictions_schema(
        n_classes, with_scores=predictions.scores is not None, metadata=metadata
    )
    return write_table(path, predictions_table(predictions, schema))


def read_predictions(path: Path, expect: Mapping[str, str] | None = None) -> Predictions:
    """Read predictions.

    Args:
        path: The file.
        expect: Metadata that it must have, as ``run_id`` or ``weights_sha256``.

    Raises:
        RunError: If it is missing, damaged, or of other inputs.
    """
    table = open_table(path, PREDICTIONS_FORMAT, expect=expect)
    metadata = table.schema.metadata
    has_scores = not pa.types.is_null(table.schema.field("scores").type)
    return Predictions(
        image_ids=tuple(table["image_id"].to_pylist()),
        labels=table["label"].to_numpy().astype(np.int64),
        top=_matrix(table["top"], np.int32),
        scores=_matrix(table["scores"], np.float32) if has_scores else None,
        run_id=metadata[b"run_id"].decode(),
        setting=metadata[b"setting"].decode(),
        loss=table["loss"].to_numpy(),
    )


def _fixed(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).ravel(), kind)
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _matrix(column: pa.ChunkedArray, kind: type[np.generic]) -> NDArray[Any]:
    width = column.type.list_size
    flat: NDArray[Any] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(kind, copy=False).reshape(-1, width)
