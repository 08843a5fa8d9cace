# SPDX-License-Identifier: Apache-2.0
"""Nobody gets what is not theirs: every route, tried by everybody who may not use it.

The table below has to name every route; one that is added without a row fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import select

from tests.review_databases import database_url, postgresql_cluster
from tests.web.review_browser import Browser
from tests.web.review_site import FACE, Site, make_site
from veilset.review.database.connect import Database
from veilset.review.database.tables import metadata
from veilset.review.web.app import create_app
from veilset.review.web.options import WebOptions

__all__ = ["database_url", "postgresql_cluster"]

REGION = {"box_xyxy": list(FACE), "kind": "face"}
ANSWER = {"attempt": 1, "nonce": "nonce-12345", "seconds": 1, "regions": [REGION]}

# Operation: who may use it, and a body that would do.
ROUTES: dict[str, tuple[str, Any]] = {
    "sign_in": ("everybody", None),
    "sign_out": ("signed in", None),
    "who_am_i": ("signed in", None),
    "take_batch": ("reviewers", None),
    "renew_batch": ("reviewers", None),
    "release_batch": ("reviewers", None),
    "submit_batch": ("reviewers", None),
    "task_image": ("reviewers", None),
    "answer_task": ("reviewers", ANSWER),
    "overview": ("owner", None),
    "people_table": ("owner", None),
    "agreement": ("owner", None),
    "still_missed": ("owner", None),
    "invite": ("owner", {"n": 1}),
    "revoke": ("owner", None),
    "new_link": ("owner", None),
    "disputes": ("owner", None),
    "adjudicate": ("owner", {"regions": [REGION]}),
    "latest_decisions": ("owner", None),
    "undo_decision": ("owner", None),
    "owner_image": ("owner", None),
    "add_gold": ("owner", {"image_pk": 1}),
}
# Pages for a paid crowd, where others may show them; test_review_api_turk.py tries them.
PAGES: dict[str, tuple[str, Any]] = {
    "enter_by_hit": ("everybody", None),
    "finish_hit": ("reviewers", None),
}
OF_OTHERS = {"batch_id", "task_id"}


class House:
    """An application with an owner and two workers, the first of whom holds a batch."""

    def __init__(self, site: Site, app: FastAPI, database: Database) -> None:
        self.site, self.app, self.database = site, app, database
        self.owner, self.ada, self.bob = Browser(app), Browser(app), Browser(app)
        self.owner.sign_in(site.owner)
        self.ada.sign_in(site.workers[0])
        self.bob.sign_in(site.workers[1])
        self.batch = self.ada.post("/api/batch").json()["batch"]

    def routes(self) -> list[APIRoute]:
        return [route for route in all_routes(self.app.routes) if isinstance(route, APIRoute)]

    def ask(self, browser: Browser, route: APIRoute, **headers: str) -> Any:
        method = method_of(route)
        found = {
            "batch_id": self.batch["batch_id"], "task_id": self.batch["tasks"][0]["task_id"],
            "person_id": 2, "image_pk": 1, "decision_id": 1,
        }  # fmt: skip
        body = ROUTES[route.name][1]
        return (
            browser.request(method, route.path.format_map(found), json=body, headers=headers)
            if body
            else browser.request(method, route.path.format_map(found), headers=headers)
        )

    def everything(self) -> dict[str, list[Any]]:
        """Every row of every table, so that nothing can change unseen."""

        def read(conn: Any) -> dict[str, list[Any]]:
            return {
                table.name: sorted(map(repr, conn.execute(select(table))))
                for table in metadata.sorted_tables
            }

        return self.database.look(read)


def all_routes(routes: Iterable[Any]) -> Iterator[Any]:
    """Every route, those of included routers too, whatever the version of FastAPI."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from all_routes(inner.routes)


def method_of(route: APIRoute) -> str:
    (method,) = (route.methods or set()) - {"HEAD"}
    return method


@contextmanager
def house_of(folder: Path, url: str, **more: Any) -> Iterator[House]:
    site = make_site(folder, url, **more)
    with Database.open(url) as database:
        app = create_app(database, site.job)
        house = House(site, app, database)
        try:
            yield house
        finally:
            for browser in (house.owner, house.ada, house.bob):
                browser.__exit__()
            app.state.room.close()


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    with house_of(tmp_path, database_url) as house:
        yield house


def test_every_route_has_its_row(house: House) -> None:
    assert sorted(route.name for route in house.routes()) == sorted(ROUTES)
    others = [each for each in all_routes(house.app.routes) if not isinstance(each, APIRoute)]
    assert not others, "routes that this table cannot see"


def test_what_may_be_framed_has_two_pages_more(house: House) -> None:
    options = WebOptions(public_url="https://review.x", frame_ancestors=("https://crowd.x",))
    app = create_app(house.database, house.site.job, options)
    app.state.room.close()
    names = sorted(route.name for route in all_routes(app.routes))
    assert names == sorted([*ROUTES, *PAGES])
    pages = [route for route in all_routes(app.routes) if route.name in PAGES]
    assert {method_of(page) for page in pages} == {"GET"}


