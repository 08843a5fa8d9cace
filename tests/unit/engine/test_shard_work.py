# SPDX-License-Identifier: Apache-2.0
"""Shards on threads: who waits lends the core, and the next shard begins before the last ends."""

from __future__ import annotations

import errno
import os
import runpy
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier, Event, Lock, current_thread

import pytest

from veilset import faults
from veilset.engine.local import LocalEngine
from veilset.engine.shard_work import Body, OpenShard, describe_failure, shard_worker
from veilset.engine.steps import Steps
from veilset.errors import RunError
from veilset.protocols import Places, Shard, ShardWork
from veilset.types import ImageRecord

TIMEOUT_S = 20


def shard(index: int, n_images: int) -> Shard:
    return Shard(index, tuple(ImageRecord(f"{index}/{at:04d}") for at in range(n_images)))


@dataclass
class Task:
    """Work that is made of functions."""

    workers: int
    treat: Callable[[ImageRecord, Steps], None]
    close: Callable[[Shard], None] = lambda shard: None
    closed: list[int] = field(default_factory=list)

    def places(self) -> Places:
        return Places(Path())

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        @contextmanager
        def opened(shard: Shard) -> Iterator[OpenShard[str]]:
            def treat(records: Sequence[ImageRecord], steps: Steps) -> list[str]:
                for record in records:
                    self.treat(record, steps)
                return [record.image_id for record in records]

            yield OpenShard(treat)
            self.close(shard)
            self.closed.append(shard.index)

        body = Body(opened, lambda row: {"n": 1}, lambda index, rows: ",".join(rows),
                    lambda row: False)  # fmt: skip
        with shard_worker(body, self.workers) as work:
            yield work

    def run(self, *shards: Shard, tick: Callable[[int, int], None] | None = None) -> list[str]:
        ticked = tick or (lambda n, failed: None)
        reports = LocalEngine().run(self, shards, tick=ticked)
        return [each.digest for each in sorted(reports, key=lambda report: report.index)]


def test_images_wait_for_storage_at_the_same_time_on_one_core() -> None:
    barrier = Barrier(4)

    def treat(record: ImageRecord, steps: Steps) -> None:
        with steps.waiting("read"):
            barrier.wait(TIMEOUT_S)

    assert len(Task(1, treat).run(shard(0, 8))) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_images_are_at_work_than_there_are_workers(workers: int) -> None:
    lock, at_work, most = Lock(), 0, 0

    def treat(record: ImageRecord, steps: Steps) -> None:
        nonlocal at_work, most
        with steps.waiting("read"):
            pass
        with lock:
            at_work += 1
            most = max(most, at_work)
        with steps("decode"):
            sum(range(20_000))
        with lock:
            at_work -= 1

    Task(workers, treat).run(shard(0, 100), shard(1, 100))
    assert most == workers


def test_rows_come_in_order_whoever_waits_longest() -> None:
    last = Event()

    def treat(record: ImageRecord, steps: Steps) -> None:
        with steps.waiting("read"):
            if record.image_id == "0/0003":
                last.set()
            elif record.image_id == "0/0000":
                assert last.wait(TIMEOUT_S)

    assert Task(1, treat).run(shard(0, 4)) == ["0/0000,0/0001,0/0002,0/0003"]


def test_the_next_shard_is_worked_on_while_the_last_is_written() -> None:
    next_began = Event()

    def treat(record: ImageRecord, steps: Steps) -> None:
        if record.image_id.startswith("1/"):
            next_began.set()

    def close(shard: Shard) -> None:
        assert next_began.wait(TIMEOUT_S)

    assert len(Task(1, treat, close).run(shard(0, 3), shard(1, 3))) == 2


def test_ticks_and_shards_are_taken_on_the_thread_of_the_caller() -> None:
    threads = set()

    def shards() -> Iterator[Shard]:
        for index in range(5):
            threads.add(current_thread())
            yield shard(index, 3)

    def tick(n_done: int, n_failed: int) -> None:
        threads.add(current_thread())

    task = Task(2, lambda record, steps: None)
    assert len(list(LocalEngine().run(task, shards(), tick=tick))) == 5
    assert threads == {current_thread()}


