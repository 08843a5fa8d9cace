# SPDX-License-Identifier: Apache-2.0
"""Stage 1, learned: which attributes a face has, from the clear crop.

As in the report: binary cross entropy summed over the attributes, Adam, batches of 64, 15 epochs.
Besides ResNet-50 there is a small network that trains on a CPU. Pictures are mirrored at random;
all of CelebA's attributes stay true in a mirror.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veilset.errors import ConfigError
from veilset.files import read_object, write_atomically
from veilset.learning import checkpoint
from veilset.runs import json_bytes
from veilset.seeds import check_seed, derive
from veilset.synthesize.celeba import Attributes
from veilset.synthesize.faces_file import TARGETS, FacesFile
from veilset.synthesize.inputs import Pictures, as_planes
from veilset.synthesize.machine import Machine
from veilset.synthesize.measures import mean_accuracy, measure_attributes
from veilset.synthesize.model_file import WEIGHTS, load_model, save_model
from veilset.synthesize.networks import attribute_loss, resnet50_classifier, small_classifier
from veilset.synthesize.prepared import TEST, TRAIN, VAL
from veilset.synthesize.training import Habits, Plan, Trainer, epoch_rows, open_folder

FORMAT = "veilset-attribute-classifier/1"
RESULT = "result.json"
RESNET50, SMALL = "resnet50", "small"
_BATCH_OF_USE = 128
_ANEW = "Restore it, or train into another folder: without it the training begins anew."


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """How a classifier is built and trained.

    Attributes:
        backbone: ``resnet50``, the report's, or ``small``.
        width: Of the small one, as ``small_classifier``.
        epochs: Passes over the training faces.
        batch: Faces of a step.
        lr: Learning rate of Adam.
        is_mirrored: Whether each picture is mirrored half of the times.
        seed: Of the first weights, the order and the mirror.
        log_every: Steps that a line of the log sums up.
        data_licence: Licence of the photographs, for the card.

    Raises:
        ConfigError: If a value cannot be used.
    """

    backbone: str = RESNET50
    width: int = 16
    epochs: int = 15
    batch: int = 64
    lr: float = 1e-3
    is_mirrored: bool = True
    seed: int = 0
    log_every: int = 50
    data_licence: str = "not stated"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.backbone not in (RESNET50, SMALL):
            raise ConfigError(
                f"There is no backbone {self.backbone!r}. Choose {RESNET50} or {SMALL}."
            )
        if min(self.width, self.epochs, self.batch, self.log_every) < 1 or not self.lr > 0:
            raise ConfigError(
                "A classifier needs a width, epochs, a batch and lines of the log from 1 on, and a "
                "learning rate above 0."
            )

    def build(self, n_attributes: int) -> nn.Module:
        """Build the network, weights drawn from the global generator."""
        if self.backbone == RESNET50:
            return resnet50_classifier(n_attributes)
        return small_classifier(n_attributes, self.width)


@dataclass(frozen=True, slots=True)
class AttributeClassifier:
    """A trained classifier.

    Attributes:
        network: In evaluation mode, on ``device``.
        names: The K attributes.
        size_hw: Height and width of the crops that it takes.
        card: What it is and was trained on.
        device: As PyTorch names it.
    """

    network: nn.Module
    names: tuple[str, ...]
    size_hw: tuple[int, int]
    card: Mapping[str, Any]
    device: str = "cpu"

    @classmethod
    def load(cls, path: Path, *, device: str = "cpu") -> AttributeClassifier:
        """Read what ``train_attributes`` wrote: its folder, or the file of weights in it.

        Raises:
            ConfigError: If it is missing, damaged or something else.
        """
        tensors, card = load_model(path, FORMAT)
        names = tuple(card["attributes"])
        config = ClassifierConfig(**card["config"])
        with torch.random.fork_rng(devices=[]):
            network = config.build(len(names))
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise ConfigError(f"{path} does not fit its own card. Train it again.") from error
        height, width = card["size_hw"]
        return cls(network.eval().to(device), names, (height, width), card, device)

    def scores(self, crops: Pictures) -> NDArray[np.float64]:
        """Give the logits of some crops: above 0 the face is said to have the attribute.

        Args:
            crops: ``(N, H, W, 3)`` uint8, clear, cut as ``images.crops.cut`` does.

        Returns:
            ``(N, K)``.

        Raises:
            ConfigError: If they have another size.
        """
        if crops.ndim != 4 or crops.shape[1:] != (*self.size_hw, 3):
            raise ConfigError(
                f"Crops of shape {crops.shape} are not (N, {self.size_hw[0]}, {self.size_hw[1]}, "
                "3). Cut them to the size that the classifier learned on."
            )
        parts = (crops[at : at + _BATCH_OF_USE] for at in range(0, len(crops), _BATCH_OF_USE))
        found = (_logits(self.network, each, self.device) for each in parts)
        return np.concatenate([np.zeros((0, len(self.names))), *found])


def train_attributes(
    faces: Path,
    folder: Path,
    config: ClassifierConfig | None = None,
    *,
    machine: Machine | None = None,
    habits: Habits | None = None,
) -> dict[str, Any] | None:
    """Train a classifier, and measure it on the people of the test split.

    Run again, it goes on where it was stopped; finished, it gives the result that is there. The
    weights after the last epoch are kept; what validation says stands in ``log.jsonl``.

    Args:
        faces: Folder of prepared faces.
        folder: Folder of the training: ``weights.safetensors``, ``result.json``, the log.
        config: How.
        machine: On what; one CPU with all cores if left out.
        habits: What does not change the result.

    Returns:
        What ``result.json`` holds: the mean accuracy and, of each attribute, what
        ``measure_attributes`` gives; None if it was stopped.

    Raises:
        ConfigError, DatasetError, RunError: See ``veilset.errors``.
    """
    config, machine = config or ClassifierConfig(), machine or Machine()
    data = FacesFile.open(faces)
    facts = {
        "stage": "synthesize-attributes",
        "config": asdict(config),
        "faces": data.facts,
        "machine": machine.facts(),
    }
    with open_folder(folder, facts), machine.computing():
        if (folder / RESULT).exists():
            found = read_object(folder / RESULT, _ANEW, ("mean_accuracy", "mean_majority"))
            checkpoint.discard(folder)
            return found
        data.check_splits()
        learner = _ClassifierLearner(data, config, machine)
        plan = Plan("the attribute classifier", config.epochs, config.seed, config.log_every)
        if not Trainer(learner, plan, folder, habits).train():
            return None
        result = learner.measure(data.rows(TEST))
        card = {
            "format": FORMAT,
            "attributes": list(data.names),
            "size_hw": list(data.size_hw),
            "config": asdict(config),
            "faces": data.facts,
            "n": data.count(),
            "shares": learner.shares.round(6).tolist(),
            "data_licence": config.data_licence,
            "mean_accuracy": result["mean_accuracy"],
        }
        save_model(folder / WEIGHTS, learner.network.state_dict(), card)
        write_atomically(folder / RESULT, json_bytes(result))
        checkpoint.discard(folder)
        return result


class _ClassifierLearner:
    """Batches, steps and measures of one training."""

    def __init__(self, data: FacesFile, config: ClassifierConfig, machine: Machine) -> None:
        self._data, self._config, self._machine = data, config, machine
        self._train = data.rows(TRAIN)
        self.shares: NDArray[np.float64] = data.present[self._train].mean(axis=0)
        self.common: NDArray[np.bool_] = self.shares > 0.5
        # The caller's random numbers go on as if nothing had been drawn here.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(config.seed, "weights"))
            self.network = config.build(len(data.names))
        self.network.to(machine.name)
        self.networks = {"main": self.network}
        self.optimizers = {"main": torch.optim.Adam(self.network.parameters(), lr=config.lr)}
        self.n_batches = max(1, len(self._train) // config.batch)

    def step(self, epoch: int, batch: int) -> Mapping[str, Tensor]:
        config = self._config
        order = epoch_rows(len(self._train), config.batch, seed=config.seed, epoch=epoch)
        rows = self._train[order[batch]]
        pictures = self._data.pictures[TARGETS].take(rows.tolist())
        if config.is_mirrored:
            rng = np.random.default_rng(derive(config.seed, "mirror", epoch, batch))
            is_turned = rng.random(len(rows)) < 0.5
            pictures = np.where(is_turned[:, None, None, None], pictures[:, :, ::-1], pictures)
        present = torch.from_numpy(self._data.present[rows]).to(self._machine.name)
        with self._machine.autocast():
            logits = self.network(as_planes(pictures, self._machine.name))
        loss = attribute_loss(logits.float(), present)
        self.optimizers["main"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["main"].step()
        return {"bce": loss.detach()}

    def validate(self, epoch: int) -> Mapping[str, float]:
        present, logits = self._look(self._data.rows(VAL))
        loss = attribute_loss(torch.from_numpy(logits), torch.from_numpy(present))
        return {"bce": float(loss), "accuracy": float(((logits > 0) == present).mean())}

    def measure(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Measure over some faces, beside the commonest answers of the training faces."""
        present, logits = self._look(rows)
        people = self._data.people[rows]
        measured = measure_attributes(
            self._data.names, present, logits, common=self.common, people=people
        )
        guessed = np.where(self.common, 1.0, -1.0) * np.ones_like(logits)
        found: dict[str, Any] = json.loads(
            json_bytes(
                {
                    "n_images": len(rows),
                    "n_people": len(np.unique(people)),
                    "mean_accuracy": asdict(mean_accuracy(present, logits, people=people)),
                    "mean_majority": asdict(mean_accuracy(present, guessed, people=people)),
                    "attributes": [asdict(each) for each in measured],
                }
            )
        )
        return found

    def _look(self, rows: NDArray[np.int64]) -> tuple[Attributes, NDArray[np.float64]]:
        self.network.eval()
        logits = []
        for at in _parts(rows):
            pictures = self._data.pictures[TARGETS].take(at.tolist())
            logits.append(_logits(self.network, pictures, self._machine.name))
        self.network.train()
        return self._data.present[rows], np.concatenate(logits)


def _parts(rows: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
    return [rows[at : at + _BATCH_OF_USE] for at in range(0, len(rows), _BATCH_OF_USE)]


def _logits(network: nn.Module, pictures: Pictures, device: str) -> NDArray[np.float64]:
    with torch.inference_mode():
        found: NDArray[np.float64] = network(as_planes(pictures, device)).double().cpu().numpy()
    return found
