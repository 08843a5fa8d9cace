# SPDX-License-Identifier: Apache-2.0
"""What ``veilset study run`` and ``veilset study transfer`` say while they work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from veilset.cli.talk import ProgressLine, say
from veilset.errors import ConfigError

if TYPE_CHECKING:
    from veilset.study.train import TrainingProgress
    from veilset.study.work import Event

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Give a length of time in seconds.

    Raises:
        ConfigError: If the text is none.

    Example:
        >>> [parse_duration(text) for text in ("90", "30m", "1.5h")]
        [90.0, 1800.0, 5400.0]
    """
    found = _DURATION.fullmatch(text)
    if not found:
        raise ConfigError(f"{text!r} is no length of time. Give one as 90s, 30m or 2h.")
    return float(found[1]) * _SECONDS[found[2]]


class _TrainingLine(ProgressLine):
    def _show_training(self, head: str, progress: TrainingProgress, tail: str) -> None:
        loss = "" if progress.loss is None else f" loss {progress.loss:.2f}"
        self._show(
            f"{head}{progress.name} epoch {progress.epoch}/{progress.n_epochs}{loss}, "
            f"{progress.images_per_s:,.0f} images/s{tail}"
        )


class StudyProgress(_TrainingLine):
    """Draws how far a study is, over all processes of this command."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._n_planned = self._n_done = self._n_open = 0
        self._n_finished_now = 0
        # Share of each run at work: where it stood when it was taken up, and where it stands.
        self._shares: dict[str, tuple[float, float]] = {}

    def told(self, event: Event) -> None:
        """Take in what happened, and show it if it is time to."""
        if event.counts:
            self._n_planned, self._n_done = event.counts.planned, event.counts.done
            self._n_open = event.counts.left
        if event.progress:
            share = event.progress.step / event.progress.n_steps
            first = self._shares.get(event.run_id, (share, share))[0]
            self._shares[event.run_id] = (first, share)
            if self._is_time():
                head = f"study     {self._n_done:,} of {self._n_planned:,} runs, "
                self._show_training(head, event.progress, self._left())
        if event.kind in ("finished", "failed", "stopped"):
            self._shares.pop(event.run_id, None)
        if event.kind == "finished":
            self._n_done += 1
            self._n_finished_now += 1
        elif event.kind == "failed":
            self._n_open -= 1
            self.say_step(f"{event.run_id} failed; the others go on")

    def _left(self) -> str:
        """Say how long the rest takes at the speed until now, once there is one."""
        n_now = self._n_finished_now + sum(last - first for first, last in self._shares.values())
        n_left = self._n_open - self._n_finished_now - sum(s[1] for s in self._shares.values())
        if n_now <= 0:
            return ""
        elapsed_s = self._shown_at - self._started
        minutes = round(elapsed_s * max(n_left, 0.0) / n_now / 60)
        return f", {minutes // 60}:{minutes % 60:02d} h left"


class TransferProgress(_TrainingLine):
    """Draws how far the fine-tuning at work is, and says what became of each."""

    def trained(self, progress: TrainingProgress) -> None:
        """Show a step, if it is time to."""
        if self._is_time():
            self._show_training("transfer  ", progress, f", {progress.step / progress.n_steps:.0%}")

    def ended(self, name: str, ending: str, why: str) -> None:
        """Say what became of a run; a failure also where no progress is shown."""
        if why:
            self.end_line()
            say(f"{name} failed: {why}")
        else:
            self.say_step(f"transfer  {name}: {ending.replace('_', ' ')}")
