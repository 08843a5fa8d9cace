# SPDX-License-Identifier: Apache-2.0
"""The engine of one machine: shard after shard, the images of a shard on all threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from veilset.errors import ConfigError
from veilset.protocols import EngineSettings, Shard, ShardReport, ShardTask, Tick


class LocalEngine:
    """Runs shards one after another in this process.

    The parallelism is inside a shard (``engine.threads``): decoding, the network and the
    array work all let go of the interpreter lock, so threads fill the cores, and a small
    data set of a single shard uses them as well as a large one.
    """

    def __init__(self, settings: EngineSettings | None = None) -> None:
        """Refuse what only a cluster has.

        Raises:
            ConfigError: If an address or GPUs are given.
        """
        if settings and (settings.address or settings.n_gpus):
            option = "--address" if settings.address else "--gpus"
            raise ConfigError(
                f"The local engine knows no {option}. Leave it out, or choose a cluster: "
                "--engine ray."
            )

    def run(self, task: ShardTask, shards: Iterable[Shard], *, tick: Tick) -> Iterator[ShardReport]:
        """Run the task over every shard, in order; stops at the first exception."""
        with task.open() as work:
            for shard in shards:
                yield work(shard, tick)
