# SPDX-License-Identifier: Apache-2.0
"""The global random generators, which dropout and foreign networks draw from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RandomState:
    """Where the generators of PyTorch, Python and NumPy stand.

    Attributes:
        tensors: ``torch``, and on an NVIDIA GPU ``cuda``; uint8.
        python: State of ``random``, as JSON values.
        numpy: State of NumPy's global generator, as JSON values.
    """

    tensors: Mapping[str, Tensor]
    python: list[Any]
    numpy: Mapping[str, Any]


def seed_all(seed: int) -> None:
    """Seed every global generator, those of all devices too.

    Args:
        seed: From 0 to 2**63 - 1.
    """
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  the global one is what is meant


def read_random_state(device: torch.device) -> RandomState:
    """Give the state of the generators, that of the device among them."""
    tensors = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    version, numbers, spare = random.getstate()
    found: dict[str, Any] = dict(np.random.get_state(legacy=False))  # noqa: NPY002  as above
    found["state"] = found["state"] | {"key": found["state"]["key"].tolist()}
    return RandomState(tensors, [version, list(numbers), spare], found)


def restore_random_state(state: RandomState, device: torch.device) -> None:
    """Set the generators to a state that was read on the same kind of device."""
    torch.set_rng_state(state.tensors["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state.tensors["cuda"], device)
    version, numbers, spare = state.python
    random.setstate((version, tuple(numbers), spare))
    found = dict(state.numpy)
    found["state"] = found["state"] | {"key": np.array(found["state"]["key"], np.uint32)}
    np.random.set_state(found)  # noqa: NPY002  as above
