# SPDX-License-Identifier: Apache-2.0
"""``veilset synthesize``: generated faces in place of real ones."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veilset.cli import options as opt
from veilset.cli.synthesize_talk import stopped, training
from veilset.cli.synthesize_train import train
from veilset.cli.talk import EXIT_INCOMPLETE, ProgressLine, conclude, give, say
from veilset.files import finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from veilset.synthesize.inputs import InputConfig

app = typer.Typer(
    help="Train what draws faces that nobody has, and choose how they are to look.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command()(train)

Faces = Annotated[Path, typer.Argument(help="Folder of prepared faces.")]
Folder = Annotated[Path, typer.Option("--out", "-o", help="Folder of the training.")]
Epochs = Annotated[int, typer.Option(help="Passes over the training faces.", min=1)]
Rate = Annotated[float, typer.Option(help="Learning rate of Adam.")]
TrainOn = Annotated[str, typer.Option(help="Where it is trained: auto, cpu, or a GPU as cuda:0.")]
Threads = Annotated[
    int | None,
    typer.Option(help="Threads on the CPU; all cores if not given. The result depends on it."),
]
Precision = Annotated[
    str, typer.Option(help="32-true, or bf16-mixed for about twice the speed on a GPU.")
]
DataLicence = Annotated[
    str, typer.Option(help="Licence of the photographs, for the card of what is trained.")
]
Network = Annotated[
    str, typer.Option(help="report, 45 million parameters; or small, which trains on a CPU.")
]
Landmarks = Annotated[
    str,
    typer.Option(
        help="How much of the landmarks it learns: full, all 68; grid, all in coarse cells; five, "
        "the eyes, the nose and the mouth."
    ),
]
Cells = Annotated[int, typer.Option(help="Cells of the grid on each side.", min=2)]


@app.command()
def prepare(
    photos: opt.Photos,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the faces; it will hold clear faces.")
    ],
    attributes: Annotated[
        Path, typer.Option(help="CelebA's list_attr_celeba.txt, or a list of that form.")
    ],
    identities: Annotated[
        Path, typer.Option(help="CelebA's identity_CelebA.txt, or a list of that form.")
    ],
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", "-a", help="Annotation set; faces are detected without it."),
    ] = None,
    hide_box: Annotated[
        float,
        typer.Option(
            help="The box of the face is hidden besides its ellipse, with this fraction of its "
            "sides on every side, as 'obfuscate' does. Below 0: the ellipse alone, as in the "
            "report."
        ),
    ] = 0.1,
    detector: opt.Detector = "centerface",
    effort: opt.Effort = "balanced",
    min_score: Annotated[
        float, typer.Option(help="Lowest score of a detector that counts, 0 to 1.")
    ] = 0.5,
    seed: opt.Seed = 0,
    shard_size: opt.ShardSize = 256,
    workers: opt.Workers = None,
    engine: opt.Engine = "local",
    address: opt.Address = "",
    processes: opt.Processes = 0,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Cut faces out of photographs of known people, for training."""
    from veilset.synthesize.stage import PrepareConfig, prepare_faces

    config = PrepareConfig(
        hide_box=None if hide_box < 0 else hide_box,
        detector=detector,
        effort=effort,
        min_score=min_score,
        seed=seed,
        shard_size=shard_size,
    )
    with ProgressLine(quiet=quiet) as progress:
        summary = prepare_faces(
            photos, out, attributes=attributes, identities=identities, annotations=annotations,
            config=config, workers=workers,
            engine=opt.engine_settings(engine, address, 0.0, processes), on_progress=progress,
        )  # fmt: skip
    conclude(summary, place=out, as_json=as_json, bad=())
    if not summary.counts.get("prepared"):
        say("prepare: no photograph gave a face to learn from; what was left out says why")
        raise typer.Exit(EXIT_INCOMPLETE)


