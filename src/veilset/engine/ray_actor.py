# SPDX-License-Identifier: Apache-2.0
"""What runs in each Ray actor: the task's work, built once, shard after shard.

Nothing here knows Ray. What goes wrong is given back as a value, so that the command ends with
the very error that a single machine would have raised.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from veilset.engine.carried import Broken, portable
from veilset.engine.same_packages import check_versions
from veilset.engine.same_places import Sighting, check_places, leave_signs
from veilset.engine.shard_locks import ShardLocks
from veilset.packages import package_versions
from veilset.protocols import Shard, ShardReport, ShardTask, ShardWork


@dataclass(frozen=True, slots=True)
class Briefing:
    """What the machine that starts the run tells every actor.

    Attributes:
        sighting: The paths, as they are seen there.
        versions: Versions of the packages that can change a result.
    """

    sighting: Sighting
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ready:
    """An actor has built what it needs.

    Attributes:
        node: Name of its machine.
        signs: Files that the starting machine has to find, and what is in them.
    """

    node: str
    signs: dict[Path, str]


@dataclass(frozen=True, slots=True)
class Done:
    """A shard has ended.

    Attributes:
        report: What became of it.
        n_done: Images that have ended.
        n_failed: How many of them failed.
    """

    report: ShardReport
    n_done: int
    n_failed: int


class ShardActor:
    """Does shards with one task. ``seen`` may be called from a second thread."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._locks: ShardLocks | None = None
        self._work: ShardWork | None = None
        self._seen = (-1, 0, 0)

    def start(self, task: ShardTask, briefing: Briefing, number: int) -> Ready | Broken:
        """Check that this machine is fit for it, and build what the task needs.

        Args:
            task: The task.
            briefing: What this machine has to be like.
            number: Number of the actor among those that live.
        """
        node = socket.gethostname()
        try:
            check_versions(briefing.versions, package_versions(), node)
            check_places(briefing.sighting, node)
            places = briefing.sighting.places
            self._locks = self._stack.enter_context(ShardLocks(places.run, is_worker=True))
            self._work = self._stack.enter_context(task.open())
            signs = leave_signs(places, number, node)
        except Exception as error:  # noqa: BLE001  raised again by the engine
            return broken(error, node)
        return Ready(node, signs)

    def work(self, shard: Shard) -> Done | Broken:
        """Do one shard; its results are in place when this ends."""
        try:
            if self._work is None or self._locks is None:
                raise RuntimeError("start comes before work")
            self._seen = (shard.index, 0, 0)
            with self._locks.shard(shard.index):
                report = self._work(shard, self._tick)
        except Exception as error:  # noqa: BLE001  raised again by the engine
            return broken(error, socket.gethostname())
        _, n_done, n_failed = self._seen
        return Done(report, n_done, n_failed)

    def seen(self) -> tuple[int, int, int]:
        """Give the shard, how many of its images have ended, and how many of those failed."""
        return self._seen

    def process_id(self) -> int:
        """Give the number of the process, for whoever has to find it."""
        return os.getpid()

    def close(self) -> None:
        """Let go of what the task has built."""
        self._stack.close()

    def _tick(self, n: int, failed: int) -> None:
        index, n_done, n_failed = self._seen
        self._seen = (index, n_done + n, n_failed + failed)


def broken(error: Exception, node: str) -> Broken:
    """Give an exception that an actor met as a value that survives the way to the driver."""
    return Broken(portable(error, f"on the node {node}", log_of="that actor"))
