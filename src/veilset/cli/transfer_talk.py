# SPDX-License-Identifier: Apache-2.0
"""What ``veilset study transfer`` says while it works."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from veilset.cli.talk import ProgressLine, say

if TYPE_CHECKING:
    from veilset.study.train import TrainingProgress

_EVERY_S_TERMINAL, _EVERY_S_FILE = 0.5, 30.0


class TransferProgress(ProgressLine):
    """Draws how far the fine-tuning at work is, and says what became of each."""

    def __enter__(self) -> Self:
        return self

    def trained(self, progress: TrainingProgress) -> None:
        """Show a step, if it is time to."""
        now = time.monotonic()
        every = _EVERY_S_TERMINAL if self._is_terminal else _EVERY_S_FILE
        if self._quiet or now - self._shown_at < every:
            return
        self._shown_at = now
        loss = "" if progress.loss is None else f" loss {progress.loss:.2f}"
        self._show(
            f"transfer  {progress.name} epoch {progress.epoch}/{progress.n_epochs}{loss}, "
            f"{progress.images_per_s:,.0f} images/s, {progress.step / progress.n_steps:.0%}"
        )

    def ended(self, name: str, ending: str, why: str) -> None:
        """Say what became of a run; a failure also where no progress is shown."""
        if why:
            self.end_line()
            say(f"{name} failed: {why}")
        else:
            self.say_step(f"transfer  {name}: {ending.replace('_', ' ')}")
