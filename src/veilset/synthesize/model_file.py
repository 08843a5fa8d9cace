# SPDX-License-Identifier: Apache-2.0
"""Weights as a safetensors file, with a card in it that says what they are. Nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from veilset.errors import ConfigError
from veilset.files import finite, write_atomically

WEIGHTS = "weights.safetensors"

# One key: the library writes several in an order that changes from run to run.
_KEY = "card"

Card = Mapping[str, Any]
"""JSON values; ``format`` says what the weights are of."""


def save_model(path: Path, tensors: Mapping[str, Tensor], card: Card) -> None:
    """Write weights and card; the same ones give the same bytes.

    Raises:
        RunError: If it cannot be written.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(finite(card), sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomically(path, save(plain, metadata={_KEY: text}))


def load_model(path: Path, format_name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read weights and card.

    Args:
        path: The file, or the folder of a training that is finished.
        format_name: What they have to be.

    Raises:
        ConfigError: If the file is missing, damaged or of something else.
    """
    path = path / WEIGHTS if path.is_dir() else path
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            about: Mapping[str, str] = file.metadata() or {}
            card: dict[str, Any] = json.loads(about.get(_KEY, "{}"))
            if card.get("format") != format_name:
                raise ConfigError(
                    f"{path} does not hold {format_name}, but {card.get('format', 'something')}. "
                    "Give the file that the training wrote."
                )
            # The file is no mapping.
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is missing. Finish the training first, by running it again."
        ) from error
    except (OSError, SafetensorError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is damaged ({type(error).__name__}). Train it again.") from error
    return tensors, card


def part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Give the tensors below a name, without it.

    Example:
        >>> part({"network/a": 1, "embedding": 2}, "network")
        {'a': 1}
    """
    prefix = f"{name}/"
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
