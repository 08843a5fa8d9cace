# SPDX-License-Identifier: Apache-2.0
"""What a fine-tuning starts from: the weights of a finished run of the study, or random ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from veilset.errors import RunError
from veilset.files import sha256_file
from veilset.seeds import derive
from veilset.study.config import NONE, NetworkSpec
from veilset.study.layout import StudyPaths, run_name
from veilset.study.networks import build, load_weights, replace_head, without_auxiliary
from veilset.study.one_run import WEIGHTS
from veilset.study.records import read_run


@dataclass(frozen=True, slots=True)
class Start:
    """A network before it is fine-tuned.

    Attributes:
        network: Which network.
        source: Setting it was trained on, or ``none``.
        seed: Seed of that run, and of the fine-tuning.
        weights: Its weights; None for random ones.
        weights_sha256: Their digest; "" for random ones.
        n_classes: Number of outputs that they have.
        is_published: Whether they were published, and not trained by the study.
    """

    network: NetworkSpec
    source: str
    seed: int
    weights: Path | None = None
    weights_sha256: str = ""
    n_classes: int = 0
    is_published: bool = False

    def described(self) -> dict[str, Any]:
        """Give what decides the start, as JSON values."""
        return {
            "network": asdict(self.network),
            "from": self.source,
            "seed": self.seed,
            "from_weights_sha256": self.weights_sha256,
        }


def find_start(paths: StudyPaths, network: NetworkSpec, source: str, seed: int) -> Start | None:
    """Find the weights that a fine-tuning starts from; None if they are not trained yet.

    Raises:
        RunError: If the run is finished, but its weights are missing, damaged or other ones.
    """
    if source == NONE:
        return Start(network, source, seed)
    folder = paths.run(run_name(network.name, source, seed))
    record = read_run(folder)
    if record is None:
        return None
    path = folder / WEIGHTS
    if not path.is_file():
        raise RunError(
            f"{path} is missing, though the run is finished. Restore it, or delete {folder} and "
            "train it anew with 'veilset study run'."
        )
    if sha256_file(path) != record.weights_sha256:
        raise RunError(
            f"{path} does not hold the weights that the run ended with. Restore it, or delete "
            f"{folder} and train it anew."
        )
    n_classes = int(record.started["n_classes"])
    is_published = record.started.get("init") == "weights"
    return Start(network, source, seed, path, record.weights_sha256, n_classes, is_published)


def load_trained(module: nn.Module, start: Start) -> None:
    """Put the weights of a start into its network, those of outputs that it lacks left out.

    Raises:
        RunError: If they cannot be read, or are of another network.
    """
    try:
        load_weights(module, without_auxiliary(module, load_file(start.weights)))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise RunError(
            f"{start.weights} does not hold the weights of {start.network.name} ({error}). "
            "Restore it."
        ) from error


def with_new_head(start: Start, task: str, n_outputs: int) -> nn.Module:
    """Give the network of a start with a new last layer, on the CPU.

    The new layer is drawn from the seed and the task alone: it is the same whatever the
    network was trained on. The global random state is left as it was.

    Args:
        start: Where it starts from.
        task: Name of the task.
        n_outputs: Outputs of the new layer.
    """
    if start.weights is None:
        return build(start.network, n_outputs, seed=derive(start.seed, "transfer", task))
    module = build(start.network, start.n_classes, seed=start.seed, as_published=start.is_published)
    load_trained(module, start)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(start.seed, "head", task))
        return replace_head(module, n_outputs)
