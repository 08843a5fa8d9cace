# SPDX-License-Identifier: Apache-2.0
"""Cut faces with their surroundings out of photographs: what a generator of faces learns from.

Every annotated face that is large enough counts, whatever its pose; no landmark is needed. The
same square is cut as at use (``networks.face_generator``), with room to be turned and moved in.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from veilset.annotations.store import AnnotationSet
from veilset.boxes import enlarge, outer_pixels, region_boxes
from veilset.dataset.folder import check_apart
from veilset.dataset.locations import local_path, location_of
from veilset.dataset.places import open_reader
from veilset.engine.drive import OnProgress, drive
from veilset.engine.roots import roots_of
from veilset.engine.shard_work import Body, OpenShard, describe_failure, shard_worker
from veilset.engine.steps import Steps
from veilset.engine.threads import resolve_workers
from veilset.errors import AnnotationError, ConfigError, DatasetError, DecodeError, RunError
from veilset.files import sha256_file, sha256_hex
from veilset.images.crops import cut
from veilset.images.decode import DEFAULT_MAX_PIXELS, decode_image
from veilset.networks.face_generator import CONTEXT, SIDE_PX, IntBox, view_square
from veilset.plugins import make_engine
from veilset.protocols import EngineSettings, Places, Reader, Shard, ShardReader, ShardWork
from veilset.runs import Run, RunSummary
from veilset.seeds import check_seed
from veilset.synthesize.celeba import read_identities
from veilset.synthesize.prepared import split_people
from veilset.synthesize.views_file import STAGE, CutView, PhotoRows, ViewRow, write_views
from veilset.types import Annotations, BoxXyxy, Image, ImageRecord, Region, Status

FACE = "face"

LEAST_SIDE_PX = 64
"""Of a view: the coarser of the two critics judges nothing in a smaller one."""

NO_FACE = "no-face"
"""Why a photograph without a face that counts gave none: no failure."""


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """How faces are cut out.

    Attributes:
        side_px: Side of what the generator will see and draw, S; a multiple of 16, at least
            ``LEAST_SIDE_PX``.
        context: As ``view_square``.
        room: How much larger the stored square is, at least 1; training turns and moves in it.
        enlarge: Share of a region's sides that is added, as the obfuscator will.
        least_side_px: Smaller faces are left out, by the shorter side of their box.
        min_score: Lowest score of a detector that counts, in [0, 1].
        shares: Of the people, for training, validation and test.
        seed: Of that split.
        max_pixels: Largest photograph that is opened.
        shard_size: Photographs in a shard, the unit of work and of resume.

    Raises:
        ConfigError: If a value cannot be used.
    """

    side_px: int = SIDE_PX
    context: float = CONTEXT
    room: float = 1.35
    enlarge: float = 0.1
    least_side_px: float = 24.0
    min_score: float = 0.6
    shares: tuple[float, float, float] = (0.87, 0.05, 0.08)
    seed: int = 0
    max_pixels: int = DEFAULT_MAX_PIXELS
    shard_size: int = 256

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not (LEAST_SIDE_PX <= self.side_px <= 1024 and self.side_px % 16 == 0):
            raise ConfigError(
                f"Faces cannot be drawn at {self.side_px} px. Give a multiple of 16 from "
                f"{LEAST_SIDE_PX} to 1024."
            )
        if not (1 < self.context <= 4 and 1 <= self.room <= 2 and 0 <= self.enlarge <= 2):
            raise ConfigError(
                f"A context of {self.context} with a room of {self.room} and an enlargement of "
                f"{self.enlarge} cannot be cut. Give a context above 1 and up to 4, a room from 1 "
                "to 2, an enlargement from 0 to 2."
            )
        if not (0 <= self.min_score <= 1 and 0 <= self.least_side_px < math.inf):
            raise ConfigError(
                f"Faces cannot be chosen by a score of {self.min_score} and a side of "
                f"{self.least_side_px} px. Give a score from 0 to 1, and a side of 0 or more."
            )

    @property
    def stored_px(self) -> int:
        """R, the side of the stored pictures."""
        return 2 * round(self.side_px * self.room / 2 * 1.12)


def prepare_views(
    photos: str | Path,
    annotations: Path,
    out: str | Path,
    *,
    identities: Path | None = None,
    config: ViewConfig | None = None,
    workers: int | None = None,
    engine: str | EngineSettings = "local",
    on_progress: OnProgress | None = None,
) -> RunSummary:
    """Cut the faces of a data set out. Run again, it goes on where it was stopped.

    Args:
        photos: Data set of photographs.
        annotations: Its finished annotation set.
        out: Folder for the views; it will hold clear faces.
        identities: CelebA's ``identity_CelebA.txt``, or a list of that form; a photograph that
            it does not name, and every one without a list, counts as a person of its own.
        config: Settings; None for the defaults.
        workers: Threads; None for all cores. Does not change the result.
        engine: Name of the engine plugin, or its settings.
        on_progress: Called as photographs end.

    Returns:
        Counts: ``photographs`` with a face, ``faces``, ``left_out`` and why; of how many of all
        photographs it was said who is on them is in ``extra["identities"]``, and how many
        names of the list are of no photograph.

    Raises:
        AnnotationError, ConfigError, DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    config = config or ViewConfig()
    out = local_path(out, "A file of faces")
    check_apart(location_of(photos), out)
    reader = open_reader(location_of(photos))
    n_threads = resolve_workers(workers)
    runner = make_engine(engine, n_threads=n_threads)
    known = AnnotationSet(annotations)
    shards = reader.shards(config.shard_size)
    image_ids = [each.image_id for each in itertools.chain.from_iterable(s.records for s in shards)]
    listed = read_identities(identities) if identities else {}
    people = _number_people(image_ids, listed, identities)
    n_named = sum(person >= 0 for person in people.values())
    splits = split_people(people.values(), seed=config.seed, shares=config.shares)
    inputs = {
        **reader.describe(),
        "annotations_sha256": str(known.manifest["outputs_sha256"]),
        "identities_sha256": sha256_file(identities) if identities else "",
    }
    who = {image_id: (people[image_id], splits[people[image_id]]) for image_id in image_ids}
    task = ViewTask(reader, annotations, out, config, who, n_threads)
    values = asdict(config) | {"stored_px": config.stored_px}
    with Run.open(out, STAGE, values, inputs) as run:
        out.chmod(0o700)
        drive(run, runner, task, reader, shard_size=config.shard_size, on_progress=on_progress)
        n_strange = len(listed) - n_named
        told = {"named": n_named, "of": len(people), "of_no_photograph": n_strange}
        return run.finish(extra={"identities": told})


