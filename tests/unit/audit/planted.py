# SPDX-License-Identifier: Apache-2.0
"""Estimators whose answers can be computed by hand, and small photographs for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from veilset.audit import estimators
from veilset.files import sha256_file
from veilset.protocols import Guess
from veilset.types import Annotations, Image, ModelCard, Region, Status

FACE_CARD = ModelCard("planted-faces", "drawn by code", "CC0-1.0", True, "a" * 64)
CLASS_CARD = ModelCard("planted-classes", "drawn by code", "unknown", None, "b" * 64)
NSFW_CARD = ModelCard("planted-nsfw", "drawn by code", "AGPL-3.0", True, "c" * 64, "Duties apply.")

POISON = 13
"""Red value of an image at which every planted estimator fails."""

TOLD = "what is in the file"


def _check(image: Image) -> int:
    red = int(image[0, 0, 0])
    if red == POISON:
        raise RuntimeError(TOLD)
    return red


@dataclass
class PlantedFaces:
    """The red of the image is the age; a face narrower than 10 px cannot be judged."""

    settings: Mapping[str, str | int | float | bool] = field(default_factory=lambda: {"year": 1})
    cards: Sequence[ModelCard] = (FACE_CARD,)
    n_seen: int = 0

    def estimate(
        self, image: Image, faces: Sequence[Region]
    ) -> list[Mapping[str, str | int | float | bool]]:
        age = float(_check(image))
        self.n_seen += 1
        return [
            {"age": age, "gender": "female", "gender_score": 0.75}
            if face.box_xyxy[2] - face.box_xyxy[0] >= 10
            else {}
            for face in faces
        ]


@dataclass
class PlantedClasses:
    """The category is the red of the image, by name ``n000000RR``."""

    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    cards: Sequence[ModelCard] = (CLASS_CARD,)
    labels: Mapping[str, str] = field(
        default_factory=lambda: {f"n{red:08d}": f"reds of {red}" for red in range(256)}
    )

    def classify(self, images: Sequence[Image]) -> list[tuple[Guess, ...]]:
        reds = [_check(image) for image in images]
        return [(Guess(f"n{red:08d}", 0.875), Guess("n99999999", 0.125)) for red in reds]


@dataclass
class PlantedNsfw:
    """A candidate in each image whose red is even."""

    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    card: ModelCard = NSFW_CARD
    batch_size: int = 3
    kind: str = "nsfw"

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        region = Region((5.0, 5.0, 9.0, 9.0), self.kind, 0.5, attributes={"label": "planted"})
        return [() if _check(image) % 2 else (region,) for image in images]


def plant(monkeypatch: pytest.MonkeyPatch, **made: object) -> None:
    """Let every plugin name give a planted estimator.

    Args:
        monkeypatch: Takes it back.
        made: Instead of the default ones: ``faces``, ``classes``, ``nsfw``.
    """
    for factory, name, default in (
        ("make_face_estimator", "faces", PlantedFaces()),
        ("make_classifier", "classes", PlantedClasses()),
        ("make_detector", "nsfw", PlantedNsfw()),
    ):
        answer = made.get(name, default)
        monkeypatch.setattr(estimators, factory, lambda _name, _settings, answer=answer: answer)


def write_photo(path: Path, red: int, size_wh: tuple[int, int] = (60, 40)) -> None:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PilImage.fromarray(np.full((*size_wh[::-1], 3), (red, 90, 60), np.uint8)).save(path, "PNG")


def searched(photos: Path, image_id: str, *regions: Region) -> Annotations:
    """Give the row that a search of that file would have written."""
    path = photos / image_id
    with PilImage.open(path) as picture:
        width, height = picture.size
    return Annotations(
        image_id, Status.LOOKED, regions, width, height, sha256_file(path), path.stat().st_size
    )
