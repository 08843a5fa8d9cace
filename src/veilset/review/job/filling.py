# SPDX-License-Identifier: Apache-2.0
"""From annotation sets to the rows of a job, as they stream by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, insert, select

from veilset.annotations.store import AnnotationSet
from veilset.errors import AnnotationError, ReviewError
from veilset.review.database.tables import gold, image
from veilset.review.job.drawings import as_shown, name_sources
from veilset.review.job.gold_images import gold_row
from veilset.review.rules.order import priority, work_order
from veilset.review.settings import JobSettings
from veilset.review.values import Drawing, Drawn, drawing_to_json
from veilset.types import Annotations, ImageRecord, Status

T = TypeVar("T")

_CHUNK = 1_000

OnOpened = Callable[[int, int], None]
"""Told how many images are in, of how many."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a job is made from.

    Attributes:
        photos: Folder of the images.
        annotations: The set to be reviewed.
        gold: Set whose regions are the truth of its images; None for no gold.
        others: Further sets of the same images, of other passes or detectors: where they
            disagree, people look first.
    """

    photos: Path
    annotations: AnnotationSet
    gold: AnnotationSet | None = None
    others: tuple[AnnotationSet, ...] = ()


class Filling:
    """Puts the images of a job into the database."""

    def __init__(
        self,
        conn: Connection,
        job_id: int,
        sources: Sources,
        settings: JobSettings,
        now_ms: int,
    ) -> None:
        self._conn = conn
        self._job_id = job_id
        self._sources = sources
        self._settings = settings
        self._now_ms = now_ms
        self._n_images = int(sources.annotations.manifest["n_images"])
        self._threshold = _threshold(sources.annotations.manifest)
        self._totals: Counter[str] = Counter()

    def fill(self, on_progress: OnOpened | None) -> Counter[str]:
        """Put everything in; give the counts."""
        n_done = 0
        for chunk in chunks(enumerate(self._sources.annotations), _CHUNK):
            truths: dict[str, Drawing] = {}
            rows = [self._image_row(seq, known, truths) for seq, known in chunk]
            self._conn.execute(insert(image), rows)
            self._add_gold(truths)
            n_done += len(rows)
            if on_progress:
                on_progress(n_done, self._n_images)
        self._refuse_strange_gold()
        return self._totals

    def _image_row(
        self, seq: int, known: Annotations, truths: dict[str, Drawing]
    ) -> dict[str, Any]:
        record = ImageRecord(known.image_id)
        size_wh = (known.width, known.height)
        # Nobody can be shown what could not be opened.
        is_readable = known.status is not Status.COULD_NOT_LOOK and min(size_wh) > 0
        proposals = self._drawing(known, size_wh) if is_readable else ()
        state = "open" if is_readable else "unreadable"
        if is_readable and (truth := self._truth(known, proposals)) is not None:
            truths[known.image_id] = truth
            state = "gold"
        self._totals[state] += 1
        self._totals["regions"] += len(known.regions)
        return {
            "job_id": self._job_id, "image_id": known.image_id, "seq": seq,
            "category": record.category, "width": known.width, "height": known.height,
            "sha256": known.sha256, "proposals": drawing_to_json(proposals),
            "priority": self._priority(seq, known, record), "state": state,
            "n_wanted": self._settings.replicas if state == "open" else 0,
            "n_taken": 0, "n_done": 0, "in_audit": 0, "expert_taken": 0, "expert_done": 0,
        }  # fmt: skip

    def _drawing(self, known: Annotations, size_wh: tuple[int, int]) -> Drawing:
        try:
            drawing = as_shown(known.regions, size_wh)
        except ReviewError as error:
            raise ReviewError(f"{known.image_id} cannot be reviewed. {error}") from error
        self._totals["outside"] += len(known.regions) - len(drawing)
        self._check_kinds(known, drawing, "annotation set")
        return drawing

    def _check_kinds(self, known: Annotations, drawing: Drawing, where: str) -> None:
        strange = {each.kind for each in drawing} - set(self._settings.kinds)
        if strange:
            kinds = ",".join([*self._settings.kinds, *sorted(strange)])
            raise ReviewError(
                f"In the {where}, {known.image_id} has regions of the kinds "
                f"{', '.join(sorted(strange))}, which the job does not know. "
                f"Give it the kinds {kinds}."
            )

    def _truth(self, known: Annotations, proposals: Drawing) -> Drawing | None:
        """Give the true regions of a gold image, None for any other."""
        if self._sources.gold is None:
            return None
        found = self._sources.gold.find(ImageRecord(known.image_id))
        if found.status is not Status.LOOKED:
            return None
        if known.sha256 and found.sha256 and known.sha256 != found.sha256:
            raise ReviewError(
                f"The gold image {known.image_id} is not the file that the annotation set "
                "speaks of: their digests differ. Make the gold from the same photographs."
            )
        drawing = as_shown(found.regions, (known.width, known.height))
        self._check_kinds(known, drawing, "gold")
        truth = tuple(Drawn(each.box_xyxy, each.kind) for each in drawing)
        return name_sources(truth, proposals)

    def _priority(self, seq: int, known: Annotations, record: ImageRecord) -> float:
        order, ranked = self._settings.order, 0.0
        if order == "uncertain":
            others = [other.find(record) for other in self._sources.others]
            ranked = priority(known, self._threshold, others)
        return work_order(order, ranked, seq, known.image_id, self._settings.seed)

    def _add_gold(self, truths: Mapping[str, Drawing]) -> None:
        if not truths:
            return
        query = select(image.c.id, image.c.image_id, image.c.width, image.c.height).where(
            image.c.job_id == self._job_id, image.c.image_id.in_(list(truths))
        )
        rows = [
            gold_row(
                self._job_id, row.id, row.image_id, (row.width, row.height),
                truths[row.image_id], "given", self._settings, self._now_ms,
            )
            for row in self._conn.execute(query)
        ]  # fmt: skip
        self._conn.execute(insert(gold), rows)

    def _refuse_strange_gold(self) -> None:
        """Refuse gold that is not among the images, or cannot be opened: a part of the
        control that was asked for would be missing without a word."""
        if self._sources.gold is None:
            return
        n_wanted = 0
        for found in self._sources.gold:
            n_wanted += found.status is Status.LOOKED
        if n_wanted == self._totals["gold"] and n_wanted > 0:
            return
        for found in self._sources.gold:
            if found.status is not Status.LOOKED:
                continue
            known = self._sources.annotations.find(ImageRecord(found.image_id))
            if known.status is not Status.LOOKED or min(known.width, known.height) <= 0:
                raise ReviewError(
                    f"The gold image {found.image_id} is {known.status.value} in the annotation "
                    "set: it cannot be shown. Take it out of the gold."
                )
        raise AnnotationError(
            f"The gold set {self._sources.gold.folder} holds no image that was looked at."
        )


def _threshold(manifest: Mapping[str, Any]) -> float | None:
    """Give the score from which on the detector of an annotation set reported."""
    settings = manifest.get("config", {}).get("detector_settings", {})
    value = settings.get("threshold") if isinstance(settings, dict) else None
    return float(value) if isinstance(value, int | float) else None


def chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut a stream into lists; only one is held at a time."""
    stream = iter(values)
    while chunk := list(islice(stream, size)):
        yield chunk
