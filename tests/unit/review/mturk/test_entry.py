# SPDX-License-Identifier: Apache-2.0
"""Who gets in by a HIT, and as whom; see ``test_publish``."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from tests.unit.review.mturk.fake_turk import FakeTurk
from tests.unit.review.mturk.turk_world import (
    BOTH,
    OTHER,
    TERMS,
    WORKER,
    go_in,
    have,
    person_of,
    sign_in,
)
from tests.unit.review.store.world import World, correct
from veilset.errors import AccessError
from veilset.review.database import tables
from veilset.review.job import people
from veilset.review.mturk.account import (
    Account,
)
from veilset.review.mturk.entry import Entrance, enter
from veilset.review.mturk.payment import collect


def test_a_forged_worker_is_not_paid_for_anothers_work(
    world: World, turk: FakeTurk, account: Account
) -> None:
    have(world, account, 1)
    given = turk.accept(next(iter(turk.hits)), WORKER)
    # Somebody else writes the address of the first worker's assignment with their own name.
    forged = given | {"workerId": OTHER}
    world.do(sign_in(world, go_in(world, forged)), correct)
    with pytest.raises(AccessError):
        go_in(world, given)
    turk.hand_in(given)
    done = collect(world.database, world.job, account, now_ms=world.now_ms)
    assert list(done.unclear.values()) == ["No batch is known of this assignment."]


@pytest.mark.parametrize(
    "change",
    [
        {"k": "guess"},
        {"k": ""},
        {"hitId": "HIT0"},
        {"assignmentId": ""},
        {"assignmentId": "a b"},
        {"assignmentId": "x" * 65},
        {"workerId": ""},
        {"workerId": "'; DROP TABLE hit"},
    ],
)
def test_addresses_that_amazon_did_not_write_are_refused(
    world: World, turk: FakeTurk, account: Account, change: dict[str, str]
) -> None:
    have(world, account, 1)
    given = turk.accept(next(iter(turk.hits)), WORKER) | change
    with pytest.raises(AccessError, match="not known here, or is over"):
        go_in(world, given)
    query = select(func.count()).select_from(tables.person).where(tables.person.c.source == "mturk")
    assert world.look(lambda conn: conn.scalar(query)) == 0


def test_the_preview_needs_the_secret_too(world: World, turk: FakeTurk, account: Account) -> None:
    have(world, account, 1)
    given = turk.accept(next(iter(turk.hits)), WORKER)
    preview = {"k": given["k"], "hitId": given["hitId"]}
    assert go_in(world, preview) == Entrance("preview")
    with pytest.raises(AccessError):
        go_in(world, preview | {"k": "x"})


def test_another_job_does_not_know_the_hit(world: World, turk: FakeTurk, account: Account) -> None:
    have(world, account, 1)
    given = turk.accept(next(iter(turk.hits)), WORKER)
    stranger = replace(world.job, id=world.job.id + 1)
    with pytest.raises(AccessError):
        world.database.run(lambda conn: enter(conn, stranger, given, world.now_ms))


def test_a_hit_that_is_over_lets_nobody_in(world: World, turk: FakeTurk, account: Account) -> None:
    have(world, account, 1)
    given = turk.accept(next(iter(turk.hits)), WORKER)
    world.later((TERMS.lifetime_s + TERMS.duration_s) / 60 - 1)
    assert go_in(world, given).kind == "work"
    world.later(2)
    with pytest.raises(AccessError):
        go_in(world, given)


@BOTH
def test_a_hit_lets_few_in_at_a_time(world: World, turk: FakeTurk, account: Account) -> None:
    have(world, account, 1)
    (hit_id,) = turk.hits
    for number in range(5):
        go_in(world, turk.accept(hit_id, f"A{number}"))
    with pytest.raises(AccessError):
        go_in(world, turk.accept(hit_id, "A5"))
    world.later(TERMS.duration_s / 60 + 1)
    assert go_in(world, turk.accept(hit_id, "A6")).kind in ("work", "no-work")


@BOTH
def test_one_batch_is_paid_for_once_however_often_it_is_entered(
    world: World, turk: FakeTurk, account: Account
) -> None:
    have(world, account, 2)
    first, second = (turk.accept(name, WORKER) for name in turk.hits)
    go_in(world, first)
    # The worker returned the first HIT and accepted the second: the same batch goes with it.
    worker = sign_in(world, go_in(world, second))
    world.do(worker, correct)
    turk.hand_in(first)
    turk.hand_in(second)
    done = collect(world.database, world.job, account, now_ms=world.now_ms)
    assert (done.n_approved, done.paid_cents) == (1, 180)
    assert list(done.unclear) == [first["assignmentId"]]


def test_reloading_gives_a_new_link_to_the_same_batch(
    world: World, turk: FakeTurk, account: Account
) -> None:
    have(world, account, 1)
    given = turk.accept(next(iter(turk.hits)), WORKER)
    once, again = go_in(world, given), go_in(world, given)
    assert once.token != again.token
    with pytest.raises(AccessError):
        sign_in(world, once)
    assert sign_in(world, again) == person_of(world)
    query = select(func.count()).select_from(tables.batch)
    assert world.look(lambda conn: conn.scalar(query)) == 1


def test_a_person_who_was_invited_cannot_be_entered_as(
    world: World, turk: FakeTurk, account: Account
) -> None:
    have(world, account, 1)
    given = turk.accept(next(iter(turk.hits)), WORKER)
    go_in(world, given)
    world.run(people.revoke, person_of(world).id)
    with pytest.raises(AccessError):
        go_in(world, given)
