# SPDX-License-Identifier: Apache-2.0
"""How large the client is, and how quick: the numbers that the README names."""

from __future__ import annotations

import gzip
import logging
import os
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import Browser, CDPSession

from tests.web.client_browser import CLIENT, browser, needs_browser, visiting
from tests.web.drawn_crowd import few_faces, make_crowd_site, thousand_faces
from tests.web.review_site import served
from veilset.review.settings import JobSettings

__all__ = ["browser"]
pytestmark = needs_browser
logger = logging.getLogger(__name__)

MAX_BUNDLE = 300_000
# A second, where nothing else runs. Beside other tests browser and server share one core.
IS_ALONE = "PYTEST_XDIST_WORKER" not in os.environ
MAX_FIRST_IMAGE_MS = 1_000 if IS_ALONE else 2_500
MAX_STEP_MS = 100
MAX_SCRIPT_MS = 16
"""Scripts of the page for each movement of the pointer, with 1,000 boxes."""
MAX_TASK_MS = 100
"""The same with layout and painting, on a clock that runs while others use the processor."""


def test_the_client_is_small() -> None:
    files = [path for path in CLIENT.rglob("*") if path.is_file()]
    packed = sum(len(gzip.compress(path.read_bytes(), 9)) for path in files)
    logger.info("client: %d bytes in %d files, gzipped", packed, len(files))
    assert packed < MAX_BUNDLE


def test_the_first_image_comes_within_a_second_and_steps_are_immediate(
    browser: Browser, tmp_path: Path
) -> None:
    # The quickest of three: whatever else the machine does only makes it slower.
    firsts: list[float] = []
    steps: list[float] = []
    for attempt in range(3):
        first, steps = open_and_step(browser, tmp_path / f"job-{attempt}")
        firsts.append(first)
        if first < MAX_FIRST_IMAGE_MS and median(steps) < MAX_STEP_MS:
            break
    assert min(firsts) < MAX_FIRST_IMAGE_MS
    assert len(steps) == 10
    # The middle one: single steps meet whatever else the machine does.
    assert median(steps) < MAX_STEP_MS


def open_and_step(browser: Browser, folder: Path) -> tuple[float, list[float]]:
    """Open a job in a new window and go through ten images; give both times, ms."""
    crowds = [few_faces(number) for number in range(12)]
    settings = JobSettings(batch_size=12, gold_per_batch=0, order="dataset")
    site = make_crowd_site(folder, crowds, [], settings)
    with (
        served(site.url, answers_a_second=100.0, pictures_a_second=100.0) as server,
        visiting(browser, f"http://127.0.0.1:{server.port}") as visitor,
    ):
        visitor.start(site.workers[0])
        (first,) = visitor.measures("veilset-first-image")
        visitor.page.wait_for_timeout(500)
        for position in range(1, 11):
            visitor.press("d")
            visitor.wait_for_position(position + 1)
            # A person looks at an image before the next; meanwhile others are fetched.
            visitor.page.wait_for_timeout(300)
        steps = sorted(visitor.measures("veilset-image-step"))
    logger.info("first image: %.0f ms; steps: %s ms", first, [round(ms) for ms in steps])
    return first, steps


N_MOVES = 60


@pytest.mark.parametrize("action", ["pan", "move", "draw"])
def test_a_thousand_boxes_stay_fluid(browser: Browser, tmp_path: Path, action: str) -> None:
    settings = JobSettings(batch_size=1, gold_per_batch=0, order="dataset")
    site = make_crowd_site(tmp_path / "job", [thousand_faces()], [], settings)
    with (
        served(site.url) as server,
        visiting(browser, f"http://127.0.0.1:{server.port}") as visitor,
    ):
        visitor.start(site.workers[0])
        page = visitor.page
        assert visitor.n_boxes == 1_000
        visitor.picture("thousand-boxes")
        page.keyboard.press({"pan": "g", "move": "v", "draw": "w"}[action])
        x, y = visitor.at(20, 20)
        page.mouse.move(x, y)
        page.mouse.down()
        counters = page.context.new_cdp_session(page)
        counters.send("Performance.enable")
        before = _seconds(counters)
        for step in range(N_MOVES):
            page.mouse.move(x + 3 * step, y + 2 * step)
        after = _seconds(counters)
        page.mouse.up()
        script, task = ((late - early) * 1000 / N_MOVES
                        for early, late in zip(before, after, strict=True))  # fmt: skip
        visitor.press("0")
        logger.info("%s: %.1f ms of script, %.1f ms in all", action, script, task)
        assert visitor.n_boxes == (1_001 if action == "draw" else 1_000)
    assert script < MAX_SCRIPT_MS
    assert task < MAX_TASK_MS


def _seconds(counters: CDPSession) -> tuple[float, float]:
    """Give what the page's thread has spent on scripts, and on everything, seconds."""
    told = {
        each["name"]: each["value"] for each in counters.send("Performance.getMetrics")["metrics"]
    }
    return told["ScriptDuration"], told["TaskDuration"]
