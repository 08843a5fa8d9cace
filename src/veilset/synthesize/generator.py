# SPDX-License-Identifier: Apache-2.0
"""The trained network of stage 2: landmarks, surroundings and attributes in, a face out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from veilset.errors import ConfigError
from veilset.networks.coarse_landmarks import Detail
from veilset.synthesize.attribute_planes import Embedding
from veilset.synthesize.celeba import Attributes
from veilset.synthesize.inputs import (
    AttributePlanes,
    FactorInputs,
    InputConfig,
    Pictures,
    as_pictures,
)
from veilset.synthesize.model_file import load_model, part, save_model
from veilset.synthesize.networks import ReconstructionNetwork

FORMAT = "veilset-face-generator/1"
_BATCH_OF_USE = 32


@dataclass(frozen=True, slots=True)
class Generator:
    """A trained generator.

    Attributes:
        network: In evaluation mode: what comes out for a face depends on its own factors only.
        inputs: Draws its channels.
        names: The K attributes.
        card: What it is and was trained on.
    """

    network: ReconstructionNetwork
    inputs: FactorInputs
    names: tuple[str, ...]
    card: Mapping[str, Any]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the faces."""
        return self.inputs.size_hw

    @classmethod
    def load(cls, path: Path, *, device: str = "cpu") -> Generator:
        """Read what ``train_reconstruction`` wrote: its folder, or the file of weights in it.

        Raises:
            ConfigError: If it is missing, damaged or something else.
        """
        tensors, card = load_model(path, FORMAT)
        names = tuple(card["attributes"])
        vectors = tensors.get("embedding")
        embedding = None if vectors is None else Embedding(names, vectors.numpy())
        height, width = card["size_hw"]
        config = input_config(card["inputs"])
        inputs = FactorInputs(config, len(names), (height, width), device, embedding)
        widths = card["encoder_widths"], card["decoder_widths"]
        with torch.random.fork_rng(devices=[]):
            network = ReconstructionNetwork(inputs.n_in, *widths)
        try:
            network.load_state_dict(part(tensors, "network"))
        except RuntimeError as error:
            raise ConfigError(f"{path} does not fit its own card. Train it again.") from error
        return cls(network.eval().to(device), inputs, names, card)

    def save(self, path: Path, embedding: Embedding | None) -> None:
        """Write weights, embedding and card as one safetensors file."""
        tensors: dict[str, Tensor] = {
            f"network/{name}": value for name, value in self.network.state_dict().items()
        }
        if embedding is not None:
            tensors["embedding"] = torch.from_numpy(embedding.vectors)
        save_model(path, tensors, self.card)

    def reconstruct(
        self, landmarks_xy: NDArray[np.float64], contexts: Pictures, present: Attributes
    ) -> Pictures:
        """Give faces.

        Args:
            landmarks_xy: ``(N, 68, 2)`` in pixels of the crop as it was resized.
            contexts: ``(N, H, W, 3)`` uint8, the faces filled; the clear ones are not asked for.
            present: ``(N, K)`` bool, the attributes that the faces shall have.

        Returns:
            ``(N, H, W, 3)`` uint8, the whole crops.

        Raises:
            ConfigError: If the shapes do not fit.
        """
        n = len(contexts)
        if contexts.shape[1:] != (*self.size_hw, 3) or present.shape != (n, len(self.names)):
            raise ConfigError(
                f"Contexts of shape {contexts.shape} and attributes of shape {present.shape} do "
                f"not fit a generator of faces of {self.size_hw[0]}x{self.size_hw[1]} and "
                f"{len(self.names)} attributes. Give (N, H, W, 3) and (N, K)."
            )
        found = [np.zeros((0, *contexts.shape[1:]), np.uint8)]
        with torch.inference_mode():
            for at in range(0, n, _BATCH_OF_USE):
                these = slice(at, at + _BATCH_OF_USE)
                factors = self.inputs.draw(landmarks_xy[these], contexts[these], present[these])
                found.append(as_pictures(self.network(factors)))
        return np.concatenate(found)


def input_config(values: Mapping[str, Any]) -> InputConfig:
    """Give an ``InputConfig`` back from its JSON values.

    Example:
        >>> input_config(asdict(InputConfig())) == InputConfig()
        True
    """
    return InputConfig(
        Detail(values["detail"]),
        int(values["cells"]),
        float(values["sigma_px"]),
        AttributePlanes(values["planes"]),
    )


def input_values(config: InputConfig) -> dict[str, Any]:
    """Give an ``InputConfig`` as JSON values."""
    return asdict(config)
