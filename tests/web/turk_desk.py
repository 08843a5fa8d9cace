# SPDX-License-Identifier: Apache-2.0
"""A server whose pages a paid crowd is shown, HITs on offer, and a reader of the pages."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import func, insert, select

from tests.web.review_browser import Browser
from tests.web.review_site import make_site
from tests.web.test_review_api_work import Desk
from veilset.review.database.tables import assignment, batch, hit, person
from veilset.review.job.people import digest
from veilset.review.mturk.entry import FRAME_ANCESTORS

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
