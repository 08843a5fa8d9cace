# SPDX-License-Identifier: Apache-2.0
"""Run the review server: one process, or several on PostgreSQL."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

import uvicorn

from veilset.errors import ConfigError
from veilset.review.database.connect import Database
from veilset.review.job.jobs import find_job
from veilset.review.views import Job
from veilset.review.web.app import create_app
from veilset.review.web.options import WebOptions
from veilset.review.web.room import pool_size

_BACKLOG: Final = 1024
_PATIENCE_S: Final = 10


def serve(
    database_url: str,
    job: str | None = None,
    options: WebOptions | None = None,
    *,
    processes: int = 1,
    on_listening: Callable[[WebOptions, Job], None] = lambda _options, _job: None,
) -> None:
    """Serve a review job until the process is asked to end (SIGINT or SIGTERM).

    Args:
        database_url: As for ``Database.open``; it has to exist.
        job: Name of the job; None if there is only one.
        options: How to listen; port 0 takes any that is free.
        processes: Processes that answer requests. Limits on how often somebody may ask
            hold in each of them for itself.
        on_listening: Called once browsers can connect, with the port that was taken.

    Raises:
        ConfigError: If the address cannot be taken, or SQLite shall serve several processes.
        ReviewError: If the database or the job is not there.
        DatasetError: If the folder of photographs is gone.
    """
    wanted = options or WebOptions()
    with Database.open(database_url, pool_size=pool_size(wanted)) as database:
        found = database.look(lambda connection: find_job(connection, job))
        if processes > 1 and database.is_sqlite:
            raise ConfigError(
                f"{processes} processes were asked for, but SQLite lets one write at a time. "
                "Use one process, or a PostgreSQL database."
            )
        with _listening_socket(wanted) as listener:
            ready = replace(wanted, port=listener.getsockname()[1])
            on_listening(ready, found)
            if processes == 1:
                _serve_requests(database, found, ready, listener)
                return
            database.close()
            _supervise(database_url, found.name, ready, listener, processes)


def _listening_socket(options: WebOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"The server cannot listen on {options.host} port {options.port} "
            f"({error.strerror or error}). Choose another port, or end what uses it."
        ) from error


def _serve_requests(
    database: Database, job: Job, options: WebOptions, listener: socket.socket
) -> None:
    config = uvicorn.Config(
        create_app(database, job, options),
        # Whoever starts the server decides what is logged, and the layer around the
        # application decides whose word on addresses counts.
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_PATIENCE_S,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _supervise(
    database_url: str, job: str, options: WebOptions, listener: socket.socket, n_processes: int
) -> None:
    """Keep so many processes alive until this one is asked to end."""
    context = multiprocessing.get_context("spawn")
    is_ending = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        is_ending.set()

    def start() -> SpawnProcess:
        arguments = (database_url, job, options, listener)
        process = context.Process(target=_serve_in_child, args=arguments, daemon=True)
        process.start()
        return process

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    running: list[SpawnProcess] = []
    try:
        running = [start() for _ in range(n_processes)]
        while not is_ending.is_set():
            wait([process.sentinel for process in running], timeout=0.5)
            ended = [process for process in running if not process.is_alive()]
            if ended and not is_ending.wait(1.0):
                running = [process for process in running if process not in ended]
                running += [start() for _ in ended]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join(_PATIENCE_S + 2)
            process.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve_in_child(
    database_url: str, job: str, options: WebOptions, listener: socket.socket
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with Database.open(database_url, pool_size=pool_size(options)) as database:
        found = database.look(lambda connection: find_job(connection, job))
        _serve_requests(database, found, options, listener)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
