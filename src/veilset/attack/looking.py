# SPDX-License-Identifier: Apache-2.0
"""Look at every chosen face once, in all settings: photographs in, embeddings and chips out.

The face is cut out where its landmarks lie in the *original*: an attacker is given the best
alignment there is, so that none of what follows fails for want of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from veilset.annotations.hiding import is_hidden
from veilset.annotations.store import AnnotationSet
from veilset.attack.config import CLEAR, FILLED, RESTORE_KNOWN, AttackConfig, Setting
from veilset.attack.contents import as_begun, contents
from veilset.attack.faces import Chosen, ChosenImages, face_of
from veilset.attack.identities import PROBE, STRANGER
from veilset.attack.restoring import restoration_for
from veilset.attack.similarity import psnr, ssim
from veilset.attack.views import (
    PRIVATE,
    RESTORED,
    STRANGERS,
    Glimpse,
    SeenFace,
    write_seen,
)
from veilset.dataset.locations import location_of
from veilset.dataset.places import open_reader
from veilset.engine.cores import threads_per_process
from veilset.engine.drive import OnProgress, drive
from veilset.engine.roots import roots_of
from veilset.engine.shard_work import Body, OpenShard, describe_failure, shard_worker
from veilset.engine.steps import Steps
from veilset.errors import ConfigError, DecodeError, MissingExtraError, PluginError, RunError
from veilset.files import sha256_hex
from veilset.images.decode import decode_image
from veilset.networks.weights import check_licence
from veilset.plugins import make_engine, make_obfuscator, make_recogniser
from veilset.protocols import (
    EngineSettings,
    Obfuscator,
    Places,
    Reader,
    Recogniser,
    ShardWork,
)
from veilset.runs import LEDGER, Run, RunSummary
from veilset.seeds import derive
from veilset.types import Annotations, Image, ImageRecord, Region

STAGE = "attack-look"

# These are not about one image: the next would fail as well.
_OF_THE_RUN = (RunError, PluginError, ConfigError, MissingExtraError)


def look_at_faces(
    photos: Reader,
    known: AnnotationSet,
    chosen: Chosen,
    folder: Path,
    config: AttackConfig,
    *,
    workers: int,
    engine: str | EngineSettings = "local",
    on_progress: OnProgress | None = None,
    is_needed: bool = True,
) -> RunSummary:
    """Look at the chosen faces in every setting. Run again, it goes on where it was stopped.

    Args:
        photos: The originals.
        known: Their annotation set.
        chosen: The photographs that take part.
        folder: Folder of the look.
        config: Settings of the attack.
        workers: Threads. Does not change the result.
        engine: Name of the engine plugin, or its settings.
        on_progress: Called as images end.
        is_needed: Whether embeddings and pictures of faces are: if an earlier attack deleted
            them, all is looked at once more.

    Returns:
        Counts: see ``SeenFace.counts``.

    Raises:
        ResumeMismatchError: If the folder holds a look with other settings or inputs.
        DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    runner = make_engine(
        _in_processes(engine, workers, math.ceil(len(chosen.records) / config.shard_size)),
        n_threads=workers, threads_per_process=threads_per_process("cpu"),
    )  # fmt: skip
    config = as_begun(folder, config)
    recogniser = make_recogniser(config.recogniser, config.recogniser_settings)
    facts = {
        "annotations_sha256": str(known.manifest["outputs_sha256"]),
        "identities_sha256": chosen.sha256,
        **contents(config, recogniser),
    }
    images = ChosenImages(photos, chosen.records, facts)
    sides = dict(zip((each.image_id for each in chosen.records), chosen.sides_px, strict=True))
    who = {name: (*chosen.who(name), side_px) for name, side_px in sides.items()}
    task = FaceTask(images, known.folder, folder, config, who, workers)
    for card in recogniser.cards:
        check_licence(card, commercial=config.commercial_ok)
    asked = config.seen_as_json() | {"recogniser_settings": dict(recogniser.settings)}
    with Run.open(folder, STAGE, asked, images.describe()) as run:
        if is_needed and not (folder / PRIVATE).exists():
            for path in (folder / LEDGER).iterdir():
                path.unlink()
        drive(run, runner, task, images, shard_size=config.shard_size, on_progress=on_progress)
        return run.finish(models=list(recogniser.cards), extra={"left_out": chosen.left_out})


def _in_processes(engine: str | EngineSettings, workers: int, n_shards: int) -> EngineSettings:
    """Let the local engine start processes even for a few photographs, unless it was told how many.

    Each takes seconds here, with one face in every setting, and dlib keeps Python's lock.
    """
    asked = EngineSettings(engine) if isinstance(engine, str) else engine
    if asked.name != "local" or asked.n_processes:
        return asked
    return replace(asked, n_processes=max(1, min(workers, n_shards)))


