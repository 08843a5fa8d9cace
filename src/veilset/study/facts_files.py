# SPDX-License-Identifier: Apache-2.0
"""Facts of images and categories as files, and gathered from what the study names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from veilset.study.checks import annotated
from veilset.study.drops import means_by_class
from veilset.study.facts import ImageFacts, collect_facts
from veilset.study.layout import write_table
from veilset.study.lists import SPLITS, ImageList
from veilset.study.objects import read_objects
from veilset.study.plan import Study
from veilset.study.small_tables import groups_of
from veilset.types import FloatBoxes

FORMAT = "veilset-study-facts/1"

IMAGES, CATEGORIES = "images.parquet", "categories.parquet"


def make_facts(study: Study, names: Sequence[str]) -> dict[str, ImageFacts] | None:
    """Gather what is known of all images, and write it into the folder of the study.

    Args:
        study: The study.
        names: For people, of each class.

    Returns:
        By split; None if the study names no annotation set.

    Raises:
        AnnotationError: If the annotation set or the boxes of objects cannot be used.
    """
    data = study.config.data
    if data.annotations is None:
        return None
    image_ids = list(chain.from_iterable(study.lists[split].image_ids for split in SPLITS))
    rows = annotated(study.config, study.lists)
    known = collect_facts(image_ids, rows, min_score=data.min_score, objects=_objects(study))
    facts, start = {}, 0
    for split in SPLITS:
        n_images = len(study.lists[split].image_ids)
        facts[split] = known.part(start, start + n_images)
        start += n_images
    write_table(study.paths.facts / IMAGES, images_table(facts, study.lists))
    write_table(study.paths.facts / CATEGORIES, categories_facts(facts, study.lists, names))
    return facts


def _objects(study: Study) -> Mapping[str, FloatBoxes]:
    spec, val = study.config.data.objects, study.lists["val"]
    if spec is None:
        return {}
    return read_objects(spec, val.image_ids, val.folders)


def images_table(facts: Mapping[str, ImageFacts], lists: Mapping[str, ImageList]) -> pa.Table:
    """Give the facts of all images as a table, one row each."""
    parts = []
    for split, known in facts.items():
        images = lists[split]
        columns = {
            "image_id": pa.array(images.image_ids, pa.string()),
            "split": pa.array([split] * len(images.image_ids), pa.string()),
            "label": pa.array(images.labels, pa.int32()),
            "status": pa.array(known.status, pa.string()),
            "n_faces": pa.array(known.n_faces, pa.int32()),
            "obfuscated_share": _with_gaps(known.obfuscated_share),
            "largest_px": _with_gaps(known.largest_px),
            "smallest_relative": _with_gaps(known.smallest_relative),
            "group": pa.array(groups_of(known), pa.string()),
            "object_covered": _with_gaps(known.object_covered),
            "n_objects": pa.array(known.n_objects, pa.int32()),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts).replace_schema_metadata({"veilset": FORMAT})


def categories_facts(
    facts: Mapping[str, ImageFacts], lists: Mapping[str, ImageList], names: Sequence[str]
) -> pa.Table:
    """Give what is known of each category: images by split, and means over the test images."""
    classes = lists["val"].classes
    columns: dict[str, pa.Array] = {
        "label": pa.array(range(len(classes)), pa.int32()),
        "category": pa.array(classes, pa.string()),
        "name": pa.array(names, pa.string()),
    }
    for split, known in facts.items():
        labels = lists[split].labels
        for name, chosen in (
            ("n_images", np.ones(len(labels), dtype=np.bool_)),
            ("n_looked", known.is_looked),
            ("n_with", known.with_faces),
        ):
            counts = np.bincount(labels[chosen], minlength=len(classes))
            columns[f"{split}_{name}"] = pa.array(counts, pa.int32())
    labels = lists["val"].labels
    for name in ("obfuscated_share", "object_covered"):
        means = means_by_class(getattr(facts["val"], name), labels, len(classes))
        columns[name] = _with_gaps(means)
    return pa.table(columns).replace_schema_metadata({"veilset": FORMAT})


def _with_gaps(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)
