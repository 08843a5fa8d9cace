# SPDX-License-Identifier: Apache-2.0
"""``veilset verify``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import (
    EXIT_INCOMPLETE,
    ProgressLine,
    counts_line,
    give,
    say,
    say_verified,
    summary_json,
)
from veilset.dataset.folder import SHARD_SIZE
from veilset.images.formats import DEFAULT_MAX_PIXELS
from veilset.verify.config import DEFAULT_LEAK_SCORE


def verify(
    folders: Annotated[
        list[str],
        typer.Argument(
            help="The originals and the output; with --manifest the output only.",
            metavar="[PHOTOS] OUT",
        ),
    ],
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", "-a", help="Annotation set that OUT was made with."),
    ] = None,
    layer: Annotated[
        Path | None, typer.Option(help="Redaction layer that OUT was made with, instead.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Compare OUT with this release manifest; needs no originals."),
    ] = None,
    detector: opt.Detector = "centerface",
    effort: opt.VerifyEffort = None,
    recheck: opt.Recheck = "touched",
    second: Annotated[
        list[str] | None,
        typer.Option(
            help="A further detector for the second look, or 'none'; may be repeated. "
            "Every other one that is installed, if not given."
        ),
    ] = None,
    leak_score: opt.LeakScore = DEFAULT_LEAK_SCORE,
    device: opt.Device = "cpu",
    precision: opt.Precision = "full",
    runtime: opt.Runtime = "auto",
    commercial_ok: opt.CommercialOk = False,
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
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Check the output as an attacker would; exit 3 on any leak."""
    from veilset.verify.config import VerifyConfig
    from veilset.verify.stage import verify_dataset

    if manifest is not None:
        _compare(manifest, folders, workers=workers, as_json=as_json, quiet=quiet)
        return
    if len(folders) != 2:
        raise typer.BadParameter("Give PHOTOS OUT -a ANNOTATIONS, or --manifest MANIFEST OUT.")
    known = opt.one_of_two(annotations, layer)
    config = VerifyConfig(
        detector=detector,
        effort=effort,
        leak_score=leak_score,
        recheck=recheck,
        second_detectors=opt.parse_seconds(second),
        commercial_ok=commercial_ok,
        device=device,
        precision=precision,
        runtime=runtime,
        max_pixels=max_pixels,
        seed=seed,
        shard_size=shard_size,
    )
    photos, out = folders
    with ProgressLine(quiet=quiet) as progress:
        summary = verify_dataset(
            photos,
            out,
            known,
            config,
            record=record,
            workers=workers,
            layout=layout,
            engine=opt.engine_settings(engine, address, gpus, processes),
            on_progress=progress,
        )
    give(summary_json(summary) if as_json else str(summary.folder))
    say_verified(summary)
    if summary.counts.get("leak") or summary.counts.get("error"):
        raise typer.Exit(EXIT_INCOMPLETE)


def _compare(
    manifest: Path, folders: list[str], *, workers: int | None, as_json: bool, quiet: bool
) -> None:
    """Compare an output with its manifest."""
    from veilset.pages.markup import visible
    from veilset.verify.manifest import verify_manifest

    if len(folders) != 1:
        raise typer.BadParameter("With --manifest, give the output folder only.")
    with ProgressLine(quiet=quiet) as progress:
        result = verify_manifest(manifest, folders[0], workers=workers, on_progress=progress)
    if as_json:
        give(asdict(result))
    else:
        for finding in result.findings:
            # A name that ends a line would forge the next; --json has it as it is.
            give(f"{finding.code}\t{visible(finding.image_id)}")
    found = counts_line(result.counts) or "nothing differs"
    say(
        f"verify: {result.n_files:,} files listed, {found}; "
        f"the verdict when they were listed: {result.overall}"
    )
    if not result.is_intact:
        raise typer.Exit(EXIT_INCOMPLETE)
