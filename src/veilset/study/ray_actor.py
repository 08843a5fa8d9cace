# SPDX-License-Identifier: Apache-2.0
"""What runs in each Ray actor of a study: the list of runs, from the first to the last.

Nothing here knows Ray, and PyTorch is not imported before the packages of the node were compared:
a node that lacks it is told in words. What happens is asked for from a second thread.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from veilset.engine.carried import Broken
from veilset.engine.ray_actor import broken
from veilset.engine.same_packages import check_versions
from veilset.engine.same_places import Sighting, check_reads, leave_signs
from veilset.errors import RunError
from veilset.packages import package_versions
from veilset.study.claims import claim
from veilset.study.plan import Study

if TYPE_CHECKING:
    from veilset.study.work import Event


@dataclass(frozen=True, slots=True)
class Orders:
    """What every actor is told.

    Attributes:
        study: The study.
        sighting: Its paths, as the machine that started the command sees them.
        versions: Versions of the packages there.
        device: Name of the device that an actor finds: ``cpu`` or ``cuda:0``.
        only: Pattern of names of runs; "" for all.
        keep: Whether decoded pictures are kept.
    """

    study: Study
    sighting: Sighting
    versions: dict[str, str]
    device: str
    only: str
    keep: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """An actor waits for the word to begin.

    Attributes:
        node: Name of its machine.
        process_id: Number of its process there.
        signs: Files that the starting machine has to find, and what is in them.
        held: Folder that the actor has claimed: nobody else may get it now.
    """

    node: str
    process_id: int
    signs: dict[Path, str]
    held: Path


@dataclass(frozen=True, slots=True)
class Ended:
    """An actor is through the list, or was asked to stop.

    Attributes:
        broken: What stopped it otherwise, None for nothing.
    """

    broken: Broken | None = None


class StudyActor:
    """Works through the runs of a study. ``told`` and ``stop`` are for a second thread."""

    def __init__(self) -> None:
        self._claims = ExitStack()
        self._told: queue.SimpleQueue[Event | Ended] = queue.SimpleQueue()
        self._is_asked = threading.Event()

    def start(self, orders: Orders) -> Ready | Broken:
        """Check that this machine is fit for it; leave signs for the driver to find.

        Args:
            orders: What this machine has to be like.
        """
        node, sighting = socket.gethostname(), orders.sighting
        try:
            check_versions(orders.versions, package_versions(), node)
            check_reads(sighting, node)
            _check_device(orders.device, node)
            number = uuid4()
            signs = leave_signs(sighting.places, number.int, node)
            held = orders.study.folder / f".worker-{number.hex}"
            claimed = claim(held)
            if claimed is not None:
                self._claims.enter_context(claimed)
        except Exception as error:  # noqa: BLE001  raised again by the driver
            return broken(error, node)
        return Ready(node, os.getpid(), signs, held)

    def work(self, orders: Orders, seconds: float | None) -> None:
        """Work on every run that nobody has, until none is left.

        Args:
            orders: As for ``start``.
            seconds: After how many no further step is begun; None for never.
        """
        self._claims.close()
        deadline = None if seconds is None else time.monotonic() + seconds
        ended = Ended()
        try:
            from veilset.study.work import Options, work_through

            options = Options(orders.only, orders.keep, deadline)
            work_through(
                orders.study, orders.device, options, self._told.put, self._is_asked.is_set
            )
        except Exception as error:  # noqa: BLE001  raised again by the driver
            ended = Ended(broken(error, socket.gethostname()))
        self._told.put(ended)

    def told(self, patience_s: float) -> list[Event | Ended]:
        """Give what has happened since the last call; wait a while if it is nothing."""
        found = []
        try:
            found.append(self._told.get(timeout=patience_s))
            while True:
                found.append(self._told.get_nowait())
        except queue.Empty:
            return found

    def stop(self) -> None:
        """Let the run at work end with a checkpoint after its next step."""
        self._is_asked.set()


def _check_device(device: str, node: str) -> None:
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise RunError(
            f"Ray gives workers on the node {node} a GPU, and PyTorch finds none there. Mend the "
            "driver or PyTorch of that node, or give --devices cpu."
        )
