# SPDX-License-Identifier: Apache-2.0
"""Where two networks look, side by side: trained on originals, and on obfuscated images.

The pictures show people, some of them as they were before obfuscation: their folder is private,
and no report holds one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import ExifTags
from PIL import Image as PillowImage
from torch import nn

from veilset.errors import ConfigError, RunError
from veilset.files import writing
from veilset.learning.devices import arithmetic
from veilset.study.batches import EvalBatches
from veilset.study.checks import annotated
from veilset.study.config import SaliencySpec
from veilset.study.feed import to_device
from veilset.study.gradcam import attention, mass_on, require_grad_cam, shown
from veilset.study.layout import Predictions, read_predictions, write_table
from veilset.study.lists import ImageList
from veilset.study.masses import FORMAT, PAIRS
from veilset.study.networks import build, cam_layer, logits, published
from veilset.study.objects import read_objects
from veilset.study.pictures import PictureSource, open_source
from veilset.study.plan import PlannedRun, Study
from veilset.study.transfer.starts import find_start, load_trained
from veilset.types import FloatBoxes, Image, Status

_SIDES = ("a", "b")
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        *((f"{key}_{side}", pa.string()) for side in _SIDES for key in ("run_id", "setting")),
        ("label", pa.int32()),
        *((f"top1_{side}", pa.int32()) for side in _SIDES),
        *((f"p_{side}", pa.float32()) for side in _SIDES),
        *((f"mass_on_object_{side}", pa.float32()) for side in _SIDES),
        ("file", pa.string()),
    ],
    metadata={"veilset": FORMAT},
)


@dataclass(frozen=True, slots=True)
class SaliencySummary:
    """What was drawn.

    Attributes:
        folder: Private folder with the pictures, and ``pairs.parquet`` about them.
        n_pairs: Pairs of maps.
        n_candidates: Images that could have been chosen.
        n_measured: Pairs of which both maps were compared with the boxes of objects.
        mass_on_object: Mean share of the maps that lies on the objects, in [0, 1], for each
            setting; None if nothing was measured.
    """

    folder: Path
    n_pairs: int
    n_candidates: int
    n_measured: int
    mass_on_object: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class _Viewer:
    """A trained network, and the pictures of the setting that it was trained on."""

    run: PlannedRun
    module: nn.Module
    layer: nn.Module
    predictions: Predictions
    source: PictureSource

    def look(self, images: ImageList, position: int) -> tuple[Image, Any, int, float]:
        """Give what it sees, its map, its first guess and the probability of the true class."""
        one = ImageList(
            (images.image_ids[position],), images.labels[position : position + 1], images.classes
        )
        batch = EvalBatches(self.source, one, self.run.recipe)[0]
        pixels, labels = to_device(batch, torch.device("cpu"), self.run.recipe)
        label = int(labels[0])
        with torch.no_grad():
            scores = logits(self.module, pixels)[0]
        (found,) = attention(self.module, self.layer, pixels, [label])
        seen = np.ascontiguousarray(batch.pixels[0].permute(1, 2, 0).numpy())
        return seen, found, int(scores.argmax()), float(scores.softmax(0)[label])


def saliency_pairs(study: Study) -> SaliencySummary:
    """Draw pairs of saliency maps as the study asks; what was drawn before is replaced.

    Each picture shows, from left to right, what the first network saw, its map, and the same
    of the second.

    Args:
        study: A study whose two runs are finished.

    Raises:
        ConfigError: If it asks for none, or for an image that it does not have.
        RunError: If a run is not finished, or its files are damaged.
        MissingExtraError: If the package grad-cam is not installed.
        DatasetError: If a picture or a file of objects cannot be used.
    """
    spec = study.config.saliency
    if spec is None:
        raise ConfigError("The study asks for no saliency maps. Give it a key 'saliency'.")
    require_grad_cam()
    images = study.lists["val"]
    runs = [_run(study, spec, setting) for setting in spec.settings]
    with arithmetic(runs[0].recipe, "cpu", study.config.threads):
        viewers = [_viewer(study, run) for run in runs]
        chosen, n_candidates = choose_images(
            study, spec, viewers[0].predictions, viewers[1].predictions
        )
        objects = _objects(study, chosen)
        folder = study.paths.saliency
        with writing(folder):
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
            (folder / "pairs").mkdir()
            rows = []
            for number, position in enumerate(chosen):
                row, picture = _pair(viewers, images, position, objects)
                row["file"] = f"pairs/{number:04d}.png"
                PillowImage.fromarray(picture).save(folder / row["file"])
                rows.append(row)
        write_table(folder / PAIRS, pa.Table.from_pylist(rows, schema=SCHEMA))
    return _summary(folder, rows, n_candidates, spec)


def _run(study: Study, spec: SaliencySpec, setting: str) -> PlannedRun:
    for run in study.plan.runs:
        if (run.network.name, run.setting, run.seed) == (spec.network, setting, spec.seed):
            return run
    raise ConfigError(
        f"saliency: nothing is trained on {setting!r} by {spec.network} with seed {spec.seed}. "
        "Name settings that are in 'train'."
    )


def _viewer(study: Study, run: PlannedRun) -> _Viewer:
    start = find_start(study.paths, run.network, run.setting, run.seed)
    if start is None:
        raise RunError(f"{run.run_id} is not finished. Run 'veilset study run' first.")
    n_classes = len(study.classes)
    module = (
        published(run.network, study.config.weights, n_classes=n_classes)[0]
        if run.init == "weights"
        else build(run.network, n_classes, seed=run.seed)
    )
    load_trained(module, start)
    predictions = read_predictions(
        study.paths.predictions(run.run_id, run.setting),
        {"run_id": run.run_id, "weights_sha256": start.weights_sha256}
        | {"list_sha256": study.lists["val"].sha256},
    )
    source = open_source(study.config, run.setting)
    layer = cam_layer(module, run.network)
    return _Viewer(run, module.eval(), layer, predictions, source)


def choose_images(
    study: Study, spec: SaliencySpec, a: Predictions, b: Predictions
) -> tuple[list[int], int]:
    """Choose the images whose maps are worth a look.

    Args:
        study: The study.
        spec: ``most-dropped``: images with faces that the first network gets right and the
            second wrong, the true class having lost most probability first; all images
            count as such where the study has no annotations. ``list``: those of the list.
        a: Predictions of the first network, in the order of the list of validation images.
        b: Those of the second.

    Returns:
        Their places in the list, and how many there were to choose from.

    Raises:
        ConfigError: If the study does not evaluate an image of the list.
    """
    ids = study.lists["val"].image_ids
    if spec.choose == "list":
        places = {image_id: place for place, image_id in enumerate(ids)}
        unknown = [image_id for image_id in spec.images if image_id not in places]
        if unknown:
            raise ConfigError(f"saliency.images: the study evaluates no image {unknown[0]!r}.")
        return [places[image_id] for image_id in spec.images], len(spec.images)
    is_candidate = (a.top[:, 0] == a.labels) & (b.top[:, 0] != b.labels)
    if study.config.data.annotations is not None:
        with_faces = _with_faces(study)
        is_candidate &= np.array([image_id in with_faces for image_id in ids])
    drop = _chance(a) - _chance(b)
    candidates = sorted(np.flatnonzero(is_candidate).tolist(), key=lambda p: (-drop[p], ids[p]))
    return candidates[: spec.n], len(candidates)


def _chance(predictions: Predictions) -> NDArray[np.float64]:
    """Give the probability of the true class, of which the loss is the negative logarithm."""
    return np.exp(-predictions.loss.astype(np.float64))


def _with_faces(study: Study) -> set[str]:
    config = study.config
    return {
        image_id
        for image_id, row in annotated(config, {"val": study.lists["val"]})
        if row.status is Status.LOOKED
        and any(region.passes(config.data.min_score) for region in row.regions)
    }


def _objects(study: Study, chosen: list[int]) -> Mapping[str, FloatBoxes]:
    """Give the boxes of objects in those of some images that are stored as they are seen."""
    spec, root = study.config.data.objects, study.config.settings[study.config.reference].root
    if spec is None or root is None or not chosen:
        return {}
    images = study.lists["val"]
    ids = [images.image_ids[position] for position in chosen]
    folders = [images.classes[images.labels[position]] for position in chosen]
    found = read_objects(spec, ids, folders)
    return {name: boxes for name, boxes in found.items() if not _is_turned(root / name)}


def _is_turned(path: Path) -> bool:
    # Of such a picture it is not known whether its boxes are meant before or after turning.
    with PillowImage.open(path) as picture:
        return bool(picture.getexif().get(ExifTags.Base.Orientation, 1) != 1)


def _pair(
    viewers: list[_Viewer], images: ImageList, position: int, objects: Mapping[str, FloatBoxes]
) -> tuple[dict[str, Any], Image]:
    """Give the row and the picture of a pair."""
    image_id = images.image_ids[position]
    row: dict[str, Any] = {"image_id": image_id, "label": int(images.labels[position])}
    panels = []
    for side, viewer in zip(_SIDES, viewers, strict=True):
        seen, found, top1, chance = viewer.look(images, position)
        panels += [seen, shown(seen, found)]
        row |= {f"run_id_{side}": viewer.run.run_id, f"setting_{side}": viewer.run.setting}
        row |= {f"top1_{side}": top1, f"p_{side}": chance, f"mass_on_object_{side}": None}
        if image_id in objects:
            size_wh = viewer.source.read(image_id).size
            row[f"mass_on_object_{side}"] = mass_on(
                found, objects[image_id], size_wh, viewer.run.recipe.eval_resize
            )
    return row, np.concatenate(panels, axis=1)


def _summary(
    folder: Path, rows: list[dict[str, Any]], n_candidates: int, spec: SaliencySpec
) -> SaliencySummary:
    masses = [[row[f"mass_on_object_{side}"] for side in _SIDES] for row in rows]
    both = [pair for pair in masses if None not in pair]
    means = np.mean(both, axis=0).tolist() if both else [None, None]
    measured = dict(zip(spec.settings, means, strict=True))
    return SaliencySummary(folder, len(rows), n_candidates, len(both), measured)
