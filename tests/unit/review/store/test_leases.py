# SPDX-License-Identifier: Apache-2.0
"""How long a batch is somebody's, and to whom it goes then."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from tests.unit.review.store.world import (
    MINUTE_MS,
    TRUTH,
    World,
    correct,
    make_world,
    ordinary,
    recount,
)
from veilset.errors import AccessError, LeaseError
from veilset.review.database import tables
from veilset.review.database.connect import Database
from veilset.review.job import batches, decisions, people
from veilset.review.job.leases import expire


def test_asking_again_gives_the_same_batch(world: World) -> None:
    worker = world.person()
    first = world.take(worker)
    world.later(30)
    again = world.take(worker)
    assert [task.task_id for task in again.tasks] == [task.task_id for task in first.tasks]
    assert again.expires_ms == first.expires_ms + 30 * MINUTE_MS
    recount(world)


def test_closed_laptop_returns_its_batch_when_somebody_needs_it(world: World) -> None:
    gone, *others = world.people(5)
    lost = ordinary(world, world.take(gone))
    for worker in others[:3]:
        world.do(worker)
    assert world.reason(others[3]) == "no-work"
    world.later(61)
    assert ordinary(world, world.take(others[3])) == lost
    recount(world)


def test_lapsed_batch_stays_while_nobody_needs_it(world: World) -> None:
    slow, other = world.people(2)
    batch = world.take(slow)
    world.later(61)
    world.take(other)
    outcome = world.answer(slow, batch, batch.tasks[0], batch.tasks[0].drawing)
    assert outcome.outcome in ("saved", "life-lost")
    assert outcome.expires_ms == world.now_ms + 60 * MINUTE_MS
    recount(world)


def test_no_more_batches_are_taken_than_needed(world: World) -> None:
    slow = world.people(4)
    held = {}
    for worker in slow:
        held[worker.id] = ordinary(world, world.take(worker))
        world.later(1)
    world.later(61)
    assert ordinary(world, world.take(world.person())) == held[slow[0].id]
    states = select(tables.batch.c.state).order_by(tables.batch.c.id)
    found = world.look(lambda conn: conn.scalars(states).all())
    assert found == ["expired", "open", "open", "open", "open"]
    recount(world)


def test_batch_ends_by_itself_after_twice_the_lease(world: World) -> None:
    world.take(world.person())
    world.later(60 + 59)
    assert world.run(expire) == 0
    world.later(2)
    assert world.run(expire) == 1
    assert {row.n_taken for row in world.images()} == {0}
    recount(world)


def test_single_person_can_go_on_after_a_long_break(world: World) -> None:
    """Whoever works alone must not lose the images of the day before for good."""
    worker = world.person()
    before = world.take(worker)
    kept = next(t for t in before.tasks if t.task_id not in world.gold_tasks(before))
    world.answer(worker, before, kept, ())
    world.later(60 * 24 * 3)
    assert world.run(expire) == 1
    again = world.take(worker)
    assert again.batch_id == before.batch_id
    assert [task.task_id for task in again.tasks] == [task.task_id for task in before.tasks]
    assert [task.drawing for task in again.tasks if task.is_answered] == [()]
    recount(world)


def test_batches_that_share_images_end_together(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=6, gold=0, replicas=3, batch_size=4, gold_per_batch=0)
    held = [world.take(worker) for worker in world.people(3)]
    assert len({frozenset(world.images_of(batch).values()) for batch in held}) == 1
    assert {row.n_taken for row in world.images()} == {0, 3}
    world.later(121)
    assert world.run(expire) == 3
    assert {row.n_taken for row in world.images()} == {0}
    recount(world)


def test_who_comes_back_goes_on_with_what_is_left(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=4, batch_size=5, gold_per_batch=1, gold=3)
    gone, other, third = world.people(3)
    batch = world.take(gone)
    mine = ordinary(world, batch)
    left = max(mine)
    answered = next(task for task, pk in world.images_of(batch).items() if pk == left)
    task = next(task for task in batch.tasks if task.task_id == answered)
    world.answer(gone, batch, task, TRUTH)
    world.later(61)
    assert ordinary(world, world.take(other)) == mine
    # The other hands in all images; of one, the owner wants one more replica.
    for each in world.take(other).tasks:
        world.answer(other, world.take(other), each, correct(each))
    world.submit(other, world.take(other))
    assert world.reason(gone) == "no-work"
    world.run(decisions.undo_decision, world.owner, world.latest_decision(left))
    back = world.take(gone)
    assert back.batch_id == batch.batch_id
    assert ordinary(world, back) == {left}
    assert [task.position for task in back.tasks] == [0, 1]
    assert [task.drawing for task in back.tasks if task.is_answered] == [TRUTH]
    recount(world)
    assert world.reason(third) == "no-work"


def test_ended_batch_is_not_this_persons_any_more(world: World) -> None:
    gone, other = world.people(2)
    batch = world.take(gone)
    for worker in world.people(3):
        world.do(worker)
    world.later(61)
    world.take(other)
    task = batch.tasks[0]
    for attempt in (
        lambda: world.answer(gone, batch, task, ()),
        lambda: world.run(batches.renew, gone, batch.batch_id),
        lambda: world.run(batches.release, gone, batch.batch_id),
        lambda: world.run(batches.task_image, gone, task.task_id),
        lambda: world.submit(gone, batch),
    ):
        with pytest.raises(LeaseError, match="ran out"):
            attempt()
    assert world.reason(gone) == "no-work"
    recount(world)


def test_what_is_not_yours_is_not_there(world: World) -> None:
    mine, stranger = world.people(2)
    batch = world.take(mine)
    world.take(stranger)
    for attempt in (
        lambda: world.answer(stranger, batch, batch.tasks[0], ()),
        lambda: world.run(batches.renew, stranger, batch.batch_id),
        lambda: world.run(batches.release, stranger, batch.batch_id),
        lambda: world.run(batches.task_image, stranger, batch.tasks[0].task_id),
        lambda: world.submit(stranger, batch),
        lambda: world.run(batches.renew, stranger, 10**9),
        lambda: world.run(batches.task_image, stranger, 10**9),
    ):
        with pytest.raises(AccessError):
            attempt()


def test_renewing_extends_the_lease(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    world.later(10)
    assert world.run(batches.renew, worker, batch.batch_id) == batch.expires_ms + 10 * MINUTE_MS


def test_released_batch_goes_to_others(world: World) -> None:
    tired, other = world.people(2)
    batch = world.take(tired)
    mine = ordinary(world, batch)
    world.run(batches.release, tired, batch.batch_id)
    world.run(batches.release, tired, batch.batch_id)
    assert ordinary(world, world.take(other)) == mine
    recount(world)


def test_revoked_person_loses_the_batch_at_once(world: World) -> None:
    gone, other = world.people(2)
    batch = world.take(gone)
    mine = ordinary(world, batch)
    world.run(people.revoke, gone.id)
    with pytest.raises(LeaseError, match="taken back"):
        world.answer(gone, batch, batch.tasks[0], ())
    with pytest.raises(AccessError):
        world.run(batches.take_batch, gone)
    assert ordinary(world, world.take(other)) == mine
    recount(world)
