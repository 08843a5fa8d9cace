# SPDX-License-Identifier: Apache-2.0
"""Actors on a Ray cluster that work through the list of runs, each on a device of its own.

They claim runs as any process does, so the driver hands out nothing: it tells what happens, and
starts another actor where one died, which goes on from the checkpoint.
"""

from __future__ import annotations

import logging
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from veilset.engine.carried import Broken
from veilset.engine.ray_cluster import count_slots, import_ray, joined, require_slots
from veilset.engine.same_places import sight, take_signs
from veilset.errors import ConfigError, RunError
from veilset.learning.stop_flag import StopFlag
from veilset.packages import package_versions
from veilset.protocols import EngineSettings, Places
from veilset.study import records
from veilset.study.claims import claim
from veilset.study.plan import Study
from veilset.study.ray_actor import Ended, Orders, Ready, StudyActor
from veilset.study.records import Failure
from veilset.study.work import Counts, Event, Options, count_runs, find_open

log = logging.getLogger(__name__)

MAX_DEATHS = 3
"""So often an actor may die over one run that gets no further, or one after the other."""

_WAIT_S = 0.25
_TOLD_EVERY_S = 1.0
_NODES_EVERY_S = 5.0
_START_LIMIT_S = 600.0
# A file server lets go of the locks of a machine that vanished after a minute or two.
_LOCKS_FREE_S = 180.0
_SETTLE_S = 5.0

Told = Callable[[Event], None]


def check_workers(settings: EngineSettings, devices: str, processes: int) -> None:
    """Refuse what actors of a study cannot be asked for.

    Args:
        settings: Address of the cluster, and GPUs of each actor.
        devices: Kind of device: ``auto``, ``cpu`` or ``cuda``.
        processes: Of the local engine, 1 if not given.

    Raises:
        ConfigError: If there is something.
    """
    if devices not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"--devices {devices} are those of one machine. With --engine ray give auto, cpu or "
            "cuda: Ray chooses which."
        )
    if processes != 1:
        raise ConfigError(
            "--processes is for the local engine. Leave it out: Ray starts a worker for each GPU, "
            "or for as many cores as a run uses."
        )
    if settings.n_gpus > 1:
        raise ConfigError(
            f"--gpus is {settings.n_gpus:g}, and a run works on one. Give 1, or a part of 1."
        )
    if settings.n_gpus and devices == "cpu":
        raise ConfigError("--gpus is not for --devices cpu. Leave one of them out.")


def work_on_cluster(
    study: Study, settings: EngineSettings, devices: str, options: Options, on_event: Told
) -> Counts:
    """Work through the runs on a Ray cluster.

    There is an actor for each GPU, if the cluster has some, or for each ``threads`` and
    ``workers`` of the study in cores; never more than there are runs.

    Args:
        study: The study.
        settings: Address of the cluster, and GPUs of each actor, 0 for the default.
        devices: ``auto``, ``cpu`` or ``cuda``.
        options: Which runs, how long.
        on_event: Told what happens, in this process.

    Returns:
        Where the runs stand afterwards.

    Raises:
        MissingExtraError: If Ray is not installed.
        ConfigError: If an actor fits on no node, or as ``work_through``.
        RunError: If there is no cluster, a node does not see the same files and locks or has
            other packages, or actors die one after the other.
        KeyboardInterrupt: If the process was asked to end; every run at work has a checkpoint.
        VeilsetError: What stopped an actor, as ``work_through``.
    """
    ray = import_ray()
    flag = StopFlag(signal.SIGINT, signal.SIGTERM)
    cores = study.config.threads + study.config.workers
    # Ray sets its own handler of SIGTERM when it joins.
    with joined(ray, replace(settings, n_threads=cores)), flag.listening():
        needs = _needs(ray, study, settings, devices)
        crew = _Crew(ray, needs, study, options, on_event)
        with crew.dismissed():
            crew.work(lambda: flag.is_set)
    if flag.is_set:
        raise KeyboardInterrupt
    return count_runs(study, options.only)


def _needs(ray: Any, study: Study, settings: EngineSettings, devices: str) -> EngineSettings:
    """Give what each actor needs."""
    n_gpus = settings.n_gpus
    if not n_gpus and devices != "cpu":
        has_gpus = any(node["Resources"].get("GPU") for node in ray.nodes() if node["Alive"])
        n_gpus = 1.0 if devices == "cuda" or has_gpus else 0.0
    # On a GPU one thread drives it; those of PyTorch count on the CPU.
    n_threads = 1 if n_gpus else study.config.threads
    return replace(settings, n_gpus=n_gpus, n_threads=n_threads + study.config.workers)


