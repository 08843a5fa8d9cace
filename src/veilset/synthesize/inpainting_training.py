# SPDX-License-Identifier: Apache-2.0
"""Train the network that draws faces from their surroundings; see ``inpainting_critics``."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from veilset.errors import ConfigError
from veilset.files import ordered_name, sha256_file
from veilset.learning import checkpoint
from veilset.networks.face_generator import FORMAT
from veilset.seeds import check_seed, derive
from veilset.synthesize.contact_sheet import write_sheet
from veilset.synthesize.fixed_features import CARD, FixedFeatures
from veilset.synthesize.inpainting_batches import Batch, plain_batch, varied_batch
from veilset.synthesize.inpainting_critics import InpaintingCritics, Looked, perceptual
from veilset.synthesize.inpainting_losses import nearness_loss
from veilset.synthesize.inpainting_network import WIDTHS, InpaintingNetwork, require_widths
from veilset.synthesize.inputs import as_pictures
from veilset.synthesize.machine import Machine
from veilset.synthesize.model_file import WEIGHTS, load_model, save_model
from veilset.synthesize.networks import n_parameters
from veilset.synthesize.prepared import TRAIN, VAL
from veilset.synthesize.training import Habits, Plan, Trainer, epoch_rows, open_folder
from veilset.synthesize.views_file import ViewsFile

SAMPLES = "samples"
N_SAMPLES = 12
WEIGHTS_FORMAT = f"{FORMAT}+weights"
_BETAS = (0.5, 0.99)
_REMEDY = (
    "Train into another folder, with a larger --batch, another --seed or --precision 32-true; in "
    "Python with a lower InpaintingConfig.lr."
)


@dataclass(frozen=True, slots=True)
class InpaintingConfig:
    """How a generator is built and trained.

    Attributes:
        widths, n_blocks: As ``InpaintingNetwork``.
        epochs: Passes over the training faces.
        warm_up: Share of the epochs without critics, in [0, 1]; a network that starts from a
            trained one has none.
        batch: Faces of a step, at least 2.
        lr: Learning rate of both Adams; it falls linearly to a hundredth over the last 40 %.
        l1_weight, ssim_weight, feature_weight: Of the losses beside the critics', from 0 on.
        feature_critics: Whether critics also look through EfficientNet-lite2; its package has to be
            installed.
        perceptual_weight: Of how unlike the drawn looks to that network, from the first step on.
        feature_fooled_weight: Of the critics that look through it.
        average: Decay of the mean of the weights, which is what is kept.
        critic_width: As ``PatchCritics``.
        seed: Of the first weights, the order and the variation.
        log_every: Steps that a line of the log sums up.
        data_licence: Licence of the photographs, for the card.

    Raises:
        ConfigError: If a value cannot be used.
    """

    widths: tuple[int, ...] = WIDTHS
    n_blocks: int = 1
    epochs: int = 40
    warm_up: float = 0.22
    batch: int = 16
    lr: float = 2e-4
    l1_weight: float = 5.0
    ssim_weight: float = 2.0
    feature_weight: float = 10.0
    feature_critics: bool = True
    perceptual_weight: float = 3.0
    feature_fooled_weight: float = 0.3
    average: float = 0.999
    critic_width: int = 32
    seed: int = 0
    log_every: int = 50
    data_licence: str = "not stated"

    def __post_init__(self) -> None:
        require_widths(self.widths, self.n_blocks)
        check_seed(self.seed)
        if min(self.epochs, self.log_every, self.critic_width) < 1 or self.batch < 2:
            raise ConfigError(
                "A generator needs epochs, lines of the log and a width of its critics from 1 on, "
                "and a batch from 2 on."
            )
        weights = (
            self.l1_weight, self.ssim_weight, self.feature_weight, self.perceptual_weight,
            self.feature_fooled_weight,
        )  # fmt: skip
        are_weights = all(math.isfinite(each) and each >= 0 for each in weights)
        if not (0 < self.lr < math.inf and are_weights and 0 <= self.average < 1):
            raise ConfigError(
                f"A generator cannot learn with a rate of {self.lr}, weights of {weights} and an "
                f"average of {self.average}. Give a rate above 0, weights from 0 on, and an "
                "average from 0 to below 1."
            )
        if not 0 <= self.warm_up <= 1:
            raise ConfigError(f"The warm-up is {self.warm_up}. Give a share from 0 to 1.")


def train_inpainter(
    views: Path,
    folder: Path,
    config: InpaintingConfig | None = None,
    *,
    start_from: Path | None = None,
    machine: Machine | None = None,
    habits: Habits | None = None,
) -> bool:
    """Train a generator. Run again, it goes on where it was stopped.

    Args:
        views: Folder of prepared views.
        folder: Folder of the training: ``weights.safetensors``, ``log.jsonl``, ``samples/``
            (after each epoch a sheet of validation faces: original, what is seen, what is drawn;
            they are clear, and for the owner only).
        config: How.
        start_from: Folder or weights of a finished training whose weights are the first ones.
        machine: On what; one CPU with all cores if left out.
        habits: What does not change the result.

    Returns:
        Whether it is finished; otherwise it was stopped, with a checkpoint.

    Raises:
        ConfigError, DatasetError, RunError: See ``veilset.errors``.
    """
    config, machine = config or InpaintingConfig(), machine or Machine()
    data = ViewsFile.open(views)
    start = Start.read(start_from, config) if start_from else None
    facts = {
        "stage": "synthesize-inpainter",
        "config": asdict(config),
        "views": data.facts,
        "machine": machine.facts(),
        **({"start_sha256": start.sha256} if start else {}),
    }
    with open_folder(folder, facts), machine.computing():
        if (folder / WEIGHTS).exists():
            checkpoint.discard(folder)
            return True
        data.check_splits()
        learner = _Learner(data, config, machine, folder, start)
        plan = Plan("the generator", config.epochs, config.seed, config.log_every, _REMEDY)
        if not Trainer(learner, plan, folder, habits).train():
            return False
        save_model(folder / WEIGHTS, learner.mean.state_dict(), learner.card())
        checkpoint.discard(folder)
        return True


def load_inpainter(path: Path) -> tuple[InpaintingNetwork, dict[str, Any]]:
    """Read what ``train_inpainter`` wrote: its folder, or the file of weights in it.

    Returns:
        The network, in evaluation mode on the CPU, and its card.

    Raises:
        ConfigError: If it is missing, damaged or something else.
    """
    tensors, card = load_model(path, WEIGHTS_FORMAT)
    with torch.random.fork_rng(devices=[]):
        network = InpaintingNetwork(card["config"]["widths"], int(card["config"]["n_blocks"]))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ConfigError(f"{path} does not fit its own card. Train it again.") from error
    return network.eval(), card


@dataclass(frozen=True, slots=True)
class Start:
    """A trained network that another training starts from.

    Attributes:
        network: It.
        card: Its card.
        sha256: Digest of its file, lower-case hex.
    """

    network: InpaintingNetwork
    card: Mapping[str, Any]
    sha256: str

    @classmethod
    def read(cls, path: Path, config: InpaintingConfig) -> Self:
        """Read the weights of a finished training; ``path`` is its folder or their file.

        Raises:
            ConfigError: If there are none, or they are of a network of other widths.
        """
        network, card = load_inpainter(path)
        if (network.widths, int(card["config"]["n_blocks"])) != (config.widths, config.n_blocks):
            raise ConfigError(
                f"The weights of {path} are of widths {network.widths}, and a network of "
                f"{config.widths} is asked for. Give the same."
            )
        file = path / WEIGHTS if path.is_dir() else path
        return cls(network, card, sha256_file(file))

    def told(self, data: ViewsFile) -> dict[str, Any]:
        """Say for the card what it is, and whether it learned from the very faces of ``data``."""
        return {
            "sha256": self.sha256,
            "n": self.card["n"],
            "epochs": self.card["config"]["epochs"],
            "data_licence": self.card["data_licence"],
            "looked_through": self.card.get("looked_through"),
            "started_from": self.card.get("started_from"),
            "has_same_faces": self.card["views"]["outputs_sha256"] == data.facts["outputs_sha256"],
        }


class _Learner:
    """Batches, steps and samples of one training."""

    def __init__(
        self,
        data: ViewsFile,
        config: InpaintingConfig,
        machine: Machine,
        folder: Path,
        start: Start | None = None,
    ) -> None:
        self._data, self._config, self._machine, self._folder = data, config, machine, folder
        self._start = start
        self._rows = data.rows(TRAIN)
        self.n_batches = max(1, len(self._rows) // config.batch)
        self._n_steps = self.n_batches * config.epochs
        views = data.facts["config"]
        self._side_px, self._room = int(views["side_px"]), float(views["room"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(config.seed, "weights"))
            self._network = InpaintingNetwork(config.widths, config.n_blocks)
            if start:
                self._network.load_state_dict(start.network.state_dict())
            fixed = FixedFeatures.packaged() if config.feature_critics else None
            self._critics = InpaintingCritics(config.critic_width, fixed)
        if self._side_px % self._network.multiple_px:
            raise ConfigError(
                f"Views of {self._side_px} px cannot be halved {len(config.widths)} times. Prepare "
                f"them with a side that {self._network.multiple_px} divides, or give fewer widths."
            )
        self.mean = copy.deepcopy(self._network).eval().requires_grad_(False)
        self.networks: dict[str, nn.Module] = {
            "main": self._network, "critics": self._critics, "mean": self.mean,
        }  # fmt: skip
        for network in self.networks.values():
            network.to(machine.name, memory_format=torch.channels_last)
        self.optimizers = {
            name: torch.optim.Adam(
                self.networks[name].parameters(), lr=config.lr, betas=(0.5, 0.99)
            )
            for name in ("main", "critics")
        }

    def step(self, epoch: int, batch: int) -> Mapping[str, Tensor]:
        config, at = self._config, epoch * self.n_batches + batch
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = config.lr * _share(at / self._n_steps)
        order = epoch_rows(len(self._rows), config.batch, seed=config.seed, epoch=epoch)
        seen = varied_batch(
            self._data, self._rows[order[batch]], self._side_px, self._room,
            seed=derive(config.seed, "batch", epoch, batch), device=self._machine.name,
        )  # fmt: skip
        with self._machine.autocast():
            drawn = self._network(_channels_last(seen.given)).float()
        away, unalike = nearness_loss(seen, drawn)
        completed = seen.completed(drawn)
        with self._machine.autocast():
            looked = self._critics.look(seen, completed)
        losses = {"l1": away, "one_minus_ssim": unalike, **perceptual(looked)}
        loss = config.l1_weight * away + config.perceptual_weight * losses.get("perceptual", 0)
        if not self._start and at < config.warm_up * self._n_steps:
            loss = loss + config.ssim_weight * unalike
        else:
            # Being alike in structure asks for smooth faces; the critics ask for faces.
            losses |= self._judged(seen, completed, looked)
            loss = loss + losses["fooled"] + config.feature_weight * losses["features"]
            loss = loss + config.feature_fooled_weight * losses.get("feature_fooled", 0)
        self._move("main", loss)
        self._average(at)
        return {name: value.detach() for name, value in losses.items()}

    def _judged(self, seen: Batch, completed: Tensor, looked: Looked | None) -> dict[str, Tensor]:
        """Let the critics learn, then give what they make of the views."""
        with self._machine.autocast():
            judged = self._critics.judge(seen, completed, looked)
        self._move("critics", torch.stack(list(judged.values())).sum())
        with self._machine.autocast():
            return judged | self._critics.ask(seen, completed, looked)

    def _move(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def _average(self, at: int) -> None:
        """Move the mean of the weights; faster at first, when there is little to be kept."""
        decay = min(self._config.average, (1 + at) / (10 + at))
        with torch.no_grad():
            pairs = zip(self.mean.parameters(), self._network.parameters(), strict=True)
            for mean, now in pairs:
                mean.lerp_(now, 1 - decay)

    def validate(self, epoch: int) -> Mapping[str, float]:
        sums, n = np.zeros(2), 0
        rows = self._data.rows(VAL)
        for at in range(0, len(rows), 32):
            seen, drawn = self._draw(rows[at : at + 32])
            losses = nearness_loss(seen, drawn)
            sums += [float(each) * len(drawn) for each in losses]
            n += len(drawn)
        self._show(self._folder / SAMPLES / f"epoch-{ordered_name(epoch + 1)}.png")
        return {"l1": float(sums[0] / n), "ssim": float(1 - sums[1] / n)}

    def _draw(self, rows: Any) -> tuple[Batch, Tensor]:
        seen = plain_batch(self._data, rows, self._side_px, self._room, self._machine.name)
        with torch.inference_mode(), self._machine.autocast():
            return seen, self.mean(_channels_last(seen.given)).float()

    def _show(self, path: Path) -> None:
        rows = self._data.rows(VAL)
        # Photographs of one person lie beside each other.
        spread = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), N_SAMPLES)).astype(int))
        seen, drawn = self._draw(rows[spread])
        shown = (seen.wanted, seen.given[:, :3], seen.completed(drawn))
        write_sheet(path, [as_pictures((each + 1) / 2) for each in shown])

    def card(self) -> dict[str, Any]:
        """Say what the weights are."""
        views = self._data.facts["config"]
        return {
            "format": WEIGHTS_FORMAT,
            "side_px": self._side_px,
            "context": views["context"],
            "enlarge": views["enlarge"],
            "n_parameters": n_parameters(self.mean),
            "config": asdict(self._config),
            "views": self._data.facts,
            "n": self._data.count(),
            "machine": self._machine.facts(),
            "data_licence": self._config.data_licence,
            "looked_through": asdict(CARD) if self._config.feature_critics else None,
            "started_from": self._start.told(self._data) if self._start else None,
        }


def _share(done: float) -> float:
    """Give the learning rate at some point of the training, as a share of the first one."""
    return 1.0 if done < 0.6 else max(0.01, (1 - done) / 0.4)


def _channels_last(planes: Tensor) -> Tensor:
    return planes.contiguous(memory_format=torch.channels_last)
