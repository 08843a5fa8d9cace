# SPDX-License-Identifier: Apache-2.0
"""All tasks of a study: data sets are checked first, then networks are fine-tuned."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from veilset.errors import ConfigError
from veilset.study.config import StudyConfig, TransferSpec
from veilset.study.devices import find_devices
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
        device: Name of the device, or ``auto`` for the first there is.
        retry_failed: Whether runs that failed are tried once more.
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

        place = Workplace(config, spec, task, bench, options.retry_failed, told)
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
