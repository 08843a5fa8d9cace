# SPDX-License-Identifier: Apache-2.0
"""Jobs: opened from an annotation set, and found again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select, text, update

from veilset.errors import ConfigError, ReviewError
from veilset.review.database.tables import image, job
from veilset.review.job.filling import Filling, OnOpened, Sources
from veilset.review.job.ledger import add_up, note
from veilset.review.settings import JobSettings
from veilset.review.views import Job

_NAME_LENGTH = 80


def open_job(
    conn: Connection,
    name: str,
    sources: Sources,
    settings: JobSettings,
    now_ms: int,
    on_progress: OnOpened | None = None,
) -> int:
    """Make a job; all of it, or, if the process dies, nothing.

    Rows go in as the annotation set streams by: memory does not grow with it.

    Args:
        conn: A connection in a transaction that may write.
        name: Of the job, unique in the database.
        sources: What it is made from.
        settings: How it is run.
        now_ms: Present moment.
        on_progress: Called as images go in.

    Returns:
        The row of the job: of the one that is there, if it was opened like this before.

    Raises:
        ConfigError: If the name cannot be used.
        ReviewError: If the name belongs to a job with other inputs or settings, or a
            region or a gold image cannot be used.
    """
    if not name.strip() or len(name) > _NAME_LENGTH or not name.isprintable():
        raise ConfigError(f"A job cannot be named {name!r}. Give 1 to {_NAME_LENGTH} characters.")
    row = _job_row(name, sources, settings, now_ms)
    there = conn.execute(select(job).where(job.c.name == name)).first()
    if there is not None:
        _refuse_unless_same(name, there, row)
        return int(there.id)
    job_id = int(conn.scalar(insert(job).values(row).returning(job.c.id)) or 0)
    totals = Filling(conn, job_id, sources, settings, now_ms).fill(on_progress)
    conn.execute(update(job).where(job.c.id == job_id).values(n_unreadable=totals["unreadable"]))
    note(
        conn, job_id, "job-opened", now_ms, images=row["n_images"], gold=totals["gold"],
        unreadable=totals["unreadable"], regions=totals["regions"],
        regions_outside=totals["outside"],
    )  # fmt: skip
    # A planner that knows nothing of a million new rows sorts them all for each batch.
    conn.execute(text("ANALYZE image"))
    add_up(conn, job_id, now_ms, n_wanted=totals["open"] * settings.replicas)
    return job_id


def _job_row(name: str, sources: Sources, settings: JobSettings, now_ms: int) -> dict[str, Any]:
    known = sources.annotations
    return {
        "name": name,
        "photos": str(sources.photos.resolve()),
        "annotations": str(known.folder.resolve()),
        "annotations_sha256": known.manifest["outputs_sha256"],
        "gold": str(sources.gold.folder.resolve()) if sources.gold else "",
        "gold_sha256": sources.gold.manifest["outputs_sha256"] if sources.gold else "",
        "settings": settings.to_json(),
        "n_images": int(known.manifest["n_images"]),
        "n_unreadable": 0,
        "created_ms": now_ms,
    }


def _refuse_unless_same(name: str, there: Any, row: dict[str, Any]) -> None:
    for key in ("photos", "annotations", "annotations_sha256", "gold", "gold_sha256", "settings"):
        before, now = getattr(there, key), row[key]
        if before != now:
            raise ReviewError(
                f"There is a job {name!r} with another value of {key}: {before!r}; now it "
                f"would be {now!r}. Give the new job another name."
            )


def find_job(conn: Connection, name: str | None) -> Job:
    """Find a job by its name; None is the only one there is.

    Raises:
        ReviewError: If there is none, or several to choose from; the message names them.
    """
    query = select(job).order_by(job.c.id)
    rows = conn.execute(query if name is None else query.where(job.c.name == name)).all()
    if len(rows) == 1:
        return _job(rows[0])
    names = ", ".join(repr(each) for each in conn.scalars(select(job.c.name).order_by(job.c.id)))
    if name is None and names:
        raise ReviewError(f"The database holds several jobs: {names}. Say which one.")
    if not names:
        raise ReviewError("The database holds no review job. Open one, or check the address.")
    raise ReviewError(f"There is no job {name!r}. Known: {names}.")


def job_by_id(conn: Connection, job_id: int) -> Job:
    """Give the job of a row that was just read."""
    return _job(conn.execute(select(job).where(job.c.id == job_id)).one())


def _job(row: Any) -> Job:
    return Job(
        id=row.id,
        name=row.name,
        photos=row.photos,
        annotations=row.annotations,
        annotations_sha256=row.annotations_sha256,
        settings=JobSettings.from_json(row.settings),
        n_images=row.n_images,
        n_unreadable=row.n_unreadable,
    )


def image_named(conn: Connection, where: Job, image_id: str) -> int:
    """Give the row of an image by its name.

    Raises:
        ReviewError: If the job has no such image.
    """
    query = select(image.c.id).where(image.c.job_id == where.id, image.c.image_id == image_id)
    image_pk = conn.scalar(query)
    if image_pk is None:
        raise ReviewError(f"The job {where.name!r} has no image {image_id!r}. Check the name.")
    return int(image_pk)
