# SPDX-License-Identifier: Apache-2.0
"""Train the generator of faces on one GPU, as ``veilset synthesize train`` does, and time it.

    python benchmarks/synthesize_gpu.py PHOTOS ANNOTATIONS OUT [--identities FILE] [--epochs 200]
                                        [--batch 32] [--precision bf16-mixed] [--json FILE]

Prints faces a second, minutes, and what the generator is worth on people that it did not learn
from. The folder OUT is private: it shows clear faces. ``--device cpu`` tries the program without
a GPU; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from veilset.learning.devices import describe
from veilset.synthesize.generating import GeneratorConfig, train_generator
from veilset.synthesize.inpainting_training import InpaintingConfig
from veilset.synthesize.machine import Machine
from veilset.synthesize.training import Habits, TrainingProgress
from veilset.synthesize.viewing import ViewConfig


class Clock:
    """Times the steps after the first ones, in which kernels are chosen."""

    def __init__(self, batch: int, warm: int = 20) -> None:
        self._batch, self._warm = batch, warm
        self._first: tuple[int, float] | None = None
        self.faces_per_s = 0.0

    def told(self, progress: TrainingProgress) -> None:
        now = time.perf_counter()
        if self._first is None and progress.step >= self._warm:
            self._first = (progress.step, now)
        elif self._first is not None:
            step, then = self._first
            self.faces_per_s = (progress.step - step) * self._batch / (now - then)


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--identities", type=Path)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.device != "cpu" and not torch.cuda.is_available():
        sys.exit("No NVIDIA GPU answers here (torch.cuda.is_available()), so nothing was measured.")
    config = GeneratorConfig(ViewConfig(), InpaintingConfig(epochs=args.epochs, batch=args.batch))
    clock, began = Clock(args.batch), time.perf_counter()
    result = train_generator(
        args.photos, args.annotations, args.out, config,
        identities=args.identities,
        machine=Machine(device=args.device, precision=args.precision),
        habits=Habits(on_progress=clock.told),
    )  # fmt: skip
    if result is None:
        sys.exit("The training was stopped.")
    found = {
        "device": describe(args.device),
        "torch": torch.__version__,
        "faces_per_s": round(clock.faces_per_s, 1),
        "minutes": round((time.perf_counter() - began) / 60, 2),
        "epochs": args.epochs,
        "batch": args.batch,
        **result,
    }
    print(json.dumps(found, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
