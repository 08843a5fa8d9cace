# SPDX-License-Identifier: Apache-2.0
"""A training that was interrupted ends with the very same weights."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import mnasnet0_5

from tests.study.drawn_training import (
    N_BATCHES,
    N_EPOCHS,
    N_STEPS,
    WEIGHTS,
    Small,
    at_step,
    classify,
    drawn_recipe,
    make_trainer,
    train_small,
)
from veilset.learning import checkpoint
from veilset.learning.checkpoint import DamagedCheckpointError
from veilset.study.curve import read_curve
from veilset.study.one_run import make_feed
from veilset.study.train import TrainingError

CPU = torch.device("cpu")

RECIPES: dict[str, dict[str, Any]] = {
    "average, 16 bits": {"ema": 0.9, "precision": "bf16-mixed"},
    "no decay of norms": {"decay_all": False, "channels_last": False},
}


class PlannedError(Exception):
    """What a test throws into a training."""


def interrupt() -> None:
    raise PlannedError


@pytest.fixture(scope="module", params=sorted(RECIPES))
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A recipe, and what it comes to without interruption."""
    recipe, folder = drawn_recipe(**RECIPES[request.param]), tmp_path_factory.mktemp("whole")
    assert train_small(folder, recipe)
    return recipe, folder


def test_a_training_twice_is_identical(whole: Any, tmp_path: Path) -> None:
    recipe, folder = whole
    assert train_small(tmp_path, recipe)
    assert (tmp_path / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_another_seed_of_dropout_is_another_training(tmp_path: Path) -> None:
    recipe = drawn_recipe()
    found = []
    for seed in (1, 2):
        trainer = make_trainer(tmp_path / str(seed), recipe)
        trainer.seed = seed
        trainer.train()
        found.append(trainer.weights()["head.weight"])
    assert not found[0].equal(found[1])


# After the first step, in mid-epoch, at the end of an epoch, after that, before the last step.
@pytest.mark.parametrize("step", [1, 2, N_BATCHES, N_BATCHES + 1, N_STEPS - 1])
@pytest.mark.parametrize("every_s", [0.0, 1e9], ids=["every step", "every epoch"])
def test_resumed_is_uninterrupted(whole: Any, tmp_path: Path, step: int, every_s: float) -> None:
    recipe, folder = whole
    with pytest.raises(PlannedError):
        train_small(
            tmp_path, recipe, checkpoint_every_s=every_s, on_progress=at_step(step, interrupt)
        )
    assert train_small(tmp_path, recipe)
    assert (tmp_path / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    for ours, theirs in zip(read_curve(tmp_path), read_curve(folder), strict=True):
        assert (ours.epoch, ours.lr, ours.loss) == (theirs.epoch, theirs.lr, theirs.loss)
        assert (ours.top1, ours.images) == (theirs.top1, theirs.images)


def test_interrupted_at_every_step(whole: Any, tmp_path: Path) -> None:
    recipe, folder = whole
    for step in range(1, N_STEPS):
        told = at_step(step + 1, interrupt)
        with pytest.raises(PlannedError):
            train_small(tmp_path, recipe, checkpoint_every_s=0.0, on_progress=told)
    assert train_small(tmp_path, recipe)
    assert (tmp_path / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_processes_that_load_change_nothing(tmp_path: Path) -> None:
    recipe, folder = drawn_recipe(), tmp_path / "loaded"
    assert train_small(tmp_path, recipe)
    with pytest.raises(PlannedError):
        train_small(
            folder, recipe, feed=make_feed(CPU, 2), checkpoint_every_s=0.0,
            on_progress=at_step(N_BATCHES + 2, interrupt),
        )  # fmt: skip
    assert train_small(folder, recipe, feed=make_feed(CPU, 0))
    assert (tmp_path / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_a_stop_leaves_a_checkpoint_of_the_step_that_was_done(whole: Any, tmp_path: Path) -> None:
    recipe, folder = whole
    steps: list[int] = []
    is_done = train_small(
        tmp_path,
        recipe,
        on_progress=lambda progress: steps.append(progress.step),
        should_stop=lambda: steps[-1] == 2,
    )
    assert not is_done
    state = checkpoint.load(tmp_path)
    assert state is not None
    assert (state.step, state.epoch, state.batch, state.sessions) == (2, 0, 2, 1)
    assert train_small(tmp_path, recipe)
    assert (tmp_path / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_only_the_last_checkpoint_is_kept(tmp_path: Path) -> None:
    train_small(tmp_path, drawn_recipe(), checkpoint_every_s=0.0)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == [
        f"checkpoint-{N_STEPS}.safetensors"
    ]
    checkpoint.discard(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.parquet", WEIGHTS]


def test_the_curve_has_a_row_for_each_epoch(whole: Any) -> None:
    _recipe, folder = whole
    curve = read_curve(folder)
    assert [row.epoch for row in curve] == list(range(N_EPOCHS))
    assert all(row.images == 6 * N_BATCHES for row in curve)
    # Brightness tells the class, so that something is learned.
    assert curve[-1].loss < curve[0].loss


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-7],
    "a bit flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("how", sorted(DAMAGES))
@pytest.mark.parametrize("name", ["checkpoint-4.safetensors", "checkpoint.json"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, how: str, name: str) -> None:
    recipe = drawn_recipe()
    with pytest.raises(PlannedError):
        train_small(tmp_path, recipe, on_progress=at_step(5, interrupt))
    path = tmp_path / name
    if how == "a bit flipped" and name == "checkpoint.json":
        entry = json.loads(path.read_bytes())
        path.write_text(json.dumps(entry | {"sha256": "0" * 64}))
    else:
        path.write_bytes(DAMAGES[how](path.read_bytes()))
    with pytest.raises(DamagedCheckpointError, match=r"is damaged .* Delete .* to train it anew"):
        train_small(tmp_path, recipe)
    assert path.exists()


def test_a_missing_file_of_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlannedError):
        train_small(tmp_path, drawn_recipe(), on_progress=at_step(5, interrupt))
    (tmp_path / "checkpoint-4.safetensors").unlink()
    with pytest.raises(DamagedCheckpointError, match="its file of tensors is missing"):
        train_small(tmp_path, drawn_recipe())


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlannedError):
        train_small(tmp_path, drawn_recipe(), on_progress=at_step(5, interrupt))
    other = nn.Sequential(Small(), nn.Linear(3, 3))
    with pytest.raises(DamagedCheckpointError, match="it is of another network"):
        make_trainer(tmp_path, drawn_recipe(), module=other)


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    numbers = iter(range(100))

    def step(module: nn.Module, batch: Any) -> Any:
        outcome = classify(module, batch)
        return type(outcome)(
            outcome.loss * (float("nan") if next(numbers) == 5 else 1.0), outcome.n_images
        )

    trainer = make_trainer(tmp_path, drawn_recipe(lr=0.1), step=step)
    with pytest.raises(TrainingError, match="The loss of a became nan at step 6") as caught:
        trainer.train()
    assert (caught.value.kind, caught.value.step) == ("nan-loss", 5)
    # What is on disk is from before it.
    state = checkpoint.load(tmp_path)
    assert state is not None
    assert state.step == N_BATCHES
    assert all(tensor.isfinite().all() for tensor in state.part("model").values())


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    def step(module: nn.Module, batch: Any) -> Any:
        outcome = classify(module, batch)
        # A finite loss with a gradient that is not: the square root at 0.
        bent = (outcome.loss * 0).sqrt()
        return type(outcome)(bent, outcome.n_images)

    trainer = make_trainer(tmp_path, drawn_recipe(), step=step, checkpoint_every_s=0.0)
    with pytest.raises(TrainingError, match="The weights of a are not finite at step 1"):
        trainer.train()
    assert checkpoint.load(tmp_path) is None


def test_without_classes_there_is_no_share_of_right_ones(tmp_path: Path) -> None:
    def step(module: nn.Module, batch: Any) -> Any:
        outcome = classify(module, batch)
        return type(outcome)(outcome.loss, outcome.n_images)

    make_trainer(tmp_path, drawn_recipe(), step=step).train()
    assert [row.top1 for row in read_curve(tmp_path)] == [None] * N_EPOCHS


def test_a_network_that_asks_for_versions_goes_on(tmp_path: Path) -> None:
    # Files of safetensors have none; MNASNet refuses weights without.
    def make() -> nn.Module:
        torch.manual_seed(1)
        module: nn.Module = mnasnet0_5(num_classes=3)
        return module

    recipe = drawn_recipe()
    with pytest.raises(PlannedError):
        make_trainer(
            tmp_path, recipe, module=make(), on_progress=at_step(N_BATCHES + 1, interrupt)
        ).train()
    assert make_trainer(tmp_path, recipe, module=make()).n_done == N_BATCHES


def test_what_went_wrong_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(TrainingError("nan-loss", 3, "The loss became nan.")))
    assert (error.kind, error.step, str(error)) == ("nan-loss", 3, "The loss became nan.")
