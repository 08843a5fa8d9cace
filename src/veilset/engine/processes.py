# SPDX-License-Identifier: Apache-2.0
"""Several processes on one machine, each with its share of the cores, working off shards.

Threads of one process share the interpreter lock: copying and obfuscating small photographs,
they fill 1.3 cores. Processes fill them all. What travels between them are names and counts;
each reads, works and writes by itself.
"""

from __future__ import annotations

import json
import logging
import pickle
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection, wait
from typing import Any

from veilset.engine.carried import Broken
from veilset.engine.shard_locks import ShardLocks, await_earlier_workers
from veilset.engine.worker_process import N_OPEN, End, Lend, Order, Ready, Start, Ticked, Word
from veilset.errors import RunError
from veilset.protocols import Shard, ShardReport, ShardTask, Tick

log = logging.getLogger(__name__)

MAX_DEATHS = 3
"""So often processes may die over one shard, or one after the other while they start."""

_PATIENCE_S = 30.0

# The program of a worker: modules are found where this process finds them, and the script that
# the user has started is not run again, as multiprocessing would.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from veilset.engine.worker_process import main; main(int(sys.argv[1]))"
)


def run_in_processes(
    task: ShardTask, shards: Iterable[Shard], n_processes: int, n_cores: int, tick: Tick
) -> Iterator[ShardReport]:
    """Run a task over shards; reports come as shards end.

    The shards of a process that was killed are done again by another.

    Args:
        task: Has to pickle.
        shards: Taken as processes have room for them.
        n_processes: At least 1; no more are started than there are shards.
        n_cores: Cores that they share, at least ``n_processes``.
        tick: Called on the caller's thread.

    Raises:
        Exception: The first that stops the work of a process.
        RunError: If processes die over one shard, or one after the other while they start, or
            cannot be started.
    """
    places = task.places()
    with ShardLocks(places.run):
        crew = _Crew(pickle.dumps(task), iter(shards), n_processes, n_cores, tick)
        try:
            yield from crew.reports()
        finally:
            crew.dismiss()
            # One that was killed ends a moment later; the next command must not meet it.
            with suppress(RunError):
                await_earlier_workers(places.run, patience_s=_PATIENCE_S)


@dataclass(slots=True, eq=False)
class _Hand:
    """A process as it is known here.

    Attributes:
        process: The process.
        connection: To it; None once it has closed.
        n_cores: Its share.
        open: The shards it was given and has not reported, by index.
        ticked: Images of each that were told as ended, and how many of them failed.
        is_ready: Whether it has built what it needs.
        is_told_to_end: Whether it gets no more shards.
    """

    process: subprocess.Popen[bytes]
    connection: Connection[Any, Any]
    n_cores: int
    open: dict[int, Shard] = field(default_factory=dict)
    ticked: dict[int, tuple[int, int]] = field(default_factory=dict)
    is_ready: bool = False
    is_told_to_end: bool = False


