# SPDX-License-Identifier: Apache-2.0
"""``veilset obfuscate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import ProgressLine, conclude
from veilset.dataset.folder import SHARD_SIZE
from veilset.errors import ConfigError
from veilset.images.encode import DEFAULT_QUALITY
from veilset.images.formats import DEFAULT_MAX_PIXELS


def obfuscate(
    photos: opt.Photos,
    context: typer.Context,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder or URL for the new data set.")],
    annotations: Annotated[
        Path | None, typer.Option("--annotations", "-a", help="Annotation set of those images.")
    ] = None,
    layer: Annotated[
        Path | None,
        typer.Option(
            help="Redaction layer instead: it finds every image by its content, and decides how "
            "regions are hidden."
        ),
    ] = None,
    method: opt.Method = "veil",
    parameters: opt.Parameter = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Hide only regions of this kind; may be repeated."),
    ] = None,
    min_score: Annotated[
        float, typer.Option(help="Leave alone what the detector scored lower, 0 to 1.")
    ] = 0.0,
    metadata: opt.Metadata = "safe",
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
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Make the annotated regions unreadable: a new data set of the same layout."""
    from veilset.obfuscate.stage import ObfuscateConfig, obfuscate_dataset

    known = opt.one_of_two(annotations, layer)
    if layer:
        _refuse_what_the_layer_decides(context)
    config = ObfuscateConfig(
        method=method,
        parameters=opt.parse_parameters(parameters),
        kinds=tuple(kinds or ()),
        min_score=min_score,
        metadata=metadata,
        quality=quality,
        seed=seed,
        max_pixels=max_pixels,
        shard_size=shard_size,
    )
    with ProgressLine(quiet=quiet) as progress:
        summary = obfuscate_dataset(
            photos,
            known,
            out,
            config,
            record=record,
            workers=workers,
            layout=layout,
            engine=opt.engine_settings(engine, address, gpus, processes),
            on_progress=progress,
        )
    conclude(summary, place=out, as_json=as_json, bad=["failed"])


_DECIDED = {
    "method": "--method", "parameters": "--set", "kinds": "--kind", "min_score": "--min-score",
    "metadata": "--metadata", "quality": "--quality", "seed": "--seed",
}  # fmt: skip


def _refuse_what_the_layer_decides(context: typer.Context) -> None:
    for name, option in _DECIDED.items():
        source = context.get_parameter_source(name)
        if source and source.name == "COMMANDLINE":
            raise ConfigError(
                f"With --layer, the layer decides what {option} would say. Leave {option} out, or "
                "ask for a layer made so."
            )
