# SPDX-License-Identifier: Apache-2.0
"""The optimizer of a recipe: stochastic gradient descent, and an average of the weights.

The learning rate is a pure function of the step (``recipe.lr_at``), so that there is no
scheduler, and none has to be restored.
"""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from veilset.study.recipe import Recipe


def make_optimizer(module: nn.Module, recipe: Recipe) -> SGD:
    """Give the optimizer of a recipe for the parameters of a network.

    With ``recipe.decay_all`` every parameter decays, biases and those of normalisation too, as in
    the released training script; otherwise only those of two dimensions or more do.

    Args:
        module: The network; parameters that need no gradient are left out.
        recipe: Momentum, Nesterov, weight decay; its learning rate is that of the first step only.
    """
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            (decayed if recipe.decay_all or parameter.ndim > 1 else kept).append(parameter)
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}]
    if kept:
        groups.append({"params": kept, "weight_decay": 0.0})
    return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def make_average(module: nn.Module, decay: float) -> AveragedModel:
    """Give a running average of a network: ``decay`` times itself plus the rest of the network.

    The first ``update_parameters`` makes it a copy. Statistics of batch normalisation are averaged
    as well, so that the average can be evaluated as it is.

    Args:
        module: The network.
        decay: In (0, 1); 0.9999 looks back over some ten thousand steps.
    """
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
