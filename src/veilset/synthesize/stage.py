# SPDX-License-Identifier: Apache-2.0
"""What can be done to put generated faces in place of real ones; each is a command of
``veilset synthesize``.

A generator that sees only what is around a face, in one step and one folder:

    generating.train_generator   photographs, annotation set -> generator, card, measures

The report's way, step by step, each in a folder of its own:

    prepare_faces           photographs of people -> faces, with attributes and landmarks
    train_attributes        faces -> a classifier of attributes
    train_reconstruction    faces -> a generator; ``ablate`` compares its variants
    export_generator        generator -> one ONNX file, for the obfuscator ``synthesize``
    select_faces            photographs, annotation set, classifier -> an annotation set that
                            says which attributes each new face is to have

PyTorch is imported when a function needs it, not before.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veilset.annotations.store import AnnotationSet
from veilset.dataset.folder import check_apart
from veilset.dataset.locations import Location, local_path, location_of
from veilset.dataset.places import open_reader
from veilset.engine.cores import threads_per_process
from veilset.engine.drive import OnProgress, drive
from veilset.engine.threads import resolve_workers
from veilset.errors import MissingExtraError, RunError
from veilset.files import sha256_file
from veilset.networks.face_generator import GENERATOR
from veilset.networks.landmarks import LandmarkFinder
from veilset.plugins import make_engine
from veilset.protocols import EngineSettings
from veilset.runs import Run, RunSummary, refuse_other_run
from veilset.synthesize.looking import STAGE as LOOK_STAGE
from veilset.synthesize.looking import LookConfig, LookTask
from veilset.synthesize.preparing import PrepareConfig, prepare_faces
from veilset.synthesize.selecting import STAGE as SELECT_STAGE
from veilset.synthesize.selecting import (
    Groups,
    SeenFaces,
    SelectConfig,
    Way,
    choose,
    write_selection,
)
from veilset.types import ModelCard

if TYPE_CHECKING:
    from veilset.synthesize.ablation import Variant
    from veilset.synthesize.attribute_training import ClassifierConfig
    from veilset.synthesize.export import ExportCheck
    from veilset.synthesize.machine import Machine
    from veilset.synthesize.reconstruction_training import ReconstructionConfig
    from veilset.synthesize.training import Habits

__all__ = [
    "Groups",
    "LookConfig",
    "PrepareConfig",
    "SelectConfig",
    "Way",
    "ablate",
    "export_generator",
    "prepare_faces",
    "select_faces",
    "train_attributes",
    "train_reconstruction",
]


def train_attributes(
    faces: str | Path,
    folder: str | Path,
    config: ClassifierConfig | None = None,
    *,
    machine: Machine | None = None,
    habits: Habits | None = None,
) -> dict[str, Any] | None:
    """Train a classifier of attributes; see ``attribute_training.train_attributes``."""
    _require_torch()
    from veilset.synthesize import attribute_training

    return attribute_training.train_attributes(
        Path(faces), Path(folder), config, machine=machine, habits=habits
    )


def train_reconstruction(
    faces: str | Path,
    folder: str | Path,
    config: ReconstructionConfig | None = None,
    *,
    machine: Machine | None = None,
    habits: Habits | None = None,
) -> dict[str, Any] | None:
    """Train the report's generator; see ``reconstruction_training.train_reconstruction``."""
    _require_torch()
    from veilset.synthesize import reconstruction_training

    return reconstruction_training.train_reconstruction(
        Path(faces), Path(folder), config, machine=machine, habits=habits
    )


def ablate(
    faces: str | Path,
    folder: str | Path,
    config: ReconstructionConfig | None = None,
    *,
    machine: Machine | None = None,
    habits: Habits | None = None,
) -> list[Variant] | None:
    """Train the variants of the report's generator and compare them; see ``ablation.ablate``."""
    _require_torch()
    from veilset.synthesize import ablation

    return ablation.ablate(Path(faces), Path(folder), config, machine=machine, habits=habits)


def export_generator(
    generator: str | Path, out: str | Path | None = None
) -> tuple[Path, ExportCheck]:
    """Write a trained generator as the one file that ``obfuscate --method synthesize`` takes.

    Args:
        generator: Folder of its training, or the file of weights in it.
        out: The file; ``generator.onnx`` beside the weights if None.

    Returns:
        The file, and how far the runtimes are from PyTorch.

    Raises:
        ConfigError: If there is no finished training.
        RunError: If there is something under the name ``out``, a runtime computes something else,
            or the file cannot be written.
    """
    if out is not None and Path(out).exists():
        raise RunError(f"{out} is there already. Choose another name, or delete it.")
    _require_torch()
    from veilset.synthesize.export import export_onnx
    from veilset.synthesize.generator import Generator

    source = Path(generator)
    beside = source if source.is_dir() else source.parent
    path = beside / GENERATOR if out is None else Path(out)
    return path, export_onnx(Generator.load(source), path)


