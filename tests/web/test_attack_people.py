# SPDX-License-Identifier: Apache-2.0
"""The assessor's page in a real browser, from the disk: asked, left, resumed, saved, counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.unit.attack.people_drawn import SETTINGS, drawn_material, page_data
from tests.web.client_browser import AXE, CHROMIUM, browser
from veilset.attack.people.answers import CANNOT_TELL, read_answers
from veilset.attack.people.asking import write_questions
from veilset.attack.people.counting import count_answers
from veilset.attack.people.key import Key, read_key
from veilset.attack.people.questions import Plan

__all__ = ["browser"]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"
)

N = 6


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("asked")
    write_questions(drawn_material(), Plan(SETTINGS, per_setting=N // 3), out, contact="us")
    return out


@pytest.fixture(scope="module")
def key(asked: Path) -> Key:
    return read_key(asked / "key.json")


def page_path(asked: Path) -> Path:
    return asked / "pages" / "assessor-01.html"


def right_places(asked: Path, key: Key) -> list[int]:
    """Give the right answers in the order of the page."""
    ((_, questions),) = key.packs.items()
    places = {each.question_id: each.answer for each in questions}
    data = page_data(page_path(asked).read_text("utf-8"))
    return [places[each["id"]] for each in data["questions"]]


@contextmanager
def opened(browser: Browser, asked: Path, **context: Any) -> Iterator[Page]:
    """Open the page as somebody new; nothing may be asked for, nothing complained of."""
    room = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
    page, complaints = room.new_page(), []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: _note_request(complaints, request.url))
    page.goto(page_path(asked).as_uri())
    yield page
    room.close()
    assert not complaints


def _note_request(complaints: list[str], url: str) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        complaints.append(url)


def begin(page: Page) -> None:
    page.get_by_role("button", name="I agree, begin").click()
    at(page, 1)


def at(page: Page, number: int) -> None:
    expect(page.locator("#count")).to_have_text(f"Question {number} of {N}")


def press(page: Page, *keys: str) -> None:
    """Press keys one after the other, each when the page takes the next answer."""
    for each in keys:
        before = page.locator("#probe").get_attribute("src")
        page.keyboard.press(each)
        page.wait_for_function(
            "src => document.getElementById('asking').hidden || "
            "document.getElementById('probe').getAttribute('src') !== src", arg=before,
        )  # fmt: skip


def saved(page: Page, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save my answers").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    expect(page.get_by_role("status")).to_contain_text("is among your downloads")
    return path


def test_answers_by_keys_are_counted(
    browser: Browser, asked: Path, key: Key, tmp_path: Path
) -> None:
    places = right_places(asked, key)
    with opened(browser, asked) as page:
        expect(page.get_by_text("You may stop at any time")).to_be_visible()
        expect(page.locator("#probe")).not_to_be_visible()
        begin(page)
        press(page, *map(str, places[:-1]), "0")
        expect(page.get_by_text(f"You answered all {N} questions.")).to_be_visible()
        path = saved(page, tmp_path)
        page.get_by_text("Does no file appear?").click()
        assert page.locator("#text").input_value() == path.read_text("utf-8")
    told = json.loads(path.read_bytes())
    assert set(told) == {"format", "pack", "assessor", "answers"}
    assert {name for each in told["answers"] for name in each} == {"question", "choice", "seconds"}
    assert told["answers"][-1]["choice"] == CANNOT_TELL
    assert all(0 < each["seconds"] < 60 for each in told["answers"])
    answers = read_answers([path], key)
    assert sum(each.is_right for each in answers) == N - 1
    assert sum(each.n_right for each in count_answers(key, answers).settings) == N - 1


def test_the_page_is_left_and_resumed(
    browser: Browser, asked: Path, key: Key, tmp_path: Path
) -> None:
    with opened(browser, asked) as page:
        begin(page)
        press(page, "4", "7")
        at(page, 3)
        page.reload()
        page.get_by_role("button", name="Go on").click()
        at(page, 3)
        press(page, "ArrowLeft")
        at(page, 2)
        expect(page.locator("#nine button").nth(6)).to_have_attribute("aria-pressed", "true")
        press(page, "2")
        at(page, 3)
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text(f"You answered 2 of {N} questions.")).to_be_visible()
        answers = read_answers([saved(page, tmp_path)], key)
        assert [each.choice for each in answers] == [4, 2]
        page.get_by_role("button", name="Go on answering").click()
        at(page, 3)
        press(page, *"1" * (N - 2))
        expect(page.get_by_role("heading", name="Thank you, that was all")).to_be_focused()


def test_a_mouse_does_as_well(browser: Browser, asked: Path, key: Key, tmp_path: Path) -> None:
    with opened(browser, asked) as page:
        begin(page)
        page.get_by_role("button", name="Face 9").click()
        at(page, 2)
        page.get_by_role("button", name="I cannot tell").click()
        at(page, 3)
        page.get_by_role("button", name="Back").click()
        at(page, 2)
        page.get_by_role("button", name="Forward").click()
        at(page, 3)
        page.get_by_role("button", name="Stop").click()
        answers = read_answers([saved(page, tmp_path)], key)
        assert [each.choice for each in answers] == [9, None]


def test_one_press_is_one_answer(browser: Browser, asked: Path) -> None:
    with opened(browser, asked) as page:
        begin(page)
        # Two at once: the second was meant for a face that is not in sight yet.
        page.keyboard.press("1")
        page.keyboard.press("2")
        at(page, 2)
        page.keyboard.press("Control+3")
        page.wait_for_timeout(300)
        at(page, 2)


def test_answers_can_be_deleted(browser: Browser, asked: Path) -> None:
    with opened(browser, asked) as page:
        begin(page)
        press(page, "3")
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Have you changed your mind?").click()
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete my answers").click()
        expect(page.get_by_role("heading", name="Your answers are deleted")).to_be_visible()
        assert page.evaluate("localStorage.length") == 0
        page.reload()
        expect(page.get_by_role("button", name="I agree, begin")).to_be_visible()


def test_a_browser_that_remembers_nothing_still_works(
    browser: Browser, asked: Path, key: Key, tmp_path: Path
) -> None:
    with opened(browser, asked) as page:
        page.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } })"
        )
        page.reload()
        expect(page.get_by_text("does not let the page remember")).to_be_visible()
        begin(page)
        press(page, "5")
        page.get_by_role("button", name="Stop").click()
        assert [each.choice for each in read_answers([saved(page, tmp_path)], key)] == [5]


SIZES = {"desk": (1280, 800), "phone": (390, 844), "small": (360, 640)}


@pytest.mark.parametrize("size", SIZES)
def test_page_fits_and_can_be_read(browser: Browser, asked: Path, size: str) -> None:
    width, height = SIZES[size]
    with opened(browser, asked, viewport={"width": width, "height": height}) as page:
        check(page)
        begin(page)
        press(page, "1", "ArrowLeft")
        check(page)
        if size == "desk":
            assert page.evaluate("document.documentElement.scrollHeight") <= height
        page.get_by_role("button", name="Stop").click()
        for text in ("Does no file appear?", "Have you changed your mind?"):
            page.get_by_text(text).click()
        check(page)


def check(page: Page) -> None:
    """Nothing sticks out to the side, and axe finds nothing, in light and in dark."""
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (make client)")
    page.evaluate(AXE.read_text("utf-8"))
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        found = page.evaluate("async () => (await axe.run()).violations")
        broken = [f"{each['id']}: {node['target']}" for each in found for node in each["nodes"]]
        assert not broken, scheme
