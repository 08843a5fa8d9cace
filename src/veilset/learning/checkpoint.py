# SPDX-License-Identifier: Apache-2.0
"""Where a training stands, as a safetensors file and a JSON file that names it.

``checkpoint-<step>.safetensors`` is written first, ``checkpoint.json`` with its digest second,
and only then is the file before it deleted: a process killed at any instant leaves a whole pair.
Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from veilset.errors import RunError
from veilset.files import (
    PART_PREFIX,
    discard_part,
    part_path,
    sha256_file,
    write_atomically,
    writing,
)
from veilset.runs import json_bytes

FORMAT = "veilset-study-checkpoint/1"
NAME = "checkpoint.json"


class DamagedCheckpointError(RunError):
    """A checkpoint is not what was written, or not of this network."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything that decides how a training goes on.

    Attributes:
        step: Steps that are done.
        epoch: Epoch of the next step, from 0.
        batch: Batch of the next step in its epoch, from 0.
        tensors: By name: ``model/...``, ``ema/...``, ``momentum/...``, ``rng/...``, ``sums/...``.
        python_rng: State of ``random``, as JSON values.
        numpy_rng: State of NumPy's global generator, as JSON values.
        scaler: State of the gradient scaler of 16-bit floats; None without one.
        seconds: Time spent on training, over all sessions.
        sessions: How many sessions there were.
    """

    step: int
    epoch: int
    batch: int
    tensors: Mapping[str, Tensor]
    python_rng: list[Any]
    numpy_rng: Mapping[str, Any]
    scaler: Mapping[str, Any] | None
    seconds: float
    sessions: int

    def part(self, name: str) -> dict[str, Tensor]:
        """Give the tensors below a name, without it."""
        prefix = f"{name}/"
        return {
            key.removeprefix(prefix): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(prefix)
        }


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as a safetensors file, under a temporary name that is then replaced.

    Raises:
        RunError: If it cannot be written: the disk is full, or read-only.
    """
    part = part_path(path)
    # Copies, because some networks use one tensor under two names, which the format refuses.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    try:
        with writing(path):
            try:
                save_file(copies, part)
            except SafetensorError as error:
                # How the library tells of a full disk.
                raise OSError(str(error)) from error
            part.replace(path)
    except BaseException:
        discard_part(part)
        raise


def save(folder: Path, state: State) -> None:
    """Write where a training stands into the folder of its run, and delete what was there before.

    Raises:
        RunError: If it cannot be written; the checkpoint before it is still whole.
    """
    path = folder / f"checkpoint-{state.step}.safetensors"
    save_tensors(path, state.tensors)
    entry = {
        "format": FORMAT,
        "file": path.name,
        "sha256": sha256_file(path),
        "n_bytes": path.stat().st_size,
        "step": state.step,
        "epoch": state.epoch,
        "batch": state.batch,
        "python_rng": state.python_rng,
        "numpy_rng": state.numpy_rng,
        "scaler": state.scaler,
        "seconds": state.seconds,
        "sessions": state.sessions,
    }
    write_atomically(folder / NAME, json_bytes(entry))
    _discard(folder, keep=path.name)


def load(folder: Path) -> State | None:
    """Read where a training stands; None if it has not begun.

    Raises:
        DamagedCheckpointError: If the files are not those that were written. Training is never
            begun anew in silence.
    """
    path = folder / NAME
    try:
        entry = json.loads(path.read_bytes())
        if entry["format"] != FORMAT:
            raise ValueError(f"format {entry['format']!r}")
        tensors = _read(folder / str(entry["file"]), entry["n_bytes"], entry["sha256"])
        return State(
            entry["step"], entry["epoch"], entry["batch"], tensors, entry["python_rng"],
            entry["numpy_rng"], entry["scaler"], entry["seconds"], entry["sessions"],
        )  # fmt: skip
    except FileNotFoundError as error:
        if path.exists():
            raise damaged(folder, "its file of tensors is missing") from error
        return None
    except (ValueError, TypeError, KeyError, SafetensorError) as error:
        raise damaged(folder, f"{type(error).__name__}: {error}") from error


def discard(folder: Path) -> None:
    """Delete the checkpoint of a run that is finished."""
    # In this order a process killed between them leaves a run that is finished all the same.
    (folder / NAME).unlink(missing_ok=True)
    _discard(folder, keep="")


def damaged(folder: Path, why: str) -> DamagedCheckpointError:
    """Give the error that says of a run that its checkpoint cannot be used."""
    return DamagedCheckpointError(
        f"The checkpoint in {folder} is damaged ({why}). Delete {folder} to train it anew, or "
        "restore the file; then run the same command again, a study with --retry-failed."
    )


def _read(path: Path, n_bytes: int, sha256: str) -> dict[str, Tensor]:
    found = path.stat().st_size
    if found != n_bytes:
        raise ValueError(f"{path.name} has {found:,} bytes instead of {n_bytes:,}")
    if sha256_file(path) != sha256:
        raise ValueError(f"{path.name} has another digest")
    tensors: dict[str, Tensor] = load_file(path)
    return tensors


def _discard(folder: Path, *, keep: str) -> None:
    for pattern in ("checkpoint-*.safetensors", f"{PART_PREFIX}*"):
        for path in folder.glob(pattern):
            if path.name != keep:
                path.unlink(missing_ok=True)
