# SPDX-License-Identifier: Apache-2.0
"""Workers of a paid crowd: every way in by a HIT, and what its pages let through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import update

from tests.review_databases import database_url, postgresql_cluster
from tests.web.review_site import SETTINGS, make_site, served
from tests.web.turk_desk import BASE, FRAMED, TurkDesk, desk, go_in, page_of
from veilset.review.database.tables import hit
from veilset.review.web.rates import Rate

__all__ = ["database_url", "desk", "postgresql_cluster"]


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
