# SPDX-License-Identifier: Apache-2.0
"""Whether all networks of a study can be built and take its pictures, before any is trained."""

from __future__ import annotations

import json

import torch

from veilset.errors import ConfigError
from veilset.study.config import NetworkSpec, StudyConfig
from veilset.study.networks import REFUSALS, build, check_name, logits, weights_url
from veilset.study.recipe import Recipe, size_at
from veilset.study.yaml_values import within


def check_networks(config: StudyConfig, file: str) -> None:
    """Refuse networks that nobody knows, that cannot be built, or that the pictures do not fit.

    Names are looked up first, all of them. Then each network is built and asked without
    storage, on PyTorch's device ``meta``: no weight is drawn, and no picture is looked at.

    Args:
        config: The study.
        file: Name of the file that it was read from, for messages.

    Raises:
        ConfigError: If one cannot be used; the message says where in the file it stands, and
            names the nearest that there are.
    """
    with within(file, colon=", "):
        _check_names(config.networks)
        seen = set()
        for number, spec in enumerate(config.networks):
            is_trained = (spec.init or config.init) == "random"
            key = json.dumps([spec.source, spec.model_name, dict(spec.arguments), is_trained])
            if key in seen:
                continue
            seen.add(key)
            with within(f"networks[{number}]"):
                if not is_trained and config.weights is None:
                    weights_url(spec)
                _check_sizes(spec, config.recipe, is_trained=is_trained)


def _check_names(networks: tuple[NetworkSpec, ...]) -> None:
    unknown = []
    for number, spec in enumerate(networks):
        try:
            with within(f"networks[{number}]"):
                check_name(spec)
        except ConfigError as error:
            unknown.append(str(error))
    if unknown:
        raise ConfigError(" ".join(unknown))


def _check_sizes(spec: NetworkSpec, recipe: Recipe, *, is_trained: bool) -> None:
    asked = [("eval_crop", recipe.eval_crop, False)]
    if is_trained:
        # Pictures never shrink.
        least = size_at(recipe, 0)
        key = "train_size" if recipe.first_size == recipe.train_size else "first_size"
        asked.append((key, least, True))
    for key, size, in_training in asked:
        reason = _refusal(spec, size, in_training=in_training)
        if reason:
            raise ConfigError(
                f"{spec.name} cannot take pictures of {size} x {size} pixels, as {key} of the "
                f"recipe asks ({reason}). Raise {key}, or name another network."
            )


def _refusal(spec: NetworkSpec, size: int, *, in_training: bool) -> str:
    """Say why a network cannot take pictures of a size, "" if it can."""
    reason = ""
    # Not every operation of every network is there without storage: what fails is tried in
    # earnest before it is refused.
    for device in ("meta", "cpu"):
        try:
            # Dropout draws from the global generator, which is not ours.
            with torch.random.fork_rng(devices=[]), torch.device(device), torch.no_grad():
                module = build(spec, 2, seed=0).train(in_training)
                scores = logits(module, torch.zeros(2, 3, size, size))
        except ConfigError:
            # It cannot be built at all, whatever the size of the pictures.
            if device == "cpu":
                raise
        except REFUSALS as error:
            reason = str(error).partition("\n")[0].rstrip(".")
        else:
            if tuple(scores.shape) != (2, 2):
                raise ConfigError(
                    f"The network {spec.name!r} gives something else than a score for each class. "
                    "Mend its 'arguments', or name another network."
                )
            return ""
    return reason or "no reason is given"
