# SPDX-License-Identifier: Apache-2.0
"""A review job with drawn photographs, its people, and a real server for it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from sqlalchemy import Connection

from tests.conftest import REPOSITORY
from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.files import sha256_hex
from veilset.protocols import Shard, ShardReport
from veilset.review.database.connect import Database
from veilset.review.job import people
from veilset.review.job.filling import Sources
from veilset.review.job.jobs import find_job, open_job
from veilset.review.settings import JobSettings
from veilset.review.values import Role
from veilset.review.views import Job
from veilset.runs import Run
from veilset.types import Annotations, ImageRecord, Origin, Region, Status

FACE = (10.0, 10.0, 40.0, 40.0)
"""The region that every image needs, gold or not."""
WIDTH, HEIGHT = 96, 64
SETTINGS = JobSettings(
    batch_size=5, gold_per_batch=1, replicas=2, gold_exposures=100, order="dataset",
    tolerance_px=8, quorum=0.6,
)  # fmt: skip


def drawn_jpeg(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([columns * 2 % 256, rows * 3 % 256, (rows + columns) % 256], axis=2)
    stream = io.BytesIO()
    PillowImage.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


@dataclass
class Site:
    """A job in a database, with links of people that were not used yet."""

    url: str
    photos: Path
    job: Job
    owner: str
    workers: list[str] = field(default_factory=list)
    experts: list[str] = field(default_factory=list)


def make_site(
    folder: Path,
    url: str,
    *,
    settings: JobSettings = SETTINGS,
    n_images: int = 24,
    n_gold: int = 3,
    n_workers: int = 3,
    n_experts: int = 0,
    picture: bytes | None = None,
    name: str = "faces",
) -> Site:
    """Make photographs, annotations, gold and a job of them; invite people."""
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    data = picture or drawn_jpeg()
    names = [f"image-{number:05d}.jpg" for number in range(n_images)]
    for each in names:
        (photos / each).write_bytes(data)
    size_wh = PillowImage.open(io.BytesIO(data)).size
    ordinary = _annotated(folder / "annotations", names, data, size_wh)
    gold = _annotated(folder / "gold", names[n_images - n_gold :], data, size_wh)
    with Database.open(url, create=True) as database:
        sources = Sources(photos, ordinary, gold)
        database.run(
            lambda conn: open_job(conn, name, sources, settings, time.time_ns() // 1_000_000)
        )
        return database.run(lambda conn: _people(conn, url, photos, name, n_workers, n_experts))


def _people(
    conn: Connection, url: str, photos: Path, name: str, n_workers: int, n_experts: int
) -> Site:
    job, now_ms = find_job(conn, name), time.time_ns() // 1_000_000
    owner = people.owner_link(conn, job, 24, now_ms).token
    site = Site(url, photos, job, owner)
    for role, n, tokens in (
        (Role.WORKER, n_workers, site.workers), (Role.EXPERT, n_experts, site.experts),
    ):  # fmt: skip
        if n:
            tokens += [each.token for each in people.invite(conn, job, role, n, 24, now_ms)]
    return site


def _annotated(
    folder: Path, names: list[str], data: bytes, size_wh: tuple[int, int]
) -> AnnotationSet:
    rows = [
        Annotations(
            image_id=name, status=Status.LOOKED, width=size_wh[0], height=size_wh[1],
            regions=(Region(FACE, score=0.9, origin=Origin.DETECTED),),
            sha256=sha256_hex(data), n_bytes=len(data),
        )
        for name in names
    ]  # fmt: skip
    with Run.open(folder, "detect", {}, {}) as run:
        shard = Shard(0, tuple(ImageRecord(name) for name in names))
        for each in run.missing([shard]):
            digest = write_annotations(folder, each.index, rows)
            run.commit(ShardReport(each.index, len(rows), digest=digest))
        run.finish()
    return AnnotationSet(folder)


@dataclass
class Server:
    """A server process; ``kill`` is SIGKILL."""

    process: subprocess.Popen[str]
    port: int

    def kill(self) -> None:
        self.process.kill()
        self.wait(10)

    def wait(self, seconds: float) -> int:
        """Wait until the process has ended; give its status."""
        status = self.process.wait(seconds)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


_SERVE = """
import json, logging, sys
from pathlib import Path
from veilset.review.web.options import WebOptions
from veilset.review.web.serve import serve
given = json.load(sys.stdin)
logging.basicConfig(level=given["level"], stream=sys.stderr)
options = WebOptions(**given["options"])
def ready(options, job):
    print(options.port, flush=True)
if __name__ == "__main__":
    serve(given["url"], None, options, processes=given["processes"], on_listening=ready)
"""


def start_server(
    url: str, *, port: int = 0, processes: int = 1, level: str = "WARNING", log: Path | None = None,
    **options: Any,
) -> Server:  # fmt: skip
    """Start a server in a process of its own; come back when it listens."""
    given = {"url": url, "processes": processes, "level": level,
             "options": {"port": port, **options}}  # fmt: skip
    stream = log.open("a") if log else None
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=stream, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    if stream:
        stream.close()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(given))
    process.stdin.close()
    said = process.stdout.readline()
    assert said, f"the server ended with {process.wait()}"
    return Server(process, int(said))


@contextmanager
def served(url: str, **more: Any) -> Iterator[Server]:
    """A server for the time of the block."""
    server = start_server(url, **more)
    try:
        yield server
    finally:
        server.process.terminate()
        status = server.wait(30)
    assert status in (0, -15)
