# SPDX-License-Identifier: Apache-2.0
"""All tasks of a study: data sets are checked first, then networks are fine-tuned."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from veilset.errors import ConfigError
from veilset.learning.devices import find_devices
from veilset.study import records
from veilset.study.claims import claim
from veilset.study.config import StudyConfig, TransferSpec
from veilset.study.layout import StudyPaths
from veilset.study.local_workers import do_on_devices
from veilset.study.train import TrainingProgress
from veilset.study.transfer.detect import check_backbones, open_detection_task
from veilset.study.transfer.finetune import Bench
from veilset.study.transfer.tasks import Task, open_picture_task
from veilset.study.transfer.work import Ending, TransferRun, Workplace, planned_runs, work_through


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """How tasks are worked through; only the kind of device is part of a result.

    Attributes:
        task: Name of the one that is wanted; "" for all.
        only: Pattern of names of runs; "" for all.
        device: For ``transfer``: name of the device, or ``auto`` for the first there is.
        retry_failed: For ``transfer_on_devices``: whether runs that failed are tried once more.
        deadline: When no further step is begun, by ``time.monotonic``; None for never.
        on_progress: Told between steps.
        on_ending: Told of each run by the name of its task and its own, what became of it, and
            why if it failed.
    """

    task: str = ""
    only: str = ""
    device: str = "auto"
    retry_failed: bool = False
    deadline: float | None = None
    on_progress: Callable[[TrainingProgress], None] = lambda _: None
    on_ending: Callable[[str, Ending, str], None] = lambda _name, _ending, _why: None


@dataclass(frozen=True, slots=True)
class TransferSummary:
    """What became of the runs.

    Attributes:
        folder: Holds a folder for each task.
        n_runs: How many were asked for, of all tasks together.
        counts: How many came to what, by task; those that nobody got to are missing.
    """

    folder: Path
    n_runs: int
    counts: dict[str, Counter[Ending]] = field(default_factory=dict)

    def total(self, ending: Ending) -> int:
        """Count the runs of all tasks that ended in a way."""
        return sum(counts[ending] for counts in self.counts.values())

    def totals(self) -> dict[str, int]:
        """Count the runs of all tasks as a command tells them."""
        ends = (Ending.DONE, Ending.FAILED, Ending.NOT_TRAINED)
        found = {str(each): self.total(each) for each in ends}
        return {"planned": self.n_runs, **found, "left": self.n_runs - sum(found.values())}

    @property
    def is_complete(self) -> bool:
        """Whether every run is done."""
        return self.total(Ending.DONE) == self.n_runs


_ORDER = tuple(Ending)
"""What is worth more comes first."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """What became of a run, on its way between processes."""

    task: str
    run_id: str
    ending: Ending
    why: str


@dataclass(frozen=True, slots=True)
class _Job:
    """The tasks on one device, as ``local_workers`` carries them to it."""

    config: StudyConfig
    task: str
    only: str
    deadline: float | None

    def __call__(
        self,
        device: str,
        on_event: Callable[[TrainingProgress | _Ended], None],
        should_stop: Callable[[], bool],
    ) -> None:
        def on_ending(name: str, ending: Ending, why: str) -> None:
            task, _, run_id = name.partition("/")
            on_event(_Ended(task, run_id, ending, why))

        options = TransferOptions(
            self.task, self.only, device,
            deadline=self.deadline, on_progress=on_event, on_ending=on_ending,
        )  # fmt: skip
        transfer(self.config, options, should_stop)


def transfer_on_devices(
    config: StudyConfig, options: TransferOptions, devices: Sequence[str]
) -> TransferSummary:
    """Do as ``transfer`` on some devices, each in a process of its own if there are several.

    Args:
        config: The study.
        options: Which runs; its device does not count.
        devices: As ``local_workers.do_on_devices``.

    Returns:
        What became of the runs, each counted once however many processes came across it.

    Raises:
        ConfigError, DatasetError, ResumeMismatchError: As ``transfer``.
        RunError: If a process was killed.
        KeyboardInterrupt: If the process was asked to end; every run at work has a checkpoint.
    """
    specs = _wanted(config, options.task)
    runs = {spec.task: planned_runs(config, spec, options.only) for spec in specs}
    if options.retry_failed:
        # Before all of them: one would retry what another has just found to fail.
        _forget_failures(config, runs)
    endings: dict[tuple[str, str], Ending] = {}

    def told(event: TrainingProgress | _Ended) -> None:
        if isinstance(event, TrainingProgress):
            options.on_progress(event)
            return
        key = event.task, event.run_id
        # Each process tells of each run; what one came to stop, another may have done.
        if key not in endings or _ORDER.index(event.ending) < _ORDER.index(endings[key]):
            endings[key] = event.ending
            options.on_ending(f"{event.task}/{event.run_id}", event.ending, event.why)

    job = _Job(config, options.task, options.only, options.deadline)
    do_on_devices(job, devices, told)
    summary = TransferSummary(config.out / "transfer", sum(map(len, runs.values())))
    for (task, _), ending in endings.items():
        summary.counts.setdefault(task, Counter())[ending] += 1
    return summary


def _forget_failures(config: StudyConfig, runs: Mapping[str, Sequence[TransferRun]]) -> None:
    for task, each in runs.items():
        for run in each:
            folder = StudyPaths(config.out).transfer(task, run.run_id)
            if records.read_failure(folder) and (claimed := claim(folder)):
                with claimed:
                    records.forget_failure(folder)


def transfer(
    config: StudyConfig, options: TransferOptions, should_stop: Callable[[], bool]
) -> TransferSummary:
    """Fine-tune the networks of a study for its tasks, and score them.

    Args:
        config: The study.
        options: Which runs, on what.
        should_stop: Asked after every step.

    Raises:
        ConfigError: If the study asks for no such task, or a value cannot be used.
        DatasetError: If the data set of a task is not whole; nothing was trained then.
        ResumeMismatchError: If a run was begun with other settings or pictures.
    """

    def is_over() -> bool:
        late = options.deadline is not None and time.monotonic() >= options.deadline
        return late or should_stop()

    specs = _wanted(config, options.task)
    bench = Bench(
        find_devices(options.device)[0],
        config.threads,
        config.workers,
        config.checkpoint_every_s,
        is_over,
        options.on_progress,
    )
    lists = [planned_runs(config, spec, options.only) for spec in specs]
    tasks = [_open(config, spec) for spec in specs]
    summary = TransferSummary(config.out / "transfer", sum(map(len, lists)))
    for spec, task, runs in zip(specs, tasks, lists, strict=True):

        def told(run: TransferRun, ending: Ending, why: str, task: str = spec.task) -> None:
            options.on_ending(f"{task}/{run.run_id}", ending, why)

        place = Workplace(config, spec, task, bench, told)
        summary.counts[spec.task] = work_through(place, runs)
        if is_over():
            break
    return summary


def _open(config: StudyConfig, spec: TransferSpec) -> Task:
    if spec.task != "voc-detection":
        return open_picture_task(spec)
    check_backbones([config.network(name) for name in spec.networks])
    return open_detection_task(spec)


def _wanted(config: StudyConfig, name: str) -> Sequence[TransferSpec]:
    specs = [spec for spec in config.transfer if name in ("", spec.task)]
    if not specs:
        asked = ", ".join(spec.task for spec in config.transfer)
        raise ConfigError(
            f"The study asks for no transfer{f' to {name!r}' if name else ''}. "
            + (f"It asks for: {asked}." if asked else "Add a task under 'transfer'.")
        )
    return specs
