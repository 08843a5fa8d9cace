# SPDX-License-Identifier: Apache-2.0
"""Faces drawn by code, as a faces file: nobody's."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.unit.networks.drawn_landmarks import drawn_landmarks
from veilset.protocols import Shard, ShardReport
from veilset.runs import Run
from veilset.synthesize.faces_file import STAGE, FaceRow, write_faces
from veilset.synthesize.prepared import split_people
from veilset.synthesize.preparing import PrepareConfig, cut_face
from veilset.types import Image, ImageRecord

NAMES = ("Blond_Hair", "Smiling", "Young", "Pale_Skin")
CONFIG = PrepareConfig(size_hw=(32, 32), aspect=1.0)


def drawn_photo(present: NDArray[np.bool_], landmarks_xy: NDArray[np.float64], seed: int) -> Image:
    """Give ``(100, 100, 3)``: hair, skin and mouth say which attributes there are."""
    rng = np.random.default_rng(seed)
    image = np.empty((100, 100, 3), np.uint8)
    image[:] = rng.integers(0, 256, 3)
    x, y = np.moveaxis(np.indices((100, 100)), 0, -1)[..., ::-1].reshape(-1, 2).T + 0.5
    middle = landmarks_xy.mean(axis=0)
    away = np.hypot((x - middle[0]) / 32, (y - middle[1] + 4) / 42).reshape(100, 100)
    image[away < 1.2] = (230, 200, 60) if present[0] else (50, 30, 20)
    image[away < 0.9] = (240, 215, 205) if present[3] else (190, 130, 100)
    for px, py in landmarks_xy[48:].astype(int):
        image[py : py + (4 if present[1] else 1), px] = (170, 20, 40)
    if not present[2]:
        image[int(middle[1]) - 22, 30:70] = 90
    return image


def write_drawn_faces(folder: Path, n_people: int = 8, n_each: int = 5) -> Path:
    """Write a faces file of two shards; each third photograph of the first person has no face."""
    splits = split_people(range(n_people), seed=CONFIG.seed)
    rows = [_row(person, at, splits[person]) for person in range(n_people) for at in range(n_each)]
    half = len(rows) // 2
    with Run.open(folder, STAGE, asdict(CONFIG), {"drawn": True}) as run:
        parts = (rows[:half], rows[half:])
        shards = [
            Shard(index, tuple(ImageRecord(row.image_id) for row in part))
            for index, part in enumerate(parts)
        ]
        for shard in run.missing(shards):
            part = parts[shard.index]
            digest = write_faces(folder, shard.index, part)
            counts = {"prepared": sum(row.cut is not None for row in part)}
            ends = part[0].image_id, part[-1].image_id
            run.commit(ShardReport(shard.index, len(part), counts, {}, digest, *ends))
        run.finish(extra={"attributes": list(NAMES)})
    return folder


def _row(person: int, at: int, split: str) -> FaceRow:
    rng = np.random.default_rng([person, at])
    present = rng.random(len(NAMES)) < 0.6
    name = f"{person:02d}-{at}.png"
    if person == 0 and at % 3 == 2:
        return FaceRow(name, person, split, present, reason="no-face", message="None was found.")
    landmarks_xy = drawn_landmarks(
        (50 + rng.uniform(-3, 3), 55.0), width=46 + rng.uniform(0, 6), turn=rng.uniform(-0.2, 0.2)
    )
    image = drawn_photo(present, landmarks_xy, seed=person)
    return FaceRow(
        name, person, split, present, cut_face(image, (25, 25, 75, 95), landmarks_xy, CONFIG)
    )
