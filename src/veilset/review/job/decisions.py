# SPDX-License-Identifier: Apache-2.0
"""Decisions: what the answers on an image come to, who settles a dispute, and undo.

A decision stands unless it was undone; of several that stand, the last one counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from veilset.errors import AccessError, ReviewError
from veilset.review.database.tables import (
    answer,
    batch,
    decision,
    image,
    person,
    task,
    undo,
)
from veilset.review.job.choose import is_ordinary_task
from veilset.review.job.drawings import check_sources, compare
from veilset.review.job.gold_images import withdraw_gold
from veilset.review.job.ledger import add_up
from veilset.review.job.standing import (
    SETTLING,
    hold_image,
    refuse_unless_owner,
    standing_decision,
)
from veilset.review.rules.agreement import pair_f1
from veilset.review.rules.consensus import merge_replicas
from veilset.review.settings import JobSettings
from veilset.review.values import (
    Drawing,
    check_drawing,
    drawing_from_json,
    drawing_to_json,
)
from veilset.review.views import (
    DecisionView,
    DisputesView,
    DisputeView,
    Job,
    MergedView,
    Person,
    ReplicaView,
)

_CHANGED = ("n_before", "n_added", "n_deleted", "n_moved")


@dataclass(frozen=True, slots=True)
class Replica:
    """The answer of one person that counts for an image."""

    answer_id: int
    person_id: int
    name: str
    drawing: Drawing


def replicas_of(conn: Connection, images: Sequence[int]) -> dict[int, list[Replica]]:
    """Give what people drew on images, in batches that were handed in: the last answer of
    each person, in the order of the answers."""
    query = (
        select(answer.c.id, answer.c.image_pk, answer.c.person_id, answer.c.drawing, person.c.name)
        .join_from(batch, task, is_ordinary_task())
        .join(answer, answer.c.task_id == task.c.id)
        .join(person, person.c.id == answer.c.person_id)
        .where(answer.c.image_pk.in_(images), batch.c.state == "done", batch.c.purpose == "review")
        .order_by(answer.c.id)
    )
    last: dict[tuple[int, int], Any] = {}
    for row in conn.execute(query):
        last[row.image_pk, row.person_id] = row
    found: dict[int, list[Replica]] = {image_pk: [] for image_pk in images}
    for row in last.values():
        replica = Replica(row.id, row.person_id, row.name, drawing_from_json(row.drawing))
        found[row.image_pk].append(replica)
    return found


def settle_images(conn: Connection, job: Job, images: Sequence[int], now_ms: int) -> dict[str, int]:
    """Decide on images whose answers are complete; the transaction holds them.

    Returns:
        What to add to the sums of the minute.
    """
    if not images:
        return {}
    replicas = replicas_of(conn, images)
    proposals = {
        row.id: drawing_from_json(row.proposals)
        for row in conn.execute(select(image.c.id, image.c.proposals).where(image.c.id.in_(images)))
    }
    rows = [
        _decide(job, image_pk, replicas[image_pk], proposals[image_pk], now_ms)
        for image_pk in images
    ]
    conn.execute(insert(decision), rows)
    sums: Counter[str] = Counter()
    for state in ("settled", "disputed"):
        which = [
            row["image_pk"] for row in rows if (row["kind"] == "disputed") == (state == "disputed")
        ]
        if which:
            conn.execute(update(image).where(image.c.id.in_(which)).values(state=state))
            sums[f"n_{state}"] += len(which)
    for row in rows:
        sums.update({name: row[name] for name in _CHANGED})
    return dict(sums)


def _decide(
    job: Job, image_pk: int, replicas: Sequence[Replica], proposals: Drawing, now_ms: int
) -> dict[str, Any]:
    """Give the row of the decision that the rules make."""
    consensus = merge_replicas([each.drawing for each in replicas], job.settings)
    detail = {
        "answers": [each.answer_id for each in replicas],
        "votes": [each.votes for each in consensus.merged],
        "agreed": [each.is_agreed for each in consensus.merged],
        "pairs": _pairs(replicas, job.settings),
    }
    kind = "disputed" if consensus.is_disputed else "agreed" if len(replicas) > 1 else "single"
    drawing = tuple(each.drawn for each in consensus.merged)
    return _row(job, image_pk, kind, drawing, detail, proposals, now_ms)


def _pairs(replicas: Sequence[Replica], settings: JobSettings) -> list[list[float]]:
    """Give the F1 of every two people: the figures need not look at drawings again."""
    return [
        [one.person_id, other.person_id,
         round(pair_f1(one.drawing, other.drawing, settings.same_region_iou), 6)]
        for one, other in combinations(replicas, 2)
    ]  # fmt: skip


def _row(
    job: Job,
    image_pk: int,
    kind: str,
    drawing: Drawing,
    detail: Mapping[str, Any],
    proposals: Drawing,
    now_ms: int,
    person_id: int | None = None,
) -> dict[str, Any]:
    changes = compare(proposals, drawing)
    counts = {name: getattr(changes, name) if kind in SETTLING else 0 for name in _CHANGED}
    return {
        "job_id": job.id, "image_pk": image_pk, "kind": kind, "drawing": drawing_to_json(drawing),
        "detail": json.dumps(detail, separators=(",", ":")), "person_id": person_id,
        "made_ms": now_ms, **counts,
    }  # fmt: skip


def disputes(conn: Connection, job: Job, after: int, limit: int) -> DisputesView:
    """Give a page of the images that somebody has to settle.

    Args:
        conn: A connection in a transaction.
        job: The job.
        after: Row of the last image of the page before, 0 for the first page.
        limit: Images on a page.
    """
    is_disputed = (image.c.job_id == job.id) & (image.c.state == "disputed")
    n_total = conn.scalar(select(func.count()).select_from(image).where(is_disputed)) or 0
    query = (
        select(image.c.id, image.c.image_id, image.c.width, image.c.height)
        .where(is_disputed, image.c.id > after)
        .order_by(image.c.id)
        .limit(limit)
    )
    rows = conn.execute(query).all()
    replicas = replicas_of(conn, [row.id for row in rows]) if rows else {}
    pages = []
    for row in rows:
        standing = standing_decision(conn, row.id)
        pages.append(
            DisputeView(
                image_pk=row.id,
                image_id=row.image_id,
                size_wh=(row.width, row.height),
                replicas=tuple(ReplicaView(each.name, each.drawing) for each in replicas[row.id]),
                merged=_merged(standing),
            )
        )
    return DisputesView(n_total, tuple(pages))


def _merged(row: Any) -> tuple[MergedView, ...]:
    detail = json.loads(row.detail)
    drawing = drawing_from_json(row.drawing)
    parts = zip(drawing, detail["votes"], detail["agreed"], strict=True)
    return tuple(MergedView(drawn, votes, is_agreed) for drawn, votes, is_agreed in parts)


def adjudicate(
    conn: Connection, job: Job, owner: Person, image_pk: int, drawing: Drawing, now_ms: int
) -> DecisionView:
    """Settle an image by the owner's word: a disputed one, or one that is settled otherwise,
    or an open one that nobody holds.

    Args:
        conn: A connection in a transaction that may write.
        job: The job.
        owner: Who decides.
        image_pk: Row of the image.
        drawing: All its boxes; sources speak of the proposals of the annotation set.
        now_ms: Present moment.

    Raises:
        ReviewError: If the drawing cannot be, or people are at work on the image.
        AccessError: If the job has no such image, or the person does not own the job.
    """
    refuse_unless_owner(owner)
    held = hold_image(conn, job, image_pk)
    if held.state == "open" and held.n_taken > held.n_done:
        raise ReviewError(f"Somebody is at work on {held.image_id}. Wait until they are done.")
    if held.state not in ("open", "settled", "disputed"):
        raise ReviewError(f"{held.image_id} is {held.state}: there is nothing to decide.")
    drawing = check_drawing(drawing, (held.width, held.height), job.settings.kinds)
    proposals = drawing_from_json(held.proposals)
    check_sources(drawing, proposals)
    before = standing_decision(conn, image_pk)
    row = _row(job, image_pk, "adjudicated", drawing, {}, proposals, now_ms, owner.id)
    decision_id = int(conn.scalar(insert(decision).values(row).returning(decision.c.id)) or 0)
    conn.execute(update(image).where(image.c.id == image_pk).values(state="settled"))
    withdraw_gold(conn, job, image_pk, now_ms, because="adjudicated")
    _move(conn, job, held.state, "settled", before, row, now_ms)
    return DecisionView(
        decision_id, image_pk, held.image_id, "adjudicated", len(drawing), owner.name, now_ms, False
    )


def undo_decision(conn: Connection, job: Job, owner: Person, decision_id: int, now_ms: int) -> None:
    """Take a decision back: the image is again as the decision before it left it.

    Without one before it, the image is open, and one more person is asked.

    Raises:
        ReviewError: If it was undone already, or a later one stands on the image.
        AccessError: If the job has no such decision, or the person does not own the job.
    """
    refuse_unless_owner(owner)
    where = (decision.c.id == decision_id) & (decision.c.job_id == job.id)
    image_pk = conn.scalar(select(decision.c.image_pk).where(where))
    if image_pk is None:
        raise AccessError("The job has no such decision.")
    held = hold_image(conn, job, image_pk)
    standing = standing_decision(conn, image_pk)
    if conn.scalar(select(undo.c.decision_id).where(undo.c.decision_id == decision_id)):
        raise ReviewError("This decision was undone already.")
    if standing is None or standing.id != decision_id:
        raise ReviewError("A later decision stands on this image. Undo that one first.")
    conn.execute(insert(undo).values(decision_id=decision_id, person_id=owner.id, made_ms=now_ms))
    before = standing_decision(conn, image_pk)
    state = "open" if before is None else "disputed" if before.kind == "disputed" else "settled"
    n_wanted = max(held.n_wanted, held.n_done + 1) if state == "open" else held.n_wanted
    conn.execute(update(image).where(image.c.id == image_pk).values(state=state, n_wanted=n_wanted))
    withdraw_gold(conn, job, image_pk, now_ms, because="undone")
    more = n_wanted - held.n_wanted
    after = None if before is None else before._mapping
    _move(conn, job, held.state, state, standing, after, now_ms, n_wanted=more)


def _move(
    conn: Connection,
    job: Job,
    old_state: str,
    new_state: str,
    before: Any,
    after: Mapping[str, Any] | None,
    now_ms: int,
    *,
    n_wanted: int = 0,
) -> None:
    """Bring the sums from one state of an image, and the decision behind it, to another."""
    sums: Counter[str] = Counter(n_wanted=n_wanted)
    for state, sign in ((old_state, -1), (new_state, 1)):
        if state != "open":
            sums[f"n_{state}"] += sign
    for row, sign in ((None if before is None else before._mapping, -1), (after, 1)):
        for name in _CHANGED if row else ():
            sums[name] += sign * row[name] if row else 0
    add_up(conn, job.id, now_ms, **sums)


def decisions(conn: Connection, job: Job, limit: int) -> tuple[DecisionView, ...]:
    """Give the latest decisions, newest first."""
    query = (
        select(decision, image.c.image_id, person.c.name, undo.c.made_ms.label("undone_ms"))
        .join_from(decision, image, image.c.id == decision.c.image_pk)
        .join(undo, undo.c.decision_id == decision.c.id, isouter=True)
        .join(person, person.c.id == decision.c.person_id, isouter=True)
        .where(decision.c.job_id == job.id)
        .order_by(decision.c.id.desc())
        .limit(limit)
    )
    return tuple(
        DecisionView(
            decision_id=row.id,
            image_pk=row.image_pk,
            image_id=row.image_id,
            kind=row.kind,
            n_regions=len(json.loads(row.drawing)),
            by=row.name or "rules",
            made_ms=row.made_ms,
            is_undone=row.undone_ms is not None,
        )
        for row in conn.execute(query)
    )
