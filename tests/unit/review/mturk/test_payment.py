# SPDX-License-Identifier: Apache-2.0
"""Approving, rejecting and bonuses, once each; see ``test_publish``."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.review.mturk.fake_turk import FakeTurk
from tests.unit.review.mturk.turk_world import (
    BOTH,
    OTHER,
    WORKER,
    Killed,
    assignment,
    fail,
    go_in,
    have,
    person_of,
    sign_in,
)
from tests.unit.review.store.world import World, correct
from veilset.errors import AccessError, ConfigError
from veilset.review.mturk.account import (
    Account,
)
from veilset.review.mturk.entry import Entrance, leave
from veilset.review.mturk.payment import Collected, Policy, collect, pay_bonus


@BOTH
def test_a_batch_done_is_approved_and_paid_once(
    world: World, turk: FakeTurk, account: Account
) -> None:
    have(world, account, 1)
    (hit_id,) = turk.hits
    given = turk.accept(hit_id, WORKER)
    assert go_in(world, given | {"assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE"}).kind == "preview"
    entrance = go_in(world, given)
    assert entrance.kind == "work"
    assert entrance.submit_url == "https://workersandbox.mturk.com/mturk/externalSubmit"
    worker = sign_in(world, entrance)
    assert worker == person_of(world)
    assert WORKER not in worker.name
    batch = world.do(worker, correct)
    form = Entrance("finished", "", given["assignmentId"], entrance.submit_url)
    assert world.database.look(lambda conn: leave(conn, worker, world.now_ms)) == form
    assert go_in(world, given) == form
    assert assignment(world, given["assignmentId"]).batch_id == batch.batch_id
    done = collect(world.database, world.job, account, now_ms=world.now_ms)
    assert done == Collected(), "nothing is paid before it is handed in"
    name = turk.hand_in(given)
    done = collect(world.database, world.job, account, now_ms=world.now_ms)
    assert done == Collected(n_approved=1, paid_cents=180)
    assert turk.balance == Decimal("998.20")
    assert assignment(world, name).state == "approved"
    assert collect(world.database, world.job, account, now_ms=world.now_ms) == Collected()
    assert turk.asked.count("ApproveAssignment") == 1


def test_killed_after_an_approval_it_is_written_down_later(
    world: World, turk: FakeTurk, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(world, account, 1)
    given = turk.accept(next(iter(turk.hits)), WORKER)
    world.do(sign_in(world, go_in(world, given)), correct)
    name = turk.hand_in(given)
    asked = account.ask

    def ask_and_die(operation: str, **more: Any) -> dict[str, Any]:
        answer = asked(operation, **more)
        if operation == "approve_assignment":
            raise Killed
        return answer

    monkeypatch.setattr(account, "ask", ask_and_die)
    with pytest.raises(Killed):
        collect(world.database, world.job, account, now_ms=world.now_ms)
    monkeypatch.setattr(account, "ask", asked)
    done = collect(world.database, world.job, account, now_ms=world.now_ms)
    assert done == Collected(n_approved=1, paid_cents=0)
    assert assignment(world, name).state == "approved"
    assert turk.balance == Decimal("998.20")


@BOTH
@pytest.mark.parametrize("policy", Policy)
def test_a_batch_lost_on_gold_goes_by_the_policy(
    world: World, turk: FakeTurk, account: Account, policy: Policy
) -> None:
    have(world, account, 1)
    given = turk.accept(next(iter(turk.hits)), WORKER)
    fail(world, sign_in(world, go_in(world, given)))
    assert go_in(world, given).kind == "lost"
    name = turk.hand_in(given)
    done = collect(world.database, world.job, account, policy, now_ms=world.now_ms)
    is_paid = policy is Policy.PAY
    assert (done.n_approved, done.n_rejected) == (int(is_paid), int(not is_paid))
    assert turk.assignments[name]["AssignmentStatus"] == ("Approved" if is_paid else "Rejected")
    assert "control images" in turk.assignments[name]["RequesterFeedback"]
    assert "CreateWorkerBlock" not in turk.asked
    have(world, account, 1)
    with pytest.raises(AccessError):
        go_in(world, turk.accept(list(turk.hits)[-1], WORKER))


def test_unfinished_or_unknown_work_is_left_to_the_owner(
    world: World, turk: FakeTurk, account: Account
) -> None:
    have(world, account, 2)
    first, second = turk.hits
    begun, never = turk.accept(first, WORKER), turk.accept(second, OTHER)
    go_in(world, begun)
    names = [turk.hand_in(begun), turk.hand_in(never)]
    for policy in Policy:
        done = collect(world.database, world.job, account, policy, now_ms=world.now_ms)
        assert done.unclear == {
            names[0]: "It was handed in, and its batch is open.",
            names[1]: "No batch is known of this assignment.",
        }
        assert (done.n_approved, done.n_rejected, done.paid_cents) == (0, 0, 0)
    assert turk.balance == 1000


def approved(world: World, turk: FakeTurk, account: Account) -> str:
    have(world, account, 1)
    given = turk.accept(next(iter(turk.hits)), WORKER)
    world.do(sign_in(world, go_in(world, given)), correct)
    name = turk.hand_in(given)
    collect(world.database, world.job, account, now_ms=world.now_ms)
    return name


def bonus(world: World, account: Account, name: str, cents: int = 50, budget: int = 60) -> int:
    return pay_bonus(
        world.database, world.job, account, name, cents, "Fast and right.",
        budget_cents=budget, now_ms=world.now_ms,
    )  # fmt: skip


@BOTH
@pytest.mark.parametrize("forgets", [False, True])
def test_a_bonus_is_paid_once(
    world: World,
    turk: FakeTurk,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    forgets: bool,
) -> None:
    name = approved(world, turk, account)
    asked = account.ask

    def ask_and_die(operation: str, **given: Any) -> dict[str, Any]:
        answer = asked(operation, **given)
        if operation == "send_bonus":
            raise Killed
        return answer

    monkeypatch.setattr(account, "ask", ask_and_die)
    with pytest.raises(Killed):
        bonus(world, account, name)
    monkeypatch.setattr(account, "ask", asked)
    # After a day Amazon would pay a second time for the same token.
    turk.forgets_tokens = forgets
    assert bonus(world, account, name) == 0, "Amazon lists it: it was paid"
    assert bonus(world, account, name) == 0
    assert [each["BonusAmount"] for each in turk.bonuses] == ["0.50"]
    assert turk.bonuses[0]["WorkerId"] == WORKER
    assert assignment(world, name).bonus_cents == 50


def test_a_bonus_says_what_it_cost_and_is_refused_beyond_what_was_agreed(
    world: World, turk: FakeTurk, account: Account
) -> None:
    name = approved(world, turk, account)
    for cents, budget in ((0, 60), (50, 59)):
        with pytest.raises(ConfigError, match="agree"):
            bonus(world, account, name, cents, budget)
    with pytest.raises(ConfigError, match="no approved assignment 'ANOTHER'"):
        bonus(world, account, "ANOTHER")
    assert not turk.bonuses
    assert bonus(world, account, name) == 60
