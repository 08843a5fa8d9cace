# SPDX-License-Identifier: Apache-2.0
"""The look as the first phase of an audit: what it changes in what is counted afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from veilset.annotations.store import AnnotationSet
from veilset.audit.annotated import AnnotatedImages
from veilset.audit.config import OFF, AuditConfig
from veilset.audit.counting import Sources, describe_set
from veilset.audit.estimators import Estimators, licence_notice, open_estimators
from veilset.audit.judging import require_other_set
from veilset.audit.labelled import write_labelled
from veilset.audit.looking import check_look, look_dataset
from veilset.audit.mapping import Mapping
from veilset.audit.places import CATEGORIES, LOOK, PRIVATE, kept_beside
from veilset.audit.seen import write_categories
from veilset.engine.drive import OnProgress
from veilset.errors import ConfigError
from veilset.files import sha256_file
from veilset.protocols import EngineSettings
from veilset.runs import RunSummary
from veilset.types import ModelCard

OnNotice = Callable[[str], None]
"""Told what people have to know before it happens."""


@dataclass(frozen=True, slots=True)
class Looking:
    """How the images are looked at.

    Attributes:
        config: Settings of the audit; at least one estimate is asked for.
        estimators: Made for it.
        workers: Threads.
        engine: Name of the engine plugin, or its settings.
        on_progress: Called as images end.
    """

    config: AuditConfig
    estimators: Estimators
    workers: int
    engine: str | EngineSettings
    on_progress: OnProgress | None

    @property
    def cards(self) -> list[ModelCard]:
        """Where the weights come from."""
        return [card for _, card in self.estimators.cards()]

    def check(self, out: Path, sources: Sources) -> None:
        """Refuse a look that would have to undo an earlier one, before anything is removed.

        Raises:
            ResumeMismatchError, RunError: See ``check_look``.
        """
        if kept_beside(out) and sources.photos is not None:
            check_look(
                sources.photos, sources.annotations, out / LOOK, self.config, self.estimators
            )

    def apply(self, out: Path, sources: Sources) -> Sources:
        """Look at the images; give what has to be counted then.

        Args:
            out: Folder of the audit; gets the folder of the look and the categories.
            sources: What the audit was asked to count from, with its images.

        Raises:
            AnnotationError, DatasetError, PluginError, RunError: See ``look_dataset``.
        """
        if sources.photos is None:
            raise ConfigError("To estimate anything the images are needed. Give their folder.")
        if sources.reference is not None:
            require_other_set(sources.annotations, sources.reference)
        summary = look_dataset(
            sources.photos,
            sources.annotations,
            out / LOOK,
            self.config,
            self.estimators,
            workers=self.workers,
            engine=self.engine,
            on_progress=self.on_progress,
        )
        looked = AnnotationSet(out / LOOK)
        mapping, labels, digest = sources.mapping, {}, ""
        if self.estimators.classify:
            write_categories(out / LOOK, int(looked.manifest["n_shards"]), out / CATEGORIES)
            digest = sha256_file(out / CATEGORIES)
            labels = dict(self.estimators.classify.labels)
            mapping = mapping or Mapping(out / CATEGORIES, "image_id", 3, self.config.classify)
        return replace(
            sources,
            annotations=looked,
            mapping=mapping,
            labels=labels,
            look=self._told(sources.annotations, summary) | {"categories_sha256": digest},
        )

    def _told(self, source: AnnotationSet, summary: RunSummary) -> dict[str, Any]:
        """Give what the audit tells of the look, as JSON values."""
        config, counts = self.config, summary.counts
        # A look that was finished before comes back from JSON, in the order of its keys.
        failures = summary.extra["failures"]
        reasons = sorted(failures["by_reason"].items(), key=lambda item: (-item[1], item[0]))
        names = {
            "demographics": config.demographics,
            "classify": config.classify,
            "nsfw": config.nsfw_detector,
        }
        return {
            "source": describe_set(source),
            **{use: name if name != OFF else None for use, name in names.items()},
            "models": self.estimators.models(),
            "n_opened": counts.get("opened", 0),
            "n_changed": counts.get("changed", 0),
            "n_faces": counts.get("n_faces", 0),
            "n_estimated": counts.get("n_estimated", 0),
            "n_classified": counts.get("classified", 0),
            "n_candidates": counts.get("n_found", 0),
            "n_images_with_candidates": counts.get("with_found", 0),
            "failures": {
                "n": failures["n"],
                "by_reason": dict(reasons),
                "first": [
                    {key: each[key] for key in ("image_id", "reason", "message")}
                    for each in failures["first"]
                ],
            },
        }


def draw_labelled(
    out: Path, sources: Sources, config: AuditConfig, workers: int
) -> dict[str, Any] | None:
    """Draw the labelled pictures that were asked for; tell how many, None if none were.

    Args:
        out: Folder of the audit; gets a private one.
        sources: What is counted, with its images; after the look if there is one.
        config: Settings.
        workers: Threads.

    Raises:
        AnnotationError: If the set was made without its images: labels may be of others.
        DatasetError, RunError: See ``write_labelled``.
    """
    if not config.labelled or sources.photos is None:
        return None
    sources.annotations.require_images()
    images = AnnotatedImages(sources.annotations, sources.photos, config.within)
    return asdict(write_labelled(out / PRIVATE, images, config, workers=workers))


def open_looking(
    config: AuditConfig,
    workers: int,
    engine: str | EngineSettings,
    on_progress: OnProgress | None,
    on_notice: OnNotice,
) -> Looking | None:
    """Make what looks at the images, and say under which licences; None if nothing was asked for.

    Raises:
        ConfigError, MissingExtraError, PluginError: See ``veilset.errors``.
    """
    if not config.looks:
        return None
    estimators = open_estimators(config, workers)
    for use, card in estimators.cards():
        on_notice(licence_notice(use, card))
    return Looking(config, estimators, workers, engine, on_progress)
