# SPDX-License-Identifier: Apache-2.0
"""The record of a run: what was asked, what is done, what came out.

A run lives in a folder. ``started.json`` is written first and holds the settings and the
inputs; ``ledger/00000.json`` appears when shard 0 is finished; ``run.json`` is written
last: its presence means that the run is finished. Run again, the same command goes on
with the shards that the ledger lacks; with other settings it is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from veilset.changes import telling_change, told
from veilset.errors import ResumeMismatchError, RunError
from veilset.files import finite, ordered_name, read_object, write_atomically
from veilset.locks import LOCK, lock_folder
from veilset.packages import package_versions
from veilset.protocols import Shard, ShardReport
from veilset.types import ModelCard

FORMAT = "veilset-run/1"
STARTED = "started.json"
FINISHED = "run.json"
LEDGER = "ledger"
_RESTORE = "Restore it, or start a new run in another folder."

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run came to; the counts are also in its ``run.json``.

    Attributes:
        stage: Name of the stage.
        folder: Folder of the run.
        counts: How many images ended how.
        seconds: Thread-seconds by step, summed over shards.
        wall_s: Wall-clock seconds, summed over the sessions of a resumed run.
        extra: Further results of the stage.
    """

    stage: str
    folder: Path
    counts: Mapping[str, int]
    seconds: Mapping[str, float]
    wall_s: float
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the ``run.json`` of a finished run.

    Raises:
        RunError: If the folder holds no run, or one that is not finished.
    """
    path = folder / FINISHED
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        if (folder / STARTED).exists():
            raise RunError(
                f"The run in {folder} is not finished. Run the same command again to finish it."
            ) from error
        raise RunError(f"{folder} holds no run of Veilset: {FINISHED} is missing.") from error
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}). Give a folder.") from error
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON. The folder is damaged; run again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise RunError(f"{path} is not a run manifest of this version ({FORMAT}).")
    return manifest


class Run:
    """A run that is open for work. One process at a time; use it in a ``with`` block.

    Example of use::

        with Run.open(folder, "detect", config, inputs) as run:
            for report in engine.run(task, run.missing(reader.shards(1024))):
                run.commit(report)
            run.finish(models=[card])
    """

    def __init__(self, folder: Path, stage: str, started: dict[str, Any], lock_fd: int) -> None:
        self.folder = folder
        self.stage = stage
        self._started = started
        self._lock_fd = lock_fd
        self._opened_at = time.monotonic()
        self._ids: dict[int, str] = {}
        self._n_shards = 0

    @classmethod
    def open(
        cls,
        folder: Path,
        stage: str,
        config: Settings,
        inputs: Settings,
        *,
        beside: Collection[str] = (),
    ) -> Self:
        """Start a run in a folder, or go on with the one that is there.

        Args:
            folder: Made if missing. A folder with other things in it is refused.
            stage: Name of the stage.
            config: Every setting that decides the result; JSON values.
            inputs: What identifies the inputs; JSON values.
            beside: Names of what may lie in the folder although it is of no run yet.

        Raises:
            ResumeMismatchError: If the folder holds a run of another stage, or with other
                settings or inputs; the message names the first that differs, with both values.
            RunError: If the folder is in use, cannot be locked, or holds something else.
        """
        started = {
            "format": FORMAT,
            "stage": stage,
            "veilset": version("veilset"),
            "config": json.loads(json_bytes(config)),
            "inputs": json.loads(json_bytes(inputs)),
        }
        make_folder(folder)
        path = folder / STARTED
        refuse_other_run(folder, stage, beside=beside)
        lock_fd = lock_folder(folder)
        try:
            if path.exists():
                _check_same(folder, stage, read_object(path, _RESTORE), started)
            else:
                (folder / LEDGER).mkdir(exist_ok=True)
                write_atomically(path, json_bytes(started))
        except BaseException:
            os.close(lock_fd)
            raise
        return cls(folder, stage, started, lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._lock_fd)

    @property
    def is_finished(self) -> bool:
        """Whether ``run.json`` is there."""
        return (self.folder / FINISHED).exists()

    def missing(
        self, shards: Iterable[Shard], *, on_resumed: Callable[[int], None] | None = None
    ) -> Iterator[Shard]:
        """Pass on the shards that the ledger lacks, in order.

        Args:
            shards: All shards of the data set.
            on_resumed: Told the number of images of each shard that is passed over.

        Raises:
            ResumeMismatchError: If a finished shard holds other images than it did.
        """
        for shard in shards:
            self._n_shards = shard.index + 1
            digest = shard.ids_digest()
            entry = self._entry(shard.index)
            if entry is None:
                self._ids[shard.index] = digest
                yield shard
            elif entry["ids_digest"] != digest:
                raise ResumeMismatchError(
                    f"Cannot resume the {self.stage} run in {self.folder}: images were added to "
                    f"or removed from the data set (shard {shard.index} ran from "
                    f"{entry['first_id']!r} to {entry['last_id']!r} and now holds others). "
                    "Restore them, or start a new run in another folder; a finished release "
                    "follows its photographs with veilset run --update."
                )
            elif on_resumed:
                on_resumed(len(shard.records))

    def commit(self, report: ShardReport) -> None:
        """Write a finished shard into the ledger; everything it made must be in place."""
        entry = asdict(report) | {"ids_digest": self._ids.pop(report.index)}
        write_atomically(self._entry_path(report.index), json_bytes(entry))

    def reports(self) -> Iterator[dict[str, Any]]:
        """Go through the ledger in the order of the shards, one entry at a time."""
        for index in range(self._n_shards):
            entry = self._entry(index)
            if entry is None:
                raise RunError(
                    f"Shard {index} of the {self.stage} run in {self.folder} is missing. "
                    "Run the same command again."
                )
            yield entry

    def finish(
        self,
        *,
        models: Iterable[ModelCard] = (),
        extra: Settings | None = None,
    ) -> RunSummary:
        """Sum up the ledger and write ``run.json``; give the summary.

        A run that was finished already is summed up again but not rewritten, unless a
        shard was redone.
        """
        counts: Counter[str] = Counter()
        seconds: Counter[str] = Counter()
        digest = hashlib.sha256()
        n_images = 0
        for entry in self.reports():
            counts.update(entry["counts"])
            seconds.update(entry["seconds"])
            digest.update(entry["digest"].encode())
            n_images += entry["n_images"]
        wall_s = self._wall_s()
        manifest = self._started | {
            "run_id": digest.hexdigest()[:12],
            "n_images": n_images,
            "n_shards": self._n_shards,
            "counts": dict(sorted(counts.items())),
            "seconds": {name: round(value, 6) for name, value in sorted(seconds.items())},
            "wall_s": round(wall_s, 3),
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "models": [asdict(card) for card in models],
            "extra": dict(extra or {}),
            "outputs_sha256": digest.hexdigest(),
            "packages": package_versions(),
            "machine": {
                "python": platform.python_version(),
                "system": f"{platform.system()} {platform.machine()}",
                "n_cores": os.cpu_count(),
            },
        }
        path = self.folder / FINISHED
        previous = read_manifest(self.folder) if path.exists() else None
        if previous and previous["outputs_sha256"] == manifest["outputs_sha256"]:
            manifest = previous
        else:
            write_atomically(path, json_bytes(manifest))
        return RunSummary(
            self.stage, self.folder, manifest["counts"], manifest["seconds"],
            manifest["wall_s"], manifest["extra"],
        )  # fmt: skip

    def _wall_s(self) -> float:
        """Add this session's time to that of earlier ones, and keep the sum."""
        path = self.folder / LEDGER / "wall_s.json"
        try:
            earlier = float(json.loads(path.read_bytes())) if path.exists() else 0.0
        except (ValueError, TypeError) as error:
            raise RunError(
                f"{path} is damaged. Delete it, and run again: it tells only how long it took."
            ) from error
        total = earlier + time.monotonic() - self._opened_at
        write_atomically(path, json_bytes(round(total, 3)))
        return total

    def _entry_path(self, index: int) -> Path:
        return self.folder / LEDGER / f"{ordered_name(index)}.json"

    def _entry(self, index: int) -> dict[str, Any] | None:
        path = self._entry_path(index)
        if not path.exists():
            return None
        keys = ("counts", "digest", "ids_digest", "n_images", "seconds")
        return read_object(path, "Delete it to redo that shard.", keys)


