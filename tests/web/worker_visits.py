# SPDX-License-Identifier: Apache-2.0
"""Jobs for a worker in real Chromium, and the worker at work on one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.web.client_browser import Visitor, visiting
from tests.web.drawn_crowd import CrowdSite, few_faces, make_crowd_site
from tests.web.review_site import served
from veilset.review.settings import JobSettings

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
