# SPDX-License-Identifier: Apache-2.0
"""The list of fine-tunings of a task, shared by as many processes as are started."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeAlias

import torch

from veilset.errors import ConfigError, DatasetError, ResumeMismatchError, VeilsetError
from veilset.learning.checkpoint import DamagedCheckpointError
from veilset.study import records
from veilset.study.claims import claim
from veilset.study.config import NONE, NetworkSpec, StudyConfig, TransferSpec
from veilset.study.layout import StudyPaths, run_name
from veilset.study.recipe import Recipe, make_recipe
from veilset.study.train import TrainingError
from veilset.study.transfer.finetune import Bench, choose_lr, finetune
from veilset.study.transfer.starts import find_start
from veilset.study.transfer.tasks import Task

_LOGGER = logging.getLogger(__name__)

TUNING = "tuning"
"""Folder of a task in which learning rates are chosen; no run has a name without full stops."""


class Ending(StrEnum):
    """What became of a fine-tuning."""

    DONE = "done"
    FAILED = "failed"
    """Its folder says why; tried again only once that is forgotten."""
    NOT_TRAINED = "not_trained"
    """The run of the study that it starts from is not finished."""
    ELSEWHERE = "elsewhere"
    """Another process works on it."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class TransferRun:
    """One fine-tuning.

    Attributes:
        run_id: Its name: that of the run of the study it starts from.
        network: Which network.
        source: Setting whose weights it starts from, or ``none``.
        seed: Seed of both runs.
    """

    run_id: str
    network: NetworkSpec
    source: str
    seed: int


