# SPDX-License-Identifier: Apache-2.0
"""Gold: images whose truth is known. Given with the job, or agreed on in it."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, insert, select, update

from veilset.errors import ReviewError
from veilset.review.database.tables import gold, image
from veilset.review.job.ledger import add_up, note
from veilset.review.job.standing import hold_image, refuse_unless_owner, standing_decision
from veilset.review.rules.gold import spoil
from veilset.review.settings import JobSettings
from veilset.review.values import Drawing, drawing_from_json, drawing_to_json
from veilset.review.views import Job, Person


def image_seed(seed: int, image_id: str) -> int:
    """Give 64 bits that depend on the job's seed and the image only."""
    text = f"{seed}:{image_id}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def gold_row(
    job_id: int,
    image_pk: int,
    image_id: str,
    size_wh: tuple[int, int],
    truth: Drawing,
    source: str,
    settings: JobSettings,
    now_ms: int,
) -> dict[str, Any]:
    """Give the row of a gold image: its truth, and what is shown instead."""
    shown = spoil(truth, size_wh, image_seed(settings.seed, image_id), settings)
    return {
        "job_id": job_id, "image_pk": image_pk, "truth": drawing_to_json(truth),
        "shown": drawing_to_json(shown), "source": source, "retired_ms": None,
        "created_ms": now_ms,
    }  # fmt: skip


def withdraw_gold(conn: Connection, job: Job, image_pk: int, now_ms: int, *, because: str) -> bool:
    """Stop showing an image as gold. Answers on it that come later cost no life."""
    change = update(gold).where(gold.c.image_pk == image_pk, gold.c.retired_ms.is_(None))
    is_changed = conn.execute(change.values(retired_ms=now_ms)).rowcount > 0
    if is_changed:
        note(conn, job.id, "gold-withdrawn", now_ms, image_pk=image_pk, because=because)
    return is_changed


def add_gold(conn: Connection, job: Job, owner: Person, image_pk: int, now_ms: int) -> None:
    """Make an image that people agreed on serve as gold from now on.

    It is shown to nobody who met it as ordinary work. One that serves already stays.

    Raises:
        ReviewError: If there is no agreement on it: it is open, disputed, or only one
            person saw it.
        AccessError: If the job has no such image, or the person does not own the job.
    """
    refuse_unless_owner(owner)
    held = hold_image(conn, job, image_pk)
    there = conn.execute(select(gold).where(gold.c.image_pk == image_pk)).first()
    if there is not None and there.retired_ms is None:
        return
    standing = standing_decision(conn, image_pk)
    why = "" if held.state == "settled" else f"it is {held.state}"
    if not why and standing.kind == "single":
        why = "only one person saw it"
    if why:
        raise ReviewError(f"{held.image_id} cannot serve as gold: {why}. Settle it yourself first.")
    size_wh = (held.width, held.height)
    truth = drawing_from_json(standing.drawing)
    row = gold_row(job.id, image_pk, held.image_id, size_wh, truth, "agreed", job.settings, now_ms)
    if there is None:
        conn.execute(insert(gold).values(row))
    else:
        conn.execute(update(gold).where(gold.c.id == there.id).values(row))
    note(conn, job.id, "gold-added", now_ms, owner.id, image_pk=image_pk)


def retire_gold(conn: Connection, job: Job, owner: Person, image_pk: int, now_ms: int) -> None:
    """Stop showing an image as gold; answers on it that come later cost no life.

    One that was given with the job becomes ordinary work: its truth is not trusted.

    Raises:
        ReviewError: If it does not serve as gold.
        AccessError: If the job has no such image, or the person does not own the job.
    """
    refuse_unless_owner(owner)
    held = hold_image(conn, job, image_pk)
    if not withdraw_gold(conn, job, image_pk, now_ms, because="owner"):
        raise ReviewError(f"{held.image_id} does not serve as gold.")
    if held.state == "gold":
        n_wanted = job.settings.replicas
        back = update(image).where(image.c.id == image_pk)
        conn.execute(back.values(state="open", n_wanted=n_wanted))
        add_up(conn, job.id, now_ms, n_wanted=n_wanted)