@app.command()
def train_attributes(
    faces: Faces,
    out: Folder,
    network: Annotated[
        str, typer.Option(help="resnet50, the report's; or small, which trains on a CPU.")
    ] = "resnet50",
    epochs: Epochs = 15,
    batch: Annotated[int, typer.Option(help="Faces of a step.", min=1)] = 64,
    rate: Rate = 1e-3,
    seed: opt.Seed = 0,
    data_licence: DataLicence = "not stated",
    train_on: TrainOn = "auto",
    threads: Threads = None,
    precision: Precision = "32-true",
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train the classifier of attributes; run again, it goes on where it was."""
    from veilset.synthesize.attribute_training import ClassifierConfig
    from veilset.synthesize.machine import Machine
    from veilset.synthesize.stage import train_attributes as learn

    config = ClassifierConfig(
        backbone=network, epochs=epochs, batch=batch, lr=rate, seed=seed, data_licence=data_licence
    )
    with training(quiet=quiet) as habits:
        machine = Machine(train_on, threads, precision)
        result = learn(faces, out, config, machine=machine, habits=habits)
    if result is None:
        raise stopped()
    give(result if as_json else str(out))
    accuracy, majority = _told(result["mean_accuracy"]), _told(result["mean_majority"])
    say(f"mean accuracy {accuracy}; of the commonest answers {majority}")


@app.command()
def train_reconstruction(
    faces: Faces,
    out: Folder,
    network: Network = "report",
    loss: Annotated[str, typer.Option(help="ssim; or adversarial, with L1.")] = "ssim",
    planes: Annotated[
        str, typer.Option(help="How attributes become planes: constant or word2vec.")
    ] = "constant",
    landmarks: Landmarks = "full",
    cells: Cells = 16,
    epochs: Epochs = 15,
    batch: Annotated[int, typer.Option(help="Faces of a step.", min=2)] = 16,
    rate: Rate = 2e-5,
    seed: opt.Seed = 0,
    data_licence: DataLicence = "not stated",
    train_on: TrainOn = "auto",
    threads: Threads = None,
    precision: Precision = "32-true",
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train the report's generator; run again, it goes on where it was."""
    from veilset.synthesize.choices import one_of
    from veilset.synthesize.machine import Machine
    from veilset.synthesize.reconstruction_training import Loss, ReconstructionConfig, widths
    from veilset.synthesize.stage import train_reconstruction as learn

    encoder, decoder = widths(network)
    config = ReconstructionConfig(
        loss=one_of(Loss, loss, "loss"), inputs=_inputs(landmarks, cells, planes),
        encoder_widths=encoder, decoder_widths=decoder, epochs=epochs, batch=batch, lr=rate,
        seed=seed, data_licence=data_licence,
    )  # fmt: skip
    with training(quiet=quiet) as habits:
        machine = Machine(train_on, threads, precision)
        result = learn(faces, out, config, machine=machine, habits=habits)
    if result is None:
        raise stopped()
    give(result if as_json else str(out))
    for who, name in (("made", "the generator"), ("mean_face", "the mean face")):
        for each in result[who]:
            say(f"{each['name']}, {name}: {_told(each)}")


@app.command()
def ablation(
    faces: Faces,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the four trainings.")],
    network: Network = "report",
    landmarks: Landmarks = "full",
    cells: Cells = 16,
    epochs: Epochs = 15,
    batch: Annotated[int, typer.Option(help="Faces of a step.", min=2)] = 16,
    rate: Rate = 2e-5,
    seed: opt.Seed = 0,
    data_licence: DataLicence = "not stated",
    train_on: TrainOn = "auto",
    threads: Threads = None,
    precision: Precision = "32-true",
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train the report's generator with either loss and either kind of planes, and compare."""
    from veilset.synthesize.machine import Machine
    from veilset.synthesize.reconstruction_training import ReconstructionConfig, widths
    from veilset.synthesize.stage import ablate

    encoder, decoder = widths(network)
    config = ReconstructionConfig(
        inputs=_inputs(landmarks, cells, "constant"), encoder_widths=encoder,
        decoder_widths=decoder, epochs=epochs, batch=batch, lr=rate, seed=seed,
        data_licence=data_licence,
    )  # fmt: skip
    with training(quiet=quiet) as habits:
        machine = Machine(train_on, threads, precision)
        variants = ablate(faces, out, config, machine=machine, habits=habits)
    if variants is None:
        raise stopped()
    give([asdict(each) for each in variants] if as_json else str(out))
    for each in variants:
        for measured in (*each.measured, *each.compared):
            say(f"{each.loss}, {each.planes}: {measured.name} {_told(asdict(measured))}")


@app.command()
def export(
    generator: Annotated[Path, typer.Argument(help="Folder of a trained generator.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The file, which must not be there yet; if not given, generator.onnx in that "
            "folder, which is replaced.",
        ),
    ] = None,
) -> None:
    """Write the report's generator as the file that 'obfuscate --method synthesize' takes."""
    from veilset.synthesize.stage import export_generator

    path, check = export_generator(generator, out)
    give(str(path))
    say(
        f"SHA-256 {check.sha256}; over {check.n_values:,} values ONNX Runtime differs from "
        f"PyTorch by at most {check.onnxruntime:.1g}, OpenVINO by {check.openvino:.1g}"
    )


@app.command()
def select(
    photos: opt.Photos,
    annotations: Annotated[
        Path, typer.Option("--annotations", "-a", help="Annotation set of the photographs.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the new annotation set.")],
    classifier: Annotated[Path, typer.Option(help="Folder of a trained classifier.")],
    way: Annotated[
        str,
        typer.Option(
            "--select",
            help="fixed-four: Pointy_Nose, Smiling, Young and Big_Nose are inverted; random; all: "
            "every attribute that may change is inverted; ppas: our reconstruction of PPAS.",
        ),
    ] = "fixed-four",
    change_gender: Annotated[
        bool,
        typer.Option("--change-gender", help="Let the gender, and what tells it, change too."),
    ] = False,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="How often each attribute shall be there, for random and ppas: a JSON object; "
            "as among the classifier's training faces if not given."
        ),
    ] = None,
    groups: Annotated[
        str, typer.Option(help="What ppas brings close to it: all, or folders, each by itself.")
    ] = "all",
    t: Annotated[float, typer.Option(help="Largest distance that ppas allows, 0 to 1.")] = 0.1,
    epsilon: Annotated[
        float, typer.Option(help="Share of the values that ppas draws anew, 0 to 1.")
    ] = 0.1,
    rounds: Annotated[int, typer.Option(help="Rounds of ppas, at most.", min=1)] = 10,
    least_side: Annotated[
        float, typer.Option(help="Faces whose shorter side is below it are veiled, px.")
    ] = 24.0,
    seen: Annotated[
        Path | None,
        typer.Option(
            help="Folder for what is seen of the clear faces; OUT.seen if not given. Keep it "
            "private. With it, another selection looks at no photograph."
        ),
    ] = None,
    seed: opt.Seed = 0,
    shard_size: opt.ShardSize = 256,
    workers: opt.Workers = None,
    layout: opt.Layout = "auto",
    engine: opt.Engine = "local",
    address: opt.Address = "",
    processes: opt.Processes = 0,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Choose the attributes of new faces; the annotation set is for 'obfuscate'."""
    from veilset.synthesize.choices import one_of
    from veilset.synthesize.selecting import read_reference
    from veilset.synthesize.stage import Groups, LookConfig, SelectConfig, Way, select_faces

    config = SelectConfig(
        way=one_of(Way, way, "way to select"),
        keep_gender=not change_gender,
        reference=None if reference is None else read_reference(reference),
        groups=one_of(Groups, groups, "kind of groups"),
        t=t,
        epsilon=epsilon,
        n_rounds=rounds,
        seed=seed,
    )
    with ProgressLine(quiet=quiet) as progress:
        summary = select_faces(
            photos, annotations, out, classifier, config,
            LookConfig(least_side_px=least_side, shard_size=shard_size), seen=seen,
            workers=workers, layout=layout,
            engine=opt.engine_settings(engine, address, 0.0, processes), on_progress=progress,
        )  # fmt: skip
    _say_selection(summary.extra["selection"])
    conclude(summary, place=out, as_json=as_json, bad=("could_not_look", "not_looked"))


def _say_selection(told: Mapping[str, Any]) -> None:
    say(
        f"{told['way']}: {told['n_edits']:,} attributes of {told['n_faces']:,} faces changed, "
        f"{len(told['editable']):,} may change"
    )
    if told["mutual_information"]:
        most = max(told["mutual_information"].items(), key=lambda each: each[1]["value"])
        say(f"the new {most[0]} tells the most of the old: {_told(most[1])}")
    if "distance_before" in told:
        say(
            f"largest distance from the reference: {told['distance_before']:.3f} before, "
            f"{told['distance_after']:.3f} after; {len(told['unmet']):,} stay out of t"
        )
    if "bound_covers" in told:
        bound = told["bound_nats"]
        say(f"bound: {'none' if bound is None else f'{bound:.1f} nats'}. {told['bound_covers']}")


def _inputs(detail: str, cells: int, planes: str) -> InputConfig:
    from veilset.networks.coarse_landmarks import Detail
    from veilset.synthesize.choices import one_of
    from veilset.synthesize.inputs import AttributePlanes, InputConfig

    return InputConfig(
        detail=one_of(Detail, detail, "detail of landmarks"),
        cells=cells,
        planes=one_of(AttributePlanes, planes, "kind of planes"),
    )


def _told(measured: Mapping[str, Any]) -> str:
    """Give a measurement as people read it."""
    value, n = f"{measured['value']:.4f} {measured['unit']}".rstrip(), f"n = {measured['n']:,}"
    low, high = finite(measured["low"]), finite(measured["high"])
    if low is None or high is None:
        return f"{value}, no interval, {n}"
    return f"{value} [{low:.4f}, {high:.4f}], {n}"
