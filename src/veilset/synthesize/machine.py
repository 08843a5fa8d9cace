# SPDX-License-Identifier: Apache-2.0
"""What a network is trained or used on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from veilset.engine.threads import MOST_THREADS, usable_cores
from veilset.errors import ConfigError
from veilset.learning.devices import arithmetic, find_devices

FULL, MIXED = "32-true", "bf16-mixed"


@dataclass(frozen=True, slots=True)
class Machine:
    """A device and how it computes. The kind of device, the threads and the precision show.

    Attributes:
        device: ``cpu``, ``cuda:0`` and the like; ``auto`` for the first GPU, or else the CPU.
        threads: Of PyTorch on the CPU, None for all cores; sums depend on how many there are.
        precision: ``32-true``, or ``bf16-mixed`` for about twice the speed on a GPU.

    Raises:
        ConfigError: If there is no such device or precision, or cannot be so many threads.
    """

    device: str = "cpu"
    threads: int | None = None
    precision: str = FULL

    def __post_init__(self) -> None:
        if len(find_devices(self.device)) != 1 and self.device != "auto":
            raise ConfigError(
                f"A training runs on one device, and {self.device!r} is several. Give one of them."
            )
        if self.precision not in (FULL, MIXED):
            raise ConfigError(f"There is no precision {self.precision!r}: give {FULL} or {MIXED}.")
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise ConfigError(
                f"There cannot be {self.threads} threads. Give 1 to {MOST_THREADS}: as many as the "
                "machine has cores is sensible."
            )

    @property
    def name(self) -> str:
        """The device as PyTorch names it."""
        return find_devices(self.device)[0]

    @property
    def deterministic(self) -> bool:
        """Whether a training is repeated bit for bit: on the CPU only."""
        return self.name == "cpu"

    def facts(self) -> dict[str, object]:
        """Give what of it shows in a result."""
        kind = torch.device(self.name).type
        threads = (self.threads or usable_cores()) if kind == "cpu" else None
        return {"device": kind, "threads": threads, "precision": self.precision}

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute so while a block runs."""
        with arithmetic(self, self.name, self.threads or usable_cores()):
            yield

    def autocast(self) -> torch.autocast:
        """Give the block in which networks and losses are computed."""
        kind = torch.device(self.name).type
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=self.precision == MIXED)
