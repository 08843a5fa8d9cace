# SPDX-License-Identifier: Apache-2.0
"""What an audit looks at images with: the plugins that were asked for, and their licences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from veilset.audit.config import OFF, AuditConfig
from veilset.networks.weights import check_licence
from veilset.plugins import make_classifier, make_detector, make_face_estimator
from veilset.protocols import Classifier, Detector, DetectorSettings, FaceEstimator
from veilset.types import ModelCard

USES = {
    "demographics": "age and gender of faces",
    "classify": "category of images",
    "nsfw": "candidates for NSFW regions",
}
"""What each plugin is used for, by the name of its setting."""


@dataclass(frozen=True, slots=True)
class Estimators:
    """The plugins that look at images; None for what was not asked for."""

    demographics: FaceEstimator | None = None
    classify: Classifier | None = None
    nsfw: Detector | None = None

    def cards(self) -> Iterator[tuple[str, ModelCard]]:
        """Give every weight file, with the setting that asked for it."""
        for use, used in self._used():
            for card in _cards_of(used):
                yield use, card

    def describe(self, config: AuditConfig) -> dict[str, Any]:
        """Give what decides the estimates, for the run manifest: resolved, not as asked for."""
        names = {"demographics": config.demographics, "classify": config.classify,
                 "nsfw": config.nsfw_detector}  # fmt: skip
        described: dict[str, Any] = dict(names)
        for use, used in self._used():
            described[f"{use}_settings"] = dict(used.settings)
            described[f"{use}_weights"] = " ".join(card.sha256 for card in _cards_of(used))
        return described

    def models(self) -> list[dict[str, Any]]:
        """Give the cards as JSON values, with what each is used for."""
        return [{"used_for": USES[use], **asdict(card)} for use, card in self.cards()]

    def _used(self) -> Iterator[tuple[str, FaceEstimator | Classifier | Detector]]:
        for use in USES:
            used = getattr(self, use)
            if used is not None:
                yield use, used


def _cards_of(used: FaceEstimator | Classifier | Detector) -> Sequence[ModelCard]:
    return (used.card,) if isinstance(used, Detector) else used.cards


def open_estimators(config: AuditConfig, n_threads: int) -> Estimators:
    """Make the plugins that were asked for, as far as their licences allow the stated use.

    Raises:
        ConfigError, MissingExtraError, PluginError: See ``veilset.errors``.
    """
    settings = config.runtime_settings(n_threads)
    nsfw = DetectorSettings(**asdict(settings))
    estimators = Estimators(
        make_face_estimator(config.demographics, settings) if config.demographics != OFF else None,
        make_classifier(config.classify, settings) if config.classify != OFF else None,
        make_detector(config.nsfw_detector, nsfw) if config.nsfw_detector != OFF else None,
    )
    for _, card in estimators.cards():
        check_licence(card, commercial=config.commercial_ok)
    return estimators


def licence_notice(use: str, card: ModelCard) -> str:
    """Say under which licence a model stands, before it is used.

    Example:
        >>> licence_notice("nsfw", ModelCard("n", "somebody", "AGPL-3.0", True, note="Duties."))
        'n (candidates for NSFW regions) is under AGPL-3.0. Duties.'
    """
    licence = f"is under {card.licence}" if card.licence != "unknown" else "has no stated licence"
    return f"{card.name} ({USES[use]}) {licence}. {card.note}".strip()
