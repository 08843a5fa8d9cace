# SPDX-License-Identifier: Apache-2.0
"""``veilset run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import (
    EXIT_INCOMPLETE,
    ProgressLine,
    give,
    say,
    say_result,
    say_verified,
    summary_json,
)
from veilset.dataset.folder import SHARD_SIZE
from veilset.images.encode import DEFAULT_QUALITY
from veilset.images.formats import DEFAULT_MAX_PIXELS
from veilset.verify.config import DEFAULT_LEAK_SCORE

if TYPE_CHECKING:
    from veilset.run.stage import ReleaseSummary


def run(
    photos: opt.Photos,
    out: opt.Out,
    method: opt.Method = "veil",
    parameters: opt.Parameter = None,
    effort: opt.Effort = "balanced",
    metadata: opt.Metadata = "safe",
    detector: opt.Detector = "centerface",
    weights: opt.Weights = None,
    weights_licence: opt.WeightsLicence = "",
    threshold: opt.Threshold = None,
    device: opt.Device = "cpu",
    precision: opt.Precision = "full",
    runtime: opt.Runtime = "auto",
    commercial_ok: opt.CommercialOk = False,
    recheck: opt.Recheck = "touched",
    verify_effort: opt.VerifyEffort = None,
    leak_score: opt.LeakScore = DEFAULT_LEAK_SCORE,
    quality: opt.Quality = DEFAULT_QUALITY,
    seed: opt.Seed = 0,
    max_pixels: opt.MaxPixels = DEFAULT_MAX_PIXELS,
    shard_size: opt.ShardSize = SHARD_SIZE,
    record: opt.Record = None,
    workers: opt.Workers = None,
    layout: opt.Layout = "auto",
    engine: opt.Engine = "local",
    address: opt.Address = "",
    gpus: opt.Gpus = 0.0,
    processes: opt.Processes = 0,
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            help="Bring the finished release OUT up to date with PHOTOS; what did not change is "
            "not done again.",
        ),
    ] = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Make a folder of photographs private: detect, obfuscate, verify and report."""
    from veilset.detect.stage import DetectConfig
    from veilset.obfuscate.stage import ObfuscateConfig
    from veilset.run.stage import RunConfig, run_dataset
    from veilset.verify.config import VerifyConfig

    config = RunConfig(
        detect=DetectConfig(
            detector=detector,
            weights=weights,
            weights_licence=weights_licence,
            effort=effort,
            threshold=threshold,
            device=device,
            precision=precision,
            runtime=runtime,
            commercial_ok=commercial_ok,
            max_pixels=max_pixels,
            shard_size=shard_size,
        ),
        obfuscate=ObfuscateConfig(
            method=method,
            parameters=opt.parse_parameters(parameters),
            metadata=metadata,
            quality=quality,
            seed=seed,
            max_pixels=max_pixels,
            shard_size=shard_size,
        ),
        verify=VerifyConfig(
            effort=verify_effort,
            recheck=recheck,
            leak_score=leak_score,
            commercial_ok=commercial_ok,
            device=device,
            precision=precision,
            runtime=runtime,
            max_pixels=max_pixels,
            seed=seed,
            shard_size=shard_size,
        ),
    )
    with ProgressLine(quiet=quiet) as progress:
        summary = run_dataset(
            photos, out, config, record=record, workers=workers, layout=layout,
            engine=opt.engine_settings(engine, address, gpus, processes), update=update,
            on_progress=progress,
        )  # fmt: skip
    _tell(summary, as_json=as_json)
    if summary.n_failed or summary.n_leaks:
        raise typer.Exit(EXIT_INCOMPLETE)


def _tell(summary: ReleaseSummary, *, as_json: bool) -> None:
    """Give the result, and say what it means."""
    stages = (summary.detect, summary.obfuscate, summary.verify)
    if as_json:
        places = {name: str(getattr(summary, name)) for name in ("out", "record", "report")}
        give(places | {stage.stage: summary_json(stage) for stage in stages})
    else:
        give(str(summary.report))
    say_result(summary.detect)
    say_result(summary.obfuscate)
    if n := summary.n_failed:
        say(f"{n:,} of the images failed and are not in the output; the report says why.")
    say_verified(summary.verify)
