# SPDX-License-Identifier: Apache-2.0
"""What travels between the browser and the server; the client's types are made from it.

Boxes are ``[x0, y0, x1, y1]`` in pixels of the full, upright image, whatever size of
picture was sent. Moments are milliseconds since 1970, UTC. The truth of a gold image is in
no model but ``Feedback``, which exists only after the answer.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from veilset.review.values import MAX_REGIONS

BoxModel = Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]
RowId = Annotated[int, Field(ge=1, le=2**53)]


class Strict(BaseModel):
    """A model that refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SignIn(Strict):
    """The secret of a sign-in link."""

    token: str = Field(min_length=16, max_length=128)


class JobModel(Strict):
    """What everybody in a job may know of it."""

    name: str
    kinds: list[str]
    instructions: str
    lives: int
    lease_minutes: float


class Me(Strict):
    """Who is signed in."""

    name: str
    role: Literal["worker", "expert", "owner"]
    csrf: str
    job: JobModel
    finish_url: str = Field(
        "", description="Where a batch that ended is handed in; empty if the next one follows."
    )


class RegionModel(Strict):
    """A box on the screen; see ``values.Drawn``."""

    box_xyxy: BoxModel
    kind: str = Field(max_length=32)
    source: Annotated[int, Field(ge=0, le=100_000)] | None = None


class TaskModel(Strict):
    """An image of a batch, gold or not."""

    task_id: RowId
    position: int
    width: int
    height: int
    is_answered: bool
    is_closed: bool = Field(description="Answered for good: it cannot be changed any more.")
    regions: list[RegionModel] = Field(description="As last answered, else as shown at first.")


class BatchModel(Strict):
    """A batch that the person holds."""

    batch_id: RowId
    attempt: int
    max_attempts: int
    lives: int
    expires_ms: int
    tasks: list[TaskModel]


class Work(Strict):
    """The batch to work on, or why there is none; ``finished``: hand the last one in."""

    batch: BatchModel | None
    reason: Literal["", "no-work", "blocked", "finished"] = ""


class Answer(Strict):
    """All boxes of an image, as the person left them."""

    attempt: Annotated[int, Field(ge=1, le=1_000)]
    nonce: str = Field(min_length=8, max_length=40, pattern=r"^[A-Za-z0-9_-]+$")
    seconds: Annotated[FiniteFloat, Field(ge=0, le=86_400)]
    regions: list[RegionModel] = Field(max_length=MAX_REGIONS)


class ProblemModel(Strict):
    """What is wrong with an answer on a gold image."""

    what: Literal["missed", "stray", "overlap"]
    box_xyxy: BoxModel


class Feedback(Strict):
    """The truth of a gold image that was answered wrongly."""

    truth: list[RegionModel]
    problems: list[ProblemModel]


class Outcome(Strict):
    """What became of an answer.

    ``saved``: ordinary, or gold that passed: the two look alike. ``life-lost``: gold that
    did not; ``feedback`` says why. ``restarted``: the last life; ``batch`` is the new
    attempt. ``batch-lost``: the last attempt; the batch goes to others.
    """

    outcome: Literal["saved", "life-lost", "restarted", "batch-lost"]
    lives: int
    expires_ms: int
    feedback: Feedback | None = None
    batch: BatchModel | None = None


class Submitted(Strict):
    """A batch that was handed in."""

    n_images: int


class Lease(Strict):
    """Until when a batch is the person's."""

    expires_ms: int


class Problem(BaseModel):
    """What went wrong, in a sentence, and a short code for programs."""

    detail: str
    code: str


class Estimate(Strict):
    """A number with its 95 % interval and what it rests on; None where nothing is known yet."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class CurvePoint(Strict):
    """Progress at a moment."""

    at_ms: int
    n_done: int
    n_added: int = Field(description="Regions that people added so far.")


class Overview(Strict):
    """The dashboard of the owner."""

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
    n_active: int = Field(description="People who hold a batch now.")
    images_per_hour: Estimate = Field(description="Answers in the last hour of work.")
    hours_left: Estimate
    median_seconds: Estimate = Field(description="On an image.")
    regions_before: int
    regions_added: int
    regions_deleted: int
    regions_moved: int
    found_per_minute: Estimate = Field(description="Missed faces found a minute of work, lately.")
    expected_per_minute: Estimate = Field(description="The same for the images that come next.")
    missed_left: Estimate = Field(description="Share of the open images that miss a region.")
    advice: str = Field(description="Whether to go on, by the stopping rule, in a sentence.")
    curve: list[CurvePoint]


class PersonModel(Strict):
    """A row of the owner's table of people."""

    person_id: RowId
    name: str
    role: Literal["worker", "expert", "owner"]
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
    agreement: Estimate = Field(description="Mean F1 with others on the same images.")
    last_seen_ms: int | None


class People(Strict):
    """The owner's table of people."""

    people: list[PersonModel]


class Invite(Strict):
    """How many links, for whom, and how long they last."""

    n: Annotated[int, Field(ge=1, le=1_000)] = 1
    role: Literal["worker", "expert"] = "worker"
    hours: Annotated[FiniteFloat, Field(gt=0, le=24 * 90)] = 24 * 7


class Link(Strict):
    """A one-time sign-in link; shown once, kept only as a hash."""

    person_id: RowId
    name: str
    url: str


class Links(Strict):
    """Links that were just made."""

    links: list[Link]


class Replica(Strict):
    """What one person drew on a disputed image."""

    name: str
    regions: list[RegionModel]


class MergedRegion(Strict):
    """A region of the merged answers and how many drew it."""

    region: RegionModel
    votes: int
    is_agreed: bool


class Dispute(Strict):
    """An image whose people do not agree."""

    image_pk: RowId
    image_id: str
    width: int
    height: int
    replicas: list[Replica]
    merged: list[MergedRegion]


class Disputes(Strict):
    """The queue of adjudication."""

    n_total: int
    disputes: list[Dispute]


class Adjudication(Strict):
    """The owner's word on an image."""

    regions: list[RegionModel] = Field(max_length=MAX_REGIONS)


class DecisionModel(Strict):
    """A row of the history of decisions."""

    decision_id: RowId
    image_pk: RowId
    image_id: str
    kind: Literal["single", "agreed", "disputed", "adjudicated"]
    n_regions: int
    by: str
    made_ms: int
    is_undone: bool


class Decisions(Strict):
    """The latest decisions, newest first."""

    decisions: list[DecisionModel]


class AgreementModel(Strict):
    """How far people agree: mean F1 of pairs on the same image, by size of the region."""

    n_images: int
    overall: Estimate
    by_size: dict[str, Estimate]


class SampleModel(Strict):
    """What experts found on a random sample of the images."""

    n_drawn: int
    drawn_from: list[str] | None = Field(
        description="Categories that it was drawn from, empty for all; null: in unequal parts."
    )
    n_by_expert: int
    n_settled: int = Field(description="Of those that an expert has finished.")
    images_before: Estimate = Field(description="Share of images that miss a region.")
    images_after: Estimate
    regions_before: Estimate = Field(description="Missed regions of an image.")
    regions_after: Estimate


class RecaptureModel(Strict):
    """What people added to images that so many of them saw."""

    n_people: int
    n_images: int
    n_seen: int = Field(description="Regions that somebody added.")
    regions: Estimate = Field(description="Regions there are to add, at least.")


class MissedModel(Strict):
    """How much is still missed, by an experts' sample and by recapture."""

    sample: SampleModel
    recapture: list[RecaptureModel]


class NewGold(Strict):
    """An agreed image that shall serve as gold."""

    image_pk: RowId
