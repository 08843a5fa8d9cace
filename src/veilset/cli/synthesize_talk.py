# SPDX-License-Identifier: Apache-2.0
"""What the trainings of ``veilset synthesize`` say while they work, and how they are stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from veilset.cli.talk import ProgressLine, say
from veilset.learning.stop_flag import StopFlag

if TYPE_CHECKING:
    from veilset.synthesize.training import Habits, TrainingProgress

EXIT_STOPPED = 130


class TrainingLine(ProgressLine):
    """Draws how far a stage is, or a training."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._first: tuple[str, int, float] = ("", 0, 0.0)
        self._seen = 0

    def trained(self, progress: TrainingProgress) -> None:
        """Show a step, if it is time to."""
        if self._first[0] != progress.name or progress.step <= self._seen:
            self._first = (progress.name, progress.step, time.monotonic())
        self._seen = progress.step
        if not self._is_time(is_last=progress.step == progress.n_steps):
            return
        losses = ", ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
        self._show(
            f"{progress.name} {progress.step / progress.n_steps:4.0%}  step {progress.step:,} of "
            f"{progress.n_steps:,}, epoch {progress.epoch}: {losses}{self._left(progress)}"
        )

    def _left(self, progress: TrainingProgress) -> str:
        """Say how long the rest takes at the speed until now, once there is one."""
        _, step, at = self._first
        if progress.step <= step:
            return ""
        each_s = (time.monotonic() - at) / (progress.step - step)
        minutes = round(each_s * (progress.n_steps - progress.step) / 60)
        return f", {minutes // 60}:{minutes % 60:02d} h left"


@contextmanager
def training(*, quiet: bool) -> Iterator[Habits]:
    """Give the habits of a training that shows its progress, and ends well on Ctrl-C."""
    with TrainingLine(quiet=quiet) as line:
        yield stoppable(line)


def stoppable(line: TrainingLine) -> Habits:
    """Give habits that show progress on a line, and hear Ctrl-C and SIGTERM among the steps only.

    Before and after there is no checkpoint to end with: a signal ends the process as ever.
    """
    from veilset.synthesize.training import Habits

    flag = StopFlag(signal.SIGINT, signal.SIGTERM)
    return Habits(
        should_stop=lambda: flag.is_set, on_progress=line.trained, listening=flag.listening
    )


def stopped() -> typer.Exit:
    """Say that a training was stopped; to be raised."""
    say("synthesize: stopped, with a checkpoint. Run the same command again to go on.")
    return typer.Exit(EXIT_STOPPED)
