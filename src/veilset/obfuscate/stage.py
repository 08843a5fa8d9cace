# SPDX-License-Identifier: Apache-2.0
"""Obfuscate: images and annotation set in, a new data set of the same layout out.

An image reaches the output only if every step for it went well. Everything else is a
recorded failure: never the original in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from veilset.annotations.known import Known, find_known, known_digest, open_known
from veilset.annotations.layer import Layer
from veilset.dataset.folder import check_apart
from veilset.dataset.locations import Location, local_path, location_of
from veilset.dataset.outputs import check_output, make_output
from veilset.dataset.places import open_reader, open_writer
from veilset.dataset.stores import open_store
from veilset.engine.drive import OnProgress, drive
from veilset.engine.roots import roots_of
from veilset.engine.shard_work import Body, OpenShard, describe_failure, shard_worker
from veilset.engine.steps import Steps
from veilset.engine.threads import resolve_workers
from veilset.errors import DatasetError, DecodeError, RunError
from veilset.files import sha256_hex
from veilset.obfuscate.config import ObfuscateConfig, Parameters, resolved
from veilset.obfuscate.former import Former, check_former
from veilset.obfuscate.produce import Treatment, check_known, image_seed, produce
from veilset.plugins import make_engine, make_obfuscator
from veilset.protocols import (
    EngineSettings,
    ModelUser,
    Obfuscator,
    Places,
    Reader,
    Shard,
    ShardReader,
    ShardWork,
    ShardWriter,
    Writer,
)
from veilset.records.outcomes import (
    ImageOutcome,
    Outcome,
    count_outcome,
    not_released,
    removed_outcome,
    sample_failed,
    write_outcomes,
)
from veilset.records.places import record_folder
from veilset.records.removals import Removals, require_settled
from veilset.runs import STARTED, Run, RunSummary
from veilset.tables import ShardedTable
from veilset.types import Image, ImageRecord, Region

__all__ = ["ObfuscateConfig", "obfuscate_dataset", "obfuscate_image"]


def obfuscate_image(
    image: Image,
    regions: Sequence[Region],
    method: str = "veil",
    parameters: Parameters | None = None,
    *,
    seed: int = 0,
) -> Image:
    """Give a copy of one image with the regions made unreadable.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, after EXIF orientation.
        regions: Where; none gives an equal copy.
        method: Name of the obfuscator plugin.
        parameters: Its parameters; None for the defaults.
        seed: Decides whatever is random in the method.

    Returns:
        ``(H, W, 3)`` uint8 RGB; pixels outside the method's footprint are equal.

    Raises:
        UnknownPluginError, ConfigError: If the method or a parameter is not known.
    """
    return make_obfuscator(method, parameters or {}).obfuscate(image, regions, seed=seed)


def obfuscate_dataset(
    photos: str | Path,
    annotations: str | Path,
    out: str | Path,
    config: ObfuscateConfig | None = None,
    *,
    record: str | Path | None = None,
    workers: int | None = None,
    layout: str = "auto",
    engine: str | EngineSettings = "local",
    reuse: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> RunSummary:
    """Write a copy of a data set with every annotated region made unreadable.

    Run again with the same arguments, it goes on where it was stopped.

    Args:
        photos: Folder of images.
        annotations: Finished annotation set of those images; or a redaction layer, a file,
            which finds every image by its content, and decides all but ``max_pixels`` and
            ``shard_size``.
        out: Folder for the new data set: new, empty, or of the run to be resumed.
        config: Settings; None for the defaults.
        record: Folder of records; None for ``OUT.veilset``, beside ``out``. The run is
            recorded in its folder ``obfuscate``.
        workers: Threads; None for all cores. Does not change the result.
        layout: ``auto`` to look which it is, or its name (``docs/layouts.md``).
        engine: Name of the engine plugin, or its settings.
        reuse: Folder with the records ``annotations`` and ``obfuscate`` of the run that filled
            ``out`` before, with the same settings: what it released of images that did not
            change stays, what it released of others goes. Does not change the result.
        on_progress: Called as images end.

    Returns:
        Counts: images by outcome (``obfuscated``, ``untouched``, ``failed``, ``removed``),
        ``n_regions``, ``reused``, and where there are any, ``n_substituted`` with
        ``substituted: REASON`` for each reason: regions that were veiled instead.

    Raises:
        ConfigError, DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    config = config or ObfuscateConfig()
    photos, annotations, out = location_of(photos), Path(annotations), location_of(out)
    record = (local_path(record, "The record") if record else record_folder(out)) / "obfuscate"
    reader = open_reader(photos, layout)
    for place in (out, record):
        check_apart(photos, place)
    check_apart(out, record)
    n_threads = resolve_workers(workers)
    runner = make_engine(engine, n_threads=n_threads)
    known = open_known(annotations)
    if isinstance(known, Layer):
        config = config.of_layer(known)
        obfuscator = known.facts.make_obfuscator()
    else:
        known.require_images()
        known.require_kinds(config.kinds)
        obfuscator = make_obfuscator(config.method, config.parameters)
        # As resolved here: a worker that finds another file under a path refuses it.
        config = replace(config, parameters=dict(obfuscator.card.parameters))
    former = Path(reuse) if reuse is not None else None
    manifest = resolved(config, obfuscator)
    if former:
        check_former(former, manifest, reader.describe())
        if not (record / STARTED).exists():
            Former.open(former, out).require_release(out)
    else:
        check_output(out, record)
    require_settled(record.parent)
    inputs = {
        **reader.describe(),
        "annotations_sha256": known_digest(known),
        "out": open_store(out).describe(),
    }
    writer = open_writer(out, like=reader)
    task = ObfuscateTask(reader, writer, annotations, record, config, n_threads, out, former)
    with Run.open(record, "obfuscate", manifest, inputs) as run:
        make_output(out)
        drive(run, runner, task, reader, shard_size=config.shard_size, on_progress=on_progress)
        if former:
            rows = ShardedTable(record, sum(1 for _ in run.reports()))
            Former.open(former, out).delete_outdated(reader, writer, rows)
        writer.finish(not_released(record, _with_failures(run)))
        return run.finish(models=obfuscator.models if isinstance(obfuscator, ModelUser) else ())


