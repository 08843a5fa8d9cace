# SPDX-License-Identifier: Apache-2.0
"""``veilset attack``: what obfuscation buys those who are on the images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.attack_people import people_app
from veilset.cli.talk import ProgressLine, conclude, say

if TYPE_CHECKING:
    from veilset.attack.people.asking import Material

app = typer.Typer(
    help="Attack obfuscated faces, and measure who is still recognised.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def run(
    photos: opt.Photos,
    annotations: Annotated[
        Path, typer.Option("--annotations", "-a", help="Annotation set of the originals.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    identities: Annotated[
        str,
        typer.Option(
            help="Who is on which photograph: folders, if each person has one; or a file of "
            "lines 'image person', or CSV with the header image_id,person[,half]."
        ),
    ] = "folders",
    strangers: Annotated[
        bool,
        typer.Option(
            "--strangers",
            help="Attackers learn from the photographs too that --identities leaves out.",
        ),
    ] = False,
    release: Annotated[
        list[str] | None,
        typer.Option(
            help="An obfuscated data set and its name in the tables; may be repeated.",
            metavar="NAME=PLACE",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A method, applied in memory, as blur:strength=0.2; may be repeated. A value may "
            "hold a comma that no other KEY= follows. Without methods and releases: every method, "
            "at several strengths.",
            metavar="NAME[:KEY=VALUE,...]",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this attack; may be repeated; 'veilset attack list' names them."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave this attack out; may be repeated.")
    ] = None,
    recogniser: Annotated[
        str, typer.Option(help="Recogniser plugin; 'veilset plugins' lists them.")
    ] = "dlib",
    weights: Annotated[
        str | None, typer.Option(help="Weight file, for recognisers that bring none.")
    ] = None,
    weights_licence: opt.WeightsLicence = "",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Largest distance of one person's faces; the recogniser's own if not given."
        ),
    ] = None,
    gallery_share: Annotated[
        float, typer.Option(help="Share of each person's photographs that the attacker holds.")
    ] = 0.5,
    least_side: Annotated[
        float, typer.Option(help="Leave out faces whose box is smaller on its shorter side, px.")
    ] = 24.0,
    min_score: Annotated[
        float, typer.Option(help="Regions of a detector below this score are not hidden, 0 to 1.")
    ] = 0.0,
    face_min_score: Annotated[
        float, typer.Option(help="The named person's face scores at least this, 0 to 1.")
    ] = 0.5,
    chip: Annotated[
        int, typer.Option(help="Side of the faces that are learned from, in pixels.")
    ] = 64,
    epochs: Annotated[
        int, typer.Option(help="How often a network sees each face; 0: as many as suit it.")
    ] = 0,
    train_on: Annotated[
        str, typer.Option(help="Where networks are trained: auto, cpu, or a GPU as cuda:0.")
    ] = "auto",
    threads: Annotated[
        int, typer.Option(help="Threads of a training on the CPU; its result depends on it.")
    ] = 2,
    seed: opt.Seed = 1,
    keep_private: Annotated[
        bool,
        typer.Option(
            "--keep-private",
            help="Keep embeddings and small pictures of faces, which are deleted otherwise.",
        ),
    ] = False,
    commercial_ok: opt.CommercialOk = False,
    shard_size: opt.ShardSize = 64,
    workers: opt.Workers = None,
    engine: opt.Engine = "local",
    address: opt.Address = "",
    gpus: opt.Gpus = 0.0,
    processes: opt.Processes = 0,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Attack faces of named people in every setting; run again, it goes on where it was."""
    from veilset.attack.config import (
        AttackConfig,
        choose_attacks,
        method_setting,
        release_setting,
    )
    from veilset.attack.stage import attack_dataset
    from veilset.protocols import RecogniserSettings

    config = AttackConfig(
        settings=(*map(release_setting, release or ()), *map(method_setting, method or ())),
        attacks=choose_attacks(only or (), without or ()),
        identities=identities,
        recogniser=recogniser,
        recogniser_settings=RecogniserSettings(
            weights=weights, weights_licence=weights_licence, threshold=threshold
        ),
        gallery_share=gallery_share,
        min_score=min_score,
        face_min_score=face_min_score,
        least_side_px=least_side,
        chip_px=chip,
        seed=seed,
        device=train_on,
        threads=threads,
        epochs=epochs,
        shard_size=shard_size,
        commercial_ok=commercial_ok,
        strangers=strangers,
    )
    with ProgressLine(quiet=quiet) as progress:
        summary = attack_dataset(
            photos, annotations, out, config,
            workers=workers, engine=opt.engine_settings(engine, address, gpus, processes),
            keep_private=keep_private, on_progress=progress,
            on_step=None if quiet else lambda text: say(f"attack: {text}"),
        )  # fmt: skip
    say(f"attack: {summary.extra['recommendation']}")
    conclude(summary, place=out, as_json=as_json, bad=("failed",))


@app.command(name="list")
def list_attacks() -> None:
    """List the attacks."""
    from veilset.attack.config import ATTACKS
    from veilset.cli.talk import give

    for name, told in ATTACKS.items():
        give(f"{name:18} {told}")


@app.command()
def cost(
    attack: Annotated[Path, typer.Argument(help="Folder of a finished attack.")],
    study: Annotated[
        Path,
        typer.Option(help="Folder of an evaluated study; its releases lie where it saw them."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; that of the attack if not given.")
    ] = None,
) -> None:
    """Put who is named beside what networks lose, for each method that has both."""
    from veilset.attack.beside_study import put_beside
    from veilset.cli.talk import give

    for row in put_beside(attack, study, out):
        give(
            f"{row.setting}: {row.named.in_percent} % named, "
            f"{row.drop.in_percent} points of top-1 accuracy lost"
        )


def _open_material(attack: Path) -> Material:
    from veilset.attack.people.material import open_material

    return open_material(attack)


app.add_typer(people_app(_open_material))
