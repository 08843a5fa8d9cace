# SPDX-License-Identifier: Apache-2.0
"""Trainings of a second, and what stops them: run as a program, it kills itself."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from veilset.synthesize.attribute_training import SMALL, ClassifierConfig
from veilset.synthesize.inputs import AttributePlanes, InputConfig
from veilset.synthesize.machine import Machine
from veilset.synthesize.reconstruction_training import (
    Loss,
    ReconstructionConfig,
    train_reconstruction,
)
from veilset.synthesize.training import Habits, TrainingProgress

MACHINE = Machine(threads=1)
CLASSIFIER = ClassifierConfig(backbone=SMALL, width=2, epochs=2, batch=8, log_every=5)
GENERATOR = ReconstructionConfig(
    encoder_widths=(4, 6), decoder_widths=(6, 4), epochs=2, batch=8, lr=1e-3, critic_width=2,
    critic_layers=2, log_every=5,
)  # fmt: skip
# What has most to be kept: two networks, two optimizers and an embedding.
FULL = replace(
    GENERATOR, loss=Loss.ADVERSARIAL, inputs=InputConfig(planes=AttributePlanes.WORD2VEC)
)


# Of two epochs with three steps each: within the second, and within a line of the log.
KILLED_AT = 5


def kill_at(progress: TrainingProgress) -> None:
    """End the process; told before the checkpoint of its own step, which will be done again."""
    if progress.step == KILLED_AT:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    # A checkpoint after every step.
    habits = Habits(checkpoint_every_s=0.0, on_progress=kill_at)
    train_reconstruction(source, target, FULL, machine=MACHINE, habits=habits)
