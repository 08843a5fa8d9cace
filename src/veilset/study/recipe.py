# SPDX-License-Identifier: Apache-2.0
"""How a network is trained: every constant of a study, named, and the paper's own values.

The paper is "A Study of Face Obfuscation in ImageNet" (Yang, Yau, Fei-Fei, Deng, Russakovsky,
ICML 2022); where its text is silent, the scripts that its authors released decide.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from veilset.errors import ConfigError
from veilset.files import sha256_hex

CURVES = ("steps", "cosine")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
DECODES = ("exact", "reduced")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what training gives, but network, pictures and seed.

    Attributes:
        name: What it is called.
        epochs: Passes over the images.
        batch_size: Images in a step of the optimizer.
        drop_last: Whether a last batch that is not full is left out.
        lr: Learning rate of stochastic gradient descent, the highest of its curve.
        curve: ``steps``: times ``step_factor`` every ``step_epochs``. ``cosine``: falls to 0.
        step_epochs: See ``curve``.
        step_factor: See ``curve``.
        warmup_epochs: Epochs in which the rate of ``cosine`` rises from ``warmup_factor`` of it.
        warmup_factor: See ``warmup_epochs``.
        momentum: In [0, 1).
        nesterov: Whether momentum looks ahead.
        weight_decay: L2 penalty.
        decay_all: Whether norm layers and biases are decayed too.
        label_smoothing: Share of the target that is spread over all classes, in [0, 1).
        ema: Decay of the running average of the weights that is evaluated; 0 for none.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        channels_last: Whether colours are innermost in memory.
        compile: Whether the network is compiled.
        deterministic: Whether only operations that repeat to the bit may be used.
        decode: ``exact``: whole picture, as torchvision. ``reduced``: no more pixels than needed.
        train_size: Side of the pictures in training, pixels.
        first_size: Side in the first epochs; it grows between ``grow_from`` and ``grow_to``.
        grow_from: Share of the epochs, in [0, 1].
        grow_to: Share of the epochs, in [0, 1].
        size_step: Sizes in between are multiples of it.
        crop_scale: Least and greatest share of a picture's area that is cut out.
        crop_ratio: Least and greatest width over height of what is cut out.
        flip: Probability of a mirrored picture.
        eval_resize: Shorter side before the centre is cut out, pixels.
        eval_crop: Side of what is cut out of the centre, pixels.
        mean: Taken off red, green, blue, as shares of 255.
        std: Red, green, blue are divided by it.

    Raises:
        ConfigError: If a value cannot be used.
    """

    name: str = "paper"
    epochs: int = 90
    batch_size: int = 256
    drop_last: bool = False
    lr: float = 0.1
    curve: str = "steps"
    step_epochs: int = 30
    step_factor: float = 0.1
    warmup_epochs: int = 0
    warmup_factor: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_all: bool = True
    label_smoothing: float = 0.0
    ema: float = 0.0
    precision: str = "32-true"
    channels_last: bool = False
    compile: bool = False
    deterministic: bool = True
    decode: str = "exact"
    train_size: int = 224
    first_size: int = 224
    grow_from: float = 0.0
    grow_to: float = 0.0
    size_step: int = 32
    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    eval_resize: int = 256
    eval_crop: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for key, (is_good, what) in _RULES.items():
            if not is_good(getattr(self, key)):
                raise ConfigError(f"{key}: {getattr(self, key)!r} is not {what}.")
        if self.first_size > self.train_size:
            raise ConfigError(
                f"first_size: {self.first_size} is above train_size, {self.train_size}. "
                "Give both if pictures shall not grow."
            )
        if self.grow_from > self.grow_to:
            raise ConfigError(f"grow_from: {self.grow_from} is above grow_to, {self.grow_to}.")
        if self.curve == "cosine" and self.warmup_epochs >= self.epochs:
            raise ConfigError(
                f"warmup_epochs: {self.warmup_epochs} is not below epochs, {self.epochs}."
            )
        if self.eval_crop > self.eval_resize:
            raise ConfigError(f"eval_crop: {self.eval_crop} is above eval_resize.")

    @property
    def digest(self) -> str:
        """SHA-256 over all values, lower-case hex."""
        return sha256_hex(json.dumps(asdict(self), sort_keys=True).encode())


def _one_of(names: tuple[str, ...]) -> Any:
    return (lambda value: value in names), f"one of {', '.join(names)}"


_POSITIVE = (lambda value: 0 < value < math.inf), "above 0"
_NOT_NEGATIVE = (lambda value: 0 <= value < math.inf), "0 or above"
_SHARE = (lambda value: 0 <= value <= 1), "in [0, 1]"
_PART = (lambda value: 0 <= value < 1), "in [0, 1)"
_RISING = (lambda value: 0 < value[0] <= value[1] < math.inf), "two numbers above 0 that rise"

_RULES: Mapping[str, Any] = {
    "epochs": _POSITIVE, "batch_size": _POSITIVE, "lr": _POSITIVE, "step_epochs": _POSITIVE,
    "step_factor": _POSITIVE, "warmup_epochs": _NOT_NEGATIVE, "warmup_factor": _SHARE,
    "momentum": _PART, "weight_decay": _NOT_NEGATIVE, "label_smoothing": _PART, "ema": _PART,
    "curve": _one_of(CURVES), "precision": _one_of(PRECISIONS), "decode": _one_of(DECODES),
    "train_size": _POSITIVE, "first_size": _POSITIVE, "size_step": _POSITIVE,
    "grow_from": _SHARE, "grow_to": _SHARE, "flip": _SHARE, "crop_ratio": _RISING,
    "crop_scale": ((lambda value: 0 < value[0] <= value[1] <= 1), "two shares in (0, 1] that rise"),
    "eval_resize": _POSITIVE, "eval_crop": _POSITIVE,
    "mean": ((lambda value: all(0 <= each <= 1 for each in value)), "three numbers in [0, 1]"),
    "std": ((lambda value: all(0 < each < math.inf for each in value)), "three numbers above 0"),
}  # fmt: skip