def discard_run(folder: Path) -> None:
    """Delete the run in a folder, under its lock, so that it can be started anew.

    Only what Veilset writes goes: the ledger, tables and manifests.

    Raises:
        RunError: If another process is working on it.
    """
    lock_fd = lock_folder(folder)
    try:
        # Killed halfway, what is left must neither pass for a finished run nor be resumed,
        # and the folder must still be known for one of ours.
        write_atomically(folder / STARTED, b"{}\n")
        patterns = (FINISHED, f"{LEDGER}/*", "manifest.*", "shard-*.parquet", STARTED)
        for pattern in patterns:
            # One by one: there may be millions.
            for path in folder.glob(pattern):
                path.unlink()
    finally:
        os.close(lock_fd)


def make_folder(folder: Path) -> None:
    """Make a folder for results, with its parents.

    Raises:
        RunError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"The folder {folder} cannot be made ({error.strerror}). "
            "Choose a place where you may write."
        ) from error


def json_bytes(value: object) -> bytes:
    """Give a value as the bytes of a JSON file, keys sorted; null for what is not finite."""
    text = json.dumps(finite(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def refuse_other_run(folder: Path, stage: str, *, beside: Collection[str] = ()) -> None:
    """Refuse a folder in which a run of a stage can neither begin nor go on.

    Args:
        folder: It need not be there.
        stage: Name of the stage.
        beside: Names of what may lie in it.

    Raises:
        ResumeMismatchError: If it holds the run of another stage.
        RunError: If it holds something else, or a damaged file.
    """
    path = folder / STARTED
    if path.exists():
        before = read_object(path, _RESTORE).get("stage", stage)
        if before != stage:
            raise ResumeMismatchError(
                f"The folder {folder} holds a run of {before!r}, and no {stage!r} can be made in "
                "it. Choose another folder."
            )
    elif folder.is_dir():
        refuse_foreign_files(folder, {LOCK, LEDGER, *beside})


def refuse_foreign_files(folder: Path, known: Collection[str]) -> None:
    """Refuse to begin in a folder that holds something else.

    Args:
        folder: It is there.
        known: Names that may be in it; hidden files may too.

    Raises:
        RunError: If there is another.
    """
    names = sorted(entry.name for entry in os.scandir(folder) if entry.name not in known)
    names = [name for name in names if not name.startswith(".")]
    if names:
        raise RunError(
            f"The folder {folder} is not empty (it holds {names[0]!r}) and is no run of Veilset "
            "that can be resumed. Choose another folder, or empty it."
        )


def _check_same(folder: Path, stage: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    if change := telling_change(before, now):
        place, old, new = change
        what = told(place.split(".", 1)[-1], old, new)
        raise ResumeMismatchError(
            f"Cannot resume the {stage} run in {folder}: {what}. "
            "Restore it, or start a new run in another folder."
        )
