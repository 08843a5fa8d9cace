# SPDX-License-Identifier: Apache-2.0
"""Everything that decides how a review job is run; stored with the job."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from veilset.errors import ConfigError

GOLD_RULES = ("coverage", "union-iou")
ORDERS = ("uncertain", "dataset", "random")

INSTRUCTIONS = (
    "Cover every face: mouth, nose, eyes, forehead and cheeks. One box may cover faces that "
    "touch. Cover faces in pictures, on posters and on screens too, but not faces of animals, "
    "dolls or drawings. Delete boxes that hold no face. Cover nudity with the kind NSFW."
)


@dataclass(frozen=True, slots=True)
class JobSettings:
    """How a job is run.

    Attributes:
        batch_size: Images in a batch, gold among them.
        gold_per_batch: Gold images in a batch. Fewer are given, and that is recorded,
            where a worker has met all there are.
        lives: Errors on gold that a worker can make; the last one restarts the batch.
        max_attempts: How often a batch may be begun before it is taken from the worker.
        max_failed_batches: A worker who lost so many batches gets no more.
        replicas: How many people see each image.
        gold_exposures: How often a worker may meet the same gold image, restarts of a
            batch aside.
        lease_minutes: A batch that was not touched for so long goes back to the others.
        kinds: What a box can say; the first one is drawn unless another is chosen.
        gold_rule: ``coverage`` (each face for itself) or ``union-iou`` (the paper's: the
            overlap of the unions).
        min_coverage: Share of every true region that must lie under boxes, ``coverage``.
        min_inside: Share of every box that must lie on true regions, ``coverage``: a box
            without a face, or far too large for it, falls below.
        tolerance_px: True regions are taken this much wider on every side where a box is
            asked how much of it lies on them, so that small faces can be hit.
        min_union_iou: Overlap of the unions, ``union-iou``.
        same_region_iou: From this IoU on, boxes of different people speak of one region.
        quorum: Share of an image's people who must have drawn a region. The default is a
            majority up to five people; below it the image is a dispute.
        order: ``uncertain`` first, as in the ``dataset``, or ``random``.
        max_shown_px: Longer side of the picture that is sent to the browser.
        seed: Decides orders and wrong boxes of gold.
        instructions: What workers read.

    Raises:
        ConfigError: If a value cannot be used.
    """

    batch_size: int = 50
    gold_per_batch: int = 3
    lives: int = 2
    max_attempts: int = 3
    max_failed_batches: int = 2
    replicas: int = 1
    gold_exposures: int = 1
    lease_minutes: float = 60.0
    kinds: tuple[str, ...] = ("face", "nsfw", "other")
    gold_rule: str = "coverage"
    min_coverage: float = 0.75
    min_inside: float = 0.25
    tolerance_px: float = 4.0
    min_union_iou: float = 0.72
    same_region_iou: float = 0.4
    quorum: float = 0.6
    order: str = "uncertain"
    max_shown_px: int = 2_560
    seed: int = 0
    instructions: str = INSTRUCTIONS

    def __post_init__(self) -> None:
        for name in ("batch_size", "lives", "max_attempts", "replicas", "gold_exposures",
                     "max_failed_batches"):  # fmt: skip
            self._refuse_unless(getattr(self, name) >= 1, name, "a whole number from 1 on")
        room = f"a whole number from 0 to {self.batch_size - 1}, fewer than the batch has images"
        self._refuse_unless(0 <= self.gold_per_batch < self.batch_size, "gold_per_batch", room)
        for name in ("min_coverage", "min_inside", "min_union_iou", "same_region_iou", "quorum"):
            self._refuse_unless(0 < getattr(self, name) <= 1, name, "a share above 0, at most 1")
        self._refuse_unless(self.lease_minutes > 0, "lease_minutes", "minutes, above 0")
        self._refuse_unless(self.tolerance_px >= 0, "tolerance_px", "pixels, from 0 on")
        self._refuse_unless(self.max_shown_px >= 64, "max_shown_px", "pixels, from 64 on")
        self._refuse_unless(self.gold_rule in GOLD_RULES, "gold_rule", " or ".join(GOLD_RULES))
        self._refuse_unless(self.order in ORDERS, "order", ", ".join(ORDERS))
        is_list = bool(self.kinds) and len(set(self.kinds)) == len(self.kinds)
        self._refuse_unless(is_list, "kinds", "at least one kind, none twice")

    def _refuse_unless(self, is_good: bool, name: str, wanted: str) -> None:
        if not is_good:
            value = getattr(self, name)
            raise ConfigError(f"The review setting {name} is {value!r}. Give {wanted}.")

    def to_json(self) -> str:
        """Give the settings as JSON, to be stored with the job."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: If a name is unknown, or a value cannot be used.

        Example:
            >>> JobSettings.from_json(JobSettings(replicas=3).to_json()).replicas
            3
        """
        given: dict[str, Any] = json.loads(text)
        unknown = set(given) - {each.name for each in fields(cls)}
        if unknown:
            raise ConfigError(
                f"This version does not know the review settings {sorted(unknown)}. "
                "The job was made by a newer one: upgrade Veilset."
            )
        if "kinds" in given:
            given["kinds"] = tuple(given["kinds"])
        return cls(**given)