def view_slugs(config: AttackConfig) -> dict[str, str]:
    """Give the folder of each view: every setting, and what can be computed back of it.

    That is done only if it is attacked: a deconvolution takes longer than all else. Strangers
    have views of their own.
    """
    slugs = {each.name: each.slug for each in config.shown}
    if config.strangers:
        slugs |= {each.name + STRANGERS: each.slug + STRANGERS for each in config.shown}
    for each in config.shown if RESTORE_KNOWN in config.attacks else ():
        if each.method and restoration_for(_obfuscator_of(each).card):
            slugs[each.name + RESTORED] = each.slug + RESTORED
    return slugs


def _obfuscator_of(setting: Setting) -> Obfuscator:
    return make_obfuscator(setting.method, setting.parameters)


class _UnusableEmbeddingError(Exception):
    """A recogniser gave what cannot be compared; the message says of what."""


@dataclass(slots=True)
class FaceTask:
    """The work on shards; the recogniser and the methods are made where it runs.

    Attributes:
        images: The chosen photographs.
        known: Folder of the annotation set.
        folder: Folder of the look.
        config: Settings of the attack.
        who: Person, half and side of the face of each photograph, by ``image_id``; see
            ``Chosen.who``.
        n_threads: Threads.
    """

    images: ChosenImages
    known: Path
    folder: Path
    config: AttackConfig
    who: Mapping[str, tuple[str, str, float]]
    n_threads: int

    def places(self) -> Places:
        """Give the paths that the work touches."""
        releases = [each.release for each in self.config.shown if each.release]
        readers = [open_reader(location_of(place)) for place in releases]
        return Places(self.folder, reads=(*roots_of(self.images.photos, *readers), self.known))

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        """Make the recogniser, the methods and the threads; give the work."""
        looker = Looker.open(self)

        def treat(records: Sequence[ImageRecord], steps: Steps) -> list[SeenFace]:
            return [looker.look(record, steps) for record in records]

        slugs = view_slugs(self.config)
        body = Body(
            open=lambda _shard: nullcontext(OpenShard(treat)),
            count=lambda row: row.counts,
            write=lambda index, rows: write_seen(self.folder, slugs, index, rows),
            is_failed=lambda row: bool(row.reason),
        )
        with shard_worker(body, self.n_threads) as work:
            yield work


