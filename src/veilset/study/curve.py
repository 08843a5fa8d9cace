# SPDX-License-Identifier: Apache-2.0
"""What the epochs of a training came to: ``curve.parquet``, a row for each that is finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from veilset.errors import RunError
from veilset.files import discard_part, part_path, writing

FORMAT = "veilset-study-curve/1"
NAME = "curve.parquet"

SCHEMA = pa.schema(
    [
        ("epoch", pa.int32()),
        ("lr", pa.float64()),
        ("loss", pa.float64()),
        ("top1", pa.float64()),
        ("images", pa.int64()),
        ("seconds", pa.float64()),
    ],
    metadata={"veilset": FORMAT},
)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to.

    Attributes:
        epoch: Its number, from 0.
        lr: Learning rate of its last step.
        loss: Mean over the images, as they were trained on.
        top1: Share that was classified right, of the same; None where there are no classes.
        images: How many there were.
        seconds: Time that was spent on it, over all sessions.
    """

    epoch: int
    lr: float
    loss: float
    top1: float | None
    images: int
    seconds: float


def write_curve(folder: Path, epochs: Sequence[Epoch]) -> None:
    """Write the table of a training into its folder, whole.

    Raises:
        RunError: If it cannot be written.
    """
    path = folder / NAME
    part = part_path(path)
    table = pa.Table.from_pylist([asdict(epoch) for epoch in epochs], schema=SCHEMA)
    try:
        with writing(path):
            pq.write_table(table, part, compression="zstd")
            part.replace(path)
    except BaseException:
        discard_part(part)
        raise


def read_curve(folder: Path) -> list[Epoch]:
    """Read the table of a training; empty if no epoch is finished.

    Raises:
        RunError: If the file is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return []
    try:
        table = pq.read_table(path)
        return [Epoch(**row) for row in table.select(SCHEMA.names).to_pylist()]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise RunError(
            f"{path} is damaged ({error}). Delete {folder} to train it anew, or restore the file."
        ) from error