def _number_people(
    image_ids: Sequence[str], named: Mapping[str, int], identities: Path | None
) -> dict[str, int]:
    """Give each photograph the number of its person; the nameless get numbers below zero."""
    if len(set(image_ids)) < 3:
        raise DatasetError(
            f"{len(image_ids)} photographs cannot be split three ways. Give at least 3, and "
            "thousands for a generator worth using."
        )
    if named and not any(image_id in named for image_id in image_ids):
        raise AnnotationError(
            f"The identity list {identities} names none of the {len(image_ids):,} photographs: the "
            f"first of them is {image_ids[0]!r}, the first in the list {next(iter(named))!r}. "
            "Write their names as the data set does, with their folders."
        )
    return {image_id: named.get(image_id, -1 - at) for at, image_id in enumerate(image_ids)}


@dataclass(frozen=True, slots=True)
class ViewTask:
    """The work on shards."""

    reader: Reader
    annotations: Path
    folder: Path
    config: ViewConfig
    who: Mapping[str, tuple[int, str]]
    n_threads: int

    def places(self) -> Places:
        """Give the paths that the work touches."""
        return Places(self.folder, reads=(*roots_of(self.reader), self.annotations))

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        """Open the annotations and make the threads; give the work."""
        known = AnnotationSet(self.annotations)

        @contextmanager
        def open_shard(shard: Shard) -> Iterator[OpenShard[PhotoRows]]:
            with self.reader.open_shard(shard) as source:

                def treat(records: Sequence[ImageRecord], steps: Steps) -> list[PhotoRows]:
                    return [self._rows(record, source, known, steps) for record in records]

                yield OpenShard(treat)

        body = Body(
            open=open_shard,
            count=lambda rows: rows.counts,
            write=lambda index, rows: write_views(self.folder, index, rows),
            is_failed=lambda rows: rows.reason not in ("", NO_FACE),
        )
        with shard_worker(body, self.n_threads) as work:
            yield work

    def _rows(
        self, record: ImageRecord, source: ShardReader, known: AnnotationSet, steps: Steps
    ) -> PhotoRows:
        """Cut one photograph up; never raises for a bad one."""
        person, split = self.who[record.image_id]
        who = (record.image_id, person, split)
        try:
            with steps.waiting("read"):
                data = source.read(record)
            row = known.find(record)
            faces = self._faces(row, data)
            if not faces:
                message = "No face in it is large enough and sure enough."
                return PhotoRows((ViewRow(*who, reason=NO_FACE, message=message),))
            with steps("decode"):
                image, _ = decode_image(data, max_pixels=self.config.max_pixels, check_end=False)
            with steps("cut"):
                everything = [] if row is None else row.regions
                cuts = [cut_view(image, face, self.config, everything) for face in faces]
        except DecodeError as error:
            return PhotoRows((ViewRow(*who, reason=error.reason, message=str(error)),))
        except RunError:
            raise
        except Exception as error:  # noqa: BLE001  one bad file never stops the run
            message = describe_failure(record.image_id, error)
            return PhotoRows((ViewRow(*who, reason="error", message=message),))
        return PhotoRows(tuple(ViewRow(*who, cut=each) for each in cuts))

    def _faces(self, row: Annotations | None, data: bytes) -> list[Region]:
        if row is None or row.status is not Status.LOOKED:
            raise DecodeError("not-looked", "The annotation set does not say what is in it.")
        if row.sha256 and row.sha256 != sha256_hex(data):
            raise DecodeError("changed", "The file is not the one that was searched.")
        return [
            region
            for region in row.regions
            if region.kind == FACE
            and region.passes(self.config.min_score)
            and _shorter_side(region.box_xyxy) >= self.config.least_side_px
        ]


