# SPDX-License-Identifier: Apache-2.0
"""What every stage over a data set does: go through the shards, record, tell progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from veilset.engine.shard_locks import await_earlier_workers
from veilset.protocols import Engine, Reader, ShardTask
from veilset.runs import Run


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is.

    Attributes:
        stage: Name of the stage.
        n_done: Images that have ended, those of an earlier session included.
        n_total: Images in the data set, 0 if that is not known.
        n_failed: How many of the images done in this session failed.
        n_resumed: How many were done by an earlier session.
    """

    stage: str
    n_done: int
    n_total: int
    n_failed: int
    n_resumed: int


OnProgress = Callable[[Progress], None]


def drive(
    run: Run,
    engine: Engine,
    task: ShardTask,
    reader: Reader,
    *,
    shard_size: int,
    on_progress: OnProgress | None,
) -> None:
    """Run a task over every shard that the ledger lacks, and commit each as it ends."""
    await_earlier_workers(run.folder)
    n_total = reader.count() if on_progress else 0
    n_done = n_failed = n_resumed = 0

    def tick(n: int, failed: int) -> None:
        nonlocal n_done, n_failed
        n_done += n
        n_failed += failed
        if on_progress:
            on_progress(Progress(run.stage, n_resumed + n_done, n_total, n_failed, n_resumed))

    def on_resumed(n_images: int) -> None:
        nonlocal n_resumed
        n_resumed += n_images

    shards = run.missing(reader.shards(shard_size), on_resumed=on_resumed)
    for report in engine.run(task, shards, tick=tick):
        run.commit(report)
