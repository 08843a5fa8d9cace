# SPDX-License-Identifier: Apache-2.0
"""``veilset layer``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import counts_line, give, say
from veilset.images.encode import DEFAULT_QUALITY


def layer(
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help="Annotation set, made with its images.")
    ],
    path: Annotated[
        Path, typer.Argument(metavar="LAYER.arrow", help="File to write; it must not be there yet.")
    ],
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
    names: Annotated[
        bool,
        typer.Option("--names/--no-names", help="Whether the layer says what images are called."),
    ] = True,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Folder of records of a release: what was withdrawn from it is left out."
        ),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Write where to hide what, and how, without any pixels: a file that can be published."""
    from veilset.layer.stage import LayerConfig, write_layer

    config = LayerConfig(
        method=method,
        parameters=opt.parse_parameters(parameters),
        kinds=tuple(kinds or ()),
        min_score=min_score,
        metadata=metadata,
        quality=quality,
        seed=seed,
        names=names,
    )
    made = write_layer(annotations, path, config, record=record)
    give(asdict(made) | {"path": str(path)} if as_json else str(path))
    counts = {name: getattr(made, name) for name in ("n_images", "n_regions", "n_bytes")}
    say(f"layer: {counts_line(counts)}")
    if made.n_merged:
        say(
            f"{made.n_merged:,} contents lay under several names with different regions: the "
            "layer hides all of them."
        )
    if made.left_out:
        say(f"Not in the layer: {counts_line(made.left_out)}. Nobody can release these with it.")
