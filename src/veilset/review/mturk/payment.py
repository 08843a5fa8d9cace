# SPDX-License-Identifier: Apache-2.0
"""Work that was handed in: judged by the batch's gold, paid once, and a bonus paid once.

Only what Amazon itself lists is paid, and only if the server knows the assignment, from the
same worker. The rule, ``Policy``:

=================== ============================ ====================================
batch               ``pay`` (the default)        ``strict``
=================== ============================ ====================================
done                approved                     approved
failed on gold      approved, and the person     rejected, with the reason
                    gets no more work
neither, or not     left to the owner, listed    left to the owner, listed as
known               as unclear                   unclear
=================== ============================ ====================================

Paying somebody who failed costs a batch; a rejection costs them their record with every
requester, and gold can be wrong. Amazon's own block of a worker is never used: it can close
their account. What is unclear is never rejected by itself: the fault may be the server's.
Amazon pays it after ``auto_approval_s`` unless the owner decides otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from veilset.errors import ConfigError
from veilset.review.database.connect import Database
from veilset.review.database.tables import assignment, batch, hit, person
from veilset.review.job.ledger import note
from veilset.review.job.people import revoke
from veilset.review.mturk.account import Account, TurkRefusedError
from veilset.review.mturk.cost import fee_cents
from veilset.review.mturk.entry import worker_name
from veilset.review.views import Job

THANKS = "Thank you: your batch was complete."
FAILED = (
    "The control images of your batch were answered wrongly in every attempt: faces were not "
    "covered, or boxes lay where there is no face."
)


class Policy(StrEnum):
    """What becomes of a batch that was lost on gold."""

    PAY = "pay"
    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with work that was handed in.

    Attributes:
        kind: ``approve``, ``reject`` or ``unclear``.
        feedback: What the worker reads; why it is unclear.
        is_sent_away: Whether the person gets no more work in this job.
    """

    kind: str
    feedback: str
    is_sent_away: bool = False


@dataclass(slots=True)
class Collected:
    """What became of the work.

    Attributes:
        n_approved: Approved now, or by Amazon meanwhile.
        n_rejected: Rejected now, or by somebody on the requester's site.
        paid_cents: Rewards that were approved now, and Amazon's fees on them.
        unclear: Assignments that the owner has to decide on, with the reason.
    """

    n_approved: int = 0
    n_rejected: int = 0
    paid_cents: int = 0
    unclear: dict[str, str] = field(default_factory=dict)


def judge(batch_state: str | None, policy: Policy) -> Verdict:
    """Say what becomes of work, by the state of its batch; None if there is none.

    Example:
        >>> judge("done", Policy.STRICT).kind, judge("failed", Policy.STRICT).kind
        ('approve', 'reject')
    """
    if batch_state == "done":
        return Verdict("approve", THANKS)
    if batch_state == "failed":
        kind = "approve" if policy is Policy.PAY else "reject"
        return Verdict(kind, FAILED, is_sent_away=True)
    if batch_state is None:
        return Verdict("unclear", "No batch is known of this assignment.")
    return Verdict("unclear", f"It was handed in, and its batch is {batch_state}.")


def collect(
    database: Database,
    job: Job,
    account: Account,
    policy: Policy = Policy.PAY,
    *,
    now_ms: int,
) -> Collected:
    """Judge and pay all work that was handed in. Killed and run again, it pays nothing twice:
    Amazon approves an assignment once.

    Raises:
        RunError: If Amazon cannot be reached. Run again.
        TurkRefusedError: If it refuses something.
    """
    result = Collected()
    mine = (hit.c.job_id == job.id) & (hit.c.is_sandbox == int(account.is_sandbox))
    query = select(hit.c.id, hit.c.hit_id, hit.c.reward_cents).where(
        mine, hit.c.state.in_(("open", "withdrawn")), hit.c.hit_id.is_not(None)
    )
    for row in database.look(lambda conn: conn.execute(query).all()):
        listed = account.pages(
            "list_assignments_for_hit",
            "Assignments",
            HITId=row.hit_id,
            AssignmentStatuses=["Submitted", "Approved", "Rejected"],
        )
        for work in listed:
            _treat(database, job, account, policy, row, work, result, now_ms)
    return result


