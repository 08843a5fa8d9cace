# SPDX-License-Identifier: Apache-2.0
"""The whole life of a job, in any order that Hypothesis can think of."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.review.store.world import TRUTH, World, correct, make_world, recount
from veilset.errors import AccessError, LeaseError, ReviewError
from veilset.review.database.connect import Database
from veilset.review.job import batches, decisions, people
from veilset.review.job.gold_images import add_gold, retire_gold
from veilset.review.job.leases import expire
from veilset.review.views import BatchView, Person

places = st.integers(0, 50)


class Life(RuleBasedStateMachine):
    """People come, work, fail, sleep and are sent away; the owner decides and repents."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="veilset-life-"))
        self.database = Database.open(self.folder / "review.sqlite", create=True)
        self.people: list[Person] = []
        self.held: dict[int, BatchView] = {}
        self.met: dict[int, set[tuple[int, int]]] = {}
        self.sent: list[tuple[Person, BatchView, Any, Any, str]] = []

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    @initialize(replicas=st.integers(1, 3), lives=st.integers(1, 2), exposures=st.integers(1, 2))
    def open(self, replicas: int, lives: int, exposures: int) -> None:
        self.world: World = make_world(
            self.database, self.folder, n=7, gold=3, replicas=replicas, lives=lives,
            gold_exposures=exposures, batch_size=4, gold_per_batch=1, max_attempts=2,
        )  # fmt: skip

    def someone(self, place: int) -> Person:
        return self.people[place % len(self.people)]

    @precondition(lambda self: len(self.people) < 5)
    @rule()
    def invite(self) -> None:
        self.people.append(self.world.person())

    @precondition(lambda self: self.people)
    @rule(who=places)
    def take(self, who: int) -> None:
        person = self.someone(who)
        try:
            work = self.world.run(batches.take_batch, person)
        except AccessError:
            return
        before = self.held.get(person.id)
        if work.batch is None:
            self.held.pop(person.id, None)
            return
        self.held[person.id] = work.batch
        if before is None or before.batch_id != work.batch.batch_id:
            self.note_new_images(person, work.batch)

    def note_new_images(self, person: Person, batch: BatchView) -> None:
        golds = self.world.gold_tasks(batch)
        images = self.world.images_of(batch)
        fresh = {(batch.batch_id, pk) for task, pk in images.items() if task not in golds}
        known = self.met.setdefault(person.id, set())
        for batch_id, pk in fresh:
            elsewhere = {b for b, p in known if p == pk} - {batch_id}
            assert not elsewhere, "an image in two batches of one person"
        known |= fresh

    @precondition(lambda self: self.held)
    @rule(who=places, which=places, how=st.sampled_from(["right", "right", "nothing", "shown"]))
    def answer(self, who: int, which: int, how: str) -> None:
        person = self.someone(who)
        batch = self.held.get(person.id)
        if batch is None:
            return
        task = batch.tasks[which % len(batch.tasks)]
        drawing = {"right": correct(task), "nothing": (), "shown": task.drawing}[how]
        nonce = f"life-{len(self.sent):05d}"
        try:
            outcome = self.world.answer(person, batch, task, drawing, nonce=nonce)
        except LeaseError:
            self.held.pop(person.id)
            return
        except ReviewError as error:
            assert "for good" in str(error)  # noqa: PT017  most raise none
            return
        self.sent.append((person, batch, task, outcome, nonce))
        if outcome.outcome == "restarted":
            assert outcome.batch is not None
            self.held[person.id] = outcome.batch
        elif outcome.outcome == "batch-lost":
            self.held.pop(person.id)

    @precondition(lambda self: self.sent)
    @rule(which=places)
    def send_again(self, which: int) -> None:
        person, batch, task, outcome, nonce = self.sent[which % len(self.sent)]
        again = self.world.answer(person, batch, task, TRUTH, nonce=nonce)
        assert (again.outcome, again.lives, again.expires_ms) == (
            outcome.outcome, outcome.lives, outcome.expires_ms,
        )  # fmt: skip

    @precondition(lambda self: self.held)
    @rule(who=places, how=st.sampled_from(["right", "right", "right", "nothing"]))
    def finish(self, who: int, how: str) -> None:
        person = self.someone(who)
        batch = self.held.get(person.id)
        if batch is None:
            return
        golds = self.world.gold_tasks(batch)
        try:
            for task in batch.tasks:
                wanted = correct(task) if how == "right" or task.task_id in golds else ()
                try:
                    self.world.answer(person, batch, task, wanted)
                except LeaseError:
                    raise
                except ReviewError:
                    continue
            self.world.submit(person, batch)
        except LeaseError:
            pass
        self.held.pop(person.id)

    @precondition(lambda self: self.held)
    @rule(who=places)
    def hand_in_early(self, who: int) -> None:
        person = self.someone(who)
        batch = self.held.get(person.id)
        if batch is None:
            return
        try:
            self.world.submit(person, batch)
            self.held.pop(person.id)
        except LeaseError:
            self.held.pop(person.id)
        except ReviewError as error:
            assert "no answer yet" in str(error)  # noqa: PT017  most raise none

    @precondition(lambda self: self.held)
    @rule(who=places)
    def release(self, who: int) -> None:
        person = self.someone(who)
        batch = self.held.pop(person.id, None)
        if batch is None:
            return
        try:
            self.world.run(batches.release, person, batch.batch_id)
        except LeaseError:
            return

    @precondition(lambda self: len(self.people) > 2)
    @rule(who=places)
    def revoke(self, who: int) -> None:
        person = self.someone(who)
        self.held.pop(person.id, None)
        self.world.run(people.revoke, person.id)
        self.people.remove(person)

    @rule(minutes=st.sampled_from([1, 30, 61, 130]))
    def wait(self, minutes: int) -> None:
        self.world.later(minutes)

    @rule()
    def sweep(self) -> None:
        self.world.run(expire)

    @rule(which=places, drawing=st.sampled_from([(), TRUTH]))
    def adjudicate(self, which: int, drawing: Any) -> None:
        rows = self.world.images()
        row = rows[which % len(rows)]
        try:
            self.world.run(decisions.adjudicate, self.world.owner, row.id, drawing)
        except ReviewError:
            assert row.state == "gold" or (row.state == "open" and row.n_taken > row.n_done)

    @rule(which=places)
    def undo(self, which: int) -> None:
        history = self.world.look(lambda conn: decisions.decisions(conn, self.world.job, 200))
        if not history:
            return
        chosen = history[which % len(history)]
        same = [d for d in history if d.image_pk == chosen.image_pk and not d.is_undone]
        may = bool(same) and same[0].decision_id == chosen.decision_id
        try:
            self.world.run(decisions.undo_decision, self.world.owner, chosen.decision_id)
        except ReviewError:
            assert not may
        else:
            assert may

    @rule(which=places, is_added=st.booleans())
    def change_gold(self, which: int, is_added: bool) -> None:
        rows = self.world.images()
        change = add_gold if is_added else retire_gold
        try:
            self.world.run(change, self.world.owner, rows[which % len(rows)].id)
        except ReviewError as error:
            assert "serve as gold" in str(error)  # noqa: PT017  most raise none

    @invariant()
    def state_is_what_can_be_counted_again(self) -> None:
        if hasattr(self, "world"):
            recount(self.world)


Life.TestCase.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
test_life = Life.TestCase
