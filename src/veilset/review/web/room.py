# SPDX-License-Identifier: Apache-2.0
"""What the routes of one server share. There is no state but this."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from fastapi import Request
from sqlalchemy import Connection

from veilset.dataset.folder import FolderReader
from veilset.review.database.connect import Database
from veilset.review.views import Job
from veilset.review.web.options import WebOptions
from veilset.review.web.rates import Rate

T = TypeVar("T")

_BURST_ANSWERS = 60
_BURST_PICTURES = 200
_LONG_THREADS = 2


class Room:
    """A job, its database, its photographs, and the threads and limits around them.

    Routes are coroutines. What takes time runs in small pools of threads: one for what
    people wait for with every image, one for what is rare and takes longer, as a new batch,
    and one for pictures. So neither pictures nor two hundred people who begin at the same
    moment hold up answers.
    """

    def __init__(self, database: Database, job: Job, options: WebOptions) -> None:
        self.database = database
        self.job = job
        self.options = options
        self.photos = FolderReader(Path(job.photos))
        self.answers = Rate(options.answers_a_second, _BURST_ANSWERS)
        self.pictures = Rate(options.pictures_a_second, _BURST_PICTURES)
        per_address, per_all = (
            options.failed_sign_ins_a_minute,
            options.failed_sign_ins_a_minute_all,
        )
        self.failures = Rate(per_address / 60, per_address)
        self.all_failures = Rate(per_all / 60, per_all)
        self._quick = ThreadPoolExecutor(options.database_threads, "review-quick")
        self._long = ThreadPoolExecutor(_LONG_THREADS, "review-long")
        self._in_pictures = ThreadPoolExecutor(options.picture_threads, "review-picture")

    @staticmethod
    def now_ms() -> int:
        """Give the present moment, milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    async def run(self, work: Callable[[Connection], T], *, is_quick: bool = False) -> T:
        """Do some work in a transaction that may change things; it may run several times."""
        pool = self._quick if is_quick else self._long
        return await self._in_thread(pool, lambda: self.database.run(work))

    async def look(self, work: Callable[[Connection], T]) -> T:
        """Do some work in a transaction that only reads."""
        return await self._in_thread(self._long, lambda: self.database.look(work))

    async def draw(self, work: Callable[[], T]) -> T:
        """Do some work on a picture."""
        return await self._in_thread(self._in_pictures, work)

    def close(self) -> None:
        """Wait for what is at work, and end the threads. The database stays open."""
        self._quick.shutdown()
        self._long.shutdown()
        self._in_pictures.shutdown()

    @staticmethod
    async def _in_thread(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def pool_size(options: WebOptions) -> int:
    """Give how many connections to the database are in use at the same time."""
    return options.database_threads + _LONG_THREADS


def room_of(request: Request) -> Room:
    """Give the room of the application that serves a request."""
    room: Room = request.app.state.room
    return room
