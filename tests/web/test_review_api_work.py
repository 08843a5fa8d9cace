# SPDX-License-Identifier: Apache-2.0
"""What people do through the interface: sign in, review, fail gold, settle, add gold."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.review_databases import database_url, postgresql_cluster
from tests.web.review_browser import Browser
from tests.web.review_site import FACE, SETTINGS, Site, make_site
from veilset.review.database.connect import Database
from veilset.review.database.tables import answer, gold, view
from veilset.review.web.app import create_app
from veilset.review.web.options import WebOptions
from veilset.review.web.rates import Rate
from veilset.review.web.room import Room

__all__ = ["database_url", "postgresql_cluster"]

RIGHT = [{"box_xyxy": list(FACE), "kind": "face", "source": None}]


class Desk:
    """An application, and browsers at it."""

    def __init__(self, site: Site, **options: Any) -> None:
        self.site = site
        self.database = Database.open(site.url)
        self.app = create_app(self.database, site.job, WebOptions(**options))
        self.room: Room = self.app.state.room
        self.browsers: list[Browser] = []

    def browser(self, token: str = "", **more: Any) -> Browser:
        made = Browser(self.app, **more)
        self.browsers.append(made)
        if token:
            assert made.sign_in(token).status_code == 200
        return made

    def gold_tasks(self, batch: dict[str, Any]) -> set[int]:
        """Which tasks are gold: the database knows, the browser must not."""
        from veilset.review.database.tables import task

        ids = [each["task_id"] for each in batch["tasks"]]
        query = select(task.c.id).where(task.c.id.in_(ids), task.c.gold_id.is_not(None))
        return self.database.look(lambda conn: set(conn.scalars(query)))

    def close(self) -> None:
        for browser in self.browsers:
            browser.__exit__()
        self.room.close()
        self.database.close()


@pytest.fixture
def desk(tmp_path: Path, database_url: str) -> Iterator[Desk]:
    desk = Desk(make_site(tmp_path, database_url))
    yield desk
    desk.close()


def say(
    browser: Browser, batch: dict[str, Any], task: int, regions: Any, nonce: str = ""
) -> dict[str, Any]:
    body = {"attempt": batch["attempt"], "nonce": nonce or f"nonce-{task:06d}", "seconds": 2.5,
            "regions": regions}  # fmt: skip
    said = browser.post(f"/api/tasks/{task}/answer", body)
    assert said.status_code == 200, said.text
    outcome: dict[str, Any] = said.json()
    return outcome


def finish(browser: Browser, regions: Any = RIGHT) -> int:
    """Take a batch, answer everything, hand it in; give its number of images, 0 for none."""
    batch = browser.post("/api/batch").json()["batch"]
    if batch is None:
        return 0
    for task in batch["tasks"]:
        assert say(browser, batch, task["task_id"], regions)["outcome"] == "saved"
    done = browser.post(f"/api/batch/{batch['batch_id']}/submit")
    assert done.status_code == 200, done.text
    n_images: int = done.json()["n_images"]
    return n_images


def test_a_link_signs_in_once(desk: Desk) -> None:
    token = desk.site.workers[0]
    browser = desk.browser()
    said = browser.sign_in(token)
    assert said.json()["role"] == "worker"
    assert said.json()["job"]["kinds"] == list(SETTINGS.kinds)
    cookie = said.headers["set-cookie"].lower()
    for part in ("httponly", "samesite=strict", "path=/", "max-age="):
        assert part in cookie
    assert "secure" not in cookie
    assert "domain" not in cookie
    assert token not in cookie
    again = desk.browser().sign_in(token)
    assert (again.status_code, again.json()["code"]) == (401, "link")
    assert browser.get("/api/me").json() == said.json()


def test_over_https_the_cookie_is_secure(tmp_path: Path, database_url: str) -> None:
    desk = Desk(make_site(tmp_path, database_url), public_url="https://review.x")
    said = desk.browser(base="https://review.x").sign_in(desk.site.workers[0])
    assert "secure" in said.headers["set-cookie"].lower()
    links = desk.browser(desk.site.owner, base="https://review.x").post("/api/owner/invites", {})
    assert links.json()["links"][0]["url"].startswith("https://review.x/#in=")
    desk.close()


def test_in_a_frame_the_cookie_is_kept_apart(tmp_path: Path, database_url: str) -> None:
    site = make_site(tmp_path, database_url)
    desk = Desk(site, public_url="https://review.x", frame_ancestors=("https://www.mturk.com",))
    cookie = desk.browser(base="https://review.x").sign_in(site.workers[0]).headers["set-cookie"]
    for part in ("samesite=none", "secure", "partitioned", "httponly"):
        assert part in cookie.lower()
    desk.close()


def test_sign_ins_that_fail_are_slowed_down(tmp_path: Path) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'r.sqlite'}", n_workers=12)
    desk = Desk(site)
    desk.room.failures = Rate(5 / 60, 5, clock=lambda: 0.0)
    guesser = desk.browser()
    statuses = [guesser.sign_in(f"{number:043d}").status_code for number in range(8)]
    assert statuses == [401] * 5 + [429] * 3
    refused = guesser.sign_in(site.workers[0])
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    # Others are not hindered, and those who get in do not count.
    for token in site.workers:
        assert desk.browser(address="198.51.100.7").sign_in(token).status_code == 200
    desk.close()


def test_all_failures_together_are_bounded(tmp_path: Path) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'r.sqlite'}")
    desk = Desk(site)
    desk.room.all_failures = Rate(10 / 60, 10, clock=lambda: 0.0)
    statuses = [
        desk.browser(address=f"198.51.100.{number}").sign_in("x" * 43).status_code
        for number in range(14)
    ]
    assert statuses == [401] * 10 + [429] * 4
    desk.close()


def test_a_batch_from_the_beginning_to_the_end(desk: Desk) -> None:
    ada = desk.browser(desk.site.workers[0])
    batch = ada.post("/api/batch").json()["batch"]
    assert [task["position"] for task in batch["tasks"]] == list(range(SETTINGS.batch_size))
    again = ada.post("/api/batch").json()["batch"]
    assert again.pop("expires_ms") >= batch["expires_ms"]
    assert again.items() <= batch.items()
    for task in batch["tasks"]:
        picture = ada.get(f"/api/tasks/{task['task_id']}/image")
        assert picture.status_code == 200
        assert picture.headers["content-type"] in ("image/jpeg", "image/png")
        assert picture.headers["cache-control"] == "no-store"
        assert picture.headers["content-disposition"] == "inline"
        assert picture.headers["x-content-type-options"] == "nosniff"
        assert picture.headers["cross-origin-resource-policy"] == "same-origin"
    assert desk.database.look(
        lambda conn: conn.scalar(select(func.count()).select_from(view))
    ) == len(batch["tasks"])
    early = ada.post(f"/api/batch/{batch['batch_id']}/submit")
    assert (early.status_code, early.json()["code"]) == (422, "refused")
    for task in batch["tasks"]:
        assert say(ada, batch, task["task_id"], RIGHT)["outcome"] == "saved"
    assert ada.post(f"/api/batch/{batch['batch_id']}/renew").json()["expires_ms"] > 0
    done = ada.post(f"/api/batch/{batch['batch_id']}/submit").json()
    assert done == {"n_images": SETTINGS.batch_size}
    body = {"attempt": 1, "nonce": "later-than-that", "seconds": 1, "regions": []}
    late = ada.post(f"/api/tasks/{batch['tasks'][0]['task_id']}/answer", body)
    assert (late.status_code, late.json()["code"]) == (409, "lease-lost")


def test_the_same_answer_twice_is_one(desk: Desk) -> None:
    ada = desk.browser(desk.site.workers[0])
    batch = ada.post("/api/batch").json()["batch"]
    task = batch["tasks"][0]["task_id"]
    first = say(ada, batch, task, RIGHT, "the-same-nonce")
    assert say(ada, batch, task, RIGHT, "the-same-nonce") == first
    count = select(func.count()).select_from(answer)
    assert desk.database.look(lambda conn: conn.scalar(count)) == 1


def test_gold_costs_lives_and_begins_again(desk: Desk) -> None:
    ada = desk.browser(desk.site.workers[0])
    batch = ada.post("/api/batch").json()["batch"]
    known = {frozenset(task) for task in batch["tasks"]}
    assert len(known) == 1, "tasks differ by their fields"
    (task,) = desk.gold_tasks(batch)
    lost = say(ada, batch, task, [])
    assert (lost["outcome"], lost["lives"]) == ("life-lost", SETTINGS.lives - 1)
    assert lost["feedback"]["truth"] == [{"box_xyxy": list(FACE), "kind": "face", "source": None}]
    assert lost["feedback"]["problems"][0]["what"] == "missed"
    now = ada.post("/api/batch").json()["batch"]
    assert [each["task_id"] for each in now["tasks"] if each["is_closed"]] == [task]


def test_truth_is_nowhere_before_the_answer(desk: Desk) -> None:
    ada = desk.browser(desk.site.workers[0])
    text = ada.post("/api/batch").text
    batch = ada.post("/api/batch").json()["batch"]
    (task,) = desk.gold_tasks(batch)
    shown = next(each["regions"] for each in batch["tasks"] if each["task_id"] == task)
    assert all(region["box_xyxy"] != list(FACE) for region in shown)
    for word in ("gold", "truth", "image_pk", "image_id", "image-0", "sha256"):
        assert word not in text


@pytest.mark.parametrize(
    "regions",
    [
        [{"box_xyxy": [0, 0, 10], "kind": "face"}],
        [{"box_xyxy": [10, 0, 0, 10], "kind": "face"}],
        [{"box_xyxy": [0, 0, 10, "NaN"], "kind": "face"}],
        [{"box_xyxy": [5_000, 0, 6_000, 10], "kind": "face"}],
        [{"box_xyxy": [0, 0, 1e308, 10], "kind": "plate"}],
        [{"box_xyxy": [0, 0, 9, 9], "kind": "face", "source": 77}],
        [{"box_xyxy": [0, 0, 9, 9], "kind": "face", "extra": 1}],
        [{"box_xyxy": [0, 0, 9, 9], "kind": "\0"}],
        [{"box_xyxy": [0, 0, 9, 9], "kind": "face"}] * 2_001,
        {}, None, "x", [None],
    ],
)  # fmt: skip
def test_a_drawing_that_cannot_be_is_refused(desk_sqlite: Desk, regions: Any) -> None:
    ada = desk_sqlite.browser(desk_sqlite.site.workers[0])
    batch = ada.post("/api/batch").json()["batch"]
    body = {"attempt": 1, "nonce": "nonce-1234", "seconds": 1, "regions": regions}
    refused = ada.post(f"/api/tasks/{batch['tasks'][0]['task_id']}/answer", body)
    assert refused.status_code == 422
    assert set(refused.json()) == {"detail", "code"}
    count = select(func.count()).select_from(answer)
    assert desk_sqlite.database.look(lambda conn: conn.scalar(count)) == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"attempt": ' + b"9" * 5_000 + b"}",
             b'{"seconds": NaN}', b"null", b'{"nonce": "\\ud800\\ud800\\ud800\\ud800\\ud800"}']
)  # fmt: skip
def test_a_body_that_is_no_json_is_refused(desk_sqlite: Desk, body: bytes) -> None:
    ada = desk_sqlite.browser(desk_sqlite.site.workers[0])
    refused = ada.request("POST", "/api/tasks/1/answer", content=body,
                          headers={"Content-Type": "application/json"})  # fmt: skip
    assert refused.status_code in (400, 422)
    assert set(refused.json()) == {"detail", "code"}


@pytest.fixture
def desk_sqlite(tmp_path: Path) -> Iterator[Desk]:
    """For what never reaches the database."""
    desk = Desk(make_site(tmp_path, f"sqlite:///{tmp_path / 'r.sqlite'}"))
    yield desk
    desk.close()


def test_too_many_answers_are_slowed_down(tmp_path: Path) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'r.sqlite'}")
    desk = Desk(site)
    desk.room.answers = Rate(5, 60, clock=lambda: 0.0)
    ada, bob = desk.browser(site.workers[0]), desk.browser(site.workers[1])
    batch = ada.post("/api/batch").json()["batch"]
    path = f"/api/tasks/{batch['tasks'][0]['task_id']}/answer"
    body = {"attempt": 1, "nonce": "nonce-1234", "seconds": 1, "regions": RIGHT}
    statuses = [ada.post(path, body).status_code for _ in range(62)]
    assert statuses[:60] == [200] * 60
    assert statuses[60:] == [429] * 2
    others = bob.post("/api/batch").json()["batch"]
    say(bob, others, others["tasks"][0]["task_id"], RIGHT)
    desk.close()


def test_a_changed_file_is_refused_with_its_reason(desk: Desk) -> None:
    ada = desk.browser(desk.site.workers[0])
    batch = ada.post("/api/batch").json()["batch"]
    for path in desk.site.photos.iterdir():
        path.write_bytes(path.read_bytes() + b"\0")
    refused = ada.get(f"/api/tasks/{batch['tasks'][0]['task_id']}/image")
    assert (refused.status_code, refused.json()["code"]) == (422, "changed")
    for path in desk.site.photos.iterdir():
        path.unlink()
    refused = ada.get(f"/api/tasks/{batch['tasks'][0]['task_id']}/image")
    assert (refused.status_code, refused.json()["code"]) == (422, "missing")
    assert str(desk.site.photos) not in refused.text


def test_a_dispute_is_settled_and_undone(desk: Desk) -> None:
    ada, bob = desk.browser(desk.site.workers[0]), desk.browser(desk.site.workers[1])
    owner = desk.browser(desk.site.owner)
    batches = [(who, who.post("/api/batch").json()["batch"]) for who in (ada, bob)]
    gold_of = [desk.gold_tasks(batch) for _, batch in batches]
    for (who, batch), golds, extra in zip(batches, gold_of, (True, False), strict=True):
        for task in batch["tasks"]:
            stray = {"box_xyxy": [60, 30, 80, 50], "kind": "face"}
            more = [stray] if extra and task["task_id"] not in golds else []
            say(who, batch, task["task_id"], RIGHT + more)
        assert who.post(f"/api/batch/{batch['batch_id']}/submit").status_code == 200
    page = owner.get("/api/owner/disputes?limit=1").json()
    assert page["n_total"] > 1
    (first,) = page["disputes"]
    assert {len(each["regions"]) for each in first["replicas"]} == {1, 2}
    (second,) = owner.get(f"/api/owner/disputes?limit=1&after={first['image_pk']}").json()[
        "disputes"
    ]
    assert second["image_pk"] != first["image_pk"]
    assert owner.get(f"/api/owner/images/{first['image_pk']}/image").status_code == 200
    decision = owner.post(f"/api/owner/disputes/{first['image_pk']}", {"regions": RIGHT})
    assert (decision.status_code, decision.json()["kind"]) == (200, "adjudicated")
    assert owner.get("/api/owner/disputes").json()["n_total"] == page["n_total"] - 1
    assert owner.post("/api/owner/gold", {"image_pk": first["image_pk"]}).status_code == 204
    number = decision.json()["decision_id"]
    assert owner.get("/api/owner/decisions").json()["decisions"][0]["decision_id"] == number
    assert owner.post(f"/api/owner/decisions/{number}/undo").status_code == 204
    assert owner.post(f"/api/owner/decisions/{number}/undo").status_code == 422
    assert owner.get("/api/owner/disputes").json()["n_total"] == page["n_total"]


def test_the_owner_sees_figures_people_and_agreement(desk: Desk) -> None:
    ada, owner = desk.browser(desk.site.workers[0]), desk.browser(desk.site.owner)
    assert finish(ada) == SETTINGS.batch_size
    overview = owner.get("/api/owner/overview").json()
    assert overview["n_images"] == 24
    assert overview["n_gold"] == 3
    assert overview["n_answers"] == SETTINGS.batch_size - 1
    rows = owner.get("/api/owner/people").json()["people"]
    assert {row["role"] for row in rows} == {"owner", "worker"}
    assert sum(row["n_batches"] for row in rows) == 1
    assert owner.get("/api/owner/agreement").json()["n_images"] == 0


def test_invited_people_get_in_with_their_links(desk: Desk) -> None:
    owner = desk.browser(desk.site.owner)
    links = owner.post("/api/owner/invites", {"n": 2, "role": "expert"}).json()["links"]
    for link in links:
        base, _, token = link["url"].partition("/#in=")
        assert base == "http://127.0.0.1:8321"
        expert = desk.browser(token)
        assert expert.get("/api/me").json()["role"] == "expert"
    again = owner.post(f"/api/owner/people/{links[0]['person_id']}/link").json()
    assert again["url"] != links[0]["url"]
    desk.browser(again["url"].partition("/#in=")[2])


def test_no_secret_is_in_the_logs(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        ada, owner = desk.browser(desk.site.workers[0]), desk.browser(desk.site.owner)
        finish(ada)
        link = owner.post("/api/owner/invites", {}).json()["links"][0]["url"]
        owner.get("/api/owner/overview")
        desk.browser().sign_in("wrong-token-of-somebody-0000000000")
        ada.request(
            "POST",
            "/api/tasks/1/answer",
            content=b"{",
            headers={"Content-Type": "application/json"},
        )
        ada.request("DELETE", "/api/session")
    secrets = [
        desk.site.workers[0], desk.site.owner, link.partition("/#in=")[2], ada.csrf, owner.csrf,
        owner.cookies["veilset_session"], "wrong-token-of-somebody-0000000000",
    ]  # fmt: skip
    assert all(len(secret) > 20 for secret in secrets)
    own = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    text = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in own)
    assert not [secret for secret in secrets if secret in text]


def test_gold_given_stays_given(desk: Desk) -> None:
    count = select(func.count()).select_from(gold).where(gold.c.source == "given")
    assert desk.database.look(lambda conn: conn.scalar(count)) == 3