Told: TypeAlias = Callable[[TransferRun, Ending, str], None]
"""Told what became of a run, and why if it failed."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """A task of a study, and with what it is worked on.

    Attributes:
        config: The study.
        spec: The task as the study asks for it.
        task: The same, opened.
        bench: Device and the like.
        told: Told what became of each run.
    """

    config: StudyConfig
    spec: TransferSpec
    task: Task
    bench: Bench
    told: Told = lambda _run, _outcome, _why: None

    @property
    def paths(self) -> StudyPaths:
        """The files of the study."""
        return StudyPaths(self.config.out)

    def recipe(self, network: NetworkSpec) -> Recipe:
        """Give how a network is fine-tuned, but for a learning rate that is yet to be chosen."""
        base = DETECTION if self.spec.task == "voc-detection" else {}
        own = {"batch_size": network.batch_size} if network.batch_size and not base else {}
        return make_recipe("finetune", {**base, **own, **self.spec.recipe})


# P:906-911: 10 epochs of batches of 2, a tenth of the rate in the last one.
DETECTION = {
    "epochs": 10, "batch_size": 2, "lr": 1.25e-3, "step_epochs": 9, "train_size": 600,
}  # fmt: skip


def planned_runs(
    config: StudyConfig, spec: TransferSpec, only: str = ""
) -> tuple[TransferRun, ...]:
    """Give the fine-tunings of a task: all of the first seed, then those of the next.

    Args:
        config: The study.
        spec: The task.
        only: Pattern of names of runs, as ``resnet*.original.*``; "" for all.

    Raises:
        ConfigError: If no run has a name like that.
    """
    runs = tuple(
        TransferRun(run_name(name, source, seed), config.network(name), source, seed)
        for seed in spec.seeds
        for name in spec.networks
        for source in spec.sources
    )
    chosen = tuple(run for run in runs if not only or fnmatchcase(run.run_id, only))
    if not chosen:
        raise ConfigError(
            f"No run of {spec.task} is named {only!r}; the first is {runs[0].run_id}."
        )
    return chosen


def work_through(place: Workplace, runs: Sequence[TransferRun]) -> Counter[Ending]:
    """Do what is left of a list that other processes may share.

    Args:
        place: The task and the tools.
        runs: The list.

    Returns:
        How many runs came to what. Runs that other processes have are ``elsewhere``.

    Raises:
        ConfigError: If a network cannot be fine-tuned as it is configured.
        ResumeMismatchError: If a run was begun with other settings or pictures.
    """
    counts: Counter[Ending] = Counter()
    left = list(runs)
    while left:
        later: list[TransferRun] = []
        for run, outcome, why in _passed(place, left):
            if outcome is Ending.ELSEWHERE:
                later.append(run)
                continue
            place.told(run, outcome, why)
            counts[outcome] += 1
            if outcome is Ending.STOPPED:
                return counts
        if len(later) == len(left):
            counts[Ending.ELSEWHERE] = len(later)
            break
        left = later
    return counts


def _passed(
    place: Workplace, runs: Sequence[TransferRun]
) -> Iterator[tuple[TransferRun, Ending, str]]:
    for run in runs:
        if place.bench.should_stop():
            return
        folder = place.paths.transfer(place.spec.task, run.run_id)
        claimed = claim(folder)
        if claimed is None:
            # Who has it may be looking whether it is still what is asked for, as this one would.
            is_done = records.read_run(folder) is not None
            yield run, Ending.DONE if is_done else Ending.ELSEWHERE, ""
            continue
        with claimed:
            outcome, why = _recorded(place, run)
        yield run, outcome, why


def _recorded(place: Workplace, run: TransferRun) -> tuple[Ending, str]:
    """Do a claimed run, and write down why it fails if it does."""
    folder = place.paths.transfer(place.spec.task, run.run_id)
    failure = records.read_failure(folder)
    if failure:
        return Ending.FAILED, failure.message
    try:
        ending = _done(place, run)
    except (ConfigError, ResumeMismatchError):
        # The same for every run that is like this one: for a person to mend first.
        raise
    except VeilsetError as error:
        failed = _failure(error)
    except Exception as error:
        _LOGGER.exception("%s/%s failed", place.task.name, run.run_id)
        failed = _breakdown(error, f"{place.task.name}/{run.run_id}", place.bench.device)
    else:
        return ending, ""
    records.write_failure(folder, failed)
    return Ending.FAILED, failed.message


def _failure(error: VeilsetError) -> records.Failure:
    if isinstance(error, TrainingError):
        return records.Failure(error.kind, error.step, str(error))
    if isinstance(error, DamagedCheckpointError):
        return records.Failure("damaged-checkpoint", None, str(error))
    kind = "data" if isinstance(error, DatasetError) else "error"
    return records.Failure(kind, None, str(error))


def _breakdown(error: Exception, name: str, device: str) -> records.Failure:
    first_line = str(error).partition("\n")[0]
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        message = (
            f"{name} does not fit into the memory of {device} ({first_line}). "
            "Lower batch_size under recipe of this task in study.yaml."
        )
        return records.Failure("memory", None, message)
    return records.Failure("error", None, f"{name}: {type(error).__name__}: {first_line}")


def _done(place: Workplace, run: TransferRun) -> Ending:
    start = find_start(place.paths, run.network, run.source, run.seed)
    if start is None:
        return Ending.NOT_TRAINED
    recipe = place.recipe(run.network)
    grid = place.spec.lr_grid
    if len(grid) == 1:
        recipe = replace(recipe, lr=grid[0])
    elif grid:
        rate = _tuned(place, run)
        if isinstance(rate, Ending):
            return rate
        recipe = replace(recipe, lr=rate)
    folder = place.paths.transfer(place.spec.task, run.run_id)
    is_finished = finetune(place.task, start, recipe, place.bench, folder)
    return Ending.DONE if is_finished else Ending.STOPPED


def _tuned(place: Workplace, run: TransferRun) -> float | Ending:
    """Give the learning rate of a network, chosen once for all settings and once for none.

    It is chosen with weights of the reference setting, so that no obfuscated one is favoured.
    """
    source = NONE if run.source == NONE else place.config.reference
    start = find_start(place.paths, run.network, source, place.spec.seeds[0])
    if start is None:
        return Ending.NOT_TRAINED
    folder = place.paths.transfer(place.spec.task, TUNING) / f"{run.network.name}.{source}"
    claimed = claim(folder)
    if claimed is None:
        return Ending.ELSEWHERE
    with claimed:
        rate = choose_lr(
            place.task, start, place.recipe(run.network), place.spec.lr_grid, place.bench, folder
        )
    return Ending.STOPPED if rate is None else rate
