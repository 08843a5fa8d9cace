# SPDX-License-Identifier: Apache-2.0
"""Stage 3, second half: which attributes each new face is to have, over the whole set.

What was seen of the faces (``looking``) in, an annotation set out: its faces carry 68 landmarks
and the names of the chosen attributes, which is all that the obfuscator ``synthesize`` needs
besides the surroundings. What the faces had is not in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.errors import ConfigError, RunError
from veilset.networks.factor_generator import FACE_ATTRIBUTES, attributes_text
from veilset.protocols import Reader, Shard, ShardReport
from veilset.runs import Run
from veilset.seeds import check_seed, derive
from veilset.synthesize.celeba import Attributes
from veilset.synthesize.closeness import BOUND_COVERS, mutual_information, two_levels
from veilset.synthesize.looking import LOGITS, count_looked
from veilset.synthesize.ppas import METHOD_NAME, PpasSettings, ppas_our_reconstruction
from veilset.synthesize.select import (
    FIXED_FOUR,
    drawn_at_random,
    editable_attributes,
    inverted,
    named,
)
from veilset.types import Annotations, ImageRecord, Region

STAGE = "synthesize-select"


class Way(StrEnum):
    """How attributes are chosen."""

    FIXED_FOUR = "fixed-four"
    """The report's four are inverted."""
    RANDOM = "random"
    """Each that may change is drawn as often as the reference has it."""
    ALL = "all"
    """All that may change are inverted."""
    PPAS = "ppas"
    """PPAS (our reconstruction)."""


class Groups(StrEnum):
    """What PPAS brings close to the reference."""

    ALL = "all"
    """All faces together."""
    FOLDERS = "folders"
    """The faces of each folder of images, such as a class."""


@dataclass(frozen=True, slots=True)
class SelectConfig:
    """What decides a selection.

    Attributes:
        way: How.
        keep_gender: Whether ``Male`` and what tells it besides (``select.GENDER_LINKED``) stay.
        reference: How often each attribute is there, by its name; None for the classifier's
            training faces. Used by ``random`` and ``ppas``.
        groups: Of ``ppas``.
        t, epsilon, n_rounds: As ``PpasSettings``.
        seed: Of what is drawn.
    """

    way: Way = Way.FIXED_FOUR
    keep_gender: bool = True
    reference: Mapping[str, float] | None = None
    groups: Groups = Groups.ALL
    t: float = 0.1
    epsilon: float = 0.1
    n_rounds: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        self.ppas()

    def ppas(self) -> PpasSettings:
        """Give the settings of PPAS; raises ConfigError if they cannot be used."""
        return PpasSettings(self.t, self.epsilon, self.n_rounds, self.seed)


@dataclass(frozen=True, slots=True)
class SeenFaces:
    """All faces that can be drawn, in the order of the set.

    Attributes:
        names: K names.
        logits: ``(N, K)``; above 0 the face is said to have the attribute.
        folders: N names of the folders of their images.
    """

    names: tuple[str, ...]
    logits: NDArray[np.float32] = field(repr=False)
    folders: tuple[str, ...] = field(repr=False)

    @classmethod
    def read(cls, seen: AnnotationSet, names: Sequence[str]) -> SeenFaces:
        """Read what ``LookTask`` wrote."""
        rows, folders = [np.zeros((0, len(names)), np.float32)], []
        for image in seen:
            for region in image.regions:
                logits = _logits(region)
                if logits is not None:
                    rows.append(logits[None])
                    folders.append(ImageRecord(image.image_id).category)
        return cls(tuple(names), np.concatenate(rows), tuple(folders))

    @property
    def present(self) -> Attributes:
        """Give what the classifier says, ``(N, K)`` bool."""
        found: Attributes = self.logits > 0
        return found


@dataclass(frozen=True, slots=True)
class Chosen:
    """A selection.

    Attributes:
        present: ``(N, K)`` bool, what the new faces are to have.
        told: What can be said of it, as JSON values; see ``choose``.
    """

    present: Attributes = field(repr=False)
    told: Mapping[str, Any]


def _logits(region: Region) -> NDArray[np.float32] | None:
    text = region.attributes.get(LOGITS)
    return np.array(text.split(), np.float32) if isinstance(text, str) else None


def choose(faces: SeenFaces, shares: Mapping[str, float], config: SelectConfig) -> Chosen:
    """Choose the attributes of all faces.

    Args:
        faces: What was seen.
        shares: How often each attribute is there among the classifier's training faces.
        config: How; its reference goes before ``shares``.

    Returns:
        The selection, and of it: ``way``, ``n_faces``, ``n_edits``, the names of the attributes
        that were ``editable``, the mutual information of old and new for each of them (a
        ``Measurement`` over faces as if each were somebody else's); of PPAS also the largest
        distance before and after, ``unmet``, ``n_rounds``, and ``bound_nats`` (None for no bound)
        with what it covers.

    Raises:
        ConfigError: If the reference or the settings cannot be used.
    """
    old, names = faces.present, faces.names
    editable = editable_attributes(names, keep_gender=config.keep_gender)
    told: dict[str, Any] = {}
    if config.way is Way.PPAS:
        new, told = _ppas(faces, _reference(names, shares, config), editable, config)
    elif config.way is Way.RANDOM:
        expected = _reference(names, shares, config)
        new = drawn_at_random(old, editable, seed=derive(config.seed, "select"), shares=expected)
    else:
        chosen = editable if config.way is Way.ALL else named(names, FIXED_FOUR) & editable
        new, editable = inverted(old, chosen), chosen
    columns = np.flatnonzero(editable)
    information = {
        names[k]: asdict(mutual_information(old[:, k], new[:, k])) for k in columns if len(old)
    }
    return Chosen(
        new,
        {
            "way": METHOD_NAME if config.way is Way.PPAS else str(config.way),
            "n_faces": len(old),
            "n_edits": int((old != new).sum()),
            "editable": [names[k] for k in columns],
            "mutual_information": information,
            **told,
        },
    )


