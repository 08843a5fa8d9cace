# SPDX-License-Identifier: Apache-2.0
"""Review: annotation set in, annotation set corrected by people out.

Functions here take addresses of databases and folders, and leave nothing open. The web
application (``review.web``) works on the same database while people draw.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# First of all, so that a missing library is named with the command that installs it.
import veilset.review.database  # noqa: F401
from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.dataset.folder import SHARD_SIZE, check_apart
from veilset.dataset.places import open_folder
from veilset.errors import AnnotationError, ReviewError
from veilset.protocols import Shard, ShardReport
from veilset.review.database.connect import Database
from veilset.review.job import audit, export, figures, gold_images, jobs, missed, people
from veilset.review.job.filling import OnOpened, Sources, chunks
from veilset.review.settings import JobSettings
from veilset.review.values import Drawing, Role
from veilset.review.views import (
    AgreementView,
    Invited,
    Job,
    MissedView,
    OverviewView,
    Person,
    PersonView,
)
from veilset.runs import Run, RunSummary
from veilset.types import Annotations, ImageRecord, ModelCard

if TYPE_CHECKING:
    from sqlalchemy import Connection

OnExported = Callable[[int, int], None]
"""Told how many images are written, of how many."""

_Pair = tuple[Annotations, bool]
_Decided = Callable[[int, int], list[tuple[str, Drawing | None]]]


def open_review(
    photos: str | Path,
    annotations: str | Path,
    *,
    name: str,
    database: str | Path,
    gold: str | Path | None = None,
    others: Sequence[str | Path] = (),
    settings: JobSettings | None = None,
    on_progress: OnOpened | None = None,
) -> Job:
    """Open a review job; make the database if there is none.

    Opened again with the same arguments, it gives the job that is there. A process that is
    killed while it opens a job leaves none.

    Args:
        photos: Folder of images.
        annotations: Finished annotation set of those images.
        name: Of the job, unique in the database.
        database: ``sqlite:///path``, a path, or ``postgresql://...``.
        gold: Annotation set whose regions are the truth of its images; None for none.
        others: Annotation sets of the same images by other detectors or passes; where they
            disagree, people look first.
        settings: How the job is run; None for the defaults.
        on_progress: Called as images go in.

    Raises:
        ConfigError, DatasetError, ReviewError: See ``veilset.errors``; ``ReviewError`` also
            if the name belongs to a job with other inputs.
    """
    open_folder(photos, "review")
    sources = Sources(
        Path(photos),
        AnnotationSet(Path(annotations)),
        AnnotationSet(Path(gold)) if gold else None,
        tuple(AnnotationSet(Path(other)) for other in others),
    )
    sources.annotations.require_images()
    chosen = settings or JobSettings()
    with Database.open(database, create=True) as opened:
        opened.run(lambda conn: jobs.open_job(conn, name, sources, chosen, _now_ms(), on_progress))
        return opened.look(lambda conn: jobs.find_job(conn, name))


def export_review(
    database: str | Path,
    name: str | None,
    out: str | Path,
    *,
    shard_size: int = SHARD_SIZE,
    on_progress: OnExported | None = None,
) -> RunSummary:
    """Write what people decided as an annotation set of its own.

    It has every image of the set that was reviewed, in the same order. Settled images have
    the regions that people decided on, with the origin ``reviewed``; all others are as
    they were. Killed and run again, it goes on with the state that it began with.

    Args:
        database: As for ``open_review``.
        name: Of the job; None for the only one.
        out: Folder for the annotation set: new, empty, or of the export to be resumed.
        shard_size: Images in a shard.
        on_progress: Called as shards are written.

    Returns:
        Counts: images by status, ``reviewed``, ``kept``, ``with_regions``, ``n_regions``.

    Raises:
        ConfigError, DatasetError, ReviewError, RunError: See ``veilset.errors``.
    """
    out = Path(out)
    with Database.open(database) as opened, opened.reading() as conn:
        job = jobs.find_job(conn, name)
        known = _reviewed_set(job, out)
        stamp = export.resumed_stamp(conn, job, out) or export.take_stamp(conn, job, _now_ms())
        inputs = {"state": export.stamp_fields(stamp)}

        def decided(first_seq: int, n: int) -> list[tuple[str, Drawing | None]]:
            return export.decided_drawings(conn, job, stamp, first_seq, n)

        writer = _Export(job, known, out, shard_size, on_progress)
        return writer.write("review", inputs, decided, is_complete=True)


def export_expert(
    database: str | Path,
    name: str | None,
    out: str | Path,
    *,
    shard_size: int = SHARD_SIZE,
    on_progress: OnExported | None = None,
) -> RunSummary:
    """Write what experts drew on the audit sample: the reference for the quality report.

    Args:
        database: As for ``open_review``.
        name: Of the job; None for the only one.
        out: Folder for the annotation set; it has the images that an expert finished.
        shard_size: Images of the job that are looked at for a shard.
        on_progress: Called as shards are written.

    Raises:
        ReviewError: If no expert has finished an image, besides those of ``export_review``.
    """
    out = Path(out)
    with Database.open(database) as opened, opened.reading() as conn:
        job = jobs.find_job(conn, name)
        known = _reviewed_set(job, out)
        n_done = audit.count_finished(conn, job)
        if n_done == 0:
            raise ReviewError(
                f"No expert has finished an image of the job {job.name!r}. Draw an audit "
                "sample, invite an expert, and wait for the first batch."
            )

        def decided(first_seq: int, n: int) -> list[tuple[str, Drawing | None]]:
            return export.expert_drawings(conn, job, first_seq, n)

        writer = _Export(job, known, out, shard_size, on_progress)
        return writer.write("review-expert", {"n_done": n_done}, decided, is_complete=False)


def _reviewed_set(job: Job, out: Path) -> AnnotationSet:
    check_apart(Path(job.photos), out)
    folder = Path(job.annotations)
    check_apart(folder, out)
    known = AnnotationSet(folder)
    if known.manifest["outputs_sha256"] != job.annotations_sha256:
        raise AnnotationError(
            f"The annotation set {folder} is not the one that the job {job.name!r} was opened "
            "with. Restore it: an export keeps what people did not change."
        )
    return known


class _Export:
    """Writes the shards of an export, as the annotation set that was reviewed streams by."""

    def __init__(
        self,
        job: Job,
        known: AnnotationSet,
        out: Path,
        shard_size: int,
        on_progress: OnExported | None,
    ) -> None:
        self._job = job
        self._known = known
        self._out = out
        self._shard_size = shard_size
        self._on_progress = on_progress
        # The shard that is at work; ``Run.missing`` asks for one at a time.
        self._pairs: list[_Pair] = []
        self._n_written = 0

    def write(
        self, stage: str, inputs: Mapping[str, object], decided: _Decided, *, is_complete: bool
    ) -> RunSummary:
        """Write all shards that are missing; give the summary."""
        manifest = self._known.manifest
        config = {
            "job": self._job.name,
            "settings": self._job.settings.to_json(),
            "shard_size": self._shard_size,
        }
        inputs = {
            "annotations": self._job.annotations,
            "annotations_sha256": self._job.annotations_sha256,
            **inputs,
        }
        cards = [ModelCard(**card) for card in manifest.get("models", [])]
        before = {key: manifest.get(key) for key in ("run_id", "stage", "config", "extra")}
        with Run.open(self._out, stage, config, inputs) as run:
            shards = self._shards(decided, is_complete=is_complete)
            for shard in run.missing(shards, on_resumed=self._advance):
                run.commit(self._write_shard(shard))
            return run.finish(models=cards, extra={"reviewed": before})

    def _shards(self, decided: _Decided, *, is_complete: bool) -> Iterator[Shard]:
        rows = self._merged(decided, is_complete=is_complete)
        for index, pairs in enumerate(chunks(rows, self._shard_size)):
            self._pairs = pairs
            yield Shard(index, tuple(ImageRecord(row.image_id) for row, _ in pairs))

    def _merged(
        self, decided: _Decided, *, is_complete: bool
    ) -> Iterator[tuple[Annotations, bool]]:
        """Go through the rows of the export: all, or those that were decided on."""
        first_seq = 0
        for rows in chunks(self._known, self._shard_size):
            merged = export.merge_into(rows, decided(first_seq, len(rows)))
            yield from (pair for pair in merged if is_complete or pair[1])
            first_seq += len(rows)

    def _write_shard(self, shard: Shard) -> ShardReport:
        counts: Counter[str] = Counter()
        for row, is_decided in self._pairs:
            counts.update(export.count_row(row, is_decided=is_decided))
        rows = [row for row, _ in self._pairs]
        digest = write_annotations(self._out, shard.index, rows)
        self._advance(len(rows))
        ends = (rows[0].image_id, rows[-1].image_id)
        return ShardReport(shard.index, len(rows), dict(counts), {}, digest, *ends)

    def _advance(self, n_images: int) -> None:
        self._n_written += n_images
        if self._on_progress:
            self._on_progress(self._n_written, self._job.n_images)


def review_status(
    database: str | Path, name: str | None = None
) -> tuple[Job, OverviewView, tuple[PersonView, ...]]:
    """Give how far a job is, and its people.

    Args:
        database: As for ``open_review``.
        name: Of the job; None for the only one.
    """
    with Database.open(database) as opened, opened.reading() as conn:
        job, now_ms = jobs.find_job(conn, name), _now_ms()
        return job, figures.overview(conn, job, now_ms), figures.people_table(conn, job, now_ms)


def review_agreement(database: str | Path, name: str | None = None) -> AgreementView:
    """Give how far people agree who saw the same images."""
    with Database.open(database) as opened, opened.reading() as conn:
        return figures.agreement(conn, jobs.find_job(conn, name))


def review_missed(database: str | Path, name: str | None = None) -> MissedView:
    """Estimate how many faces are still missed, by an experts' sample and by recapture."""
    with Database.open(database) as opened, opened.reading() as conn:
        return missed.still_missed(conn, jobs.find_job(conn, name))