@dataclass(frozen=True, slots=True)
class Looker:
    """Looks at one photograph after the other; safe to call from several threads.

    Attributes:
        task: What is to be done.
        known: The annotation set.
        recogniser: What the faces are cut and embedded with.
        methods: Obfuscator of each setting that is a method.
        releases: Data set of each setting that is a release.
    """

    task: FaceTask
    known: AnnotationSet
    recogniser: Recogniser
    methods: Mapping[str, Obfuscator]
    releases: Mapping[str, Reader]

    @classmethod
    def open(cls, task: FaceTask) -> Looker:
        """Make what the task needs.

        Raises:
            ConfigError, MissingExtraError, PluginError, DatasetError: If something cannot be
                made or opened.
        """
        config = task.config
        return cls(
            task,
            AnnotationSet(task.known),
            make_recogniser(config.recogniser, config.recogniser_settings),
            {each.name: _obfuscator_of(each) for each in config.shown if each.method},
            {
                each.name: open_reader(location_of(each.release))
                for each in config.shown
                if each.release
            },
        )

    def look(self, record: ImageRecord, steps: Steps) -> SeenFace:
        """Look at the face of one photograph in every setting; never raises for a bad one."""
        named = (record.image_id, *self.task.who[record.image_id])
        try:
            return SeenFace(*named, glimpses=self._glimpses(record, steps))
        except DecodeError as error:
            return SeenFace(*named, reason=error.reason, message=str(error))
        except _UnusableEmbeddingError as error:
            return SeenFace(*named, reason="embedding", message=str(error))
        except _OF_THE_RUN:
            raise
        except Exception as error:  # noqa: BLE001  one bad file never stops the run
            message = describe_failure(record.image_id, error)
            return SeenFace(*named, reason="error", message=message)

    def _glimpses(self, record: ImageRecord, steps: Steps) -> dict[str, Glimpse]:
        config = self.task.config
        with steps("annotations"):
            row = self.known.find(record)
        face = face_of(row, config.face_min_score)
        if face is None:
            raise DecodeError("changed", "The annotation set has changed. Attack it anew.")
        with steps.waiting("read"):
            data = self.task.images.read(record)
        digest = sha256_hex(data)
        if row.sha256 and row.sha256 != digest:
            raise DecodeError("changed", "The file is not the one that was searched.")
        with steps("decode"):
            clear, _ = decode_image(data, max_pixels=config.max_pixels)
        _check_size(row, clear)
        regions = [each for each in row.regions if is_hidden(each, (), config.min_score)]
        if not any(each is face for each in regions):
            regions.append(face)
        photo = _Photo(clear, face, regions, derive(config.seed, "image", digest))
        half = self.task.who[record.image_id][1]
        found: dict[str, Glimpse] = {}
        for setting in config.shown:
            shown = self._shown(record, photo, setting, steps)
            if half == STRANGER:
                found[setting.name + STRANGERS] = self._learned_from(photo, shown, setting, steps)
                continue
            found[setting.name] = self._glimpse(photo, shown, setting, steps)
            if half == PROBE:
                found |= self._restored(photo, shown, setting, steps)
        return found

    def _shown(self, record: ImageRecord, photo: _Photo, setting: Setting, steps: Steps) -> Image:
        if setting.release:
            return self._released(record, photo, setting, steps)
        if not setting.method:
            return photo.clear
        with steps("obfuscate"):
            return self.methods[setting.name].obfuscate(photo.clear, photo.regions, seed=photo.seed)

    def _released(
        self, record: ImageRecord, photo: _Photo, setting: Setting, steps: Steps
    ) -> Image:
        with steps.waiting("read"):
            data = self.releases[setting.name].read(record)
        with steps("decode"):
            shown, _ = decode_image(data, max_pixels=self.task.config.max_pixels)
        if shown.shape != photo.clear.shape:
            raise DecodeError(
                "changed", f"The image has another size in {setting.name}: it is not the same."
            )
        return shown

    def _glimpse(self, photo: _Photo, shown: Image, setting: Setting, steps: Steps) -> Glimpse:
        config = self.task.config
        with steps("compare"):
            likeness = _likeness(photo.clear, shown)
            scene = _small(shown, config.chip_px) if setting.name in (CLEAR, FILLED) else None
        embedding, chip = self._face(photo, shown, setting.name, steps)
        return Glimpse(embedding, chip, *likeness, scene)

    def _learned_from(self, photo: _Photo, shown: Image, setting: Setting, steps: Steps) -> Glimpse:
        """Look at a stranger: what the recogniser sees is asked for clear, and nothing measured."""
        chip_px = self.task.config.chip_px
        if setting.name == CLEAR:
            # The whole picture, to tell whether it is one of the probes once more.
            seen = self._face(photo, shown, setting.name, steps)
            return Glimpse(*seen, scene=_small(shown, chip_px))
        with steps("cut"):
            chip = self.recogniser.cut(shown, photo.face, aligned_on=photo.clear)
        return Glimpse(np.zeros(0, np.float32), _small(chip, chip_px))

    def _restored(
        self, photo: _Photo, shown: Image, setting: Setting, steps: Steps
    ) -> dict[str, Glimpse]:
        method = self.methods.get(setting.name)
        restoration = restoration_for(method.card) if method else None
        wanted = RESTORE_KNOWN in self.task.config.attacks
        if method is None or restoration is None or not wanted:
            return {}
        with steps("restore"):
            restored = restoration.restore(shown, photo.regions, method)
        name = setting.name + RESTORED
        return {name: Glimpse(*self._face(photo, restored, name, steps))}

    def _face(self, photo: _Photo, shown: Image, setting: str, steps: Steps) -> tuple[Any, Image]:
        with steps("cut"):
            chip = self.recogniser.cut(shown, photo.face, aligned_on=photo.clear)
        with steps("embed"):
            (embedding,) = self.recogniser.embed([chip])
        lacks_direction = self.recogniser.metric == "cosine" and not embedding.any()
        if not np.isfinite(embedding).all() or lacks_direction:
            raise _UnusableEmbeddingError(
                f"The recogniser {self.task.config.recogniser!r} gives an embedding of this face "
                f"in {setting!r} that is {'zero' if lacks_direction else 'not finite'}."
            )
        return embedding, _small(chip, self.task.config.chip_px)


@dataclass(frozen=True, slots=True)
class _Photo:
    """An original with its face, the regions that are hidden, and its seed."""

    clear: Image
    face: Region
    regions: Sequence[Region]
    seed: int


def _check_size(row: Annotations, image: Image) -> None:
    if row.width and (row.height, row.width) != image.shape[:2]:
        raise DecodeError("changed", "The file is not the one that was searched.")


def _likeness(clear: Image, shown: Image) -> tuple[float | None, float | None]:
    """Give PSNR in dB and SSIM; no PSNR of pictures that are equal, nothing of the original."""
    if shown is clear:
        return None, None
    measured = psnr(clear, shown)
    return (measured if np.isfinite(measured) else None), ssim(clear, shown)


def _small(image: Image, side_px: int) -> Image:
    import cv2

    made: Image = cv2.resize(
        np.ascontiguousarray(image), (side_px, side_px), interpolation=cv2.INTER_AREA
    )
    return made
