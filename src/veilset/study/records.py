# SPDX-License-Identifier: Apache-2.0
"""The record of one training: what was asked (``started.json``), what came out, why it failed.

``run.json`` is written last: its presence means that the run is finished. A run that failed has
a ``failure.json`` instead, and nothing of it is reported.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from veilset.changes import changed_values, told
from veilset.errors import ResumeMismatchError
from veilset.files import read_object, write_atomically
from veilset.packages import package_versions
from veilset.runs import json_bytes
from veilset.types import ModelCard

FORMAT = "veilset-study-run/1"
STARTED, FINISHED, FAILED = "started.json", "run.json", "failure.json"

FAILURES = ("nan-loss", "damaged-checkpoint", "data", "memory", "error")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed.

    Attributes:
        kind: One of ``FAILURES``.
        step: Step at which it did, from 0; None if in none.
        message: What is wrong, where, and what to do.
    """

    kind: str
    step: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Work:
    """What a training took.

    Attributes:
        n_steps: Steps of the optimizer; 0 for published weights.
        n_images_seen: Images that it was trained on, counted each time.
        seconds: Time spent on training, over all sessions.
        sessions: How many there were.
        final_loss: Mean of the last epoch, in nats; None without training.
    """

    n_steps: int = 0
    n_images_seen: int = 0
    seconds: float = 0.0
    sessions: int = 1
    final_loss: float | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A finished run.

    Attributes:
        run_id: Its name.
        started: What was asked, as in ``started.json``.
        weights_sha256: Digest of ``weights.safetensors``.
        work: What it took.
    """

    run_id: str
    started: Mapping[str, Any]
    weights_sha256: str
    work: Work


def check_started(folder: Path, started: Mapping[str, Any]) -> None:
    """Write down what a run is, or compare it with what was written.

    Args:
        folder: Folder of the run.
        started: JSON values; ``run_id`` among them.

    Raises:
        ResumeMismatchError: If the run in the folder is another; the message names the first
            value that differs.
        RunError: If the file is damaged, or cannot be written.
    """
    path = folder / STARTED
    before = find_object(path)
    if before is None:
        write_atomically(path, json_bytes(started))
    else:
        check_unchanged(folder, before, started)


def check_unchanged(folder: Path, before: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Compare what a run is with what it was; arguments and errors as ``check_started``."""
    now = json.loads(json_bytes(asked))
    for change in changed_values(before, now):
        raise ResumeMismatchError(
            f"Cannot resume {now['run_id']}: {told(*change)}. Restore it, "
            f"or delete {folder} to train anew."
        )


def finish_run(
    folder: Path, weights_sha256: str, work: Work, *, device: str, models: Iterable[ModelCard] = ()
) -> RunRecord:
    """Write ``run.json``; everything else of the run must be in place.

    Args:
        folder: Folder of the run.
        weights_sha256: Digest of its weights.
        work: What it took.
        device: What it ran on, in words.
        models: Where published weights come from.
    """
    started = find_object(folder / STARTED) or {}
    speed = work.n_images_seen / work.seconds if work.seconds else 0.0
    values = started | asdict(work) | {
        "seconds": round(work.seconds, 3),
        "weights_sha256": weights_sha256,
        "images_per_s": round(speed, 1),
        "packages": package_versions(),
        "machine": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "n_cores": os.cpu_count(),
            "device": device,
        },
        "models": [asdict(card) for card in models],
    }  # fmt: skip
    write_atomically(folder / FINISHED, json_bytes(values))
    return RunRecord(started["run_id"], started, weights_sha256, work)


def read_run(folder: Path) -> RunRecord | None:
    """Read the record of a finished run; None if it is not finished.

    Raises:
        RunError: If the file is damaged.
    """
    values = find_object(folder / FINISHED, ("run_id", "weights_sha256", *Work.__slots__))
    if values is None:
        return None
    work = Work(**{name: values[name] for name in Work.__slots__})
    return RunRecord(values["run_id"], values, values["weights_sha256"], work)


def write_failure(folder: Path, failure: Failure) -> None:
    """Write down why a run failed."""
    if failure.kind not in FAILURES:
        raise ValueError(f"{failure.kind!r} is not one of {FAILURES}")
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    write_atomically(folder / FAILED, json_bytes(asdict(failure) | {"at": at}))


def read_failure(folder: Path) -> Failure | None:
    """Read why a run failed; None if it did not.

    Raises:
        RunError: If the file is damaged.
    """
    values = find_object(folder / FAILED, Failure.__slots__)
    return None if values is None else Failure(**{name: values[name] for name in Failure.__slots__})


def forget_failure(folder: Path) -> None:
    """Delete the record of a failure, once the run got past it."""
    (folder / FAILED).unlink(missing_ok=True)


def find_object(path: Path, keys: Collection[str] = ()) -> dict[str, Any] | None:
    """Read a JSON object of the study; None if the file is not there.

    Raises:
        RunError: If it cannot be read, is damaged, or lacks a key.
    """
    if not path.exists():
        return None
    return read_object(path, f"Delete {path.parent} to train anew, or restore the file.", keys)