def _reference(
    names: Sequence[str], shares: Mapping[str, float], config: SelectConfig
) -> NDArray[np.float64]:
    given = shares if config.reference is None else config.reference
    missing = [name for name in names if name not in given]
    if missing:
        raise ConfigError(
            f"The reference does not say how often {missing[0]!r} is there. Give a share from 0 "
            "to 1 for each attribute of the classifier."
        )
    found = np.array([given[name] for name in names], np.float64)
    if not ((found >= 0) & (found <= 1)).all():
        raise ConfigError("A share of the reference is not in [0, 1]. Give shares from 0 to 1.")
    return found


def _ppas(
    faces: SeenFaces,
    reference: NDArray[np.float64],
    editable: NDArray[np.bool_],
    config: SelectConfig,
) -> tuple[Attributes, dict[str, Any]]:
    if not len(faces.logits):
        return faces.present, {"distance_before": 0.0, "distance_after": 0.0, "unmet": []}
    folders, groups = np.unique(np.array(faces.folders), return_inverse=True)
    found = ppas_our_reconstruction(
        faces.present,
        two_levels(reference),
        editable,
        config.ppas(),
        groups=groups.astype(np.int64) if config.groups is Groups.FOLDERS else None,
        margins=np.abs(faces.logits),
    )
    is_grouped = config.groups is Groups.FOLDERS
    return found.values.astype(np.bool_), {
        "distance_before": found.distance_before,
        "distance_after": found.distance_after,
        "unmet": [
            {
                "group": str(folders[each.group]) if is_grouped else "all",
                "attribute": faces.names[each.attribute],
                "distance": each.distance,
            }
            for each in found.unmet
        ],
        "n_rounds": found.n_rounds,
        "bound_nats": found.bound if math.isfinite(found.bound) else None,
        "bound_covers": BOUND_COVERS,
    }


def write_selection(
    run: Run, reader: Reader, shard_size: int, seen: AnnotationSet, faces: SeenFaces, chosen: Chosen
) -> None:
    """Write the shards that a run lacks: the set as it was seen, with what was chosen.

    Raises:
        RunError: If a shard cannot be written.
    """
    written = _rows(seen, faces.names, chosen)
    missing = {shard.index: shard for shard in run.missing(reader.shards(shard_size))}
    for shard in reader.shards(shard_size):
        rows = [next(written, None) for _ in shard.records]
        named_rows = [row for row in rows if row is not None]
        if [row.image_id for row in named_rows] != [each.image_id for each in shard.records]:
            raise RunError(
                f"What was seen, in {seen.folder}, is of other images. Delete it, and run again."
            )
        if shard.index in missing:
            run.commit(_report(run.folder, shard, named_rows))


def _rows(seen: AnnotationSet, names: Sequence[str], chosen: Chosen) -> Iterator[Annotations]:
    """Go through the images; the faces come in the order of ``SeenFaces.read``."""
    at = 0
    for image in seen:
        regions = []
        for region in image.regions:
            kept = {key: value for key, value in region.attributes.items() if key != LOGITS}
            if LOGITS in region.attributes:
                kept[FACE_ATTRIBUTES] = attributes_text(names, chosen.present[at])
                at += 1
            regions.append(replace(region, attributes=kept))
        yield replace(image, regions=tuple(regions))


def _report(folder: Path, shard: Shard, rows: Sequence[Annotations]) -> ShardReport:
    counts: dict[str, int] = {}
    for row in rows:
        for name, n in count_looked(row).items():
            counts[name] = counts.get(name, 0) + n
    digest = write_annotations(folder, shard.index, rows)
    ends = (rows[0].image_id, rows[-1].image_id) if rows else ("", "")
    return ShardReport(shard.index, len(rows), counts, {}, digest, *ends)


def read_reference(path: Path) -> dict[str, float]:
    """Read how often each attribute is there: a JSON object of shares by name.

    Raises:
        ConfigError: If the file cannot be read, or is something else.
    """
    try:
        values = json.loads(path.read_bytes())
        return {str(name): float(share) for name, share in values.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no object of shares"
        raise ConfigError(
            f"The reference {path} cannot be read: {reason}. Give JSON such as "
            '{"Smiling": 0.48, "Young": 0.77}, with every attribute.'
        ) from error
