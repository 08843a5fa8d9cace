# SPDX-License-Identifier: Apache-2.0
"""A study that was "run": predictions drawn by chance, written as a run writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from veilset.annotations.store import write_annotations
from veilset.protocols import Shard, ShardReport
from veilset.runs import Run
from veilset.study.config import DataSpec, NetworkSpec, SettingSpec, StudyConfig
from veilset.study.layout import Predictions, write_predictions
from veilset.study.lists import ImageList, write_list
from veilset.study.plan import Study, make_plan
from veilset.study.recipe import PAPER
from veilset.study.records import Work, check_started, finish_run
from veilset.types import Annotations, ImageRecord, Region, Status

NETWORKS, SETTINGS, SEEDS = (
    ("small", "wide", "deep"),
    ("original", "blurred", "overlaid"),
    (1, 2, 3),
)
N_CLASSES, PER_CLASS = 7, 30

Logits = Callable[[np.random.Generator, str, str, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Drawn:
    """What a drawn study is like.

    Attributes:
        classes: Folders of its classes.
        per_class: Test images of each.
        settings: The first is the reference.
        networks: Names.
        seeds: Of every run.
        evaluate: As in ``study.yaml``.
        cost: By how much each setting lowers the logit of the truth.
        with_scores: Whether logits are kept.
        options: Further fields of ``StudyConfig``.
    """

    classes: Sequence[str] = tuple(f"class{k}" for k in range(N_CLASSES))
    per_class: int = PER_CLASS
    settings: Sequence[str] = SETTINGS
    networks: Sequence[str] = NETWORKS
    seeds: Sequence[int] = SEEDS
    evaluate: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    train: Sequence[str] = ()
    cost: Mapping[str, float] = field(default_factory=lambda: {"blurred": 0.2, "overlaid": 0.5})
    with_scores: bool = True
    data: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def draw_results(base: Path, drawn: Drawn | None = None, *, annotations: bool = True) -> Study:
    """Write a study with all its runs finished; give it as ``load_study`` would."""
    drawn = drawn or Drawn()
    labels = np.repeat(np.arange(len(drawn.classes)), drawn.per_class)
    lists = {
        split: ImageList(
            tuple(f"{split}/{drawn.classes[k]}/{i:04d}.jpg" for i, k in enumerate(labels.tolist())),
            labels.astype(np.int64),
            tuple(drawn.classes),
        )
        for split in ("train", "val")
    }
    known = {"annotations": draw_annotations(base / "faces", lists)} if annotations else {}
    trained = tuple(drawn.train or drawn.settings)
    config = StudyConfig(
        name="drawn",
        out=base / "study",
        data=DataSpec(**{**known, **drawn.data}),
        settings={name: SettingSpec(name, root=base / name) for name in drawn.settings},
        networks=tuple(NetworkSpec(name) for name in drawn.networks),
        seeds=tuple(drawn.seeds),
        train=trained,
        evaluate=drawn.evaluate or {name: (name,) for name in trained},
        bootstrap=1000,
        **drawn.options,
    )
    study = Study(config, config.out, make_plan(config), lists, {})
    config.out.mkdir(parents=True)
    for split, images in lists.items():
        study.paths.images(split).parent.mkdir(exist_ok=True)
        write_list(study.paths.images(split), images)
    for run in study.plan.runs:
        folder = study.paths.run(run.run_id)
        folder.mkdir(parents=True)
        check_started(folder, {"run_id": run.run_id})
        for setting in run.evaluate:
            draw_predictions(study, run.run_id, run.setting, setting, drawn)
        finish_run(folder, f"weights of {run.run_id}", Work(), device="none")
    return study


def draw_predictions(study: Study, run_id: str, trained: str, setting: str, drawn: Drawn) -> None:
    """Draw the logits of one run: noise, and something for the truth."""
    rng = np.random.default_rng([ord(letter) for letter in f"{run_id}/{setting}"])
    images = study.lists["val"]
    n_images, n_classes = len(images.image_ids), len(images.classes)
    logits = rng.normal(size=(n_images, n_classes)).astype(np.float32)
    lost = drawn.cost.get(trained, 0.0) / 2 + drawn.cost.get(setting, 0.0) / 2
    logits[np.arange(n_images), images.labels] += 1.2 - lost
    # Some scores are alike, within images and between them.
    logits = np.round(logits, 1)
    top = np.argsort(-logits, axis=1, kind="stable")[:, : min(5, n_classes)].astype(np.int32)
    write_predictions(
        study.paths.predictions(run_id, setting),
        Predictions(
            images.image_ids, images.labels, top, logits if drawn.with_scores else None,
            run_id, setting, np.zeros(n_images, np.float32),
        ),
        n_classes=n_classes,
        digests={
            "weights_sha256": f"weights of {run_id}",
            "list_sha256": images.sha256,
            "classes_sha256": "",
            "recipe_sha256": PAPER.digest,
        },
    )  # fmt: skip


def draw_annotations(folder: Path, lists: Mapping[str, ImageList]) -> Path:
    """Write what a detector might say of these images: every fifth was not searched."""
    rows = [
        _row(i + 1 - at, image_id)
        for at, images in enumerate(lists.values())
        for i, image_id in enumerate(images.image_ids)
        # Of the images to train on the set names every second.
        if at or i % 2
    ]
    rows.sort(key=lambda row: ImageRecord(row.image_id).order_key)
    with Run.open(folder, "detect", {}, {"root": "photos"}) as run:
        shard = Shard(0, tuple(ImageRecord(row.image_id) for row in rows))
        for _ in run.missing([shard]):
            digest = write_annotations(folder, 0, rows)
            run.commit(ShardReport(0, len(rows), {}, {}, digest))
        run.finish()
    return folder


def _row(i: int, image_id: str) -> Annotations:
    if i % 5 == 0:
        return Annotations(image_id, Status.NOT_LOOKED)
    side = 4 + i % 31
    faces = {
        1: [(10, 10, 10 + side, 10 + side)],
        2: [(0, 0, 40, 30), (50, 50, 56, 57)],
        3: [(0, 0, 20, 20), (60, 10, 60 + side, 30)],
        4: [],
    }[i % 5]
    regions = [Region((float(a), float(b), float(c), float(d))) for a, b, c, d in faces]
    return Annotations(image_id, Status.LOOKED, tuple(regions), 100, 80)
