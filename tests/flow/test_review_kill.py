# SPDX-License-Identifier: Apache-2.0
"""kill -9 while answers are acknowledged: each of them is there afterwards."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.conftest import times
from tests.review_databases import *  # noqa: F403  fixtures, found by their names
from tests.unit.review.store.world import World, correct, make_world, recount
from veilset.review.database import tables
from veilset.review.database.connect import Database
from veilset.review.job import batches
from veilset.review.job.jobs import find_job
from veilset.review.values import drawing_to_json
from veilset.review.views import Person

N_KILLS = times(8, 20)
N_PEOPLE = 4

# Children are forked from a process that has imported everything already.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def work_until_killed(url: str, people: list[Person], owner: Person, pipe: Connection) -> None:
    """Do batches on several threads; tell each answer that was acknowledged, and when a batch
    was handed in."""
    with Database.open(url) as database:
        job = database.look(lambda conn: find_job(conn, None))
        world = World(database, job, owner)
        lock = threading.Lock()

        def tell(*what: object) -> None:
            with lock:
                pipe.send(what)

        def labour(person: Person) -> None:
            while True:
                work = world.run(batches.take_batch, person)
                if work.batch is None:
                    tell("idle")
                    return
                for task in work.batch.tasks:
                    nonce, drawing = f"{os.getpid()}-{task.task_id}", correct(task)
                    world.answer(person, work.batch, task, drawing, nonce=nonce)
                    tell("answer", task.task_id, nonce, drawing_to_json(drawing))
                world.submit(person, work.batch)
                tell("done", work.batch.batch_id)

        threads = [threading.Thread(target=labour, args=(person,)) for person in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def kill_once(
    url: str, people: list[Person], owner: Person, wait_s: float
) -> list[tuple[Any, ...]]:
    """Let people work, kill the process after the first sign of life and some time; give all
    that it had told."""
    ours, theirs = _context.Pipe(duplex=False)
    child = _context.Process(target=work_until_killed, args=(url, people, owner, theirs))
    child.start()
    theirs.close()
    told: list[tuple[Any, ...]] = []
    try:
        assert ours.poll(60), "the process never began"
        time.sleep(wait_s)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        while True:
            told.append(ours.recv())
    except EOFError:
        pass
    child.join()
    assert child.exitcode == -signal.SIGKILL
    return told


def test_acknowledged_answers_survive_kills(database_url: str, tmp_path: Path) -> None:
    with Database.open(database_url, create=True) as database:
        world = make_world(
            database, tmp_path, n=3_000, gold=0, batch_size=5, gold_per_batch=0, replicas=2
        )
        people = world.people(N_PEOPLE)
    dice = random.Random(20_261_121)
    told: list[tuple[Any, ...]] = []
    answers: dict[tuple[Any, ...], Any] = {}
    # On a busy machine less is said in the same time: then it is killed more often.
    for n in range(5 * N_KILLS):
        told += kill_once(database_url, people, world.owner, dice.uniform(0.0, 0.25))
        answers = {(each[1], each[2]): each[3] for each in told if each[0] == "answer"}
        if n + 1 >= N_KILLS and len(answers) > 10 * N_KILLS:
            break
    handed_in = {each[1] for each in told if each[0] == "done"}
    assert len(answers) > 10 * N_KILLS, "too little was said to show anything"
    with Database.open(database_url) as database:
        world = World(database, world.job, world.owner)
        with database.reading() as conn:
            columns = tables.answer.c
            rows = conn.execute(select(columns.task_id, columns.nonce, columns.drawing)).all()
            stored = {(row.task_id, row.nonce): row.drawing for row in rows}
            done = set(
                conn.scalars(select(tables.batch.c.id).where(tables.batch.c.state == "done"))
            )
        lost = {key for key, drawing in answers.items() if stored.get(key) != drawing}
        assert not lost
        assert len(rows) == len(stored)
        assert handed_in <= done
        assert all(json.loads(drawing) for drawing in stored.values())
        recount(world)


@pytest.mark.parametrize("pragma", [("synchronous", 2), ("journal_mode", "wal")])
def test_sqlite_puts_every_commit_on_the_disk(tmp_path: Path, pragma: tuple[str, object]) -> None:
    """A kill leaves the page cache: only the settings tell about a power cut."""
    name, wanted = pragma
    with Database.open(tmp_path / "review.sqlite", create=True) as database:
        for transaction in (database.writing, database.reading):
            with transaction() as conn:
                assert conn.exec_driver_sql(f"PRAGMA {name}").scalar() == wanted
