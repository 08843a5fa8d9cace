# SPDX-License-Identifier: Apache-2.0
"""Who works through the list of runs: processes of this machine, or actors on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from veilset.errors import ConfigError
from veilset.learning.devices import share_devices
from veilset.plugins import make_engine
from veilset.protocols import EngineSettings
from veilset.study.local_workers import work_locally
from veilset.study.plan import Study
from veilset.study.work import Counts, Event, Options

Work: TypeAlias = Callable[[Study, Options, Callable[[Event], None]], Counts]
"""Works through the runs of a study, tells what happens, gives where they stand."""


def find_workers(engine: str | EngineSettings, devices: str, processes: int) -> Work:
    """Give what works through the runs; nothing is started yet.

    Args:
        engine: ``local`` or ``ray``, or the settings of one.
        devices: Where: as ``devices.share_devices``; on Ray the kind, or ``auto``.
        processes: How many of the local engine there shall be on the CPU.

    Raises:
        ConfigError: If the engine is another one, or cannot honour what is asked.
        UnknownPluginError: If there is no such engine.
        MissingExtraError: If Ray is not installed.
    """
    settings = EngineSettings(engine) if isinstance(engine, str) else engine
    # Refuses what an engine cannot honour for a study either: addresses, GPUs.
    make_engine(settings, n_threads=1)
    if settings.name == "local":
        names = share_devices(devices, processes)
        return lambda study, options, told: work_locally(study, names, options, told)
    if settings.name != "ray":
        raise ConfigError(
            f"--engine {settings.name} runs shards, and a study has none. Give local or ray."
        )
    from veilset.study.ray_workers import check_workers, work_on_cluster

    check_workers(settings, devices, processes)
    return lambda study, options, told: work_on_cluster(study, settings, devices, options, told)
