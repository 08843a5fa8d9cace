# SPDX-License-Identifier: Apache-2.0
"""What ``veilset synthesize`` says while a network is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veilset.cli.talk import ProgressLine

if TYPE_CHECKING:
    from veilset.synthesize.training import TrainingProgress

EXIT_STOPPED = 130


class TrainingLine(ProgressLine):
    """Draws how far a stage is, or a training."""

    def trained(self, progress: TrainingProgress) -> None:
        """Show how far a training is, if it is time to."""
        if self._is_time(is_last=progress.step == progress.n_steps):
            losses = ", ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
            self._show(
                f"{progress.name} {progress.step / progress.n_steps:4.0%}  step {progress.step:,} "
                f"of {progress.n_steps:,}, epoch {progress.epoch}: {losses}"
            )