class _Crew:
    """The processes of one run, and the shards that wait for one."""

    def __init__(
        self, task: bytes, shards: Iterator[Shard], n_processes: int, n_cores: int, tick: Tick
    ) -> None:
        self._task = task
        self._source = shards
        self._tick = tick
        self._waiting: deque[Shard] = deque(islice(shards, n_processes))
        self._hands: list[_Hand] = []
        self._deaths: Counter[int] = Counter()
        self._n_start_deaths = 0
        self._n_cores = n_cores

    def reports(self) -> Iterator[ShardReport]:
        """Have every shard done; give the reports as they come."""
        n_hands = len(self._waiting)
        for number in range(n_hands):
            self._hire(self._n_cores // n_hands + (number < self._n_cores % n_hands))
        while self._hands:
            self._assign()
            for ready in wait([hand.connection for hand in self._hands]):
                hand = next(each for each in self._hands if each.connection is ready)
                try:
                    word: Word = hand.connection.recv()
                except (EOFError, OSError):
                    self._bury(hand)
                    continue
                report = self._hear(hand, word)
                if report is not None:
                    yield report

    def dismiss(self) -> None:
        """End every process: what they have under way is given up."""
        for hand in self._hands:
            # It may be one that is dead already, or does not listen yet.
            with suppress(OSError):
                if hand.is_ready and not hand.is_told_to_end:
                    hand.connection.send(End(is_early=True))
        for hand in self._hands:
            if hand.is_ready:
                self._drain(hand)
            hand.connection.close()
            hand.process.kill()
            hand.process.wait()
        self._hands.clear()

    def _hire(self, n_cores: int) -> None:
        """Start a process and have it build what it needs.

        Raises:
            RunError: If the system starts no more.
        """
        ours, theirs = Pipe()
        program = [spawn.get_executable(), "-c", _PROGRAM, str(theirs.fileno())]
        # Ctrl+C is for this process, which ends the others in order: those that it knows.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process = subprocess.Popen(
                [*program, json.dumps(sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
            hand = _Hand(process, ours, n_cores)
            self._hands.append(hand)
        except OSError as error:
            ours.close()
            raise RunError(
                f"A worker process cannot be started ({error.strerror}). Give fewer --processes, "
                "then run the same command again: it goes on from here."
            ) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        start = Start(self._task, n_cores, logging.getLogger("veilset").getEffectiveLevel())
        self._send(hand, start)

    def _send(self, hand: _Hand, order: Order) -> None:
        # To one that is gone: its end is heard, and what it had is done again.
        with suppress(OSError):
            hand.connection.send(order)

    def _assign(self) -> None:
        """Give each process that has room a shard, one at a time; end those without work."""
        for n_open in range(N_OPEN):
            # The second of one must not be the first of another that is still starting.
            n_kept = sum(not hand.is_ready for hand in self._hands) if n_open else 0
            for hand in self._hands:
                if hand.is_ready and not hand.is_told_to_end and len(hand.open) == n_open:
                    self._give(hand, n_kept)
        free = [
            hand
            for hand in self._hands
            if hand.is_ready and not hand.is_told_to_end and not hand.open
        ]
        for hand in free:
            hand.is_told_to_end = True
            self._send(hand, End())
        self._lend(sum(hand.n_cores for hand in free))

    def _give(self, hand: _Hand, n_kept: int) -> None:
        """Give a process a shard, unless only so many are left."""
        self._waiting.extend(islice(self._source, max(0, n_kept + 1 - len(self._waiting))))
        if len(self._waiting) > n_kept and not self._has_killed(hand, self._waiting[0]):
            shard = self._waiting.popleft()
            hand.open[shard.index], hand.ticked[shard.index] = shard, (0, 0)
            self._send(hand, shard)

    def _has_killed(self, hand: _Hand, shard: Shard) -> bool:
        """Say whether one of two is suspected: it is done alone, to know which one it is."""
        return bool(hand.open) and any(self._deaths[i] for i in (*hand.open, shard.index))

    def _lend(self, n_cores: int) -> None:
        """Share cores that nobody has work for among those that have some."""
        busy = [hand for hand in self._hands if hand.open]
        if busy:
            extra = Counter(islice(cycle(range(len(busy))), n_cores))
            for number, n in extra.items():
                busy[number].n_cores += n
                self._send(busy[number], Lend(n))

    def _hear(self, hand: _Hand, word: Word) -> ShardReport | None:
        """Take what a process tells; a report is given back.

        Raises:
            Exception: The one that stopped it.
        """
        match word:
            case logging.LogRecord():
                logger = logging.getLogger(word.name)
                if logger.isEnabledFor(word.levelno):
                    logger.handle(word)
            case Broken(error=error):
                raise error
            case Ready():
                hand.is_ready, self._n_start_deaths = True, 0
            case Ticked(index=index, n=n, n_failed=n_failed):
                n_done, failed = hand.ticked[index]
                hand.ticked[index] = n_done + n, failed + n_failed
                self._tick(n, n_failed)
            case ShardReport():
                del hand.open[word.index], hand.ticked[word.index]
                return word
        return None

    def _bury(self, hand: _Hand) -> None:
        """Take a process that has ended off the list; another does what it had under way."""
        hand.connection.close()
        code = hand.process.wait()
        self._hands.remove(hand)
        why = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        if hand.is_told_to_end and not hand.open:
            # All that it was given is done. Another in its place would be told to end too, and
            # one of a library that crashes as it is taken down would follow the other for ever.
            if code:
                log.warning("A worker process has died (%s) after its work was done.", why)
            return
        for index, (n_done, failed) in hand.ticked.items():
            self._tick(-n_done, -failed)
            self._deaths[index] += 1
        log.warning("A worker process has died (%s); its shards are done again.", why)
        self._n_start_deaths += not hand.is_ready
        if self._n_start_deaths >= MAX_DEATHS:
            raise RunError(
                f"{MAX_DEATHS} worker processes in a row died while they started ({why}). Check "
                "that there is memory for the models of all of them, or give --processes 1."
            )
        for shard in sorted(hand.open.values(), key=lambda shard: shard.index, reverse=True):
            if self._deaths[shard.index] >= MAX_DEATHS:
                first, last = shard.records[0].image_id, shard.records[-1].image_id
                raise RunError(
                    f"{MAX_DEATHS} worker processes died over shard {shard.index} ({first!r} to "
                    f"{last!r}; {why}). One of its images may need more memory than there is: "
                    "give fewer --workers or a lower --max-pixels, or take it out, then run the "
                    "same command again."
                )
            self._waiting.appendleft(shard)
        self._hire(hand.n_cores)

    def _drain(self, hand: _Hand) -> None:
        """Wait a while until a process has ended, deaf to what it still tells."""
        with suppress(EOFError, OSError):
            while hand.connection.poll(_PATIENCE_S):
                hand.connection.recv()
