# SPDX-License-Identifier: Apache-2.0
"""Consensus, disputes, the owner's word, undo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.unit.review.store.world import TRUTH, World, correct, make_world, recount
from veilset.errors import AccessError, ReviewError
from veilset.review.database import tables
from veilset.review.database.connect import Database
from veilset.review.job import decisions, figures
from veilset.review.job.gold_images import add_gold
from veilset.review.values import Drawing, Drawn
from veilset.review.views import Person, TaskView


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return make_world(database, tmp_path, n=4, gold=0, replicas=2, batch_size=4, gold_per_batch=0)


def nothing(_task: TaskView) -> Drawing:
    return ()


def history(world: World) -> tuple[Any, ...]:
    found: tuple[Any, ...] = world.look(lambda conn: decisions.decisions(conn, world.job, 100))
    return found


def sums(world: World) -> tuple[int, ...]:
    view = world.look(lambda conn: figures.overview(conn, world.job, world.now_ms))
    return (
        view.n_settled, view.n_disputed, view.n_open, view.regions_before, view.regions_added,
        view.regions_deleted, view.regions_moved,
    )  # fmt: skip


def state_of(world: World) -> tuple[object, ...]:
    """Everything about images and gold that undo has to restore."""
    images = tuple((row.id, row.state, row.n_wanted, row.n_taken, row.n_done)
                   for row in world.images())  # fmt: skip
    gold = select(tables.gold.c.image_pk, tables.gold.c.retired_ms)
    return images, tuple(map(tuple, world.look(lambda conn: conn.execute(gold).all()))), sums(world)


def test_one_replica_settles_at_once(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=3, gold=0, batch_size=3, gold_per_batch=0)
    worker = world.person()
    world.do(worker)
    assert set(world.states().values()) == {"settled"}
    assert {(each.kind, each.by, each.n_regions) for each in history(world)} == {
        ("single", "rules", 2)
    }
    assert sums(world) == (3, 0, 0, 6, 3, 3, 0)
    recount(world)


def test_images_wait_for_all_replicas(world: World) -> None:
    one, two = world.people(2)
    world.do(one)
    assert set(world.states().values()) == {"open"}
    assert sums(world) == (0, 0, 4, 0, 0, 0, 0)
    world.do(two)
    assert set(world.states().values()) == {"settled"}
    assert {each.kind for each in history(world)} == {"agreed"}
    recount(world)


def test_disagreement_goes_to_the_owner(world: World) -> None:
    one, two = world.people(2)
    world.do(one)
    world.do(two, nothing)
    assert set(world.states().values()) == {"disputed"}
    page = world.look(lambda conn: decisions.disputes(conn, world.job, 0, 3))
    assert page.n_total == 4
    assert len(page.disputes) == 3
    first = page.disputes[0]
    assert {each.name: len(each.drawing) for each in first.replicas} == {one.name: 2, two.name: 0}
    assert [(each.votes, each.drawn.box_xyxy) for each in first.merged] == [
        (1, TRUTH[0].box_xyxy), (1, TRUTH[1].box_xyxy),
    ]  # fmt: skip
    rest = world.look(
        lambda conn: decisions.disputes(conn, world.job, page.disputes[-1].image_pk, 3)
    )
    assert len(rest.disputes) == 1
    assert sums(world) == (0, 4, 0, 0, 0, 0, 0)
    recount(world)


def disputed(world: World) -> tuple[int, Person, Person]:
    one, two = world.people(2)
    world.do(one)
    world.do(two, nothing)
    page = world.look(lambda conn: decisions.disputes(conn, world.job, 0, 1))
    return page.disputes[0].image_pk, one, two


def test_the_owners_word_settles(world: World) -> None:
    image_pk, *_ = disputed(world)
    made = world.run(decisions.adjudicate, world.owner, image_pk, TRUTH)
    assert (made.kind, made.by, made.n_regions) == ("adjudicated", world.owner.name, 2)
    assert history(world)[0] == made
    assert world.image(image_pk).state == "settled"
    assert sums(world)[:2] == (1, 3)
    recount(world)


def test_undo_restores_exactly(world: World) -> None:
    image_pk, *_ = disputed(world)
    before = state_of(world)
    made = world.run(decisions.adjudicate, world.owner, image_pk, TRUTH)
    between = state_of(world)
    again = world.run(decisions.adjudicate, world.owner, image_pk, ())
    assert state_of(world) != between
    with pytest.raises(ReviewError, match="later decision"):
        world.run(decisions.undo_decision, world.owner, made.decision_id)
    world.run(decisions.undo_decision, world.owner, again.decision_id)
    assert state_of(world) == between
    with pytest.raises(ReviewError, match="undone already"):
        world.run(decisions.undo_decision, world.owner, again.decision_id)
    world.run(decisions.undo_decision, world.owner, made.decision_id)
    assert state_of(world) == before
    assert [each.is_undone for each in history(world)] == [True, True, False, False, False, False]
    recount(world)


def test_undoing_what_the_rules_decided_asks_one_more_person(world: World) -> None:
    one, two, three = world.people(3)
    world.do(one)
    world.do(two)
    image_pk = world.images()[0].id
    world.run(decisions.undo_decision, world.owner, world.latest_decision(image_pk))
    held = world.image(image_pk)
    assert (held.state, held.n_wanted, held.n_done) == ("open", 3, 2)
    recount(world)
    batch = world.do(three)
    assert set(world.images_of(batch).values()) == {image_pk}
    assert world.image(image_pk).state == "settled"
    detail = select(tables.decision.c.detail).where(tables.decision.c.image_pk == image_pk)
    last = world.look(lambda conn: conn.scalars(detail.order_by(tables.decision.c.id)).all())[-1]
    assert '"votes":[3,3]' in last
    recount(world)


def test_owner_can_settle_an_open_image_that_nobody_holds(world: World) -> None:
    one, *_ = world.people(1)
    batch = world.take(one)
    image_pk = min(world.images_of(batch).values())
    with pytest.raises(ReviewError, match="at work"):
        world.run(decisions.adjudicate, world.owner, image_pk, TRUTH)
    for task in batch.tasks:
        world.answer(one, batch, task, correct(task))
    world.submit(one, batch)
    before = state_of(world)
    made = world.run(decisions.adjudicate, world.owner, image_pk, TRUTH)
    assert world.image(image_pk).state == "settled"
    recount(world)
    world.run(decisions.undo_decision, world.owner, made.decision_id)
    assert state_of(world) == before


def test_new_word_on_an_image_ends_its_service_as_gold(world: World) -> None:
    one, two = world.people(2)
    world.do(one)
    world.do(two)
    image_pk = world.images()[0].id
    world.run(add_gold, world.owner, image_pk)
    world.run(decisions.adjudicate, world.owner, image_pk, TRUTH[:1])
    retired = select(tables.gold.c.retired_ms)
    assert world.look(lambda conn: conn.scalar(retired)) == world.now_ms
    # Added again, it has the new truth.
    world.run(add_gold, world.owner, image_pk)
    truth = world.look(lambda conn: conn.scalar(select(tables.gold.c.truth)))
    assert truth == '[[10.0,10.0,90.0,110.0,"face",null]]'


def test_single_answers_cannot_serve_as_gold(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=2, gold=0, batch_size=1, gold_per_batch=0)
    settled = min(world.images_of(world.do(world.person())).values())
    with pytest.raises(ReviewError, match="only one person saw it"):
        world.run(add_gold, world.owner, settled)
    other = next(row.id for row in world.images() if row.id != settled)
    with pytest.raises(ReviewError, match="it is open"):
        world.run(add_gold, world.owner, other)
    world.run(decisions.adjudicate, world.owner, settled, TRUTH)
    world.run(add_gold, world.owner, settled)


def test_only_the_owner_decides(world: World) -> None:
    image_pk, one, _ = disputed(world)
    decision_id = world.latest_decision(image_pk)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: world.run(decisions.adjudicate, one, image_pk, TRUTH),
        lambda: world.run(decisions.undo_decision, one, decision_id),
        lambda: world.run(add_gold, one, image_pk),
        lambda: world.run(decisions.adjudicate, world.owner, 10**9, TRUTH),
        lambda: world.run(decisions.undo_decision, world.owner, 10**9),
    )
    for attempt in attempts:
        with pytest.raises(AccessError):
            attempt()


def test_the_owners_drawing_is_checked_too(world: World) -> None:
    image_pk, *_ = disputed(world)
    for drawing, says in (
        ((Drawn((1, 1, 5, 5), "dog"),), "kind 'dog'"),
        ((Drawn((1, 1, 5, 5), source=9),), "region 9"),
    ):
        with pytest.raises(ReviewError, match=says):
            world.run(decisions.adjudicate, world.owner, image_pk, drawing)


def test_gold_and_unreadable_images_cannot_be_settled(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=2, gold=1)
    gold = next(row.id for row in world.images() if row.state == "gold")
    with pytest.raises(ReviewError, match="is gold: there is nothing to decide"):
        world.run(decisions.adjudicate, world.owner, gold, TRUTH)
