# SPDX-License-Identifier: Apache-2.0
"""Work of a paid crowd: one batch for an assignment, and the form that hands it in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.review_databases import database_url, postgresql_cluster
from tests.web.review_browser import Browser
from tests.web.review_site import SETTINGS, make_site
from tests.web.test_review_api_work import Desk, finish, say
from tests.web.turk_desk import ADA, BOB, FRAMED, TurkDesk, desk, go_in, page_of, start
from veilset.review.database.tables import assignment, batch, hit
from veilset.review.mturk.entry import SUBMIT_TO

__all__ = ["database_url", "desk", "postgresql_cluster"]


def lose(browser: Browser, desk: Desk) -> None:
    """Lose a batch on gold: leave its faces uncovered in every attempt."""
    work = browser.post("/api/batch").json()["batch"]
    outcomes = []
    for _ in range(work["max_attempts"]):
        (gold,) = desk.gold_tasks(work)
        said = say(browser, work, gold, [])
        outcomes.append(said["outcome"])
        work = said["batch"]
    assert outcomes == ["restarted", "restarted", "batch-lost"]


def test_a_worker_does_one_batch_and_hands_it_in(desk: TurkDesk) -> None:
    given, visitor = desk.accept("HIT1"), desk.visitor()
    start(visitor, given)
    assert visitor.get("/api/me").json()["finish_url"] == "/mturk/finish"
    assert ADA not in visitor.get("/api/me").text
    page = page_of(visitor.get("/mturk/finish"))
    assert "There is work left" in page.text
    assert finish(visitor) == 5
    assert visitor.post("/api/batch").json() == {"batch": None, "reason": "finished"}
    assert desk.counts() == (1, 1, 1), "a second batch was given out"
    target = "https://workersandbox.mturk.com"
    for answer in (visitor.get("/mturk/finish"), go_in(desk.visitor(), given)):
        page = page_of(answer, target=target)
        assert page.forms == [{"method": "post", "action": f"{target}/mturk/externalSubmit"}]
        assert page.fields == {"assignmentId": "ASSIGNMENT-HIT1", "batch": "done"}
        assert "attacker" not in answer.text


def test_real_money_goes_to_the_real_address(desk: TurkDesk) -> None:
    given, visitor = desk.accept("HIT1", is_sandbox=False), desk.visitor()
    start(visitor, given)
    finish(visitor)
    page = page_of(visitor.get("/mturk/finish"), target="https://www.mturk.com")
    assert page.forms[0]["action"] == SUBMIT_TO[False]


def test_another_service_has_its_own_address(tmp_path: Path) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'r.sqlite'}")
    desk = TurkDesk(site, **FRAMED, submit_url="https://crowd.example:8443/hand-in?a=1&b=2")
    visitor = desk.visitor()
    start(visitor, desk.accept("HIT1"))
    finish(visitor)
    page = page_of(visitor.get("/mturk/finish"), target="https://crowd.example:8443")
    assert page.forms[0]["action"] == "https://crowd.example:8443/hand-in?a=1&b=2"
    desk.close()


def test_a_batch_that_was_lost_is_handed_in_too(tmp_path: Path, database_url: str) -> None:
    settings = replace(SETTINGS, lives=1)
    desk = TurkDesk(make_site(tmp_path, database_url, settings=settings), **FRAMED)
    given, visitor = desk.accept("HIT1"), desk.visitor()
    start(visitor, given)
    lose(visitor, desk)
    assert visitor.post("/api/batch").json()["reason"] == "finished"
    for answer in (visitor.get("/mturk/finish"), go_in(visitor, given)):
        page = page_of(answer, target="https://workersandbox.mturk.com")
        assert page.fields == {"assignmentId": "ASSIGNMENT-HIT1", "batch": "lost"}
    assert desk.counts()[2] == 1
    desk.close()


def test_a_worker_who_comes_back_goes_on(desk: TurkDesk) -> None:
    given, first, again = desk.accept("HIT1"), desk.visitor(), desk.visitor()
    start(first, given)
    before = first.post("/api/batch").json()["batch"]
    say(first, before, before["tasks"][0]["task_id"], [])
    start(again, given)
    after = again.post("/api/batch").json()["batch"]
    assert after["batch_id"] == before["batch_id"]
    assert first.post("/api/batch").json()["batch"]["batch_id"] == before["batch_id"]
    assert desk.counts() == (1, 1, 1)


def test_a_batch_that_was_given_back_stays_with_its_assignment(desk: TurkDesk) -> None:
    given, visitor = desk.accept("HIT1"), desk.visitor()
    start(visitor, given)
    mine = visitor.post("/api/batch").json()["batch"]["batch_id"]
    assert visitor.post(f"/api/batch/{mine}/release").status_code == 204
    page_of(visitor.get("/mturk/finish"))
    assert finish(visitor) == 5
    page = page_of(visitor.get("/mturk/finish"), target="https://workersandbox.mturk.com")
    assert page.fields["assignmentId"] == "ASSIGNMENT-HIT1"


def test_whose_images_went_to_others_gets_another_batch_for_the_same_pay(desk: TurkDesk) -> None:
    given, visitor = desk.accept("HIT1"), desk.visitor()
    start(visitor, given)
    lost = visitor.post("/api/batch").json()["batch"]["batch_id"]
    # As if the lease had run out, and the images had all been done by others.
    desk.database.run(
        lambda conn: conn.execute(
            update(batch).where(batch.c.id == lost).values(state="revoked", ended_ms=1)
        )
    )
    assert finish(visitor) == 5
    page = page_of(visitor.get("/mturk/finish"), target="https://workersandbox.mturk.com")
    assert page.fields == {"assignmentId": "ASSIGNMENT-HIT1", "batch": "done"}
    bound = desk.database.look(lambda conn: conn.scalars(select(assignment.c.batch_id)).all())
    assert len(bound) == 1
    assert bound != [lost]


def test_a_second_assignment_brings_a_second_batch(desk: TurkDesk) -> None:
    first, second = desk.accept("HIT1"), desk.accept("HIT2")
    visitor = desk.visitor()
    start(visitor, first)
    assert finish(visitor) == 5
    start(visitor, second)
    assert desk.counts() == (1, 2, 2)
    page_of(visitor.get("/mturk/finish"))
    assert finish(visitor) == 5
    target = "https://workersandbox.mturk.com"
    page = page_of(visitor.get("/mturk/finish"), target=target)
    assert page.fields["assignmentId"] == "ASSIGNMENT-HIT2"
    # The frame of the first one still hands in the first one.
    page = page_of(go_in(visitor, first), target=target)
    assert page.fields["assignmentId"] == "ASSIGNMENT-HIT1"
    assert visitor.post("/api/batch").json()["reason"] == "finished"


def test_two_hits_at_once_are_one_batch_after_the_other(desk: TurkDesk) -> None:
    first, second = desk.accept("HIT1"), desk.accept("HIT2")
    visitor = desk.visitor()
    start(visitor, first)
    start(visitor, second)
    assert desk.counts() == (1, 2, 1), "one holds one batch"
    finish(visitor)
    page = page_of(visitor.get("/mturk/finish"), target="https://workersandbox.mturk.com")
    assert page.fields["assignmentId"] == "ASSIGNMENT-HIT2"
    start(visitor, first)
    page_of(visitor.get("/mturk/finish"))
    assert finish(visitor) == 5
    page = page_of(visitor.get("/mturk/finish"), target="https://workersandbox.mturk.com")
    assert page.fields["assignmentId"] == "ASSIGNMENT-HIT1"
    assert desk.counts() == (1, 2, 2)


def test_an_assignment_is_one_workers(desk: TurkDesk) -> None:
    given, ada, bob = desk.accept("HIT1"), desk.visitor(), desk.visitor()
    start(ada, given)
    page_of(go_in(bob, given | {"workerId": BOB}), 404)
    other = desk.accept("HIT2", BOB)
    page_of(go_in(bob, other | {"assignmentId": given["assignmentId"]}), 404)
    assert desk.counts() == (1, 1, 1), "who was refused left something behind"
    start(bob, other)
    finish(ada)
    assert "HIT1" not in bob.get("/mturk/finish").text


def test_when_all_is_done_the_hit_is_returned(desk: TurkDesk) -> None:
    visitor = desk.visitor()
    for number in range(9):
        answer = go_in(visitor, desk.accept(f"HIT{number}"))
        if answer.status_code == 200:
            break
        visitor.sign_in(answer.headers["location"].removeprefix("/#in="))
        finish(visitor)
    page = page_of(answer)
    assert "Return the HIT" in page.text
    assert not page.forms


@pytest.mark.parametrize(
    "change",
    [update(assignment).values(state="approved"), update(hit).values(expires_ms=0)],
    ids=["paid", "over"],
)
def test_who_is_paid_already_or_too_late_hands_nothing_in(desk: TurkDesk, change: Any) -> None:
    visitor = desk.visitor()
    start(visitor, desk.accept("HIT1"))
    finish(visitor)
    desk.database.run(lambda conn: conn.execute(change))
    assert "Nothing to hand in" in page_of(visitor.get("/mturk/finish")).text
    assert visitor.post("/api/batch").json()["reason"] == "finished"


def test_only_whose_work_it_is_sees_the_form(desk: TurkDesk) -> None:
    crowd, invited, owner = desk.visitor(), desk.visitor(), desk.visitor()
    start(crowd, desk.accept("HIT1"))
    finish(crowd)
    assert invited.sign_in(desk.site.workers[0]).json()["finish_url"] == ""
    owner.sign_in(desk.site.owner)
    finish(invited)
    page = page_of(invited.get("/mturk/finish"))
    assert not page.forms
    assert invited.post("/api/batch").json()["batch"], "who was invited does as many as they like"
    assert not page_of(owner.get("/mturk/finish"), 403).forms
    nobody = desk.visitor()
    for secret in ("", "x", "A" * 43):
        if secret:
            nobody.cookies.set("veilset_session", secret)
        page = page_of(nobody.get("/mturk/finish"), 401)
        assert "not signed in" in page.text
    (worker_id,) = [
        row["person_id"]
        for row in owner.get("/api/owner/people").json()["people"]
        if row["source"] == "mturk"
    ]
    assert owner.post(f"/api/owner/people/{worker_id}/revoke").status_code == 204
    page_of(crowd.get("/mturk/finish"), 401)
