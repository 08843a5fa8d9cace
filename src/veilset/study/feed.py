# SPDX-License-Identifier: Apache-2.0
"""Batches on their way from the processes that make them to the device."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from functools import cache
from multiprocessing.context import ForkServerContext
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from veilset.errors import RunError, VeilsetError
from veilset.study.batches import Batch
from veilset.study.recipe import Recipe

Key = TypeVar("Key", contravariant=True)
Item = TypeVar("Item", covariant=True)


class Batches(Protocol[Key, Item]):
    """Makes a batch from its key alone; can be pickled."""

    def __getitem__(self, key: Key) -> Item:
        """Make a batch."""


def feed(
    batches: Batches[Key, Item], keys: Iterable[Key], *, workers: int = 0, pin: bool = False
) -> Iterator[Item]:
    """Go through batches in the order of their keys, while others are made ahead.

    A process makes a whole batch, which is handed over in shared memory. Keys may run over
    any number of epochs: nothing starts anew between them.

    Args:
        batches: Makes a batch from a key.
        keys: What is asked for; workers run ahead of it, never out of order.
        workers: Processes that make batches; 0 makes each when it is asked for. Never changes
            what comes.
        pin: Whether batches come in page-locked memory, for a GPU; they need a method
            ``pin_memory`` then.

    Raises:
        VeilsetError: What making a batch raised, with its own text, at its place in the order.
        RunError: If a process of the loader was ended from outside.
    """
    loader: Any = DataLoader(
        _Guarded(batches),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_leave_interrupts if workers else None,
        multiprocessing_context=_context() if workers else None,
    )
    items = iter(loader)
    try:
        while True:
            try:
                item = next(items)
            except StopIteration:
                return
            except RuntimeError as error:
                if not (workers and "worker" in str(error)):
                    raise
                raise RunError(
                    f"A process that loads pictures was ended from outside ({error}). Give the "
                    "study fewer workers, or the machine more memory or shared memory."
                ) from error
            if isinstance(item, VeilsetError):
                raise item
            yield item
    finally:
        # Ends the processes now, not when somebody lets go of an exception.
        del items


class _Guarded(Generic[Key, Item]):
    """Gives an error as a value: a loader would put a traceback into its text."""

    def __init__(self, batches: Batches[Key, Item]) -> None:
        self.batches = batches

    def __getitem__(self, key: Key) -> Item | VeilsetError:
        try:
            return self.batches[key]
        except VeilsetError as error:
            return error


def _context() -> ForkServerContext:
    # A copy of this process could inherit locks of threads that it does not have. These are
    # copies of one that has loaded PyTorch and nothing else, so that they start at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["veilset.study.batches"])
    return context


def _leave_interrupts(worker: int) -> None:
    # Ctrl-C reaches every process of a terminal: it is for the one that trains to stop these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def to_device(batch: Batch, device: torch.device, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Bring a batch to a device, its pixels as a network wants them.

    The arithmetic is that of ``ToTensor`` and ``Normalize``, in its order: equal to the last bit.

    Args:
        batch: As ``feed`` gives it.
        device: Where the network is.
        recipe: Mean and deviation of the colours, and how pixels lie in memory.

    Returns:
        Pixels, ``(B, 3, S, S)`` float32; labels, int64.
    """
    # Fetched without waiting where the memory is page-locked, else in the usual way.
    pixels = batch.pixels.to(device, non_blocking=True)
    labels = batch.labels.to(device, non_blocking=True)
    order = torch.channels_last if recipe.channels_last else torch.contiguous_format
    if device.type != "cpu":
        return _normalise(pixels.to(torch.float32, memory_format=order), recipe), labels
    values = torch.empty(pixels.shape, dtype=torch.float32, memory_format=order)
    # One picture after the other stays in the processor's cache.
    for row, picture in zip(values, pixels, strict=True):
        _normalise(row.copy_(picture), recipe)
    return values, labels


def _normalise(values: Tensor, recipe: Recipe) -> Tensor:
    # A divisor that is no tensor of the device would become a factor on a GPU: another last bit.
    values /= _constant((255.0,), values.device)
    values -= _constant(recipe.mean, values.device)
    values /= _constant(recipe.std, values.device)
    return values


# Made anew for each batch, they would make the host wait for the device.
@cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(-1, 1, 1)
