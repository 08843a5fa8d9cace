# SPDX-License-Identifier: Apache-2.0
"""Audit: data set and annotation set in, who and what is in it out.

Everything is counted in DuckDB, in bounded memory, so that 1.5 million images are audited as
100 are.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from veilset.annotations.store import AnnotationSet
from veilset.audit.card import limits_of, render_card, summarize
from veilset.audit.config import AuditConfig, DataCard
from veilset.audit.counting import OnStep, Sources, count_everything, curve_points
from veilset.audit.croissant import render_croissant
from veilset.audit.database import MIN_MEMORY_MB, Database
from veilset.audit.hierarchy import read_hierarchy
from veilset.audit.mapping import open_mapping
from veilset.audit.page import render_page
from veilset.audit.phase import Looking, OnNotice, draw_labelled, open_looking
from veilset.audit.places import WORK, clear_audit, kept_beside
from veilset.audit.raster import import_resvg, write_figures
from veilset.audit.results import TableFile, write_tables
from veilset.dataset.folder import check_apart
from veilset.dataset.locations import Location, local_path, location_of
from veilset.dataset.places import open_reader
from veilset.dataset.stores import open_store
from veilset.engine.drive import OnProgress
from veilset.engine.threads import resolve_workers
from veilset.errors import ConfigError
from veilset.files import finite, sha256_file, sha256_hex, write_atomically
from veilset.pages.audit_figures import Figure, draw_figures
from veilset.protocols import EngineSettings, Shard, ShardReport
from veilset.runs import Run, RunSummary

__all__ = ["AuditConfig", "DataCard", "audit_dataset"]

log = logging.getLogger(__name__)

DEFAULT_MEMORY_MB = 512


def audit_dataset(
    photos: str | Path | None,
    annotations: str | Path,
    out: str | Path,
    config: AuditConfig | None = None,
    *,
    mapping: str | Path | None = None,
    hierarchy: str | Path | None = None,
    reference: str | Path | None = None,
    workers: int | None = None,
    memory_mb: int = DEFAULT_MEMORY_MB,
    engine: str | EngineSettings = "local",
    on_step: OnStep | None = None,
    on_progress: OnProgress | None = None,
    on_notice: OnNotice | None = None,
) -> RunSummary:
    """Count who and what is in a data set, and write it up.

    ``out`` gets ``audit.json`` with all numbers, ``index.html``, ``tables/`` as CSV and
    Parquet, ``figures/`` as SVG and PNG, ``card.md`` and ``croissant.json``. No picture of the data
    set is in it. An audit that is there already is made anew.

    Where estimates are asked for, every image is opened once before anything is counted:
    ``out`` then gets ``annotations``, a copy of the set with the estimates in it, and
    ``categories.csv`` where images were classified. That goes on where it was stopped, and is
    kept and counted again by the next audit in the folder that asks for the same. With
    ``labelled``, pictures of people lie in ``private``, for nobody but its owner.

    Args:
        photos: Folder of images; None to take the annotation set's word for what is in it.
            Images that the set does not name count as not searched, images that are gone
            are left out.
        annotations: Finished annotation set of those images.
        out: Folder for the audit: new, empty, or that of an earlier audit.
        config: Settings; None for the defaults.
        mapping: CSV file with the category of each image or folder; None for folder names.
        hierarchy: Folder with the files of BREEDS or of WordNet; None for no supercategories.
        reference: Annotation set of the same images that people reviewed, to measure
            whether groups are found and protected alike; None for no such measurement.
        workers: Threads; None for all cores. Does not change the result.
        memory_mb: What the database may hold in memory; beyond it, it writes to ``out``.
        engine: Name of the engine plugin that looks at the images, or its settings.
        on_step: Told what is done next.
        on_progress: Called as images end, while they are looked at.
        on_notice: Told the licence of each model before it is used.

    Returns:
        Counts: images by status, ``with_regions`` and ``n_regions``. ``extra["summary"]``
        tells the result in a few sentences, ``extra["n_failed"]`` at how many images the
        look failed, ``extra["n_labelled"]`` how many pictures were drawn for private use.

    Raises:
        AnnotationError: If a set is not finished, empty, or of other images.
        ConfigError, DatasetError, MissingExtraError, RunError: See ``veilset.errors``.
    """
    config = config or AuditConfig()
    n_threads = resolve_workers(workers)
    if memory_mb < MIN_MEMORY_MB:
        raise ConfigError(f"--memory is {memory_mb} MB. Give at least {MIN_MEMORY_MB}.")
    if config.skin_tone and (photos is None or reference is None):
        raise ConfigError("The skin tone proxy needs the images and a reference. Give both.")
    if photos is None and (config.looks or config.labelled):
        raise ConfigError(
            "To estimate age, gender or category, to search for NSFW regions or to draw pictures, "
            "the images are needed. Give their folder."
        )
    if hierarchy is None and (config.synsets or config.min_categories):
        raise ConfigError(
            "Supercategories need a hierarchy. Give the folder of BREEDS or WordNet (--hierarchy)."
        )
    out = local_path(out, "An audit")
    for place in (photos, annotations, reference):
        if place is not None:
            check_apart(place, out)
    inputs = _Inputs(
        location_of(photos) if photos else None,
        Path(annotations),
        Path(mapping) if mapping else None,
        Path(hierarchy) if hierarchy else None,
        Path(reference) if reference else None,
    )
    # Whether it is there has to be known before hours of work, not after.
    import_resvg()
    sources = inputs.open()
    looking = open_looking(config, n_threads, engine, on_progress, on_notice or log.info)
    audit = _Audit(out, inputs, sources, config, n_threads, memory_mb, looking)
    return audit.make(on_step or log.info)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Where the inputs of an audit lie."""

    photos: Location | None
    annotations: Path
    mapping: Path | None
    hierarchy: Path | None
    reference: Path | None

    def open(self) -> Sources:
        """Open all of them, so that what is wrong with one is told before any work."""
        reader = open_reader(self.photos) if self.photos else None
        annotations = AnnotationSet(self.annotations)
        root = self.photos or annotations.manifest.get("inputs", {}).get("root", "")
        return Sources(
            name=_name_of(root) or self.annotations.resolve().name,
            annotations=annotations,
            photos=reader,
            mapping=open_mapping(self.mapping) if self.mapping else None,
            hierarchy=read_hierarchy(self.hierarchy) if self.hierarchy else None,
            reference=AnnotationSet(self.reference) if self.reference else None,
        )

    def describe(self, sources: Sources) -> dict[str, Any]:
        """Give what identifies the inputs, for the run manifest."""
        reference = sources.reference
        return {
            **(sources.photos.describe() if sources.photos else {}),
            "annotations_sha256": sources.annotations.manifest["outputs_sha256"],
            "mapping_sha256": sha256_file(self.mapping) if self.mapping else "",
            "hierarchy_sha256": _folder_digest(self.hierarchy) if self.hierarchy else "",
            "reference_sha256": reference.manifest["outputs_sha256"] if reference else "",
        }


