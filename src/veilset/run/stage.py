# SPDX-License-Identifier: Apache-2.0
"""Run: detect, obfuscate, verify and report, in one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from veilset.dataset.folder import check_apart
from veilset.dataset.locations import Location, local_path, location_of
from veilset.dataset.outputs import check_output
from veilset.detect import stage as detection
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.engine.drive import OnProgress
from veilset.obfuscate import stage as obfuscation
from veilset.obfuscate.stage import ObfuscateConfig, obfuscate_dataset
from veilset.plugins import make_obfuscator
from veilset.protocols import EngineSettings
from veilset.records.places import record_folder
from veilset.report.stage import write_report
from veilset.run.update import begin_update, end_update, refuse_unfinished_update
from veilset.runs import RunSummary
from veilset.verify.stage import VerifyConfig, verify_dataset


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that decides a release: the configurations of its stages."""

    detect: DetectConfig = field(default_factory=DetectConfig)
    obfuscate: ObfuscateConfig = field(default_factory=ObfuscateConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """What a whole run came to.

    Attributes:
        out: The obfuscated data set.
        record: Folder of its records: ``annotations``, ``obfuscate``, ``verify``.
        report: The report page.
        detect: Summary of that stage; likewise ``obfuscate`` and ``verify``.
    """

    out: Location
    record: Path
    report: Path
    detect: RunSummary
    obfuscate: RunSummary
    verify: RunSummary

    @property
    def n_failed(self) -> int:
        """Images that were not fully processed, and are not in the output."""
        return self.obfuscate.counts.get("failed", 0)

    @property
    def n_leaks(self) -> int:
        """Images with a leak, or which the verification could not check."""
        return self.verify.counts.get("leak", 0) + self.verify.counts.get("error", 0)


def run_dataset(
    photos: str | Path,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    record: str | Path | None = None,
    workers: int | None = None,
    layout: str = "auto",
    engine: str | EngineSettings = "local",
    update: bool = False,
    on_progress: OnProgress | None = None,
) -> ReleaseSummary:
    """Make a folder of photographs private, and prove it.

    Run again with the same arguments, it goes on where it was stopped.

    Args:
        photos: Folder of images.
        out: Folder for the obfuscated data set: new, empty, or of the run to be resumed.
        config: Settings of the stages; None for the defaults.
        record: Folder for the records and the report; None for ``OUT.veilset``.
        workers: Threads; None for all cores. Does not change the result.
        layout: ``auto`` to look which it is, or its name (``docs/layouts.md``).
        engine: Name of the engine plugin, or its settings.
        update: Bring a finished release up to date with photographs that were added, changed
            or deleted since. What did not change is taken over, to the same result as a run
            from scratch; what was removed stays out. The earlier records move to ``before``
            in the folder of records.
        on_progress: Called as images end, stage after stage.

    Raises:
        ConfigError, DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    config = config or RunConfig()
    photos, out = location_of(photos), location_of(out)
    record = local_path(record, "The record") if record else record_folder(out)
    # What would stop a later stage is found before hours of detection, not after.
    check_apart(photos, out)
    make_obfuscator(config.obfuscate.method, config.obfuscate.parameters)
    former = None
    if update:
        former = begin_update(
            record, lambda: _check_reuse(photos, out, record, config, layout=layout)
        )
    else:
        refuse_unfinished_update(record)
        check_output(out, record / "obfuscate")
    annotations = record / "annotations"
    detected = detect_dataset(
        photos, annotations, config.detect, reuse=former and former / "annotations",
        workers=workers, layout=layout, engine=engine, on_progress=on_progress,
    )  # fmt: skip
    obfuscated = obfuscate_dataset(
        photos, annotations, out, config.obfuscate, reuse=former,
        record=record, workers=workers, layout=layout, engine=engine, on_progress=on_progress,
    )  # fmt: skip
    verified = verify_dataset(
        photos, out, annotations, config.verify, reuse=former,
        record=record, workers=workers, layout=layout, engine=engine, on_progress=on_progress,
    )  # fmt: skip
    page = write_report(out, annotations, record, record / "report.html")
    if update:
        end_update(record)
    return ReleaseSummary(out, record, page, detected, obfuscated, verified)


def _check_reuse(
    photos: Location, out: Location, record: Path, config: RunConfig, *, layout: str
) -> None:
    """Refuse an update with other settings than those of the release."""
    detection.check_reuse(record / "annotations", config.detect)
    obfuscation.check_reuse(record, photos, out, config.obfuscate, layout=layout)
