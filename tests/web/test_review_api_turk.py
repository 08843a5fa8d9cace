# SPDX-License-Identifier: Apache-2.0
"""Workers of a paid crowd: every way in by a HIT, one batch, and the form that hands it in."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import func, insert, select, update

from tests.review_databases import database_url, postgresql_cluster
from tests.web.review_browser import Browser
from tests.web.review_site import SETTINGS, make_site, served
from tests.web.test_review_api_work import Desk, finish, say
from veilset.review.database.tables import assignment, batch, hit, person
from veilset.review.job.people import digest
from veilset.review.mturk.entry import FRAME_ANCESTORS, SUBMIT_TO
from veilset.review.web.rates import Rate

__all__ = ["database_url", "postgresql_cluster"]

BASE = "https://review.x"
FRAMED = {"public_url": BASE, "frame_ancestors": FRAME_ANCESTORS}
ADA, BOB = "A1ADA", "A2BOB"
HOUR_MS = 3_600_000


class TurkDesk(Desk):
    """A server whose pages Mechanical Turk shows, and HITs that are on offer."""

    def hit(self, name: str, *, is_sandbox: bool = True, ends_in_ms: int = HOUR_MS) -> str:
        """Put a HIT on offer; give its secret."""
        now_ms, secret = self.room.now_ms(), f"secret-of-{name}".ljust(43, "x")
        row = {
            "job_id": self.site.job.id, "token": f"veilset-{name}", "hit_id": name,
            "secret_sha256": digest(secret), "is_sandbox": int(is_sandbox), "state": "open",
            "reward_cents": 100, "duration_s": 3_600, "expires_ms": now_ms + ends_in_ms,
            "created_ms": now_ms,
        }  # fmt: skip
        self.database.run(lambda conn: conn.execute(insert(hit).values(row)))
        return secret

    def accept(self, name: str, worker: str = ADA, **more: Any) -> dict[str, str]:
        """Put a HIT on offer and accept it; give what the frame asks with."""
        return {"k": self.hit(name, **more), "assignmentId": f"ASSIGNMENT-{name}",
                "hitId": name, "workerId": worker,
                "turkSubmitTo": "https://attacker.example"}  # fmt: skip

    def visitor(self) -> Browser:
        return self.browser(base=BASE)

    def counts(self) -> tuple[int, ...]:
        """How many people of the crowd, assignments and batches there are."""
        of_crowd = select(func.count()).select_from(person).where(person.c.source == "mturk")
        others = [select(func.count()).select_from(each) for each in (assignment, batch)]
        return self.database.look(
            lambda conn: tuple(conn.scalar(query) or 0 for query in (of_crowd, *others))
        )


@pytest.fixture
def desk(tmp_path: Path, database_url: str) -> Iterator[TurkDesk]:
    desk = TurkDesk(make_site(tmp_path, database_url), **FRAMED)
    yield desk
    desk.close()


def go_in(browser: Browser, given: dict[str, str]) -> httpx.Response:
    return browser.get(f"/mturk?{urlencode(given)}")


def start(browser: Browser, given: dict[str, str]) -> None:
    """Come in and sign in, as the client does with the address that it is sent to."""
    answer = go_in(browser, given)
    assert answer.status_code == 303, answer.text
    found = re.fullmatch(r"/#in=([\w-]{43})", answer.headers["location"])
    assert found
    signed = browser.sign_in(found[1])
    assert signed.status_code == 200
    assert signed.json()["finish_url"] == "/mturk/finish"


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


class FormReader(HTMLParser):
    """Reads a page: its forms, their fields, its text; fails on whatever could run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.fields: dict[str, str] = {}
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "img", "iframe", "base", "object"}
        given = dict(attrs)
        assert not [name for name in given if name.startswith("on") or name == "style"]
        if tag == "form":
            self.forms.append(given)
        if tag == "input":
            self.fields[str(given["name"])] = str(given["value"])

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(answer: httpx.Response, status: int = 200, target: str = "") -> FormReader:
    """Read a page and check its headers; ``target`` is where its form may go."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for name, value in {
        "cache-control": "no-store", "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }.items():  # fmt: skip
        assert answer.headers[name] == value
    assert "x-frame-options" not in answer.headers
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    sha256 = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert answer.headers.get_list("content-security-policy") == [
        f"default-src 'none'; style-src 'sha256-{sha256}'; base-uri 'none'; "
        f"form-action {target or chr(39) + 'none' + chr(39)}; "
        f"frame-ancestors {' '.join(FRAME_ANCESTORS)}"
    ]
    page = FormReader(answer.text)
    assert [form["action"].startswith(f"{target}/") for form in page.forms] == [True] * bool(target)
    return page


def test_without_frames_there_is_no_way_in(tmp_path: Path) -> None:
    desk = TurkDesk(make_site(tmp_path, f"sqlite:///{tmp_path / 'r.sqlite'}"), public_url=BASE)
    visitor = desk.visitor()
    for answer in (go_in(visitor, desk.accept("HIT1")), visitor.get("/mturk/finish")):
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert desk.counts()[0] == 0
    visitor.sign_in(desk.site.workers[0])
    assert visitor.get("/api/me").json()["finish_url"] == ""
    desk.close()


def test_a_preview_takes_nothing(desk: TurkDesk) -> None:
    given = desk.accept("HIT1")
    visitor = desk.visitor()
    for assignment_id in ({"assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE"}, {}):
        page = page_of(go_in(visitor, {"k": given["k"], "hitId": "HIT1"} | assignment_id))
        assert "Accept the HIT to begin" in page.text
        assert not page.forms
    assert desk.counts() == (0, 0, 0)
    assert not visitor.cookies


def test_what_the_owner_writes_is_shown_as_text(tmp_path: Path) -> None:
    settings = replace(SETTINGS, instructions="Cover <b>every</b> face.\n\n<script>x</script>")
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'r.sqlite'}", settings=settings)
    desk = TurkDesk(site, **FRAMED)
    page = page_of(go_in(desk.visitor(), {"k": desk.hit("HIT1")}))
    assert "Cover <b>every</b> face." in page.text
    assert "<script>x</script>" in page.text
    desk.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": "guess"}, {"k": ""}, {"k": "é\udcff\x00"}, {"hitId": "HIT2"}, {"assignmentId": ""},
        {"assignmentId": "<script>"}, {"assignmentId": "x" * 65}, {"workerId": ""},
        {"workerId": "a\x00b"}, {"workerId": "x" * 5000},
    ],
)  # fmt: skip
def test_what_was_forged_is_refused_the_same_way(desk: TurkDesk, wrong: dict[str, str]) -> None:
    given = desk.accept("HIT1")
    encoded = urlencode(given | wrong, errors="replace")
    answer = desk.visitor().get(f"/mturk?{encoded}")
    page = page_of(answer, 404)
    assert "not known here, or is over" in page.text
    assert answer.content == desk.visitor().get("/mturk").content, "it tells what was wrong"
    assert desk.counts() == (0, 0, 0)


@pytest.mark.parametrize(
    "change", [{"state": "deleted"}, {"expires_ms": 0}, {"secret_sha256": "0" * 64}]
)
def test_a_hit_that_is_over_lets_nobody_in(desk: TurkDesk, change: dict[str, Any]) -> None:
    given = desk.accept("HIT1")
    desk.database.run(lambda conn: conn.execute(update(hit).values(change)))
    page_of(go_in(desk.visitor(), given), 404)
    assert desk.counts() == (0, 0, 0)


def test_guessing_is_slowed_down(desk: TurkDesk) -> None:
    desk.room.failures = Rate(5 / 60, 5, clock=lambda: 0.0)
    given, visitor = desk.accept("HIT1"), desk.visitor()
    answers = [go_in(visitor, given | {"k": f"guess-{number}"}) for number in range(7)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 2
    page_of(answers[-1], 429)
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert go_in(visitor, given).status_code == 429
    other = desk.browser(base=BASE, address="198.51.100.7")
    assert [go_in(other, given).status_code for _ in range(9)] == [303] * 9, "who gets in is free"


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


def test_pages_have_our_name_and_are_for_looking_only(desk: TurkDesk) -> None:
    given, visitor = desk.accept("HIT1"), desk.visitor()
    for path in (f"/mturk?{urlencode(given)}", "/mturk/finish"):
        answer = visitor.get(path, headers={"Host": "attacker.example"})
        assert (answer.status_code, answer.json()["code"]) == (400, "host")
        for method in ("POST", "PUT", "DELETE", "HEAD"):
            assert visitor.request(method, path).status_code in (403, 405)
    assert desk.counts() == (0, 0, 0)
    # The crowd's page and its frame are of another site.
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}
    answer = visitor.get(f"/mturk?{urlencode(given)}", headers=foreign)
    assert answer.status_code == 303
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_no_part_of_the_address_is_logged(tmp_path: Path) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'r.sqlite'}")
    desk, log = TurkDesk(site, **FRAMED), tmp_path / "log"
    given = desk.accept("HIT-SAID")
    secrets = [value for name, value in given.items() if name != "turkSubmitTo"]
    desk.close()
    headers = {"Host": "review.x"}
    with (
        served(site.url, level="DEBUG", log=log, **FRAMED) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=headers) as client,
    ):
        answer = client.get("/mturk", params=given)
        assert answer.status_code == 303
        secrets.append(answer.headers["location"].partition("=")[2])
        for wrong in ({"k": "forged-secret"}, {"workerId": "forged worker"}):
            assert client.get("/mturk", params=given | wrong).status_code == 404
        assert client.get("/mturk/finish", params=given).status_code == 401
        assert client.post("/mturk", params=given).status_code == 405
        assert client.get("/mturk/none", params=given).status_code == 404
    text = log.read_text()
    assert "uvicorn" in text, "nothing was logged, so nothing was looked for"
    assert not [each for each in (*secrets, "forged", "assignmentId") if each in text]
