# SPDX-License-Identifier: Apache-2.0
"""Processes of this machine that work through a list of runs, one for each device."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias

from veilset.errors import RunError, VeilsetError
from veilset.learning.stop_flag import StopFlag
from veilset.study.plan import Study
from veilset.study.work import Counts, Event, Options, count_runs, work_through

_LOOK_EVERY_S = 0.2

Job: TypeAlias = Callable[[str, Callable[[Any], None], Callable[[], bool]], object]
"""Works on one device until a list of runs is done: told its name, whom to tell what happens, and
what to ask whether to stop. Pickles, as does all that it tells."""


def work_locally(
    study: Study,
    devices: Sequence[str],
    options: Options,
    on_event: Callable[[Event], None] = lambda _: None,
) -> Counts:
    """Work through the runs of a study on some devices.

    Args:
        study: The study.
        devices, on_event: As ``do_on_devices``.
        options: Which runs, how long.

    Returns:
        Where the runs stand afterwards.

    Raises:
        KeyboardInterrupt: If the process was asked to end; every run at work has a checkpoint.
        VeilsetError: What stopped a process, as ``work_through``.
    """
    do_on_devices(_StudyJob(study, options), devices, on_event)
    return count_runs(study, options.only)


@dataclass(frozen=True, slots=True)
class _StudyJob:
    study: Study
    options: Options

    def __call__(
        self, device: str, on_event: Callable[[Event], None], should_stop: Callable[[], bool]
    ) -> None:
        work_through(self.study, device, self.options, on_event, should_stop)


def do_on_devices(job: Job, devices: Sequence[str], on_event: Callable[[Any], None]) -> None:
    """Do a job on some devices, each in a process of its own if there are several.

    Args:
        job: Done once for each device.
        devices: Their names; ``cpu`` as often as there shall be processes on it.
        on_event: Told what happens, in this process.

    Raises:
        KeyboardInterrupt: If the process was asked to end; the jobs have been, and have ended.
        VeilsetError: What stopped a process.
        RunError: If one was killed.
    """
    flag = StopFlag(signal.SIGINT, signal.SIGTERM)
    with flag.listening():
        if len(devices) == 1:
            job(devices[0], on_event, lambda: flag.is_set)
        else:
            _run_processes(job, devices, on_event, flag)
    if flag.is_set:
        raise KeyboardInterrupt


def _run_processes(
    job: Job, devices: Sequence[str], on_event: Callable[[Any], None], flag: StopFlag
) -> None:
    # A copy of this process could not use CUDA, and would inherit locks of its threads; a process
    # that has PyTorch and nothing else is copied instead, which takes no time.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    events: Any = context.Queue()
    workers: list[BaseProcess] = []
    problem: VeilsetError | None = None
    is_asked = False
    try:
        for device in devices:
            started = context.Process(target=_worker, args=(job, device, events))
            started.start()
            workers.append(started)
        while any(worker.is_alive() for worker in workers) or not events.empty():
            if (flag.is_set or problem) and not is_asked:
                is_asked = True
                _ask_to_stop(workers)
            try:
                event = events.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                continue
            if isinstance(event, VeilsetError):
                problem = problem or event
            else:
                on_event(event)
    finally:
        _ask_to_stop(workers)
        for worker in workers:
            worker.join()
        events.close()
    if problem:
        raise problem
    if flag.is_set:
        return
    if broken := [worker.exitcode for worker in workers if worker.exitcode]:
        raise RunError(
            f"{len(broken)} of {len(workers)} processes ended with status {broken[0]}; below 0 it "
            "is the number of the signal that killed it. Run the same command again to go on."
        )


def _ask_to_stop(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        if worker.is_alive():
            worker.terminate()


def _worker(job: Job, device: str, events: Any) -> None:
    # Ctrl-C reaches every process of a terminal; the parent hears it, and asks with SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    flag = StopFlag(signal.SIGTERM)
    parent = os.getppid()

    def should_stop() -> bool:
        # The parent here ends with the one that was started, which cannot ask once it is killed.
        return flag.is_set or os.getppid() != parent

    with flag.listening():
        try:
            job(device, events.put, should_stop)
        except VeilsetError as error:
            events.put(error)
