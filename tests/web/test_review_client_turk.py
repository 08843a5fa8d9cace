# SPDX-License-Identifier: Apache-2.0
"""A paid worker in real Chromium: the crowd's page, the frame, a batch, the form handed in.

The crowd's pages are made up here; the review server is real, over TLS, so that the browser
treats its cookie, its frame and its policies as it does in earnest.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
import uvicorn
from playwright.sync_api import Browser, Route, sync_playwright
from sqlalchemy import insert

from tests.web.client_browser import CHROMIUM, FLAGS, needs_browser, visiting
from tests.web.review_site import SETTINGS, Site, make_site
from veilset.review.database.connect import Database
from veilset.review.database.tables import hit
from veilset.review.job.people import digest
from veilset.review.mturk.entry import FRAME_ANCESTORS
from veilset.review.web.app import create_app
from veilset.review.web.options import WebOptions

pytestmark = [
    *needs_browser,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]
SECRET = "s" * 43
CROWD = "https://worker.mturk.com"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium that lets a page of the crowd, which seems far away, show one of this machine."""
    flags = [*FLAGS, "--disable-features=LocalNetworkAccessChecks"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@contextmanager
def served_over_tls(site: Site, folder: Path) -> Iterator[str]:
    """Serve a job over https in a thread; give the address."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    options = WebOptions(public_url="https://localhost", frame_ancestors=FRAME_ANCESTORS)
    with Database.open(site.url) as database:
        app = create_app(database, site.job, options)
        config = uvicorn.Config(
            app, port=0, log_config=None, access_log=False, lifespan="on", ws="none",
            ssl_keyfile=key, ssl_certfile=certificate,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            deadline = time.monotonic() + 20
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.05)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"https://localhost:{port}"
        finally:
            server.should_exit = True
            thread.join(20)


def offer(site: Site) -> None:
    """Put a HIT on offer."""
    now_ms = time.time_ns() // 1_000_000
    row = {
        "job_id": site.job.id, "token": "veilset-1", "hit_id": "HIT1", "is_sandbox": 1,
        "secret_sha256": digest(SECRET), "state": "open", "reward_cents": 100,
        "duration_s": 3_600, "expires_ms": now_ms + 3_600_000, "created_ms": now_ms,
    }  # fmt: skip
    with Database.open(site.url) as database:
        database.run(lambda conn: conn.execute(insert(hit).values(row)))


def test_from_the_crowds_page_to_the_form_and_back(browser: Browser, tmp_path: Path) -> None:
    settings = replace(SETTINGS, batch_size=2, gold_per_batch=0)
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'r.sqlite'}", settings=settings)
    offer(site)
    handed_in: list[dict[str, str]] = []
    with (
        served_over_tls(site, tmp_path) as base,
        # Browsers let no frame take the focus by itself: people click into it.
        visiting(browser, base, allowed=("autofocusing",), ignore_https_errors=True) as visitor,
    ):
        page = visitor.page

        def crowd(route: Route) -> None:
            asked = route.request
            if asked.method == "POST":
                assert asked.url == "https://workersandbox.mturk.com/mturk/externalSubmit"
                handed_in.append(dict(parse_qsl(asked.post_data)))
                route.fulfill(content_type="text/html", body="<h1>Thank you</h1>")
                return
            given = {"k": SECRET, "hitId": "HIT1", "workerId": "A1ADA"}
            given["assignmentId"] = asked.url.rpartition("/")[2]
            frame = f'<iframe src="{base}/mturk?{urlencode(given).replace("&", "&amp;")}"'
            body = f'<!doctype html>{frame} width="1240" height="760"></iframe>'
            route.fulfill(content_type="text/html", body=body)

        page.route("https://*.mturk.com/**", crowd)
        frame = page.frame_locator("iframe")
        page.goto(f"{CROWD}/ASSIGNMENT_ID_NOT_AVAILABLE")
        frame.get_by_text("Accept the HIT to begin").wait_for()
        ground = frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
        assert ground == "rgb(245, 246, 248)", "the policy refused the style"
        visitor.picture("turk-preview")
        page.goto(f"{CROWD}/ASSIGNMENT1")
        frame.get_by_role("button", name="Start").click()
        for _ in range(2):
            frame.get_by_test_id("surface").wait_for()
            with page.expect_response(lambda reply: "/answer" in reply.url):
                frame.get_by_role("button", name="Save and").click()
        frame.get_by_role("button", name="Hand in").click()
        frame.get_by_text("One step is left: hand in the HIT.").wait_for()
        assert frame.get_by_role("button", name="Next batch").count() == 0
        visitor.picture("turk-finished")
        # Whoever loads the crowd's page again is given the form.
        page.reload()
        frame.get_by_role("button", name="Hand in at workersandbox.mturk.com").wait_for()
        (cookie,) = page.context.cookies()
        assert cookie["sameSite"] == "None"
        assert cookie["partitionKey"] == "https://mturk.com"
        frame.locator("body").evaluate("() => location.assign('/')")
        frame.get_by_text("This batch is finished").wait_for()
        frame.get_by_role("button", name="Hand in", exact=True).click()
        frame.get_by_role("heading", name="Hand in your batch").wait_for()
        visitor.picture("turk-form")
        frame.get_by_role("button", name="Hand in at workersandbox.mturk.com").click()
        frame.get_by_text("Thank you").wait_for()
    assert handed_in == [{"assignmentId": "ASSIGNMENT1", "batch": "done"}]


@pytest.mark.parametrize("path", ["/", "/mturk/finish"])
def test_no_other_page_shows_it(browser: Browser, tmp_path: Path, path: str) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'r.sqlite'}")
    refused = ("frame-ancestors", "Framing")
    allowed = (*refused, "status of 401")
    with (
        served_over_tls(site, tmp_path) as base,
        visiting(browser, base, allowed=allowed, ignore_https_errors=True) as visitor,
    ):
        page = visitor.page
        body = f'<iframe src="{base}{path}"></iframe>'
        page.route("https://attacker.example/", lambda route: route.fulfill(
            content_type="text/html", body=body))  # fmt: skip
        page.goto("https://attacker.example/")
        page.wait_for_timeout(500)
        assert [each for each in visitor.complaints if any(word in each for word in refused)]