def _places(study: Study) -> Places:
    reads = [spec.root for spec in study.config.settings.values() if spec.root]
    reads += [spec.layer for spec in study.config.settings.values() if spec.layer]
    reads += [path for path in (study.config.data.annotations, study.config.weights) if path]
    return Places(study.folder, tuple(reads), (study.folder,))


@dataclass(slots=True, eq=False)
class _Hand:
    """An actor as the driver knows it.

    Attributes:
        actor: Handle of the actor.
        call: The answer that is awaited from it.
        where: Its machine and process, "" until it has started.
        run_id: What it works on, "" for nothing.
    """

    actor: Any
    call: Any
    where: str = ""
    run_id: str = ""


class _Crew:
    """The actors of one command."""

    def __init__(
        self, ray: Any, needs: EngineSettings, study: Study, options: Options, on_event: Told
    ) -> None:
        self._ray, self._needs, self._study = ray, needs, study
        self._options, self._on_event = options, on_event
        self._n_slots = require_slots(
            ray.nodes(), needs, remedy="Lower threads and workers in study.yaml, or --gpus."
        )
        orders = Orders(
            study, sight(_places(study), ""), package_versions(),
            "cuda:0" if needs.n_gpus else "cpu", options.only, options.keep,
        )  # fmt: skip
        self._orders = ray.put(orders)
        self._actor_class = ray.remote(
            num_cpus=needs.n_threads, num_gpus=needs.n_gpus, max_restarts=0, max_task_retries=0,
            scheduling_strategy="SPREAD", concurrency_groups={"aside": 2},
        )(StudyActor)  # fmt: skip
        self._hands: list[_Hand] = []
        self._open = find_open(study, options.only)
        self._is_exhausted = self._is_ending = False
        self._problem: Exception | None = None
        # Steps of each run; where it was when an actor died over it; how often it got no further.
        self._steps: dict[str, int] = {}
        self._died_at: dict[str, int] = {}
        self._deaths: Counter[str] = Counter()
        # Runs that a dead actor had, and when it died.
        self._orphans: dict[str, float] = {}
        self._slots_known_at = self._idle_since = self._tried_at = time.monotonic()

    def work(self, should_stop: Callable[[], bool]) -> None:
        """Have every run done that nobody else has.

        Raises:
            Exception: What stopped an actor; the others have left checkpoints.
        """
        while True:
            if (should_stop() or self._problem) and not self._is_ending:
                self._end()
            self._try_orphans()
            self._hire()
            if not self._hands and (self._is_over() or not self._orphans):
                break
            for hand in self._answered():
                self._take(hand)
        if self._problem:
            raise self._problem

    @contextmanager
    def dismissed(self) -> Iterator[None]:
        """End every actor when the block does, however that is."""
        try:
            yield
        finally:
            for hand in self._hands:
                self._ray.kill(hand.actor, no_restart=True)

    def _hire(self) -> None:
        """Start actors for runs that nobody may have."""
        if self._is_over() or self._is_exhausted:
            return
        now = time.monotonic()
        if now - self._slots_known_at > _NODES_EVERY_S:
            self._n_slots = count_slots(self._ray.nodes(), self._needs)
            self._slots_known_at = now
        while len(self._hands) < min(max(1, self._n_slots), len(self._open)):
            actor = self._actor_class.remote()
            self._hands.append(_Hand(actor, actor.start.remote(self._orders)))

    def _is_over(self) -> bool:
        deadline = self._options.deadline
        return self._is_ending or (deadline is not None and time.monotonic() >= deadline)

    def _try_orphans(self) -> None:
        """Look whether runs of dead actors, which those that were free did not get, are free."""
        now = time.monotonic()
        if not (self._is_exhausted and self._orphans) or now - self._tried_at < _SETTLE_S:
            return
        self._tried_at = now
        for run_id, died_at in list(self._orphans.items()):
            if now - died_at > _LOCKS_FREE_S:
                del self._orphans[run_id]
            elif claimed := claim(self._study.paths.run(run_id)):
                with claimed:
                    del self._orphans[run_id]
                self._is_exhausted = False

    def _answered(self) -> list[_Hand]:
        """Wait a moment; give the actors that have answered."""
        calls = {hand.call: hand for hand in self._hands}
        if not calls:
            time.sleep(_WAIT_S)
            return []
        ready, _ = self._ray.wait(list(calls), num_returns=len(calls), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(list(calls), timeout=_WAIT_S)
        now = time.monotonic()
        if any(hand.where for hand in self._hands):
            self._idle_since = now
        elif now - self._idle_since > _START_LIMIT_S:
            raise RunError(
                f"No worker of {self._needs.n_threads} cores and {self._needs.n_gpus:g} GPUs has "
                f"started within {_START_LIMIT_S:.0f} seconds. The Ray cluster is busy: free it, "
                "then run the same command again."
            )
        return [calls[call] for call in ready]

    def _take(self, hand: _Hand) -> None:
        """Take an answer, and ask for the next."""
        try:
            answer = self._ray.get(hand.call)
        except self._ray.exceptions.RayError as error:
            self._bury(hand, error)
            return
        try:
            if isinstance(answer, Broken):
                self._dismiss(hand)
                raise answer.error
            if isinstance(answer, Ready):
                self._set_to_work(hand, answer)
        except Exception as error:  # noqa: BLE001  raised when the others have left checkpoints
            self._problem = self._problem or error
            return
        for told in answer if isinstance(answer, list) else ():
            self._hear(hand, told)
        if hand in self._hands:
            hand.call = self._aside(hand.actor.told).remote(_TOLD_EVERY_S)

    def _set_to_work(self, hand: _Hand, ready: Ready) -> None:
        """Let an actor begin if its machine sees the same files, and the same locks.

        Raises:
            RunError: If it does not.
        """
        try:
            take_signs(ready.signs, ready.node)
            claimed = claim(ready.held)
            if claimed is not None:
                with claimed:
                    raise RunError(
                        f"A lock of the node {ready.node} in {self._study.folder} does not hold on "
                        "this machine, so that two nodes would train the same run. Mount it with "
                        "locks for all machines (NFS: without nolock and local_lock), or use "
                        "--engine local."
                    )
        except RunError:
            self._dismiss(hand)
            raise
        finally:
            shutil.rmtree(ready.held, ignore_errors=True)
        hand.where = f"{ready.node}, process {ready.process_id}"
        deadline = self._options.deadline
        seconds = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        hand.actor.work.remote(self._orders, seconds)

    def _hear(self, hand: _Hand, told: Event | Ended) -> None:
        if isinstance(told, Ended):
            self._dismiss(hand)
            self._is_exhausted = True
            if told.broken:
                self._problem = self._problem or told.broken.error
            return
        if told.kind == "started":
            hand.run_id = told.run_id
            self._orphans.pop(told.run_id, None)
            self._deaths[""] = 0
        elif told.progress:
            self._steps[told.run_id] = told.progress.step
        else:
            hand.run_id = ""
            if told.kind != "stopped":
                self._open.discard(told.run_id)
        self._on_event(told)

    def _bury(self, hand: _Hand, error: Exception) -> None:
        """Let others go on with the run of a dead actor, unless it kills them all."""
        self._dismiss(hand)
        if self._is_ending:
            return
        self._slots_known_at, self._is_exhausted = 0.0, False
        run_id, why = hand.run_id, type(error).__name__
        log.warning("A worker (%s) died over %s (%s).", hand.where, run_id or "no run", why)
        step = self._steps.get(run_id, 0)
        if run_id and step > self._died_at.get(run_id, -1):
            self._died_at[run_id], self._deaths[run_id] = step, 0
        self._deaths[run_id] += 1
        if run_id:
            self._orphans[run_id] = time.monotonic()
            self._on_event(Event("stopped", run_id))
        if self._deaths[run_id] < MAX_DEATHS:
            return
        if run_id:
            self._give_up(run_id, why)
            return
        self._problem = RunError(
            f"{MAX_DEATHS} workers in a row died before they had a run ({why}). Check that every "
            "node has Veilset and memory for PyTorch; Ray's log of the worker says more."
        )

    def _give_up(self, run_id: str, why: str) -> None:
        """Record that a run has failed, if nobody took it up in the meantime."""
        folder = self._study.paths.run(run_id)
        until = time.monotonic() + _SETTLE_S
        while (claimed := claim(folder)) is None:
            if time.monotonic() > until:
                return
            time.sleep(_WAIT_S)
        message = (
            f"{MAX_DEATHS} workers died over {run_id} without getting further ({why}). It may need "
            "more memory than a node has: lower batch_size of this network in study.yaml, or use "
            "larger nodes."
        )
        with claimed:
            if records.read_run(folder) is None:
                records.write_failure(folder, Failure("error", None, message))
                self._on_event(Event("failed", run_id, message=message))
        self._orphans.pop(run_id, None)
        self._open.discard(run_id)

    def _end(self) -> None:
        """Ask every actor to leave a checkpoint."""
        self._is_ending = True
        for hand in list(self._hands):
            if hand.where:
                with suppress(self._ray.exceptions.RayError):
                    self._aside(hand.actor.stop).remote()
            else:
                self._dismiss(hand)

    def _dismiss(self, hand: _Hand) -> None:
        self._ray.kill(hand.actor, no_restart=True)
        self._hands.remove(hand)

    def _aside(self, method: Any) -> Any:
        return method.options(concurrency_group="aside")
