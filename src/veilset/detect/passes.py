# SPDX-License-Identifier: Apache-2.0
"""What a detector looks at: which views each effort takes, and where a costly one pays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from veilset import boxes
from veilset.detect import calibration
from veilset.detect.calibration import Calibration, Sight
from veilset.detect.candidates import Candidates, Network, suppress
from veilset.detect.merge import merge
from veilset.detect.views import OVERLAP_PX, TILE_PX, WINDOW_PX, Tile, View, resize, tiles, windows
from veilset.errors import ConfigError
from veilset.protocols import EFFORTS, DetectorSettings
from veilset.types import Image, ModelCard, Region

FLOOR = 0.06
"""Lowest score of a single look that counts as evidence."""

SMALL_PX, HINT = 64.0, 0.1
"""The look at full scale hints at a small face by a candidate of at most ``SMALL_PX`` with
a score of at least ``HINT``."""

RUNS_AT_ONCE, HELD_PIXELS = 8, 1 << 25
"""A network that takes several pictures of one size in a run is shown as many as fill so many
runs, or so many pixels: in a data set of many sizes, more of them then meet their like."""

DOUBLE_IOU = 0.5
"""Overlap above which candidates of two parts of one look are the same face, seen twice."""

Look: TypeAlias = tuple[Sight, Candidates]
"""What a look could see, and what it saw, in pixels of the reduced image."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How an effort looks at an image.

    Attributes:
        always: Views that every image gets; the first is the look at full scale.
        near_hints: Upright views of what lies around the places where the first look hints
            at a small face; of the whole image if that costs less.
        longest_px: A longer image is reduced to this many pixels on its longer side
            before anything else, and scales count from there.
        calibration: How merged candidates become boxes and scores, for CenterFace.
        threshold: Lowest score that counts unless the user names one, for CenterFace.
    """

    always: tuple[View, ...]
    near_hints: tuple[View, ...]
    longest_px: int
    calibration: Calibration
    threshold: float


_OUTWARD = (0.02, 0.04, 0.0, 0.0)

_FULL = View(1.0, largest_px=400)
# A third, framed in black: a face that fills the picture is seen whole and with context.
_SMALL = View(1 / 3, margin=0.25)

PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        "fast": Plan(
            always=(View(1.0),),
            near_hints=(),
            longest_px=1_280,
            calibration=Calibration(0.0, 1.95, 2.85, _OUTWARD),
            threshold=0.26,
        ),
        "balanced": Plan(
            always=(_FULL, View(1 / 3, margin=0.15)),
            near_hints=(View(1.5, largest_px=400), View(2.5, largest_px=400)),
            longest_px=2_048,
            calibration=Calibration(0.25, -0.56, 2.14, _OUTWARD),
            threshold=0.29,
        ),
        "thorough": Plan(
            always=(
                _FULL,
                _SMALL,
                View(0.75, largest_px=400),
                View(1.0, quarter_turns=1, largest_px=400),
                View(1.0, quarter_turns=3, largest_px=400),
                View(1.5, largest_px=400),
                View(3.0, largest_px=400),
            ),
            near_hints=(),
            longest_px=2_048,
            calibration=Calibration(0.65, 1.61, 2.62, _OUTWARD),
            threshold=0.209,
        ),
    }
)

OTHER_NETWORK = Calibration()
"""Networks other than CenterFace were not measured: boxes and scores stay as they are."""

OTHER_THRESHOLD = 0.5


class MultiPass:
    """A detector that takes several looks with a network and merges them.

    Attributes:
        card: Where the weights come from.
        settings: Everything that decides the result.
        batch_size: How many images a call likes to get.
    """

    def __init__(self, network: Network, settings: DetectorSettings) -> None:
        """Choose the views.

        Args:
            network: What takes each look.
            settings: Only ``effort`` and ``threshold`` are read here.

        Raises:
            ConfigError: If the effort is unknown or the threshold is not in [0, 1].
        """
        if settings.effort not in PLANS:
            raise ConfigError(
                f"Effort {settings.effort!r} is unknown. Choose one of: {', '.join(EFFORTS)}."
            )
        threshold = settings.threshold
        if threshold is not None and not 0 <= threshold <= 1:
            raise ConfigError(f"Threshold {threshold} is not a score. Give a number from 0 to 1.")
        self._network = network
        self._plan = PLANS[settings.effort]
        is_measured = network.settings.get("network") == "centerface"
        if not is_measured:
            other = replace(OTHER_NETWORK, silence=self._plan.calibration.silence)
            self._plan = replace(self._plan, calibration=other, threshold=OTHER_THRESHOLD)
        self._threshold = self._plan.threshold if threshold is None else threshold
        self.card: ModelCard = network.card
        is_batched = network.batch_size > 1
        self.batch_size: int = network.batch_size * (RUNS_AT_ONCE if is_batched else 1)
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {
                **network.settings,
                "effort": settings.effort,
                "threshold": self._threshold,
                "floor": FLOOR,
                "views": ", ".join(map(str, self._plan.always)),
                "views_near_hints": ", ".join(map(str, self._plan.near_hints)),
                "small_px": SMALL_PX,
                "small_hint": HINT,
                "window_px": WINDOW_PX,
                "longest_px": self._plan.longest_px,
                "tile_px": TILE_PX,
                "tile_overlap_px": OVERLAP_PX,
                "calibration": calibration.VERSION if is_measured else 0,
            }
        )

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        """Find the faces of each image, strongest first, boxes inside the image.

        The score of a region is the share of such boxes that are faces, see
        ``Calibration.probabilities``; for a network other than CenterFace it is the
        combined score, which means no more than the network's own.

        Args:
            images: Each ``(H, W, 3)`` uint8 RGB.
        """
        reduced = [self._reduce(image) for image in images]
        sizes_wh = [(image.shape[1], image.shape[0]) for image in reduced]
        looks: list[list[Look]] = [[] for _ in images]
        for view in self._plan.always:
            shown = {place: tiles(view, size_wh) for place, size_wh in enumerate(sizes_wh)}
            self._look(reduced, shown, looks)
        hints = {place: hints_xy(taken[0][1]) for place, taken in enumerate(looks)}
        for view in self._plan.near_hints:
            shown = {
                place: windows(view, sizes_wh[place], points) or tiles(view, sizes_wh[place])
                for place, points in hints.items()
                if len(points)
            }
            self._look(reduced, shown, looks)
        return [self._regions(*each) for each in zip(images, reduced, looks, strict=True)]

    def _reduce(self, image: Image) -> Image:
        height, width = image.shape[:2]
        longest = max(height, width)
        if longest <= self._plan.longest_px:
            return image
        factor = self._plan.longest_px / longest
        return resize(image, (max(1, round(width * factor)), max(1, round(height * factor))))

    def _look(
        self,
        images: Sequence[Image],
        shown: Mapping[int, Sequence[Tile]],
        looks: Sequence[list[Look]],
    ) -> None:
        """Take one view of some images; a batch of parts, or ``HELD_PIXELS``, is held at a time.

        Args:
            images: All images.
            shown: Which parts to show of which image, by its place.
            looks: Of each image; what was seen is appended.
        """
        parts: dict[int, list[Candidates]] = {place: [] for place in shown}
        jobs = ((place, tile) for place, of_image in shown.items() for tile in of_image)
        while batch := self._show(images, jobs):
            seen = self._network.look([picture for _, _, picture in batch], floor=FLOOR)
            for (place, tile, _), candidates in zip(batch, seen, strict=True):
                parts[place].append(tile.restore(candidates))
        for place, of_image in parts.items():
            looks[place].append((_sight(shown[place]), _join(of_image)))

    def _show(
        self, images: Sequence[Image], jobs: Iterator[tuple[int, Tile]]
    ) -> list[tuple[int, Tile, Image]]:
        """Take the next jobs, as many as are held at a time, with the pictures to look at."""
        batch: list[tuple[int, Tile, Image]] = []
        n_pixels = 0
        for place, tile in jobs:
            picture = tile.show(images[place])
            batch.append((place, tile, picture))
            n_pixels += picture.shape[0] * picture.shape[1]
            if len(batch) == self.batch_size or n_pixels >= HELD_PIXELS:
                break
        return batch

    def _regions(self, image: Image, reduced: Image, looks: Sequence[Look]) -> tuple[Region, ...]:
        """Merge, calibrate and cut the candidates of one image."""
        sights = [sight for sight, _ in looks]
        merged = merge([seen for _, seen in looks], [sight.scale for sight in sights])
        scores = self._plan.calibration.probabilities(merged.scores, merged.boxes_xyxy, sights)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= self._threshold]
        height, width = image.shape[:2]
        factor = np.array([width / reduced.shape[1], height / reduced.shape[0]])
        found = self._plan.calibration.boxes(merged.boxes_xyxy[order]) * np.tile(factor, 2)
        inside = boxes.clip(found, (width, height))
        points = merged.landmarks_xy[order] * factor
        return tuple(
            Region(
                box_xyxy=(float(x0), float(y0), float(x1), float(y1)),
                score=float(score),
                landmarks_xy=tuple((float(x), float(y)) for x, y in of_face),
            )
            for (x0, y0, x1, y1), score, of_face in zip(inside, scores[order], points, strict=True)
            # What lies outside the picture altogether was seen in its black border.
            if x1 > x0 and y1 > y0
        )


def hints_xy(seen: Candidates) -> NDArray[np.float64]:
    """Give the places where a look at full scale makes a larger look worth its cost.

    Args:
        seen: What the look at full scale saw, from a score of at most ``HINT`` on.

    Returns:
        ``(N, 2)``, centres of the candidates that may be small faces.

    Example:
        >>> boxes_xyxy = np.array([[0.0, 0, 9, 9], [0, 0, 200, 200]])
        >>> hints_xy(Candidates(boxes_xyxy, np.array([0.2, 0.9]), np.zeros((2, 0, 2))))
        array([[4.5, 4.5]])
    """
    sizes = np.sqrt(boxes.areas(seen.boxes_xyxy))
    found = seen.boxes_xyxy[(seen.scores >= HINT) & (sizes <= SMALL_PX)]
    return np.asarray((found[:, :2] + found[:, 2:]) / 2)


def _sight(parts: Sequence[Tile]) -> Sight:
    """Give what a look at these parts, all of the same view, could see."""
    areas = np.array([part.own for part in parts]) if parts[0].is_window else None
    return Sight(parts[0].view.scale, parts[0].largest_px, areas)


def _join(parts: Sequence[Candidates]) -> Candidates:
    """Put the parts of one look together, without doubles."""
    if len(parts) == 1:
        return parts[0]
    together = Candidates(
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.landmarks_xy for part in parts]),
    )
    return suppress(together.pick(np.argsort(-together.scores, kind="stable")), DOUBLE_IOU)
