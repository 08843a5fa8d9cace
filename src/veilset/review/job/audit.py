# SPDX-License-Identifier: Apache-2.0
"""The random sample of images that experts look at."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, literal_column, select, update

from veilset.errors import ReviewError
from veilset.review.database.tables import image
from veilset.review.job.filling import chunks
from veilset.review.job.gold_images import image_seed
from veilset.review.job.ledger import note
from veilset.review.views import Job

_CHUNK = 1_000


def draw_audit(
    conn: Connection, where: Job, n: int, seed: int, categories: Sequence[str], now_ms: int
) -> int:
    """Put a random sample of images before the experts; more can be drawn later.

    Every image that can be shown is as likely as any other, whatever its state; gold,
    which nobody chose at random, is left out.

    Args:
        conn: A connection in a transaction that may write.
        where: The job.
        n: How large the sample shall be, with what was drawn before.
        seed: The same seed draws the same images, as long as ``n`` only grows.
        categories: Draw from these only; empty for all.
        now_ms: Present moment.

    Returns:
        Size of the sample now, within the categories.

    Raises:
        ReviewError: If there are fewer images than that, or a category has none.
    """
    can_be_drawn = (image.c.job_id == where.id) & image.c.state.in_(("open", "settled", "disputed"))
    for category in categories:
        one = can_be_drawn & (image.c.category == category)
        if conn.scalar(select(image.c.id).where(one).limit(1)) is None:
            raise ReviewError(f"The job {where.name!r} has no image in the category {category!r}.")
    if categories:
        can_be_drawn &= image.c.category.in_(list(categories))
    query = select(image.c.id, image.c.image_id).where(can_be_drawn)
    # The first n by a number that depends on the seed and the name is a random sample.
    rows = conn.execute(query.execution_options(yield_per=10_000))
    drawn = sorted((image_seed(seed, row.image_id), row.id) for row in rows)
    if not 1 <= n <= len(drawn):
        raise ReviewError(
            f"A sample of {n} images cannot be drawn: there are {len(drawn)} to choose from."
        )
    chosen = [image_pk for _, image_pk in drawn[:n]]
    for some in chunks(chosen, _CHUNK):
        conn.execute(update(image).where(image.c.id.in_(some)).values(in_audit=1))
    note(conn, where.id, "audit-drawn", now_ms, n=n, seed=seed, categories=list(categories))
    return (
        conn.scalar(
            select(func.count()).select_from(image).where(can_be_drawn, image.c.in_audit == 1)
        )
        or 0
    )


def count_finished(conn: Connection, where: Job) -> int:
    """Give how many images of the sample an expert has finished."""
    done = select(func.count()).where(
        image.c.job_id == where.id, image.c.in_audit == literal_column("1"), image.c.expert_done > 0
    )
    return conn.scalar(done) or 0
