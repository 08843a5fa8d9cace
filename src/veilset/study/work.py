# SPDX-License-Identifier: Apache-2.0
"""Going through the runs of a study, beside any number of processes that do the same.

Nobody hands out runs: each process claims the next one that nobody has, so that machines that
share a file system share the list. What a run gives does not depend on who works on it.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from veilset.errors import ConfigError, DatasetError, ResumeMismatchError, VeilsetError
from veilset.learning.checkpoint import DamagedCheckpointError
from veilset.study import records
from veilset.study.claims import claim
from veilset.study.kept import KeptFolder
from veilset.study.one_run import Workshop, is_complete, train_run
from veilset.study.plan import PlannedRun, Study
from veilset.study.records import Failure
from veilset.study.train import TrainingError, TrainingProgress

_LOGGER = logging.getLogger(__name__)

# Progress is for people: more of it would only fill the pipe between processes.
_TELL_EVERY_S = 0.5
KEPT = ".kept"


@dataclass(frozen=True, slots=True)
class Options:
    """How the list of runs is worked through; none of it changes a result.

    Attributes:
        only: Runs whose name matches, as ``resnet*.s1``; "" for all.
        keep: Whether decoded pictures are kept while the study runs.
        deadline: When no further step is begun, by ``time.monotonic``; None for never.
    """

    only: str = ""
    keep: bool = True
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Where the runs of a study stand.

    Attributes:
        planned: Runs that are asked for.
        done: Those that are finished, with their predictions.
        failed: Those that failed.
        left: The others: not begun, interrupted, or at work elsewhere.
    """

    planned: int
    done: int
    failed: int
    left: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a run.

    Attributes:
        kind: ``opened``, of the study; ``started``, ``progress``, ``finished``, ``stopped`` or
            ``failed``, of a run.
        run_id: The run, "" for the study.
        progress: How far its training is, for ``progress``.
        message: Why it failed, for ``failed``.
        worker: Process that tells it.
        counts: Where the runs stand, for ``opened``.
    """

    kind: str
    run_id: str
    progress: TrainingProgress | None = None
    message: str = ""
    worker: int = 0
    counts: Counts | None = None


def chosen_runs(study: Study, only: str) -> tuple[PlannedRun, ...]:
    """Give the runs whose names match a pattern.

    Raises:
        ConfigError: If none does.
    """
    runs = tuple(
        run for run in study.plan.runs if not only or fnmatch.fnmatchcase(run.run_id, only)
    )
    if not runs:
        names = ", ".join(run.run_id for run in study.plan.runs[:3])
        raise ConfigError(f"--only {only!r} matches no run. Their names are like {names}.")
    return runs


def count_runs(study: Study, only: str = "") -> Counts:
    """Count what became of the runs, as their folders tell."""
    runs = chosen_runs(study, only)
    done = sum(is_complete(study, run) for run in runs)
    failed = len(read_failures(study, only))
    return Counts(len(runs), done, failed, len(runs) - done - failed)


def find_open(study: Study, only: str = "") -> set[str]:
    """Give the names of the runs that are neither finished nor failed."""
    return {run.run_id for run in chosen_runs(study, only) if not _is_settled(study, run)}


def read_failures(study: Study, only: str = "") -> dict[str, str]:
    """Give why runs failed, by their names."""
    found = {}
    for run in chosen_runs(study, only):
        failure = records.read_failure(study.paths.run(run.run_id))
        if failure is not None and not is_complete(study, run):
            found[run.run_id] = failure.message
    return found


def forget_failures(study: Study, only: str = "") -> None:
    """Let runs that failed be tried once more; those that another process has are left alone."""
    for run in chosen_runs(study, only):
        folder = study.paths.run(run.run_id)
        if records.read_failure(folder) and (claimed := claim(folder)):
            with claimed:
                records.forget_failure(folder)


def work_through(
    study: Study,
    device: str,
    options: Options,
    on_event: Callable[[Event], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Counts:
    """Work on every run that nobody has, until none is left.

    Args:
        study: The study.
        device: Name of the device, as ``cpu`` or ``cuda:1``.
        options: Which runs.
        on_event: Told what happens.
        should_stop: Asked between steps; the run at work is left with a checkpoint.

    Returns:
        Where the runs stand afterwards.

    Raises:
        ConfigError: If a run cannot begin as it is configured.
        ResumeMismatchError: If a run was begun with other settings or images.
        RunError: If files cannot be locked or written.
    """

    def is_over() -> bool:
        late = options.deadline is not None and time.monotonic() >= options.deadline
        return late or should_stop()

    limit = study.config.cache_mb * 1_000_000 if options.keep else 0
    runs = chosen_runs(study, options.only)
    with KeptFolder(study.folder / KEPT, limit) as kept:
        told = _Teller(on_event)
        shop = Workshop(device, kept, is_over, told.tell)
        did_something = True
        # Once more after each pass: another process may have left a run that it had.
        while did_something and not is_over():
            did_something = False
            for run in runs:
                if not is_over() and _work_on(study, run, shop, on_event):
                    did_something = True
    return count_runs(study, options.only)


class _Teller:
    """Passes on progress, now and then."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._told_at = 0.0

    def tell(self, progress: TrainingProgress) -> None:
        now = time.monotonic()
        if now - self._told_at >= _TELL_EVERY_S or progress.step == progress.n_steps:
            self._told_at = now
            self._on_event(Event("progress", progress.name, progress, worker=os.getpid()))


def _work_on(
    study: Study, run: PlannedRun, shop: Workshop, on_event: Callable[[Event], None]
) -> bool:
    """Do what is left of a run; say whether there was something, and nobody else had it."""
    folder = study.paths.run(run.run_id)
    if _is_settled(study, run):
        return False
    claimed = claim(folder)
    if claimed is None:
        return False
    with claimed:
        # Read again: who had it may have finished it in between.
        if _is_settled(study, run):
            return False
        worker = os.getpid()
        on_event(Event("started", run.run_id, worker=worker))
        failure = _attempt(study, run, shop)
        if isinstance(failure, Failure):
            records.write_failure(folder, failure)
            on_event(Event("failed", run.run_id, message=failure.message, worker=worker))
        else:
            kind = "finished" if failure else "stopped"
            on_event(Event(kind, run.run_id, worker=worker))
    return True


def _is_settled(study: Study, run: PlannedRun) -> bool:
    folder = study.paths.run(run.run_id)
    return is_complete(study, run) or records.read_failure(folder) is not None


def _attempt(study: Study, run: PlannedRun, shop: Workshop) -> Failure | bool:
    """Work on a run; give why it failed, or whether it is finished."""
    try:
        return train_run(study, run, shop) is not None
    except (ConfigError, ResumeMismatchError):
        # The same for every run that is like this one: for a person to mend first.
        raise
    except TrainingError as error:
        return Failure(error.kind, error.step, str(error))
    except DamagedCheckpointError as error:
        return Failure("damaged-checkpoint", None, str(error))
    except DatasetError as error:
        return Failure("data", None, str(error))
    except VeilsetError as error:
        return Failure("error", None, str(error))
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        _LOGGER.exception("%s ran out of memory", run.run_id)
        message = (
            f"{run.run_id} does not fit into the memory of {shop.device} ({_first_line(error)}). "
            "Lower batch_size of this network in study.yaml, or use a larger device."
        )
        return Failure("memory", None, message)
    except Exception as error:
        _LOGGER.exception("%s failed", run.run_id)
        message = f"{run.run_id}: {type(error).__name__}: {_first_line(error)}"
        return Failure("error", None, message)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
