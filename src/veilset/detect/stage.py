# SPDX-License-Identifier: Apache-2.0
"""Detect: images in, annotation set out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.dataset.folder import SHARD_SIZE, check_apart
from veilset.dataset.locations import local_path, location_of
from veilset.dataset.places import open_reader
from veilset.engine.cores import threads_per_process
from veilset.engine.drive import OnProgress, drive
from veilset.engine.held import held
from veilset.engine.roots import roots_of
from veilset.engine.shard_work import Body, OpenShard, describe_failure, shard_worker
from veilset.engine.steps import Steps
from veilset.engine.threads import resolve_workers
from veilset.errors import BrokenPluginError, DecodeError, RunError
from veilset.files import sha256_hex
from veilset.images.decode import DEFAULT_MAX_PIXELS
from veilset.images.renderings import decode_renderings
from veilset.networks.searching import search_renderings
from veilset.networks.weights import check_licence
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
from veilset.records.former import open_former
from veilset.runs import Run, RunSummary
from veilset.types import Annotations, Image, ImageRecord, Status

_Opened: TypeAlias = tuple[Annotations, tuple[Image, ...]]
# A row and the renderings to be searched, none where there is nothing to search.


@dataclass(frozen=True, slots=True)
class DetectConfig:
    """Everything that decides what is detected.

    Attributes:
        detector: Name of the detector plugin.
        weights: Path of a weight file, for detectors that bring none.
        weights_licence: Licence of that file, as its owner states it.
        effort: ``fast``, ``balanced`` or ``thorough``.
        threshold: Lowest score that counts, in [0, 1]; None for the detector's choice.
        device: ``cpu`` or ``cuda``.
        precision: ``full`` or ``fast``.
        runtime: ``auto``, ``openvino`` or ``onnxruntime``.
        commercial_ok: Refuse weights unless their licence allows commercial use.
        max_pixels: Images with more pixels are refused before they are decoded.
        shard_size: Images in a shard, the unit of work and of resume.
    """

    detector: str = "centerface"
    weights: str | None = None
    weights_licence: str = ""
    effort: str = "balanced"
    threshold: float | None = None
    device: str = "cpu"
    precision: str = "full"
    runtime: str = "auto"
    commercial_ok: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    shard_size: int = SHARD_SIZE

    def settings(self, n_threads: int) -> DetectorSettings:
        """Give what the detector has to know."""
        return DetectorSettings(
            weights=self.weights,
            weights_licence=self.weights_licence,
            effort=self.effort,
            threshold=self.threshold,
            device=self.device,
            precision=self.precision,
            runtime=self.runtime,
            n_threads=n_threads,
        )


def detect_dataset(
    photos: str | Path,
    out: str | Path,
    config: DetectConfig | None = None,
    *,
    workers: int | None = None,
    layout: str = "auto",
    engine: str | EngineSettings = "local",
    reuse: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> RunSummary:
    """Search every image of a data set for faces, and write an annotation set.

    Run again with the same arguments, it goes on where it was stopped. An image that
    cannot be read becomes a row with the status ``could_not_look`` and the reason.

    Args:
        photos: Folder of images.
        out: Folder for the annotation set; it must not lie in ``photos``.
        config: Settings; None for the defaults.
        workers: Threads; None for all cores. Does not change the result.
        layout: ``auto`` to look which it is, or its name (``docs/layouts.md``).
        engine: Name of the engine plugin, or its settings.
        reuse: Finished annotation set of an earlier detection with the same settings: what it
            says of an image with the same name and content is taken over. Does not change the
            result.
        on_progress: Called as images end.

    Returns:
        Counts: images by status (``looked``, ``could_not_look``), ``with_regions``,
        ``n_regions`` and ``reused``. What is in the folder but is no image is counted in ``extra``.

    Raises:
        ConfigError, DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    config = config or DetectConfig()
    photos, out = location_of(photos), local_path(out, "An annotation set")
    reader = open_reader(photos, layout)
    check_apart(photos, out)
    n_threads = resolve_workers(workers)
    runner = make_engine(
        engine, n_threads=n_threads, threads_per_process=threads_per_process(config.device)
    )
    detector = make_detector(config.detector, config.settings(n_threads))
    check_licence(detector.card, commercial=config.commercial_ok)
    manifest = _manifest(config, detector)
    if reuse is not None:
        open_former(Path(reuse), "detect", manifest)
    former = Path(reuse) if reuse is not None else None
    task = DetectTask(reader, out, config, n_threads, former, detector)
    with Run.open(out, "detect", manifest, reader.describe()) as run:
        drive(run, runner, task, reader, shard_size=config.shard_size, on_progress=on_progress)
        return run.finish(models=[detector.card], extra={"ignored": dict(reader.passed_over())})


