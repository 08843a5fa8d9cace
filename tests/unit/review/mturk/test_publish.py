# SPDX-License-Identifier: Apache-2.0
"""HITs made and withdrawn against a service on this machine; the main ways on both databases.

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

from tests.unit.review.mturk.fake_turk import FakeTurk
from tests.unit.review.mturk.turk_world import (
    BOTH,
    TERMS,
    WORKER,
    Killed,
    go_in,
    have,
    hits,
    sign_in,
)
from tests.unit.review.store.world import World, correct
from veilset.errors import ConfigError, MissingExtraError, ReviewError, RunError
from veilset.review.job import people
from veilset.review.mturk.account import (
    PRODUCTION,
    SANDBOX,
    Account,
    TurkRefusedError,
    open_account,
)
from veilset.review.mturk.payment import collect
from veilset.review.mturk.publish import batches_wanted, withdraw


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
    # A method of one object is put in the place of its class's.
    answer, turk.answer = turk.answer, refuse_hits(turk)  # type: ignore[method-assign, assignment]
    with pytest.raises(TurkRefusedError):
        have(world, account, 3)
    turk.answer = answer  # type: ignore[method-assign]  # as it was
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

    turk.answer = made_before  # type: ignore[method-assign]  # from here on
    with pytest.raises(ReviewError, match="does not list it yet"):
        have(world, account, 1)


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
    turk.balance = "much"  # type: ignore[assignment]  # that is the point
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
