# SPDX-License-Identifier: Apache-2.0
"""Stage 2, learned: a face from its landmarks, its surroundings and its attributes.

As in the report: Adam with a learning rate of 2e-5 and betas of 0.5 and 0.999, batches of 16, 15
epochs, loss ``1 - SSIM``. The choices between which its texts differ are settings here: the loss
(``losses``) and how attributes become planes (``inputs``). The network learns with the attributes
that the list of the data set gives; at use a classifier gives them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from veilset.errors import ConfigError
from veilset.files import ordered_name, read_object, write_atomically
from veilset.learning import checkpoint
from veilset.runs import json_bytes
from veilset.seeds import check_seed, derive
from veilset.synthesize.attribute_planes import Embedding, train_embedding
from veilset.synthesize.contact_sheet import write_sheet
from veilset.synthesize.faces_file import CONTEXTS, TARGETS, FacesFile
from veilset.synthesize.generator import FORMAT, Generator, input_values
from veilset.synthesize.inputs import AttributePlanes, FactorInputs, InputConfig, as_planes
from veilset.synthesize.losses import (
    L1_WEIGHT,
    PatchCritic,
    adversarial_loss,
    critic_loss,
    ssim_loss,
)
from veilset.synthesize.machine import Machine
from veilset.synthesize.model_file import WEIGHTS
from veilset.synthesize.networks import (
    DECODER_WIDTHS,
    ENCODER_WIDTHS,
    ReconstructionNetwork,
    n_parameters,
)
from veilset.synthesize.prepared import TEST, TRAIN, VAL
from veilset.synthesize.reconstruction_measures import (
    NAMES,
    mean_picture,
    measure_all,
    score_faces,
    write_scores,
)
from veilset.synthesize.training import Habits, Plan, Trainer, epoch_rows, open_folder

RESULT, SCORES, SAMPLES = "result.json", "scores.parquet", "samples"
N_SAMPLES = 8

_ANEW = "Restore it, or train into another folder: without it the training begins anew."


class Loss(StrEnum):
    """What the network is asked for; one of the two choices that the ablation compares."""

    SSIM = "ssim"
    """``1 - SSIM``, the final report's."""
    ADVERSARIAL = "adversarial"
    """L1 and a critic's, the plan's."""


WIDTHS = {
    "report": (ENCODER_WIDTHS, DECODER_WIDTHS),
    "small": ((8, 16, 24, 32, 48), (32, 24, 16, 12, 8)),
}
"""Widths of the encoder and the decoder, by the name of the network."""


