# SPDX-License-Identifier: Apache-2.0
"""``veilset annotations``: annotation sets from and for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import ProgressLine, counts_line, give, say, summary_json
from veilset.engine.drive import Progress
from veilset.errors import ConfigError
from veilset.protocols import Tick

app = typer.Typer(
    name="annotations",
    help="Bring annotation sets in from other tools, take them out, and add what was missed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Format = Annotated[
    str, typer.Option("--format", "-f", help="'veilset annotations formats' lists them.")
]
Prefix = Annotated[
    str, typer.Option(help="What the file has before the name of each image, and the set has not.")
]
Renamed = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="LABEL=KIND", help="Kind of a label; may be repeated."),
]


@app.command()
def formats(as_json: opt.Json = False) -> None:
    """List the formats, and what each cannot hold."""
    from veilset.annotations.formats.registry import FORMATS

    if as_json:
        names = ("name", "title", "found_none", "loses", "is_folder", "is_relative")
        give([{name: getattr(each, name) for name in names} for each in FORMATS.values()])
        return
    for each in FORMATS.values():
        give(f"{each.name:<13} {each.title}. Found none: {each.found_none}. Lost: {each.loses}")


@app.command("import")
def import_file(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="File or folder to read.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the annotation set.")],
    format_name: Format,
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder of the images. Without it the set serves audits only."),
    ] = None,
    label: Renamed = None,
    prefix: Prefix = "",
    image_key: Annotated[
        str, typer.Option(help="Where tasks of Label Studio hold the image.")
    ] = "image",
    several: Annotated[
        str,
        typer.Option(help="Tasks that several people annotated: refuse, newest or all."),
    ] = "refuse",
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Make an annotation set of a file of another tool."""
    from veilset.annotations.config import ImportConfig
    from veilset.annotations.exchange import import_annotations
    from veilset.dataset.folder import check_apart
    from veilset.dataset.places import open_folder

    reader = open_folder(photos, "import") if photos else None
    if photos:
        check_apart(photos, out)
    config = ImportConfig(
        format_name, kinds=_renamed(label), prefix=prefix, image_key=image_key, several=several
    )
    with ProgressLine(quiet=quiet) as line:
        tick = _adding_up(line, "import", reader.count() if reader else 0)
        summary = import_annotations(path, reader, out, config, tick=tick)
    give(summary_json(summary) if as_json else str(summary.folder))
    say(f"import: {counts_line(summary.counts)}")
    n_unknown = summary.extra.get("n_not_in_dataset", 0)
    if n_unknown:
        say(f"{n_unknown:,} images of the file are not in {photos}; run.json names the first.")
    if reader is None:
        say("Without the photographs this set serves audits and exports only.")


@app.command("export")
def export_file(
    annotations: Annotated[Path, typer.Argument(metavar="ANN", help="Annotation set.")],
    path: Annotated[
        Path, typer.Option("--out", "-o", help="File or folder to write; it must not be there yet.")
    ],
    format_name: Format,
    label: Renamed = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only regions of this kind; may be repeated.")
    ] = None,
    prefix: Prefix = "",
    image_url: Annotated[
        str | None, typer.Option(help="What Label Studio finds before the path of each image.")
    ] = None,
) -> None:
    """Write an annotation set as a file of another tool."""
    from veilset.annotations.config import IMAGE_URL, ExportConfig
    from veilset.annotations.exchange import export_annotations

    config = ExportConfig(
        format_name,
        labels={kind: name for name, kind in _renamed(label).items()},
        kinds=tuple(kind or ()),
        prefix=prefix,
        image_url=IMAGE_URL if image_url is None else image_url,
    )
    written = export_annotations(annotations, path, config)
    give(str(path))
    say(f"export: {written.n_images:,} images, {written.n_regions:,} regions")
    if written.n_left_out:
        say(f"{written.n_left_out:,} images are left out: nobody looked at them, or nobody could.")


@app.command()
def add_findings(
    annotations: Annotated[
        Path, typer.Argument(metavar="ANN", help="Annotation set that the release was made with.")
    ],
    release: Annotated[str, typer.Argument(metavar="OUT", help="The release, verified.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the new annotation set.")],
    record: opt.Record = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Add the faces that verification missed to the annotation set of a release."""
    from veilset.annotations.store import AnnotationSet
    from veilset.verify.findings import add_findings

    n_total = int(AnnotationSet(annotations).manifest["n_images"])
    with ProgressLine(quiet=quiet) as line:
        tick = _adding_up(line, "add-findings", n_total)
        summary = add_findings(annotations, release, out, record=record, tick=tick)
    give(summary_json(summary) if as_json else str(summary.folder))
    n_regions, n_images = (summary.counts.get(f"{each}_added", 0) for each in ("n", "with"))
    say(f"regions added: {n_regions:,}, in {n_images:,} of {n_total:,} images")


def _adding_up(line: ProgressLine, verb: str, n_total: int) -> Tick:
    n_done = 0

    def tick(n: int, _n_failed: int) -> None:
        nonlocal n_done
        n_done += n
        line(Progress(verb, n_done, max(n_total, n_done), 0, 0))

    return tick


def _renamed(pairs: list[str] | None) -> dict[str, str]:
    renamed = {}
    for pair in pairs or []:
        name, equals, kind = pair.partition("=")
        if not (equals and name.strip() and kind.strip()):
            raise ConfigError(f"--label {pair!r} is not of the form LABEL=KIND.")
        renamed[name.strip()] = kind.strip()
    return renamed
