# SPDX-License-Identifier: Apache-2.0
"""Verify: originals, output and annotation set in, a verdict on every image out.

The release gate. It trusts nothing that obfuscation says beyond the method and the policy:
what has to be hidden, and whether it is, is computed again. Whatever cannot be checked
counts against the release.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from veilset.annotations.known import open_known
from veilset.dataset.folder import check_apart
from veilset.dataset.locations import local_path, location_of
from veilset.dataset.places import open_reader
from veilset.dataset.stores import open_store
from veilset.engine.cores import threads_per_process
from veilset.engine.drive import OnProgress, drive
from veilset.engine.held import held
from veilset.engine.roots import roots_of
from veilset.engine.shard_work import Body, OpenShard, describe_failure, shard_worker
from veilset.engine.steps import Steps
from veilset.engine.threads import resolve_workers
from veilset.errors import DecodeError, RunError
from veilset.plugins import make_engine
from veilset.protocols import EngineSettings, Places, Shard, ShardWork
from veilset.records.places import record_folder
from veilset.records.removals import require_settled
from veilset.records.verdicts import ImageVerdict, Level, Verdict, write_verdicts
from veilset.runs import FINISHED, STARTED, Run, RunSummary, discard_run, json_bytes
from veilset.types import ImageRecord
from veilset.verify.checks import Exam, Examiner
from veilset.verify.config import VerifyConfig, effort_above
from veilset.verify.contract import Contract, read_contract
from veilset.verify.former import Former, usable_former
from veilset.verify.manifest import write_manifest
from veilset.verify.redetect import (
    MIN_COVERED,
    Eyes,
    covered_share,
    missed_faces,
    open_eyes,
    sample_share,
    search,
)
from veilset.verify.release import count_verdict, describe_release
from veilset.verify.trees import Entry, Trees

__all__ = ["VerifyConfig", "verify_dataset"]

log = logging.getLogger(__name__)


def verify_dataset(
    photos: str | Path,
    out: str | Path,
    annotations: str | Path,
    config: VerifyConfig | None = None,
    *,
    record: str | Path | None = None,
    workers: int | None = None,
    layout: str = "auto",
    engine: str | EngineSettings = "local",
    reuse: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> RunSummary:
    """Check an obfuscated data set against its originals, as an attacker would.

    Every name is judged that is among the originals, in the output or in the record of
    the obfuscation. Killed and run again, it goes on where it stopped; if anything changed
    meanwhile, or the settings of a finished verification did, it starts anew.

    Args:
        photos: Folder of the originals.
        out: The output of the obfuscation.
        annotations: The annotation set that it was made with, or the redaction layer.
        config: Settings; None for the defaults.
        record: Folder of records, which holds ``obfuscate``; None for ``OUT.veilset``. The
            verdicts and the release manifest go into its folder ``verify``.
        workers: Threads; None for all cores. Does not change the result.
        layout: ``auto`` to look which it is, or its name (``docs/layouts.md``).
        engine: Name of the engine plugin, or its settings.
        reuse: Folder with the records ``annotations``, ``obfuscate`` and ``verify`` of the
            release before it was updated. A verdict of it stands where the same settings meet
            the same original, output and regions. Does not change the result.
        on_progress: Called as images end.

    Returns:
        Counts: images by verdict (``passed``, ``review``, ``leak``, ``error``, ``absent``),
        findings by code. ``extra["overall"]`` is ``passed``, or ``leaks`` if an image has a
        leak, or ``errors`` if one could not be checked.

    Raises:
        ConfigError, DatasetError, PluginError, RunError: See ``veilset.errors``.
    """
    config = config or VerifyConfig()
    photos, out, annotations = location_of(photos), location_of(out), Path(annotations)
    base = local_path(record, "The record") if record else record_folder(out)
    source, folder = base / "obfuscate", base / "verify"
    check_apart(photos, out)
    for place in (photos, out):
        check_apart(place, folder)
    require_settled(base)
    trees = Trees(open_reader(photos, layout), out, source)
    contract = read_contract(source, annotations)
    # Here, not first on the worker: a method that is not installed stops it at once.
    contract.make_obfuscator()
    effort = config.effort or effort_above(contract.effort)
    n_threads = resolve_workers(workers)
    runner = make_engine(
        engine, n_threads=n_threads, threads_per_process=threads_per_process(config.device)
    )
    eyes = open_eyes(config, effort, n_threads)
    state = trees.state()
    inputs = {
        **trees.describe(),
        "annotations_sha256": contract.annotations_sha256,
        "record_sha256": contract.record_sha256,
        "state": state,
    }
    manifest = _manifest(config, effort, eyes)
    former = usable_former(Path(reuse), manifest, source) if reuse is not None else None
    task = VerifyTask(trees, annotations, folder, contract, config, effort, n_threads, former, eyes)
    _discard_outdated(folder, manifest, inputs)
    with Run.open(folder, "verify", manifest, inputs) as run:
        drive(run, runner, task, trees, shard_size=config.shard_size, on_progress=on_progress)
        if trees.state() != state:
            raise RunError(
                f"Files in {open_store(photos).root} or {trees.out.root} changed while they were "
                "verified. Wait until nothing writes there, then run the same command again."
            )
        release = describe_release(run.reports(), contract, manifest, eyes.cards)
        digest = write_manifest(folder, sum(1 for _ in run.reports()), release)
        extra = {**release, "manifest_sha256": digest, "skipped_detectors": eyes.skipped}
        return run.finish(models=eyes.cards, extra=extra)


@dataclass(slots=True)
class VerifyTask:
    """The work of the stage on shards; without its detectors, it builds them where it runs."""

    trees: Trees
    annotations: Path
    folder: Path
    contract: Contract
    config: VerifyConfig
    effort: str
    n_threads: int
    former: Path | None = None
    eyes: Eyes | None = None

    def __getstate__(self) -> tuple[object, ...]:
        names = [field.name for field in fields(self) if field.name != "eyes"]
        return tuple(getattr(self, name) for name in names)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        # Made anew as by a call; mypy wants __init__ called on classes only.
        self.__init__(*state)  # type: ignore[misc]

    def places(self) -> Places:
        """Give the paths that the work touches."""
        trees = self.trees
        reads = (*roots_of(trees.photos, trees.out), trees.record, self.annotations)
        former = (self.former,) if self.former else ()
        return Places(self.folder, reads=(*reads, *former))

    @contextmanager
    def open(self) -> Iterator[ShardWork]:
        """Build the detectors and the threads; give the work."""
        eyes = self.eyes or open_eyes(self.config, self.effort, self.n_threads)
        is_all = self.config.recheck == "sample"
        n_sampled_from = self.contract.n_written if is_all else self.contract.n_untouched
        examiner = Examiner(
            trees=self.trees,
            annotations=open_known(self.annotations),
            contract=self.contract,
            obfuscator=self.contract.make_obfuscator(),
            config=self.config,
            sample=sample_share(self.config, n_sampled_from),
            former=Former.open(self.former) if self.former else None,
        )

        @contextmanager
        def open_shard(_shard: Shard) -> Iterator[OpenShard[ImageVerdict]]:
            reused: list[str] = []

            def treat(records: Sequence[ImageRecord], steps: Steps) -> list[ImageVerdict]:
                rows: list[ImageVerdict] = []
                opened = (examiner.examine(_entry(record), steps) for record in records)
                for exams in held(opened, _n_pixels):
                    reused.extend(exam.entry.image_id for exam in exams if exam.taken)
                    _look_again(exams, eyes, self.contract, self.config, steps)
                    rows += [exam.verdict() for exam in exams]
                return rows

            yield OpenShard(treat, n_reused=lambda: len(reused))

        body = Body(
            open=open_shard,
            count=count_verdict,
            write=lambda index, rows: write_verdicts(self.folder, index, rows),
            is_failed=lambda row: row.verdict in (Verdict.LEAK, Verdict.ERROR),
            batch_size=eyes.batch_size,
        )
        with shard_worker(body, self.n_threads) as work:
            yield work


def _entry(record: ImageRecord) -> Entry:
    if not isinstance(record, Entry):
        raise TypeError(f"verify works on Entry, not on {type(record).__name__}")
    return record


def _n_pixels(exam: Exam) -> int:
    return sum(each.shape[0] * each.shape[1] for each in exam.renderings)


def _look_again(
    exams: Sequence[Exam], eyes: Eyes, contract: Contract, config: VerifyConfig, steps: Steps
) -> None:
    """Let every detector search the outputs that are to be searched."""
    chosen = [(exam, exam.renderings) for exam in exams if exam.renderings]
    images = [renderings for _, renderings in chosen]
    for name, detector in eyes.detectors.items():
        with steps("detect" if name == config.detector else f"detect {name}"):
            answers = search(detector, images)
        for (exam, renderings), answer in zip(chosen, answers, strict=True):
            if isinstance(answer, DecodeError):
                exam.add("check-failed", Level.ERROR, str(answer))
                continue
            if isinstance(answer, Exception):
                what = f"{exam.entry.image_id} (detector {name!r})"
                exam.add("check-failed", Level.ERROR, describe_failure(what, answer))
                continue
            found = [region for region in answer if contract.concerns(region.kind)]
            size_wh = (renderings[0].shape[1], renderings[0].shape[0])
            missed = list(missed_faces(name, found, exam.cores, size_wh, config.leak_score))
            exam.findings += missed
            n_drawn = sum(
                covered_share(region.box_xyxy, exam.drawn, size_wh) >= MIN_COVERED
                for region in found
            )
            exam.n_drawn_detected += n_drawn
            exam.n_still_detected += len(found) - len(missed) - n_drawn
    for exam, _ in chosen:
        exam.renderings = ()


def _manifest(config: VerifyConfig, effort: str, eyes: Eyes) -> dict[str, Any]:
    """Give what decides the result, for the run manifest: resolved, not as asked for."""
    detectors = {
        name: {"settings": dict(each.settings), "weights_sha256": each.card.sha256}
        for name, each in eyes.detectors.items()
    }
    return {
        "detectors": detectors,
        "effort": effort,
        "leak_score": config.leak_score,
        "recheck": config.recheck,
        "recheck_sample": config.recheck_sample,
        "recheck_minimum": config.recheck_minimum,
        "max_pixels": config.max_pixels,
        "seed": config.seed,
        "shard_size": config.shard_size,
    }


def _discard_outdated(folder: Path, manifest: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Start anew if what was verified is not what is there now.

    A gate must speak of the files as they are. Other settings start a finished
    verification anew as well; an unfinished one is refused by ``Run.open`` instead.
    """
    try:
        before = json.loads((folder / STARTED).read_bytes())
    except FileNotFoundError:
        return
    except ValueError:
        before = None
    # What cannot be read is of nothing that is there now.
    before = before if isinstance(before, dict) else {}
    is_same_input = before.get("inputs") == json.loads(json_bytes(inputs))
    is_same_config = before.get("config") == json.loads(json_bytes(manifest))
    if not is_same_input or (not is_same_config and (folder / FINISHED).exists()):
        log.info("What %s verified is not what is there now: it starts anew.", folder)
        discard_run(folder)
