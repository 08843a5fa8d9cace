# SPDX-License-Identifier: Apache-2.0
"""What a study can be asked to do; each of these is a command of ``veilset study``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from veilset.runs import RunSummary
from veilset.study.evaluate import class_names, evaluate
from veilset.study.opening import load_study, open_study
from veilset.study.plan import Study
from veilset.study.torch_door import require_torch
from veilset.study.written import read_results, write_results, write_tables_and_figures
from veilset.study.yaml_file import read_study

if TYPE_CHECKING:
    from veilset.protocols import EngineSettings
    from veilset.study.saliency import SaliencySummary
    from veilset.study.train import TrainingProgress
    from veilset.study.work import Event


def plan_study(path: str | Path, *, recipe: str | None = None) -> Study:
    """Check a study and its networks, and write down its runs; nothing is trained.

    Args:
        path: The YAML file.
        recipe: Recipe that takes the place of the one in the file.

    Raises:
        ConfigError: If the file or a network in it cannot be used.
        DatasetError: If the images of its settings cannot be compared, or the file of names cannot
            be used.
        ResumeMismatchError: If they are not those with which the study began.
        MissingExtraError: If a library of networks is not installed.
    """
    config = read_study(Path(path), recipe=recipe)
    require_torch()
    from veilset.study.network_checks import check_networks

    check_networks(config, Path(path).name)
    study = open_study(config)
    # Only the tables show them, and a file that cannot be read is better known before.
    class_names(study)
    return study


def run_study(
    path: str | Path,
    *,
    recipe: str | None = None,
    only: str = "",
    devices: str = "auto",
    processes: int = 1,
    engine: str | EngineSettings = "local",
    retry_failed: bool = False,
    keep: bool = True,
    stop_after_s: float | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> RunSummary:
    """Train what a study asks for, and predict; what is done is not done again.

    Any number of processes that see the same folder may do this at once: they share the runs.

    Args:
        path: The YAML file.
        recipe: Recipe that takes the place of the one in the file.
        only: Runs whose names match this pattern, as ``resnet*.s1``; "" for all.
        devices, processes: As ``devices.share_devices``; each gets runs of its own. On Ray
            ``auto``, ``cpu`` or ``cuda``, and one process.
        engine: ``local``, or ``ray`` for the machines of a cluster; or settings of either.
        retry_failed: Whether runs that failed before are tried once more.
        keep: Whether decoded pictures are kept in the study's folder while it runs.
        stop_after_s: When no further step is begun; None for never.
        on_event: Told what happens.

    Returns:
        How many runs are planned, done, failed and left; ``extra`` has the messages of failures.

    Raises:
        ConfigError, DatasetError: If file, device, network or images cannot be used.
        ResumeMismatchError: If images or settings changed since a run began.
        RunError, MissingExtraError: If files cannot be locked, or PyTorch is not installed; on
            Ray also as ``ray_workers.work_on_cluster``.
        KeyboardInterrupt: If the process was asked to end; runs at work have a checkpoint.
    """
    require_torch()
    from veilset.study.work import Event, Options, count_runs, forget_failures, read_failures
    from veilset.study.workers import find_workers

    begun = time.monotonic()
    work = find_workers(engine, devices, processes)
    study, told = plan_study(path, recipe=recipe), on_event or (lambda _: None)
    if retry_failed:
        forget_failures(study, only)
    told(Event("opened", "", counts=count_runs(study, only)))
    options = Options(only, keep, None if stop_after_s is None else begun + stop_after_s)
    counts = asdict(work(study, options, told))
    extra = {"failures": read_failures(study, only)}
    return RunSummary("study", study.folder, counts, {}, time.monotonic() - begun, extra)


def evaluate_study(path: str | Path, *, on_step: Callable[[str], None] | None = None) -> Path:
    """Evaluate all finished runs of a study, and write ``study.json`` into its folder.

    Args:
        path: The YAML file.
        on_step: Told what is done next.

    Returns:
        The file. The same runs give the same bytes.

    Raises:
        ConfigError: If the YAML file cannot be used.
        RunError: If no run is finished, or predictions are damaged or of other weights.
        DatasetError: If a file of names, annotations or objects cannot be used.
    """
    study = load_study(read_study(Path(path)))
    return write_results(study.paths, evaluate(study, on_step))


def write_study_tables(path: str | Path, *, out: str | Path | None = None) -> Path:
    """Write the tables and figures of an evaluated study.

    Args:
        path: The YAML file.
        out: Folder for ``tables`` and ``figures``; that of the study if None.

    Returns:
        That folder.

    Raises:
        ConfigError: If the YAML file cannot be used.
        RunError: If the study was not evaluated, or a file cannot be written.
        MissingExtraError: If the library that draws PNG files is not installed.
    """
    study = load_study(read_study(Path(path)))
    folder = study.folder if out is None else Path(out)
    write_tables_and_figures(read_results(study.paths), folder)
    return folder


def transfer_study(
    path: str | Path,
    *,
    task: str = "",
    only: str = "",
    devices: str = "auto",
    processes: int = 1,
    retry_failed: bool = False,
    stop_after_s: float | None = None,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    on_ending: Callable[[str, str, str], None] | None = None,
) -> RunSummary:
    """Fine-tune the trained networks of a study for its tasks, and score them.

    As in ``run_study``, any number of processes may share the list. The data sets of the tasks
    are checked first; those of the settings are not needed.

    Args:
        path: The YAML file.
        task: Name of the task that is wanted; "" for all that the file asks for.
        only: Runs whose names match this pattern, as ``resnet*.original.*``; "" for all.
        devices, processes: As ``devices.share_devices``; each gets runs of its own.
        retry_failed: Whether runs that failed before are tried once more.
        stop_after_s: Seconds after which no further step is begun; None for never.
        on_progress: Told between steps.
        on_ending: Told of a run its name, what became of it, and why if it failed.

    Returns:
        How many runs are planned, done, failed, without a trained network, and left.

    Raises:
        ConfigError: If the file, a device or a network cannot be used.
        DatasetError: If the data set of a task is not whole.
        ResumeMismatchError, RunError, KeyboardInterrupt, MissingExtraError: As ``run_study``.
    """
    require_torch()
    from veilset.learning.devices import share_devices
    from veilset.study.transfer.stage import TransferOptions, transfer_on_devices

    begun = time.monotonic()
    options = TransferOptions(
        task, only, "", retry_failed, None if stop_after_s is None else begun + stop_after_s,
        on_progress or (lambda _: None), on_ending or (lambda *_: None),
    )  # fmt: skip
    names = share_devices(devices, processes)
    found = transfer_on_devices(read_study(Path(path)), options, names)
    return RunSummary("transfer", found.folder, found.totals(), {}, time.monotonic() - begun)


def saliency_study(path: str | Path) -> SaliencySummary:
    """Draw pairs of saliency maps of two finished runs, into a private folder of the study.

    Args:
        path: The YAML file; its key ``saliency`` says which.

    Returns:
        The folder, and how far the maps lie on the objects.

    Raises:
        ConfigError: If the file cannot be used, or asks for none.
        RunError: If a run is not finished, or its files are damaged.
        MissingExtraError: If PyTorch or the package grad-cam is not installed.
        DatasetError: If a picture or a file of objects cannot be used.
    """
    require_torch()
    from veilset.study.saliency import saliency_pairs

    return saliency_pairs(load_study(read_study(Path(path))))