def _name_of(place: Location) -> str:
    """Give the last part of a place, "" if it has none."""
    place = location_of(place)
    if isinstance(place, Path) and not place.name:
        return ""
    return PurePosixPath(open_store(place).describe()).name


@dataclass(frozen=True, slots=True)
class _Audit:
    """One audit: its settings, and where it writes."""

    out: Path
    inputs: _Inputs
    sources: Sources
    config: AuditConfig
    n_threads: int
    memory_mb: int
    looking: Looking | None

    def make(self, on_step: OnStep) -> RunSummary:
        """Count, write, and leave the record of the run."""
        looking = self.looking
        if looking:
            looking.check(self.out, self.sources)
        clear_audit(self.out, keeps_look=looking is not None)
        described = self.inputs.describe(self.sources)
        beside = kept_beside(self.out)
        with Run.open(self.out, "audit", asdict(self.config), described, beside=beside) as run:
            # The whole audit is one unit of work: run.json then tells its digest and time.
            for shard in run.missing([Shard(0, ())]):
                run.commit(self._work(shard, on_step))
            found = json.loads((self.out / "audit.json").read_bytes())
            extra: dict[str, Any] = {"summary": summarize(found)}
            if found["look"]:
                extra["n_failed"] = found["look"]["failures"]["n"]
            if found["labelled"]:
                extra["n_labelled"] = found["labelled"]["n_pictures"]
            return run.finish(models=looking.cards if looking else (), extra=extra)

    def _work(self, shard: Shard, on_step: OnStep) -> ShardReport:
        started = time.monotonic()
        sources = self.sources
        if self.looking:
            on_step("look at the images")
            sources = self.looking.apply(self.out, sources)
        if self.config.labelled:
            on_step("draw labelled pictures")
        labelled = draw_labelled(self.out, sources, self.config, self.n_threads)
        looked = time.monotonic()
        with Database.open(
            self.out / WORK, n_threads=self.n_threads, memory_mb=self.memory_mb
        ) as database:
            found = count_everything(database, sources, self.config, self.n_threads, on_step)
            found["labelled"] = labelled
            if self.config.card.name:
                found["data_set"] = self.config.card.name
            counted = time.monotonic()
            on_step("write")
            tables = write_tables(database, found, self.out / "tables")
            figures = draw_figures(found, curve_points(database))
        digest = self._write(found, figures, tables)
        counts = {**found["images"]["statuses"], "with_regions": found["per_image"]["n_with"],
                  "n_regions": found["per_image"]["n_regions"]}  # fmt: skip
        seconds = {"count": counted - looked, "write": time.monotonic() - counted}
        if self.looking:
            seconds["look"] = looked - started
        return ShardReport(shard.index, found["population"]["n_images"], counts, seconds, digest)

    def _write(
        self, found: dict[str, Any], figures: Mapping[str, Figure], tables: Sequence[TableFile]
    ) -> str:
        """Write everything but the tables; give the digest of ``audit.json``."""
        write_figures(self.out / "figures", figures)
        found["tables"] = [asdict(table) for table in tables]
        found["figures"] = sorted(figures)
        text = json.dumps(finite(found), indent=2, ensure_ascii=False, allow_nan=False)
        data = f"{text}\n".encode()
        # Read back: the page shows what the file says, and lists for tuples like any reader.
        shown = json.loads(data)
        card = render_card(self.config.card, shown)
        croissant = render_croissant(
            self.config.card, shown["data_set"], summarize(shown), limits_of(shown), tables
        )
        write_atomically(self.out / "card.md", card.encode("utf-8"))
        write_atomically(self.out / "croissant.json", croissant)
        write_atomically(self.out / "index.html", render_page(shown, figures, tables, card))
        write_atomically(self.out / "audit.json", data)
        return sha256_hex(data)


def _folder_digest(folder: Path) -> str:
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return sha256_hex("".join(f"{path.name} {sha256_file(path)}\n" for path in files).encode())
