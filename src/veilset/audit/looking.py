# SPDX-License-Identifier: Apache-2.0
"""Look: images and their annotation set in, the same set with what was estimated out.

Every image is opened once, for all that is estimated together. The look is a run of its own,
in a folder inside the audit: it takes hours where counting takes seconds, and goes on where
it was stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from veilset.annotations.store import AnnotationSet
from veilset.audit.annotated import GONE, AnnotatedImages
from veilset.audit.config import OFF, AuditConfig
from veilset.audit.estimators import Estimators, open_estimators
from veilset.audit.seen import Seen, tell_failures, write_seen
from veilset.engine.cores import threads_per_process
from veilset.engine.drive import OnProgress, drive
from veilset.engine.roots import roots_of
from veilset.engine.shard_work import Body, OpenShard, describe_failure, shard_worker
from veilset.engine.steps import Steps
from veilset.errors import ConfigError, DecodeError, MissingExtraError, PluginError, RunError
from veilset.files import sha256_hex
from veilset.images.decode import decode_image
from veilset.plugins import make_engine
from veilset.protocols import EngineSettings, FaceEstimator, Places, Reader, ShardWork
from veilset.runs import Run, RunSummary
from veilset.types import Annotations, Image, ImageRecord, Region, Status

STAGE = "look"

ESTIMATES = ("age", "age_low", "age_high", "gender", "gender_score")
"""Attributes that an estimate replaces: one of another model must not pass for this one's."""

_FACE, _NSFW = "face", "nsfw"
_GPU_BATCH = 8

# These are not about one image: the next would fail as well.
_OF_THE_RUN = (RunError, PluginError, ConfigError, MissingExtraError)

Answer = TypeVar("Answer")


