# SPDX-License-Identifier: Apache-2.0
"""From what somebody asks to have removed to the images of a release."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from veilset.annotations.store import AnnotationSet
from veilset.errors import AnnotationError, ConfigError, DatasetError
from veilset.records.outcomes import ImageOutcome, Outcome, OutcomeTable
from veilset.records.removals import Removals
from veilset.types import ImageRecord

_N_NAMED = 3


@dataclass(frozen=True, slots=True)
class RemoveConfig:
    """Which images are withdrawn, and why. What is asked for in several ways adds up.

    Attributes:
        reason: Why, in one line, for the log; no need to name a person.
        image_ids: Names of images.
        sha256: Digests of images, of the original or of the released file; lower-case hex.
        kinds: Kinds of regions: every image in which ``annotations`` has one.
        annotations: Annotation set of the images; it need not be the one of the release.

    Raises:
        ConfigError: If a value cannot be used.
    """

    reason: str = ""
    image_ids: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    annotations: str | Path | None = None

    def __post_init__(self) -> None:
        if self.is_anything and (not self.reason.strip() or "\n" in self.reason):
            raise ConfigError("Give the reason of the removal in one line, for the log.")
        if bool(self.kinds) != (self.annotations is not None):
            raise ConfigError("Give kinds of regions and an annotation set together, or neither.")
        for digest in self.sha256:
            if not re.fullmatch("[0-9a-f]{64}", digest):
                raise ConfigError(f"{digest!r} is no SHA-256: give 64 digits, 0-9 and a-f.")

    @property
    def is_anything(self) -> bool:
        """Whether it asks for anything at all."""
        return bool(self.image_ids or self.sha256 or self.kinds)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a request comes to.

    Attributes:
        rows: Images to withdraw, in the order of the data set; failed ones too, so that a
            later run does not release them.
        already: Names of those that were asked for and have been withdrawn before.
    """

    rows: tuple[ImageOutcome, ...]
    already: tuple[str, ...]


def choose(config: RemoveConfig, outcomes: OutcomeTable, removals: Removals) -> Chosen:
    """Find the images that are asked for.

    What has the very content of such an image goes with it, whatever it is called: a later run
    would not release it either.

    Args:
        config: The request.
        outcomes: What became of the images of the release.
        removals: What was withdrawn before.

    Raises:
        DatasetError: If the release has no such image; nothing may be withdrawn then.
        AnnotationError: If the annotation set is of other images, or has no such region.
    """
    rows = {row.image_id: row for row in _named(config.image_ids, outcomes)}
    rows |= {row.image_id: row for row in _with_digest(config.sha256, outcomes, removals)}
    if config.annotations is not None:
        known = AnnotationSet(Path(config.annotations))
        rows |= {row.image_id: row for row in _with_kinds(config.kinds, known, outcomes)}
    rows |= {row.image_id: row for row in _copies(list(rows.values()), outcomes)}
    ordered = sorted(rows.values(), key=lambda row: ImageRecord(row.image_id).order_key)
    return Chosen(
        tuple(row for row in ordered if row.outcome is not Outcome.REMOVED),
        tuple(row.image_id for row in ordered if row.outcome is Outcome.REMOVED),
    )


def _named(image_ids: Iterable[str], outcomes: OutcomeTable) -> list[ImageOutcome]:
    found = {name: outcomes.find(ImageRecord(name)) for name in image_ids}
    unknown = [name for name, row in found.items() if row is None]
    if unknown:
        raise DatasetError(
            f"The release has no image named {_some(unknown)}. A name is the image_id of the "
            "records: the path below the data set, in a container the path of that first. "
            "Nothing was removed."
        )
    return [row for row in found.values() if row]


def _with_digest(
    digests: Collection[str], outcomes: OutcomeTable, removals: Removals
) -> Iterator[ImageOutcome]:
    wanted = set(digests)
    # The row of a withdrawn image has only the digest of its original, the log has both.
    before = {name for digest, name in removals.digests.items() if digest in wanted}
    missing = wanted - removals.digests.keys()
    for row in outcomes if wanted else ():
        both = {row.sha256_in, row.sha256_out}
        if both & wanted or row.image_id in before:
            missing -= both
            yield row
    if missing:
        raise DatasetError(
            f"No image of the release has the SHA-256 {_some(sorted(missing))}, neither its "
            "original nor what was released. Nothing was removed."
        )


def _with_kinds(
    kinds: Collection[str], known: AnnotationSet, outcomes: OutcomeTable
) -> Iterator[ImageOutcome]:
    seen: Counter[str] = Counter()
    n_found = 0
    for image in known:
        there = {region.kind for region in image.regions}
        seen.update(there)
        if not there & set(kinds):
            continue
        row = outcomes.find(ImageRecord(image.image_id))
        if row is None:
            continue
        if image.sha256 and row.sha256_in and image.sha256 != row.sha256_in:
            raise AnnotationError(
                f"{known.folder} speaks of another file named {image.image_id!r} than the "
                "one that was released. Give an annotation set of these images. "
                "Nothing was removed."
            )
        n_found += 1
        yield row
    if not n_found:
        raise AnnotationError(
            f"{known.folder} has no region of kind {_some(sorted(kinds))} in an image of the "
            f"release. It has: {', '.join(sorted(seen)) or 'no region'}. Nothing was removed."
        )


def _copies(rows: Collection[ImageOutcome], outcomes: OutcomeTable) -> Iterator[ImageOutcome]:
    """Go through the images whose original is one of some images, or what was released of one."""
    digests = {digest for row in rows for digest in (row.sha256_in, row.sha256_out)} - {""}
    for row in outcomes.columns(["image_id", "sha256_in"]) if digests else ():
        if row["sha256_in"] in digests:
            copy = outcomes.find(ImageRecord(row["image_id"]))
            if copy:
                yield copy


def _some(names: list[str]) -> str:
    """Name the first few, and count the others."""
    more = f" (and {len(names) - _N_NAMED:,} more)" if len(names) > _N_NAMED else ""
    return ", ".join(map(repr, names[:_N_NAMED])) + more
