# SPDX-License-Identifier: Apache-2.0
"""Who is given which images."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from tests.unit.review.store.world import (
    World,
    gold,
    make_world,
    ordinary,
    recount,
)
from veilset.errors import AccessError
from veilset.review.database import tables
from veilset.review.database.connect import Database
from veilset.review.job import batches
from veilset.review.job.audit import draw_audit
from veilset.review.job.choose import next_images
from veilset.review.job.gold_images import add_gold, retire_gold
from veilset.review.values import Role


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


def test_two_people_never_hold_the_same_image_beyond_the_replicas(world: World) -> None:
    held = [ordinary(world, world.take(worker)) for worker in world.people(4)]
    assert len(set.union(*held)) == sum(map(len, held)) == 12
    assert world.reason(world.person()) == "no-work"
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
        how = "EXPLAIN QUERY PLAN"
        if dialect.name == "postgresql":
            # So few images are also read whole and sorted, and what it knows of the table depends
            # on when it last looked; asked is whether the index can give the order.
            for other in ("seqscan", "bitmapscan", "sort"):
                conn.exec_driver_sql(f"SET LOCAL enable_{other} = off")
            how = "EXPLAIN"
        return "\n".join(str(row) for row in conn.exec_driver_sql(f"{how} {text}"))

    plan = world.look(explain)
    assert "ix_image_work" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan
