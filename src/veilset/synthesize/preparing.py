# SPDX-License-Identifier: Apache-2.0
"""Prepare faces for training: photographs, their attributes and people in, a faces file out.

Each photograph is looked at once, on any engine: its largest face, the 68 landmarks, the crop
clear and with the face filled. A photograph without a usable face is a recorded row, not a face.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from veilset.annotations.store import AnnotationSet
from veilset.boxes import enlarge, outer_pixels
from veilset.dataset.folder import check_apart
from veilset.dataset.locations import local_path, location_of
from veilset.dataset.places import open_reader
from veilset.engine.cores import threads_per_process
from veilset.engine.drive import OnProgress, drive
from veilset.engine.roots import roots_of
from veilset.engine.shard_work import Body, OpenShard, describe_failure, shard_worker
from veilset.engine.steps import Steps
from veilset.engine.threads import resolve_workers
from veilset.errors import AnnotationError, ConfigError, DecodeError, RunError
from veilset.files import sha256_file, sha256_hex
from veilset.images.crops import cut, cut_mask
from veilset.images.decode import DEFAULT_MAX_PIXELS, decode_image
from veilset.networks.face_crop import ASPECT, CONTEXT, face_crop, landmarks_in_crop
from veilset.networks.face_ellipse import MARGIN, face_ellipse
from veilset.networks.face_factors import SIZE_HW, hide
from veilset.networks.landmarks import LandmarkFinder, Points
from veilset.plugins import make_detector, make_engine
from veilset.protocols import (
    Detector,
    DetectorSettings,
    EngineSettings,
    Places,
    Reader,
    Shard,
    ShardReader,
    ShardWork,
)
from veilset.runs import Run, RunSummary
from veilset.seeds import check_seed
from veilset.synthesize.celeba import Attributes, read_attributes, read_identities
from veilset.synthesize.faces_file import STAGE, CutFace, FaceRow, write_faces
from veilset.synthesize.prepared import SHARES, split_people
from veilset.types import BoxXyxy, Image, ImageRecord, ModelCard, Region, Status

FACE = "face"


@dataclass(frozen=True, slots=True)
class PrepareConfig:
    """How faces are prepared.

    Attributes:
        size_hw: Height and width of the pictures.
        context, aspect: Of the crop, as ``face_crop``.
        margin: Of the ellipse, as ``face_ellipse``.
        hide_box: The box of the face is hidden besides its ellipse, with this fraction of its
            sides added on every side: an obfuscator has to hide it too, and a generator is to
            see in use what it learned on. None for the ellipse alone, as in the report.
        detector: Plugin that finds the faces where no annotation set is given.
        effort: Of it.
        min_score: Lowest score of a detector that counts, in [0, 1].
        seed: Of the split.
        shares: Of the people, as ``split_people``.
        max_pixels: Largest photograph that is opened.
        shard_size: Photographs in a shard, the unit of work and of resume.

    Raises:
        ConfigError: If a value cannot be used.
    """

    size_hw: tuple[int, int] = SIZE_HW
    context: float = CONTEXT
    aspect: float = ASPECT
    margin: float = MARGIN
    hide_box: float | None = 0.1
    detector: str = "centerface"
    effort: str = "balanced"
    min_score: float = 0.5
    seed: int = 0
    shares: tuple[float, float, float] = SHARES
    max_pixels: int = DEFAULT_MAX_PIXELS
    shard_size: int = 256

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"A score of {self.min_score} is none. Give one from 0 to 1.")
        if self.hide_box is not None and not 0 <= self.hide_box <= 2:
            raise ConfigError(
                f"A box cannot be enlarged by {self.hide_box} of its sides. Give 0 to 2, or None "
                "for the ellipse alone."
            )
        check_seed(self.seed)


def prepare_faces(
    photos: str | Path,
    out: str | Path,
    *,
    attributes: Path,
    identities: Path,
    annotations: Path | None = None,
    config: PrepareConfig | None = None,
    workers: int | None = None,
    engine: str | EngineSettings = "local",
    on_progress: OnProgress | None = None,
) -> RunSummary:
    """Prepare the faces of a folder. Run again, it goes on where it was stopped.

    Args:
        photos: Data set of photographs, one face each that counts: the largest.
        out: Folder for the faces; it will hold clear faces.
        attributes: CelebA's ``list_attr_celeba.txt``, or a list of that form, naming every
            photograph.
        identities: CelebA's ``identity_CelebA.txt``, or a list of that form, likewise.
        annotations: Finished annotation set of the photographs; None to detect.
        config: Settings; None for the defaults.
        workers: Threads; None for all cores. Does not change the result.
        engine: Name of the engine plugin, or its settings.
        on_progress: Called as photographs end.

    Returns:
        Counts: ``prepared``, ``left_out``, and of both by split and reason.

    Raises:
        AnnotationError: If a list cannot be read or leaves a photograph out.
        ConfigError, DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    config = config or PrepareConfig()
    out = local_path(out, "A file of faces")
    check_apart(location_of(photos), out)
    reader = open_reader(location_of(photos))
    n_threads = resolve_workers(workers)
    runner = make_engine(
        engine, n_threads=n_threads, threads_per_process=threads_per_process("cpu")
    )
    table, people = read_attributes(attributes), read_identities(identities)
    records = itertools.chain.from_iterable(
        shard.records for shard in reader.shards(config.shard_size)
    )
    image_ids = [record.image_id for record in records]
    present = table.of(image_ids)
    splits = _split(image_ids, people, identities, config)
    known = {
        image_id: Known(people[image_id], splits[people[image_id]], row)
        for image_id, row in zip(image_ids, present, strict=True)
    }
    inputs = {
        **reader.describe(),
        "attributes_sha256": sha256_file(attributes),
        "identities_sha256": sha256_file(identities),
    }
    boxes: ModelCard | None = None
    if annotations is None:
        boxes = make_detector(config.detector, _detector_settings(config, n_threads)).card
    else:
        inputs["annotations_sha256"] = str(AnnotationSet(annotations).manifest["outputs_sha256"])
    task = PrepareTask(reader, out, config, known, annotations, n_threads)
    with Run.open(out, STAGE, asdict(config), inputs) as run:
        out.chmod(0o700)
        drive(run, runner, task, reader, shard_size=config.shard_size, on_progress=on_progress)
        cards = [LandmarkFinder.card, *([boxes] if boxes else [])]
        return run.finish(models=cards, extra={"attributes": list(table.names)})


def _split(
    image_ids: Sequence[str], people: Mapping[str, int], path: Path, config: PrepareConfig
) -> dict[int, str]:
    missing = [each for each in image_ids if each not in people]
    if missing:
        raise AnnotationError(
            f"{path} says of {len(missing):,} photographs not who is on them, the first is "
            f"{missing[0]!r}. Give a list that names them all."
        )
    who = {people[image_id] for image_id in image_ids}
    return split_people(who, seed=config.seed, shares=config.shares)


def _detector_settings(config: PrepareConfig, n_threads: int) -> DetectorSettings:
    return DetectorSettings(effort=config.effort, n_threads=n_threads)


@dataclass(frozen=True, slots=True)
class Known:
    """What the lists say of a photograph: person, split and ``(K,)`` attributes."""

    person: int
    split: str
    attributes: Attributes


@dataclass(slots=True)
class PrepareTask:
    """The work on shards; detector and predictor are made where it runs."""

    reader: Reader
    folder: Path
    config: PrepareConfig
    known: Mapping[str, Known]
    annotations: Path | None
    n_threads: int

    def places(self) -> Places:
        """Give the paths that the work touches."""
        sets = (self.annotations,) if self.annotations else ()
        return Places(self.folder, reads=(*roots_of(self.reader), *sets))

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        """Make detector, predictor and threads; give the work."""
        boxes: AnnotationSet | Detector
        if self.annotations:
            boxes = AnnotationSet(self.annotations)
        else:
            settings = _detector_settings(self.config, self.n_threads)
            boxes = make_detector(self.config.detector, settings)
        finder = LandmarkFinder()

        @contextmanager
        def open_shard(shard: Shard) -> Iterator[OpenShard[FaceRow]]:
            with self.reader.open_shard(shard) as source:
                preparer = _Preparer(self, source, boxes, finder)

                def treat(records: Sequence[ImageRecord], steps: Steps) -> list[FaceRow]:
                    return [preparer.row(record, steps) for record in records]

                yield OpenShard(treat)

        body = Body(
            open=open_shard,
            count=lambda row: row.counts,
            write=lambda index, rows: write_faces(self.folder, index, rows),
            is_failed=lambda row: bool(row.reason),
        )
        with shard_worker(body, self.n_threads) as work:
            yield work


@dataclass(frozen=True, slots=True)
class _Preparer:
    task: PrepareTask
    source: ShardReader
    boxes: AnnotationSet | Detector
    finder: LandmarkFinder

    def row(self, record: ImageRecord, steps: Steps) -> FaceRow:
        """Prepare one photograph; never raises for a bad one."""
        known = self.task.known[record.image_id]
        who = (record.image_id, known.person, known.split, known.attributes)
        try:
            face = self._cut(record, steps)
        except DecodeError as error:
            return FaceRow(*who, reason=error.reason, message=str(error))
        except RunError:
            raise
        except Exception as error:  # noqa: BLE001  one bad file never stops the run
            message = describe_failure(record.image_id, error)
            return FaceRow(*who, reason="error", message=message)
        if face is None:
            return FaceRow(*who, reason="no-face", message="No face was found that can be cut out.")
        return FaceRow(*who, cut=face)

    def _cut(self, record: ImageRecord, steps: Steps) -> CutFace | None:
        config = self.task.config
        with steps.waiting("read"):
            data = self.source.read(record)
        with steps("decode"):
            image, _ = decode_image(data, max_pixels=config.max_pixels, check_end=False)
        with steps("boxes"):
            regions = self._regions(record, data, image)
        face = _largest(regions, config.min_score)
        if face is None:
            return None
        with steps("landmarks"):
            landmarks_xy = self.finder.find(image, face.box_xyxy)
        with steps("cut"):
            try:
                return cut_face(image, face.box_xyxy, landmarks_xy, config)
            except ConfigError:
                # Landmarks all in one place, or far outside: the predictor found no face.
                return None

    def _regions(self, record: ImageRecord, data: bytes, image: Image) -> Sequence[Region]:
        if not isinstance(self.boxes, AnnotationSet):
            (found,) = self.boxes.detect([image])
            return found
        row = self.boxes.find(record)
        if row is None or row.status is not Status.LOOKED:
            raise DecodeError("not-looked", "The annotation set does not say what is in it.")
        if row.sha256 and row.sha256 != sha256_hex(data):
            raise DecodeError("changed", "The file is not the one that was searched.")
        return row.regions


def _largest(regions: Sequence[Region], min_score: float) -> Region | None:
    def area(region: Region) -> float:
        x0, y0, x1, y1 = region.box_xyxy
        return (x1 - x0) * (y1 - y0)

    faces = [each for each in regions if each.kind == FACE and each.passes(min_score)]
    return max(faces, key=area, default=None)


def cut_face(
    image: Image, box_xyxy: BoxXyxy, landmarks_xy: Points, config: PrepareConfig
) -> CutFace:
    """Cut one face out, clear and filled.

    The face is filled before anything is resized, as in ``face_factors``: the context is the
    same, whatever the hidden pixels are.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        box_xyxy: Of the face.
        landmarks_xy: ``(68, 2)`` in pixels of the image.
        config: Size, crop, margin and what is hidden of the box are used.

    Raises:
        ConfigError: If there can be no face.
    """
    ellipse = face_ellipse(landmarks_xy, margin=config.margin)
    crop_xyxy = face_crop(ellipse, context=config.context, aspect=config.aspect)
    size_wh = (image.shape[1], image.shape[0])
    mask = ellipse.mask(size_wh)
    if config.hide_box is not None:
        ((x0, y0, x1, y1),) = outer_pixels(enlarge(np.array([box_xyxy]), config.hide_box), size_wh)
        mask[y0:y1, x0:x1] = True
    touched = cut_mask(mask, crop_xyxy, config.size_hw)
    return CutFace(
        box_xyxy=box_xyxy,
        landmarks_xy=landmarks_in_crop(landmarks_xy, crop_xyxy, config.size_hw),
        target=cut(image, crop_xyxy, config.size_hw),
        context=cut(hide(image, mask), crop_xyxy, config.size_hw),
        hidden=np.where(touched, np.uint8(255), np.uint8(0)),
    )
