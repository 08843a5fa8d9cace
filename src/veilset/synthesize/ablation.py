# SPDX-License-Identifier: Apache-2.0
"""The two choices of stage 2 in all four combinations, on the same faces from the same seed.

One training each: the intervals tell how far people differ, not how far trainings would that
begin with other seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from veilset.errors import RunError
from veilset.files import finite, write_atomically
from veilset.runs import json_bytes, make_folder
from veilset.spreadsheets import csv_text
from veilset.synthesize.inputs import AttributePlanes
from veilset.synthesize.machine import Machine
from veilset.synthesize.reconstruction_measures import L1_HIDDEN, NAMES, TITLES, measure_scores
from veilset.synthesize.reconstruction_training import (
    SCORES,
    Loss,
    ReconstructionConfig,
    train_reconstruction,
)
from veilset.synthesize.training import Habits
from veilset.types import Measurement

TABLE = "ablation"
BASE = (Loss.SSIM, AttributePlanes.CONSTANT)
"""What the others are compared with: the final report's."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One combination.

    Attributes:
        loss: What the network was asked for.
        planes: How attributes became planes.
        measured: A measurement of each score.
        compared: The mean difference from ``BASE``, face by face; empty for ``BASE`` itself.
    """

    loss: Loss
    planes: AttributePlanes
    measured: tuple[Measurement, ...]
    compared: tuple[Measurement, ...]


def ablate(
    faces: Path,
    folder: Path,
    config: ReconstructionConfig | None = None,
    *,
    machine: Machine | None = None,
    habits: Habits | None = None,
) -> list[Variant] | None:
    """Train all combinations, each in a folder of its own, and compare them.

    Run again, it goes on where it was stopped. ``ablation.csv`` and ``ablation.json`` are written
    when all are done.

    Args:
        faces: Folder of prepared faces.
        folder: Holds the folders ``LOSS-PLANES`` and the tables.
        config: What they have in common; its loss and planes are not used.
        machine, habits: As ``train_reconstruction``.

    Returns:
        ``BASE`` first; None if it was stopped.

    Raises:
        ConfigError, DatasetError, RunError: As ``train_reconstruction``.
    """
    config = config or ReconstructionConfig()
    make_folder(folder)
    pairs = sorted(product(Loss, AttributePlanes), key=lambda pair: pair != BASE)
    scores = []
    for loss, planes in pairs:
        inputs = replace(config.inputs, planes=planes)
        asked = replace(config, loss=loss, inputs=inputs)
        place = folder / f"{loss}-{planes}"
        if train_reconstruction(faces, place, asked, machine=machine, habits=habits) is None:
            return None
        scores.append(pq.read_table(place / SCORES).to_pydict())
    if any(each["image_id"] != scores[0]["image_id"] for each in scores):
        raise RunError(f"The trainings in {folder} saw other faces. Delete it, and run again.")
    found = []
    for (loss, planes), own in zip(pairs, scores, strict=True):
        people = own["person"]
        away = {name: np.subtract(own[name], scores[0][name]) for name in NAMES}
        plain = {name: np.asarray(own[name]) for name in NAMES}
        titles = {name: f"{TITLES[name]}, less that of the base" for name in NAMES}
        compared = () if own is scores[0] else _measure(away, people, titles)
        found.append(Variant(loss, planes, _measure(plain, people, TITLES), compared))
    _write(folder, found)
    return found


def _measure(
    values: Mapping[str, NDArray[np.float64]], people: Sequence[int], titles: Mapping[str, str]
) -> tuple[Measurement, ...]:
    return tuple(
        measure_scores(values[name], people, titles[name], lower=name == L1_HIDDEN)
        for name in NAMES
    )


def _write(folder: Path, variants: Sequence[Variant]) -> None:
    write_atomically(folder / f"{TABLE}.json", json_bytes([asdict(each) for each in variants]))
    header = ("loss", "planes", "measure", "value", "low", "high", "n_people")
    rows = []
    for each in variants:
        for measured in (*each.measured, *each.compared):
            ends = (measured.value, measured.low, measured.high)
            numbers = (finite(round(end, 6)) for end in ends)
            rows.append([each.loss, each.planes, measured.name, *numbers, measured.n])
    write_atomically(folder / f"{TABLE}.csv", csv_text(header, rows).encode())
