# SPDX-License-Identifier: Apache-2.0
"""The figures of the dashboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.review.store.world import TRUTH, World, correct, make_world
from veilset.intervals import clopper_pearson, wilson
from veilset.review.database.connect import Database
from veilset.review.job import decisions, figures
from veilset.review.job.audit import draw_audit
from veilset.review.job.gold_images import add_gold, retire_gold
from veilset.review.job.pace import hours_left, images_per_hour, median_seconds
from veilset.review.stage import review_agreement, review_status
from veilset.review.values import Drawing, Role
from veilset.review.views import UNKNOWN, Estimate, OverviewView, PersonView, TaskView


def overview(world: World) -> OverviewView:
    return world.database.look(lambda conn: figures.overview(conn, world.job, world.now_ms))


def rows(world: World) -> dict[str, PersonView]:
    found = world.look(lambda conn: figures.people_table(conn, world.job, world.now_ms))
    return {row.name: row for row in found}


def test_nothing_done_yet(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path)
    view = overview(world)
    assert (view.n_images, view.n_open, view.n_gold, view.n_answers, view.n_answers_wanted) == (
        16, 12, 4, 0, 12,
    )  # fmt: skip
    assert view.images_per_hour == view.hours_left == view.median_seconds == UNKNOWN
    assert view.found_per_minute == view.expected_per_minute == view.missed_left == UNKNOWN
    assert view.advice.startswith("Go on: nothing is known yet")
    assert [(point.n_done, point.n_added) for point in view.curve] == [(0, 0), (0, 0)]


def test_counts_follow_the_work(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, gold=3)
    one, two = world.people(2)
    world.person(Role.EXPERT)
    batch = world.take(one)
    for task in batch.tasks:
        world.later(1)
        world.answer(one, batch, task, correct(task), seconds=30.0)
    world.submit(one, batch)
    world.take(two)
    view = overview(world)
    assert (view.n_settled, view.n_open, view.n_disputed, view.n_unreadable) == (3, 9, 0, 0)
    assert (view.n_people, view.n_active, view.n_answers, view.n_answers_wanted) == (3, 1, 3, 12)
    # On each of the three images one face was missing and one box was a stray one.
    assert (view.regions_before, view.regions_added, view.regions_deleted) == (6, 3, 3)
    assert view.median_seconds == Estimate(30.0, 30.0, 30.0, 3)
    assert view.found_per_minute.value == pytest.approx(2.0)
    assert view.found_per_minute.low is not None
    assert view.found_per_minute.low < 2.0
    low, high = wilson(3, 3)
    assert view.missed_left == Estimate(1.0, low, high, 3)
    assert view.advice.startswith("Go on: in 3 images")
    assert (view.curve[-1].n_done, view.curve[-1].n_added) == (3, 3)
    assert view.curve[0].at_ms <= view.curve[-1].at_ms
    rate = view.images_per_hour.value
    assert rate is not None
    assert view.hours_left.value == pytest.approx(9 / rate)


def test_gold_counts_those_that_serve(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=4, gold=2, replicas=2, batch_size=5)
    one, two = world.people(2)
    batch = world.do(one)
    world.do(two)
    assert (overview(world).n_gold, overview(world).n_open) == (2, 1)
    settled = next(row.id for row in world.images() if row.state == "settled")
    world.run(add_gold, world.owner, settled)
    assert (overview(world).n_gold, overview(world).n_settled) == (3, 3)
    given = next(row.id for row in world.images() if row.state == "gold")
    world.run(retire_gold, world.owner, given)
    assert (overview(world).n_gold, overview(world).n_open) == (2, 2)
    assert batch.tasks


def test_missed_left_comes_from_the_audit_where_it_is_large_enough(
    database: Database, tmp_path: Path
) -> None:
    world = make_world(database, tmp_path, n=40, gold=0, batch_size=25, gold_per_batch=0)
    world.database.run(lambda conn: draw_audit(conn, world.job, 25, 0, (), world.now_ms))
    expert = world.person(Role.EXPERT)
    batch = world.take(expert)
    for place, task in enumerate(batch.tasks):
        drawing = correct(task) if place < 5 else task.drawing
        world.answer(expert, batch, task, drawing)
    world.submit(expert, batch)
    view = overview(world)
    assert view.missed_left == Estimate(0.2, *clopper_pearson(5, 25), 25)
    # What experts do is not the work that is asked for.
    assert (view.n_answers, view.n_open) == (0, 40)
    assert view.found_per_minute == UNKNOWN


def test_people_are_judged_by_their_first_answer_on_gold(
    database: Database, tmp_path: Path
) -> None:
    world = make_world(database, tmp_path, n=6, gold=2, batch_size=4, lives=3)
    worker = world.person()
    batch = world.take(worker)
    golds = world.gold_tasks(batch)
    first, second = (task for task in batch.tasks if task.task_id in golds)
    world.answer(worker, batch, first, TRUTH[:1])
    world.answer(worker, batch, second, TRUTH)
    # A second answer on the same image says nothing more.
    world.answer(worker, batch, second, (*TRUTH, *TRUTH))
    row = rows(world)[worker.name]
    assert row.gold_recall == Estimate(0.75, *wilson(3, 4), 4)
    assert row.gold_precision == Estimate(1.0, *wilson(3, 3), 3)
    assert row.n_answers == 3
    assert (row.last_seen_ms, row.has_signed_in, row.is_revoked) == (world.now_ms, False, False)


def wrong(_task: TaskView) -> Drawing:
    return ()


def test_agreement_of_people(database: Database, database_url: str, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=6, gold=0, replicas=3, batch_size=6, gold_per_batch=0)
    good, better, bad = world.people(3)
    world.do(good)
    world.do(better)
    world.do(bad, wrong)
    table = rows(world)
    assert table[good.name].agreement.value == pytest.approx(0.5)
    assert table[good.name].agreement.n == 6
    assert table[bad.name].agreement.value == 0.0
    assert table[world.owner.name].agreement == UNKNOWN
    view = world.look(lambda conn: figures.agreement(conn, world.job))
    assert view.n_images == 6
    assert view.overall.value == pytest.approx(1 / 3)
    # The shorter sides of the two faces are 80 and 90 px.
    assert view.by_size == {"32-96": view.overall}
    assert review_agreement(database_url) == view
    job, status, people = review_status(database_url, "faces")
    assert (job, len(people)) == (world.job, 4)
    assert status.n_disputed + status.n_settled == 6


def test_undone_decisions_leave_the_sums(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=3, gold=0, batch_size=3, gold_per_batch=0)
    world.do(world.person())
    for row in world.images():
        world.run(decisions.undo_decision, world.owner, world.latest_decision(row.id))
    view = overview(world)
    assert (view.n_settled, view.n_open, view.n_answers_wanted) == (0, 3, 6)
    assert (view.regions_before, view.regions_added, view.regions_deleted) == (0, 0, 0)
    assert view.curve[-1].n_added == 0


def test_pauses_do_not_count_as_work() -> None:
    minute = 60_000
    evening = [at * minute for at in range(31)]
    morning = [(600 + at) * minute for at in range(26)]
    # 30 minutes, a night that counts as 5, and 25 minutes: 56 answers in an hour.
    found = images_per_hour(evening + morning)
    assert (found.value, found.n) == (56.0, 56)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 56 < found.high


def test_rate_speaks_of_the_last_hour_of_work() -> None:
    slow = [at * 240_000 for at in range(50)]
    fast = [slow[-1] + at * 20_000 for at in range(1, 200)]
    assert images_per_hour(slow + fast).value == pytest.approx(180.0)


@pytest.mark.parametrize("moments", [[], [5], [7, 7, 7]])
def test_no_rate_without_time(moments: list[int]) -> None:
    assert images_per_hour(moments) == UNKNOWN


def test_interval_of_the_median_is_that_of_order_statistics() -> None:
    # Conover 1999, table A3: for n = 20 the 95.86 % interval reaches from the 6th to the 15th.
    found = median_seconds([float(value) for value in range(1, 21)])
    assert found == Estimate(10.5, 6.0, 15.0, 20)
    assert median_seconds([]) == UNKNOWN
    assert median_seconds([4.0]) == Estimate(4.0, 4.0, 4.0, 1)


def test_hours_left_without_a_rate() -> None:
    assert hours_left(10, UNKNOWN) == UNKNOWN
    assert hours_left(10, Estimate(5.0, 0.0, 10.0, 3)) == Estimate(2.0, 1.0, None, 3)