def _treat(
    database: Database,
    job: Job,
    account: Account,
    policy: Policy,
    row: Any,
    work: dict[str, Any],
    result: Collected,
    now_ms: int,
) -> None:
    assignment_id = str(work["AssignmentId"])
    name = worker_name(job, str(work["WorkerId"]))
    known = database.look(lambda conn: _known(conn, row.id, assignment_id, name))
    verdict = judge(known.state if known else None, policy)
    status = work.get("AssignmentStatus")
    if status == "Submitted":
        if verdict.kind == "unclear":
            result.unclear[assignment_id] = verdict.feedback
            return
        operation = "approve_assignment" if verdict.kind == "approve" else "reject_assignment"
        account.ask(operation, AssignmentId=assignment_id, RequesterFeedback=verdict.feedback)
        if verdict.kind == "approve":
            result.paid_cents += row.reward_cents + fee_cents(row.reward_cents)
    is_approved = verdict.kind == "approve" if status == "Submitted" else status == "Approved"
    result.n_approved += is_approved
    result.n_rejected += not is_approved

    def write(conn: Connection) -> None:
        conn.execute(update(hit).where(hit.c.id == row.id).values(state="finished"))
        if known is None:
            return
        state = "approved" if is_approved else "rejected"
        change = update(assignment).where(assignment.c.id == known.id)
        conn.execute(change.values(state=state, ended_ms=now_ms))
        note(conn, job.id, f"turk-{state}", now_ms, known.person_id)
        if verdict.is_sent_away:
            revoke(conn, job, known.person_id, now_ms)

    database.run(write)


def pay_bonus(
    database: Database,
    job: Job,
    account: Account,
    assignment_id: str,
    bonus_cents: int,
    reason: str,
    *,
    budget_cents: int,
    now_ms: int,
) -> int:
    """Pay a worker a bonus for an assignment, once.

    Whatever is asked later, an assignment that has a bonus gets no second one: Amazon's own
    list is read first, since its tokens hold for a day only.

    Args:
        database: Where the job is.
        job: The job.
        account: The requester's account.
        assignment_id: What it is for; it must have been approved.
        bonus_cents: What the worker gets.
        reason: What the worker reads.
        budget_cents: What may be spent, the fee included.
        now_ms: Present moment.

    Returns:
        What was paid now, the fee included; 0 if there was a bonus already.

    Raises:
        ConfigError: If nothing or more than the budget would be paid, no reason is given,
            or the assignment is not an approved one of this job.
    """
    total = bonus_cents + fee_cents(bonus_cents)
    if bonus_cents < 1 or not reason.strip() or total > budget_cents:
        raise ConfigError(
            f"A bonus of {bonus_cents} cents costs {total} with Amazon's fee; {budget_cents} were "
            "agreed to. Give at least 1 cent, a reason, and agree to what it costs."
        )
    query = (
        select(assignment.c.id, assignment.c.bonus_cents, assignment.c.person_id)
        .join_from(assignment, hit, hit.c.id == assignment.c.hit_pk)
        .where(
            hit.c.job_id == job.id,
            hit.c.is_sandbox == int(account.is_sandbox),
            assignment.c.assignment_id == assignment_id,
            assignment.c.state == "approved",
        )
    )
    row = database.look(lambda conn: conn.execute(query).first())
    if row is None:
        raise ConfigError(
            f"The job has no approved assignment {assignment_id!r}. Collect the work first."
        )
    if row.bonus_cents:
        return 0
    given = account.ask("list_bonus_payments", AssignmentId=assignment_id, MaxResults=1)
    paid_now = 0
    if not given.get("BonusPayments"):
        worker_id = account.ask("get_assignment", AssignmentId=assignment_id)["Assignment"]
        try:
            account.ask(
                "send_bonus",
                WorkerId=worker_id["WorkerId"],
                BonusAmount=f"{bonus_cents // 100}.{bonus_cents % 100:02d}",
                AssignmentId=assignment_id,
                Reason=reason,
                UniqueRequestToken=f"bonus-{assignment_id}"[:64],
            )
            paid_now = total
        except TurkRefusedError as refusal:
            if not refusal.is_repeated:
                raise

    def write(conn: Connection) -> None:
        change = update(assignment).where(assignment.c.id == row.id)
        conn.execute(change.values(bonus_cents=bonus_cents))
        note(conn, job.id, "turk-bonus", now_ms, row.person_id, cents=paid_now)

    database.run(write)
    return paid_now


def _known(conn: Connection, hit_pk: int, assignment_id: str, name: str) -> Any:
    """Find an assignment as this worker's, with the state of its batch."""
    query = (
        select(assignment.c.id, assignment.c.person_id, batch.c.state)
        .join_from(assignment, person, person.c.id == assignment.c.person_id)
        .join(batch, batch.c.id == assignment.c.batch_id, isouter=True)
        .where(
            assignment.c.hit_pk == hit_pk,
            assignment.c.assignment_id == assignment_id,
            person.c.name == name,
        )
    )
    return conn.execute(query).first()
