# SPDX-License-Identifier: Apache-2.0
"""A command that can be killed: python -m tests.engines.driver FOLDER ADDRESS N_SHARDS SECONDS.

The address is that of a Ray cluster, or ``processes`` for two of this machine.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from tests.engines.tasks import WritingTask, make_shards
from veilset.engine.drive import drive
from veilset.plugins import make_engine
from veilset.protocols import EngineSettings, Reader, Shard
from veilset.runs import Run


class Names:
    """As much of a ``Reader`` as is needed to go through names."""

    def __init__(self, n_shards: int) -> None:
        self.n_shards = n_shards

    def shards(self, _shard_size: int) -> Iterator[Shard]:
        return make_shards(self.n_shards)

    def describe(self) -> Mapping[str, int]:
        return {"n_shards": self.n_shards}


def main(folder: str, address: str, n_shards: str, seconds: str) -> None:
    names = Names(int(n_shards))
    if address == "processes":
        engine = make_engine(EngineSettings("local", n_processes=2), n_threads=2)
    else:
        engine = make_engine(EngineSettings("ray", address=address), n_threads=1)
    with Run.open(Path(folder), "writing", {}, names.describe()) as run:
        task = WritingTask(Path(folder), float(seconds))
        drive(run, engine, task, cast(Reader, names), shard_size=4, on_progress=None)
        run.finish()


if __name__ == "__main__":
    # Whoever starts the tests in the background has Ctrl+C ignored, and programs inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(*sys.argv[1:])
