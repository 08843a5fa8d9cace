# SPDX-License-Identifier: Apache-2.0
"""``veilset review turk``: batches for paid workers, through Mechanical Turk's protocol."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from veilset.cli.review import DATABASE, Database, JobName
from veilset.cli.talk import give, say

if TYPE_CHECKING:
    from veilset.review.database.connect import Database as OpenDatabase
    from veilset.review.mturk.account import Account
    from veilset.review.views import Job

app = typer.Typer(
    name="turk",
    help="Pay a crowd for batches, through the protocol of Mechanical Turk. Sandbox by default. "
    "Amazon closed its own service on 30 September 2026.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Production = Annotated[
    bool, typer.Option("--production", help="Real workers and real money; else the sandbox.")
]
Endpoint = Annotated[
    str | None, typer.Option(help="Address of another service that speaks the same protocol.")
]
Budget = Annotated[
    int, typer.Option("--budget", help="Most US cents that may be spent now, with fees.", min=0)
]
Reward = Annotated[int, typer.Option("--reward", help="US cents for a batch.", min=1)]


@contextmanager
def _at_work(
    database: str, job: str | None, *, production: bool, endpoint: str | None
) -> Iterator[tuple[OpenDatabase, Job, Account]]:
    from veilset.review.database.connect import Database as Store
    from veilset.review.job.jobs import find_job
    from veilset.review.mturk.account import open_account

    with Store.open(database) as opened:
        found = opened.look(lambda conn: find_job(conn, job))
        yield opened, found, open_account(is_production=production, endpoint_url=endpoint)


@app.command()
def cost(
    reward: Reward,
    hits: Annotated[
        int | None, typer.Option(help="Batches to pay for; as many as the job needs if not given.")
    ] = None,
    job: JobName = None,
    database: Database = DATABASE,
) -> None:
    """Say what it would cost; asks nobody and spends nothing."""
    from veilset.review.database.connect import Database as Store
    from veilset.review.job.jobs import find_job
    from veilset.review.mturk.cost import cost_notice, estimate_cost
    from veilset.review.mturk.publish import batches_wanted

    if hits is None:
        with Store.open(database) as opened:
            found = opened.look(lambda conn: find_job(conn, job))
            hits = opened.look(lambda conn: batches_wanted(conn, found))
    give(cost_notice(estimate_cost(hits, reward), is_sandbox=False))


@app.command()
def publish(
    address: Annotated[
        str, typer.Option(help="Address of the server's entrance: https://.../mturk")
    ],
    reward: Reward,
    hits: Annotated[int, typer.Option(help="How many batches shall be on offer in all.", min=1)],
    budget: Budget,
    production: Production = False,
    endpoint: Endpoint = None,
    job: JobName = None,
    database: Database = DATABASE,
) -> None:
    """Put batches on offer; run again, it makes only those that are missing."""
    from veilset.review.mturk.cost import cost_notice, estimate_cost
    from veilset.review.mturk.publish import Terms
    from veilset.review.mturk.publish import publish as put_on_offer

    terms = Terms(address, reward)
    with _at_work(database, job, production=production, endpoint=endpoint) as (store, found, money):
        say(
            cost_notice(
                estimate_cost(hits, reward),
                is_sandbox=money.is_sandbox,
                balance_cents=money.balance_cents(),
            )
        )
        made = put_on_offer(store, found, money, terms, hits, budget_cents=budget, now_ms=_now_ms())
    give(f"{made.n_made:,} made, {made.n_found:,} found again, {made.n_open:,} on offer")


@app.command()
def collect(
    strict: Annotated[
        bool, typer.Option("--strict", help="Reject batches that were lost on gold.")
    ] = False,
    production: Production = False,
    endpoint: Endpoint = None,
    job: JobName = None,
    database: Database = DATABASE,
) -> None:
    """Judge what was handed in by its gold, and pay it."""
    from veilset.review.mturk.cost import dollars
    from veilset.review.mturk.payment import Policy
    from veilset.review.mturk.payment import collect as judge_and_pay

    policy = Policy.STRICT if strict else Policy.PAY
    with _at_work(database, job, production=production, endpoint=endpoint) as (store, found, money):
        result = judge_and_pay(store, found, money, policy, now_ms=_now_ms())
    give(
        f"{result.n_approved:,} approved, {result.n_rejected:,} rejected, "
        f"{dollars(result.paid_cents)} paid"
    )
    for assignment_id, reason in result.unclear.items():
        say(f"{assignment_id}: {reason} Decide on the requester's site.")


@app.command()
def bonus(
    assignment: Annotated[str, typer.Argument(help="An approved assignment.")],
    cents: Annotated[int, typer.Option(help="US cents for the worker.", min=1)],
    reason: Annotated[str, typer.Option(help="What the worker reads.")],
    budget: Budget,
    production: Production = False,
    endpoint: Endpoint = None,
    job: JobName = None,
    database: Database = DATABASE,
) -> None:
    """Pay a bonus, once for an assignment."""
    from veilset.review.mturk.cost import dollars
    from veilset.review.mturk.payment import pay_bonus

    with _at_work(database, job, production=production, endpoint=endpoint) as (store, found, money):
        paid = pay_bonus(
            store, found, money, assignment, cents, reason, budget_cents=budget, now_ms=_now_ms()
        )
    give(f"{dollars(paid)} paid" if paid else "It has its bonus already; nothing was paid.")


@app.command()
def withdraw(
    production: Production = False,
    endpoint: Endpoint = None,
    job: JobName = None,
    database: Database = DATABASE,
) -> None:
    """Let nobody accept batches any more; work that was begun can be handed in."""
    from veilset.review.mturk.publish import withdraw as take_off

    with _at_work(database, job, production=production, endpoint=endpoint) as (store, found, money):
        n_withdrawn, n_deleted = take_off(store, found, money, _now_ms())
    give(f"{n_withdrawn:,} withdrawn, {n_deleted:,} of them deleted")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