def select_faces(
    photos: str | Path,
    annotations: str | Path,
    out: str | Path,
    classifier: str | Path,
    config: SelectConfig | None = None,
    look: LookConfig | None = None,
    *,
    seen: str | Path | None = None,
    workers: int | None = None,
    layout: str = "auto",
    engine: str | EngineSettings = "local",
    on_progress: OnProgress | None = None,
) -> RunSummary:
    """Choose the attributes of new faces, and write an annotation set that holds them.

    The photographs are looked at once; a second selection with the same ``seen`` looks at none.
    Run again with the same arguments, it goes on where it was stopped. A face that is too small,
    or that no landmarks fit, keeps no landmarks: the obfuscator will veil it. An image that
    cannot be looked at any more becomes ``could_not_look``, and is not released.

    Args:
        photos: Data set of photographs.
        annotations: Finished annotation set of them.
        out: Folder for the new one.
        classifier: Folder of a trained classifier.
        config: What is chosen; None for the defaults.
        look: What is seen; None for the defaults.
        seen: Folder for what is seen of the clear faces, private; ``OUT.seen`` if None.
        workers: Threads; None for all cores. Does not change the result.
        layout: ``auto`` to look which it is, or its name (``docs/layouts.md``).
        engine: Name of the engine plugin, or its settings.
        on_progress: Called as images end.

    Returns:
        Counts: images by status, ``faces`` that will be drawn and others by reason. What
        ``selecting.choose`` tells of the selection is in ``extra["selection"]``.

    Raises:
        AnnotationError: If the set is not finished, or was made without its images.
        ConfigError, DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    config, look = config or SelectConfig(), look or LookConfig()
    _require_torch()
    photos, out = location_of(photos), local_path(out, "An annotation set")
    seen = local_path(seen, "What was seen") if seen else out.with_name(f"{out.name}.seen")
    known = AnnotationSet(Path(annotations))
    known.require_images()
    _check_apart(photos, out, seen)
    # After the look it would be too late to hear of it.
    for folder, stage in ((seen, LOOK_STAGE), (out, SELECT_STAGE)):
        refuse_other_run(folder, stage)
    reader = open_reader(photos, layout)
    card, model = _read_classifier(Path(classifier))
    inputs = {
        **reader.describe(),
        "annotations_sha256": known.manifest["outputs_sha256"],
        "classifier_sha256": model.sha256,
    }
    n_threads = resolve_workers(workers)
    runner = make_engine(
        engine, n_threads=n_threads, threads_per_process=threads_per_process("cpu")
    )
    task = LookTask(reader, seen, Path(annotations), Path(classifier), look, n_threads)
    models, before = [LandmarkFinder.card, model], {"looked_at": known.manifest}
    with Run.open(seen, LOOK_STAGE, asdict(look), inputs) as run:
        seen.chmod(0o700)
        drive(run, runner, task, reader, shard_size=look.shard_size, on_progress=on_progress)
        run.finish(models=models, extra=before)
    found = AnnotationSet(seen)
    faces = SeenFaces.read(found, tuple(card["attributes"]))
    shares = dict(zip(faces.names, card.get("shares", ()), strict=False))
    chosen = choose(faces, shares, config)
    inputs |= {"seen_sha256": found.manifest["outputs_sha256"]}
    with Run.open(out, SELECT_STAGE, asdict(config), inputs) as run:
        write_selection(run, reader, look.shard_size, found, faces, chosen)
        told = {"selection": dict(chosen.told), "attributes": list(faces.names)}
        return run.finish(models=models, extra={**before, **told})


def _check_apart(photos: Location, *places: Path) -> None:
    for place in places:
        check_apart(photos, place)


def _read_classifier(path: Path) -> tuple[Mapping[str, Any], ModelCard]:
    from veilset.synthesize.attribute_training import FORMAT
    from veilset.synthesize.model_file import WEIGHTS, load_model

    _, card = load_model(path, FORMAT)
    licence = card.get("data_licence", "not stated")
    return card, ModelCard(
        name="classifier of face attributes",
        origin=path.name,
        licence=f"as its training photographs allow: {licence}",
        commercial_ok=None,
        sha256=sha256_file(path / WEIGHTS if path.is_dir() else path),
    )


def _require_torch() -> None:
    for name in ("torch", "torchvision", "safetensors"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(
                f"Generated faces need {name}, which is not installed. Install it with: "
                "pip install 'veilset[synthesize]'"
            )
