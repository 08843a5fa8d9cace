# SPDX-License-Identifier: Apache-2.0
"""Which face of a photograph is the named person's, and which photographs take part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from veilset.annotations.store import AnnotationSet
from veilset.attack.config import AttackConfig
from veilset.attack.identities import (
    FOLDERS,
    STRANGER,
    Named,
    Split,
    read_identities,
    split_photographs,
)
from veilset.boxes import clip
from veilset.errors import DatasetError
from veilset.files import sha256_hex
from veilset.protocols import Reader, Shard
from veilset.types import Annotations, ImageRecord, Region, Status

FACE = "face"

_UNNAMED = "nobody is named"


def face_of(row: Annotations, min_score: float) -> Region | None:
    """Give the face of a photograph's person: the largest that is sure enough.

    Args:
        row: What is known of the photograph.
        min_score: Lowest score of a detector that counts, in [0, 1].

    Returns:
        None if there is none. Of two of the same size, the one nearer to the middle.
    """
    faces = [each for each in row.regions if each.kind == FACE and each.passes(min_score)]
    middle = (row.width / 2, row.height / 2)

    def rank(face: Region) -> tuple[float, float]:
        x0, y0, x1, y1 = face.box_xyxy
        away = (x0 + x1 - 2 * middle[0]) ** 2 + (y0 + y1 - 2 * middle[1]) ** 2
        return (x1 - x0) * (y1 - y0), -away

    return max(faces, key=rank, default=None)


def visible_side_px(face: Region, size_wh: tuple[int, int]) -> float:
    """Give the shorter side of the part of a face's box that lies inside, in pixels."""
    ((x0, y0, x1, y1),) = clip([face.box_xyxy], size_wh)
    return float(min(x1 - x0, y1 - y0))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The photographs that take part.

    Attributes:
        split: Who is on those that are attacked, and on which side they are.
        records: They and the strangers, in the order of the data set.
        left_out: Why others do not take part, and how many.
        sides_px: Shorter side of each face's box, in the order of ``records``.
        strangers: Photographs of faces that nobody has named; attackers learn from them.
    """

    split: Split
    records: tuple[ImageRecord, ...]
    left_out: Mapping[str, int]
    sides_px: tuple[float, ...]
    strangers: frozenset[str] = frozenset()

    @property
    def sha256(self) -> str:
        """Digest of who is on each photograph, and on which side."""
        told = [(each.image_id, *self.who(each.image_id)) for each in self.records]
        return sha256_hex(json.dumps(told).encode())

    def who(self, image_id: str) -> tuple[str, str]:
        """Give who is on a photograph, and its half; nobody and ``stranger`` for a stranger."""
        if image_id in self.strangers:
            return "", STRANGER
        return self.split.people[self.split.codes[image_id]], self.split.halves[image_id]


def choose_photographs(known: AnnotationSet, config: AttackConfig) -> Chosen:
    """Choose the photographs of named people with one usable face, and split them.

    With ``config.strangers`` those that nobody has named are chosen by the same rules.

    Raises:
        ConfigError: If the identities cannot be read.
        DatasetError: If no face is found on any, too few people are left, or strangers are asked
            for and there is none.
    """
    people = read_identities(config.identities, known.image_ids())
    left_out: Counter[str] = Counter()
    usable: dict[str, Named] = {}
    sides_px: dict[str, float] = {}
    strangers: set[str] = set()
    for row in known:
        named = people.get(row.image_id)
        if named is None and not config.strangers:
            left_out[_UNNAMED] += 1
            continue
        why, side_px = _usable_side_px(row, config)
        if why:
            left_out[why if named else f"{_UNNAMED}, {why}"] += 1
            continue
        sides_px[row.image_id] = side_px
        if named:
            usable[row.image_id] = named
        else:
            strangers.add(row.image_id)
    if not usable:
        told = "; ".join(f"{n:,}: {why}" for why, n in left_out.items())
        raise DatasetError(
            f"No photograph can be attacked ({told}). Detect faces with more effort, or lower "
            "--face-min-score or --least-side."
        )
    split = split_photographs(usable, config.gallery_share, config.seed)
    left_out.update(split.left_out)
    if config.strangers and not strangers:
        raise DatasetError(_no_strangers(config, left_out))
    names = sorted({*split.codes, *strangers}, key=lambda name: ImageRecord(name).order_key)
    records = tuple(map(ImageRecord, names))
    sides = tuple(sides_px[name] for name in names)
    return Chosen(split, records, dict(left_out), sides, frozenset(strangers))


def _usable_side_px(row: Annotations, config: AttackConfig) -> tuple[str, float]:
    """Give why a photograph cannot be used, "" if it can, and the side of its face."""
    if row.status is not Status.LOOKED:
        return "not searched for faces", 0.0
    face = face_of(row, config.face_min_score)
    if face is None:
        return "no face found", 0.0
    side_px = visible_side_px(face, (row.width, row.height))
    if side_px < config.least_side_px:
        return f"face below {config.least_side_px:g} px", side_px
    return "", side_px


def _no_strangers(config: AttackConfig, left_out: Mapping[str, int]) -> str:
    told = "; ".join(f"{n:,}: {why}" for why, n in left_out.items() if why.startswith(_UNNAMED))
    if told:
        return f"No photograph of a stranger can be learned from ({told}). Leave out --strangers."
    where = "beside the folders" if config.identities == FOLDERS else "that --identities leaves out"
    return (
        "Every photograph is of a person who is named, so there is no stranger to learn from. "
        f"Add photographs {where}, or leave out --strangers."
    )


@dataclass(frozen=True, slots=True)
class ChosenImages:
    """A ``Reader`` of the chosen photographs of a data set, read one by one.

    Attributes:
        photos: The data set.
        records: The photographs, in its order.
        facts: What identifies the choice in a run manifest.
    """

    photos: Reader
    records: Sequence[ImageRecord]
    facts: Mapping[str, str | int | float | bool]

    def count(self) -> int:
        """Give the number of photographs."""
        return len(self.records)

    def shards(self, shard_size: int) -> Iterator[Shard]:
        """Go through the photographs, ``shard_size`` at a time."""
        for index, at in enumerate(range(0, len(self.records), shard_size)):
            yield Shard(index, tuple(self.records[at : at + shard_size]))

    def passed_over(self) -> Mapping[str, int]:
        """Give what lies in the data set and is not part of it: nothing that was chosen."""
        return {}

    @contextmanager
    def open_shard(self, shard: Shard) -> Iterator[Self]:
        """Open a shard; its photographs may lie anywhere in the data set."""
        yield self

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one photograph."""
        return self.photos.read(record)

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """Give what identifies data set and choice in a run manifest."""
        return {**self.photos.describe(), **self.facts}
