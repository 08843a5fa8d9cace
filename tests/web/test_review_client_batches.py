# SPDX-License-Identifier: Apache-2.0
"""A worker in real Chromium: what becomes of a batch and of answers on their way."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from playwright.sync_api import Browser, Dialog, Request, Route, expect
from playwright.sync_api import TimeoutError as NotInTime

from tests.web.client_browser import Visitor, browser, needs_browser
from tests.web.drawn_crowd import CrowdSite, few_faces
from tests.web.worker_visits import PLAIN, TRUTH, WITH_GOLD, at_work, site_for
from veilset.review.settings import JobSettings

__all__ = ["browser", "site_for"]
pytestmark = needs_browser


def test_gold_lives_restart_and_finish(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    """Fail a gold image, lose the other life, begin again, answer gold rightly, hand in."""
    with at_work(browser, site_for(WITH_GOLD)) as visitor:
        page = visitor.page
        expect(page.get_by_role("img", name="2 of 2 lives left")).to_be_visible()
        title = page.get_by_role("heading", name="That picture was not right")
        lose_a_life(visitor)
        expect(title).to_be_visible()
        expect(page.get_by_role("dialog")).to_contain_text("1 life left")
        visitor.picture("feedback")
        visitor.check_access()
        visitor.press("Enter")
        finish_without_gold(visitor)
        page.get_by_role("button", name="Hand in").click()
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
        page.get_by_role("button", name="Next batch").click()


def is_gold(visitor: Visitor) -> bool:
    """Tell gold by its boxes: they are not what the detector said about an ordinary image."""
    shown = {tuple(each["box_xyxy"]) for each in visitor.task["regions"]}
    return all(set(few_faces(number).proposals) != shown for number in range(7))


def lose_a_life(visitor: Visitor) -> None:
    """Answer until a gold image was passed on as it is."""
    for _ in range(3):
        was_gold = is_gold(visitor)
        visitor.next()
        if was_gold:
            return
        visitor.page.wait_for_timeout(50)
    raise AssertionError("the batch has no gold")


def finish_without_gold(visitor: Visitor) -> None:
    """Answer what is left of the batch."""
    page = visitor.page
    for _ in range(3):
        if page.get_by_role("heading", name="Ready to hand in").is_visible():
            break
        visitor.press("d")
        page.wait_for_timeout(300)
    expect(page.get_by_role("button", name="Hand in")).to_be_enabled()


def test_no_life_left_restarts_and_then_gives_the_batch_away(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    settings = JobSettings(batch_size=3, gold_per_batch=1, order="dataset", gold_exposures=9,
                           lives=1, max_attempts=2, max_failed_batches=1)  # fmt: skip
    # The next picture may be on its way when the batch is taken from the worker.
    with at_work(browser, site_for(settings), allowed=("status of 409",)) as visitor:
        page = visitor.page
        lose_a_life(visitor)
        expect(page.get_by_role("heading", name="the batch starts again")).to_be_visible()
        visitor.picture("restart")
        visitor.check_access()
        page.get_by_role("button", name="Start again").click()
        visitor.wait_for_position(1)
        assert visitor.batch["attempt"] == 2
        # Right this time: gold that passes looks like any other image.
        for _ in range(3):
            position = visitor.position
            if is_gold(visitor):
                visitor.draw_only(TRUTH)
            visitor.next()
            if position < 3:
                visitor.wait_for_position(position + 1)
        page.get_by_role("button", name="Hand in").click()
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
        page.get_by_role("button", name="Next batch").click()
        visitor.wait_for_position(1)
        lose_a_life(visitor)
        page.get_by_role("button", name="Start again").click()
        visitor.wait_for_position(1)
        lose_a_life(visitor)
        expect(page.get_by_role("heading", name="goes to somebody else")).to_be_visible()
        visitor.check_access()
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Next batch").click()
        expect(page.get_by_role("heading", name="No more batches")).to_be_visible()
        visitor.picture("blocked")
        visitor.check_access()


def test_answers_wait_for_the_network_and_arrive_once(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    with at_work(browser, site_for(PLAIN), allowed=("ERR_INTERNET", "ERR_FAILED")) as visitor:
        page = visitor.page
        seen: list[str] = []

        def refuse(route: Route) -> None:
            seen.append(_nonce(route.request))
            # The first one arrives, and only its reply is lost: the worst case.
            if len(seen) == 1:
                route.fetch()
            route.abort()

        page.route("**/answer", refuse)
        visitor.press("d")
        expect(page.get_by_text("Not saved yet")).to_be_visible()
        visitor.wait_for_position(2)
        visitor.picture("not-saved")
        visitor.check_access()
        with page.expect_response(lambda reply: "/answer" in reply.url) as reply:
            page.unroute("**/answer")
            # The client tries by itself too: where it was quicker, there is no button any more.
            with suppress(NotInTime):
                page.get_by_role("button", name="Try now").click(timeout=3000)
        assert _nonce(reply.value.request) == seen[0]
        assert reply.value.json()["outcome"] == "saved"
        expect(page.get_by_text("Not saved yet")).to_be_hidden()


def _nonce(request: Request) -> str:
    body = request.post_data_json
    assert body is not None
    return str(body["nonce"])


def test_leaving_with_unsaved_work_is_asked_about(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    with at_work(browser, site_for(PLAIN)) as visitor:
        page = visitor.page
        asked: list[str] = []

        def accept(dialog: Dialog) -> None:
            asked.append(dialog.type)
            dialog.accept()

        page.on("dialog", accept)
        visitor.drag((600, 60), (680, 160))
        page.reload()
        assert asked == ["beforeunload"]


def test_a_lost_batch_is_cleared_from_the_page(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    with at_work(browser, site_for(PLAIN), allowed=("status of 409", "status of 404")) as visitor:
        page = visitor.page
        # Given back in another window of the same browser.
        batch_id = visitor.batch["batch_id"]
        page.evaluate(
            """async id => {
              const me = await (await fetch("api/me")).json();
              const headers = { "X-CSRF-Token": me.csrf };
              await fetch(`api/batch/${id}/release`, { method: "POST", headers });
            }""",
            batch_id,
        )
        visitor.press("d")
        expect(page.get_by_role("heading", name=re.compile("no longer yours"))).to_be_visible()
        expect(page.get_by_test_id("surface")).to_have_count(0)
        visitor.check_access()
        page.get_by_role("button", name="Get a batch").click()
        visitor.wait_for_position(1)


def test_somebody_who_is_away_is_asked_before_the_batch_goes(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    settings = JobSettings(batch_size=3, gold_per_batch=0, order="dataset", lease_minutes=0.15)
    with at_work(browser, site_for(settings)) as visitor:
        page = visitor.page
        here = page.get_by_role("button", name="I am still here")
        expect(here).to_be_visible(timeout=15_000)
        visitor.check_access()
        with page.expect_response(lambda reply: reply.url.endswith("/renew")) as renewed:
            here.click()
        assert renewed.value.ok
        expect(here).to_be_hidden()
