# SPDX-License-Identifier: Apache-2.0
"""The engine of a Ray cluster: shards as tasks that are done again where an actor dies.

The driver holds names only. An actor builds its models once, reads, works and writes by
itself, and gives back a report. A shard is given to an actor when it is free for it, so no
more shards are taken from the data set than there are actors.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from veilset.engine.carried import Broken
from veilset.engine.ray_actor import Briefing, Ready, ShardActor
from veilset.engine.ray_cluster import check_address, count_slots, import_ray, joined, require_slots
from veilset.engine.same_places import sight, take_signs
from veilset.engine.shard_locks import ShardLocks, await_earlier_workers
from veilset.errors import ConfigError, RunError
from veilset.packages import package_versions
from veilset.protocols import EngineSettings, Shard, ShardReport, ShardTask, Tick

log = logging.getLogger(__name__)

MAX_DEATHS = 3
"""So often an actor may die over one shard, or die one after the other while they start."""

POLL_S = 0.25
_NODES_EVERY_S = 5.0
_START_LIMIT_S = 600.0
_CLOSE_S = 10.0


def make(settings: EngineSettings) -> RayEngine:
    """Give the engine; nothing is started yet.

    Raises:
        MissingExtraError: If Ray is not installed.
        ConfigError: If the address or the number of GPUs cannot be used, or a number of
            processes is given.
    """
    ray = import_ray()
    check_address(settings.address)
    if settings.n_gpus < 0 or (settings.n_gpus > 1 and settings.n_gpus % 1):
        raise ConfigError(f"--gpus is {settings.n_gpus:g}. Give 0, a part of 1, or a whole number.")
    if settings.n_processes:
        raise ConfigError(
            "--processes is for the local engine. Leave it out: Ray starts an actor for each "
            "--workers cores."
        )
    return RayEngine(ray, settings)


class RayEngine:
    """Runs shards on the actors of a cluster, each with ``n_threads`` cores."""

    def __init__(self, ray: Any, settings: EngineSettings) -> None:
        self._ray = ray
        self._settings = EngineSettings(
            settings.name, check_address(settings.address), settings.n_gpus, settings.n_threads
        )

    def run(self, task: ShardTask, shards: Iterable[Shard], *, tick: Tick) -> Iterator[ShardReport]:
        """Run the task over every shard; stops at the first exception.

        Raises:
            ConfigError: If an actor fits on no node.
            RunError: If there is no cluster, a node does not see the same files or has other
                packages, or actors die over one shard again and again.
        """
        places = task.places()
        with joined(self._ray, self._settings), ShardLocks(places.run) as locks:
            briefing = Briefing(sight(places, locks.sign()), package_versions())
            crew = _Crew(self._ray, self._settings, task, briefing, iter(shards), tick)
            try:
                yield from crew.reports()
            finally:
                crew.dismiss()
                # Killed ones end a moment later; the next command must not meet them.
                with suppress(RunError):
                    await_earlier_workers(places.run, patience_s=_CLOSE_S)


@dataclass(slots=True, eq=False)
class _Hand:
    """An actor as the driver knows it.

    Attributes:
        number: Lowest that no other living actor has.
        actor: Handle of the actor.
        call: What it is doing, None if it is free.
        shard: What it is working on, None while it starts and while it is free.
        watch: A question about its progress that is not answered yet.
        n_done: Images of the shard that were told as ended.
        n_failed: How many of those failed.
        is_ready: Whether it has started.
    """

    number: int
    actor: Any
    call: Any
    shard: Shard | None = None
    watch: Any = None
    n_done: int = 0
    n_failed: int = 0
    is_ready: bool = False


class _Crew:
    """The actors of one run, and the shards that wait for one."""

    def __init__(
        self,
        ray: Any,
        settings: EngineSettings,
        task: ShardTask,
        briefing: Briefing,
        shards: Iterator[Shard],
        tick: Tick,
    ) -> None:
        self._ray = ray
        self._task, self._briefing = ray.put(task), ray.put(briefing)
        self._source = shards
        self._tick = tick
        self._settings = settings
        self._actor_class = ray.remote(
            num_cpus=settings.n_threads,
            num_gpus=settings.n_gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            concurrency_groups={"watch": 1},
        )(ShardActor)
        self._waiting: deque[Shard] = deque()
        self._hands: list[_Hand] = []
        self._deaths: Counter[int] = Counter()
        self._n_start_deaths = 0
        self._n_slots = require_slots(ray.nodes(), settings)
        self._slots_known_at = self._idle_since = self._watched_at = time.monotonic()

    def reports(self) -> Iterator[ShardReport]:
        """Have every shard done; give the reports as they come."""
        while True:
            self._hire()
            if not self._waiting and not any(hand.shard for hand in self._hands):
                return
            for hand in self._ended():
                report = self._take(hand)
                if report is not None:
                    yield report
            self._watch()

    def dismiss(self) -> None:
        """End every actor: those that are free let go of what they hold, the others are killed."""
        free = [hand for hand in self._hands if hand.is_ready and hand.call is None]
        with suppress(self._ray.exceptions.RayError):
            calls = [hand.actor.close.remote() for hand in free]
            if calls:
                self._ray.wait(calls, num_returns=len(calls), timeout=_CLOSE_S)
        for hand in self._hands:
            self._ray.kill(hand.actor, no_restart=True)
        self._hands.clear()

    def _hire(self) -> None:
        """Give shards to free actors, and start actors for further ones."""
        for hand in self._hands:
            if hand.is_ready and hand.call is None and (self._waiting or self._pull()):
                self._assign(hand, self._waiting.popleft())
        now = time.monotonic()
        if now - self._slots_known_at > _NODES_EVERY_S:
            self._n_slots = count_slots(self._ray.nodes(), self._settings)
            self._slots_known_at = now
        n_starting = sum(not hand.is_ready for hand in self._hands)
        while len(self._hands) < max(1, self._n_slots):
            if len(self._waiting) <= n_starting and not self._pull():
                break
            actor = self._actor_class.remote()
            number = min(set(range(len(self._hands) + 1)) - {hand.number for hand in self._hands})
            call = actor.start.remote(self._task, self._briefing, number)
            self._hands.append(_Hand(number, actor, call))
            n_starting += 1

    def _pull(self) -> bool:
        """Take one more shard from the data set; False if there is none."""
        shard = next(self._source, None)
        if shard is not None:
            self._waiting.append(shard)
        return shard is not None

    def _assign(self, hand: _Hand, shard: Shard) -> None:
        hand.shard, hand.n_done, hand.n_failed = shard, 0, 0
        hand.call = hand.actor.work.remote(shard)

    def _ended(self) -> list[_Hand]:
        """Wait a moment for calls to end; give the actors whose call did."""
        calls = {hand.call: hand for hand in self._hands if hand.call is not None}
        ready, _ = self._ray.wait(list(calls), num_returns=len(calls), timeout=0, fetch_local=False)
        if not ready:
            ready, _ = self._ray.wait(list(calls), timeout=POLL_S, fetch_local=False)
        now = time.monotonic()
        if ready or any(hand.shard for hand in self._hands):
            self._idle_since = now
        elif now - self._idle_since > _START_LIMIT_S:
            raise RunError(
                f"No actor of {self._settings.n_threads} cores and {self._settings.n_gpus:g} GPUs "
                f"has started within {_START_LIMIT_S:.0f} seconds. The Ray cluster is busy: free "
                "it, then run the same command again."
            )
        return [calls[call] for call in ready]

    def _take(self, hand: _Hand) -> ShardReport | None:
        """Take the outcome of a call; None unless a shard was done.

        Raises:
            Exception: The one that stopped the work of the actor.
        """
        try:
            outcome = self._ray.get(hand.call)
        except self._ray.exceptions.RayError as error:
            self._bury(hand, error)
            return None
        hand.call = None
        if isinstance(outcome, Broken):
            raise outcome.error
        if isinstance(outcome, Ready):
            take_signs(outcome.signs, outcome.node)
            hand.is_ready, self._n_start_deaths = True, 0
            return None
        self._tell(hand, outcome.n_done, outcome.n_failed)
        hand.shard = None
        report: ShardReport = outcome.report
        return report

    def _bury(self, hand: _Hand, error: Exception) -> None:
        """Put the shard of a dead actor back; refuse to go on if it kills every actor."""
        self._ray.kill(hand.actor, no_restart=True)
        self._hands.remove(hand)
        self._slots_known_at = 0.0
        why = type(error).__name__
        shard = hand.shard
        if shard is None:
            self._n_start_deaths += 1
            log.warning("An actor died while it started (%s).", why)
            if self._n_start_deaths >= MAX_DEATHS:
                raise RunError(
                    f"{MAX_DEATHS} actors in a row died while they started ({why}). Check that "
                    "every node has Veilset and memory for the model; Ray's log of the actor "
                    "says more."
                ) from error
            return
        self._tell(hand, 0, 0)
        self._deaths[shard.index] += 1
        log.warning("An actor died over shard %d (%s); it is done again.", shard.index, why)
        if self._deaths[shard.index] >= MAX_DEATHS:
            first, last = shard.records[0].image_id, shard.records[-1].image_id
            raise RunError(
                f"{MAX_DEATHS} actors died over shard {shard.index} ({first!r} to {last!r}; "
                f"{why}). One of its images may need more memory than a node has: give fewer "
                "threads with --workers or a lower --max-pixels, or take it out, then run again."
            ) from error
        self._waiting.appendleft(shard)

    def _watch(self) -> None:
        """Ask the actors how far they are, and tell what they answered."""
        asked = {hand.watch: hand for hand in self._hands if hand.watch is not None}
        if asked:
            ready, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)
            for call in ready:
                hand = asked[call]
                hand.watch = None
                with suppress(self._ray.exceptions.RayError):
                    index, n_done, n_failed = self._ray.get(call)
                    if hand.shard is not None and index == hand.shard.index:
                        self._tell(hand, n_done, n_failed)
        now = time.monotonic()
        # A thousand actors are asked ten times less often than a hundred.
        if now - self._watched_at > max(POLL_S, len(self._hands) / 100):
            self._watched_at = now
            for hand in self._hands:
                if hand.shard is not None and hand.watch is None:
                    hand.watch = hand.actor.seen.options(concurrency_group="watch").remote()

    def _tell(self, hand: _Hand, n_done: int, n_failed: int) -> None:
        """Tell the difference to what was told; a shard that is done again counts back."""
        if (n_done, n_failed) != (hand.n_done, hand.n_failed):
            self._tick(n_done - hand.n_done, n_failed - hand.n_failed)
        hand.n_done, hand.n_failed = n_done, n_failed