def invite_people(
    database: str | Path,
    name: str | None = None,
    *,
    n: int = 1,
    role: Role = Role.WORKER,
    hours: float = 24.0 * 7,
) -> list[Invited]:
    """Make people and a one-time sign-in link for each; the secrets are stored nowhere."""
    with Database.open(database) as opened:
        job = opened.look(lambda conn: jobs.find_job(conn, name))
        return opened.run(lambda conn: people.invite(conn, job, role, n, hours, _now_ms(), "cli"))


def owner_link(database: str | Path, name: str | None = None, *, hours: float = 24.0) -> Invited:
    """Give a new one-time sign-in link for the owner; an earlier one does not work any more."""
    with Database.open(database) as opened:
        job = opened.look(lambda conn: jobs.find_job(conn, name))
        return opened.run(lambda conn: people.owner_link(conn, job, hours, _now_ms()))


def add_gold(database: str | Path, name: str | None, image_ids: Sequence[str]) -> None:
    """Make images that people agreed on serve as gold from now on: all of them, or none.

    Raises:
        ReviewError: If there is no such image, or no agreement on it.
    """
    with Database.open(database) as opened:
        job = opened.look(lambda conn: jobs.find_job(conn, name))
        owner = _owner_of(opened, job)

        def add(conn: Connection) -> None:
            # In the order of their rows, as every transaction locks images.
            for image_pk in sorted(jobs.image_named(conn, job, each) for each in image_ids):
                gold_images.add_gold(conn, job, owner, image_pk, _now_ms())

        opened.run(add)


def draw_audit_sample(
    database: str | Path,
    name: str | None = None,
    *,
    n: int,
    seed: int = 0,
    categories: Sequence[str] = (),
) -> int:
    """Put a random sample of images before the experts; give its size.

    Args:
        database: As for ``open_review``.
        name: Of the job; None for the only one.
        n: How large the sample shall be, with what was drawn before.
        seed: The same seed draws the same images.
        categories: Draw from these folders only; none for all.
    """
    with Database.open(database) as opened:
        job = opened.look(lambda conn: jobs.find_job(conn, name))
        return opened.run(lambda conn: audit.draw_audit(conn, job, n, seed, categories, _now_ms()))


def _owner_of(opened: Database, job: Job) -> Person:
    """Whoever runs a command on the database is the owner; there may be no row of them yet."""
    person_id, name = opened.run(lambda conn: people.find_owner(conn, job, _now_ms()))
    return Person(person_id, job.id, name, Role.OWNER)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