def check_reuse(folder: Path, config: DetectConfig) -> None:
    """Refuse to take over what was detected in another way.

    Args:
        folder: Annotation set of the earlier detection.
        config: Settings of the one that is to take its results over.

    Raises:
        ConfigError, DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    detector = make_detector(config.detector, config.settings(n_threads=1))
    open_former(folder, "detect", _manifest(config, detector))


@dataclass(slots=True)
class DetectTask:
    """The work of the stage on shards; without its detector, it builds one where it runs."""

    reader: Reader
    folder: Path
    config: DetectConfig
    n_threads: int
    former: Path | None = None
    detector: Detector | None = None

    def __getstate__(self) -> tuple[object, ...]:
        return self.reader, self.folder, self.config, self.n_threads, self.former

    def __setstate__(self, state: tuple[object, ...]) -> None:
        # Made anew as by a call; mypy wants __init__ called on classes only.
        self.__init__(*state)  # type: ignore[misc]

    def places(self) -> Places:
        """Give the paths that the work touches."""
        weights = [Path(self.config.weights)] if self.config.weights else []
        former = [self.former] if self.former else []
        return Places(self.folder, reads=(*roots_of(self.reader), *weights, *former))

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        """Build the detector and the threads; give the work."""
        detector = self.detector or make_detector(
            self.config.detector, self.config.settings(self.n_threads)
        )
        former = AnnotationSet(self.former) if self.former else None

        @contextmanager
        def open_shard(shard: Shard) -> Iterator[OpenShard[Annotations]]:
            reused: list[str] = []
            with self.reader.open_shard(shard) as source:

                def treat(records: Sequence[ImageRecord], steps: Steps) -> list[Annotations]:
                    rows: list[Annotations] = []
                    opened = (
                        _open(source, record, self.config, steps, former) for record in records
                    )
                    for group in held(opened, _n_pixels):
                        reused.extend(
                            r.image_id for r, i in group if not i and r.status is Status.LOOKED
                        )
                        with steps("detect"):
                            rows += _search(detector, group)
                    return rows

                yield OpenShard(treat, n_reused=lambda: len(reused))

        body = Body(
            open=open_shard,
            count=_count,
            write=lambda index, rows: write_annotations(self.folder, index, rows),
            is_failed=lambda row: row.status is not Status.LOOKED,
            batch_size=detector.batch_size,
        )
        with shard_worker(body, self.n_threads) as work:
            yield work


def _open(
    source: ShardReader,
    record: ImageRecord,
    config: DetectConfig,
    steps: Steps,
    former: AnnotationSet | None,
) -> _Opened:
    """Read and decode one image; whatever goes wrong becomes the row's reason.

    An image that was searched before comes with what was found, and is not decoded.
    """
    try:
        with steps.waiting("read"):
            data = source.read(record)
        with steps("digest"):
            digest = sha256_hex(data)
        known = former.find(record) if former else None
        if known and known.status is Status.LOOKED and known.sha256 == digest:
            return known, ()
        with steps("decode"):
            renderings, _ = decode_renderings(data, max_pixels=config.max_pixels)
    except DecodeError as error:
        return _failed(record.image_id, error.reason, str(error)), ()
    except RunError:
        # The place of the images is out of reach: see _search.
        raise
    except Exception as error:  # noqa: BLE001  one bad file never stops the run
        message = describe_failure(record.image_id, error)
        return _failed(record.image_id, "error", message), ()
    height, width = renderings[0].shape[:2]
    row = Annotations(
        record.image_id,
        Status.LOOKED,
        width=width,
        height=height,
        sha256=digest,
        n_bytes=len(data),
    )
    return row, renderings


def _n_pixels(opened: _Opened) -> int:
    row, renderings = opened
    return row.width * row.height * len(renderings)


def _search(detector: Detector, opened: Sequence[_Opened]) -> list[Annotations]:
    """Search the images that could be opened, together; one by one if that fails."""
    images = [renderings for _, renderings in opened if renderings]
    try:
        found = iter(search_renderings(detector, images) if images else [])
    except (RunError, BrokenPluginError):
        # A service is out of reach or refuses the account: every further image would be
        # written down as one that could not be looked at, and a resumed run passes over it. So
        # would those of a detector that does not answer for each of them.
        raise
    except Exception as error:  # noqa: BLE001  one bad image never stops the run
        if len(opened) == 1:
            image_id = opened[0][0].image_id
            if isinstance(error, DecodeError):
                return [_failed(image_id, error.reason, str(error))]
            return [_failed(image_id, "error", describe_failure(image_id, error))]
    else:
        return [replace(row, regions=next(found)) if shown else row for row, shown in opened]
    # Not above: what one image comes to would seem to follow from what all came to.
    return [row for pair in opened for row in _search(detector, [pair])]


def _failed(image_id: str, reason: str, message: str) -> Annotations:
    return Annotations(image_id, Status.COULD_NOT_LOOK, reason=reason, message=message)


def _count(row: Annotations) -> dict[str, int]:
    counts = {row.status.value: 1, "n_regions": len(row.regions)}
    if row.regions:
        counts["with_regions"] = 1
    return counts


def _manifest(config: DetectConfig, detector: Detector) -> dict[str, object]:
    """Give what decides the result, for the run manifest: resolved, not as asked for."""
    return {
        "detector": config.detector,
        "detector_settings": dict(detector.settings),
        "weights_sha256": detector.card.sha256,
        "max_pixels": config.max_pixels,
        "shard_size": config.shard_size,
    }
