# SPDX-License-Identifier: Apache-2.0
"""``veilset review``: people correct the boxes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veilset.cli import options as opt
from veilset.cli.talk import ProgressLine, counts_line, give, say, summary_json
from veilset.engine.drive import Progress
from veilset.errors import ConfigError
from veilset.review.settings import JobSettings
from veilset.review.values import Role

if TYPE_CHECKING:
    from veilset.review.views import Estimate, Invited, MissedView

app = typer.Typer(
    name="review", help="Let people correct the boxes.", no_args_is_help=True, rich_markup_mode=None
)

Database = Annotated[
    str,
    typer.Option(
        "--database",
        "-d",
        envvar="VEILSET_DATABASE_URL",
        show_envvar=True,
        help="Path of a SQLite file, or postgresql://user:password@host/name.",
    ),
]
JobName = Annotated[
    str | None, typer.Option("--job", help="Name of the job, if there are several.")
]
Address = Annotated[
    str,
    typer.Option(help="Address under which people reach the server; sign-in links begin with it."),
]
Hours = Annotated[float, typer.Option(help="How long the links can be used.", min=0.1)]
OutSet = Annotated[Path, typer.Option("--out", "-o", help="Folder for the annotation set.")]
SettingPairs = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the job; may be repeated. 'veilset review settings' lists them.",
    ),
]

DATABASE = "review.sqlite"
ADDRESS = "http://127.0.0.1:8321"


@app.command("open")
def open_job(
    photos: opt.PhotoFolder,
    annotations: Annotated[
        Path, typer.Option("--annotations", "-a", help="Annotation set to start from.")
    ],
    job: Annotated[str, typer.Option("--job", help="Name for the job.")] = "faces",
    gold: Annotated[
        Path | None,
        typer.Option(help="Annotation set of images whose regions are known to be right."),
    ] = None,
    other: Annotated[
        list[Path] | None,
        typer.Option(
            help="Annotation set of another detector; where they disagree, people look first. "
            "May be repeated."
        ),
    ] = None,
    replicas: Annotated[int, typer.Option(help="How many people see each image.", min=1)] = 1,
    settings: SettingPairs = None,
    database: Database = DATABASE,
    quiet: opt.Quiet = False,
) -> None:
    """Make a job: which images people look at, and how they are judged."""
    from veilset.review.stage import open_review

    with ProgressLine(quiet=quiet) as progress:
        made = open_review(
            photos,
            annotations,
            name=job,
            database=database,
            gold=gold,
            others=other or (),
            settings=job_settings(settings, replicas),
            on_progress=_progress("open", progress),
        )
    say(f"The job {made.name!r} has {made.n_images:,} images. Next: veilset review invite")


@app.command()
def serve(
    job: JobName = None,
    database: Database = DATABASE,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any.", min=0)] = 8321,
    address: Address = "",
    processes: Annotated[
        int, typer.Option(help="Processes that answer; above 1 on PostgreSQL only.", min=1)
    ] = 1,
    proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address of a reverse proxy whose X-Forwarded headers are believed."),
    ] = None,
    frame: Annotated[
        list[str] | None,
        typer.Option(help="Origin that may show the pages in a frame, as Mechanical Turk does."),
    ] = None,
    turk: Annotated[
        bool, typer.Option("--turk", help="Let Mechanical Turk's pages show HITs of this server.")
    ] = False,
    submit_to: Annotated[
        str,
        typer.Option(help="Where HITs of another service are handed in; needs --frame with it."),
    ] = "",
) -> None:
    """Serve a job to browsers, and print a sign-in link for the owner."""
    from veilset.review.mturk.entry import FRAME_ANCESTORS
    from veilset.review.stage import owner_link
    from veilset.review.views import Job
    from veilset.review.web.options import WebOptions
    from veilset.review.web.serve import serve as serve_job

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    options = WebOptions(
        host=host,
        port=port,
        public_url=address,
        trusted_proxies=tuple(proxy or ()),
        frame_ancestors=(*(frame or ()), *(FRAME_ANCESTORS if turk else ())),
        submit_url=submit_to,
    )

    def listening(ready: WebOptions, found: Job) -> None:
        link = owner_link(database, found.name)
        give(ready.sign_in_url(link.token))
        say(f"Serving the job {found.name!r} at {ready.base_url}. Stop with Ctrl+C.")
        say("The link above shows the owner how far it is: once, within a day.")
        say("Whoever looks at images, you too, needs another link: veilset review invite")
        if not ready.is_https and host not in ("127.0.0.1", "::1", "localhost"):
            say("Without https, pictures and sign-ins can be read on the way: see docs/review.md.")

    serve_job(database, job, options, processes=processes, on_listening=listening)


@app.command()
def invite(
    job: JobName = None,
    workers: Annotated[int, typer.Option(help="How many people, with a link each.", min=1)] = 1,
    role: Annotated[str, typer.Option(help="worker, or expert for the audit sample.")] = "worker",
    hours: Hours = 168.0,
    address: Address = ADDRESS,
    database: Database = DATABASE,
    as_json: opt.Json = False,
) -> None:
    """Make one-time sign-in links; they are shown once and stored nowhere."""
    from veilset.review.stage import invite_people
    from veilset.review.web.options import WebOptions

    if role not in (Role.WORKER, Role.EXPERT):
        raise ConfigError(f"The role is {role!r}. Choose worker or expert.")
    options = WebOptions(public_url=address)
    made = invite_people(database, job, n=workers, role=Role(role), hours=hours)
    give_links(made, options.sign_in_url, as_json=as_json)


def give_links(made: list[Invited], url: Callable[[str], str], *, as_json: bool) -> None:
    """Print a link for each person."""
    if as_json:
        give([{"name": each.name, "url": url(each.token)} for each in made])
        return
    for each in made:
        give(f"{each.name}\t{url(each.token)}")


@app.command()
def status(job: JobName = None, database: Database = DATABASE, as_json: opt.Json = False) -> None:
    """Say how far a job is, what it finds, and whether to go on."""
    from veilset.review.stage import review_status

    found, overview, people = review_status(database, job)
    if as_json:
        rows = [asdict(person) for person in people]
        give({"job": found.name, **asdict(overview), "people": rows})
        return
    give(
        f"{found.name}: {overview.n_settled:,} of {overview.n_images:,} images settled, "
        f"{overview.n_open:,} open, {overview.n_disputed:,} disputed, "
        f"{overview.n_unreadable:,} unreadable, {overview.n_gold:,} gold"
    )
    give(f"people: {overview.n_people:,}, {overview.n_active:,} of them at work")
    give(f"images an hour: {estimate_text(overview.images_per_hour)}")
    give(f"hours left: {estimate_text(overview.hours_left)}")
    give(f"missed faces found a minute: {estimate_text(overview.found_per_minute)}")
    give(f"expected of the next images: {estimate_text(overview.expected_per_minute)}")
    give(
        f"regions: {overview.regions_before:,} before, {overview.regions_added:,} added, "
        f"{overview.regions_deleted:,} deleted, {overview.regions_moved:,} moved"
    )
    give(overview.advice)


@app.command()
def agreement(
    job: JobName = None, database: Database = DATABASE, as_json: opt.Json = False
) -> None:
    """Say how far people agree who saw the same images."""
    from veilset.review.stage import review_agreement

    found = review_agreement(database, job)
    if as_json:
        give(asdict(found))
        return
    give(f"images that several people saw: {found.n_images:,}")
    give(f"mean F1 of pairs: {estimate_text(found.overall)}")
    for size, each in found.by_size.items():
        give(f"  {size}: {estimate_text(each)}")


@app.command()
def missed(job: JobName = None, database: Database = DATABASE, as_json: opt.Json = False) -> None:
    """Estimate how many faces are still missed: by an experts' sample, and by recapture."""
    from veilset.review.stage import review_missed

    found = review_missed(database, job)
    if as_json:
        give(asdict(found))
        return
    for line in missed_lines(found):
        give(line)


