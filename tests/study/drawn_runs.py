# SPDX-License-Identifier: Apache-2.0
"""A study that takes a moment: drawn pictures in three classes, and a network of 2,000 weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from veilset.study.config import DataSpec, NetworkSpec, SettingSpec, StudyConfig
from veilset.study.opening import open_study
from veilset.study.plan import Study
from veilset.study.recipe import make_recipe

CLASSES = ("blue", "green", "red")
N_TRAIN, N_VAL = 8, 3
TINY = NetworkSpec(
    name="tiny",
    source="timm",
    model="resnet18",
    arguments={"layers": [1, 1, 1, 1], "channels": [4, 4, 8, 8]},
)


def draw_setting(root: Path, *, darker: int = 0) -> None:
    """Draw noise that is brighter in one colour, the class."""
    for split, n in (("train", N_TRAIN), ("val", N_VAL)):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(n):
                random = np.random.default_rng([label, index, len(split)])
                pixels = random.integers(0, 120, (40, 48, 3))
                pixels[..., label] += 100
                picture = np.maximum(pixels - darker, 0).astype(np.uint8)
                PillowImage.fromarray(picture).save(folder / f"{index}.png")


def drawn_config(base: Path, **changes: Any) -> StudyConfig:
    """Give a study of two settings, drawing their pictures first if they are not there."""
    settings = {}
    for name, darker in (("original", 0), ("dark", 60)):
        if not (base / name).exists():
            draw_setting(base / name, darker=darker)
        settings[name] = SettingSpec(name, root=base / name)
    recipe = make_recipe(
        "small",
        {"epochs": 2, "warmup_epochs": 1, "batch_size": 8, "train_size": 16}
        | {"eval_resize": 18, "eval_crop": 16},
    )
    config = StudyConfig(
        name="drawn",
        out=base / "out",
        data=DataSpec(),
        settings=settings,
        networks=(TINY,),
        seeds=(1,),
        train=tuple(settings),
        recipe=recipe,
    )
    return replace(config, **changes)


def drawn_study(base: Path, **changes: Any) -> Study:
    """Give the same, opened."""
    return open_study(drawn_config(base, **changes))
