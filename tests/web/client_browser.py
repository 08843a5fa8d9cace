# SPDX-License-Identifier: Apache-2.0
"""Chromium with the review client: what a person does, and what must never happen meanwhile."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Response, sync_playwright

from tests.conftest import REPOSITORY
from veilset.types import BoxXyxy

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CLIENT = REPOSITORY / "src" / "veilset" / "review" / "client"
AXE = REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]

needs_browser = [
    pytest.mark.skipif(
        CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"
    ),
    pytest.mark.skipif(
        not (CLIENT / "index.html").is_file(), reason="the client is not built (make client)"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@dataclass
class Visitor:
    """Somebody in front of the client; complaints of the browser fail the test."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of all answers that were sent."""
    batch: dict[str, Any] = field(default_factory=dict)
    """The batch as the server last gave it."""

    def sign_in(self, token: str) -> None:
        self.page.goto(f"{self.base}/#in={token}")

    def start(self, token: str) -> None:
        """Sign in as a worker and close the instructions."""
        self.sign_in(token)
        self.page.get_by_role("button", name="Start").click()
        self.page.get_by_test_id("surface").wait_for()

    @property
    def task(self) -> dict[str, Any]:
        """The image in sight, as the server gave it."""
        found: dict[str, Any] = self.batch["tasks"][self.position - 1]
        return found

    @property
    def position(self) -> int:
        text = self.page.locator(".progress .now").inner_text()
        return int(re.findall(r"\d+", text)[0])

    @property
    def n_boxes(self) -> int:
        return self.page.get_by_role("option").count()

    def wait_for_position(self, position: int) -> None:
        self.page.locator(".progress strong", has_text=re.compile(f"^{position}$")).wait_for()
        self.page.get_by_test_id("surface").wait_for()

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Give the place on the screen of a pixel of the image, while the whole is in sight."""
        room = self.page.get_by_test_id("surface").bounding_box()
        assert room is not None
        wide, high = self.task["width"], self.task["height"]
        scale = min((room["width"] - 24) / wide, (room["height"] - 24) / high, 8)
        return (
            room["x"] + room["width"] / 2 + (x - wide / 2) * scale,
            room["y"] + room["height"] / 2 + (y - high / 2) * scale,
        )

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        """Drag from one pixel of the image to another."""
        mouse = self.page.mouse
        mouse.move(*self.at(*start))
        mouse.down()
        mouse.move(*self.at((start[0] + stop[0]) / 2, (start[1] + stop[1]) / 2))
        mouse.move(*self.at(*stop))
        mouse.up()

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.at(x, y))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def focus_picture(self) -> None:
        self.page.get_by_test_id("surface").focus()

    def draw_only(self, boxes: tuple[BoxXyxy, ...]) -> None:
        """Delete every box and draw these instead."""
        self.focus_picture()
        for _ in range(self.n_boxes):
            self.press("Tab", "Delete")
        assert self.n_boxes == 0
        for x0, y0, x1, y1 in boxes:
            self.press("Escape")
            self.drag((x0, y0), (x1, y1))

    def next(self) -> None:
        """Go on, and wait until the answer was taken."""
        with self.page.expect_response(lambda reply: "/answer" in reply.url):
            self.press("d")

    def picture(self, name: str) -> None:
        """Keep a picture of the page, to be looked at."""
        folder = Path(os.environ.get("VEILSET_SCREENSHOTS", Path(__file__).parent / "artifacts"))
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=folder / f"{name}.png")

    def measures(self, name: str) -> list[float]:
        found: list[float] = self.page.evaluate(
            "name => performance.getEntriesByName(name).map(e => e.duration || e.startTime)", name
        )
        return found

    def check_access(self) -> None:
        """Have axe look at the page in both colour schemes."""
        if not AXE.is_file():
            pytest.skip("axe-core is not installed (make client)")
        for scheme in ("dark", "light"):
            self.page.evaluate("scheme => document.documentElement.dataset.theme = scheme", scheme)
            # Buttons fade from one colour to the other; axe would measure the middle.
            self.page.wait_for_timeout(250)
            # Not as a script element: the page's policy would refuse it.
            self.page.evaluate(AXE.read_text("utf-8"))
            found = self.page.evaluate("async () => (await axe.run()).violations")
            broken = [
                f"{each['id']}: {node['target']} {node['failureSummary']}"
                for each in found
                for node in each["nodes"]
            ]
            assert not broken, f"{scheme}:\n" + "\n".join(broken)

    def _hear(self, reply: Response) -> None:
        try:
            self._take(reply)
        except Error:
            # The page was closed before the reply was read: nobody needs it any more.
            assert self.page.is_closed()

    def _take(self, reply: Response) -> None:
        if reply.request.method == "POST" and reply.url.endswith("/api/batch") and reply.ok:
            self.batch = reply.json()["batch"] or {}
        elif reply.url.endswith("/answer") and reply.ok:
            told = reply.json()
            self.batch = told["batch"] or self.batch


@contextmanager
def visiting(
    browser: Browser, base: str, *, allowed: tuple[str, ...] = (), **context: Any
) -> Iterator[Visitor]:
    """Open a page; afterwards nothing may have been complained of, but what is allowed."""
    room: BrowserContext = browser.new_context(
        **{"viewport": {"width": 1280, "height": 800}, **context}
    )
    page = room.new_page()
    visitor = Visitor(page, base)
    page.on("console", lambda said: _note(visitor, said.type, f"{said.text} {said.location}"))
    page.on("pageerror", lambda error: visitor.complaints.append(f"error: {error}"))
    page.on("response", visitor._hear)
    page.on("request", lambda asked: _keep(visitor, asked.url, asked.post_data_json)
            if asked.url.endswith("/answer") else None)  # fmt: skip
    try:
        yield visitor
        bad = [each for each in visitor.complaints if not any(text in each for text in allowed)]
        assert not bad, bad
    finally:
        room.close()


def _note(visitor: Visitor, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        visitor.complaints.append(f"{kind}: {text}")


def _keep(visitor: Visitor, url: str, body: Any) -> None:
    visitor.answers.append({"task_id": int(url.split("/")[-2]), **body})


def eventually(page: Page, holds: Callable[[], bool], what: str, ms: int = 5_000) -> None:
    """Wait until something holds."""
    for _ in range(ms // 50):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within {ms} ms: {what}")