def check_reuse(record: Path, photos: str | Path, out: str | Path, config: ObfuscateConfig,
                *, layout: str) -> None:  # fmt: skip
    """Refuse to take over what was released in another way, or is not in ``out``.

    Args:
        record: Folder with the records ``annotations`` and ``obfuscate`` of the earlier run.
        photos: The data set as it is now.
        out: Output of the earlier run.
        config: Settings of the run that is to take its results over.
        layout: That of the data set.

    Raises:
        ConfigError, DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    manifest = resolved(config, make_obfuscator(config.method, config.parameters))
    check_former(record, manifest, open_reader(location_of(photos), layout).describe())
    Former.open(record, location_of(out)).require_release(location_of(out))


def _with_failures(run: Run) -> Iterator[int]:
    """Go through the indices of the shards that have images which are not in the output."""
    for entry in run.reports():
        if any(each.value in entry["counts"] for each in Outcome if not each.is_released):
            yield entry["index"]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the images of an open shard come from and go to, and what decides whether they do.

    Attributes:
        source: The shard of the originals.
        target: That of the output.
        removals: What must not go there.
        former: What is there from an earlier run; None without one.
        is_container: Whether the shard is one file, which is written anew as a whole.
        reused: Names of the images that were taken over.
    """

    source: ShardReader
    target: ShardWriter
    removals: Removals
    former: Former | None
    is_container: bool
    reused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ObfuscateTask:
    """The work of the stage on shards."""

    reader: Reader
    writer: Writer
    annotations: Path
    record: Path
    config: ObfuscateConfig
    n_threads: int
    out: Location
    former: Path | None = None

    def places(self) -> Places:
        """Give the paths that the work touches."""
        former = (self.former,) if self.former else ()
        reads = (*roots_of(self.reader), self.annotations, *former)
        return Places(self.record, reads=reads, writes=roots_of(self.writer))

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        """Build the obfuscator and the threads; give the work."""
        config = self.config
        obfuscator = make_obfuscator(config.method, config.parameters)
        known = open_known(self.annotations)
        removals = Removals.read(self.record.parent)
        former = Former.open(self.former, self.out) if self.former else None

        @contextmanager
        def open_shard(shard: Shard) -> Iterator[OpenShard[ImageOutcome]]:
            with (
                self.reader.open_shard(shard) as source,
                self.writer.open_shard(shard, source) as target,
            ):
                places = _Places(source, target, removals, former, bool(shard.container))

                def treat(records: Sequence[ImageRecord], steps: Steps) -> list[ImageOutcome]:
                    return [
                        self._release(record, places, known, obfuscator, steps)
                        for record in records
                    ]

                yield OpenShard(
                    treat,
                    lambda rows: _settle(rows, target.withdrawn()),
                    lambda: len(places.reused),
                )

        body = Body(
            open=open_shard,
            count=count_outcome,
            write=lambda index, rows: write_outcomes(self.record, index, rows),
            is_failed=lambda row: row.outcome is Outcome.FAILED,
        )
        with shard_worker(body, self.n_threads) as work:
            yield work

    def _release(
        self,
        record: ImageRecord,
        places: _Places,
        annotations: Known,
        obfuscator: Obfuscator,
        steps: Steps,
    ) -> ImageOutcome:
        """Treat one image and write it, or make sure that nothing of it is in the output."""
        config, image_id, digest = self.config, record.image_id, ""
        try:
            with steps.waiting("read"):
                data = places.source.read(record)
            with steps("digest"):
                digest = sha256_hex(data)
            if places.removals.cover(image_id, digest):
                places.target.discard(record)
                return removed_outcome(image_id, digest)
            known = find_known(annotations, record, digest)
            check_known(known, digest)
            if places.former:
                with steps.waiting("take over"):
                    kept = places.former.find(record, digest, known)
                    if kept:
                        return _keep(record, places, *kept)
            regions = [region for region in known.regions if config.applies_to(region)]
            treatment = Treatment(
                obfuscator,
                config.metadata,
                config.quality,
                image_seed(config.seed, digest),
                config.max_pixels,
            )
            result, substituted = produce(data, known, regions, treatment, steps)
            with steps.waiting("write"):
                places.target.write(record, result)
        except DecodeError as error:
            places.target.discard(record)
            if places.removals.cover(image_id, digest):
                return removed_outcome(image_id, digest)
            return _failed(image_id, digest, error.reason, str(error))
        except (DatasetError, RunError):
            # The annotation set or the output itself is broken: no image can go on.
            raise
        except Exception as error:  # noqa: BLE001  one bad file never stops the run
            places.target.discard(record)
            return _failed(image_id, digest, "error", describe_failure(image_id, error))
        return ImageOutcome(
            image_id,
            Outcome.OBFUSCATED if regions else Outcome.UNTOUCHED,
            n_regions=len(regions),
            sha256_in=digest,
            sha256_out=sha256_hex(result),
            n_bytes_out=len(result),
            substituted=substituted,
        )


def _keep(record: ImageRecord, places: _Places, row: ImageOutcome, data: bytes) -> ImageOutcome:
    """Leave what an earlier run released where it is; into a container it is written again."""
    if places.is_container:
        places.target.write(record, data)
    places.reused.append(record.image_id)
    return row


def _failed(image_id: str, digest: str, reason: str, message: str) -> ImageOutcome:
    return ImageOutcome(image_id, Outcome.FAILED, sha256_in=digest, reason=reason, message=message)


def _settle(rows: list[ImageOutcome], withdrawn: Collection[str]) -> list[ImageOutcome]:
    """Give the rows as they are when images of samples that are not whole have gone."""
    return [
        sample_failed(row.image_id, row.sha256_in) if row.image_id in withdrawn else row
        for row in rows
    ]
