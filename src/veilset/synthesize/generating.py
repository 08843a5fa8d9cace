# SPDX-License-Identifier: Apache-2.0
"""From photographs to a generator of faces that the obfuscator can use, in one resumable folder.

prepare_views   faces with their surroundings               views/ (clear faces, deleted at the end)
train_inpainter the network                                 training/ (its samples/ likewise)
export_inpainter checked against both runtimes              generator.onnx
compare, measure on people of the test split                result.json, card.md, gallery.png
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from veilset.annotations.store import AnnotationSet
from veilset.dataset.folder import check_apart
from veilset.dataset.locations import local_path, location_of
from veilset.dataset.places import open_reader
from veilset.engine.drive import OnProgress
from veilset.errors import ConfigError, MissingExtraError, PluginError
from veilset.files import read_object, sha256_file, write_atomically
from veilset.networks.efficientnet_lite import LITE2
from veilset.networks.face_generator import GENERATOR, FaceGenerator
from veilset.protocols import EngineSettings
from veilset.runs import STARTED, json_bytes
from veilset.synthesize.celeba import read_identities
from veilset.synthesize.contact_sheet import write_sheet
from veilset.synthesize.fixed_features import FixedFeatures
from veilset.synthesize.inpainting_export import export_inpainter
from veilset.synthesize.inpainting_measures import (
    CLEAR,
    DRAWN,
    LPIPS,
    Compared,
    as_json,
    compare_faces,
    measure_generator,
)
from veilset.synthesize.inpainting_training import (
    SAMPLES,
    InpaintingConfig,
    Start,
    load_inpainter,
    train_inpainter,
)
from veilset.synthesize.machine import Machine
from veilset.synthesize.model_card import write_card
from veilset.synthesize.picture_features import read_alexnet
from veilset.synthesize.prepared import TEST
from veilset.synthesize.training import Habits, open_folder
from veilset.synthesize.viewing import ViewConfig, prepare_views
from veilset.synthesize.views_file import ViewsFile

VIEWS, TRAINING, RESULT, CARD, GALLERY = (
    "views", "training", "result.json", "card.md", "gallery.png",
)  # fmt: skip
N_IN_GALLERY = 24


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Everything that decides a generator.

    Attributes:
        views: How faces are cut out.
        training: How the network is built and trained.
    """

    views: ViewConfig
    training: InpaintingConfig


