# SPDX-License-Identifier: Apache-2.0
"""A generator that learns for a second, and what stops it: run as a program, it kills itself."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from veilset.synthesize.generating import GeneratorConfig, train_generator
from veilset.synthesize.inpainting_training import InpaintingConfig
from veilset.synthesize.machine import Machine
from veilset.synthesize.training import Habits, TrainingProgress
from veilset.synthesize.viewing import ViewConfig

MACHINE = Machine(threads=1)
VIEWS = ViewConfig(side_px=64, shares=(0.6, 0.2, 0.2))
TRAINING = InpaintingConfig(
    widths=(8, 8, 16), epochs=2, warm_up=0.5, batch=3, critic_width=4, log_every=2,
)  # fmt: skip
CONFIG = GeneratorConfig(VIEWS, TRAINING)

# Two epochs of two steps: the third is the first with critics.
KILLED_AT = 4


def train(source: Path, out: Path, **changes: Any) -> dict[str, Any] | None:
    """Train as the small settings have it, but for what is changed."""
    told: dict[str, Any] = {
        "config": CONFIG, "identities": source / "people.txt", "machine": MACHINE, "workers": 1,
    }  # fmt: skip
    return train_generator(source / "photos", source / "boxes", out, **told | changes)


def kill_at(progress: TrainingProgress) -> None:
    """End the process; told before the checkpoint of its own step, which will be done again."""
    if progress.step == KILLED_AT:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    train_generator(
        source / "photos", source / "boxes", target, CONFIG,
        identities=source / "people.txt", machine=MACHINE, workers=1,
        habits=Habits(checkpoint_every_s=0.0, on_progress=kill_at),
    )  # fmt: skip