def missed_lines(found: MissedView) -> list[str]:
    """Say what is still missed, line by line."""
    sample = found.sample
    lines = [
        f"sample: {sample.n_drawn:,} images, {sample.n_by_expert:,} of them finished by an expert, "
        f"{sample.n_settled:,} of those settled"
    ]
    if not sample.n_drawn:
        lines[0] += ". Draw one: veilset review audit-sample"
    elif sample.drawn_from is None:
        lines.append("  drawn in parts from different categories: it speaks for itself only")
    elif sample.drawn_from:
        lines.append(f"  drawn from {', '.join(sample.drawn_from)}: it speaks for these only")
    for when, images, regions in (
        ("before review", sample.images_before, sample.regions_before),
        ("after review", sample.images_after, sample.regions_after),
    ):
        lines.append(f"images that miss a face, {when}: {estimate_text(images)}")
        lines.append(f"missed faces of an image, {when}: {estimate_text(regions)}")
    if not found.recapture:
        lines.append("recapture: no image was seen by two people yet")
    lines += [
        f"recapture, {each.n_images:,} images seen by {each.n_people} people: they added "
        f"{each.n_seen:,} faces; at least {estimate_text(each.regions)} were to be added"
        for each in found.recapture
    ]
    return lines


def estimate_text(estimate: Estimate) -> str:
    """Give a number with its interval, or say that there is none."""
    if estimate.value is None:
        return "nothing measured yet"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3g} (n = {estimate.n:,})"
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}] (n = {estimate.n:,})"


