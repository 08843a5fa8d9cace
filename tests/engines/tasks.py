# SPDX-License-Identifier: Apache-2.0
"""Tasks without pictures that engines carry about; they write down where they were."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from veilset.engine.shard_work import Body, OpenShard, shard_worker
from veilset.engine.steps import Steps
from veilset.errors import DecodeError
from veilset.files import sha256_hex, write_atomically
from veilset.protocols import Places, Shard, ShardReport, ShardWork, Tick
from veilset.types import ImageRecord

PER_SHARD = 4
MAX_BUILT = 6

log = logging.getLogger("veilset.planted")


def make_shards(n_shards: int) -> Iterator[Shard]:
    for index in range(n_shards):
        names = [f"{index:03d}/{n}.jpg" for n in range(PER_SHARD)]
        yield Shard(index, tuple(ImageRecord(name) for name in names))


@dataclass(frozen=True, slots=True)
class WritingTask:
    """Writes a file for each shard, and one with its GPUs for each worker that was built.

    Attributes:
        folder: Folder of the run.
        seconds: How long each image takes.
        bad_shard: Shard at whose second image something happens, -1 for none.
        n_deaths: How often the process is killed there.
        error: What is raised there: "", ``decode``, ``value`` or ``unpicklable``; or ``opening``
            when the work is built, ``dies opening`` where it is the process that ends, and
            ``dies closing`` where it ends once all work is done.
        reads: Paths to be checked on every node.
    """

    folder: Path
    seconds: float = 0.0
    bad_shard: int = -1
    n_deaths: int = 0
    error: str = ""
    reads: tuple[Path, ...] = ()

    def places(self) -> Places:
        return Places(self.folder, reads=self.reads)

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        (self.folder / f"built-{os.getpid()}").write_text(gpus)
        if self.error == "dies opening":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.error == "opening":
            raise DecodeError("truncated", "The weights end early.")
        log.info("opened %s", "it")
        log.debug("not wanted")
        yield self._work
        (self.folder / f"closed-{os.getpid()}").touch()
        if self.error == "dies closing" and len(list(self.folder.glob("built-*"))) < MAX_BUILT:
            os.kill(os.getpid(), signal.SIGKILL)

    def _work(self, shard: Shard, tick: Tick) -> ShardReport:
        lines = []
        for n, record in enumerate(shard.records):
            time.sleep(self.seconds)
            if shard.index == self.bad_shard and n == 1:
                self._misbehave()
            lines.append(record.image_id)
            tick(1, n % 2)
        data = "\n".join(lines).encode()
        with (self.folder / f"did-{shard.index}").open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        write_atomically(self.folder / f"shard-{shard.index}", data)
        return ShardReport(
            shard.index,
            len(shard.records),
            {"written": len(shard.records)},
            {"work": self.seconds},
            sha256_hex(data),
            shard.records[0].image_id,
            shard.records[-1].image_id,
        )

    def _misbehave(self) -> None:
        died = len(list(self.folder.glob("died-*")))
        if died < self.n_deaths:
            (self.folder / f"died-{died}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.error == "decode":
            raise DecodeError("truncated", "The file ends early. Restore it.")
        if self.error == "value":
            raise ValueError("seven is too many")
        if self.error == "unpicklable":
            raise UnpicklableError(7, self.folder.name)


@dataclass(frozen=True, slots=True)
class BusyTask:
    """Notes for each image how many of its process are worked on at that moment.

    Attributes:
        folder: Folder of the run.
        seconds: How long each image takes.
        n_threads: What the stage asks for.
    """

    folder: Path
    seconds: float
    n_threads: int

    def places(self) -> Places:
        return Places(self.folder)

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        busy: list[str] = []

        @contextmanager
        def open_shard(_shard: Shard) -> Iterator[OpenShard[int]]:
            def treat(records: Sequence[ImageRecord], _steps: Steps) -> list[int]:
                busy.append("")
                seen = len(busy)
                time.sleep(self.seconds)
                busy.pop()
                return [seen] * len(records)

            yield OpenShard(treat)

        def write(index: int, rows: list[int]) -> str:
            (self.folder / f"busy-{index}").write_text(" ".join(map(str, rows)))
            return ""

        body = Body(open_shard, lambda _row: {}, write, lambda _row: False)
        with shard_worker(body, self.n_threads) as work:
            yield work


class UnpicklableError(Exception):
    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{number}: {text}")


class Tally:
    """Adds up ticks, and remembers the highest sum."""

    def __init__(self) -> None:
        self.n_done = self.n_failed = self.n_calls = 0

    def __call__(self, n: int, failed: int) -> None:
        self.n_done += n
        self.n_failed += failed
        self.n_calls += 1
