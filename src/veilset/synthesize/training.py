# SPDX-License-Identifier: Apache-2.0
"""One training from its first step, or its checkpoint, to its last; it knows nothing of faces.

A ``Learner`` says what a step is; ``Trainer`` counts, checks, logs, and keeps checkpoints such
that an interrupted training ends, on the CPU, in the same weights and the same log bit for bit.
On a GPU the backward pass of bilinear upsampling has no repeatable form in PyTorch: runs there
come close to each other, not to the bit.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veilset.changes import changed_values, told
from veilset.errors import ResumeMismatchError, RunError
from veilset.files import finite, read_object, write_atomically
from veilset.learning import checkpoint
from veilset.learning.random_state import (
    RandomState,
    read_random_state,
    restore_random_state,
    seed_all,
)
from veilset.locks import LOCK, lock_folder
from veilset.runs import json_bytes, make_folder, refuse_foreign_files
from veilset.seeds import derive

LOG = "log.jsonl"
STARTED = "started.json"

# Reading a number back makes the CPU wait for a GPU, which then has nothing to do.
CHECK_EVERY_STEPS_GPU = 50


class Learner(Protocol):
    """What is trained, and what a step of it is. A batch is a pure function of its place."""

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """By name; on their device, in training mode outside of ``validate``."""

    @property
    def optimizers(self) -> Mapping[str, torch.optim.Adam]:
        """By the names of the networks whose parameters they move, all of them."""

    @property
    def n_batches(self) -> int:
        """How many steps there are in an epoch."""

    def step(self, epoch: int, batch: int) -> Mapping[str, Tensor]:
        """Do one step; give its losses: scalars without graph."""

    def validate(self, epoch: int) -> Mapping[str, float]:
        """Measure after an epoch, from 0; changes no weight and draws no random number."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        name: Of the training.
        step: Steps that are done, of ``n_steps``.
        n_steps: Of the whole training.
        epoch: Of the last step, from 1.
        losses: Means since the line of the log before, when they were last read.
    """

    name: str
    step: int
    n_steps: int
    epoch: int
    losses: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Habits:
    """What does not change the result of a training.

    Attributes:
        checkpoint_every_s: Seconds between two checkpoints; one is written after every epoch too.
        should_stop: Asked after every step; once it says so, the training ends, with a checkpoint.
        on_progress: Told as often as losses are read: after every step on the CPU, after 50 on a
            GPU.
        listening: Gives a block for the steps: a wish to stop need be heard there only, since
            nothing asks ``should_stop`` before and after.
    """

    checkpoint_every_s: float = 600.0
    should_stop: Callable[[], bool] = lambda: False
    on_progress: Callable[[TrainingProgress], None] = lambda _: None
    listening: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training is asked for besides its learner.

    Attributes:
        name: For messages.
        n_epochs: How often everything is gone through.
        seed: Of the global generators.
        log_every: Steps that a line of the log sums up.
        remedy: What to do when numbers are not finite any more: the end of a message.
    """

    name: str
    n_epochs: int
    seed: int
    log_every: int = 50
    remedy: str = "Lower the learning rate (--rate), and train into another folder."


@contextmanager
def open_folder(folder: Path, facts: Mapping[str, Any]) -> Iterator[None]:
    """Hold the folder of a training for this process; refuse it if it is of another training.

    Args:
        folder: Made if missing.
        facts: Whatever decides the result, as JSON values; kept in ``started.json``.

    Raises:
        ResumeMismatchError: If it was begun with other facts; the message names the first.
        RunError: If another process works on it, it holds something else, or it cannot be written.
    """
    make_folder(folder)
    lock = lock_folder(folder)
    try:
        path, now = folder / STARTED, json.loads(json_bytes(facts))
        if path.exists():
            before = read_object(path, "Restore it, or train into another folder.")
            for change in changed_values(before, now):
                raise ResumeMismatchError(
                    f"Cannot go on with the training in {folder}: {told(*change)}. "
                    "Restore it, or train into another folder."
                )
        else:
            refuse_foreign_files(folder, {LOCK})
            write_atomically(path, json_bytes(now))
        yield
    finally:
        os.close(lock)


def epoch_rows(n: int, batch: int, *, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Give the places in each batch of an epoch: every one once, in an order of its own.

    What is left over at the end joins no batch: batch normalisation cannot take a single picture,
    and the next epoch leaves out others. Fewer than ``batch`` are one batch.

    Example:
        >>> [sorted(len(rows) for rows in epoch_rows(7, size, seed=1, epoch=0)) for size in (3, 9)]
        [[3, 3], [7]]
    """
    order = np.random.default_rng(derive(seed, "order", epoch)).permutation(n).astype(np.int64)
    n_batches = max(1, n // batch)
    return [order[at * batch : (at + 1) * batch] for at in range(n_batches)]


class Trainer:
    """Trains, and goes on where it was interrupted."""

    def __init__(
        self, learner: Learner, plan: Plan, folder: Path, habits: Habits | None = None
    ) -> None:
        """Take a learner with its first weights, and go back to the checkpoint, if any.

        Raises:
            DamagedCheckpointError: If the checkpoint or the log is not what was written.
        """
        self.learner, self.plan, self.folder = learner, plan, folder
        self._habits = habits or Habits()
        self._device = next(iter(learner.networks["main"].parameters())).device
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._random: RandomState | None = None
        self._seconds_before, self._opened_at = 0.0, time.monotonic()
        self.n_done, self.n_sessions = 0, 1
        if state := checkpoint.load(folder):
            self._restore(state)
        self._lines = _read_log(folder, self.n_done)
        _write_log(folder, self._lines)
        self._written_at = time.monotonic()

    @property
    def n_steps(self) -> int:
        """Steps of the whole training."""
        return self.plan.n_epochs * self.learner.n_batches

    def train(self) -> bool:
        """Do the steps that are left.

        Returns:
            Whether the last one is done; otherwise the training was stopped, with a checkpoint.

        Raises:
            RunError: If a loss or a weight is not finite any more, or nothing can be written.
        """
        if self._random:
            restore_random_state(self._random, self._device)
        else:
            seed_all(self.plan.seed)
        with self._habits.listening():
            return self._go_on()

    def _go_on(self) -> bool:
        while self.n_done < self.n_steps:
            epoch, batch = divmod(self.n_done, self.learner.n_batches)
            self._add(self.learner.step(epoch, batch))
            self.n_done += 1
            is_epoch_end = self.n_done % self.learner.n_batches == 0
            every = 1 if self._device.type == "cpu" else CHECK_EVERY_STEPS_GPU
            is_line = is_epoch_end or self.n_done % self.plan.log_every == 0
            if is_line or self.n_done % every == 0:
                losses = self._check_losses()
                self._tell(losses)
                if is_line:
                    self._log({"losses": losses})
                    self._sums, self._counts = {}, {}
            if is_epoch_end:
                self._check_weights()
                self._log({"validation": dict(self.learner.validate(epoch))})
            is_late = time.monotonic() - self._written_at >= self._habits.checkpoint_every_s
            is_stopped = self._habits.should_stop() and self.n_done < self.n_steps
            if is_epoch_end or is_late or is_stopped:
                self._save()
            if is_stopped:
                return False
        return True

    def _add(self, losses: Mapping[str, Tensor]) -> None:
        for name, loss in losses.items():
            # Apple's GPUs have no 64-bit floats.
            wide = loss.detach() if loss.device.type == "mps" else loss.detach().double()
            self._sums[name] = self._sums[name] + wide if name in self._sums else wide
            self._counts[name] = self._counts.get(name, 0) + 1

    def _check_losses(self) -> dict[str, float]:
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise self._bad(f"The loss {name!r} of {self.plan.name} became {mean}")
        return means

    def _check_weights(self) -> None:
        # After a last step with a finite loss they may still be infinite.
        for network in self.learner.networks.values():
            for tensor in network.state_dict().values():
                if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                    raise self._bad(f"The weights of {self.plan.name} are not finite")

    def _bad(self, what: str) -> RunError:
        lr = self.learner.optimizers["main"].param_groups[0]["lr"]
        epoch = (self.n_done - 1) // self.learner.n_batches + 1
        return RunError(
            f"{what} by step {self.n_done} (epoch {epoch}, lr {lr:g}). {self.plan.remedy}"
        )

    def _tell(self, losses: Mapping[str, float]) -> None:
        epoch = (self.n_done - 1) // self.learner.n_batches + 1
        self._habits.on_progress(
            TrainingProgress(self.plan.name, self.n_done, self.n_steps, epoch, losses)
        )

    def _log(self, what: Mapping[str, Any]) -> None:
        epoch = (self.n_done - 1) // self.learner.n_batches + 1
        line = {"step": self.n_done, "epoch": epoch, **what}
        self._lines.append(json.dumps(finite(line), sort_keys=True, allow_nan=False))
        _write_log(self.folder, self._lines)

    def _save(self) -> None:
        self._check_weights()
        tensors: dict[str, Tensor] = {}
        for name, network in self.learner.networks.items():
            for key, value in network.state_dict().items():
                tensors[f"model/{name}/{key}"] = value
        for name, optimizer in self.learner.optimizers.items():
            for key, parameter in self.learner.networks[name].named_parameters():
                for moment, value in optimizer.state.get(parameter, {}).items():
                    tensors[f"adam/{name}/{key}/{moment}"] = value
        random = read_random_state(self._device)
        tensors |= {f"rng/{name}": value for name, value in random.tensors.items()}
        tensors |= {f"sums/{name}": value for name, value in self._sums.items()}
        tensors |= {f"counts/{name}": torch.tensor(n) for name, n in self._counts.items()}
        epoch, batch = divmod(self.n_done, self.learner.n_batches)
        seconds = self._seconds_before + time.monotonic() - self._opened_at
        checkpoint.save(
            self.folder,
            checkpoint.State(
                self.n_done, epoch, batch, tensors, random.python, random.numpy, None,
                seconds, self.n_sessions,
            ),
        )  # fmt: skip
        self._written_at = time.monotonic()

    def _restore(self, state: checkpoint.State) -> None:
        try:
            for name, network in self.learner.networks.items():
                network.load_state_dict(state.part(f"model/{name}"))
            for name, optimizer in self.learner.optimizers.items():
                self._restore_adam(name, optimizer, state.part(f"adam/{name}"))
            self._counts = {name: int(n) for name, n in state.part("counts").items()}
        except (RuntimeError, KeyError) as error:
            raise checkpoint.damaged(self.folder, f"it is of another network: {error}") from error
        sums = state.part("sums")
        self._sums = {name: value.to(self._device) for name, value in sums.items()}
        self._random = RandomState(state.part("rng"), state.python_rng, state.numpy_rng)
        self.n_done, self.n_sessions = state.step, state.sessions + 1
        self._seconds_before = state.seconds

    def _restore_adam(
        self, name: str, optimizer: torch.optim.Adam, found: Mapping[str, Tensor]
    ) -> None:
        parameters = dict(self.learner.networks[name].named_parameters())
        for place, value in found.items():
            key, moment = place.split("/")
            # Adam counts its steps on the CPU, wherever the weights are.
            kept = value if moment == "step" else value.to(self._device)
            optimizer.state[parameters[key]][moment] = kept


def _read_log(folder: Path, n_done: int) -> list[str]:
    """Give the lines up to a step: what came after the checkpoint will come again."""
    try:
        lines = (folder / LOG).read_text("utf-8").splitlines()
        return [line for line in lines if int(json.loads(line)["step"]) <= n_done]
    except FileNotFoundError as error:
        if n_done:
            raise checkpoint.damaged(folder, f"its {LOG} is missing") from error
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise checkpoint.damaged(folder, f"its {LOG} cannot be read") from error


def _write_log(folder: Path, lines: list[str]) -> None:
    write_atomically(folder / LOG, "".join(f"{line}\n" for line in lines).encode())