def _shorter_side(box_xyxy: BoxXyxy) -> float:
    x0, y0, x1, y1 = box_xyxy
    return min(x1 - x0, y1 - y0)


def cut_view(
    image: Image, face: Region, config: ViewConfig, regions: Sequence[Region] = ()
) -> CutView:
    """Cut one face out with what is around it, clear.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        face: Where.
        config: ``context``, ``room``, ``enlarge`` and ``stored_px`` are used.
        regions: All regions of the photograph. The largest is drawn first at use, so that those
            smaller than the face are still hidden at its turn.

    Raises:
        ConfigError: If the face lies outside of the image.
    """
    height, width = image.shape[:2]

    def covered(regions: Sequence[Region]) -> list[IntBox]:
        around = outer_pixels(enlarge(region_boxes(regions), config.enlarge), (width, height))
        return [tuple(each) for each in around.tolist()]

    (core,) = covered([face])
    if core[0] >= core[2] or core[1] >= core[3]:
        raise ConfigError(f"The face {face.box_xyxy} lies outside of its image. Correct its box.")
    square = view_square(core, config.context * config.room)
    side = config.stored_px
    scale = side / (square[2] - square[0])
    x, y = square[:2]

    def placed(box: IntBox) -> BoxXyxy:
        x0, y0, x1, y1 = box
        return (x0 - x) * scale, (y0 - y) * scale, (x1 - x) * scale, (y1 - y) * scale

    others = [
        placed(each)
        for each in covered(regions)
        if _area(each) < _area(core) and _meet(each, square)
    ]
    picture = cut(image, square, (side, side))
    inside = placed((0, 0, width, height))
    return CutView(picture, placed(core), inside, tuple(others), scale)


def _area(box: IntBox) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _meet(box: IntBox, square: BoxXyxy) -> bool:
    return all(box[at] < square[at + 2] and square[at] < box[at + 2] for at in (0, 1))
