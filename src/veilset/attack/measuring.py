# SPDX-License-Identifier: Apache-2.0
"""One attack in one setting: what was seen of the faces in, an outcome out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veilset.attack.config import (
    ASSESSOR,
    CLEAR,
    FILLED,
    PARROT_EMBEDDINGS,
    PARROT_NETWORK,
    PARROT_PIXELS,
    PARROT_STUDENT,
    RECOGNISE,
    RESTORE_KNOWN,
    RESTORE_LEARNED,
    SCENE,
    AttackConfig,
    Setting,
)
from veilset.attack.identification import Identification, measure_identification
from veilset.attack.linear_parrot import embedding_scores, pixel_scores
from veilset.attack.looking import view_slugs
from veilset.attack.outcomes import Outcome, Pen, curve_values
from veilset.attack.resampling import Draws
from veilset.attack.retrieval import measure_retrieval
from veilset.attack.verification import measure_verification
from veilset.attack.views import RESTORED, STRANGERS, View, read_view
from veilset.errors import ConfigError
from veilset.protocols import Recogniser

log = logging.getLogger(__name__)

CLEAR_TO_CLEAR = "clear-to-clear"
CLEAR_TO_OBFUSCATED = "clear-to-obfuscated"
OBFUSCATED_TO_OBFUSCATED = "obfuscated-to-obfuscated"
CLEAR_TO_RESTORED = "clear-to-restored"
TRAINED_ON_OBFUSCATED = "trained on obfuscated"

HITS = "person_hits"
"""Fact of an outcome: by protocol, each person's share of hits at rank 1; None without a probe."""

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the attacks look at. Photographs that failed in a setting are in none.

    Attributes:
        folder: Folder of the look.
        n_shards: Its number of shards.
        config: Settings of the attack.
        recogniser: What the embeddings are of.
        image_ids: The photographs, in the order of the data set.
        codes: ``(N,)`` who is on each.
        is_gallery: ``(N,)`` which half each belongs to.
        people: Names of the people; a code is a place in it.
        draws: Of the people.
        n_copies: Probes that were left out, being photographs of the gallery once more.
        strangers: Photographs that attackers learn from and nothing is measured on.
        kept: What an attack made once for all settings, by its name.
    """

    folder: Path
    n_shards: int
    config: AttackConfig
    recogniser: Recogniser
    image_ids: tuple[str, ...]
    codes: Codes
    is_gallery: NDArray[np.bool_]
    people: tuple[str, ...]
    draws: Draws
    n_copies: int = 0
    strangers: tuple[str, ...] = ()
    kept: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def probe_codes(self) -> Codes:
        """Who is on each probe."""
        return self.codes[~self.is_gallery]

    @property
    def gallery_codes(self) -> Codes:
        """Who is on each photograph of the gallery."""
        return self.codes[self.is_gallery]

    def view(self, name: str) -> View:
        """Give the faces as a setting shows them, in the order of ``image_ids``."""
        return self._taken(name, self.image_ids)

    def strangers_view(self, name: str) -> View | None:
        """Give the strangers as a setting shows them, in the order of ``strangers``, if any."""
        return self._taken(name + STRANGERS, self.strangers) if self.strangers else None

    def _taken(self, view: str, image_ids: Sequence[str]) -> View:
        slug = view_slugs(self.config)[view]
        whole = _read(self.folder, slug, self.n_shards, self.config.chip_px)
        place = {image_id: at for at, image_id in enumerate(whole.image_ids)}
        return whole.take([place[name] for name in image_ids if name in place])

    def distances(
        self, probes: NDArray[np.float32], gallery: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Compare embeddings by the metric of the recogniser, ``(P, G)``."""
        return compare_embeddings(probes, gallery, self.recogniser.metric)


@lru_cache(maxsize=4)
def _read(folder: Path, slug: str, n_shards: int, chip_px: int) -> View:
    return read_view(folder, slug, n_shards, chip_px)


def forget_views() -> None:
    """Let go of the faces that were read last; their files may be deleted, or made anew."""
    _read.cache_clear()


