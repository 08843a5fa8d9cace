# SPDX-License-Identifier: Apache-2.0
"""One run of a study: a network is trained, asked about the validation images, and recorded.

Weights are written first, predictions next, and ``run.json`` last. What is there already is not
done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from veilset.errors import ConfigError, RunError
from veilset.files import sha256_file
from veilset.learning import checkpoint
from veilset.learning.checkpoint import save_tensors
from veilset.learning.devices import arithmetic, describe, open_device
from veilset.seeds import derive
from veilset.study import records
from veilset.study.batches import Batch, TrainBatches
from veilset.study.feed import feed, to_device
from veilset.study.kept import KeptFolder
from veilset.study.layout import PREDICTIONS_FORMAT, open_table
from veilset.study.networks import build, load_weights, published, training_loss
from veilset.study.opening import classes_digest
from veilset.study.pictures import PictureSource, open_source
from veilset.study.plan import PlannedRun, Study
from veilset.study.predict import PredictionWriter, predict
from veilset.study.recipe import Recipe
from veilset.study.records import RunRecord, Work
from veilset.study.train import Batches, Outcome, Step, Tools, Trainer, TrainingProgress

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Workshop:
    """What runs are worked on with; only the kind of device is part of a result.

    Attributes:
        device: Name of the device, as ``cpu`` or ``cuda:1``.
        kept: Keeps decoded pictures for all runs of a setting.
        should_stop: Asked between steps.
        on_progress: Told between steps.
    """

    device: str
    kept: KeptFolder
    should_stop: Callable[[], bool] = lambda: False
    on_progress: Callable[[TrainingProgress], None] = lambda _: None


def is_complete(study: Study, run: PlannedRun) -> bool:
    """Whether a run is finished, and has predictions for all settings that are asked for."""
    paths = study.paths
    return (paths.run(run.run_id) / records.FINISHED).exists() and all(
        paths.predictions(run.run_id, setting).exists() for setting in run.evaluate
    )


def train_run(study: Study, run: PlannedRun, shop: Workshop) -> RunRecord | None:
    """Do what is left of a run; its folder must be claimed.

    Args:
        study: The study.
        run: One of its runs.
        shop: Device and the like.

    Returns:
        Its record; None if it was stopped, with a checkpoint.

    Raises:
        ResumeMismatchError: If its folder holds a run with other settings or images.
        DamagedCheckpointError: If its checkpoint cannot be used.
        TrainingError: If its loss is not finite any more.
        DatasetError: If a picture cannot be had.
        ConfigError: If the network cannot be built, or an epoch would have no step.
        RunError: If a file is damaged, or cannot be written.
    """
    folder = study.paths.run(run.run_id)
    records.check_started(folder, started_values(study, run, shop.device))
    with arithmetic(run.recipe, shop.device, study.config.threads):
        fabric = open_device(shop.device, run.recipe)
        if record := records.read_run(folder):
            # Finished before: a setting was added, or predictions were deleted.
            module = _initial(study, run)[0]
            _load_weights(folder / WEIGHTS, record.weights_sha256, module)
        else:
            trained = _train(study, run, shop, fabric)
            if trained is None:
                return None
            module, work, cards = trained
        order = torch.channels_last if run.recipe.channels_last else torch.contiguous_format
        module.to(fabric.device, memory_format=order)
        weights_sha256 = sha256_file(folder / WEIGHTS)
        for setting in run.evaluate:
            if shop.should_stop():
                return None
            _predict(study, run, shop, fabric, module, setting, weights_sha256)
    if record is None:
        record = records.finish_run(
            folder, weights_sha256, work, device=describe(shop.device), models=cards
        )
    checkpoint.discard(folder)
    return record


def started_values(study: Study, run: PlannedRun, device: str) -> dict[str, Any]:
    """Give what a run is: whatever decides its weights, as JSON values."""
    return {
        "format": records.FORMAT,
        **run.asked(),
        "n_train": len(study.lists["train"].image_ids),
        "n_classes": len(study.classes),
        "lists_sha256": {split: images.sha256 for split, images in study.lists.items()},
        "files_sha256": study.files_sha256[run.setting]["train"],
        "threads": study.config.threads,
        "device_kind": torch.device(device).type,
    }


def classify(recipe: Recipe, device: torch.device) -> Step:
    """Give the step of a classification: cross entropy, smoothed as the recipe says.

    Further outputs of a network count as ``networks.training_loss`` says.
    """

    def step(module: nn.Module, batch: Batch) -> Outcome:
        pixels, labels = to_device(batch, device, recipe)
        loss, scores = training_loss(
            module,
            pixels,
            lambda given: functional.cross_entropy(
                given, labels, label_smoothing=recipe.label_smoothing
            ),
        )
        return Outcome(loss, len(labels), (scores.detach().argmax(1) == labels).sum())

    return step


def make_feed(device: torch.device, workers: int) -> Callable[[Batches, Iterable[Any]], Any]:
    """Give what fetches batches for a device, with some processes."""

    def fetch(batches: Batches, keys: Iterable[Any]) -> Iterator[Any]:
        return feed(batches, keys, workers=workers, pin=device.type == "cuda")

    return fetch


def _initial(study: Study, run: PlannedRun) -> tuple[nn.Module, list[Any]]:
    if run.init == "weights":
        module, card = published(
            run.network, study.config.weights, n_classes=len(study.classes)
        )  # fmt: skip
        return module, [card]
    return build(run.network, len(study.classes), seed=run.seed), []


def _source(study: Study, setting: str, split: str, kept: KeptFolder) -> PictureSource:
    return kept.keep(open_source(study.config, setting), study.lists[split].image_ids)


def _train(
    study: Study, run: PlannedRun, shop: Workshop, fabric: Fabric
) -> tuple[nn.Module, Work, list[Any]] | None:
    folder = study.paths.run(run.run_id)
    module, cards = _initial(study, run)
    if run.init == "weights":
        save_tensors(folder / WEIGHTS, module.state_dict())
        return module, Work(), cards
    source = _source(study, run.setting, "train", shop.kept)
    batches = TrainBatches(source, study.lists["train"], run.recipe, run.seed)
    if not batches.n_batches:
        raise ConfigError(
            f"{run.run_id}: {len(study.lists['train'].image_ids):,} images do not fill one batch "
            f"of {run.recipe.batch_size}. Lower batch_size, or set drop_last: false."
        )
    tools = Tools(
        fabric,
        make_feed(fabric.device, study.config.workers),
        study.config.checkpoint_every_s,
        shop.should_stop,
        shop.on_progress,
    )
    trainer = Trainer(
        module, batches, run.recipe, classify(run.recipe, fabric.device), tools,
        folder=folder, seed=derive(run.seed, "train", run.network.name), name=run.run_id,
    )  # fmt: skip
    if not trainer.n_done:
        # Of weights that were deleted: refused later, they would cost a training.
        for setting in run.evaluate:
            study.paths.predictions(run.run_id, setting).unlink(missing_ok=True)
    if not trainer.train():
        return None
    save_tensors(folder / WEIGHTS, trainer.weights())
    work = Work(
        n_steps=trainer.n_done,
        n_images_seen=sum(epoch.images for epoch in trainer.epochs),
        seconds=trainer.seconds,
        sessions=trainer.n_sessions,
        final_loss=trainer.epochs[-1].loss,
    )
    return (trainer.average.module if trainer.average else module), work, cards


def _load_weights(path: Path, sha256: str, module: nn.Module) -> None:
    remedy = f"Delete {path.parent} to train anew, or restore the file."
    try:
        if sha256_file(path) != sha256:
            raise RunError(f"{path} is not what was trained: its digest differs. {remedy}")
        load_weights(module, load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RunError(f"{path} cannot be used ({error}). {remedy}") from error


def _predict(
    study: Study, run: PlannedRun, shop: Workshop, fabric: Fabric, module: nn.Module,
    setting: str, weights_sha256: str,
) -> None:  # fmt: skip
    images = study.lists["val"]
    path = study.paths.predictions(run.run_id, setting)
    metadata = {
        "run_id": run.run_id,
        "setting": setting,
        "weights_sha256": weights_sha256,
        "classes_sha256": classes_digest(images),
        "list_sha256": images.sha256,
        "recipe_sha256": run.recipe.digest,
    }
    if path.exists():
        # Of other weights or images: refused, never taken for these.
        open_table(path, PREDICTIONS_FORMAT, expect=metadata, columns=["label"])
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with_scores = study.config.scores == "all"
    with PredictionWriter(path, images, metadata, with_scores=with_scores) as sink:
        source = _source(study, setting, "val", shop.kept)
        predict(module, source, images, run.recipe, fabric, sink, workers=study.config.workers)