def test_the_first_failure_stops_the_shard_beside_it() -> None:
    begun = Event()
    seen: list[str] = []

    def treat(record: ImageRecord, steps: Steps) -> None:
        seen.append(record.image_id)
        if record.image_id.startswith("1/"):
            begun.set()
        if record.image_id == "0/0001":
            raise RunError("the disk is full")

    task = Task(1, treat)
    with pytest.raises(RunError, match="the disk is full"):
        task.run(shard(0, 2), shard(1, 5_000), shard(2, 1))
    assert task.closed == []
    assert len(seen) < 5_000
    assert "2/0000" not in seen


def test_who_wants_no_more_reports_stops_the_work() -> None:
    task = Task(1, lambda record, steps: None)
    reports = LocalEngine().run(
        task, (shard(i, 50) for i in range(1_000)), tick=lambda n, failed: None
    )
    next(reports)
    reports.close()  # type: ignore[attr-defined]  # of every engine, a generator
    assert len(task.closed) <= 4


def test_a_tick_that_fails_stops_the_work() -> None:
    def tick(n_done: int, n_failed: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Task(2, lambda record, steps: None).run(shard(0, 9), shard(1, 9), tick=tick)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM, errno.ESTALE])
def test_what_the_machine_lacks_is_not_written_down_as_a_failed_image(number: int) -> None:
    with pytest.raises(
        RunError, match=rf"a.jpg .*: {os.strerror(number)}\. .*it goes on from here"
    ):
        describe_failure("a.jpg", OSError(number, os.strerror(number)))
    assert "unexpected error" in describe_failure("a.jpg", OSError(errno.EACCES, "no"))


class ForeignError(Exception):
    """What a library makes of the system's error."""


def raised_over(context: Exception) -> Exception:
    """Give a foreign error that was raised while another was handled, as requests does."""
    try:
        try:
            raise context
        except Exception:
            raise ForeignError("https://user:secret@host")  # noqa: B904  as they do
    except ForeignError as error:
        return error


def raised_for_itself() -> Exception:
    error = ForeignError()
    try:
        raise error from error
    except ForeignError:
        return error


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (TimeoutError("timed out"), "TimeoutError"),
        (ConnectionError("https://user:secret@host"), "ConnectionError"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "Broken pipe"),
        (socket.gaierror(socket.EAI_NONAME, "Name not known"), "Name not known"),
        (raised_over(ConnectionRefusedError(errno.ECONNREFUSED, "Refused")), "Refused"),
        (raised_over(raised_over(TimeoutError())), "TimeoutError"),
    ],
)
def test_a_service_that_is_out_of_reach_stops_the_run(error: Exception, why: str) -> None:
    with pytest.raises(RunError, match=rf"a.jpg .*: {why}\. .*the service.*goes on") as stopped:
        describe_failure("a.jpg", error)
    assert "secret" not in str(stopped.value)


def test_an_error_of_the_image_may_have_any_other_behind_it() -> None:
    for error in (raised_over(ValueError()), raised_for_itself()):
        assert "(ForeignError)" in describe_failure("a.jpg", error)


def test_a_small_machine_is_not_always_short_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SC_PHYS_PAGES": 1 << 19, "SC_PAGE_SIZE": 1 << 12}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert runpy.run_path(faults.__file__)["_ROOM_FOR_AN_IMAGE"] == 1 << 30


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        # ONNX Runtime, OpenVINO and PyTorch, of which each has a way of its own.
        ForeignError("RUNTIME_EXCEPTION : Non-zero status code: std::bad_alloc"),
        RuntimeError("Check 'ptr' failed: Failed to allocate 127401984 bytes of memory"),
        RuntimeError("[CPU] GroupConvolution node with name '478/WithoutBiases' can't alloc"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_a_want_of_memory_is_told_from_a_file_that_asks_for_too_much(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"({type(error).__name__})" in describe_failure("a.jpg", error)
    # More than any machine has.
    monkeypatch.setattr(faults, "_ROOM_FOR_AN_IMAGE", 1 << 60)
    with pytest.raises(RunError, match=r"a.jpg .*not enough memory\. .*fewer --workers"):
        describe_failure("a.jpg", error)
    assert "(ValueError)" in describe_failure("a.jpg", ValueError("of the image"))
