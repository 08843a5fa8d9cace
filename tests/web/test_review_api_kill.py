# SPDX-License-Identifier: Apache-2.0
"""A real server under load: nothing that was acknowledged is lost, killed or not."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from benchmarks.review_load import check_database
from benchmarks.review_workers import Plan, Report, work_all

from tests.conftest import times
from tests.review_databases import database_url, postgresql_cluster
from tests.web.review_site import FACE, Server, Site, make_site, served, start_server
from veilset.review.settings import JobSettings

__all__ = ["database_url", "postgresql_cluster"]

N_KILLS = times(4, 7)
SETTINGS = JobSettings(
    batch_size=12, gold_per_batch=2, gold_exposures=1_000, max_attempts=9, max_failed_batches=99,
    order="dataset",
)  # fmt: skip
LIMITS: dict[str, Any] = {
    "answers_a_second": 1e6,
    "pictures_a_second": 1e6,
    "failed_sign_ins_a_minute": 1_000,
}


def site_for(folder: Path, url: str, n_workers: int, n_batches: int) -> Site:
    n_ordinary = n_workers * n_batches * (SETTINGS.batch_size - SETTINGS.gold_per_batch)
    return make_site(
        folder, url, settings=SETTINGS, n_images=n_ordinary + 10, n_gold=10, n_workers=n_workers
    )


class Killer(threading.Thread):
    """Kills the server at random instants and starts it again on the same port."""

    def __init__(self, url: str, server: Server) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.server = server
        self.n_kills = 0
        self.is_over = threading.Event()

    def run(self) -> None:
        chance = random.Random(7)
        while self.n_kills < N_KILLS and not self.is_over.wait(chance.uniform(0.1, 1.2)):
            self.server.kill()
            self.n_kills += 1
            self.server = start_server(self._url, port=self.server.port, **LIMITS)


@pytest.mark.slow
def test_what_was_acknowledged_survives_kills(tmp_path: Path, database_url: str) -> None:
    site = site_for(tmp_path, database_url, n_workers=8, n_batches=3)
    killer = Killer(site.url, start_server(site.url, **LIMITS))
    plan = Plan(
        host="127.0.0.1", port=killer.server.port, tokens=site.workers, box=list(FACE),
        n_batches=3, think_s=0.15, error_share=0.03, is_patient=True,
    )  # fmt: skip

    try:
        report = asyncio.run(work_all(plan, on_begin=killer.start))
    finally:
        killer.is_over.set()
        killer.join(30)
        killer.server.kill()
    assert killer.n_kills >= N_KILLS - 1
    assert not report.problems
    assert len(report.submitted) == 8 * 3
    assert not check_database(site.url, report)


@pytest.mark.slow
def test_many_workers_at_once_lose_and_double_nothing(tmp_path: Path, database_url: str) -> None:
    site = site_for(tmp_path, database_url, n_workers=16, n_batches=2)
    processes = 2 if site.url.startswith("postgresql") else 1
    with served(site.url, processes=processes, **LIMITS) as server:
        plan = Plan(
            host="127.0.0.1", port=server.port, tokens=site.workers, box=list(FACE),
            n_batches=2, think_s=0.0, error_share=0.03,
        )  # fmt: skip
        report = asyncio.run(work_all(plan))
    assert not report.problems
    assert set(report.statuses) == {"200"}
    assert len(report.submitted) == 16 * 2
    assert not check_database(site.url, report)
    # Far above the target: it only shows that nobody starves on a busy machine.
    assert max(report.seconds["answer"]) < 5


def test_the_check_itself_sees_what_is_lost(tmp_path: Path) -> None:
    site = site_for(tmp_path, f"sqlite:///{tmp_path / 'review.sqlite'}", 1, 1)
    lost = Report(saved=[[1, "never-came"]], submitted=[99])
    assert len(check_database(site.url, lost)) == 2


def test_a_server_ends_when_it_is_asked(tmp_path: Path) -> None:
    site = site_for(tmp_path, f"sqlite:///{tmp_path / 'review.sqlite'}", 1, 1)
    with served(site.url) as server:
        begun = time.monotonic()
        server.process.terminate()
        server.process.wait(20)
    assert time.monotonic() - begun < 15
