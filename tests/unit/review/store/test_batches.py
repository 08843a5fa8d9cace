# SPDX-License-Identifier: Apache-2.0
"""Who is given which images."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from tests.unit.review.store.world import MINUTE_MS, TRUTH, World, correct, make_world, recount
from veilset.errors import AccessError, LeaseError
from veilset.review.database import tables
from veilset.review.database.connect import Database
from veilset.review.job import batches, decisions, people
from veilset.review.job.audit import draw_audit
from veilset.review.job.choose import next_images
from veilset.review.job.gold_images import add_gold, retire_gold
from veilset.review.job.leases import expire
from veilset.review.values import Role
from veilset.review.views import BatchView


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return make_world(database, tmp_path)


def ordinary(world: World, batch: BatchView) -> set[int]:
    gold = world.gold_tasks(batch)
    return {pk for task_id, pk in world.images_of(batch).items() if task_id not in gold}


def gold(world: World, batch: BatchView) -> set[int]:
    return set(world.images_of(batch).values()) - ordinary(world, batch)


def test_batch_has_the_size_and_the_gold_that_were_asked_for(world: World) -> None:
    batch = world.take(world.person())
    assert len(batch.tasks) == 5
    assert len(world.gold_tasks(batch)) == 2
    assert [task.position for task in batch.tasks] == [0, 1, 2, 3, 4]
    assert (batch.lives, batch.attempt) == (2, 1)
    assert not any(task.is_answered or task.is_closed for task in batch.tasks)


def test_work_comes_in_the_order_of_priority(world: World) -> None:
    first, second = world.people(2)
    seqs = [
        sorted(world.image(pk).seq for pk in ordinary(world, world.take(worker)))
        for worker in (first, second)
    ]
    open_seqs = [row.seq for row in world.images() if row.state == "open"]
    assert seqs == [open_seqs[:3], open_seqs[3:6]]


def test_order_within_a_batch_is_shuffled_for_each(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=30, gold=10, batch_size=30, gold_per_batch=10,
                       replicas=3)  # fmt: skip
    orders = []
    golds = []
    for worker in world.people(3):
        batch = world.take(worker)
        images = world.images_of(batch)
        orders.append([images[task.task_id] for task in batch.tasks])
        golds.append([task.task_id in world.gold_tasks(batch) for task in batch.tasks])
    assert orders[0] != orders[1] != orders[2]
    # 1 in 30 million that two are the same by chance.
    assert golds[0] != golds[1] or golds[1] != golds[2]
    assert all(sorted(order) != order for order in orders)


def test_numbers_of_tasks_do_not_tell_gold_apart(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=20, gold=20, batch_size=40, gold_per_batch=20)
    batch = world.take(world.person())
    ids = [task.task_id for task in batch.tasks]
    assert ids == sorted(ids)
    marks = [task_id in world.gold_tasks(batch) for task_id in ids]
    assert marks != sorted(marks)
    assert marks != sorted(marks, reverse=True)


def test_nobody_sees_an_image_twice(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, replicas=2, gold=8)
    one, two, three = world.people(3)
    met: list[int] = []
    for _ in range(4):
        met += world.images_of(world.do(one)).values()
    assert len(met) == len(set(met)) == 4 * 5
    # All ordinary images wait for a second person now.
    assert world.reason(one) == "no-work"
    others = [world.do(two), world.do(three), world.do(two), world.do(three)]
    seen = [pk for batch in others for pk in ordinary(world, batch)]
    assert len(seen) == len(set(seen)) == 12
    assert world.reason(two) == world.reason(three) == "no-work"
    recount(world)


def test_database_itself_refuses_an_image_twice(world: World) -> None:
    worker = world.person()
    batch = world.do(worker)
    image_pk = min(ordinary(world, batch))
    row = {"person_id": worker.id, "image_pk": image_pk, "batch_id": batch.batch_id,
           "n_exposures": 0}  # fmt: skip
    with pytest.raises(Exception, match=r"(?i)unique"), world.database.writing() as conn:
        conn.execute(tables.seen.insert().values(row))


def test_asking_again_gives_the_same_batch(world: World) -> None:
    worker = world.person()
    first = world.take(worker)
    world.later(30)
    again = world.take(worker)
    assert [task.task_id for task in again.tasks] == [task.task_id for task in first.tasks]
    assert again.expires_ms == first.expires_ms + 30 * MINUTE_MS
    recount(world)


def test_two_people_never_hold_the_same_image_beyond_the_replicas(world: World) -> None:
    held = [ordinary(world, world.take(worker)) for worker in world.people(4)]
    assert len(set.union(*held)) == sum(map(len, held)) == 12
    assert world.reason(world.person()) == "no-work"
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


def test_owner_gets_no_batch(world: World) -> None:
    with pytest.raises(AccessError, match="knows the gold"):
        world.run(batches.take_batch, world.owner)


def test_each_look_at_an_image_is_recorded(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    image = world.run(batches.task_image, worker, batch.tasks[2].task_id)
    assert image.image_pk == world.images_of(batch)[batch.tasks[2].task_id]
    assert image.image_id == world.image(image.image_pk).image_id
    world.run(batches.image_for_owner, world.owner, image.image_pk)
    with pytest.raises(AccessError):
        world.run(batches.image_for_owner, worker, image.image_pk)
    query = select(tables.view.c.person_id, tables.view.c.image_pk, tables.view.c.task_id)
    rows = world.look(lambda conn: [tuple(row) for row in conn.execute(query)])
    assert rows == [
        (worker.id, image.image_pk, batch.tasks[2].task_id),
        (world.owner.id, image.image_pk, None),
    ]


def test_gold_exposure_is_limited_and_shortage_recorded(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, gold=3)
    worker = world.person()
    met = [gold(world, world.do(worker)) for _ in range(4)]
    assert [len(each) for each in met] == [2, 1, 0, 0]
    assert not met[0] & met[1]
    events = select(tables.event.c.person_id).where(tables.event.c.what == "gold-shortage")
    assert world.look(lambda conn: conn.scalars(events).all()) == [worker.id]
    counts = select(tables.batch.c.n_gold).order_by(tables.batch.c.id)
    assert world.look(lambda conn: conn.scalars(counts).all()) == [2, 1, 0, 0]


def test_gold_can_be_shown_more_often_if_the_owner_says_so(
    database: Database, tmp_path: Path
) -> None:
    world = make_world(database, tmp_path, gold=2, gold_exposures=2)
    worker = world.person()
    assert [len(gold(world, world.do(worker))) for _ in range(4)] == [2, 2, 0, 0]


def test_agreed_image_serves_as_gold_but_not_for_those_who_saw_it(
    database: Database, tmp_path: Path
) -> None:
    world = make_world(database, tmp_path, gold=0, replicas=2, batch_size=4, gold_per_batch=1)
    one, two, three = world.people(3)
    seen = ordinary(world, world.do(one))
    assert ordinary(world, world.do(two)) == seen
    chosen = min(seen)
    assert world.image(chosen).state == "settled"
    world.run(add_gold, world.owner, chosen)
    world.run(add_gold, world.owner, chosen)
    assert gold(world, world.do(three)) == {chosen}
    assert gold(world, world.take(one)) == gold(world, world.take(two)) == set()
    # It stays settled: what was decided on it is kept.
    assert world.image(chosen).state == "settled"
    recount(world)


def test_withdrawn_gold_is_not_shown(world: World) -> None:
    golds = world.look(lambda conn: conn.scalars(select(tables.gold.c.image_pk)).all())
    for image_pk in golds:
        world.run(retire_gold, world.owner, image_pk)
    assert gold(world, world.take(world.person())) == set()
    # Its truth is not trusted, so that it is ordinary work now.
    assert {row.state for row in world.images()} == {"open"}
    recount(world)


def test_experts_get_the_audit_sample_without_gold(world: World) -> None:
    assert world.reason(world.person(Role.EXPERT)) == "no-work"
    world.run(draw_audit, 4, 7, ())
    one, two = world.people(2, Role.EXPERT)
    batch = world.take(one)
    assert len(batch.tasks) == 4
    assert not world.gold_tasks(batch)
    sample = {row.id for row in world.images() if row.in_audit}
    assert set(world.images_of(batch).values()) == sample
    assert world.reason(two) == "no-work"
    # Workers get the same images independently.
    assert ordinary(world, world.take(world.person()))
    recount(world)


def test_blocked_after_too_many_lost_batches(database: Database, tmp_path: Path) -> None:
    world = make_world(
        database, tmp_path, n=40, gold=12, lives=1, max_attempts=1, max_failed_batches=2
    )
    worker = world.person()
    for _ in range(2):
        batch = world.take(worker)
        task = next(t for t in batch.tasks if t.task_id in world.gold_tasks(batch))
        assert world.answer(worker, batch, task, ()).outcome == "batch-lost"
    assert world.reason(worker) == "blocked"
    assert {row.n_taken for row in world.images()} == {0}
    recount(world)


def test_no_batch_of_nothing_but_gold(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=3)
    world.do(world.person())
    assert world.reason(world.person()) == "no-work"


def test_the_next_images_are_read_off_the_index(database: Database, tmp_path: Path) -> None:
    # Sorting all that is open takes seconds for each batch of a million images.
    world = make_world(database, tmp_path, n=1500, gold=0, gold_per_batch=0)
    worker = world.person()
    world.take(worker)
    query = next_images(world.job, worker, 50)

    def explain(conn: Connection) -> str:
        dialect = conn.dialect
        text = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        how = "EXPLAIN" if dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        return "\n".join(str(row) for row in conn.exec_driver_sql(f"{how} {text}"))

    plan = world.look(explain)
    assert "ix_image_work" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan
