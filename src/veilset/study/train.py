# SPDX-License-Identifier: Apache-2.0
"""One training on one device, from its first step or its checkpoint to its last.

``Trainer`` knows nothing of studies: batches and a loss go in, weights come out, so that the
transfer tasks train with it too. Whatever decides the result is in the recipe, the batches and
the seed; how often it was interrupted is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from veilset.errors import RunError
from veilset.learning import checkpoint
from veilset.learning.random_state import (
    RandomState,
    read_random_state,
    restore_random_state,
    seed_all,
)
from veilset.study.curve import Epoch, read_curve, write_curve
from veilset.study.networks import load_weights
from veilset.study.optimizer import make_average, make_optimizer, set_lr
from veilset.study.recipe import Recipe, lr_at

Key: TypeAlias = tuple[int, int]
"""Epoch and batch of it, both from 0."""

# Reading a number back makes the CPU wait for a GPU, which then has nothing to do.
CHECK_EVERY_STEPS_GPU = 50


class Batches(Protocol):
    """The batches of all epochs: pure functions of their key."""

    @property
    def n_batches(self) -> int:
        """How many there are in an epoch."""

    def __getitem__(self, key: Key, /) -> Any:
        """Give one, as the step takes it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step says of a batch.

    Attributes:
        loss: Mean over the images of the batch; a scalar with its graph.
        n_images: How many images that were.
        n_correct: How many of them were classified as they should be; None where there are no
            classes.
    """

    loss: Tensor
    n_images: int
    n_correct: Tensor | None = None


Step: TypeAlias = Callable[[nn.Module, Any], Outcome]
"""Takes the network and a batch as the feed gave it, and moves it to the device itself."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        name: Name of the training.
        step: Steps that are done, of ``n_steps``.
        n_steps: Steps of the whole training.
        epoch: Epoch of the last step, from 1.
        n_epochs: Epochs of the whole training.
        loss: Mean of the running epoch when it was last read, in nats; None before.
        images_per_s: Speed of this session.
    """

    name: str
    step: int
    n_steps: int
    epoch: int
    n_epochs: int
    loss: float | None
    images_per_s: float


class TrainingError(RunError):
    """A training failed in a way that its record has to tell.

    Attributes:
        kind: Short code: ``nan-loss``.
        step: Step at which it happened, from 0.
    """

    def __init__(self, kind: str, step: int, message: str) -> None:
        super().__init__(message)
        self.kind, self.step = kind, step

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self.step, str(self))


@dataclass(frozen=True, slots=True)
class Tools:
    """What a training works with; none of it changes the result, except the kind of device.

    Attributes:
        fabric: Device and precision (``devices.open_device``).
        feed: Fetches the batches of some keys, in their order.
        checkpoint_every_s: Seconds between two checkpoints; one is written after every epoch too.
        should_stop: Asked after every step; once it says so, the training ends with a checkpoint.
        on_progress: Told after every step.
    """

    fabric: Fabric
    feed: Callable[[Batches, Iterable[Key]], Iterator[Any]]
    checkpoint_every_s: float = 600.0
    should_stop: Callable[[], bool] = lambda: False
    on_progress: Callable[[TrainingProgress], None] = lambda _: None


class Trainer:
    """Trains a network, and goes on where it was interrupted, with the same result bit for bit.

    Example of use::

        trainer = Trainer(module, batches, recipe, step, tools, folder=folder, seed=1, name="a")
        if trainer.train():
            save_tensors(folder / "weights.safetensors", trainer.weights())
    """

    def __init__(
        self,
        module: nn.Module,
        batches: Batches,
        recipe: Recipe,
        step: Step,
        tools: Tools,
        *,
        folder: Path,
        seed: int,
        name: str,
    ) -> None:
        """Move a network to the device, and go back to the checkpoint in ``folder``, if any.

        Args:
            module: The network with its initial weights; trained in place.
            batches: What it is trained on.
            recipe: Epochs, learning rate, optimizer, average.
            step: Gives the loss of a batch.
            tools: Device, feed and the like.
            folder: Holds the checkpoint and ``curve.parquet``; of this process alone.
            seed: Of the global generators, which dropout draws from.
            name: Of the training, in messages.

        Raises:
            DamagedCheckpointError: If the checkpoint is not what was written, or of another
                network.
        """
        self.module, self.batches, self.recipe = module, batches, recipe
        self.folder, self.seed, self.name = folder, seed, name
        self._step, self._tools = step, tools
        self._device = tools.fabric.device
        # In place, so that parameters of the optimizer are those of the network.
        module.to(self._device, memory_format=_memory_format(recipe))
        self._sgd = make_optimizer(module, recipe)
        called = torch.compile(module) if recipe.compile else module
        self._called, self._optimizer = tools.fabric.setup(called, self._sgd)
        self.average = make_average(module, recipe.ema) if recipe.ema else None
        self._epochs: list[Epoch] = []
        self._sums: dict[str, Tensor] = {}
        self._loss: float | None = None
        self._clear_sums()
        self.n_done, self.n_sessions = 0, 1
        self._n_images_now = 0
        self._seconds_before, self._opened_at = 0.0, time.monotonic()
        self._first_bad = torch.full((2,), -1.0, device=self._device)
        self._random: RandomState | None = None
        if state := checkpoint.load(folder):
            self._restore(state)
        self._written_at = time.monotonic()

    @property
    def n_steps(self) -> int:
        """Steps of the whole training."""
        return self.recipe.epochs * self.batches.n_batches

    @property
    def seconds(self) -> float:
        """Time spent on training, over all sessions."""
        return self._seconds_before + time.monotonic() - self._opened_at

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """What the finished epochs came to."""
        return tuple(self._epochs)

    def train(self) -> bool:
        """Do the steps that are left.

        Returns:
            Whether the last one is done; otherwise the training was stopped, with a checkpoint.

        Raises:
            TrainingError: If the loss or a weight is not finite any more.
            DatasetError: If a picture cannot be read.
            RunError: If a checkpoint cannot be written.
        """
        self.module.train()
        n_batches = self.batches.n_batches
        keys = (divmod(number, n_batches) for number in range(self.n_done, self.n_steps))
        is_random_set = False
        for batch in self._tools.feed(self.batches, keys):
            if not is_random_set:
                # Not earlier: loaders draw from the global generator when they start.
                self._set_random()
                is_random_set = True
            self._do(batch)
            is_stopped = self._tools.should_stop() and self.n_done < self.n_steps
            is_late = time.monotonic() - self._written_at >= self._tools.checkpoint_every_s
            is_epoch_end = self.n_done % n_batches == 0
            if is_epoch_end:
                self._end_epoch()
            if is_epoch_end or is_late or is_stopped:
                self._save()
            if is_stopped:
                return False
        return True

    def weights(self) -> dict[str, Tensor]:
        """Give what is evaluated: the average if the recipe has one, else the last weights."""
        module: nn.Module = self.average.module if self.average else self.module
        return dict(module.state_dict())

    def _do(self, batch: Any) -> None:
        number = self.n_done
        lr = lr_at(self.recipe, number, self.batches.n_batches)
        set_lr(self._sgd, lr)
        outcome = self._step(self._called, batch)
        self._tools.fabric.backward(outcome.loss)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update_parameters(self.module)
        self._add(outcome, number)
        self.n_done += 1
        every = 1 if self._device.type == "cpu" else CHECK_EVERY_STEPS_GPU
        if self.n_done % every == 0:
            self._check_loss()
        self._tell(outcome.n_images)

    def _add(self, outcome: Outcome, number: int) -> None:
        loss = outcome.loss.detach()
        is_first_bad = ~loss.isfinite() & (self._first_bad[0] < 0)
        here = torch.stack([torch.full_like(loss, number), loss]).to(self._first_bad.dtype)
        self._first_bad = torch.where(is_first_bad, here, self._first_bad)
        self._sums["loss"] += loss.to(self._sums["loss"].dtype) * outcome.n_images
        self._sums["images"] += outcome.n_images
        if outcome.n_correct is not None:
            # Not where there are no classes: a share of 0 would be a claim.
            self._sums["correct"] = self._sums.get("correct", 0) + outcome.n_correct.detach()

    def _check_loss(self) -> None:
        """Read from the device whether the losses up to here are finite, and their mean."""
        number, loss = self._first_bad.tolist()
        if number >= 0:
            raise self._bad(int(number), f"loss of {self.name} became {loss}")
        n_images = int(self._sums["images"])
        self._loss = float(self._sums["loss"]) / n_images if n_images else self._loss

    def _check_weights(self) -> None:
        # After a last step with a finite loss they may still be infinite.
        for tensor in self.weights().values():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise self._bad(self.n_done - 1, f"weights of {self.name} are not finite")

    def _bad(self, number: int, what: str) -> TrainingError:
        n_batches = self.batches.n_batches
        lr = lr_at(self.recipe, number, n_batches)
        where = f"at step {number + 1} (epoch {number // n_batches + 1}, lr {lr:g})"
        return TrainingError(
            "nan-loss",
            number,
            f"The {what} {where}. Lower lr of this network in study.yaml (0.01 is the paper's for "
            f"VGG), delete {self.folder}, and run again.",
        )

    def _end_epoch(self) -> None:
        self._check_loss()
        number = self.n_done // self.batches.n_batches - 1
        n_images = int(self._sums["images"])
        earlier = sum(epoch.seconds for epoch in self._epochs)
        self._epochs.append(
            Epoch(
                epoch=number,
                lr=lr_at(self.recipe, self.n_done - 1, self.batches.n_batches),
                loss=float(self._sums["loss"]) / n_images,
                top1=int(self._sums["correct"]) / n_images if "correct" in self._sums else None,
                images=n_images,
                seconds=self.seconds - earlier,
            )
        )
        # Before the checkpoint: killed between the two, this epoch ends, and is told, again.
        write_curve(self.folder, self._epochs)
        self._clear_sums()

    def _clear_sums(self) -> None:
        # Apple's GPUs have no 64-bit floats.
        kind = torch.float32 if self._device.type == "mps" else torch.float64
        self._loss = None
        self._sums = {
            "loss": torch.zeros((), dtype=kind, device=self._device),
            "images": torch.zeros((), dtype=torch.int64),
        }

    def _tell(self, n_images: int) -> None:
        self._n_images_now += n_images
        elapsed = time.monotonic() - self._opened_at
        self._tools.on_progress(
            TrainingProgress(
                name=self.name,
                step=self.n_done,
                n_steps=self.n_steps,
                epoch=(self.n_done - 1) // self.batches.n_batches + 1,
                n_epochs=self.recipe.epochs,
                loss=self._loss,
                images_per_s=self._n_images_now / elapsed,
            )
        )

    def _save(self) -> None:
        self._check_loss()
        self._check_weights()
        tensors = {f"model/{name}": value for name, value in self.module.state_dict().items()}
        if self.average:
            found = self.average.module.state_dict()
            tensors |= {f"ema/{name}": value for name, value in found.items()}
        for name, parameter in self.module.named_parameters():
            momentum = self._sgd.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum/{name}"] = momentum
        random = read_random_state(self._device)
        tensors |= {f"rng/{name}": value for name, value in random.tensors.items()}
        tensors |= {f"sums/{name}": value for name, value in self._sums.items()}
        epoch, batch = divmod(self.n_done, self.batches.n_batches)
        checkpoint.save(
            self.folder,
            checkpoint.State(
                self.n_done, epoch, batch, tensors, random.python, random.numpy,
                self._tools.fabric.strategy.precision.state_dict() or None,
                self.seconds, self.n_sessions,
            ),
        )  # fmt: skip
        self._written_at = time.monotonic()

    def _restore(self, state: checkpoint.State) -> None:
        try:
            load_weights(self.module, state.part("model"))
            if self.average:
                load_weights(self.average.module, state.part("ema"))
                # A count of 0 would make the next step a copy.
                self.average.n_averaged.fill_(state.step)
            self._restore_momentum(state.part("momentum"))
            if state.scaler:
                self._tools.fabric.strategy.precision.load_state_dict(dict(state.scaler))
            for name, value in state.part("sums").items():
                self._sums[name] = value if name == "images" else value.to(self._device)
        except (RuntimeError, KeyError) as error:
            raise checkpoint.damaged(self.folder, f"it is of another network: {error}") from error
        self._random = RandomState(state.part("rng"), state.python_rng, state.numpy_rng)
        self.n_done = state.step
        self.n_sessions = state.sessions + 1
        self._seconds_before = state.seconds
        self._epochs = read_curve(self.folder)[: state.epoch]

    def _restore_momentum(self, found: Mapping[str, Tensor]) -> None:
        parameters = dict(self.module.named_parameters())
        for name, value in found.items():
            # With the strides of the parameter, as the optimizer would have made it.
            momentum = torch.empty_like(parameters[name])
            self._sgd.state[parameters[name]]["momentum_buffer"] = momentum.copy_(value)

    def _set_random(self) -> None:
        if self._random:
            restore_random_state(self._random, self._device)
        else:
            seed_all(self.seed)


def _memory_format(recipe: Recipe) -> torch.memory_format:
    return torch.channels_last if recipe.channels_last else torch.contiguous_format
