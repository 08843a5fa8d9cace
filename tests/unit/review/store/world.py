# SPDX-License-Identifier: Apache-2.0
"""A small review job for tests: annotation sets, a job, people who work."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.protocols import Shard, ShardReport
from veilset.review.database import tables
from veilset.review.database.connect import Database
from veilset.review.job import answers, batches, decisions, people
from veilset.review.job.filling import Sources
from veilset.review.job.jobs import find_job, open_job
from veilset.review.settings import JobSettings
from veilset.review.values import Drawing, Drawn, Role, drawing_from_json
from veilset.review.views import BatchView, Job, OutcomeView, Person, TaskView
from veilset.runs import Run
from veilset.types import Annotations, ImageRecord, Region, Status

SIZE_WH = (400, 300)
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

TRUTH: Drawing = (Drawn((10.0, 10.0, 90.0, 110.0)), Drawn((200.0, 50.0, 290.0, 160.0)))
"""What every image of the world shows."""

PROPOSED = (
    Region(TRUTH[0].box_xyxy, score=0.9, landmarks_xy=((30.0, 40.0),), attributes={"pose": 1.5}),
    Region((320.0, 200.0, 350.0, 240.0), score=0.4),
)
"""What the detector found: the first face and a stray box; it missed the second face."""

_numbers = itertools.count()


def looked(image_id: str, regions: Sequence[Region] = PROPOSED, **more: Any) -> Annotations:
    width, height = SIZE_WH
    return Annotations(
        image_id, Status.LOOKED, tuple(regions), width, height, f"{hash(image_id) % 16:064x}", 99,
        **more,
    )  # fmt: skip


def write_set(
    folder: Path, rows: Sequence[Annotations], *, shard_size: int = 4, **config: Any
) -> AnnotationSet:
    """Write an annotation set as a stage does."""
    ordered = sorted(rows, key=lambda row: ImageRecord(row.image_id).order_key)
    with Run.open(folder, "detect", config, {}) as run:
        parts = [ordered[at : at + shard_size] for at in range(0, len(ordered), shard_size)]
        shards = [
            Shard(index, tuple(ImageRecord(row.image_id) for row in part))
            for index, part in enumerate(parts)
        ]
        for shard, part in zip(run.missing(shards), parts, strict=True):
            digest = write_annotations(folder, shard.index, part)
            run.commit(ShardReport(shard.index, len(part), {"looked": len(part)}, {}, digest))
        run.finish()
    return AnnotationSet(folder)


def names(n: int, start: int = 0) -> list[str]:
    return [f"cat-{number % 3}/{number:05d}.jpg" for number in range(start, start + n)]


@dataclass
class World:
    """A job in a database, with a clock of its own."""

    database: Database
    job: Job
    owner: Person
    now_ms: int = 1_700_000_000_000

    def run(self, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Do something that takes a connection, the job, ... and ends with the moment."""
        return self.database.run(lambda conn: work(conn, self.job, *given, self.now_ms, **named))

    def look(self, work: Callable[[Connection], Any]) -> Any:
        return self.database.look(work)

    def later(self, minutes: float) -> None:
        self.now_ms += round(minutes * MINUTE_MS)

    def person(self, role: Role = Role.WORKER) -> Person:
        (invited,) = self.run(people.invite, role, 1, 24.0)
        return Person(invited.person_id, self.job.id, invited.name, role)

    def people(self, n: int, role: Role = Role.WORKER) -> list[Person]:
        return [
            Person(each.person_id, self.job.id, each.name, role)
            for each in self.run(people.invite, role, n, 24.0)
        ]

    def take(self, worker: Person) -> BatchView:
        work = self.run(batches.take_batch, worker)
        assert work.batch is not None, work.reason
        batch: BatchView = work.batch
        return batch

    def reason(self, worker: Person) -> str:
        work = self.run(batches.take_batch, worker)
        assert work.batch is None
        reason: str = work.reason
        return reason

    def gold_tasks(self, batch: BatchView) -> set[int]:
        """What no worker knows: which tasks are gold."""
        ids = [task.task_id for task in batch.tasks]
        query = select(tables.task.c.id).where(
            tables.task.c.id.in_(ids), tables.task.c.gold_id.is_not(None)
        )
        return set(self.look(lambda conn: conn.scalars(query).all()))

    def images_of(self, batch: BatchView) -> dict[int, int]:
        """Rows of the images by task."""
        ids = [task.task_id for task in batch.tasks]
        query = select(tables.task.c.id, tables.task.c.image_pk).where(tables.task.c.id.in_(ids))
        return dict(self.look(lambda conn: [tuple(row) for row in conn.execute(query)]))

    def answer(
        self,
        worker: Person,
        batch: BatchView,
        task: TaskView,
        drawing: Drawing,
        *,
        nonce: str | None = None,
        seconds: float = 2.0,
    ) -> OutcomeView:
        outcome: OutcomeView = self.database.run(
            lambda conn: answers.save_answer(
                conn, self.job, worker, task.task_id, batch.attempt, drawing,
                nonce or f"nonce-{next(_numbers):08d}", seconds, self.now_ms,
            )
        )  # fmt: skip
        return outcome

    def submit(self, worker: Person, batch: BatchView) -> int:
        n: int = self.run(answers.submit_batch, worker, batch.batch_id)
        return n

    def do(self, worker: Person, draw: Callable[[TaskView], Drawing] | None = None) -> BatchView:
        """Take a batch, draw what is there on every image, hand it in."""
        batch = self.take(worker)
        for task in batch.tasks:
            drawing = draw(task) if draw else correct(task)
            assert self.answer(worker, batch, task, drawing).outcome == "saved"
        self.submit(worker, batch)
        return batch

    def image(self, image_pk: int) -> Any:
        query = select(tables.image).where(tables.image.c.id == image_pk)
        return self.look(lambda conn: conn.execute(query).one())

    def images(self) -> list[Any]:
        query = select(tables.image).where(tables.image.c.job_id == self.job.id)
        query = query.order_by(tables.image.c.seq)
        return list(self.look(lambda conn: conn.execute(query).all()))

    def states(self) -> dict[str, str]:
        return {row.image_id: row.state for row in self.images()}

    def latest_decision(self, image_pk: int) -> int:
        found = self.look(lambda conn: decisions.decisions(conn, self.job, 10_000))
        return int(next(each.decision_id for each in found if each.image_pk == image_pk))


