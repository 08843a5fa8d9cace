# SPDX-License-Identifier: Apache-2.0
"""The figures of the owner's dashboard.

Counts come from the sums by minute (``tally``), rates and estimates from the latest
answers, so that the dashboard costs the same whether a job has a thousand images or a
million.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sqlalchemy import Connection, Row, and_, func, literal_column, select, text

from veilset.intervals import bounded_mean, clopper_pearson, wilson
from veilset.review.database.tables import (
    answer,
    batch,
    decision,
    gold,
    image,
    person,
    session,
    tally,
)
from veilset.review.job.choose import is_free
from veilset.review.job.decisions import replicas_of
from veilset.review.job.filling import chunks
from veilset.review.job.ledger import SUMS
from veilset.review.job.pace import hours_left, images_per_hour, median_seconds
from veilset.review.rules.agreement import agreement as agreement_of
from veilset.review.rules.estimates import Reviewed, advise, like_the_next
from veilset.review.rules.estimates import found_per_minute as found_per_minute_of
from veilset.review.values import Drawing, Role
from veilset.review.views import (
    UNKNOWN,
    AgreementView,
    CurvePoint,
    Estimate,
    Job,
    OverviewView,
    PersonView,
)

_LATEST = 2_000
"""Answers or decisions that rates and means are taken from."""

_COMPARED = 500
"""Images whose drawings are compared, which takes a millisecond or so each."""

_UPCOMING = 1_000
_OF_PERSON = 200
_POINTS = 100
_LEAST_AUDITED = 20

# Whole numbers are divided alike by both databases.
_CURVE = text(
    "SELECT (minute_ms - :first_ms) / :width_ms AS place, "
    "SUM(n_done) AS n_done, SUM(n_added) AS n_added FROM tally "
    "WHERE job_id = :job_id GROUP BY place ORDER BY place"
)


@dataclass(frozen=True, slots=True)
class _Latest:
    """One of the latest ordinary answers that nobody has replaced yet."""

    received_ms: int
    seconds: float
    reviewed: Reviewed


def overview(conn: Connection, job: Job, now_ms: int) -> OverviewView:
    """Give the figures of the dashboard.

    Args:
        conn: A connection in a transaction that sees one state.
        job: The job.
        now_ms: Present moment.
    """
    sums = _sums(conn, job)
    n_gold, n_given = _count_gold(conn, job)
    n_people, n_active = _count_people(conn, job, now_ms)
    n_open = job.n_images - job.n_unreadable - n_given - sums["n_settled"] - sums["n_disputed"]
    latest = _latest_answers(conn, job)
    reviewed = [each.reviewed for each in latest]
    upcoming = _upcoming(conn, job)
    advice = advise(reviewed, upcoming)
    rate = images_per_hour([each.received_ms for each in latest])
    return OverviewView(
        now_ms=now_ms,
        n_images=job.n_images,
        n_settled=sums["n_settled"],
        n_disputed=sums["n_disputed"],
        n_open=n_open,
        n_unreadable=job.n_unreadable,
        n_gold=n_gold,
        n_answers=sums["n_done"],
        n_answers_wanted=sums["n_wanted"],
        n_people=n_people,
        n_active=n_active,
        images_per_hour=rate,
        hours_left=hours_left(max(0, sums["n_wanted"] - sums["n_done"]), rate),
        median_seconds=median_seconds([each.seconds for each in latest]),
        regions_before=sums["n_before"],
        regions_added=sums["n_added"],
        regions_deleted=sums["n_deleted"],
        regions_moved=sums["n_moved"],
        found_per_minute=Estimate.of(found_per_minute_of(reviewed)),
        expected_per_minute=Estimate.of(advice.expected_per_minute),
        missed_left=_missed_left(conn, job, reviewed, upcoming),
        advice=advice.sentence,
        curve=_curve(conn, job),
    )


def _sums(conn: Connection, job: Job) -> dict[str, int]:
    columns = [func.coalesce(func.sum(tally.c[name]), 0).label(name) for name in SUMS]
    row = conn.execute(select(*columns).where(tally.c.job_id == job.id)).one()
    return {name: int(getattr(row, name)) for name in SUMS}


def _count_gold(conn: Connection, job: Job) -> tuple[int, int]:
    """Give how many images serve as gold, and how many of them were given with the job."""
    query = select(gold.c.source, func.count()).where(
        gold.c.job_id == job.id, gold.c.retired_ms.is_(None)
    )
    # To mypy a row is no pair, of which dict() could be made.
    counts = {source: n for source, n in conn.execute(query.group_by(gold.c.source))}  # noqa: C416
    return sum(counts.values()), counts.get("given", 0)


def _count_people(conn: Connection, job: Job, now_ms: int) -> tuple[int, int]:
    here = select(func.count()).where(
        person.c.job_id == job.id, person.c.revoked_ms.is_(None),
        person.c.role != Role.OWNER.value,
    )  # fmt: skip
    active = select(func.count(batch.c.person_id.distinct())).where(
        batch.c.job_id == job.id, batch.c.state == "open", batch.c.expires_ms > now_ms
    )
    return int(conn.scalar(here) or 0), int(conn.scalar(active) or 0)


def _latest_answers(conn: Connection, job: Job) -> list[_Latest]:
    query = (
        select(
            answer.c.task_id, answer.c.received_ms, answer.c.seconds, answer.c.n_added,
            image.c.priority,
        )
        .join_from(answer, batch, batch.c.id == answer.c.batch_id)
        .join(image, image.c.id == answer.c.image_pk)
        .where(batch.c.job_id == job.id, batch.c.purpose == "review", answer.c.gold_id.is_(None))
        .order_by(answer.c.id.desc())
        .limit(_LATEST)
    )  # fmt: skip
    found: dict[int, _Latest] = {}
    for row in conn.execute(query):
        reviewed = Reviewed(row.priority, row.n_added, row.seconds / 60)
        found.setdefault(row.task_id, _Latest(row.received_ms, row.seconds, reviewed))
    return list(found.values())


def _upcoming(conn: Connection, job: Job) -> list[float]:
    query = (
        select(image.c.priority)
        .where(image.c.job_id == job.id, is_free("review"))
        .order_by(image.c.priority.desc(), image.c.id.desc())
        .limit(_UPCOMING)
    )
    return list(conn.scalars(query))


def _missed_left(
    conn: Connection, job: Job, reviewed: list[Reviewed], upcoming: list[float]
) -> Estimate:
    """Estimate the share of the open images that miss a region.

    From the experts' random sample where enough of it is open still; otherwise from the
    finished images most like those that come next, which are the worst of the rest: then
    it is rather too high.
    """
    last = (
        select(func.max(answer.c.id))
        .join_from(image, answer, answer.c.image_pk == image.c.id)
        .join(batch, and_(batch.c.id == answer.c.batch_id, batch.c.purpose == "expert"))
        .where(
            image.c.job_id == job.id, image.c.in_audit == literal_column("1"),
            image.c.expert_done > 0, image.c.state == "open", batch.c.state == "done",
        )
        .group_by(image.c.id)
    )  # fmt: skip
    added = list(conn.scalars(select(answer.c.n_added).where(answer.c.id.in_(last))))
    if len(added) >= _LEAST_AUDITED:
        n_missing = sum(each > 0 for each in added)
        low, high = clopper_pearson(n_missing, len(added))
        return Estimate(n_missing / len(added), low, high, len(added))
    like = like_the_next(reviewed, upcoming, _UPCOMING)
    if not like:
        return UNKNOWN
    n_missing = sum(each.n_found > 0 for each in like)
    low, high = wilson(n_missing, len(like))
    return Estimate(n_missing / len(like), low, high, len(like))


def _curve(conn: Connection, job: Job) -> tuple[CurvePoint, ...]:
    """Give the progress in up to 100 steps of equal length, from the opening on."""
    ends = select(func.min(tally.c.minute_ms), func.max(tally.c.minute_ms))
    first_ms, last_ms = conn.execute(ends.where(tally.c.job_id == job.id)).one()
    if first_ms is None:
        return ()
    minutes = (last_ms - first_ms) // 60_000 + 1
    width_ms = -(-minutes // _POINTS) * 60_000
    keys = {"job_id": job.id, "first_ms": first_ms, "width_ms": width_ms}
    points = [CurvePoint(first_ms, 0, 0)]
    for row in conn.execute(_CURVE, keys):
        before = points[-1]
        at_ms = first_ms + (int(row.place) + 1) * width_ms
        n_done, n_added = before.n_done + int(row.n_done), before.n_added + int(row.n_added)
        points.append(CurvePoint(at_ms, n_done, n_added))
    return tuple(points)


def people_table(conn: Connection, job: Job, now_ms: int) -> tuple[PersonView, ...]:
    """Give the owner's table of people, in the order in which they were invited.

    Pace is taken from the latest answers of each; gold from the first answer of each on
    each gold image, before its truth was shown.
    """
    del now_ms
    rows = conn.execute(select(person).where(person.c.job_id == job.id).order_by(person.c.id)).all()
    ended = _ended_batches(conn, job)
    n_answers = _by_person(conn, job, func.count(), answer)
    signed_in = _by_person(conn, job, func.max(session.c.created_ms), session)
    quality = _gold_quality(conn, job)
    agreed = _agreement_by_person(conn, job)
    return tuple(
        _person_view(
            conn, row, ended.get(row.id, {}), n_answers.get(row.id, 0), signed_in.get(row.id),
            quality.get(row.id), agreed.get(row.id, UNKNOWN),
        )
        for row in rows
    )  # fmt: skip


def _person_view(
    conn: Connection,
    row: Any,
    ended: Mapping[str, int],
    n_answers: int,
    signed_in_ms: int | None,
    counts: Any,
    agreed: Estimate,
) -> PersonView:
    latest = select(answer.c.received_ms, answer.c.seconds).where(answer.c.person_id == row.id)
    said = conn.execute(latest.order_by(answer.c.id.desc()).limit(_OF_PERSON)).all()
    seen = [each.received_ms for each in said[:1]] + ([signed_in_ms] if signed_in_ms else [])
    return PersonView(
        person_id=row.id,
        name=row.name,
        role=Role(row.role),
        source=row.source,
        is_revoked=row.revoked_ms is not None,
        has_signed_in=signed_in_ms is not None,
        n_batches=ended.get("done", 0),
        n_lost_batches=ended.get("failed", 0),
        n_answers=n_answers,
        images_per_hour=images_per_hour([each.received_ms for each in said]).value,
        median_seconds=median_seconds([each.seconds for each in said]).value,
        gold_recall=_share(counts.n_found, counts.n_true) if counts else UNKNOWN,
        gold_precision=_share(counts.n_right, counts.n_drawn) if counts else UNKNOWN,
        agreement=agreed,
        last_seen_ms=max(seen, default=None),
    )


def _ended_batches(conn: Connection, job: Job) -> dict[int, dict[str, int]]:
    query = (
        select(batch.c.person_id, batch.c.state, func.count().label("n"))
        .where(batch.c.job_id == job.id)
        .group_by(batch.c.person_id, batch.c.state)
    )
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for row in conn.execute(query):
        found[row.person_id][row.state] = row.n
    return found


def _by_person(conn: Connection, job: Job, what: Any, table: Any) -> dict[int, int]:
    query = (
        select(table.c.person_id, what.label("value"))
        .join_from(table, person, person.c.id == table.c.person_id)
        .where(person.c.job_id == job.id)
        .group_by(table.c.person_id)
    )
    return {row.person_id: int(row.value) for row in conn.execute(query)}


def _gold_quality(conn: Connection, job: Job) -> dict[int, Row[Any]]:
    first = (
        select(func.min(answer.c.id))
        .join_from(answer, person, person.c.id == answer.c.person_id)
        .where(person.c.job_id == job.id, answer.c.gold_id.is_not(None))
        .group_by(answer.c.person_id, answer.c.gold_id)
    )
    names = ("n_true", "n_found", "n_drawn", "n_right")
    sums = [func.sum(answer.c[name]).label(name) for name in names]
    query = (
        select(answer.c.person_id, *sums)
        .where(answer.c.id.in_(first), answer.c.n_true.is_not(None))
        .group_by(answer.c.person_id)
    )
    return {row.person_id: row for row in conn.execute(query)}


def _share(k: int, n: int) -> Estimate:
    if not n:
        return UNKNOWN
    low, high = wilson(int(k), int(n))
    return Estimate(int(k) / int(n), low, high, int(n))


def _latest_shared(conn: Connection, job: Job) -> Iterator[Any]:
    """Go through the latest decisions of the rules on images that several people saw."""
    query = (
        select(decision.c.image_pk, decision.c.detail)
        .where(decision.c.job_id == job.id, decision.c.kind.in_(("agreed", "disputed")))
        .order_by(decision.c.id.desc())
        .limit(_LATEST)
    )
    return iter(conn.execute(query))


def _agreement_by_person(conn: Connection, job: Job) -> dict[int, Estimate]:
    """Give the mean F1 of each person with the others, an image counting once."""
    values: dict[int, dict[int, float]] = defaultdict(dict)
    for row in _latest_shared(conn, job):
        shared: dict[int, list[float]] = defaultdict(list)
        for one, other, f1 in json.loads(row.detail)["pairs"]:
            shared[one].append(f1)
            shared[other].append(f1)
        for person_id, each in shared.items():
            # Of an image that was decided twice, the later decision holds all answers.
            values[person_id].setdefault(row.image_pk, fmean(each))
    found = {}
    for person_id, by_image in values.items():
        all_of_them = list(by_image.values())
        low, high = bounded_mean(all_of_them)
        found[person_id] = Estimate(fmean(all_of_them), low, high, len(all_of_them))
    return found


def agreement(conn: Connection, job: Job) -> AgreementView:
    """Give how far people agree, from the latest images that several of them saw.

    Args:
        conn: A connection in a transaction that sees one state.
        job: The job.
    """
    shared = dict.fromkeys(row.image_pk for row in _latest_shared(conn, job))
    images = list(shared)[:_COMPARED]
    found = agreement_of(_drawings(conn, images), job.settings.same_region_iou)
    return AgreementView(
        n_images=found.n_images,
        overall=Estimate.of(found.overall),
        by_size={name: Estimate.of(each) for name, each in found.by_size.items()},
    )


def _drawings(conn: Connection, images: list[int]) -> Iterator[dict[int, Drawing]]:
    for some in chunks(images, 500):
        for replicas in replicas_of(conn, some).values():
            yield {each.person_id: each.drawing for each in replicas}
