# SPDX-License-Identifier: Apache-2.0
"""The optimizer equals that of the released training script, the average its formula."""

from __future__ import annotations

import torch
from torch import nn

from veilset.study.optimizer import make_average, make_optimizer, set_lr
from veilset.study.recipe import make_recipe


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5))


def some_steps(module: nn.Module, optimizer: torch.optim.Optimizer, n: int) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(n):
        loss = module(torch.randn(2, 3, 8, 8, generator=generator)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_the_paper_s_decays_every_parameter_alike() -> None:
    module, recipe = network(), make_recipe("paper", {})
    groups = make_optimizer(module, recipe).param_groups
    assert [group["weight_decay"] for group in groups] == [1e-4]
    found = [id(parameter) for parameter in groups[0]["params"]]
    assert found == [id(parameter) for parameter in module.parameters()]


def test_the_paper_s_steps_are_those_of_the_released_script() -> None:
    ours, theirs, recipe = network(), network(), make_recipe("paper", {})
    optimizer = make_optimizer(ours, recipe)
    set_lr(optimizer, 0.01)
    # experiments/trainval.py: SGD(model.parameters(), lr, momentum=0.9, weight_decay=1e-4)
    released = torch.optim.SGD(theirs.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    some_steps(ours, optimizer, 3)
    some_steps(theirs, released, 3)
    for name, value in ours.state_dict().items():
        assert value.equal(theirs.state_dict()[name]), name


def test_fast_spares_norms_and_biases() -> None:
    module, recipe = network(), make_recipe("fast", {})
    decayed, spared = make_optimizer(module, recipe).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (recipe.weight_decay, 0.0)
    assert decayed["nesterov"]
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    assert [names[id(parameter)] for parameter in decayed["params"]] == ["0.weight", "3.weight"]
    assert len(spared["params"]) == 4


def test_what_is_frozen_is_left_alone() -> None:
    module = network()
    module[0].requires_grad_(False)
    groups = make_optimizer(module, make_recipe("paper", {})).param_groups
    assert sum(len(group["params"]) for group in groups) == 4


def test_the_average_is_its_formula() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = make_average(module, 0.9)
    expected = None
    for value in (1.0, 5.0, -2.0):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update_parameters(module)
        expected = value if expected is None else 0.9 * expected + 0.1 * value
    assert torch.isclose(average.module.weight, torch.tensor(expected)).all()
