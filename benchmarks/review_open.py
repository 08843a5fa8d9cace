# SPDX-License-Identifier: Apache-2.0
"""How long a review job over a set of ImageNet's size takes to open, to serve, and to export.

    python benchmarks/audit.py make SET
    python benchmarks/review_open.py SET --database postgresql

Each step runs in a process of its own, whose greatest resident size is read from the system.
No picture is needed: only ``serve`` and a browser would open one.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.review_load import chosen_database

from veilset.review.database.connect import Database
from veilset.review.job import batches, figures, missed, people
from veilset.review.job.jobs import find_job
from veilset.review.stage import export_review, open_review
from veilset.review.values import Role
from veilset.review.views import Person

STEPS = ("open", "work", "export")


def do_work(url: str) -> None:
    """Give batches to people, and look at the figures."""
    with Database.open(url) as database:
        job = database.look(lambda conn: find_job(conn, None))
        now_ms = time.time_ns() // 1_000_000
        invited = database.run(lambda conn: people.invite(conn, job, Role.WORKER, 5, 1.0, now_ms))
        for each in invited:
            worker = Person(each.person_id, job.id, each.name, Role.WORKER)
            with timed("  a batch"):
                database.run(lambda conn, who=worker: batches.take_batch(conn, job, who, now_ms))
        for name, look in (
            ("overview", lambda conn: figures.overview(conn, job, now_ms)),
            ("people", lambda conn: figures.people_table(conn, job, now_ms)),
            ("still missed", lambda conn: missed.still_missed(conn, job)),
        ):
            with timed(f"  {name}"):
                database.look(look)


class timed:  # noqa: N801  reads as a verb
    """Print how long something took."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        print(f"{self.name}: {time.monotonic() - self.started:.3f} s", flush=True)


def run_step(step: str, folder: Path, url: str, out: Path) -> None:
    """Do one step, and say what it took."""
    with timed(step):
        if step == "open":
            (out / "photos").mkdir()
            job = open_review(out / "photos", folder, name="faces", database=url)
            print(f"  {job.n_images:,} images")
        elif step == "work":
            do_work(url)
        else:
            export_review(url, None, out / "export")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"  peak memory {peak:,} MiB", flush=True)


def main() -> None:
    """Run the steps."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or an address")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        run_step(options.step, options.set, options.database, options.out)
        return
    with chosen_database(options.database) as url, tempfile.TemporaryDirectory() as out:
        for step in STEPS:
            command = [sys.executable, __file__, str(options.set), "--database", url,
                       "--step", step, "--out", out]  # fmt: skip
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
