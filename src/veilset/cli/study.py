# SPDX-License-Identifier: Apache-2.0
"""``veilset study``: what obfuscation costs those who train on the images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import conclude, give, say

app = typer.Typer(
    help="Train on original and on obfuscated images, and measure what is lost.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

EXIT_STOPPED = 130

StudyFile = Annotated[
    Path, typer.Argument(help="What is compared; 'veilset study example' prints one.")
]
Recipe = Annotated[
    str | None, typer.Option(help="Recipe instead of the one in the file: paper, fast or small.")
]
Processes = Annotated[
    int, typer.Option(help="Processes on the CPU; each works on a run of its own.", min=1)
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try runs that failed before once more.")
]
StopAfter = Annotated[
    str, typer.Option(help="Begin no further step after so long, as 90s, 30m or 2h.")
]


@app.command()
def example(
    name: Annotated[
        str, typer.Argument(help="ilsvrc, ilsvrc-pretrained or imagenette.")
    ] = "imagenette",
) -> None:
    """Print a study to begin with."""
    from veilset.study.yaml_file import example

    give(example(name).rstrip("\n"))


@app.command()
def plan(study: StudyFile, recipe: Recipe = None, as_json: opt.Json = False) -> None:
    """Check the images of a study and list its runs; nothing is trained."""
    from veilset.study.opening import summarize
    from veilset.study.records import read_failure
    from veilset.study.stage import plan_study

    found = plan_study(study, recipe=recipe)
    counts = summarize(found.plan, found.paths)
    if as_json:
        give(found.plan.as_json() | {"folder": str(found.folder), "counts": counts})
        return
    give(str(found.folder))
    train, val = found.lists["train"], found.lists["val"]
    say(
        f"{len(train.image_ids):,} images to train on and {len(val.image_ids):,} to evaluate on, "
        f"{len(found.classes):,} classes, {len(found.config.settings)} settings"
    )
    if found.plan.left_out:
        say(f"{len(found.plan.left_out):,} images are left out: not all settings have them")
    say(
        f"{counts['runs']:,} runs: {counts['done']:,} done, {counts['failed']:,} failed, "
        f"{counts['left']:,} left; {counts['predictions_left']:,} predictions left"
    )
    for run in found.plan.runs:
        failure = read_failure(found.paths.run(run.run_id))
        if failure is not None:
            say(f"{run.run_id} failed: {failure.message}")


@app.command()
def run(
    study: StudyFile,
    recipe: Recipe = None,
    only: Annotated[
        str, typer.Option(help="Only runs whose names match a pattern, as 'resnet*.s1'.")
    ] = "",
    devices: Annotated[
        str,
        typer.Option(
            help="auto, cpu, mps, or GPUs as cuda:0,cuda:1; each does its own runs. On Ray: auto, "
            "cpu or cuda."
        ),
    ] = "auto",
    processes: Processes = 1,
    engine: Annotated[
        str, typer.Option(help="What works on the runs: local, or ray for a cluster of machines.")
    ] = "local",
    address: opt.Address = "",
    gpus: Annotated[
        float,
        typer.Option(
            help="GPUs for each Ray worker; 0.5 lets two share one. 0: one each, if the cluster "
            "has GPUs and --devices is not cpu.",
            min=0.0,
        ),
    ] = 0.0,
    retry_failed: RetryFailed = False,
    keep: Annotated[
        bool,
        typer.Option(
            help="Keep decoded pictures, originals among them, in a private folder within the "
            "study's while it runs, as far as cache_mb allows."
        ),
    ] = True,
    stop_after: StopAfter = "",
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train the networks of a study and predict; run again, it goes on where it was."""
    from veilset.cli.study_talk import StudyProgress, parse_duration
    from veilset.study.stage import run_study

    try:
        with StudyProgress(quiet=quiet) as progress:
            summary = run_study(
                study, recipe=recipe, only=only, devices=devices, processes=processes,
                engine=opt.engine_settings(engine, address, gpus, 0),
                retry_failed=retry_failed, keep=keep,
                stop_after_s=parse_duration(stop_after) if stop_after else None,
                on_event=progress.told,
            )  # fmt: skip
    except KeyboardInterrupt as error:
        say("study: stopped, with a checkpoint. Run the same command again to go on.")
        raise typer.Exit(EXIT_STOPPED) from error
    for run_id, message in summary.extra["failures"].items():
        say(f"{run_id} failed: {message}")
    if summary.counts["left"]:
        say(f"{summary.counts['left']:,} runs are left. Run the same command again to go on.")
    conclude(summary, place=summary.folder, as_json=as_json, bad=("failed", "left"))


@app.command()
def evaluate(study: StudyFile, quiet: opt.Quiet = False) -> None:
    """Evaluate all finished runs: accuracies, drops with intervals, categories, figures."""
    from veilset.study.stage import evaluate_study

    give(str(evaluate_study(study, on_step=None if quiet else _say_step)))


@app.command()
def tables(
    study: StudyFile,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; that of the study if not given.")
    ] = None,
) -> None:
    """Write the tables as CSV, Parquet, Markdown and LaTeX, the figures as SVG and PNG."""
    from veilset.study.stage import write_study_tables

    give(str(write_study_tables(study, out=out)))


@app.command()
def transfer(
    study: StudyFile,
    task: Annotated[
        str,
        typer.Option(
            help="cifar10, sun397, celeba or voc-detection; all that the study asks for if not "
            "given."
        ),
    ] = "",
    only: Annotated[
        str, typer.Option(help="Only runs whose names match a pattern, as 'resnet*.original.*'.")
    ] = "",
    devices: Annotated[
        str,
        typer.Option(help="auto, cpu, mps, or GPUs as cuda:0,cuda:1; each does its own runs."),
    ] = "auto",
    processes: Processes = 1,
    retry_failed: RetryFailed = False,
    stop_after: StopAfter = "",
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Fine-tune the trained networks for other tasks and score them; it goes on where it was."""
    from veilset.cli.study_talk import TransferProgress, parse_duration
    from veilset.study.stage import transfer_study

    with TransferProgress(quiet=quiet) as progress:
        summary = transfer_study(
            study, task=task, only=only, devices=devices, processes=processes,
            retry_failed=retry_failed,
            stop_after_s=parse_duration(stop_after) if stop_after else None,
            on_progress=progress.trained, on_ending=progress.ended,
        )  # fmt: skip
    if summary.counts["not_trained"]:
        say("Networks that are not trained yet are skipped. Run 'veilset study run' first.")
    conclude(summary, place=summary.folder, as_json=as_json, bad=("failed", "not_trained", "left"))


@app.command()
def saliency(study: StudyFile) -> None:
    """Draw where two networks look, side by side; the folder of pictures is private."""
    from veilset.study.stage import saliency_study

    found = saliency_study(study)
    give(str(found.folder))
    say(
        f"{found.n_pairs:,} pairs of {found.n_candidates:,} images that could have been chosen. "
        "The pictures show people: do not publish them."
    )
    for setting, mass in found.mass_on_object.items():
        if mass is not None:
            say(f"{setting}: {mass:.1%} of the maps lies on objects ({found.n_measured:,} pairs)")


def _say_step(text: str) -> None:
    say(f"evaluate  {text}")
