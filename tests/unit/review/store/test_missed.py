# SPDX-License-Identifier: Apache-2.0
"""What is still missed: the experts' sample beside what people settled, and recapture."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.review.store.world import World, correct, make_world
from veilset.intervals import clopper_pearson
from veilset.review.database.connect import Database
from veilset.review.job import decisions
from veilset.review.job.audit import draw_audit
from veilset.review.job.missed import still_missed
from veilset.review.rules.estimates import missed_per_image
from veilset.review.rules.recapture import recapture_among
from veilset.review.values import Drawing, Drawn, Role
from veilset.review.views import UNKNOWN, Estimate, MissedView, RecaptureView, TaskView

THIRD = Drawn((20.0, 200.0, 60.0, 250.0))
"""A face that only a careful eye finds."""


def missed(world: World) -> MissedView:
    found: MissedView = world.look(lambda conn: still_missed(conn, world.job))
    return found


def draw(world: World, n: int, *categories: str, seed: int = 0) -> None:
    world.database.run(lambda conn: draw_audit(conn, world.job, n, seed, categories, world.now_ms))


def with_third(task: TaskView) -> Drawing:
    return (*correct(task), THIRD)


def as_shown(task: TaskView) -> Drawing:
    return task.drawing


def test_nothing_is_known_at_first(database: Database, tmp_path: Path) -> None:
    found = missed(make_world(database, tmp_path))
    assert found.recapture == ()
    assert (found.sample.n_drawn, found.sample.n_by_expert, found.sample.drawn_from) == (0, 0, ())
    assert found.sample.images_before == found.sample.regions_after == UNKNOWN


def test_the_sample_is_judged_before_and_after_review(database: Database, tmp_path: Path) -> None:
    world = make_world(
        database, tmp_path, n=12, gold=0, gold_per_batch=0, batch_size=12, order="dataset"
    )
    draw(world, 12)
    expert, worker = world.person(Role.EXPERT), world.person()
    world.do(expert, with_third)
    before = missed(world).sample
    assert (before.n_drawn, before.n_by_expert, before.n_settled) == (12, 12, 0)
    # The detector found one of the three faces of each image.
    assert before.images_before == Estimate(1.0, *clopper_pearson(12, 12), 12)
    assert before.regions_before.value == 2
    assert before.images_after == before.regions_after == UNKNOWN
    batch = world.take(worker)
    for place, task in enumerate(batch.tasks):
        drawing = with_third(task) if place < 9 else correct(task)
        world.answer(worker, batch, task, drawing)
    world.submit(worker, batch)
    after = missed(world).sample
    assert after.n_settled == 12
    assert after.images_before == before.images_before
    assert after.images_after == Estimate(0.25, *clopper_pearson(3, 12), 12)
    assert after.regions_after == Estimate.of(missed_per_image([1] * 3 + [0] * 9))


def test_one_box_over_two_faces_misses_none(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=2, gold=0, gold_per_batch=0, batch_size=2)
    draw(world, 2)
    both = Drawn((0.0, 0.0, 300.0, 170.0))
    world.do(world.person(Role.EXPERT))
    world.do(world.person(), lambda task: (both,))
    assert missed(world).sample.images_after.value == 0


def test_an_undone_decision_does_not_count(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=2, gold=0, gold_per_batch=0, batch_size=2)
    draw(world, 2)
    world.do(world.person(Role.EXPERT))
    world.do(world.person())
    assert missed(world).sample.n_settled == 2
    latest = world.latest_decision(world.images()[0].id)
    world.run(decisions.undo_decision, world.owner, latest)
    assert missed(world).sample.n_settled == 1


@pytest.mark.parametrize(
    ("draws", "drawn_from"),
    [
        ([()], ()),
        ([("cat-1",), ("cat-1",)], ("cat-1",)),
        ([("cat-1",), ()], None),
        ([("cat-2", "cat-0")], ("cat-0", "cat-2")),
    ],
)
def test_it_says_what_the_sample_was_drawn_from(
    database: Database,
    tmp_path: Path,
    draws: list[tuple[str, ...]],
    drawn_from: tuple[str, ...] | None,
) -> None:
    world = make_world(database, tmp_path)
    for n, categories in enumerate(draws, start=2):
        draw(world, n, *categories)
    assert missed(world).sample.drawn_from == drawn_from


def test_experts_do_not_follow_the_order_of_the_data_set(
    database: Database, tmp_path: Path
) -> None:
    world = make_world(database, tmp_path, n=60, gold=0, gold_per_batch=0, batch_size=10)
    draw(world, 60)
    batch = world.take(world.person(Role.EXPERT))
    places = sorted(world.images_of(batch).values())
    ids = sorted(row.id for row in world.images())
    assert places != ids[:10]
    # Somewhere from every third of the data set.
    thirds = {ids.index(place) // 20 for place in places}
    assert thirds == {0, 1, 2}


def test_recapture_counts_what_people_added(database: Database, tmp_path: Path) -> None:
    world = make_world(
        database, tmp_path, n=10, gold=0, gold_per_batch=0, batch_size=10, replicas=2
    )
    one, two = world.people(2)
    world.do(one, with_third)
    assert missed(world).recapture == ()
    batch = world.take(two)
    for place, task in enumerate(batch.tasks):
        world.answer(two, batch, task, with_third(task) if place < 4 else correct(task))
    world.submit(two, batch)
    # The detector missed the second face, which both drew; four of the third were seen twice.
    expected = Estimate.of(recapture_among({1: 6, 2: 14}, 2))
    assert missed(world).recapture == (RecaptureView(2, 10, 20, expected),)


def test_what_one_person_saw_says_nothing(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=5, gold=0, gold_per_batch=0)
    world.do(world.person(), as_shown)
    assert missed(world).recapture == ()
