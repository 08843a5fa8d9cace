# SPDX-License-Identifier: Apache-2.0
"""One fine-tuning, from its start or its checkpoint to its score; and the choice of its rate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn

from veilset.errors import ConfigError, RunError
from veilset.files import sha256_file, write_atomically
from veilset.learning import checkpoint
from veilset.learning.devices import arithmetic, describe, open_device
from veilset.runs import json_bytes
from veilset.seeds import derive
from veilset.study.layout import write_table
from veilset.study.networks import load_weights
from veilset.study.one_run import WEIGHTS, make_feed
from veilset.study.recipe import Recipe
from veilset.study.records import Work, check_started, finish_run, forget_failure, read_run
from veilset.study.train import Tools, Trainer, TrainingError, TrainingProgress
from veilset.study.transfer.starts import Start
from veilset.study.transfer.tasks import Measured, Task

FORMAT = "veilset-transfer/1"
SCORE, CHOICE = "score.json", "tuning.json"


@dataclass(frozen=True, slots=True)
class Bench:
    """What all fine-tunings of a command share; of it only the threads and the kind of device
    decide a result.

    Attributes:
        device: Name of the device.
        threads: Of PyTorch on the CPU.
        workers: Processes that load pictures.
        checkpoint_every_s: Seconds between two checkpoints.
        should_stop: Asked after every step.
        on_progress: Told after every step.
    """

    device: str
    threads: int = 1
    workers: int = 0
    checkpoint_every_s: float = 600.0
    should_stop: Callable[[], bool] = lambda: False
    on_progress: Callable[[TrainingProgress], None] = lambda _: None

    @property
    def kind(self) -> str:
        """Kind of the device: another one has another arithmetic."""
        return self.device.partition(":")[0]


@dataclass(frozen=True, slots=True)
class _Trained:
    module: nn.Module
    trainer: Trainer
    fabric: Fabric


def finetune(task: Task, start: Start, recipe: Recipe, bench: Bench, folder: Path) -> bool:
    """Fine-tune a network and write down what it came to; ``run.json`` is written last.

    Args:
        task: What for.
        start: From which weights.
        recipe: How.
        bench: With what.
        folder: Of this run, claimed by this process; named as the run.

    Returns:
        Whether it is finished, now or before; otherwise it was stopped, with a checkpoint.

    Raises:
        ResumeMismatchError: If what is in the folder was begun in another way. A finished run
            may be looked at from another kind of device.
        TrainingError: If the loss is not finite any more.
        DatasetError: If a picture cannot be had.
        RunError: If a file cannot be written, or a checkpoint is damaged.
    """
    record = read_run(folder)
    kind = str(record.started["device_kind"]) if record else bench.kind
    check_started(folder, _started(task, start, recipe, bench, folder.name, kind))
    if record:
        return True
    with arithmetic(recipe, bench.device, bench.threads):
        trained = _train(task, start, recipe, bench, folder)
        if trained is None:
            return False
        weights = trained.trainer.weights()
        checkpoint.save_tensors(folder / WEIGHTS, weights)
        load_weights(trained.module, weights)
        digest = sha256_file(folder / WEIGHTS)
        measured = _measure(task, trained, recipe, bench, folder.name, digest)
    _write_score(task, start, recipe, folder, measured)
    trainer = trained.trainer
    work = Work(
        n_steps=trainer.n_steps,
        n_images_seen=sum(epoch.images for epoch in trainer.epochs),
        seconds=trainer.seconds,
        sessions=trainer.n_sessions,
        final_loss=trainer.epochs[-1].loss,
    )
    finish_run(folder, digest, work, device=describe(bench.device))
    checkpoint.discard(folder)
    forget_failure(folder)
    return True


def choose_lr(
    task: Task, start: Start, recipe: Recipe, grid: Sequence[float], bench: Bench, folder: Path
) -> float | None:
    """Choose the learning rate that does best on pictures held out of the training pictures.

    Each rate trains a network on nine tenths with the whole recipe. Of equal ones the lowest
    is taken; one with which the loss becomes infinite is out.

    Args:
        task: What for; its test pictures are not touched.
        start: From which weights.
        recipe: How, but for the rate.
        grid: The rates.
        bench: With what.
        folder: Of this choice, claimed by this process.

    Returns:
        The rate; None if the choice was stopped, with a checkpoint.

    Raises:
        TrainingError: If the loss becomes infinite with every rate; else as ``finetune``.
    """
    done = _read(folder / CHOICE)
    kind = str(done["device_kind"]) if done else bench.kind
    name = f"the choice of lr in {folder.name}"
    started = _started(task, start, recipe, bench, name, kind)
    check_started(folder, started | {"lr_grid": sorted(grid)})
    if done:
        return float(done["lr"])
    part = task.held_out()
    scores: dict[float, float | None] = {}
    for lr in sorted(grid):
        inside = folder / f"lr-{lr!r}"
        inside.mkdir(exist_ok=True)
        tried = _try_lr(part, start, replace(recipe, lr=lr), bench, inside)
        if tried is None:
            return None
        scores[lr] = tried["score"]
    known = {lr: score for lr, score in scores.items() if score is not None}
    if not known:
        raise _no_rate(f"{task.name}, {start.network.name} from {start.source}", folder)
    best = max(sorted(known), key=lambda lr: known[lr])
    _write_choice(task, bench, folder, scores, best)
    for lr in scores:
        checkpoint.discard(folder / f"lr-{lr!r}")
    return best


def _no_rate(name: str, folder: Path) -> TrainingError:
    return TrainingError(
        "nan-loss",
        0,
        f"{name}: with no rate of lr_grid the loss stays finite. Add lower ones in study.yaml, "
        f"delete {folder}, and run again with --retry-failed.",
    )


def _write_score(
    task: Task, start: Start, recipe: Recipe, folder: Path, measured: Measured
) -> None:
    predictions = write_table(folder / measured.file, measured.table)
    values = {
        "format": FORMAT, "task": task.name, "run_id": folder.name,
        "network": start.network.name, "from": start.source, "seed": start.seed,
        "lr": recipe.lr, "metrics": dict(measured.metrics), "counts": dict(measured.counts),
        "predictions_sha256": predictions,
    }  # fmt: skip
    write_atomically(folder / SCORE, json_bytes(values))


def _write_choice(
    task: Task, bench: Bench, folder: Path, scores: Mapping[float, float | None], best: float
) -> None:
    values = {
        "format": FORMAT, "task": task.name, "metric": task.metric, "lr": best,
        "device_kind": bench.kind,
        "scores": [{"lr": lr, "score": score} for lr, score in scores.items()],
    }  # fmt: skip
    write_atomically(folder / CHOICE, json_bytes(values))


def _try_lr(
    task: Task, start: Start, recipe: Recipe, bench: Bench, folder: Path
) -> Mapping[str, Any] | None:
    done = _read(folder / SCORE)
    if done is not None:
        return done
    name = f"{folder.parent.name}, lr {recipe.lr:g}"
    score: float | None = None
    with arithmetic(recipe, bench.device, bench.threads):
        try:
            trained = _train(task, start, recipe, bench, folder)
            if trained is None:
                return None
            load_weights(trained.module, trained.trainer.weights())
            measured = _measure(task, trained, recipe, bench, name, "")
            score = measured.metrics[task.metric]
        except TrainingError as error:
            # What a grid is for: the others may do.
            if error.kind != "nan-loss":
                raise
    values = {"format": FORMAT, "lr": recipe.lr, "score": score}
    write_atomically(folder / SCORE, json_bytes(values))
    return values


def _train(task: Task, start: Start, recipe: Recipe, bench: Bench, folder: Path) -> _Trained | None:
    if bench.should_stop():
        # A trainer asks only after its first step.
        return None
    fabric = open_device(bench.device, recipe)
    module = task.network(start, recipe)
    seed = derive(start.seed, "transfer", task.name)
    batches = task.batches(recipe, seed)
    if not batches.n_batches:
        raise ConfigError(
            f"{task.name}: its training pictures do not fill one batch of {recipe.batch_size}. "
            "Lower batch_size, or set drop_last: false."
        )
    tools = Tools(
        fabric,
        make_feed(fabric.device, bench.workers),
        bench.checkpoint_every_s,
        bench.should_stop,
        bench.on_progress,
    )
    trainer = Trainer(
        module,
        batches,
        recipe,
        task.step(fabric.device, recipe),
        tools,
        folder=folder,
        seed=derive(seed, "train", start.network.name),
        name=f"{task.name}/{folder.name}",
    )
    return _Trained(module, trainer, fabric) if trainer.train() else None


def _measure(
    task: Task, trained: _Trained, recipe: Recipe, bench: Bench, run_id: str, digest: str
) -> Measured:
    metadata = {"run_id": run_id, "weights_sha256": digest, "recipe_sha256": recipe.digest}
    return task.measure(trained.module, recipe, trained.fabric, metadata, workers=bench.workers)


def _started(
    task: Task, start: Start, recipe: Recipe, bench: Bench, run_id: str, device_kind: str
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "run_id": run_id,
        "task": task.name,
        **start.described(),
        "recipe": asdict(recipe),
        "lists_sha256": task.digests(),
        "threads": bench.threads,
        "device_kind": device_kind,
    }


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        values = json.loads(path.read_bytes())
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']!r}")
        return dict(values)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} is damaged ({error}). Delete {path.parent}, and run again."
        ) from error
