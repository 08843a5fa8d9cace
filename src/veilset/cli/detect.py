# SPDX-License-Identifier: Apache-2.0
"""``veilset detect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import ProgressLine, conclude, say
from veilset.dataset.folder import SHARD_SIZE
from veilset.images.formats import DEFAULT_MAX_PIXELS


def detect(
    photos: opt.Photos,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the annotation set.")],
    detector: opt.Detector = "centerface",
    weights: opt.Weights = None,
    weights_licence: opt.WeightsLicence = "",
    effort: opt.Effort = "balanced",
    threshold: opt.Threshold = None,
    device: opt.Device = "cpu",
    precision: opt.Precision = "full",
    runtime: opt.Runtime = "auto",
    commercial_ok: opt.CommercialOk = False,
    max_pixels: opt.MaxPixels = DEFAULT_MAX_PIXELS,
    shard_size: opt.ShardSize = SHARD_SIZE,
    workers: opt.Workers = None,
    layout: opt.Layout = "auto",
    engine: opt.Engine = "local",
    address: opt.Address = "",
    gpus: opt.Gpus = 0.0,
    processes: opt.Processes = 0,
    reuse: Annotated[
        Path | None,
        typer.Option(
            help="Annotation set of an earlier detection with the same settings: what it says of "
            "unchanged images is taken over. Never changes the result."
        ),
    ] = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Find faces: images in, annotation set out."""
    from veilset.detect.stage import DetectConfig, detect_dataset

    config = DetectConfig(
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
    )
    if detector == "rekognition":
        from veilset.dataset.places import open_reader
        from veilset.detect.rekognition import cost_notice

        # Not count(), which tells nothing where it would cost too much: here it tells of money.
        shards = open_reader(photos, layout).shards(shard_size)
        say(cost_notice(sum(len(shard.records) for shard in shards), effort=effort))
    with ProgressLine(quiet=quiet) as progress:
        summary = detect_dataset(
            photos,
            out,
            config,
            workers=workers,
            layout=layout,
            engine=opt.engine_settings(engine, address, gpus, processes),
            reuse=reuse,
            on_progress=progress,
        )
    conclude(summary, place=summary.folder, as_json=as_json, bad=["could_not_look"])