def train_generator(
    photos: str | Path,
    annotations: str | Path,
    out: str | Path,
    config: GeneratorConfig | None = None,
    *,
    identities: Path | None = None,
    start_from: Path | None = None,
    alexnet: Path | None = None,
    machine: Machine | None = None,
    habits: Habits | None = None,
    workers: int | None = None,
    engine: str | EngineSettings = "local",
    keep_private: bool = False,
    on_progress: OnProgress | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> dict[str, Any] | None:
    """Train a generator and measure it. Run again, it goes on where it was stopped.

    Args:
        photos: Data set of photographs with faces that may be learned from.
        annotations: Its finished annotation set.
        out: Folder of the result: ``generator.onnx``, ``card.md``, ``result.json``; and, readable
            by the owner only since it shows clear faces, ``gallery.png`` (original, what is seen,
            what is drawn, of test people).
        config: How; None for the defaults.
        identities: Who is on which photograph, as ``prepare_views``.
        start_from: Folder of a finished generator, whose weights are then the first ones: fewer
            epochs are needed. Its card says what it learned from, and the new one repeats it.
        alexnet: For LPIPS, as ``perceptual_distances``; refused where a finished training was
            measured without it.
        machine: What the network is trained on.
        habits: What does not change the result. It may be stopped in the training only.
        workers, engine: For cutting the faces out.
        keep_private: Keep ``views/``, the clear faces that were learned from, and
            ``training/samples``, which shows some; else both are deleted, at the end or when a
            finished training is run again.
        on_progress: Called as photographs end.
        on_step: Told what begins.

    Returns:
        What ``result.json`` holds; None if the training was stopped.

    Raises:
        AnnotationError, ConfigError, DatasetError, RunError: See ``veilset.errors``.
        MissingExtraError: If what critics look through is not installed.
    """
    config = config or GeneratorConfig(ViewConfig(), InpaintingConfig())
    if identities:
        # Before its digest is taken: what cannot be read says so.
        read_identities(identities)
    begin = start_from / TRAINING if start_from and (start_from / TRAINING).is_dir() else start_from
    start = Start.read(begin, config.training) if begin else None
    machine, out = machine or Machine(), local_path(out, "A generator")
    annotations = Path(annotations)
    check_apart(location_of(photos), out)
    if not (out / RESULT).exists():
        _check_fixed(config.training, is_begun=(out / STARTED).exists())
        if alexnet:
            read_alexnet(alexnet)
    facts = {
        "stage": "synthesize-train",
        "config": asdict(config),
        "photos": open_reader(location_of(photos)).describe(),
        "annotations_sha256": AnnotationSet(annotations).manifest["outputs_sha256"],
        "identities_sha256": sha256_file(identities) if identities else "",
        "machine": machine.facts(),
        **({"start_sha256": start.sha256} if start else {}),
    }
    with open_folder(out, facts):
        out.chmod(0o700)
        if (out / RESULT).exists():
            _clean(out, keep_private=keep_private)
            return _finished(out, alexnet)
        on_step("faces are cut out of the photographs")
        seen = prepare_views(
            photos, annotations, out / VIEWS, identities=identities, config=config.views,
            workers=workers, engine=engine, on_progress=on_progress,
        )  # fmt: skip
        named = seen.extra["identities"]
        if n_strange := named["of_no_photograph"]:
            on_step(
                f"{n_strange:,} names in {identities} are of no photograph; of {named['of']:,} "
                f"photographs {named['named']:,} are named there"
            )
        on_step("the network is trained")
        is_done = train_inpainter(
            out / VIEWS, out / TRAINING, config.training, start_from=begin, machine=machine,
            habits=habits,
        )  # fmt: skip
        # Whoever wishes it to end at the last step does not wish to see it measured first.
        if not is_done or (habits and habits.should_stop()):
            return None
        result = _finish(out, alexnet, on_step)
        _clean(out, keep_private=keep_private)
        return result


def _check_fixed(config: InpaintingConfig, *, is_begun: bool) -> None:
    """Say before any work that what critics look through is missing."""
    # A training that was begun with it cannot go on without.
    way_out = "" if is_begun else " Or train without it: --no-feature-critics."
    try:
        if config.feature_critics:
            FixedFeatures.packaged()
    except MissingExtraError as error:
        raise MissingExtraError(f"{error}{way_out}") from error
    except PluginError as error:
        raise PluginError(
            f"What critics look through is not the file of {LITE2.package} 0.1.0 that Veilset "
            f"knows. Install that version again.{way_out}"
        ) from error


def _clean(out: Path, *, keep_private: bool) -> None:
    """Delete the clear faces, or what a killed process left of them, unless they are wanted."""
    for path in (out / VIEWS, out / TRAINING / SAMPLES):
        if path.exists() and not keep_private:
            shutil.rmtree(path)


def _finished(out: Path, alexnet: Path | None) -> dict[str, Any]:
    """Give the result that is there; refuse what would need another one."""
    remedy = (
        "Restore it. Or delete it, and run again: faces are cut out and measured anew, the network "
        "is not trained again."
    )
    found = read_object(out / RESULT, remedy, ("generator_sha256", "measures"))
    if alexnet and all(each["name"] != LPIPS for each in found["measures"][DRAWN]):
        raise ConfigError(
            f"The training in {out} is finished, and LPIPS was not measured. Delete "
            f"{out / RESULT} and run again: faces are cut out and measured anew, the network is "
            "not trained again. Or leave AlexNet's weights out."
        )
    return found


def _finish(out: Path, alexnet: Path | None, on_step: Callable[[str], None]) -> dict[str, Any]:
    """Export, measure and describe; the result comes last."""
    network, card = load_inpainter(out / TRAINING)
    on_step("the network is written as ONNX and compared in both runtimes")
    differences = export_inpainter(network, card, out / GENERATOR)
    on_step("faces of people that it did not learn from are drawn and measured")
    data = ViewsFile.open(out / VIEWS)
    generator = FaceGenerator.load(out / GENERATOR)
    compared = compare_faces(generator, data, data.rows(TEST))
    measured = as_json(measure_generator(compared, data, alexnet=alexnet))
    _write_gallery(out / GALLERY, compared)
    write_atomically(out / CARD, write_card(card, measured, _named(data)).encode())
    result = {
        "generator_sha256": generator.card.sha256,
        "n_parameters": card["n_parameters"],
        "n": card["n"],
        "levels_between_runtimes": differences,
        "measures": measured,
    }
    write_atomically(out / RESULT, json_bytes(result))
    found: dict[str, Any] = json.loads(json_bytes(result))
    return found


def _named(data: ViewsFile) -> tuple[int, int]:
    """Count the photographs with a face: of which it was said who is on them, and all."""
    people = dict(zip(data.image_ids, data.people.tolist(), strict=True))
    return sum(person >= 0 for person in people.values()), len(people)


def _write_gallery(path: Path, compared: Compared) -> None:
    """Write a sheet: test faces, evenly chosen, clear, as seen, as drawn, three faces in a row."""
    n = len(compared.rows)
    chosen = np.unique(np.linspace(0, n - 1, min(n, N_IN_GALLERY)).astype(int))
    chosen = chosen[: len(chosen) // 3 * 3] if len(chosen) >= 3 else chosen[:1]
    columns = []
    for part in np.split(chosen, 3) if len(chosen) >= 3 else [chosen]:
        forms = (compared.pictures[CLEAR], compared.seen, compared.pictures[DRAWN])
        columns += [np.stack([form[at] for at in part]) for form in forms]
    write_sheet(path, columns)
