# SPDX-License-Identifier: Apache-2.0
"""HITs, entrances and payments against a service on this machine; the main ways on both databases.

Every request passes boto3's own model of Mechanical Turk. The real service has closed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from sqlalchemy import func, select

from tests.unit.review.mturk.fake_turk import FakeTurk
from tests.unit.review.store.world import World, correct
from veilset.errors import AccessError, ConfigError, MissingExtraError, ReviewError, RunError
from veilset.review.database import tables
from veilset.review.job import people
from veilset.review.mturk.account import (
    PRODUCTION,
    SANDBOX,
    Account,
    TurkRefusedError,
    open_account,
)
from veilset.review.mturk.entry import Entrance, enter, leave, worker_name
from veilset.review.mturk.payment import Collected, Policy, collect, pay_bonus
from veilset.review.mturk.publish import Published, Terms, batches_wanted, publish, withdraw
from veilset.review.values import Role
from veilset.review.views import BatchView, Person

BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
TERMS = Terms("https://review.example.org/mturk", reward_cents=150)
WORKER, OTHER = "A2EXAMPLEWORKER", "A3ANOTHERWORKER"


def have(world: World, account: Account, n: int, budget: int = 10_000) -> Published:
    return publish(
        world.database, world.job, account, TERMS, n, budget_cents=budget, now_ms=world.now_ms
    )


def go_in(world: World, given: dict[str, str]) -> Entrance:
    entrance: Entrance = world.run(enter, given)
    return entrance


def hits(world: World) -> list[Any]:
    query = select(tables.hit).order_by(tables.hit.c.id)
    return list(world.look(lambda conn: conn.execute(query).all()))


def assignment(world: World, assignment_id: str) -> Any:
    query = select(tables.assignment).where(tables.assignment.c.assignment_id == assignment_id)
    return world.look(lambda conn: conn.execute(query).first())


def person_of(world: World, worker_id: str = WORKER) -> Person:
    name = worker_name(world.job, worker_id)
    query = select(tables.person).where(tables.person.c.name == name)
    row = world.look(lambda conn: conn.execute(query).one())
    assert row.source == "mturk"
    return Person(row.id, world.job.id, name, Role(row.role))


def sign_in(world: World, entrance: Entrance) -> Person:
    signed = world.database.run(lambda conn: people.sign_in(conn, entrance.token, world.now_ms))
    return signed.person


def fail(world: World, worker: Person) -> BatchView:
    """Lose a batch on gold: leave every image empty until it is gone."""
    batch = world.take(worker)
    for _ in range(200):
        gold = world.gold_tasks(batch)
        task = next(each for each in batch.tasks if each.task_id in gold and not each.is_closed)
        outcome = world.answer(worker, batch, task, ()).outcome
        if outcome == "batch-lost":
            return batch
        batch = world.take(worker)
    raise AssertionError("never lost")


def test_the_sandbox_is_used_unless_production_is_named(turk: FakeTurk) -> None:
    assert open_account().is_sandbox
    assert open_account()._client.meta.endpoint_url == SANDBOX
    assert not open_account(is_production=True).is_sandbox
    assert open_account(is_production=True)._client.meta.endpoint_url == PRODUCTION


def test_without_boto3_or_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="Mechanical Turk needs AWS credentials"):
        open_account()
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingExtraError, match="aws"):
        open_account()


def test_requests_are_those_that_the_service_documents(world: World) -> None:
    client = boto3.client(
        "mturk", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stub:
        stub.add_response("get_account_balance", {"AvailableBalance": "12.345"}, {})
        stub.add_response(
            "create_hit_type",
            {"HITTypeId": "T1"},
            {
                "AutoApprovalDelayInSeconds": 259_200,
                "AssignmentDurationInSeconds": 10_800,
                "Reward": "1.50",
                "Title": TERMS.title,
                "Keywords": TERMS.keywords,
                "Description": TERMS.description,
                "QualificationRequirements": [],
            },
        )
        stub.add_client_error("create_hit_with_hit_type", "RequestError")
        with pytest.raises(TurkRefusedError, match="refuses create_hit_with_hit_type"):
            have(world, Account(client, is_sandbox=True), 1)
        stub.assert_no_pending_responses()
    (row,) = hits(world)
    assert (row.state, row.hit_id) == ("planned", None)


@BOTH
def test_publishing_makes_what_is_missing_and_no_more(
    world: World, turk: FakeTurk, account: Account
) -> None:
    wanted = world.look(lambda conn: batches_wanted(conn, world.job))
    assert wanted == 4, "12 images, 3 ordinary ones in a batch of 5"
    first = have(world, account, 2)
    assert (first.n_made, first.n_open, first.cost.total_cents) == (2, 2, 360)
    assert have(world, account, 2).n_made == 0
    assert have(world, account, 3).n_made == 1
    assert len(turk.hits) == 3
    assert len(turk.types) == 1, "the type is made once"
    secrets = {turk.accept(name, WORKER)["k"] for name in turk.hits}
    assert len(secrets) == 3
    stored = {row.secret_sha256 for row in hits(world)}
    assert stored == {people.digest(secret) for secret in secrets}
    assert all(hit["MaxAssignments"] == 1 for hit in turk.hits.values())


def test_a_budget_and_the_balance_are_kept(world: World, turk: FakeTurk, account: Account) -> None:
    with pytest.raises(ConfigError, match=r"\$3\.60 together.*more than the \$3\.59"):
        have(world, account, 2, budget=359)
    turk.balance = Decimal("3.59")
    with pytest.raises(ReviewError, match=r"holds \$3\.59, and 2 HITs cost \$3\.60"):
        have(world, account, 2, budget=360)
    assert not turk.hits
    assert not hits(world)


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("at", range(3))
def test_killed_between_amazon_and_the_database_nothing_is_paid_twice(
    world: World,
    turk: FakeTurk,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    forgets: bool,
    at: int,
) -> None:
    asked = account.ask

    def ask_and_die(operation: str, **given: Any) -> dict[str, Any]:
        answer = asked(operation, **given)
        if operation == "create_hit_with_hit_type" and len(turk.hits) == at + 1:
            raise Killed
        return answer

    monkeypatch.setattr(account, "ask", ask_and_die)
    with pytest.raises(Killed):
        have(world, account, 3)
    assert len(turk.hits) == at + 1
    # After a day Amazon would make a second HIT for the same token.
    turk.forgets_tokens = forgets
    monkeypatch.setattr(account, "ask", asked)
    again = have(world, account, 3)
    assert (again.n_found, again.n_made) == (1, 2 - at)
    assert len(turk.hits) == 3
    assert all(row.state == "open" and row.hit_id in turk.hits for row in hits(world))
    for name in turk.hits:
        assert go_in(world, turk.accept(name, f"A{name}")).kind in ("work", "no-work")


def test_fewer_than_were_planned_are_made_if_fewer_are_wanted(
    world: World, turk: FakeTurk, account: Account
) -> None:
    # Amazon makes the type and refuses the first of three HITs, which stay planned.
    answer, turk.answer = turk.answer, refuse_hits(turk)  # type: ignore[method-assign, assignment]
    with pytest.raises(TurkRefusedError):
        have(world, account, 3)
    turk.answer = answer  # type: ignore[method-assign]
    assert have(world, account, 1, budget=180).n_made == 1
    assert len(turk.hits) == 1
    assert have(world, account, 3).n_made == 2
    assert len(hits(world)) == 3


def refuse_hits(turk: FakeTurk) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    answer = turk.answer

    def refuse(operation: str, given: dict[str, Any]) -> dict[str, Any]:
        if operation == "CreateHITWithHITType":
            turk.fails.append("AWS.MechanicalTurk.InsufficientFunds")
        return answer(operation, given)

    return refuse


def test_a_hit_that_amazon_made_and_does_not_list_is_not_made_twice(
    world: World, turk: FakeTurk, account: Account
) -> None:
    turk.fails = []
    planned = have(world, account, 0)
    assert planned.n_made == 0
    answer = turk.answer

    def made_before(operation: str, given: dict[str, Any]) -> dict[str, Any]:
        if operation == "CreateHITWithHITType":
            turk.tokens[given["UniqueRequestToken"]] = "HIT"
        return answer(operation, given)

    turk.answer = made_before  # type: ignore[method-assign]
    with pytest.raises(ReviewError, match="does not list it yet"):
        have(world, account, 1)


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


@BOTH
def test_withdrawing_ends_hits_and_deletes_those_that_are_settled(
    world: World, turk: FakeTurk, account: Account
) -> None:
    have(world, account, 2)
    first, second = turk.hits
    given = turk.accept(first, WORKER)
    world.do(sign_in(world, go_in(world, given)), correct)
    turk.hand_in(given)
    assert withdraw(world.database, world.job, account, world.now_ms) == (2, 1)
    assert list(turk.hits) == [first]
    collect(world.database, world.job, account, now_ms=world.now_ms)
    assert turk.assignments[given["assignmentId"]]["AssignmentStatus"] == "Approved"
    assert withdraw(world.database, world.job, account, world.now_ms) == (1, 1)
    assert not turk.hits
    assert {row.state for row in hits(world)} == {"deleted"}
    assert second not in turk.hits


def test_a_service_out_of_reach_is_said_to_have_closed(turk: FakeTurk, account: Account) -> None:
    turk.fails = ["ServiceFault"]
    with pytest.raises(RunError, match=r"stays busy.*closed Mechanical Turk for good"):
        account.balance_cents()
    assert account.balance_cents() == 100_000


def test_a_balance_that_is_no_amount_is_said(turk: FakeTurk, account: Account) -> None:
    turk.balance = "much"  # type: ignore[assignment]
    with pytest.raises(ReviewError, match="'much'"):
        account.balance_cents()


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://review.example.org/mturk"},
        {"url": "https://review.example.org/mturk?x=1"},
        {"url": "review.example.org"},
        {"reward_cents": 0},
        {"duration_s": 29},
        {"lifetime_s": 31_536_001},
        {"auto_approval_s": -1},
        {"title": ""},
        {"title": "x" * 129},
        {"description": ""},
    ],
)
def test_terms_that_amazon_would_refuse_are_refused_first(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(TERMS, **change)