def test_nobody_without_a_session_gets_anything(house: House) -> None:
    before = house.everything()
    for secret in ("", "x", "A" * 43, house.site.workers[1]):
        with Browser(house.app) as stranger:
            if secret:
                stranger.cookies.set("veilset_session", secret)
            stranger.csrf = house.ada.csrf
            for route in house.routes():
                if ROUTES[route.name][0] != "everybody":
                    answer = house.ask(stranger, route)
                    assert answer.status_code == 401, route.path
                    assert answer.json()["code"] == "sign-in"
    assert house.everything() == before


def test_a_worker_gets_nothing_of_the_owner(house: House) -> None:
    before = house.everything()
    for route in house.routes():
        if ROUTES[route.name][0] == "owner":
            answer = house.ask(house.ada, route)
            assert (answer.status_code, answer.json()["code"]) == (403, "role"), route.path
    assert house.everything() == before


def test_a_worker_gets_nothing_of_another_worker(house: House) -> None:
    before, n_tried = house.everything(), 0
    for route in house.routes():
        if ROUTES[route.name][0] == "reviewers" and any(
            f"{{{n}}}" in route.path for n in OF_OTHERS
        ):
            n_tried += 1
            theirs = house.ask(house.bob, route)
            nothing = house.bob.request(
                method_of(route), route.path.format(batch_id=10**9, task_id=10**9),
                json=ROUTES[route.name][1],
            )  # fmt: skip
            assert theirs.status_code == nothing.status_code == 404, route.path
            assert theirs.content == nothing.content, "it tells that there is something"
    assert n_tried >= 5
    assert house.everything() == before


def test_the_owner_does_no_batches(house: House) -> None:
    before = house.everything()
    for route in house.routes():
        if ROUTES[route.name][0] == "reviewers":
            assert house.ask(house.owner, route).status_code == 403, route.path
    assert house.everything() == before


@pytest.mark.parametrize("csrf", ["", "x", "é", "other"])
def test_no_change_without_the_csrf_header(house: House, csrf: str) -> None:
    before = house.everything()
    for browser, other in ((house.ada, house.bob), (house.owner, house.ada)):
        browser.csrf = other.csrf if csrf == "other" else csrf
        for route in house.routes():
            if method_of(route) != "GET" and ROUTES[route.name][0] != "everybody":
                answer = house.ask(browser, route)
                assert answer.status_code == 403, route.path
                assert answer.json()["code"] in ("csrf", "role")
    assert house.everything() == before


def test_no_page_of_others_gets_anything(house: House) -> None:
    before = house.everything()
    for route in house.routes():
        for browser in (house.ada, house.owner):
            answer = house.ask(browser, route, Origin="http://attacker.example")
            assert (answer.status_code, answer.json()["code"]) == (403, "origin"), route.path
            answer = house.ask(browser, route, Host="attacker.example")
            assert (answer.status_code, answer.json()["code"]) == (400, "host"), route.path
    assert house.everything() == before


def test_a_session_of_another_job_is_none(house: House, tmp_path: Path, database_url: str) -> None:
    other = make_site(tmp_path / "other", database_url, name="other")
    app = create_app(house.database, other.job)
    try:
        for known in (house.owner, house.ada):
            with Browser(app) as browser:
                browser.cookies.update(known.cookies)
                browser.csrf = known.csrf
                for route in house.routes():
                    if ROUTES[route.name][0] != "everybody":
                        assert house.ask(browser, route).status_code == 401, route.path
        with Browser(app) as browser:
            assert browser.sign_in(house.site.workers[2]).status_code == 401
        assert house.ada.get("/api/me").status_code == 200
        with Browser(house.app) as browser:
            assert browser.sign_in(house.site.workers[2]).status_code == 200, "the link is unused"
    finally:
        app.state.room.close()


def test_who_is_sent_away_is_out_at_once(house: House) -> None:
    rows = house.owner.get("/api/owner/people").json()["people"]
    me = house.ada.get("/api/me").json()["name"]
    (person_id,) = [row["person_id"] for row in rows if row["name"] == me]
    assert house.owner.post(f"/api/owner/people/{person_id}/revoke").status_code == 204
    for route in house.routes():
        if ROUTES[route.name][0] != "everybody":
            assert house.ask(house.ada, route).status_code == 401, route.path


def test_who_signs_out_is_out_at_once(house: House) -> None:
    cookies, csrf = dict(house.ada.cookies), house.ada.csrf
    assert house.ada.request("DELETE", "/api/session").status_code == 204
    assert not house.ada.cookies
    with Browser(house.app) as copy:
        copy.cookies.update(cookies)
        copy.csrf = csrf
        assert (
            house.ask(copy, next(r for r in house.routes() if r.name == "who_am_i")).status_code
            == 401
        )


def test_a_picture_ends_with_the_batch(house: House) -> None:
    task = house.batch["tasks"][0]["task_id"]
    assert house.ada.get(f"/api/tasks/{task}/image").status_code == 200
    released = house.ada.post(f"/api/batch/{house.batch['batch_id']}/release")
    assert released.status_code == 204
    answer = house.ada.get(f"/api/tasks/{task}/image")
    assert (answer.status_code, answer.json()["code"]) == (409, "lease-lost")