def correct(task: TaskView) -> Drawing:
    """Draw what is there, out of the boxes that are shown where they are right."""
    left = list(task.drawing)
    drawn = []
    for true in TRUTH:
        same = next((each for each in left if each.box_xyxy == true.box_xyxy), None)
        if same:
            left.remove(same)
        drawn.append(same or true)
    return tuple(drawn)


def make_world(
    database: Database,
    folder: Path,
    *,
    n: int = 12,
    gold: int = 4,
    rows: Sequence[Annotations] | None = None,
    truths: Mapping[str, Sequence[Region]] | None = None,
    name: str = "faces",
    **settings: Any,
) -> World:
    """Open a job of ``n`` images and ``gold`` gold ones."""
    chosen: dict[str, Any] = {"batch_size": 5, "gold_per_batch": 2, "order": "dataset"}
    if rows is None:
        rows = [looked(image_id) for image_id in names(n + gold)]
    photos = folder / "photos"
    photos.mkdir(exist_ok=True)
    number = next(_numbers)
    annotations = write_set(folder / f"annotations-{number}", rows)
    if truths is None:
        regions = [Region(each.box_xyxy) for each in TRUTH]
        truths = {row.image_id: regions for row in rows[len(rows) - gold :]} if gold else {}
    gold_set = None
    if truths:
        gold_rows = [looked(image_id, regions) for image_id, regions in truths.items()]
        gold_set = write_set(folder / f"gold-{number}", gold_rows)
    sources = Sources(photos, annotations, gold_set)
    now_ms = 1_700_000_000_000
    database.run(
        lambda conn: open_job(conn, name, sources, JobSettings(**(chosen | settings)), now_ms)
    )
    job = database.look(lambda conn: find_job(conn, name))
    invited = database.run(lambda conn: people.owner_link(conn, job, 24.0, now_ms))
    owner = Person(invited.person_id, job.id, invited.name, Role.OWNER)
    return World(database, job, owner, now_ms)


def recount(world: World) -> None:
    """Compare the present state with what can be counted again from who did what."""
    t = tables
    with world.database.reading() as conn:
        tasks = conn.execute(
            select(t.task.c.image_pk, t.batch.c.state, t.batch.c.purpose, t.batch.c.person_id)
            .join_from(t.task, t.batch, t.batch.c.id == t.task.c.batch_id)
            .where(
                t.task.c.attempt == t.batch.c.attempt, t.task.c.gold_id.is_(None),
                t.task.c.state != "gone", t.batch.c.state.in_(("open", "done")),
            )
        ).all()  # fmt: skip
        images = conn.execute(select(t.image)).all()
        lives = conn.scalars(select(t.batch.c.lives)).all()
        sums = {
            name: sum(conn.scalars(select(t.tally.c[name])).all())
            for name in ("n_done", "n_settled", "n_disputed", "n_wanted")
        }
    for row in images:
        mine = [each for each in tasks if each.image_pk == row.id]
        review = [each for each in mine if each.purpose == "review"]
        expert = [each for each in mine if each.purpose == "expert"]
        assert row.n_taken == len(review), row.image_id
        assert row.n_done == sum(each.state == "done" for each in review), row.image_id
        assert row.expert_taken == len(expert)
        assert row.expert_done == sum(each.state == "done" for each in expert)
        people_here = [each.person_id for each in mine]
        assert len(people_here) == len(set(people_here)), "an image twice for a person"
    assert all(0 <= left <= world.job.settings.lives for left in lives)
    assert sums["n_done"] == sum(row.n_done for row in images)
    assert sums["n_settled"] == sum(row.state == "settled" for row in images)
    assert sums["n_disputed"] == sum(row.state == "disputed" for row in images)
    assert sums["n_wanted"] == sum(row.n_wanted for row in images)


def shown_of(world: World, task: TaskView) -> Drawing:
    """Give what a task showed at first."""
    query = select(tables.task.c.shown).where(tables.task.c.id == task.task_id)
    return drawing_from_json(world.look(lambda conn: conn.scalar(query)))


def ordinary(world: World, batch: BatchView) -> set[int]:
    """The images of a batch that are work, by number."""
    gold = world.gold_tasks(batch)
    return {pk for task_id, pk in world.images_of(batch).items() if task_id not in gold}


def gold(world: World, batch: BatchView) -> set[int]:
    """The images of a batch that are gold, by number."""
    return set(world.images_of(batch).values()) - ordinary(world, batch)