def compare_embeddings(
    probes: NDArray[np.float32], gallery: NDArray[np.float32], metric: str
) -> NDArray[np.float64]:
    """Compare every probe with every face of the gallery.

    Args:
        probes: ``(P, D)``.
        gallery: ``(G, D)``.
        metric: ``euclidean``, or ``cosine``: one minus the cosine of the angle.

    Returns:
        ``(P, G)``, 0 for what is alike.

    Raises:
        ConfigError: If there is no such metric, or an embedding has no direction.

    Example:
        >>> one, two = np.array([[3, 0]], np.float32), np.array([[0, 4]], np.float32)
        >>> [float(compare_embeddings(one, two, each)[0, 0]) for each in ("euclidean", "cosine")]
        [5.0, 1.0]
    """
    p, g = probes.astype(np.float64), gallery.astype(np.float64)
    if metric == "cosine":
        lengths = [np.linalg.norm(each, axis=1, keepdims=True) for each in (p, g)]
        if any((each == 0).any() for each in lengths):
            raise ConfigError(
                "An embedding is zero, and has no direction to be compared by. Leave it out."
            )
        return np.asarray(1 - (p / lengths[0]) @ (g / lengths[1]).T)
    if metric != "euclidean":
        raise ConfigError(f"There is no metric {metric!r}. Choose: euclidean, cosine.")
    # The difference itself, for the usual formula with products loses small distances.
    return np.stack([np.linalg.norm(g - each, axis=1) for each in p])


def measure(evidence: Evidence, setting: Setting, attack: str) -> Outcome | None:
    """Make one attack in one setting.

    Returns:
        None where the attack has no meaning: nothing is restored of clear faces, no inverse of
        the method is known, scenes are looked at once.

    Raises:
        MissingExtraError: If a library that it needs is not installed.
        ConfigError, RunError: See the attacks.
    """
    if not _applies(evidence, setting, attack):
        return None
    began = time.monotonic()
    outcome = _ATTACKS[attack](evidence, setting)
    log.info("%s, %s: %.1f s", setting.name, attack, time.monotonic() - began)
    return outcome


def _applies(evidence: Evidence, setting: Setting, attack: str) -> bool:
    if attack == RESTORE_KNOWN:
        return setting.name + RESTORED in view_slugs(evidence.config)
    if attack == RESTORE_LEARNED:
        return setting.name not in (CLEAR, FILLED)
    return attack != SCENE or setting.name == FILLED


def _recognise(evidence: Evidence, setting: Setting) -> Outcome:
    clear, shown = evidence.view(CLEAR), evidence.view(setting.name)
    gallery, probes = evidence.is_gallery, ~evidence.is_gallery
    parts: list[Outcome] = []
    threshold = evidence.recogniser.threshold
    protocols = {CLEAR_TO_OBFUSCATED: clear, OBFUSCATED_TO_OBFUSCATED: shown}
    if setting.name == CLEAR:
        protocols = {CLEAR_TO_CLEAR: clear}
    for protocol, known in protocols.items():
        distances = evidence.distances(shown.embeddings[probes], known.embeddings[gallery])
        pen = Pen(setting.name, RECOGNISE, protocol)
        parts.append(compare_faces(evidence, pen, distances, threshold=threshold))
    return joined(parts)


def joined(parts: Sequence[Outcome]) -> Outcome:
    """Give the outcomes of the protocols of one attack as one."""
    curves = {name: line for part in parts for name, line in part.curves.items()}
    hits = {name: each for part in parts for name, each in part.facts[HITS].items()}
    rows = tuple(row for part in parts for row in part.rows)
    return Outcome(parts[0].setting, parts[0].attack, rows, curves, {HITS: hits})


def compare_faces(
    evidence: Evidence, pen: Pen, distances: NDArray[np.float64], *, threshold: float | None
) -> Outcome:
    """Measure identification, retrieval and verification of distances to the gallery.

    Args:
        evidence: Whose faces they are.
        pen: Writes the rows.
        distances: ``(P, G)``, of the probes to the gallery.
        threshold: Largest distance of one person's faces; None where none is known.
    """
    who = (evidence.probe_codes, evidence.gallery_codes, evidence.draws)
    named = measure_identification(distances, *who)
    paired = measure_verification(distances, *who, threshold=threshold)
    found = measure_retrieval(distances, *who)
    rows = [*pen.identification(named), *pen.retrieval(found), *pen.verification(paired)]
    lines = {"roc": curve_values(paired.roc), "cmc": curve_values(named.curve)}
    curves = {f"{name} {pen.protocol}": line for name, line in lines.items()}
    return Outcome(pen.setting, pen.attack, tuple(rows), curves, _hits(pen, named))


