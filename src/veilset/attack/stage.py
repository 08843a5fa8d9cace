# SPDX-License-Identifier: Apache-2.0
"""Attack: photographs of named people and their obfuscation in, what attackers reach out.

choose      whose face is on which photograph; what the attacker holds clear   faces.py
look        every face in every setting, once, on any engine                   looking.py
measure     each attack in each setting; an outcome is kept as it is done      measuring.py
tell        tables, a figure of what it costs and buys, a recommendation       telling.py
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veilset.annotations.store import AnnotationSet
from veilset.attack.beside_study import BESIDE
from veilset.attack.config import ATTACKS, CLEAR, LEARNED, AttackConfig, Setting
from veilset.attack.copies import is_copy, is_copy_of
from veilset.attack.faces import choose_photographs
from veilset.attack.identities import GALLERY, PROBE, STRANGER
from veilset.attack.looking import look_at_faces
from veilset.attack.measuring import Evidence, forget_views, measure
from veilset.attack.outcomes import Outcome, read_outcome, write_outcome
from veilset.attack.people.contents import OF_PEOPLE
from veilset.attack.resampling import draw_people
from veilset.attack.similar_pictures import SIMILARITY, measure_similarity
from veilset.attack.telling import FILES, tell
from veilset.attack.views import PRIVATE, STRANGERS, delete_private, read_faces, read_view
from veilset.dataset.folder import check_apart
from veilset.dataset.locations import local_path, location_of
from veilset.dataset.places import open_reader
from veilset.engine.drive import OnProgress
from veilset.engine.threads import resolve_workers
from veilset.errors import DatasetError, DecodeError, MissingExtraError, RunError
from veilset.files import sha256_hex, write_atomically
from veilset.locks import LOCK, lock_folder
from veilset.plugins import make_obfuscator, make_recogniser
from veilset.protocols import EngineSettings, Reader
from veilset.runs import FINISHED, RunSummary, json_bytes, make_folder, read_manifest
from veilset.seeds import derive
from veilset.types import ImageRecord

__all__ = ["AttackConfig", "attack_dataset"]

LOOK, OUTCOMES = "look", "outcomes"

COPIES = "copies.json"
"""In the folder of the look: what is left out as a copy, known also when all chips are deleted."""

OnStep = Callable[[str], None]
FaceRow = dict[str, Any]


def attack_dataset(
    photos: str | Path,
    annotations: str | Path,
    out: str | Path,
    config: AttackConfig | None = None,
    *,
    workers: int | None = None,
    engine: str | EngineSettings = "local",
    keep_private: bool = False,
    on_progress: OnProgress | None = None,
    on_step: OnStep | None = None,
) -> RunSummary:
    """Attack obfuscated faces of named people, and write down what the attackers reach.

    Run again with the same arguments, it goes on where it was stopped.

    Args:
        photos: Data set of the originals.
        annotations: Its finished annotation set.
        out: Folder for the results.
        config: Settings; None for the defaults.
        workers: Threads of the look; None for all cores. Does not change the result.
        engine: Name of the engine plugin that runs the look, or its settings.
        keep_private: Whether embeddings and pictures of faces stay when all is done.
        on_progress: Called as photographs are looked at.
        on_step: Told each attack before it is made.

    Returns:
        Counts: ``photographs``, ``people``, ``gallery``, ``probes``, ``failed`` (photographs that
        could not be looked at), ``settings``, ``outcomes``; if they were asked for, ``strangers``
        and ``strangers_failed``, who are in no other count. ``extra["recommendation"]``
        says what to choose, ``extra["standings"]`` why.

    Raises:
        ConfigError: If a setting cannot be used.
        DatasetError: If there is nothing to attack: no face, or too few people; or the results
            would lie in a data set.
        MissingExtraError: If an attack needs a library that is not installed.
        ResumeMismatchError, RunError: See ``veilset.errors``.
    """
    config, n_threads = config or AttackConfig(), resolve_workers(workers)
    folder = local_path(out, "The results of an attack")
    for place in (photos, *(each.release for each in config.settings if each.release)):
        check_apart(location_of(place), folder)
    known = AnnotationSet(Path(annotations))
    known.require_images()
    require_libraries(config.attacks)
    require_plugins(config)
    if config.device not in ("auto", "cpu") and any(name in LEARNED for name in config.attacks):
        from veilset.learning.devices import find_devices

        find_devices(config.device)
    reader = open_reader(location_of(photos))
    chosen = choose_photographs(known, config)
    require_releases(config, chosen.records)
    _refuse_foreign(folder)
    make_folder(folder)
    lock_fd = lock_folder(folder)
    try:
        look_at_faces(
            reader, known, chosen, folder / LOOK, config,
            workers=n_threads, engine=engine, on_progress=on_progress,
            is_needed=_left(folder, config),
        )  # fmt: skip
        evidence = _gather_or_forget(folder / LOOK, config)
        outcomes = _measure_all(folder, evidence, on_step or (lambda _: None))
        places = {"photos": str(photos), "annotations": str(annotations)}
        summary = tell(folder, evidence, outcomes, places)
        if not keep_private:
            delete_private(folder / LOOK)
        return summary
    finally:
        forget_views()
        os.close(lock_fd)


def require_plugins(config: AttackConfig) -> None:
    """Make the recogniser and the methods once, and open the releases, before anything is done.

    Raises:
        ConfigError, DatasetError, MissingExtraError, PluginError: If one cannot be had.
    """
    make_recogniser(config.recogniser, config.recogniser_settings)
    for each in config.shown:
        if each.method:
            make_obfuscator(each.method, each.parameters)
        elif each.release:
            open_reader(location_of(each.release))


def require_releases(config: AttackConfig, records: Iterable[ImageRecord]) -> None:
    """Read one photograph of each release, before anything is done.

    Raises:
        DatasetError: If a release has none of them.
    """
    for each in config.shown:
        if each.release and not _has_any(open_reader(location_of(each.release)), records):
            raise DatasetError(
                f"The release {each.name!r} in {each.release} has none of the photographs that are "
                "to be attacked. Name the data set that was made of them."
            )


def _has_any(release: Reader, records: Iterable[ImageRecord]) -> bool:
    for record in records:
        try:
            release.read(record)
        except DecodeError:
            continue
        return True
    return False


def require_libraries(attacks: Iterable[str]) -> None:
    """Import what attacks need, before anything is done.

    Raises:
        MissingExtraError: If a library is not installed; the message names the way without it.
    """
    needed = {"sklearn": "scikit-learn", "skimage": "scikit-image"}
    learned = [name for name in attacks if name in LEARNED]
    if learned:
        needed |= {"torch": "PyTorch", "safetensors": "safetensors"}
    for module, name in needed.items():
        if find_spec(module) is None:
            ways = "pip install 'veilset[attack]'"
            others = "".join(f" --without {each}" for each in learned)
            raise MissingExtraError(
                f"{name} is not installed. Install it with: {ways}"
                + (f"; or leave out what learns:{others}" if module in ("torch", "safetensors")
                   else "")
            )  # fmt: skip


def _gather_or_forget(look: Path, config: AttackConfig) -> Evidence:
    """Gather what was seen; where nothing can be made of it, nothing private is kept either."""
    try:
        return gather_evidence(look, config)
    except DatasetError:
        delete_private(look)
        raise


def gather_evidence(look: Path, config: AttackConfig) -> Evidence:
    """Gather what was seen of the photographs that could be looked at in every setting.

    Raises:
        RunError: If the look is not finished.
        DatasetError: If too few people are left, or none of the strangers who were asked for.
    """
    n_shards = int(read_manifest(look)["n_shards"])
    seen = [row for row in read_faces(look, n_shards) if not row["reason"]]
    copies = find_copies(look, seen, n_shards, config.chip_px)
    kept = [row for row in seen if row["image_id"] not in copies]
    strangers = tuple(row["image_id"] for row in kept if row["half"] == STRANGER)
    if config.strangers and not strangers:
        raise DatasetError(
            f"No stranger could be looked at; {look / 'faces'} says what went wrong. Give other "
            "photographs of strangers, or leave out --strangers."
        )
    rows = [row for row in kept if row["half"] != STRANGER]
    halves = {
        half: {row["person"] for row in rows if row["half"] == half} for half in (GALLERY, PROBE)
    }
    people = tuple(sorted(halves[GALLERY] & halves[PROBE]))
    if len(people) < 2:
        raise DatasetError(
            f"{len(people)} people are left whose faces could be looked at on both sides, and at "
            f"least two are needed; {look / 'faces'} says what went wrong with the others."
        )
    code = {person: at for at, person in enumerate(people)}
    rows = [row for row in rows if row["person"] in code]
    return Evidence(
        look, n_shards, config,
        make_recogniser(config.recogniser, config.recogniser_settings),
        tuple(row["image_id"] for row in rows),
        np.array([code[row["person"]] for row in rows], np.int64),
        np.array([row["half"] == GALLERY for row in rows]),
        people,
        draw_people(len(people), seed=derive(config.seed, "draws"), n_draws=config.n_draws),
        sum(row["image_id"] in copies and row["half"] != STRANGER for row in seen), strangers,
    )  # fmt: skip


def find_copies(look: Path, rows: list[FaceRow], n_shards: int, chip_px: int) -> frozenset[str]:
    """Find probes that are photographs of the gallery once more, and strangers that are probes.

    A network that learned what a probe shows clear would know it, and not recognise it.

    Args:
        look: Folder of the look.
        rows: Of the photographs that were seen.
        n_shards, chip_px: Of the look.
    """
    path = look / COPIES
    if not (look / PRIVATE).exists() and path.exists():
        return _read_copies(path)
    strangers = [row for row in rows if row["half"] == STRANGER]
    named = [row for row in rows if row["half"] != STRANGER]
    if not named:
        return frozenset()
    scenes = _scenes(look, CLEAR, named, n_shards, chip_px)
    people = np.unique([row["person"] for row in named], return_inverse=True)[1]
    is_gallery = np.array([row["half"] == GALLERY for row in named])
    copied = is_copy(scenes, people, is_gallery)
    found = [row["image_id"] for row, each in zip(named, copied, strict=True) if each]
    if strangers:
        theirs = _scenes(look, CLEAR + STRANGERS, strangers, n_shards, chip_px)
        copied = is_copy_of(theirs, scenes[~is_gallery])
        found += [row["image_id"] for row, each in zip(strangers, copied, strict=True) if each]
    write_atomically(path, json_bytes(sorted(found)))
    return frozenset(found)


def _read_copies(path: Path) -> frozenset[str]:
    try:
        return frozenset(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{path} is damaged. Delete {path.parent}, then run the attack again: it looks at all "
            "faces anew."
        ) from error


def _scenes(
    look: Path, view: str, rows: list[FaceRow], n_shards: int, chip_px: int
) -> NDArray[np.uint8]:
    seen = read_view(look, view, n_shards, chip_px)
    if seen.scenes is None or seen.image_ids != tuple(row["image_id"] for row in rows):
        raise RunError(f"What was seen in {look} is not whole. Delete the folder, and run again.")
    return seen.scenes


def _measure_all(folder: Path, evidence: Evidence, on_step: OnStep) -> list[Outcome]:
    """Make every attack in every setting, or read what it came to before.

    Attacks that were made before and are not asked for now are among the results too.
    """
    outcomes, key = [], _key(folder, evidence.config)
    wanted = {SIMILARITY, *evidence.config.attacks}
    for setting, attack in itertools.product(evidence.config.shown, (SIMILARITY, *ATTACKS)):
        path = outcome_path(folder, setting, attack)
        outcome = read_outcome(path)
        if outcome is None or outcome.facts.get("key") != key:
            if attack not in wanted:
                continue
            on_step(f"{setting.name}: {attack}")
            found = (
                measure_similarity(evidence, setting)
                if attack == SIMILARITY
                else measure(evidence, setting, attack)
            )
            outcome = found or Outcome(setting.name, attack, ())
            outcome = replace(outcome, facts={**outcome.facts, "key": key})
            write_outcome(path, outcome)
            # As it is read another time: numbers that are not finite are none in the file.
            outcome = read_outcome(path) or outcome
        outcomes.append(outcome)
    return outcomes


def outcome_path(folder: Path, setting: Setting, attack: str) -> Path:
    """Give the file in which the outcome of one attack in one setting is kept."""
    return folder / OUTCOMES / setting.slug / f"{attack}.json"


def _pairs(config: AttackConfig) -> list[tuple[Setting, str]]:
    return [(each, name) for each in config.shown for name in (SIMILARITY, *config.attacks)]


def _left(folder: Path, config: AttackConfig) -> bool:
    """Whether an attack is still to be made."""
    outcomes = (read_outcome(outcome_path(folder, *pair)) for pair in _pairs(config))
    key = _key(folder, config)
    return any(each is None or each.facts.get("key") != key for each in outcomes)


def _key(folder: Path, config: AttackConfig) -> str:
    """Give the digest of what decides an outcome: all that was seen, and what is made of it."""
    seen = {}
    if (folder / LOOK / FINISHED).exists():
        seen["seen"] = read_manifest(folder / LOOK)["outputs_sha256"]
    decides = {name: getattr(config, name) for name in ("n_draws", "epochs", "threads", "seed")}
    return sha256_hex(json_bytes(decides | seen))


def _refuse_foreign(folder: Path) -> None:
    if not folder.is_dir():
        return
    known = {LOOK, OUTCOMES, LOCK, *FILES, *BESIDE, *OF_PEOPLE}
    names = sorted(each.name for each in folder.iterdir())
    names = [name for name in names if name not in known and not name.startswith(".")]
    if names:
        raise RunError(
            f"The folder {folder} is not empty (it holds {names[0]!r}) and holds no attack that "
            "can be gone on with. Choose another folder, or empty it."
        )