# Decay of all parameters, norm layers too, and no smoothing are the released script's.
PAPER = Recipe()
FAST = Recipe(
    name="fast", epochs=36, batch_size=1024, drop_last=True, lr=2.0, curve="cosine",
    warmup_epochs=5, nesterov=True, weight_decay=5e-5, decay_all=False, label_smoothing=0.1,
    precision="bf16-mixed", channels_last=True, compile=True, deterministic=False,
    decode="reduced", train_size=192, first_size=128, grow_from=0.35, grow_to=0.75,
)  # fmt: skip
SMALL = Recipe(
    name="small", epochs=20, batch_size=64, drop_last=True, curve="cosine", warmup_epochs=2,
    nesterov=True, weight_decay=5e-4, channels_last=True, train_size=64, first_size=64,
    crop_scale=(0.25, 1.0), eval_resize=72, eval_crop=64,
)  # fmt: skip
# The paper fine-tunes as it trains; the rate is tuned for each network and task.
FINETUNE = replace(PAPER, name="finetune", lr=0.01)

RECIPES: Mapping[str, Recipe] = {each.name: each for each in (PAPER, FAST, SMALL, FINETUNE)}


def make_recipe(base: str, changes: Mapping[str, object] | None = None) -> Recipe:
    """Give a recipe by name, with changes.

    Args:
        base: One of ``RECIPES``.
        changes: New values of its fields; lists become tuples. ``train_size`` alone sets
            ``first_size`` too, where pictures do not grow.

    Raises:
        ConfigError: If name, field or value is unknown or cannot be used.

    Example:
        >>> make_recipe("paper", {"epochs": 2}).epochs
        2
    """
    if base not in RECIPES:
        raise ConfigError(f"No recipe is named {base!r}. Known: {', '.join(RECIPES)}.")
    recipe, given = RECIPES[base], dict(changes or {})
    known = {each.name: getattr(recipe, each.name) for each in fields(Recipe)}
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
            raise ConfigError(f"A recipe has no {key!r}.{hint}")
    values: dict[str, Any] = {key: _as(known[key], key, given[key]) for key in given}
    if "train_size" in values and recipe.first_size == recipe.train_size:
        values.setdefault("first_size", values["train_size"])
    return replace(recipe, **values)


def _as(former: object, key: str, value: object) -> object:
    """Check that a value has the type of the former one; whole numbers do for fractions."""
    if isinstance(former, tuple):
        n_wanted = len(former)
        if isinstance(value, list | tuple) and len(value) == n_wanted:
            return tuple(_as(old, key, new) for old, new in zip(former, value, strict=True))
        raise ConfigError(f"{key}: {value!r} is not a list of {n_wanted} numbers.")
    if isinstance(former, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if type(value) is type(former):
        return value
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    raise ConfigError(f"{key}: {value!r} is not {words[type(former)]}.")


def lr_at(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Give the learning rate of a step.

    A pure function, so that a resumed run needs no state of a schedule. At the first step of
    every epoch it equals PyTorch's ``StepLR``, or ``LinearLR`` followed by
    ``CosineAnnealingLR``; within an epoch ``cosine`` follows the same formula.

    Args:
        recipe: Names the curve.
        step: Number of the step from the start of training, from 0.
        steps_per_epoch: Steps in an epoch.

    Example:
        >>> [round(lr_at(PAPER, epoch * 100, 100), 6) for epoch in (0, 29, 30, 89)]
        [0.1, 0.1, 0.01, 0.001]
    """
    if recipe.curve == "steps":
        return recipe.lr * recipe.step_factor ** (step // steps_per_epoch // recipe.step_epochs)
    epoch, warmup = step / steps_per_epoch, recipe.warmup_epochs
    if epoch < warmup:
        first = recipe.warmup_factor
        return recipe.lr * (first + (1.0 - first) * epoch / warmup)
    done = (epoch - warmup) / (recipe.epochs - warmup)
    return recipe.lr * (1.0 + math.cos(math.pi * done)) / 2.0


def size_at(recipe: Recipe, epoch: int) -> int:
    """Give the side of the pictures in an epoch, pixels.

    Linear between the two shares of the epochs, rounded to multiples of ``size_step``.

    Example:
        >>> [size_at(FAST, epoch) for epoch in (0, 12, 18, 20, 27, 35)]
        [128, 128, 160, 160, 192, 192]
    """
    share = epoch / recipe.epochs
    if recipe.first_size == recipe.train_size or share >= recipe.grow_to:
        return recipe.train_size
    if share <= recipe.grow_from:
        return recipe.first_size
    grown = (share - recipe.grow_from) / (recipe.grow_to - recipe.grow_from)
    size = recipe.first_size + grown * (recipe.train_size - recipe.first_size)
    rounded = math.floor(size / recipe.size_step + 0.5) * recipe.size_step
    return min(max(rounded, recipe.first_size), recipe.train_size)