def look_dataset(
    photos: Reader,
    annotations: AnnotationSet,
    out: Path,
    config: AuditConfig,
    estimators: Estimators,
    *,
    workers: int,
    engine: str | EngineSettings = "local",
    on_progress: OnProgress | None = None,
) -> RunSummary:
    """Open every searched image once, and write down what the estimators say.

    The new set has the rows of ``annotations`` (those below ``config.within``) in the same
    order, with the same regions in the same order. Faces get the attributes that were
    estimated; what was found for review stands behind the other regions. An image that was
    not searched is not opened. One that cannot be opened keeps its row, without estimates;
    one whose bytes are not those that were annotated becomes ``could_not_look``, since its
    regions are of another picture.

    Run again with the same arguments, it goes on where it was stopped.

    Args:
        photos: The data set.
        annotations: Finished annotation set of its images.
        out: Folder for the new annotation set.
        config: Settings of the audit.
        estimators: What to look with, made for ``config``.
        workers: Threads. Does not change the result.
        engine: Name of the engine plugin, or its settings.
        on_progress: Called as images end.

    Returns:
        Counts: see ``Seen.counts``. ``extra["failures"]`` tells what went wrong.

    Raises:
        AnnotationError: If the set was made without its images, or is of others.
        ResumeMismatchError: If the folder holds a look with other settings or inputs.
        DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    annotations.require_images()
    images = AnnotatedImages(annotations, photos, config.within)
    images.require_some()
    runner = make_engine(
        engine, n_threads=workers, threads_per_process=threads_per_process(config.device)
    )
    task = LookTask(images, out, config, workers, estimators)
    with _open_run(images, out, config, estimators) as run:
        drive(run, runner, task, images, shard_size=config.shard_size, on_progress=on_progress)
        n_shards = sum(1 for _ in run.reports())
        extra = {
            "failures": tell_failures(out, n_shards),
            "looked_at": annotations.manifest,
        }
        return run.finish(models=[card for _, card in estimators.cards()], extra=extra)


def check_look(
    photos: Reader,
    annotations: AnnotationSet,
    out: Path,
    config: AuditConfig,
    estimators: Estimators,
) -> None:
    """Make sure that the look in a folder can be gone on with; the arguments are its own.

    Raises:
        ResumeMismatchError, RunError: As ``look_dataset``.
    """
    with _open_run(AnnotatedImages(annotations, photos, config.within), out, config, estimators):
        pass


def _open_run(
    images: AnnotatedImages, out: Path, config: AuditConfig, estimators: Estimators
) -> Run:
    described = {
        **estimators.describe(config),
        "within": config.within.strip("/"),
        "max_pixels": config.max_pixels,
        "shard_size": config.shard_size,
    }
    return Run.open(out, STAGE, described, images.describe())


@dataclass(slots=True)
class LookTask:
    """The work on shards; without its estimators, it makes them where it runs."""

    images: AnnotatedImages
    folder: Path
    config: AuditConfig
    n_threads: int
    estimators: Estimators | None = None

    def __getstate__(self) -> tuple[object, ...]:
        source = (self.images.known.folder, self.images.photos, self.images.within)
        return *source, self.folder, self.config, self.n_threads

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        known, photos, within, *rest = state
        images = AnnotatedImages(AnnotationSet(known), photos, within)
        # Made anew as by a call; mypy wants __init__ called on classes only.
        self.__init__(images, *rest)  # type: ignore[misc]

    def places(self) -> Places:
        """Give the paths that the work touches."""
        reads = (*roots_of(self.images.photos), self.images.known.folder)
        return Places(self.folder, reads=reads)

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        """Make the estimators and the threads; give the work."""
        estimators = self.estimators or open_estimators(self.config, self.n_threads)

        def treat(records: Sequence[ImageRecord], steps: Steps) -> list[Seen]:
            opened = [self._open(record, steps) for record in records]
            return _look(estimators, opened, steps)

        sizes = [estimators.nsfw.batch_size] if estimators.nsfw else []
        if estimators.classify and self.config.device != "cpu":
            sizes.append(_GPU_BATCH)
        body = Body(
            open=lambda _shard: nullcontext(OpenShard(treat)),
            count=Seen.counts,
            write=lambda index, rows: write_seen(self.folder, index, rows),
            is_failed=lambda seen: bool(seen.reason),
            batch_size=max([1, *sizes]),
        )
        with shard_worker(body, self.n_threads) as work:
            yield work

    def _open(self, record: ImageRecord, steps: Steps) -> tuple[Seen, Image | None]:
        """Read and decode a searched image; whatever goes wrong is written down."""
        with steps("annotations"):
            row = self.images.known.find(record)
        if row.status is not Status.LOOKED:
            return Seen(row), None
        if self.config.demographics != OFF:
            row = replace(row, regions=tuple(map(_without_estimates, row.regions)))
        try:
            if record.problem == GONE:
                raise DecodeError("missing", GONE)
            with steps.waiting("read"):
                data = self.images.read(record)
            with steps("digest"):
                digest = sha256_hex(data)
            if row.sha256 and row.sha256 != digest:
                return _changed(row), None
            if row.sha256 and not self._asks_for_pixels(row):
                return Seen(row, is_open=True), None
            with steps("decode"):
                image, _ = decode_image(data, max_pixels=self.config.max_pixels, check_end=False)
        except DecodeError as error:
            return Seen(row).failed(error.reason, str(error)), None
        except _OF_THE_RUN:
            raise
        except Exception as error:  # noqa: BLE001  one bad file never stops the run
            return Seen(row).failed("error", describe_failure(record.image_id, error)), None
        if row.width and (row.height, row.width) != image.shape[:2]:
            return _changed(row), None
        return Seen(row, is_open=True), image

    def _asks_for_pixels(self, row: Annotations) -> bool:
        """Whether anything is estimated of the image; most have no face."""
        asks_for_all = self.config.classify != OFF or self.config.nsfw_detector != OFF
        return asks_for_all or any(region.kind == _FACE for region in row.regions)


def _without_estimates(region: Region) -> Region:
    if region.kind != _FACE or not any(name in region.attributes for name in ESTIMATES):
        return region
    kept = {name: value for name, value in region.attributes.items() if name not in ESTIMATES}
    return replace(region, attributes=kept)


def _changed(row: Annotations) -> Seen:
    message = "The file is not the one that was annotated. Search it again, into a new folder."
    failed = Annotations(row.image_id, Status.COULD_NOT_LOOK, reason="changed", message=message)
    return Seen(failed).failed("changed", message)


def _look(
    estimators: Estimators, opened: Sequence[tuple[Seen, Image | None]], steps: Steps
) -> list[Seen]:
    """Let every estimator see the images that could be opened."""
    seen = [each for each, _ in opened]
    shown = [(place, image) for place, (_, image) in enumerate(opened) if image is not None]
    if estimators.demographics:
        with steps("estimate faces"):
            for place, image in shown:
                seen[place] = _estimate(estimators.demographics, seen[place], image)
    images = [image for _, image in shown]
    if estimators.classify:
        with steps("classify"):
            guesses = _ask(estimators.classify.classify, images)
        for (place, _), guess in zip(shown, guesses, strict=True):
            if isinstance(guess, Exception):
                seen[place] = _not_told(seen[place], "classified", guess)
            elif guess:
                seen[place] = replace(seen[place], guess=guess[0])
    if estimators.nsfw:
        with steps("search for nsfw"):
            answers = _ask(estimators.nsfw.detect, images)
        for (place, _), found in zip(shown, answers, strict=True):
            if isinstance(found, Exception):
                seen[place] = _not_told(seen[place], "searched for NSFW regions", found)
            else:
                seen[place] = _with_candidates(seen[place], found)
    return seen


def _ask(
    function: Callable[[Sequence[Image]], Sequence[Answer]], images: Sequence[Image]
) -> list[Answer | Exception]:
    """Give the answer for each image; asked for one by one if all together fails."""
    if not images:
        return []
    try:
        answers = list(function(images))
        if len(answers) != len(images):
            raise ValueError(f"{len(answers)} answers for {len(images)} images")
    except _OF_THE_RUN:
        raise
    except Exception as error:  # noqa: BLE001  one bad image never stops the run
        if len(images) == 1:
            return [error]
    else:
        return list(answers)
    # Not above: what one image comes to would seem to follow from what all came to.
    return [answer for image in images for answer in _ask(function, [image])]


def _not_told(seen: Seen, what: str, error: Exception) -> Seen:
    reason = error.reason if isinstance(error, DecodeError) else "error"
    told = describe_failure(seen.row.image_id, error)
    return seen.failed(reason, f"The image could not be {what}. {told}")


def _estimate(estimator: FaceEstimator, seen: Seen, image: Image) -> Seen:
    """Put what is estimated of the faces of one image into their attributes."""
    row = seen.row
    places = [i for i, region in enumerate(row.regions) if region.kind == _FACE]
    if not places:
        return seen
    faces = [row.regions[i] for i in places]
    try:
        answers = [_storable(each) for each in estimator.estimate(image, faces)]
        if len(answers) != len(faces):
            raise ValueError(f"{len(answers)} answers for {len(faces)} faces")
    except _OF_THE_RUN:
        raise
    except Exception as error:  # noqa: BLE001  one bad image never stops the run
        return _not_told(replace(seen, n_faces=len(faces)), "estimated", error)
    regions = list(row.regions)
    for i, answer in zip(places, answers, strict=True):
        regions[i] = replace(regions[i], attributes={**regions[i].attributes, **answer})
    return replace(
        seen,
        row=replace(row, regions=tuple(regions)),
        n_faces=len(faces),
        n_estimated=sum(map(bool, answers)),
    )


def _storable(
    attributes: Mapping[str, str | int | float | bool],
) -> dict[str, str | int | float | bool]:
    """Refuse what JSON cannot hold: one such value would make a whole table unreadable."""
    for name, value in attributes.items():
        if not isinstance(value, str | int | float) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            raise ValueError(f"the attribute {name} is {value!r}")
    return dict(attributes)


def _with_candidates(seen: Seen, found: Sequence[Region]) -> Seen:
    """Add regions for review behind the others, except those that are there already."""
    foreign = next((region.kind for region in found if region.kind != _NSFW), None)
    if foreign is not None:
        raise PluginError(
            f"The detector that was asked for NSFW regions gives regions of kind {foreign!r}. "
            "Name one for NSFW, or none."
        )
    known = {(region.kind, region.box_xyxy) for region in seen.row.regions}
    new = tuple(region for region in found if (region.kind, region.box_xyxy) not in known)
    row = replace(seen.row, regions=(*seen.row.regions, *new))
    return replace(seen, row=row, n_found=len(new))
