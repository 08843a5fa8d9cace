# SPDX-License-Identifier: Apache-2.0
"""What a report says, before it is a page: gathered from records as they stream by.

Nothing here grows with the number of images: counts, histograms and lists that keep
their first entries and count the rest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Generic, TypeVar

from veilset.pages.histogram import (
    FACE_SIZE_EDGES_PX,
    REGIONS_EDGES,
    SCORE_EDGES,
    Histogram,
)

Item = TypeVar("Item")

# An absolute path tells the name of a user and of their machine; the last part is enough.
# A bucket is a place too; an address of the web is where something can be got.
_URL = re.compile(r"\b(?!https?:|file:)[A-Za-z][\w+.\-]*://(?:[^/\s'\",;]+/)*")
_ABSOLUTE = re.compile(r"(?<![\w.\-/])/(?:[^/\s'\",;]+/)+")


class State(StrEnum):
    """How far a stage is, as its record tells."""

    FINISHED = "finished"
    UNFINISHED = "unfinished"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class StageRecord:
    """The record of one stage.

    Attributes:
        name: Its place in the release: ``detect`` for whatever gave the annotation set,
            ``obfuscate`` or ``verify``.
        state: How far it is.
        manifest: Its ``run.json``; empty unless it is finished.
    """

    name: str
    state: State = State.ABSENT
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether there is something to report."""
        return self.state is State.FINISHED

    @property
    def kind(self) -> str:
        """The stage that wrote the record; ``review`` or ``import`` can stand for detection."""
        return str(self.manifest.get("stage", self.name))

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the stage, {} unless it is finished."""
        config: Mapping[str, Any] = self.manifest.get("config", {})
        return config

    def input_name(self, key: str) -> str:
        """Give the last part of a path among the inputs, "" if there is none."""
        return PurePath(str(self.manifest.get("inputs", {}).get(key, ""))).name


@dataclass(slots=True)
class FirstOf(Generic[Item]):
    """Keeps the first items and counts all of them.

    Example:
        >>> first = FirstOf(limit=2)
        >>> for letter in "abc":
        ...     first.add(letter)
        >>> first.items, first.n
        (['a', 'b'], 3)
    """

    limit: int
    items: list[Item] = field(default_factory=list)
    n: int = 0

    def add(self, item: Item) -> None:
        """Take one more item."""
        self.n += 1
        if len(self.items) < self.limit:
            self.items.append(item)


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that was not processed, and is not in the output."""

    image_id: str
    reason: str
    message: str


@dataclass(slots=True)
class Failures:
    """Images that were not processed, by reason.

    Attributes:
        first: The first of them.
        by_reason: How many there are of each.
    """

    first: FirstOf[Failure]
    by_reason: Counter[str] = field(default_factory=Counter)

    def add(self, failure: Failure) -> None:
        """Take one more failure."""
        self.first.add(failure)
        self.by_reason[failure.reason or "error"] += 1


@dataclass(slots=True)
class Searched:
    """What the annotation set says.

    Attributes:
        failures: Images that could not be searched.
        statuses: Images by status; the three are never added up.
        n_found_none: Images that were searched and in which nothing was found.
        kinds: Regions by kind.
        origins: Regions by origin.
        face_size_px: Shorter side of the regions.
        score: Score of the regions that have one.
        per_image: Regions in an image, over the images that were searched.
    """

    failures: Failures
    statuses: Counter[str] = field(default_factory=Counter)
    n_found_none: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    face_size_px: Histogram = field(default_factory=lambda: Histogram(FACE_SIZE_EDGES_PX))
    score: Histogram = field(default_factory=lambda: Histogram(SCORE_EDGES))
    per_image: Histogram = field(default_factory=lambda: Histogram(REGIONS_EDGES, open_ended=True))

    @property
    def n_images(self) -> int:
        """Images in the annotation set."""
        return sum(self.statuses.values())

    @property
    def n_regions(self) -> int:
        """Regions in the annotation set."""
        return sum(self.kinds.values())


@dataclass(slots=True)
class Produced:
    """What obfuscation did.

    Attributes:
        failures: Images that are not in the output.
        outcomes: Images by outcome.
        n_regions: Regions that were obfuscated.
        n_bytes: Size of the output.
        substituted: Regions that were veiled in place of what the method does, by reason.
    """

    failures: Failures
    outcomes: Counter[str] = field(default_factory=Counter)
    n_regions: int = 0
    n_bytes: int = 0
    substituted: Counter[str] = field(default_factory=Counter)

    @property
    def n_images(self) -> int:
        """Images that the stage saw."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that verification found in one image."""

    image_id: str
    code: str
    level: str
    message: str
    box_xyxy: tuple[float, ...] | None
    score: float | None
    detector: str


@dataclass(slots=True)
class Verified:
    """What verification found.

    Attributes:
        against: The first findings that count against the release: leaks and errors.
        to_review: The first findings for people to look at.
        verdicts: Images by verdict.
        findings: Findings by level and code.
        looked_again: Images that detectors searched again, by why; "" if they did not.
        n_still_detected: Detections inside obfuscated regions, drawn ones apart.
        n_drawn_detected: Detections inside regions in which a face was drawn.
        survival: Largest survival of each image with regions, in [0, 1].
        sheet: Image ids and digests that the contact sheet may show, in its order.
    """

    against: FirstOf[Finding]
    to_review: FirstOf[Finding]
    verdicts: Counter[str] = field(default_factory=Counter)
    findings: Counter[tuple[str, str]] = field(default_factory=Counter)
    looked_again: Counter[str] = field(default_factory=Counter)
    n_still_detected: int = 0
    n_drawn_detected: int = 0
    survival: Histogram = field(default_factory=lambda: Histogram(SCORE_EDGES))
    sheet: list[Candidate] = field(default_factory=list)

    @property
    def n_checked(self) -> int:
        """Images that are in the output and could be judged."""
        return sum(self.verdicts[name] for name in ("passed", "review", "leak"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """An obfuscated output that passed verification.

    Attributes:
        image_id: Its name.
        sha256: Digest of the file that was verified.
        n_regions: Regions that were obfuscated in it.
    """

    image_id: str
    sha256: str
    n_regions: int


def without_folders(text: str, roots: Iterable[str] = ()) -> str:
    """Take absolute paths out of a text, leaving the last part of each.

    Args:
        text: For people.
        roots: Absolute paths that are known to occur; they may hold spaces.

    Example:
        >>> without_folders("No /home/ann lee/set/a.jpg or /etc/x/y.", ["/home/ann lee/set"])
        'No set/a.jpg or …/y.'
        >>> without_folders("s3://bucket/set/a.jpg cannot be read.")
        '…/a.jpg cannot be read.'
    """
    for root in sorted((root for root in roots if root), key=len, reverse=True):
        text = text.replace(root, PurePath(root).name)
    return _ABSOLUTE.sub("…/", _URL.sub("…/", text))


def without_places(value: Any, roots: Iterable[str] = ()) -> Any:
    """Give a JSON value in which no text tells where something lies on the machine.

    A text that begins with a slash is a path as a whole, and only its name is left.

    Example:
        >>> without_places({"weights": "/home/ann lee/w.onnx", "n": [1, "in /etc/x/y"]})
        {'weights': 'w.onnx', 'n': [1, 'in …/y']}
    """
    if isinstance(value, str):
        return PurePath(value).name if value.startswith("/") else without_folders(value, roots)
    if isinstance(value, Mapping):
        return {key: without_places(each, roots) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_places(each, roots) for each in value]
    return value