def widths(network: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the widths of the encoder and the decoder of a network by its name.

    Raises:
        ConfigError: If there is no such network.
    """
    if network not in WIDTHS:
        raise ConfigError(f"There is no network {network!r}. Choose: {', '.join(WIDTHS)}.")
    return WIDTHS[network]


@dataclass(frozen=True, slots=True)
class ReconstructionConfig:
    """How a generator is built and trained.

    Attributes:
        loss: What it is asked for.
        inputs: What it learns of a face.
        encoder_widths, decoder_widths: As ``ReconstructionNetwork``.
        epochs: Passes over the training faces.
        batch: Faces of a step, at least 2: batch normalisation compares them.
        lr: Learning rate of Adam, of the critic too.
        betas: Of Adam.
        l1_weight: Of L1 beside the adversarial loss.
        critic_width, critic_layers: As ``PatchCritic``.
        seed: Of the first weights, the embedding and the order.
        log_every: Steps that a line of the log sums up.
        data_licence: Licence of the photographs, for the card.

    Raises:
        ConfigError: If a value cannot be used.
    """

    loss: Loss = Loss.SSIM
    inputs: InputConfig = field(default_factory=InputConfig)
    encoder_widths: tuple[int, ...] = ENCODER_WIDTHS
    decoder_widths: tuple[int, ...] = DECODER_WIDTHS
    epochs: int = 15
    batch: int = 16
    lr: float = 2e-5
    betas: tuple[float, float] = (0.5, 0.999)
    l1_weight: float = L1_WEIGHT
    critic_width: int = 64
    critic_layers: int = 3
    seed: int = 0
    log_every: int = 50
    data_licence: str = "not stated"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if min(self.epochs, self.log_every) < 1 or self.batch < 2:
            raise ConfigError(
                "A generator needs epochs and lines of the log from 1 on, and a batch from 2 on."
            )
        if not (self.lr > 0 and self.l1_weight >= 0 and all(0 <= b < 1 for b in self.betas)):
            raise ConfigError(
                f"A generator cannot learn with a rate of {self.lr}, betas of {self.betas} and a "
                f"weight of L1 of {self.l1_weight}. Give a rate above 0, betas from 0 to below 1, "
                "and a weight from 0 on."
            )


def train_reconstruction(
    faces: Path,
    folder: Path,
    config: ReconstructionConfig | None = None,
    *,
    machine: Machine | None = None,
    habits: Habits | None = None,
) -> dict[str, Any] | None:
    """Train a generator, and measure it on the people of the test split.

    Run again, it goes on where it was stopped; finished, it gives the result that is there. The
    weights after the last epoch are kept.

    Args:
        faces: Folder of prepared faces.
        folder: Folder of the training: ``weights.safetensors``, ``result.json``, ``scores.parquet``
            (each test face), ``log.jsonl``, ``samples/`` (after each epoch a sheet of validation
            faces: original, context, reconstruction).
        config: How.
        machine: On what; one CPU with all cores if left out.
        habits: What does not change the result.

    Returns:
        What ``result.json`` holds: counts, and of ``made``, ``repeated`` and ``mean_face`` the
        measurements of ``reconstruction_measures``; None if it was stopped.

    Raises:
        ConfigError, DatasetError, RunError: See ``veilset.errors``.
    """
    config, machine = config or ReconstructionConfig(), machine or Machine()
    data = FacesFile.open(faces)
    facts = {
        "stage": "synthesize-reconstruction",
        "config": _values(config),
        "faces": data.facts,
        "machine": machine.facts(),
    }
    with open_folder(folder, facts), machine.computing():
        if (folder / RESULT).exists():
            found = read_object(folder / RESULT, _ANEW, ("made", "mean_face"))
            checkpoint.discard(folder)
            return found
        data.check_splits()
        learner = _Learner(data, config, machine, folder)
        plan = Plan("the generator", config.epochs, config.seed, config.log_every)
        if not Trainer(learner, plan, folder, habits).train():
            return None
        return _finish(learner, folder)


def _values(config: ReconstructionConfig) -> dict[str, Any]:
    return asdict(config) | {"inputs": input_values(config.inputs)}


def _finish(learner: _Learner, folder: Path) -> dict[str, Any]:
    """Measure, and write weights, scores and result, the result last."""
    data = learner.data
    generator, rows = learner.generator(), data.rows(TEST)
    scored = score_faces(generator, data, rows, mean_picture(data, data.rows(TRAIN)))
    measured = measure_all(scored, data)
    result: dict[str, Any] = {
        "n_images": len(rows),
        "n_people": len(np.unique(data.people[rows])),
        **{who: [asdict(each) for each in found] for who, found in measured.items()},
    }
    generator = learner.generator(measures=result["made"])
    generator.save(folder / WEIGHTS, learner.embedding)
    write_scores(folder / SCORES, scored, data)
    write_atomically(folder / RESULT, json_bytes(result))
    checkpoint.discard(folder)
    found: dict[str, Any] = json.loads(json_bytes(result))
    return found


class _Learner:
    """Batches, steps and measures of one training."""

    def __init__(
        self, data: FacesFile, config: ReconstructionConfig, machine: Machine, folder: Path
    ) -> None:
        self.data, self._config, self._machine, self._folder = data, config, machine, folder
        self._train = data.rows(TRAIN)
        self.n_batches = max(1, len(self._train) // config.batch)
        self.embedding = self._embed()
        n_attributes = len(data.names)
        self._inputs = FactorInputs(
            config.inputs, n_attributes, data.size_hw, machine.name, self.embedding
        )
        self._check_size()
        # The caller's random numbers go on as if nothing had been drawn here.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(config.seed, "weights"))
            self.network = ReconstructionNetwork(
                self._inputs.n_in, config.encoder_widths, config.decoder_widths
            )
            critic = PatchCritic(self._inputs.n_in, config.critic_width, config.critic_layers)
        self.networks: dict[str, torch.nn.Module] = {"main": self.network}
        if config.loss is Loss.ADVERSARIAL:
            self.networks["critic"] = critic
        self.optimizers = {
            name: torch.optim.Adam(
                network.to(machine.name).parameters(), lr=config.lr, betas=config.betas
            )
            for name, network in self.networks.items()
        }
        self._mean = mean_picture(data, self._train)

    def _embed(self) -> Embedding | None:
        if self._config.inputs.planes is AttributePlanes.CONSTANT:
            return None
        present, seed = self.data.present[self._train], derive(self._config.seed, "embedding")
        return train_embedding(present, self.data.names, seed=seed % 2**32)

    def _check_size(self) -> None:
        n_halved = len(self._config.encoder_widths)
        if any(side % 2**n_halved for side in self.data.size_hw):
            raise ConfigError(
                f"Faces of {self.data.size_hw[0]}x{self.data.size_hw[1]} pixels cannot be halved "
                f"{n_halved} times. Prepare them with sides that {2**n_halved} divides, or give "
                "the network fewer widths."
            )

    def step(self, epoch: int, batch: int) -> Mapping[str, Tensor]:
        config = self._config
        order = epoch_rows(len(self._train), config.batch, seed=config.seed, epoch=epoch)
        factors, wanted = self._batch(self._train[order[batch]])
        with self._machine.autocast():
            made = self.network(factors).float()
        if config.loss is Loss.ADVERSARIAL:
            return self._adversarial(factors, made, wanted)
        loss = ssim_loss(made, wanted)
        self._move("main", loss)
        return {"one_minus_ssim": loss.detach()}

    def _adversarial(self, factors: Tensor, made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        critic = self.networks["critic"]
        with self._machine.autocast():
            answers = critic(factors, wanted), critic(factors, made.detach())
        of_critic = critic_loss(answers[0].float(), answers[1].float())
        self._move("critic", of_critic)
        # The critic only judges now: its own gradients would be computed for nothing.
        critic.requires_grad_(False)
        with self._machine.autocast():
            answer = critic(factors, made)
        fooled, away = adversarial_loss(answer.float()), (made - wanted).abs().mean()
        self._move("main", fooled + self._config.l1_weight * away)
        critic.requires_grad_(True)
        return {"critic": of_critic.detach(), "fooled": fooled.detach(), "l1": away.detach()}

    def _move(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def _batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        at, data = rows.tolist(), self.data
        contexts = data.pictures[CONTEXTS].take(at)
        factors = self._inputs.draw(data.landmarks_xy[rows], contexts, data.present[rows])
        return factors, as_planes(data.pictures[TARGETS].take(at), self._machine.name)

    def validate(self, epoch: int) -> Mapping[str, float]:
        generator, rows = self.generator(), self.data.rows(VAL)
        scored = score_faces(generator, self.data, rows, self._mean)
        self._show(generator, self._folder / SAMPLES / f"epoch-{ordered_name(epoch + 1)}.png")
        self.network.train()
        return {name: float(scored.made[name].mean()) for name in NAMES}

    def _show(self, generator: Generator, path: Path) -> None:
        """Write a sheet of validation faces: the first of each person, then the next ones."""
        rows = self.data.rows(VAL)
        firsts = np.unique(self.data.people[rows], return_index=True)[1]
        others = np.setdiff1d(np.arange(len(rows)), firsts)
        chosen = rows[np.concatenate([np.sort(firsts), others])[:N_SAMPLES]]
        contexts = self.data.pictures[CONTEXTS].take(chosen.tolist())
        made = generator.reconstruct(
            self.data.landmarks_xy[chosen], contexts, self.data.present[chosen]
        )
        write_sheet(path, [self.data.pictures[TARGETS].take(chosen.tolist()), contexts, made])

    def generator(self, measures: list[dict[str, Any]] | None = None) -> Generator:
        """Give the network as it is now, in evaluation mode, with its card."""
        config, data = self._config, self.data
        card = {
            "format": FORMAT,
            "attributes": list(data.names),
            "size_hw": list(data.size_hw),
            "inputs": input_values(config.inputs),
            "encoder_widths": list(config.encoder_widths),
            "decoder_widths": list(config.decoder_widths),
            "n_parameters": n_parameters(self.network),
            "config": _values(config),
            "faces": data.facts,
            "n": data.count(),
            "data_licence": config.data_licence,
            "measures": measures or [],
        }
        return Generator(self.network.eval(), self._inputs, data.names, card)
