# SPDX-License-Identifier: Apache-2.0
"""The values that stages exchange. All are frozen; none holds pixels.

Conventions (``docs/conventions.md`` has them in full): pixels are RGB after EXIF
orientation; boxes are ``x0 y0 x1 y1`` in pixels, half-open, x to the right and y
down; an image is named by its ``image_id``, the POSIX path below the root.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf, isfinite
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from veilset.errors import BoxError

Image: TypeAlias = NDArray[np.uint8]
"""Pixels, ``(H, W, 3)``, ``uint8`` in [0, 255], RGB, after EXIF orientation."""

FloatBoxes: TypeAlias = NDArray[np.float64]
"""``(N, 4)``, ``x0 y0 x1 y1`` in pixels, half-open, ``x0 <= x1`` and ``y0 <= y1``."""

IntBoxes: TypeAlias = NDArray[np.int64]
"""``(N, 4)``, as ``FloatBoxes`` in whole pixels: use as ``image[y0:y1, x0:x1]``."""

Mask: TypeAlias = NDArray[np.bool_]
"""``(H, W)``, true where a pixel belongs to the set."""

BoxXyxy: TypeAlias = tuple[float, float, float, float]
"""One box, ``(x0, y0, x1, y1)`` in pixels."""


class Status(StrEnum):
    """What is known about the regions of an image. The three are never mixed."""

    LOOKED = "looked"
    """Every region the detector or person found is listed; none may be a finding too."""
    NOT_LOOKED = "not_looked"
    """Nobody and nothing has searched this image yet."""
    COULD_NOT_LOOK = "could_not_look"
    """The image could not be searched; ``reason`` says why."""


class Origin(StrEnum):
    """Where a region comes from."""

    DETECTED = "detected"
    IMPORTED = "imported"
    REVIEWED = "reviewed"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a data set, before it is opened.

    Attributes:
        image_id: POSIX path of the file below the root of the data set; unique.
        problem: Why the image cannot be used although it was listed, "" if nothing is known.
    """

    image_id: str
    problem: str = ""

    @property
    def order_key(self) -> tuple[str, ...]:
        """The order of every data set and annotation set: by the parts of the path."""
        return tuple(self.image_id.split("/"))

    @property
    def category(self) -> str:
        """Name of the folder that holds the image, "" for one at the root."""
        return self.image_id.rpartition("/")[0].rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Region:
    """A place in an image that has to be hidden.

    Attributes:
        box_xyxy: ``(x0, y0, x1, y1)`` in pixels of the oriented image, half-open.
        kind: What it shows: ``face``, ``nsfw``, ``plate``, ``text``, ``person``, ...
        score: Confidence of the detector in [0, 1]; None when a person drew it.
        origin: Detected, imported or reviewed.
        landmarks_xy: Points ``(x, y)`` in pixels; for a face the eyes, the nose and the
            corners of the mouth, left in the picture first, or the 68 of iBUG 300-W, which
            ``synthesize select`` notes. May be empty.
        attributes: Further facts, values of str, int, float or bool.

    Raises:
        BoxError: If a coordinate or the score is not finite, or the box is turned inside out.
    """

    box_xyxy: BoxXyxy
    kind: str = "face"
    score: float | None = None
    origin: Origin = Origin.DETECTED
    landmarks_xy: tuple[tuple[float, float], ...] = ()
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box_xyxy
        if not (-inf < x0 <= x1 < inf and -inf < y0 <= y1 < inf):
            raise BoxError(
                f"Box {self.box_xyxy} is turned inside out or not finite. "
                "Boxes are x0 y0 x1 y1 in pixels, x0 <= x1 and y0 <= y1."
            )
        if self.score is not None and not isfinite(self.score):
            raise BoxError(
                f"The score {self.score} of the box {self.box_xyxy} is not finite, so that it "
                "cannot be told whether it is high enough. Scores lie between 0 and 1; leave out "
                "one that is not known."
            )

    def passes(self, min_score: float) -> bool:
        """Whether a threshold lets the region through.

        What people drew or decided to keep always gets through, whatever a detector thought.

        Args:
            min_score: Lowest score of a detector that counts, in [0, 1].

        Example:
            >>> kinds = (Origin.DETECTED, Origin.REVIEWED)
            >>> [Region((0, 0, 9, 9), score=0.3, origin=each).passes(0.5) for each in kinds]
            [False, True]
        """
        is_decided = self.score is None or self.origin is Origin.REVIEWED
        # "not <": what cannot be compared is hidden rather than shown.
        return is_decided or not float(self.score or 0.0) < min_score


@dataclass(frozen=True, slots=True)
class Annotations:
    """What is known about one image.

    Attributes:
        image_id: Name of the image in its data set.
        status: Whether the image was searched; regions are listed only if it was.
        regions: The regions, strongest first for a detector.
        width: Width in pixels after EXIF orientation; 0 if it could not be read.
        height: Height in pixels after EXIF orientation; 0 if it could not be read.
        sha256: Digest of the bytes of the file that was searched, lower-case hex; "" if none.
        n_bytes: Size of that file.
        reason: Short code why it could not be searched, "" otherwise.
        message: The same for people, "" otherwise.
    """

    image_id: str
    status: Status
    regions: tuple[Region, ...] = ()
    width: int = 0
    height: int = 0
    sha256: str = ""
    n_bytes: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Where weights come from and what may be done with them.

    Attributes:
        name: Name of the model.
        origin: Who made it, and the package or file it was read from.
        licence: SPDX identifier or the licence's own name; "unknown" if not stated.
        commercial_ok: True if allowed, False if forbidden, None if not known.
        sha256: Digest of the weight file, lower-case hex; "" for a method without weights.
        note: What a user has to know besides.
    """

    name: str
    origin: str
    licence: str
    commercial_ok: bool | None
    sha256: str = ""
    note: str = ""


class Direction(StrEnum):
    """Which way a measurement gets better."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number that can be published: never without ``n`` and an interval.

    Attributes:
        name: What was measured.
        value: The estimate.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        n: Number of independent observations behind it.
        unit: Unit, "" for a fraction.
        direction: Which way it gets better.
        inputs: Digests of what it was computed from, by name.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    unit: str = ""
    direction: Direction = Direction.NEITHER
    inputs: Mapping[str, str] = field(default_factory=dict)
