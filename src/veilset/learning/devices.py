# SPDX-License-Identifier: Apache-2.0
"""The devices on which networks are trained, and the arithmetic that is asked of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric

from veilset.engine.threads import usable_cores
from veilset.errors import ConfigError, RunError

# Without it the sums of cuBLAS may change from call to call; read when CUDA starts.
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
CUBLAS_SAME = ":4096:8"


class Arithmetic(Protocol):
    """What a training asks of a device; a recipe of ``veilset.study`` says it, for one."""

    @property
    def precision(self) -> str:
        """``32-true``, ``16-mixed`` or ``bf16-mixed``."""

    @property
    def deterministic(self) -> bool:
        """Whether a training that is done again gives the same."""


def find_devices(wanted: str) -> tuple[str, ...]:
    """Give the names of the devices that a text asks for.

    Args:
        wanted: Names with commas between them, as ``cuda:0,cuda:1``; or ``auto`` for all NVIDIA
            GPUs, or Apple's, or else the CPU.

    Raises:
        ConfigError: If one is unknown or not there.

    Example:
        >>> find_devices("cpu")
        ('cpu',)
    """
    n_gpus = torch.cuda.device_count()
    if wanted == "auto":
        if n_gpus:
            return tuple(f"cuda:{index}" for index in range(n_gpus))
        return ("mps",) if torch.backends.mps.is_available() else ("cpu",)
    known = {"cpu", *(f"cuda:{index}" for index in range(n_gpus))}
    if torch.backends.mps.is_available():
        known.add("mps")
    names = tuple("cuda:0" if name == "cuda" else name for name in wanted.split(","))
    for name in names:
        if name not in known:
            raise ConfigError(
                f"There is no device {name!r} here. Choose: auto, {', '.join(sorted(known))}."
            )
    if len(set(names)) < len(names):
        raise ConfigError(
            f"--devices names {wanted!r}, one of them twice. Name each once; several processes "
            "on the CPU are asked for with --processes."
        )
    return names


def open_device(name: str, recipe: Arithmetic) -> Fabric:
    """Give what runs a network on one device in the precision of a recipe.

    Args:
        name: ``cpu``, ``mps``, ``cuda`` or ``cuda:1``.
        recipe: Its ``precision``.

    Raises:
        ConfigError: If the device has not that precision.
    """
    device = torch.device(name)
    if recipe.precision == "16-mixed" and device.type != "cuda":
        raise ConfigError(
            f"precision 16-mixed is for NVIDIA GPUs, and the device is {name}. Choose bf16-mixed "
            "or 32-true."
        )
    where: list[int] | int = [device.index or 0] if device.type == "cuda" else 1
    precision: Any = recipe.precision
    return Fabric(accelerator=device.type, devices=where, precision=precision)


@contextmanager
def arithmetic(recipe: Arithmetic, device: str, threads: int) -> Iterator[None]:
    """Compute as a recipe asks for while a block runs: threads, repeatable sums, no TF32.

    On the CPU an operation that cannot be repeated is refused. On a GPU it is told by a warning
    of PyTorch: the backward pass of AlexNet's and VGG's adaptive pooling has no other way there.

    Args:
        recipe: ``deterministic``, and whether its precision is float32.
        device: Name of the device.
        threads: Of PyTorch on the CPU; sums there depend on how many there are.

    Raises:
        RunError: If CUDA was started in this process in a way that cannot be repeated.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        if recipe.deterministic:
            _ask_cublas()
        # Else page-locked memory would be the first GPU's, and fill it from every process.
        torch.cuda.set_device(device)
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(recipe.deterministic, warn_only=kind != "cpu")
    torch.backends.cudnn.benchmark = not recipe.deterministic
    if kind == "cuda":
        _allow_tf32(recipe.precision != "32-true")
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        torch.backends.cudnn.benchmark = before[3]


def _ask_cublas() -> None:
    if os.environ.get(CUBLAS) in (CUBLAS_SAME, ":16:8"):
        return
    if torch.cuda.is_initialized():
        raise RunError(
            f"CUDA was started in this process without {CUBLAS}={CUBLAS_SAME}, so that a training "
            "could not be repeated. Set it in the environment, and run again."
        )
    os.environ[CUBLAS] = CUBLAS_SAME


def _allow_tf32(allowed: bool) -> None:
    # The older of two kinds of switches: torch.compile asks for these, and mixing is an error.
    torch.backends.cudnn.allow_tf32 = allowed
    torch.set_float32_matmul_precision("high" if allowed else "highest")


def describe(device: str) -> str:
    """Give a device in words, for records."""
    if torch.device(device).type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return device


def share_devices(wanted: str, processes: int) -> tuple[str, ...]:
    """Give the device of each process that is to be started.

    Args:
        wanted: As ``find_devices``.
        processes: How many there shall be on the CPU.

    Raises:
        ConfigError: If a device is not there, or the processes are too many for it.

    Example:
        >>> share_devices("cpu", 1)
        ('cpu',)
    """
    names = find_devices(wanted)
    if processes == 1:
        return names
    if names != ("cpu",):
        raise ConfigError(
            f"--processes is for the CPU, and the device is {', '.join(names)}: each has one "
            "process. Leave it out, or give --devices cpu."
        )
    n_cores = usable_cores()
    if not 1 <= processes <= n_cores:
        raise ConfigError(
            f"--processes {processes} is not in 1 to {n_cores}, the cores that may be used here."
        )
    return names * processes
