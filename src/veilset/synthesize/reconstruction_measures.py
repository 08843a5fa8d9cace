# SPDX-License-Identifier: Apache-2.0
"""How near reconstructions are to the faces, beside two that have learned nothing.

Most of a crop is surroundings that the network is given: SSIM of the whole crop, the number of
the report, is high for whoever repeats them. So it stands beside that of the context with the
mean face of the training people in the hole, and beside SSIM over the hidden pixels alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from veilset.errors import DatasetError
from veilset.files import write_atomically
from veilset.synthesize.faces_file import CONTEXTS, HIDDEN, TARGETS, FacesFile
from veilset.synthesize.generator import Generator
from veilset.synthesize.inputs import Pictures, as_planes
from veilset.synthesize.losses import ssim_map
from veilset.types import Direction, Measurement

SSIM, SSIM_HIDDEN, L1_HIDDEN = "ssim", "ssim_hidden", "l1_hidden"
NAMES = (SSIM, SSIM_HIDDEN, L1_HIDDEN)
TITLES: Mapping[str, str] = {
    SSIM: "SSIM of the whole crop",
    SSIM_HIDDEN: "SSIM of the hidden part",
    L1_HIDDEN: "mean absolute difference of the hidden part",
}
N_RESAMPLES = 2000
_BATCH = 32
_REACH_PX = 5

Scores = Mapping[str, NDArray[np.float64]]
"""``(N,)`` for each of ``NAMES``."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Some faces, and how well each is reconstructed.

    Attributes:
        rows: ``(N,)``, their places in the faces file.
        made: Of the generator.
        repeated: Of the context as it is, black in the middle.
        mean_face: Of the context with the mean face of the training faces in the hidden part.
    """

    rows: NDArray[np.int64] = field(repr=False)
    made: Scores = field(repr=False)
    repeated: Scores = field(repr=False)
    mean_face: Scores = field(repr=False)


def face_scores(found: Pictures, wanted: Pictures, hidden: NDArray[np.uint8]) -> Scores:
    """Score each picture against its original.

    Args:
        found, wanted: ``(N, H, W, 3)`` uint8.
        hidden: ``(N, H, W)`` uint8, above 0 where the face was hidden.

    Returns:
        SSIM in [-1, 1], higher is nearer, as ``losses.ssim_map``; the mean over the windows
        around hidden pixels likewise; the mean absolute difference of hidden pixels in [0, 1].

    Raises:
        DatasetError: If a face has no hidden pixel.
    """
    is_hidden = hidden > 0
    inner = is_hidden[:, _REACH_PX:-_REACH_PX, _REACH_PX:-_REACH_PX]
    if not inner.any(axis=(1, 2)).all():
        raise DatasetError("Of some face nothing is hidden. Prepare the faces anew.")
    with torch.inference_mode():
        local = ssim_map(as_planes(found, "cpu"), as_planes(wanted, "cpu")).double().numpy()
    away = np.abs(found.astype(np.float64) - wanted).mean(axis=3) / 255
    return {
        SSIM: local.mean(axis=(1, 2)),
        SSIM_HIDDEN: (local * inner).sum(axis=(1, 2)) / inner.sum(axis=(1, 2)),
        L1_HIDDEN: (away * is_hidden).sum(axis=(1, 2)) / is_hidden.sum(axis=(1, 2)),
    }


def mean_picture(data: FacesFile, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the mean of the clear crops of some faces, ``(H, W, 3)`` in [0, 255]."""
    total = np.zeros((*data.size_hw, 3))
    for part in _parts(rows):
        total += data.pictures[TARGETS].take(part.tolist()).sum(axis=0, dtype=np.float64)
    mean: NDArray[np.float64] = total / len(rows)
    return mean


def score_faces(
    generator: Generator, data: FacesFile, rows: NDArray[np.int64], mean: NDArray[np.float64]
) -> Scored:
    """Score the reconstructions of some faces, with their own attributes.

    Args:
        generator: What makes them.
        data: The faces.
        rows: Which.
        mean: As ``mean_picture`` of the training faces.
    """
    parts: dict[str, list[Scores]] = {"made": [], "repeated": [], "mean_face": []}
    plain = np.rint(mean).astype(np.uint8)
    for part in _parts(rows):
        at = part.tolist()
        targets, contexts, hidden = (
            data.pictures[kind].take(at) for kind in (TARGETS, CONTEXTS, HIDDEN)
        )
        made = generator.reconstruct(data.landmarks_xy[part], contexts, data.present[part])
        filled = np.where((hidden > 0)[..., None], plain, contexts)
        parts["made"].append(face_scores(made, targets, hidden))
        parts["repeated"].append(face_scores(contexts, targets, hidden))
        parts["mean_face"].append(face_scores(filled, targets, hidden))
    joined = {
        who: {name: np.concatenate([each[name] for each in found]) for name in NAMES}
        for who, found in parts.items()
    }
    return Scored(rows, joined["made"], joined["repeated"], joined["mean_face"])


def measure_scores(
    values: NDArray[np.float64], people: Sequence[int], title: str, *, lower: bool = False
) -> Measurement:
    """Give the mean over faces; its interval is over people, by a bootstrap that draws them.

    Where there is one person the interval is all there can be. With a handful of people a
    bootstrap is too narrow: ``n`` is their number. A share of faces is for
    ``measures.measure_share``: where all are alike a bootstrap sees no doubt.

    Args:
        values: ``(N,)``.
        people: ``(N,)``, who is on each.
        title: Name of the measurement.
        lower: Whether it gets better downward.
    """
    who = np.unique(np.asarray(people), return_inverse=True)[1]
    totals, counts = np.bincount(who, values), np.bincount(who)
    value, low, high = float(values.mean()), -np.inf, np.inf
    if len(counts) > 1:
        even = np.full(len(counts), 1 / len(counts))
        drawn = np.random.default_rng(0).multinomial(len(counts), even, size=N_RESAMPLES)
        ends = np.quantile(drawn @ totals / (drawn @ counts), (0.025, 0.975))
        low, high = min(value, float(ends[0])), max(value, float(ends[1]))
    direction = Direction.LOWER if lower else Direction.HIGHER
    return Measurement(title, value, low, high, len(counts), direction=direction)


def measure_all(scored: Scored, data: FacesFile) -> dict[str, list[Measurement]]:
    """Give a measurement of each score, of the generator and of the two that learned nothing."""
    people = data.people[scored.rows].tolist()
    named = {"made": scored.made, "repeated": scored.repeated, "mean_face": scored.mean_face}
    return {
        who: [
            measure_scores(scores[name], people, TITLES[name], lower=name == L1_HIDDEN)
            for name in NAMES
        ]
        for who, scores in named.items()
    }


def write_scores(path: Path, scored: Scored, data: FacesFile) -> None:
    """Write the scores of each face as a Parquet file: ``image_id``, ``person`` and ``NAMES``."""
    columns = {
        "image_id": [data.image_ids[row] for row in scored.rows],
        "person": data.people[scored.rows],
        **{name: scored.made[name] for name in NAMES},
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    write_atomically(path, sink.getvalue().to_pybytes())


def _parts(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (rows[at : at + _BATCH] for at in range(0, len(rows), _BATCH))
