# SPDX-License-Identifier: Apache-2.0
"""A worker in real Chromium, on the real server: drawing, looking, and doing a batch."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from tests.web.client_browser import browser, eventually, needs_browser, visiting
from tests.web.drawn_crowd import CrowdSite, few_faces
from tests.web.review_site import served
from tests.web.worker_visits import PLAIN, at_work, site_for
from veilset.review.settings import JobSettings

__all__ = ["browser", "site_for"]
pytestmark = needs_browser


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
