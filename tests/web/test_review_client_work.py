# SPDX-License-Identifier: Apache-2.0
"""A worker in real Chromium, on the real server: everything that a person does in a batch."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Request, Route, expect

from tests.web.client_browser import Visitor, browser, eventually, needs_browser, visiting
from tests.web.drawn_crowd import CrowdSite, few_faces, make_crowd_site
from tests.web.review_site import served
from veilset.review.settings import JobSettings

__all__ = ["browser"]
pytestmark = needs_browser

# The same faces on all of them, so that a test can answer any gold image rightly.
GOLD = [few_faces(20 + 7 * number) for number in range(6)]
TRUTH = GOLD[0].faces
PLAIN = JobSettings(batch_size=3, gold_per_batch=0, order="dataset")
WITH_GOLD = JobSettings(batch_size=3, gold_per_batch=1, order="dataset", gold_exposures=9)


@pytest.fixture(scope="module")
def site_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[JobSettings], CrowdSite]:
    """Make a job, once for each kind of settings; every call gives a fresh copy of it."""
    made: dict[str, tuple[Path, CrowdSite]] = {}

    def make(settings: JobSettings) -> CrowdSite:
        key = settings.to_json()
        if key not in made:
            folder = tmp_path_factory.mktemp("job") / "site"
            gold = GOLD if settings.gold_per_batch else []
            crowds = [few_faces(number) for number in range(7)]
            made[key] = folder, make_crowd_site(folder, crowds, gold, settings, n_workers=1)
        folder, site = made[key]
        copy = tmp_path_factory.mktemp("copy") / "review.sqlite"
        shutil.copy(folder / "review.sqlite", copy)
        return CrowdSite(f"sqlite:///{copy}", site.owner, site.workers)

    return make


@contextmanager
def at_work(browser: Browser, site: CrowdSite, **more: Any) -> Iterator[Visitor]:
    with (
        served(site.url, answers_a_second=100.0, pictures_a_second=100.0) as server,
        visiting(browser, f"http://127.0.0.1:{server.port}", **more) as visitor,
    ):
        visitor.start(site.workers[0])
        yield visitor


def test_the_secret_leaves_the_address_and_the_instructions_come_first(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    site = site_for(PLAIN)
    with (
        served(site.url) as server,
        visiting(browser, f"http://127.0.0.1:{server.port}") as visitor,
    ):
        visitor.sign_in(site.workers[0])
        dialog = visitor.page.get_by_role("dialog", name="Instructions")
        expect(dialog).to_contain_text("Cover every face")
        assert site.workers[0] not in visitor.page.url
        assert "#" not in visitor.page.url
        visitor.picture("instructions")
        visitor.check_access()
        visitor.press("Escape")
        expect(dialog).to_be_hidden()
        visitor.press("?")
        expect(dialog).to_be_visible()


def test_a_link_that_was_used_says_so(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    site = site_for(PLAIN)
    with at_work(browser, site, allowed=("status of 401", "status of 403")) as visitor:
        visitor.page.get_by_role("button", name="Sign out").click()
        expect(visitor.page.get_by_role("heading", name="You are signed out")).to_be_visible()
        visitor.sign_in(site.workers[0])
        expect(visitor.page.get_by_role("alert").filter(has_text="link")).to_be_visible()


def test_adjust_draw_delete_and_undo_reach_the_server(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    with at_work(browser, site_for(PLAIN)) as visitor:
        crowd = few_faces(int(visitor.position) - 1)
        shown = [tuple(each["box_xyxy"]) for each in visitor.task["regions"]]
        x0, y0, x1, y1 = shown[0]
        # Move the first one onto the face, then draw what is missing.
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        visitor.drag(middle, (middle[0] - 20, middle[1] + 30))
        # Resize by the handle of its lower right corner.
        visitor.drag((x1 - 20, y1 + 30), (x1 - 10, y1 + 10))
        missing = crowd.faces[2] if crowd.faces[2] not in shown else (705.0, 265.0, 757.0, 329.0)
        visitor.drag((missing[0], missing[1]), (missing[2], missing[3]))
        assert visitor.n_boxes == 4
        visitor.click(60, 60)
        visitor.press("Delete")
        assert visitor.n_boxes == 3
        visitor.press("Control+z")
        assert visitor.n_boxes == 4
        visitor.press("Control+Shift+z")
        assert visitor.n_boxes == 3
        visitor.press("Control+z", "Control+y")
        assert visitor.n_boxes == 3
        visitor.press("Escape")
        visitor.picture("work-light")
        visitor.check_access()
        visitor.next()
    sent = visitor.answers[0]["regions"]
    assert [each["source"] for each in sent] == [0, 1, None]
    assert sent[0]["box_xyxy"] == pytest.approx([x0 - 20, y0 + 30, x1 - 10, y1 + 10], abs=1.5)
    assert tuple(sent[1]["box_xyxy"]) == shown[1], "an untouched box keeps its exact corners"
    assert sent[2]["box_xyxy"] == pytest.approx(missing, abs=1.5)
    assert visitor.answers[0]["seconds"] > 0


def test_zoom_and_pan_leave_boxes_where_they_are(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    with at_work(browser, site_for(PLAIN)) as visitor:
        page = visitor.page
        page.mouse.move(*visitor.at(480, 320))
        for _ in range(5):
            page.mouse.wheel(0, -200)
        page.keyboard.down(" ")
        visitor.drag((480, 320), (440, 300))
        page.keyboard.up(" ")
        assert visitor.n_boxes == 3, "a drag with the space bar draws nothing"
        visitor.press("-", "+", "0")
        # Drawn after all that, a box lies exactly where the whole image shows it.
        visitor.drag((600, 60), (680, 160))
        visitor.press("z")
        visitor.picture("zoomed-to-box")
        visitor.press("0", "2", "h", "h")
        visitor.next()
    drawn = visitor.answers[0]["regions"][-1]
    assert drawn["box_xyxy"] == pytest.approx([600, 60, 680, 160], abs=1.5)
    assert drawn["kind"] == "nsfw"


def test_a_batch_by_keyboard_alone(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    with at_work(browser, site_for(PLAIN)) as visitor:
        page = visitor.page
        before = visitor.task["regions"][0]["box_xyxy"]
        visitor.focus_picture()
        visitor.press("Tab")
        visitor.press(*["Shift+ArrowRight"] * 2, *["ArrowDown"] * 3)
        visitor.press("Control+ArrowRight", "Alt+ArrowUp", "2", "Enter", "n")
        assert visitor.n_boxes == 4
        visitor.press("Shift+ArrowLeft", "Escape")
        visitor.press("Tab", "Tab", "Tab", "Delete")
        assert visitor.n_boxes == 3
        visitor.next()
        visitor.wait_for_position(2)
        visitor.press("ArrowLeft")
        visitor.wait_for_position(1)
        assert visitor.n_boxes == 3, "what was saved is seen again"
        visitor.press("PageDown")
        visitor.wait_for_position(2)
        visitor.next()
        visitor.wait_for_position(3)
        visitor.next()
        expect(page.get_by_role("heading", name="Ready to hand in")).to_be_focused()
        expect(page.get_by_role("button", name="Hand in")).to_be_enabled()
        visitor.picture("summary")
        visitor.check_access()
        for _ in range(5):
            visitor.press("Tab")
        expect(page.get_by_role("button", name="Hand in")).to_be_focused()
        visitor.press("Enter")
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
        visitor.check_access()
        visitor.press("Enter")
        expect(page.locator(".progress")).to_contain_text("Image 1 of 3")
    x0, y0, x1, y1 = before
    first = visitor.answers[0]["regions"][0]
    assert first["box_xyxy"] == pytest.approx([x0 + 20, y0 + 3, x1 + 21, y1 + 2])
    assert first["kind"] == "nsfw"
    assert len(visitor.answers) == 3, "an image that was not changed is not sent again"


def test_focus_leaves_the_picture_after_the_last_box(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    with at_work(browser, site_for(PLAIN)) as visitor:
        visitor.focus_picture()
        visitor.press("Tab", "Tab", "Tab")
        expect(visitor.page.get_by_test_id("surface")).to_be_focused()
        visitor.press("Tab")
        expect(visitor.page.get_by_test_id("surface")).not_to_be_focused()
        listbox = visitor.page.get_by_role("listbox", name="Boxes")
        listbox.focus()
        visitor.press("ArrowDown", "ArrowDown", "Delete")
        assert visitor.n_boxes == 2


def test_fingers_draw_move_and_pinch(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    phone = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
    with at_work(browser, site_for(PLAIN), **phone) as visitor:
        page = visitor.page
        touch = page.context.new_cdp_session(page)

        def finger(*paths: list[tuple[float, float]]) -> None:
            for step, name in enumerate(["touchStart", *["touchMove"] * (len(paths[0]) - 1)]):
                points = [dict(zip("xy", visitor.at(*path[step]), strict=True)) for path in paths]
                touch.send("Input.dispatchTouchEvent", {"type": name, "touchPoints": points})
            touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

        finger([(560, 60), (600, 100), (640, 160)])
        assert visitor.n_boxes == 4
        finger([(400, 320), (300, 300), (250, 280)], [(500, 320), (600, 340), (650, 360)])
        assert visitor.n_boxes == 4, "two fingers zoom"
        visitor.picture("phone")
        page.get_by_role("button", name="Whole image (0)").tap()
        finger([(600, 110), (610, 130), (620, 150)])
        assert visitor.n_boxes == 4
        visitor.check_access()
        page.get_by_role("button", name="Save and next").tap()
        eventually(page, lambda: bool(visitor.answers), "the answer is sent")
    drawn = visitor.answers[0]["regions"][-1]["box_xyxy"]
    assert drawn == pytest.approx([580, 100, 660, 200], abs=8)


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
        page.unroute("**/answer")
        with page.expect_response(lambda reply: "/answer" in reply.url) as reply:
            page.get_by_role("button", name="Try now").click()
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


def test_choices_of_colours_and_of_esc_stay_in_the_browser(
    browser: Browser, site_for: Callable[[JobSettings], CrowdSite]
) -> None:
    with at_work(browser, site_for(PLAIN)) as visitor:
        page = visitor.page
        page.get_by_role("button", name=re.compile("^Colours as the system")).click()
        page.get_by_role("button", name=re.compile("^Light colours")).click()
        visitor.focus_picture()
        visitor.press("Tab", "Escape")
        assert visitor.n_boxes == 3, "at first Esc only deselects"
        page.reload()
        page.get_by_label("Esc deletes the selected box").check()
        page.get_by_role("button", name="Start").click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        visitor.focus_picture()
        visitor.press("Tab")
        visitor.picture("work-dark")
        visitor.press("Escape")
        assert visitor.n_boxes == 2
