# SPDX-License-Identifier: Apache-2.0
"""Answers, gold, lives, handing in."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from tests.unit.review.store.world import (
    MINUTE_MS,
    TRUTH,
    World,
    correct,
    make_world,
    recount,
    shown_of,
)
from veilset.errors import AccessError, LeaseError, ReviewError
from veilset.review import views
from veilset.review.database import tables
from veilset.review.database.connect import Database
from veilset.review.job.answers import save_answer
from veilset.review.job.gold_images import retire_gold
from veilset.review.values import Drawing, Drawn
from veilset.review.views import BatchView, Person, TaskView


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return make_world(database, tmp_path, gold=8)


def gold_task(world: World, batch: BatchView) -> TaskView:
    golds = world.gold_tasks(batch)
    return next(task for task in batch.tasks if task.task_id in golds and not task.is_closed)


def ordinary_task(world: World, batch: BatchView) -> TaskView:
    golds = world.gold_tasks(batch)
    return next(task for task in batch.tasks if task.task_id not in golds)


def stored(world: World) -> list[Any]:
    query = select(tables.answer).order_by(tables.answer.c.id)
    return list(world.look(lambda conn: conn.execute(query).all()))


def fail(world: World, worker: Person, batch: BatchView) -> views.OutcomeView:
    return world.answer(worker, batch, gold_task(world, batch), ())


def test_right_answers_are_saved_whether_gold_or_not(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    outcomes = [world.answer(worker, batch, task, correct(task)) for task in batch.tasks]
    # Nothing in what goes back tells which of them were gold.
    assert {(each.outcome, each.lives, each.feedback, each.batch) for each in outcomes} == {
        ("saved", 2, None, None)
    }
    assert world.submit(worker, batch) == 5
    recount(world)


def test_shown_boxes_of_gold_fail(world: World) -> None:
    """Whoever only clicks through fails."""
    worker = world.person()
    batch = world.take(worker)
    task = gold_task(world, batch)
    assert world.answer(worker, batch, task, task.drawing).outcome == "life-lost"


def test_lost_life_shows_the_truth_of_that_image_only(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    task = gold_task(world, batch)
    outcome = world.answer(worker, batch, task, TRUTH[:1])
    assert (outcome.outcome, outcome.lives) == ("life-lost", 1)
    assert outcome.feedback is not None
    assert outcome.feedback.truth == TRUTH
    assert [problem.what for problem in outcome.feedback.problems] == ["missed"]
    assert outcome.feedback.problems[0].box_xyxy == TRUTH[1].box_xyxy
    again = world.take(worker)
    assert again.lives == 1
    closed = [each for each in again.tasks if each.is_closed]
    assert [each.task_id for each in closed] == [task.task_id]
    with pytest.raises(ReviewError, match="for good"):
        world.answer(worker, again, task, TRUTH)
    recount(world)


def test_closed_gold_image_does_not_keep_the_batch_from_being_handed_in(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    fail(world, worker, batch)
    for task in world.take(worker).tasks:
        if not task.is_closed:
            world.answer(worker, batch, task, correct(task))
    assert world.submit(worker, batch) == 5


def test_last_life_begins_the_batch_again(world: World) -> None:
    worker = world.person()
    first = world.take(worker)
    kept = ordinary_task(world, first)
    world.answer(worker, first, kept, correct(kept))
    assert fail(world, worker, first).lives == 1
    outcome = fail(world, worker, world.take(worker))
    assert (outcome.outcome, outcome.lives) == ("restarted", 2)
    assert outcome.feedback is not None
    again = outcome.batch
    assert again is not None
    assert (again.attempt, again.lives) == (2, 2)
    assert not any(task.is_answered or task.is_closed for task in again.tasks)
    before, after = world.images_of(first), world.images_of(again)
    golds_before = {before[task] for task in world.gold_tasks(first)}
    golds_after = {after[task] for task in world.gold_tasks(again)}
    # The same work, other gold: the truth of the old one was shown.
    assert set(before.values()) - golds_before == set(after.values()) - golds_after
    assert len(golds_after) == 2
    assert not golds_before & golds_after
    assert world.take(worker) == again
    with pytest.raises(LeaseError, match="begun again"):
        world.answer(worker, first, kept, ())
    recount(world)


def test_without_other_gold_the_same_comes_again(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, gold=2, lives=1)
    worker = world.person()
    first = world.take(worker)
    again = fail(world, worker, first).batch
    assert again is not None
    assert len(world.gold_tasks(again)) == 2
    exposures = select(tables.seen.c.n_exposures).where(tables.seen.c.n_exposures > 0)
    assert world.look(lambda conn: conn.scalars(exposures).all()) == [1, 1]


def test_attempts_are_capped_and_the_images_go_to_others(
    database: Database, tmp_path: Path
) -> None:
    world = make_world(database, tmp_path, gold=8, lives=2, max_attempts=2, max_failed_batches=5)
    worker = world.person()
    batch = world.take(worker)
    outcomes = []
    while True:
        outcome = fail(world, worker, batch)
        outcomes.append(outcome.outcome)
        if outcome.outcome == "batch-lost":
            break
        batch = world.take(worker)
    assert outcomes == ["life-lost", "restarted", "life-lost", "batch-lost"]
    assert outcome.feedback is not None
    with pytest.raises(LeaseError, match="lost on its control images"):
        world.submit(worker, batch)
    mine = set(world.images_of(batch).values())
    other = set(world.images_of(world.take(world.person())).values())
    ordinary = {row.id for row in world.images() if row.state == "open"}
    assert mine & other & ordinary == mine & ordinary
    # The person goes on with other images.
    assert not set(world.images_of(world.take(worker)).values()) & mine
    recount(world)


def test_gold_is_scored_every_time(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    task = gold_task(world, batch)
    assert world.answer(worker, batch, task, TRUTH).outcome == "saved"
    assert world.answer(worker, batch, task, ()).outcome == "life-lost"


def test_ordinary_images_can_be_answered_again_until_the_end(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    task = ordinary_task(world, batch)
    other: Drawing = (Drawn((1, 2, 3, 4)),)
    world.answer(worker, batch, task, TRUTH)
    world.answer(worker, batch, task, other)
    view = next(each for each in world.take(worker).tasks if each.task_id == task.task_id)
    assert view.drawing == other
    for each in batch.tasks:
        if each.task_id != task.task_id:
            world.answer(worker, batch, each, correct(each))
    world.submit(worker, batch)
    query = select(tables.decision.c.drawing).where(
        tables.decision.c.image_pk == world.images_of(batch)[task.task_id]
    )
    assert json.loads(world.look(lambda conn: conn.scalar(query))) == [[1, 2, 3, 4, "face", None]]
    with pytest.raises(LeaseError, match="handed in"):
        world.answer(worker, batch, task, TRUTH)


@pytest.mark.parametrize("kind", ["ordinary", "gold right", "gold wrong"])
def test_the_same_nonce_is_one_answer(world: World, kind: str) -> None:
    worker = world.person()
    batch = world.take(worker)
    task = ordinary_task(world, batch) if kind == "ordinary" else gold_task(world, batch)
    drawing = () if kind == "gold wrong" else correct(task)
    first = world.answer(worker, batch, task, drawing, nonce="the-same-1")
    world.later(1)
    again = world.answer(worker, batch, task, (), nonce="the-same-1")
    assert again == first
    assert len(stored(world)) == 1
    assert world.take(worker).lives == (1 if kind == "gold wrong" else 2)


def test_repeats_after_a_restart_and_after_the_end(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, gold=8, lives=1, max_attempts=2)
    worker = world.person()
    batch = world.take(worker)
    task = gold_task(world, batch)
    first = world.answer(worker, batch, task, (), nonce="restart-1")
    assert first.outcome == "restarted"
    again = world.answer(worker, batch, task, (), nonce="restart-1")
    assert (again.outcome, again.feedback) == (first.outcome, first.feedback)
    assert again.batch is not None
    assert first.batch is not None
    assert [each.task_id for each in again.batch.tasks] == [
        each.task_id for each in first.batch.tasks
    ]
    last = gold_task(world, first.batch)
    lost = world.answer(worker, first.batch, last, (), nonce="lost-0001")
    assert lost.outcome == "batch-lost"
    assert world.answer(worker, first.batch, last, (), nonce="lost-0001") == lost
    assert len(stored(world)) == 2


def test_repeat_after_handing_in(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    outcomes = [
        world.answer(worker, batch, task, correct(task), nonce=f"nonce-x{place}")
        for place, task in enumerate(batch.tasks)
    ]
    assert world.submit(worker, batch) == world.submit(worker, batch) == 5
    assert world.answer(worker, batch, batch.tasks[0], (), nonce="nonce-x0") == outcomes[0]
    recount(world)


def test_batch_without_all_answers_is_not_taken(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    for task in batch.tasks[:3]:
        world.answer(worker, batch, task, correct(task))
    with pytest.raises(ReviewError, match="2 of the 5 images have no answer yet"):
        world.submit(worker, batch)
    recount(world)


@pytest.mark.parametrize(
    ("drawing", "says"),
    [
        ((Drawn((5, 5, 1, 9)),), "x0 < x1"),
        ((Drawn((500, 5, 600, 9)),), "x0 < x1"),
        ((Drawn((float("nan"), 5, 6, 9)),), "x0 < x1"),
        ((Drawn((1, 1, 5, 5), "dog"),), "the kind 'dog'"),
        ((Drawn((1, 1, 5, 5), source=77),), "region 77"),
        ((Drawn((1, 1, 5, 5), source=0), Drawn((1, 1, 6, 6), source=0)), "region 0"),
        (tuple(Drawn((1, 1, 5, 5)) for _ in range(2001)), "2000 are allowed"),
    ],
)
def test_what_cannot_be_is_refused_and_costs_nothing(
    world: World, drawing: Drawing, says: str
) -> None:
    worker = world.person()
    batch = world.take(worker)
    task = ordinary_task(world, batch)
    with pytest.raises(ReviewError, match=says):
        world.answer(worker, batch, task, drawing)
    assert stored(world) == []
    assert not any(each.is_answered for each in world.take(worker).tasks)


def test_boxes_are_cut_to_the_image(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    task = ordinary_task(world, batch)
    world.answer(worker, batch, task, (Drawn((-5, -5, 4000, 20)),))
    view = next(each for each in world.take(worker).tasks if each.task_id == task.task_id)
    assert view.drawing[0].box_xyxy == (0, 0, 400, 20)


def test_withdrawn_gold_costs_no_life(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    task = gold_task(world, batch)
    world.run(retire_gold, world.owner, world.images_of(batch)[task.task_id])
    assert world.answer(worker, batch, task, ()).outcome == "saved"
    (row,) = stored(world)
    assert row.n_true is None


def test_answers_extend_the_lease(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    world.later(50)
    outcome = world.answer(worker, batch, batch.tasks[0], correct(batch.tasks[0]))
    assert outcome.expires_ms == batch.expires_ms + 50 * MINUTE_MS
    assert world.take(worker).expires_ms == outcome.expires_ms


def test_changes_are_counted_against_what_was_shown(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    task = ordinary_task(world, batch)
    first = shown_of(world, task)[0]
    moved = Drawn((12.0, 10.0, 90.0, 110.0), "face", first.source)
    world.answer(worker, batch, task, (moved, TRUTH[1]))
    (row,) = stored(world)
    assert (row.n_added, row.n_deleted, row.n_moved) == (1, 1, 1)


def test_no_view_of_a_task_holds_the_truth(world: World) -> None:
    """Before the answer, nothing that the web application can get speaks of gold."""
    names = {field.name for field in fields(views.TaskView)} | {
        field.name for field in fields(views.BatchView)
    }
    assert names == {
        "task_id", "position", "size_wh", "is_answered", "is_closed", "drawing",
        "batch_id", "attempt", "lives", "expires_ms", "tasks",
    }  # fmt: skip
    batch = world.take(world.person())
    for task in batch.tasks:
        if task.task_id in world.gold_tasks(batch):
            assert {each.box_xyxy for each in task.drawing} != {each.box_xyxy for each in TRUTH}
        # Sources count from 0 without gaps, as those of every other image do.
        assert [each.source for each in task.drawing] == list(range(len(task.drawing)))


def test_strangers_cannot_answer(world: World) -> None:
    batch = world.take(world.person())
    with pytest.raises(AccessError):
        world.answer(world.person(), batch, batch.tasks[0], ())


def test_saving_takes_four_statements(world: World) -> None:
    worker = world.person()
    batch = world.take(worker)
    task = ordinary_task(world, batch)
    statements: list[str] = []
    engine = world.database._engine

    def count(_conn: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    world.answer(worker, batch, task, correct(task))
    event.remove(engine, "before_cursor_execute", count)
    work = [each for each in statements if not each.startswith("BEGIN")]
    assert len(work) == 4, work


def test_order_of_two_at_once_on_the_same_gold_image_costs_one_life(world: World) -> None:
    """Two tabs, two nonces, one gold image: the second finds it closed."""
    worker = world.person()
    batch = world.take(worker)
    task = gold_task(world, batch)
    world.answer(worker, batch, task, ())
    with pytest.raises(ReviewError, match="for good"):
        world.database.run(
            lambda conn: save_answer(
                conn, world.job, worker, task.task_id, 1, (), "other-nonce", 1.0, world.now_ms
            )
        )
    assert world.take(worker).lives == 1
