# SPDX-License-Identifier: Apache-2.0
"""What the tests of Mechanical Turk share: terms, people who come by a HIT."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from tests.unit.review.store.world import World
from veilset.review.database import tables
from veilset.review.job import people
from veilset.review.mturk.account import (
    Account,
)
from veilset.review.mturk.entry import Entrance, enter, worker_name
from veilset.review.mturk.publish import Published, Terms, publish
from veilset.review.values import Role
from veilset.review.views import BatchView, Person

BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
TERMS = Terms("https://review.example.org/mturk", reward_cents=150)
WORKER, OTHER = "A2EXAMPLEWORKER", "A3ANOTHERWORKER"


def have(world: World, account: Account, n: int, budget: int = 10_000) -> Published:
    return publish(
        world.database, world.job, account, TERMS, n, budget_cents=budget, now_ms=world.now_ms
    )


def go_in(world: World, given: dict[str, str]) -> Entrance:
    entrance: Entrance = world.run(enter, given)
    return entrance


def hits(world: World) -> list[Any]:
    query = select(tables.hit).order_by(tables.hit.c.id)
    return list(world.look(lambda conn: conn.execute(query).all()))


def assignment(world: World, assignment_id: str) -> Any:
    query = select(tables.assignment).where(tables.assignment.c.assignment_id == assignment_id)
    return world.look(lambda conn: conn.execute(query).first())


def person_of(world: World, worker_id: str = WORKER) -> Person:
    name = worker_name(world.job, worker_id)
    query = select(tables.person).where(tables.person.c.name == name)
    row = world.look(lambda conn: conn.execute(query).one())
    assert row.source == "mturk"
    return Person(row.id, world.job.id, name, Role(row.role))


def sign_in(world: World, entrance: Entrance) -> Person:
    signed = world.database.run(lambda conn: people.sign_in(conn, entrance.token, world.now_ms))
    return signed.person


def fail(world: World, worker: Person) -> BatchView:
    """Lose a batch on gold: leave every image empty until it is gone."""
    batch = world.take(worker)
    for _ in range(200):
        gold = world.gold_tasks(batch)
        task = next(each for each in batch.tasks if each.task_id in gold and not each.is_closed)
        outcome = world.answer(worker, batch, task, ()).outcome
        if outcome == "batch-lost":
            return batch
        batch = world.take(worker)
    raise AssertionError("never lost")


class Killed(BaseException):
    """The process dies here."""