def _hits(pen: Pen, named: Identification) -> dict[str, dict[str, list[float | None]]]:
    """Keep each person's share of hits: settings are compared person by person."""
    shares = (float(each) for each in named.person_hits[1])
    return {HITS: {pen.protocol: [None if np.isnan(each) else each for each in shares]}}


def name_people(evidence: Evidence, pen: Pen, scores: NDArray[np.float64]) -> Outcome:
    """Measure how often the scores of a classifier name the people on the probes.

    Args:
        evidence: Whose people they are.
        pen: Writes the rows.
        scores: ``(P, I)``, higher is likelier.
    """
    everybody = np.arange(len(evidence.people))
    named = measure_identification(-scores, evidence.probe_codes, everybody, evidence.draws)
    curves = {f"cmc {pen.protocol}": curve_values(named.curve)}
    rows = tuple(pen.identification(named))
    return Outcome(pen.setting, pen.attack, rows, curves, _hits(pen, named))


def _restore_known(evidence: Evidence, setting: Setting) -> Outcome:
    # Of the probes alone: nothing is to be found out about the gallery.
    shown = evidence.view(setting.name + RESTORED).embeddings
    clear = evidence.view(CLEAR).embeddings[evidence.is_gallery]
    pen = Pen(setting.name, RESTORE_KNOWN, CLEAR_TO_RESTORED)
    distances = evidence.distances(shown, clear)
    return compare_faces(evidence, pen, distances, threshold=evidence.recogniser.threshold)


def _parrot_embeddings(evidence: Evidence, setting: Setting) -> Outcome:
    faces = evidence.view(setting.name).embeddings
    scores = embedding_scores(
        faces[evidence.is_gallery], evidence.gallery_codes, faces[~evidence.is_gallery],
        len(evidence.people),
    )  # fmt: skip
    pen = Pen(setting.name, PARROT_EMBEDDINGS, TRAINED_ON_OBFUSCATED)
    return name_people(evidence, pen, scores)


def _parrot_pixels(evidence: Evidence, setting: Setting) -> Outcome:
    return _pixels(evidence, setting, PARROT_PIXELS, evidence.view(setting.name).chips)


def _scene(evidence: Evidence, setting: Setting) -> Outcome:
    scenes = evidence.view(setting.name).scenes
    if scenes is None:
        raise ConfigError(f"No scene was kept of the setting {setting.name!r}.")
    return _pixels(evidence, setting, SCENE, scenes)


def _pixels(
    evidence: Evidence, setting: Setting, attack: str, pictures: NDArray[np.uint8]
) -> Outcome:
    held = evidence.is_gallery
    scores = pixel_scores(
        pictures[held], evidence.gallery_codes, pictures[~held], len(evidence.people)
    )
    return name_people(evidence, Pen(setting.name, attack, TRAINED_ON_OBFUSCATED), scores)


def _parrot_network(evidence: Evidence, setting: Setting) -> Outcome:
    from veilset.attack.learned import parrot_network

    return parrot_network(evidence, setting)


def _parrot_student(evidence: Evidence, setting: Setting) -> Outcome:
    from veilset.attack.learned import parrot_student

    return parrot_student(evidence, setting)


def _restore_learned(evidence: Evidence, setting: Setting) -> Outcome:
    from veilset.attack.learned import restore_learned

    return restore_learned(evidence, setting)


def _assess(evidence: Evidence, setting: Setting) -> Outcome:
    from veilset.attack.learned import assess

    return assess(evidence, setting)


_ATTACKS: Mapping[str, Callable[[Evidence, Setting], Outcome]] = {
    RECOGNISE: _recognise,
    RESTORE_KNOWN: _restore_known,
    RESTORE_LEARNED: _restore_learned,
    PARROT_EMBEDDINGS: _parrot_embeddings,
    PARROT_PIXELS: _parrot_pixels,
    PARROT_NETWORK: _parrot_network,
    PARROT_STUDENT: _parrot_student,
    ASSESSOR: _assess,
    SCENE: _scene,
}