@app.command()
def export(
    out: OutSet,
    job: JobName = None,
    experts: Annotated[
        bool, typer.Option("--experts", help="What experts drew on the audit sample instead.")
    ] = False,
    database: Database = DATABASE,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Write what people decided as an annotation set."""
    from veilset.review.stage import export_expert, export_review

    write = export_expert if experts else export_review
    with ProgressLine(quiet=quiet) as progress:
        summary = write(database, job, out, on_progress=_progress("export", progress))
    give(summary_json(summary) if as_json else str(summary.folder))
    say(f"export: {counts_line(summary.counts)}")
    if n := summary.counts.get("kept"):
        say(f"{n:,} are as they were: nobody decided on them. A batch counts once it is handed in.")


@app.command()
def gold(
    images: Annotated[list[str], typer.Argument(help="Names of images that people agreed on.")],
    job: JobName = None,
    database: Database = DATABASE,
) -> None:
    """Let agreed images serve as gold from now on."""
    from veilset.review.stage import add_gold

    add_gold(database, job, images)
    say(f"{len(images):,} images serve as gold from now on.")


@app.command("audit-sample")
def audit_sample(
    n: Annotated[int, typer.Option("--n", help="Images in the sample.", min=1)],
    category: Annotated[
        list[str] | None, typer.Option(help="Draw from this folder only; may be repeated.")
    ] = None,
    seed: opt.Seed = 0,
    job: JobName = None,
    database: Database = DATABASE,
) -> None:
    """Put a random sample of images before the experts."""
    from veilset.review.stage import draw_audit_sample

    size = draw_audit_sample(database, job, n=n, seed=seed, categories=category or ())
    say(f"The sample has {size:,} images. Next: veilset review invite --role expert")


@app.command()
def quality(
    before: Annotated[Path, typer.Option(help="Annotation set of the detector.")],
    after: Annotated[Path, typer.Option(help="Annotation set after review.")],
    expert: Annotated[Path, typer.Option(help="Annotation set of the experts: the reference.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="CSV file to write.")] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Only this category; may be repeated.")
    ] = None,
    rule: Annotated[
        str, typer.Option(help="iou: boxes match by overlap; covered: by what they cover.")
    ] = "iou",
    least_iou: Annotated[float, typer.Option(help="Overlap that makes a match.")] = 0.5,
) -> None:
    """Count errors before and after review, by category: the study's Table 1."""
    from veilset.annotations.store import AnnotationSet
    from veilset.review.quality_report import quality_markdown, quality_table, write_quality_csv

    table = quality_table(
        AnnotationSet(before),
        AnnotationSet(after),
        AnnotationSet(expert),
        category or None,
        rule=rule,
        least_iou=least_iou,
    )
    if out is not None:
        write_quality_csv(table, out)
    give(quality_markdown(table))


@app.command("settings")
def settings_list() -> None:
    """List the settings of a job with their defaults."""
    for name, value in asdict(JobSettings()).items():
        give(f"{name}={','.join(value) if isinstance(value, tuple) else value}")


def job_settings(pairs: list[str] | None, replicas: int) -> JobSettings:
    """Turn ``NAME=VALUE`` texts into settings.

    Raises:
        ConfigError: If a name is unknown or a value cannot be used.
    """
    known: dict[str, Any] = {each.name: each.default for each in fields(JobSettings)}
    given: dict[str, Any] = {"replicas": replicas}
    for name, text in opt.parse_parameters(pairs).items():
        if name not in known:
            raise ConfigError(
                f"No review setting is named {name!r}. Known: {', '.join(sorted(known))}."
            )
        given[name] = _parsed(name, str(text), type(known[name]))
    return replace(JobSettings(), **given)


def _parsed(name: str, text: str, kind: type) -> object:
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return kind(text)
    except ValueError as error:
        wanted = {int: "a whole number", float: "a number"}.get(kind, "a text")
        raise ConfigError(f"The review setting {name} is {text!r}. Give {wanted}.") from error


def _progress(stage: str, line: ProgressLine) -> Callable[[int, int], None]:
    return lambda n_done, n_total: line(Progress(stage, n_done, n_total, 0, 0))
