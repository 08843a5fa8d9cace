# SPDX-License-Identifier: Apache-2.0
"""Learning rates against PyTorch's own schedules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR, StepLR

from veilset.errors import ConfigError
from veilset.study.recipe import FAST, PAPER, RECIPES, SMALL, Recipe, lr_at, make_recipe, size_at


def rates(recipe: Recipe, schedule_of: Callable[[Any], Any]) -> list[float]:
    """Learning rate of every epoch by a schedule of PyTorch, which steps once an epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=recipe.lr)
    schedule = schedule_of(optimizer)
    found = []
    for _ in range(recipe.epochs):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


def test_paper_is_step_lr() -> None:
    reference = rates(PAPER, lambda optimizer: StepLR(optimizer, 30, 0.1))
    for epoch, rate in enumerate(reference):
        for step in (0, 1, 4999, 5004):
            assert lr_at(PAPER, epoch * 5005 + step, 5005) == pytest.approx(rate, rel=1e-12)


# SequentialLR itself steps its parts in the way that PyTorch warns of.
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
@pytest.mark.parametrize("recipe", [FAST, SMALL], ids=lambda recipe: recipe.name)
def test_cosine_is_linear_lr_and_cosine_annealing_lr(recipe: Recipe) -> None:
    warm = recipe.warmup_epochs
    reference = rates(
        recipe,
        lambda optimizer: SequentialLR(
            optimizer,
            [
                LinearLR(optimizer, recipe.warmup_factor, total_iters=warm),
                CosineAnnealingLR(optimizer, T_max=recipe.epochs - warm),
            ],
            [warm],
        ),
    )
    ours = [lr_at(recipe, epoch * 34, 34) for epoch in range(recipe.epochs)]
    assert ours == pytest.approx(reference, rel=1e-12)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_rates_of_steps_lie_between_those_of_epochs(recipe: Recipe) -> None:
    for epoch in range(recipe.epochs - 1):
        first, middle, last = (lr_at(recipe, epoch * 8 + step, 8) for step in (0, 4, 8))
        assert min(first, last) <= middle <= max(first, last)
    assert 0 < lr_at(recipe, recipe.epochs * 8 - 1, 8) <= recipe.lr / 20


def test_pictures_grow_in_steps_of_32() -> None:
    sizes = [size_at(FAST, epoch) for epoch in range(FAST.epochs)]
    assert sorted(sizes) == sizes
    assert set(sizes) == {128, 160, 192}
    # Linear from 35 to 75 per cent of 36 epochs, rounded: 160 is nearest from a quarter on.
    assert [sizes.index(size) for size in (160, 192)] == [17, 24]
    assert {size_at(PAPER, epoch) for epoch in range(90)} == {224}


def test_the_paper_is_what_the_paper_says() -> None:
    asked = {"epochs": 90, "batch_size": 256, "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4,
             "step_epochs": 30, "step_factor": 0.1, "nesterov": False, "train_size": 224,
             "eval_resize": 256, "eval_crop": 224, "label_smoothing": 0.0}  # fmt: skip
    assert asked.items() <= asdict(PAPER).items()


def test_every_value_is_in_the_digest() -> None:
    digests = [PAPER.digest]
    for key, value in asdict(FAST).items():
        # Pictures that grow need several values at once.
        if value != getattr(PAPER, key) and key not in ("first_size", "train_size", "grow_from"):
            digests.append(replace(PAPER, **{key: value}).digest)
    assert len(set(digests)) == len(digests) > 15


def test_a_size_alone_stays_one_size() -> None:
    recipe = make_recipe("paper", {"train_size": 96})
    assert [size_at(recipe, epoch) for epoch in (0, 40, 89)] == [96, 96, 96]
    with pytest.raises(ConfigError, match=r"grow_from: 0.9 is above grow_to"):
        make_recipe("fast", {"grow_from": 0.9})
