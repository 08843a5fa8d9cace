# SPDX-License-Identifier: Apache-2.0
"""How long an answer takes while many people finish batches at once, and whether any is lost.

    python benchmarks/review_load.py --database postgresql --workers 200
    python benchmarks/review_load.py --database sqlite --workers 20
    python benchmarks/review_load.py --database sqlite --workers 20 --think 0

A real server, a real database that forces every commit to the disk, and simulated workers
in a process of their own, all on this machine. Everybody begins at the same moment; each
worker looks at an image for a time that is exponentially distributed, 1 s in the mean,
while the next picture is fetched, then answers. Three images of each batch are gold, and
one answer in a hundred has no box, so that lives are lost and batches begin again.

Times run from the moment an answer was due to the end of the response, so that a client
that comes late counts too. In the end every acknowledged answer and batch is looked for
in the database.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from benchmarks.review_workers import Plan, Report
from sqlalchemy import Connection, func, select
from tests.review_databases import as_user, find_binaries, free_port, run
from tests.web.review_site import FACE, drawn_jpeg, make_site, served

from veilset.review.database.connect import Database
from veilset.review.database.tables import answer, batch, gold, image, task
from veilset.review.settings import JobSettings
from veilset.review.web.options import WebOptions

PICTURE_WH = (500, 375)
TARGET_S = 0.25


@contextmanager
def durable_postgresql() -> Iterator[str]:
    """A cluster with the settings that it comes with, so that commits reach the disk."""
    binaries = find_binaries()
    if binaries is None:
        sys.exit("PostgreSQL is not installed. Install it, or choose --database sqlite.")
    user, port = as_user(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="veilset-load-"))
    try:
        if user:
            owner = [int(part.partition("=")[2]) for part in user[1:3]]
            os.chown(folder, owner[0], owner[1])
        data, password = folder / "data", folder / "password"
        password.write_text("load\n")
        password.chmod(0o644)
        run([*user, str(binaries / "initdb"), "--pgdata", str(data), "--username=veilset",
             f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8",
             "--locale=C"], folder)  # fmt: skip
        options = (
            f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        )
        control = [*user, str(binaries / "pg_ctl"), "--pgdata", str(data), "-w"]
        run([*control, "--log", str(folder / "log"), "--options", options, "start"], folder)
        try:
            yield f"postgresql://veilset:load@127.0.0.1:{port}/postgres"
        finally:
            run([*control, "--mode=fast", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def chosen_database(name: str) -> Iterator[str]:
    """The address of an empty database."""
    if name == "postgresql":
        with durable_postgresql() as url:
            yield url
    elif name == "sqlite":
        with tempfile.TemporaryDirectory(prefix="veilset-load-") as folder:
            yield f"sqlite:///{folder}/review.sqlite"
    else:
        yield name


def simulate(plan: Plan) -> Report:
    """Let the workers work, in a process of their own."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("review_workers.py"))],
        input=json.dumps(asdict(plan)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return Report(**json.loads(done.stdout))


def check_database(url: str, report: Report) -> list[str]:
    """Say what is lost or doubled; nothing, if all is well."""
    with Database.open(url) as database:
        return database.look(lambda conn: _wrong(conn, report))


def _wrong(conn: Connection, report: Report) -> list[str]:
    wrong = []
    rows = [(row.task_id, row.nonce) for row in conn.execute(select(answer))]
    stored, said = set(rows), {(task_id, nonce) for task_id, nonce in report.saved}
    if len(rows) != len(stored):
        wrong.append(f"{len(rows) - len(stored)} answers are there twice")
    if said - stored:
        wrong.append(f"{len(said - stored)} acknowledged answers are lost")
    done = set(conn.scalars(select(batch.c.id).where(batch.c.state == "done")))
    if set(report.submitted) - done:
        wrong.append(f"{len(set(report.submitted) - done)} acknowledged batches are lost")
    # Every image counts one finished answer for each finished batch that it was in.
    times = (
        select(task.c.image_pk, func.count().label("n"))
        .join_from(task, batch, batch.c.id == task.c.batch_id)
        .where(batch.c.state == "done", task.c.attempt == batch.c.attempt, task.c.gold_id.is_(None))
        .group_by(task.c.image_pk)
    )
    counted: dict[int, int] = {row.image_pk: row.n for row in conn.execute(times)}
    for row in conn.execute(select(image.c.id, image.c.n_done, image.c.n_wanted)):
        if row.n_done != counted.get(row.id, 0) or row.n_done > row.n_wanted > 0:
            wrong.append(f"image {row.id} counts {row.n_done} answers of {counted.get(row.id, 0)}")
    if not conn.scalar(select(func.count()).select_from(gold)):
        wrong.append("there was no gold")
    return wrong[:10]


def quantiles(seconds: list[float]) -> str:
    """Give p50, p95, p99 and the largest, in milliseconds."""
    p50, p95, p99 = np.quantile(seconds, (0.5, 0.95, 0.99)) * 1000
    return f"{p50:9.1f} {p95:9.1f} {p99:9.1f} {max(seconds) * 1000:9.1f}"


def show(report: Report, wrong: list[str]) -> bool:
    """Print what was measured; give whether it holds."""
    print(f"{'':10}{'n':>7} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9} {'max ms':>9}")
    for what, seconds in report.seconds.items():
        print(f"{what:10}{len(seconds):7d} {quantiles(seconds)}")
    answers = report.seconds["answer"]
    n_failed = sum(n for status, n in report.statuses.items() if status >= "500")
    print(f"throughput {len(answers) / report.working_s:.1f} answers/s "
          f"over {report.working_s:.1f} s; outcomes {report.outcomes}")  # fmt: skip
    print(f"statuses {report.statuses}; batches handed in {len(report.submitted)}")
    for problem in [*report.problems, *wrong]:
        print("problem:", problem)
    is_fast = float(np.quantile(answers, 0.95)) < TARGET_S
    print("lost or doubled:", "nothing" if not wrong else "SEE ABOVE")
    print(f"p95 below {TARGET_S * 1000:.0f} ms: {'yes' if is_fast else 'NO'}; 5xx: {n_failed}")
    return is_fast and not wrong and not n_failed


def measure(url: str, arguments: argparse.Namespace, folder: Path) -> bool:
    """Make a job, serve it, let everybody work, and look at what is left."""
    per_batch = arguments.batch_size - 3
    settings = JobSettings(
        batch_size=arguments.batch_size, gold_exposures=1_000, order="dataset", max_attempts=9
    )
    n_images = per_batch * arguments.workers * arguments.batches + 60
    site = make_site(
        folder, url, settings=settings, n_images=n_images, n_gold=60,
        n_workers=arguments.workers, picture=drawn_jpeg(*PICTURE_WH),
    )  # fmt: skip
    limits: dict[str, Any] = {
        "answers_a_second": 1e6, "pictures_a_second": 1e6, "failed_sign_ins_a_minute": 100,
        "database_threads": arguments.threads,
    }  # fmt: skip
    with served(url, processes=arguments.processes, **limits) as server:
        plan = Plan(
            host="127.0.0.1", port=server.port, tokens=site.workers, box=list(FACE),
            n_batches=arguments.batches, think_s=arguments.think,
            with_pictures=not arguments.no_pictures, error_share=0.01,
        )  # fmt: skip
        report = simulate(plan)
    print(f"{url.partition(':')[0]}: {arguments.workers} workers x {arguments.batches} batches "
          f"of {arguments.batch_size} images, think time {arguments.think:g} s, "
          f"{'without' if arguments.no_pictures else 'with'} pictures, "
          f"{arguments.processes} server process(es), {arguments.threads} threads, "
          f"{os.cpu_count()} cores")  # fmt: skip
    return show(report, check_database(url, report))


def main() -> int:
    """Read the arguments, measure, and say whether the target holds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or an address")
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--batches", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--think", type=float, default=1.0, help="mean, in seconds")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=WebOptions().database_threads)
    parser.add_argument("--no-pictures", action="store_true")
    arguments = parser.parse_args()
    with chosen_database(arguments.database) as url, tempfile.TemporaryDirectory() as folder:
        return 0 if measure(url, arguments, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
