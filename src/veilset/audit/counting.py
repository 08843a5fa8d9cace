# SPDX-License-Identifier: Apache-2.0
"""All numbers of an audit, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from veilset.annotations.store import AnnotationSet
from veilset.audit.card import nouns_of
from veilset.audit.config import AuditConfig
from veilset.audit.counts import (
    count_categories,
    count_images,
    count_per_image,
    count_regions,
    make_categories,
    measure_sizes,
)
from veilset.audit.database import Database
from veilset.audit.disparity import measure_disparity
from veilset.audit.hierarchy import Hierarchy
from veilset.audit.judging import judge_reference
from veilset.audit.mapping import Mapping as MappingFile
from veilset.audit.people import count_people
from veilset.audit.supercategories import make_supercategories
from veilset.audit.tables import fill_tables
from veilset.audit.who import describe_people
from veilset.pages.drawings import CurvePoint
from veilset.protocols import Reader
from veilset.records.audits import FORMAT

OnStep = Callable[[str], None]
"""Told the name of each step as it begins."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What an audit counts from.

    Attributes:
        name: Name of the data set.
        annotations: Its finished annotation set.
        photos: The data set; None to take the set's word for what is in it.
        mapping: Mapping file of categories; None for none.
        hierarchy: What is a kind of what; None for no supercategories.
        reference: The same images, reviewed by people; None for no disparity.
        labels: Names for people of categories, where the hierarchy has none.
        look: What was estimated from the images, and with what; None if nothing was.
    """

    name: str
    annotations: AnnotationSet
    photos: Reader | None = None
    mapping: MappingFile | None = None
    hierarchy: Hierarchy | None = None
    reference: AnnotationSet | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    look: dict[str, Any] | None = None


def count_everything(
    database: Database, sources: Sources, config: AuditConfig, n_threads: int, on_step: OnStep
) -> dict[str, Any]:
    """Count all there is to count; give it as JSON values.

    Args:
        database: Empty; afterwards it holds the tables that ``results`` writes.
        sources: What to count from.
        config: Settings.
        n_threads: Threads for the work outside the database.
        on_step: Told what is done next.

    Raises:
        AnnotationError, ConfigError, DatasetError: See the parts.
    """
    on_step("read the annotation set")
    annotations = sources.annotations
    population = fill_tables(database, annotations, sources.photos, config, sources.mapping)
    on_step("count")
    noun, plural = nouns_of(config.kind)
    make_categories(database, sources.hierarchy, sources.labels)
    found: dict[str, Any] = {
        "format": FORMAT,
        "veilset": version("veilset"),
        "data_set": sources.name,
        "kind": config.kind,
        "noun": noun,
        "plural": plural,
        "config": asdict(config),
        "annotations": describe_set(annotations),
        "look": sources.look,
        "population": {
            "n_images": population.n_images,
            "n_not_in_set": population.n_not_in_set,
            "n_gone": population.n_gone,
            "is_listed": sources.photos is not None,
        },
        "mapping": asdict(population.mapped) if population.mapped else None,
        "images": count_images(database),
        "per_image": count_per_image(database),
        "regions": count_regions(database),
        "sizes": measure_sizes(database),
        "categories": count_categories(database, config.n_listed),
        "supercategories": _supercategories(database, sources.hierarchy, config),
        "persons": count_people(database, config),
        "people": describe_people(database, config.n_listed),
        "disparity": None,
    }
    if sources.reference is not None:
        on_step("compare with the reviewed set")
        found["disparity"] = _disparity(database, sources, sources.reference, config, n_threads)
    return found


def curve_points(database: Database) -> list[CurvePoint]:
    """Give the categories with their shares, the largest first."""
    rows = database.rows(
        "SELECT name, share, low, high, n_looked FROM categories WHERE share IS NOT NULL "
        "ORDER BY rank"
    )
    return [CurvePoint(*row) for row in rows]


def describe_set(annotations: AnnotationSet) -> dict[str, Any]:
    """Give what identifies an annotation set, and the models behind it."""
    manifest = annotations.manifest
    return {
        "stage": manifest["stage"],
        "run_id": manifest["run_id"],
        "outputs_sha256": manifest["outputs_sha256"],
        "models": [card["name"] for card in manifest.get("models", [])],
    }


def _supercategories(
    database: Database, hierarchy: Hierarchy | None, config: AuditConfig
) -> dict[str, Any]:
    if hierarchy is None:
        text = "No hierarchy was given (--hierarchy), so categories were not summed up."
        return {"missing": text, "n_known": 0, "n_unknown": 0, "unknown": [], "rows": []}
    found = make_supercategories(database, hierarchy, config.synsets, config.min_categories)
    missing = ""
    if not found["n_known"]:
        shown = f", the first is {found['unknown'][0]!r}" if found["unknown"] else ""
        missing = (
            f"None of {found['n_unknown']:,} categories is a synset of the hierarchy{shown}, so "
            "they were not summed up. If they stand for synsets, say which in a mapping file."
        )
    return {"missing": missing, **found}


def _disparity(
    database: Database,
    sources: Sources,
    reference: AnnotationSet,
    config: AuditConfig,
    n_threads: int,
) -> dict[str, Any]:
    judged = judge_reference(
        database, sources.annotations, reference, sources.photos, config, n_threads
    )
    return {
        "reference": describe_set(reference),
        "judged": asdict(judged),
        **measure_disparity(database, config),
    }
