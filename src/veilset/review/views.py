# SPDX-License-Identifier: Apache-2.0
"""What the database gives to the web application and to the stage. All are frozen.

No view of a task holds the truth of a gold image; only ``Feedback`` does, which exists
after the answer. Moments are ``*_ms``: milliseconds since 1970, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from veilset.review.settings import JobSettings
from veilset.review.values import Drawing, Drawn, GoldProblem, Role
from veilset.types import Measurement


@dataclass(frozen=True, slots=True)
class Job:
    """A review job.

    Attributes:
        id: Row of the job.
        name: Its name, unique in the database.
        photos: Absolute path of the folder of images.
        annotations: Absolute path of the annotation set that is reviewed.
        annotations_sha256: Digest of that set.
        settings: How it is run.
        n_images: Images of the annotation set.
        n_unreadable: Those of them that nobody can look at.
    """

    id: int
    name: str
    photos: str
    annotations: str
    annotations_sha256: str
    settings: JobSettings
    n_images: int
    n_unreadable: int


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who takes part in a job."""

    id: int
    job_id: int
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Invited:
    """A person and the secret of their sign-in link, which is stored nowhere."""

    person_id: int
    name: str
    token: str


@dataclass(frozen=True, slots=True)
class Signed:
    """Somebody who has just signed in; ``secret`` goes into the cookie and nowhere else."""

    person: Person
    secret: str
    csrf: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class SessionView:
    """Who a request comes from."""

    person: Person
    csrf: str


@dataclass(frozen=True, slots=True)
class ImageView:
    """The file behind a task or a dispute; for the server only, a worker never sees it."""

    image_pk: int
    image_id: str
    sha256: str
    size_wh: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TaskView:
    """An image of a batch, gold or not.

    Attributes:
        task_id: Row of the task.
        position: Place in the batch, from 0.
        size_wh: Width and height of the image in pixels.
        is_answered: Whether an answer was saved.
        is_closed: Answered for good: a gold image whose truth was shown.
        drawing: As last answered, else as shown at first.
    """

    task_id: int
    position: int
    size_wh: tuple[int, int]
    is_answered: bool
    is_closed: bool
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch that a person holds; tasks by position."""

    batch_id: int
    attempt: int
    lives: int
    expires_ms: int
    tasks: tuple[TaskView, ...]


@dataclass(frozen=True, slots=True)
class WorkView:
    """The batch to work on, or why there is none: ``no-work``, ``blocked`` or ``finished``.

    ``finished`` is for workers of a paid crowd, who get one batch and hand it in there.
    """

    batch: BatchView | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FeedbackView:
    """The truth of a gold image that was answered wrongly, and what was wrong."""

    truth: Drawing
    problems: tuple[GoldProblem, ...]


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """What became of an answer: ``saved``, ``life-lost``, ``restarted`` or ``batch-lost``.

    ``feedback`` is there for all but ``saved``; ``batch`` for ``restarted`` only.
    """

    outcome: str
    lives: int
    expires_ms: int
    feedback: FeedbackView | None = None
    batch: BatchView | None = None


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """What one person drew on an image."""

    name: str
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class MergedView:
    """A region of the merged answers and how many people drew it."""

    drawn: Drawn
    votes: int
    is_agreed: bool


@dataclass(frozen=True, slots=True)
class DisputeView:
    """An image whose people do not agree."""

    image_pk: int
    image_id: str
    size_wh: tuple[int, int]
    replicas: tuple[ReplicaView, ...]
    merged: tuple[MergedView, ...]


@dataclass(frozen=True, slots=True)
class DisputesView:
    """A page of the queue of adjudication; ``n_total`` is its whole length."""

    n_total: int
    disputes: tuple[DisputeView, ...]


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A row of the history of decisions; ``by`` is "rules" or the name of a person."""

    decision_id: int
    image_pk: int
    image_id: str
    kind: str
    n_regions: int
    by: str
    made_ms: int
    is_undone: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval and what it rests on; None where nothing is known."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, found: Measurement | None) -> Self:
        """Give a measurement as an estimate; None is unknown."""
        if found is None:
            return cls(None, None, None, 0)
        return cls(found.value, found.low, found.high, found.n)


UNKNOWN = Estimate(None, None, None, 0)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """How much was done, and how many regions were added, up to a moment."""

    at_ms: int
    n_done: int
    n_added: int


@dataclass(frozen=True, slots=True)
class OverviewView:
    """The dashboard of the owner; fields as ``web.models.Overview``."""

    now_ms: int
    n_images: int
    n_settled: int
    n_disputed: int
    n_open: int
    n_unreadable: int
    n_gold: int
    n_answers: int
    n_answers_wanted: int
    n_people: int
    n_active: int
    images_per_hour: Estimate
    hours_left: Estimate
    median_seconds: Estimate
    regions_before: int
    regions_added: int
    regions_deleted: int
    regions_moved: int
    found_per_minute: Estimate
    expected_per_minute: Estimate
    missed_left: Estimate
    advice: str
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class PersonView:
    """A row of the owner's table of people; fields as ``web.models.PersonModel``."""

    person_id: int
    name: str
    role: Role
    source: str
    is_revoked: bool
    has_signed_in: bool
    n_batches: int
    n_lost_batches: int
    n_answers: int
    images_per_hour: float | None
    median_seconds: float | None
    gold_recall: Estimate
    gold_precision: Estimate
    agreement: Estimate
    last_seen_ms: int | None


@dataclass(frozen=True, slots=True)
class AgreementView:
    """How far people agree: mean F1 of pairs on the same image, by size of the region."""

    n_images: int
    overall: Estimate
    by_size: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class SampleView:
    """What experts found on a random sample of the images.

    Attributes:
        n_drawn: Images in the sample.
        drawn_from: Categories that it was drawn from, empty for all; None if it was drawn in
            parts from different ones, so that it speaks for itself only.
        n_by_expert: Images of it that an expert has finished.
        n_settled: Those of them that people have settled too.
        images_before: Share of the images, as the detector left them, that miss a region.
        images_after: Share of the settled images that miss a region.
        regions_before: Missed regions of an image, as the detector left it.
        regions_after: Missed regions of a settled image.
    """

    n_drawn: int
    drawn_from: tuple[str, ...] | None
    n_by_expert: int
    n_settled: int
    images_before: Estimate
    images_after: Estimate
    regions_before: Estimate
    regions_after: Estimate


@dataclass(frozen=True, slots=True)
class RecaptureView:
    """What people added to images that so many of them saw.

    Attributes:
        n_people: How many saw each of the images.
        n_images: Images that were compared.
        n_seen: Regions that somebody added.
        regions: How many there are to add, with those that nobody saw; rather too few.
    """

    n_people: int
    n_images: int
    n_seen: int
    regions: Estimate


@dataclass(frozen=True, slots=True)
class MissedView:
    """How much is still missed, by an experts' sample and by recapture."""

    sample: SampleView
    recapture: tuple[RecaptureView, ...]
