# SPDX-License-Identifier: Apache-2.0
"""The owner's page in real Chromium, on the real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.web.client_browser import Visitor, browser, needs_browser, visiting
from tests.web.drawn_crowd import CrowdSite, few_faces, make_crowd_site
from tests.web.review_site import Server, served
from veilset.review.settings import JobSettings

__all__ = ["browser"]
pytestmark = needs_browser

N_IMAGES = 3
SETTINGS = JobSettings(
    batch_size=N_IMAGES, gold_per_batch=0, replicas=2, order="dataset", quorum=0.6
)


@pytest.fixture
def site(tmp_path: Path) -> CrowdSite:
    crowds = [few_faces(number) for number in range(N_IMAGES)]
    return make_crowd_site(tmp_path / "job", crowds, [], SETTINGS)


@contextmanager
def owning(browser: Browser, site: CrowdSite, server: Server, **more: Any) -> Iterator[Visitor]:
    with visiting(browser, f"http://127.0.0.1:{server.port}", **more) as visitor:
        visitor.sign_in(site.owner)
        visitor.page.get_by_role("heading", name="Progress").wait_for()
        yield visitor


def disagree(browser: Browser, site: CrowdSite, server: Server) -> None:
    """Two people do a batch; one of them deletes a box of the first image and draws another."""
    for place, token in enumerate(site.workers):
        with visiting(browser, f"http://127.0.0.1:{server.port}") as worker:
            worker.start(token)
            for position in range(1, N_IMAGES + 1):
                worker.wait_for_position(position)
                if place == 1 and worker.task["regions"] == _first(worker):
                    worker.focus_picture()
                    worker.press("Tab", "Delete")
                    worker.drag((705, 262), (750, 322))
                worker.next()
            worker.page.get_by_role("button", name="Hand in").click()
            worker.page.get_by_role("heading", name="Thank you").wait_for()


def _first(worker: Visitor) -> list[dict[str, object]]:
    """The boxes of the first image of the data set, as they are shown at first."""
    return [
        {"box_xyxy": list(box), "kind": "face", "source": place}
        for place, box in enumerate(few_faces(0).proposals)
    ]


def test_a_new_job_shows_no_figure_that_was_not_measured(browser: Browser, site: CrowdSite) -> None:
    with served(site.url) as server, owning(browser, site, server) as owner:
        page = owner.page
        expect(page.get_by_text("nothing measured yet").first).to_be_visible()
        assert page.locator("dd .value").count() == 0
        expect(page.get_by_role("region", name="Progress")).to_contain_text("0 of 3 images")
        advice = page.get_by_role("region", name="Advice")
        expect(advice).to_contain_text("Whoever looks at images, you too, needs a link")
        owner.check_access()
        page.get_by_role("button", name=re.compile("^Disputes")).click()
        expect(page.get_by_role("heading", name="No disputes")).to_be_visible()
        owner.check_access()
        page.get_by_role("button", name="Decisions").click()
        expect(page.get_by_text("No decision yet")).to_be_visible()
        owner.check_access()


def test_a_dispute_is_settled_and_the_decision_undone(browser: Browser, site: CrowdSite) -> None:
    with served(site.url) as server:
        disagree(browser, site, server)
        with owning(browser, site, server) as owner:
            page = owner.page
            expect(page.get_by_role("region", name="Progress")).to_contain_text("2 of 3 images")
            missed = page.get_by_role("region", name="Still missed")
            expect(missed).to_contain_text("No random sample was drawn for experts yet")
            expect(missed).to_contain_text("They added 1 on 3 images")
            expect(page.get_by_text("1 image waits under Disputes")).to_be_visible()
            expect(page.get_by_text("needs a link")).to_have_count(0)
            owner.picture("dashboard-light")
            missed.scroll_into_view_if_needed()
            owner.picture("still-missed")
            owner.check_access()
            page.get_by_role("button", name=re.compile("^Disputes")).click()
            expect(page.get_by_role("group", name="Who drew what")).to_contain_text("worker-1")
            before = owner.n_boxes
            page.get_by_test_id("surface").focus()
            owner.press("Tab", "Delete")
            assert owner.n_boxes == before - 1
            owner.press("Control+z")
            owner.picture("dispute-light")
            page.get_by_role("checkbox", name=re.compile("worker-2")).uncheck()
            owner.check_access()
            with page.expect_response(lambda reply: "/owner/disputes/" in reply.url) as settled:
                page.get_by_role("button", name="Settle and next").click()
            assert settled.value.json()["n_regions"] == before
            expect(page.get_by_role("heading", name="No disputes")).to_be_visible()
            page.get_by_role("button", name="Decisions").click()
            undo = page.get_by_role("button", name="Undo the decision on crowd-000.jpg")
            owner.check_access()
            undo.click()
            expect(page.get_by_text("undone", exact=True)).to_be_visible()
            page.get_by_role("button", name=re.compile("^Disputes")).click()
            expect(page.get_by_role("button", name="Settle and next")).to_be_visible()


def test_an_agreed_image_becomes_gold(browser: Browser, site: CrowdSite) -> None:
    with served(site.url) as server:
        disagree(browser, site, server)
        with owning(browser, site, server) as owner:
            page = owner.page
            page.get_by_role("button", name="Decisions").click()
            with page.expect_response(lambda reply: reply.url.endswith("/owner/gold")) as reply:
                page.get_by_role("button", name="Use as gold: crowd-001.jpg").click()
            assert reply.value.status == 204
            page.get_by_role("button", name="Overview").click()
            gold = page.get_by_role("region", name="Progress").locator("div", has_text="Gold")
            expect(gold.locator("dd").last).to_have_text("1")


def test_people_are_invited_sorted_and_sent_away(browser: Browser, site: CrowdSite) -> None:
    with served(site.url) as server:
        disagree(browser, site, server)
        with owning(browser, site, server) as owner:
            page = owner.page
            page.get_by_role("button", name="People").click()
            page.get_by_role("button", name="Answers").click()
            page.get_by_role("button", name="Answers").click()
            expect(page.get_by_role("columnheader", name="Answers")).to_have_attribute(
                "aria-sort", "descending"
            )
            owner.picture("people-light")
            owner.check_access()
            page.get_by_role("button", name="Invite people").click()
            page.get_by_label("How many").fill("2")
            owner.check_access()
            page.get_by_role("button", name="Make links").click()
            page.get_by_role("heading", name="2 sign-in links").wait_for()
            links = page.locator(".links code").all_inner_texts()
            assert len(links) == 2
            owner.check_access()
            page.get_by_role("button", name="Done").click()
            assert links[0] not in page.content(), "links are shown once"
            page.get_by_role("button", name="Revoke access of worker-3").click()
            page.get_by_role("button", name="Revoke access", exact=True).click()
            row = page.get_by_role("row").filter(has_text="worker-3")
            expect(row).to_contain_text("revoked")
            with visiting(
                browser, owner.base, allowed=("status of 401", "status of 403")
            ) as refused:
                refused.page.goto(links[0])
                expect(refused.page.get_by_role("alert").filter(has_text=".")).to_be_visible()
            with visiting(browser, owner.base) as other:
                other.page.goto(links[1])
                expect(
                    other.page.get_by_role("dialog", name="Instructions").or_(
                        other.page.get_by_role("heading", name="Nothing to do now")
                    )
                ).to_be_visible()


def test_the_owner_s_pages_fit_a_phone_in_the_dark(browser: Browser, site: CrowdSite) -> None:
    with served(site.url) as server:
        disagree(browser, site, server)
        dark = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"}
        with owning(browser, site, server, **dark) as owner:
            page = owner.page
            assert page.evaluate("document.documentElement.dataset.theme") == "dark"
            owner.picture("dashboard-phone-dark")
            for name in ("Overview", "People", "Disputes", "Decisions"):
                page.get_by_role("button", name=re.compile(f"^{name}")).click()
                page.wait_for_timeout(300)
                is_wide = "document.documentElement.scrollWidth > innerWidth"
                assert not page.evaluate(is_wide), f"{name} scrolls sideways"
