# SPDX-License-Identifier: Apache-2.0
"""Many people at once: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import func, select

from tests.unit.review.store.world import TRUTH, World, correct, make_world, recount
from veilset.errors import LeaseError, ReviewError
from veilset.review.database import tables
from veilset.review.database.connect import Database
from veilset.review.job import batches, decisions, people
from veilset.review.job.answers import submit_batch
from veilset.review.job.leases import expire
from veilset.review.values import Role
from veilset.review.views import Person


def at_once(works: Sequence[Callable[[], None]]) -> None:
    """Do all of it on threads of their own; raise what any of them raised."""
    failed: list[BaseException] = []
    start = threading.Barrier(len(works))

    def begin(work: Callable[[], None]) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=begin, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def finish_everything(world: World, worker: Person, said: Counter[int]) -> None:
    """Take batches until there is none, answering most images right, some twice."""
    dice = random.Random(worker.id)
    while True:
        work = world.run(batches.take_batch, worker)
        if work.batch is None:
            return
        batch = work.batch
        try:
            while batch:
                again = None
                for task in batch.tasks:
                    if task.is_closed:
                        continue
                    drawing = correct(task) if dice.random() < 0.9 else ()
                    outcome = world.answer(worker, batch, task, drawing)
                    said[worker.id] += 1
                    if outcome.outcome == "restarted":
                        again = outcome.batch
                        break
                    if outcome.outcome == "batch-lost":
                        raise LeaseError("lost")
                else:
                    world.submit(worker, batch)
                batch = again
        except LeaseError:
            continue


def test_thirty_people_do_a_whole_job(database: Database, tmp_path: Path) -> None:
    n = 90
    world = make_world(
        database, tmp_path, n=n, gold=60, replicas=3, batch_size=6, gold_per_batch=2,
        max_attempts=4, max_failed_batches=50, lives=3,
    )  # fmt: skip
    workers = world.people(30)
    said: Counter[int] = Counter()
    at_once([lambda w=w: finish_everything(world, w, said) for w in workers])  # type: ignore[misc]  # a default
    recount(world)
    images = [row for row in world.images() if row.state != "gold"]
    assert {row.state for row in images} <= {"settled", "disputed"}
    assert {(row.n_wanted, row.n_taken, row.n_done) for row in images} == {(3, 3, 3)}
    t = tables
    with world.database.reading() as conn:
        assert conn.scalar(select(func.count()).select_from(t.answer)) == said.total()
        kinds = conn.execute(select(t.decision.c.image_pk, t.decision.c.kind)).all()
        doubled = conn.execute(
            select(t.seen.c.person_id, t.task.c.image_pk)
            .join_from(t.task, t.batch, t.batch.c.id == t.task.c.batch_id)
            .join(t.seen, (t.seen.c.person_id == t.batch.c.person_id)
                  & (t.seen.c.image_pk == t.task.c.image_pk)
                  & (t.seen.c.batch_id != t.batch.c.id))
            .where(t.task.c.gold_id.is_(None), t.task.c.attempt == t.batch.c.attempt)
        ).all()  # fmt: skip
    assert len(kinds) == len({row.image_pk for row in kinds}) == n
    assert not doubled


def test_the_same_answers_sent_by_many_at_once_count_once(
    database: Database, tmp_path: Path
) -> None:
    world = make_world(database, tmp_path, n=5, gold=3, batch_size=5, gold_per_batch=1)
    worker = world.person()
    batch = world.take(worker)
    golds = world.gold_tasks(batch)
    outcomes: list[tuple[int, object]] = []

    def send_all() -> None:
        for task in batch.tasks:
            drawing = () if task.task_id in golds else correct(task)
            nonce = f"nonce-{task.task_id:06d}"
            outcome = world.answer(worker, batch, task, drawing, nonce=nonce)
            outcomes.append((task.task_id, outcome))

    at_once([send_all] * 12)
    assert len(outcomes) == 12 * 5
    assert len({(task_id, repr(outcome)) for task_id, outcome in outcomes}) == 5
    count = select(func.count()).select_from(tables.answer)
    assert world.look(lambda conn: conn.scalar(count)) == 5
    assert world.take(worker).lives == 1
    n_images: list[int] = []
    at_once([lambda: n_images.append(world.submit(worker, batch))] * 12)
    assert n_images == [5] * 12
    recount(world)


def test_one_gold_image_in_many_tabs_costs_one_life(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=5, gold=3, batch_size=5, gold_per_batch=1, lives=3)
    worker = world.person()
    batch = world.take(worker)
    (task,) = [task for task in batch.tasks if task.task_id in world.gold_tasks(batch)]
    outcomes: list[str] = []

    def send() -> None:
        try:
            outcomes.append(world.answer(worker, batch, task, ()).outcome)
        except ReviewError as error:
            outcomes.append("for good" if "for good" in str(error) else str(error))

    at_once([send] * 10)
    assert sorted(outcomes) == ["for good"] * 9 + ["life-lost"]
    assert world.take(worker).lives == 2


def test_tabs_that_ask_for_work_at_once_get_one_batch(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=30, gold=3)
    worker = world.person()
    ids: list[int] = []
    at_once([lambda: ids.append(world.take(worker).batch_id)] * 10)
    assert len(set(ids)) == 1
    recount(world)


def test_link_used_by_many_at_once_lets_one_in(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=1, gold=0)
    (invited,) = world.run(people.invite, Role.WORKER, 1, 1.0)
    let_in: list[bool] = []

    def come() -> None:
        try:
            database.run(lambda conn: people.sign_in(conn, invited.token, world.now_ms))
            let_in.append(True)
        except ReviewError:
            let_in.append(False)

    at_once([come] * 10)
    assert Counter(let_in) == {True: 1, False: 9}


def test_leases_end_while_people_hand_in_and_the_owner_decides(
    database: Database, tmp_path: Path
) -> None:
    """Everything that locks images, all at the same time: no deadlock is left to the user."""
    world = make_world(database, tmp_path, n=40, gold=0, replicas=2, batch_size=8, gold_per_batch=0)
    workers = world.people(12)
    slow = world.people(4)
    for worker in slow:
        world.take(worker)
    world.later(61)
    ended = threading.Event()

    def work(worker: Person) -> None:
        finish_everything(world, worker, Counter())

    def sweep() -> None:
        while not ended.is_set():
            world.run(expire)
            ended.wait(0.005)

    def decide() -> None:
        while not ended.is_set():
            for row in world.images()[::3]:
                try:
                    made = world.run(decisions.adjudicate, world.owner, row.id, TRUTH)
                    world.run(decisions.undo_decision, world.owner, made.decision_id)
                except ReviewError as error:
                    assert "at work" in str(error) or "later decision" in str(error)  # noqa: PT017  most raise none

    helpers = [threading.Thread(target=each) for each in (sweep, decide)]
    for helper in helpers:
        helper.start()
    try:
        at_once([lambda w=w: work(w) for w in workers])  # type: ignore[misc]  # a default
    finally:
        ended.set()
        for helper in helpers:
            helper.join()
    for worker in world.people(4):
        work(worker)
    recount(world)
    assert {row.state for row in world.images()} <= {"settled", "disputed"}


def test_submitting_and_taking_do_not_meet_on_the_last_images(
    database: Database, tmp_path: Path
) -> None:
    world = make_world(database, tmp_path, n=20, gold=0, batch_size=4, gold_per_batch=0)
    workers = world.people(10)

    def once(worker: Person) -> None:
        batch = world.run(batches.take_batch, worker).batch
        if batch is None:
            return
        for task in batch.tasks:
            world.answer(worker, batch, task, correct(task))
        database.run(
            lambda conn: submit_batch(conn, world.job, worker, batch.batch_id, world.now_ms)
        )

    at_once([lambda w=w: once(w) for w in workers])  # type: ignore[misc]  # a default
    recount(world)
    assert sum(row.n_done for row in world.images()) == 20
