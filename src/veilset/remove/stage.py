# SPDX-License-Identifier: Apache-2.0
"""Remove: images out of a finished release, and out of its records, for good.

First it is written down what is to go, then it goes, then the records are amended. Killed at
any instant, the same command ends what was begun.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from veilset.dataset.locations import Location, local_path, location_of
from veilset.dataset.places import open_release, open_writer
from veilset.errors import ConfigError, RunError, VeilsetError
from veilset.protocols import Reader
from veilset.records.amend import Amendment
from veilset.records.outcomes import ImageOutcome, OutcomeTable
from veilset.records.places import record_folder
from veilset.records.removals import (
    Pending,
    Removal,
    Removals,
    append_to_log,
    clear_pending,
    log_size,
    read_pending,
    require_settled,
    write_pending,
)
from veilset.remove.choose import RemoveConfig, choose
from veilset.remove.record import amend_outcomes, amend_verdicts, listed_digests, speaks_of
from veilset.remove.take_out import (
    check_unchanged,
    containers_of,
    digest_file_of,
    files_with_images,
    take_out,
)
from veilset.report.stage import write_report
from veilset.runs import FINISHED

__all__ = ["RemovalSummary", "RemoveConfig", "remove_images"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemovalSummary:
    """What a removal came to.

    Attributes:
        out: The release.
        record: Folder of its records.
        image_ids: Images that were asked for and withdrawn, in the order of the data set.
        because_of: Images that went because they shared a sample with one of those, each with
            the name of such a one.
        already: Images that were asked for and had been withdrawn before.
        manifest_sha256: Digest of the amended ``manifest.json``; "" if the release was not
            verified, or changed since.
        is_dry_run: Whether nothing was changed.
    """

    out: Location
    record: Path
    image_ids: tuple[str, ...] = ()
    because_of: tuple[tuple[str, str], ...] = ()
    already: tuple[str, ...] = ()
    manifest_sha256: str = ""
    is_dry_run: bool = False


def remove_images(
    out: str | Path,
    config: RemoveConfig | None = None,
    *,
    record: str | Path | None = None,
    dry_run: bool = False,
) -> RemovalSummary:
    """Withdraw images from a finished release, of any layout.

    The files go, in containers with their whole sample; the outcomes, the verdicts and the
    release manifest are amended; the log of removals keeps later runs from releasing them.

    Args:
        out: The output of the obfuscation, a folder or a URL.
        config: Which images, and why; None to finish a removal that was interrupted.
        record: Folder of records; None for ``OUT.veilset``.
        dry_run: Only find out what would go.

    Returns:
        What was withdrawn.

    Raises:
        ConfigError, DatasetError, RunError: See ``veilset.errors``. If an image is not known,
            nothing is withdrawn.
    """
    config = config or RemoveConfig()
    out = location_of(out)
    base = local_path(record, "The record") if record else record_folder(out)
    if dry_run:
        require_settled(base)
    with ExitStack() as stack:
        release = _open(out, base, stack)
        finished = _finish(release) if read_pending(base) else None
        if not config.is_anything:
            if finished is None:
                raise ConfigError(
                    "Say which images are to be removed: by name, by SHA-256, or by a kind of "
                    "region."
                )
            return finished
        chosen = choose(config, OutcomeTable(base / "obfuscate"), Removals.read(base))
        told = finished or RemovalSummary(out, base)
        already = tuple(name for name in chosen.already if name not in told.image_ids)
        told = replace(told, already=already, is_dry_run=dry_run)
        if dry_run:
            return replace(told, image_ids=tuple(row.image_id for row in chosen.rows))
        if not chosen.rows:
            return told
        _begin(release, chosen.rows, config.reason.strip())
        done = _finish(release)
        return replace(
            done,
            image_ids=(*told.image_ids, *done.image_ids),
            because_of=(*told.because_of, *done.because_of),
            already=already,
        )


@dataclass(frozen=True, slots=True)
class _Release:
    """A release that is open to be changed, and held.

    Attributes:
        out: The output.
        base: Folder of its records.
        made: The record of obfuscation.
        verified: That of verification; None without a finished one.
        reader: Reads the output.
    """

    out: Location
    base: Path
    made: Amendment
    verified: Amendment | None
    reader: Reader


def _open(out: Location, base: Path, stack: ExitStack) -> _Release:
    made = stack.enter_context(Amendment.open(base / "obfuscate"))
    verified = None
    if (base / "verify" / FINISHED).exists():
        verified = stack.enter_context(Amendment.open(base / "verify"))
    reader = open_release(out, made.manifest["inputs"])
    return _Release(out, base, made, verified, reader)


def _begin(release: _Release, rows: Sequence[ImageOutcome], reason: str) -> None:
    """Write down what is to go, if it can."""
    base, before = release.base, release.made.outputs_sha256()
    containers = containers_of(release.reader, [row.image_id for row in rows])
    names = files_with_images(release.reader, containers)
    listed = {}
    if release.verified and speaks_of(release.verified, (before,)):
        listed = listed_digests(release.verified, names)
    check_unchanged(release.reader, OutcomeTable(release.made.folder), names, listed)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    removals = tuple(_removal(row, reason, now) for row in rows)
    write_pending(base, Pending(removals, log_size(base), before))


def _finish(release: _Release) -> RemovalSummary:
    """Do what is written down, from wherever it was left."""
    try:
        return _carry_out(release)
    except OSError as error:
        raise RunError(
            f"{error.filename or release.base} cannot be written ({error.strerror}). "
            "Mend that, then run the same command again: it goes on from here."
        ) from error


def _carry_out(release: _Release) -> RemovalSummary:
    base, made, verified = release.base, release.made, release.verified
    pending = read_pending(base)
    if pending is None:
        raise RunError(f"What is to be removed is not written down in {base} any more.")
    append_to_log(base, pending)
    containers = containers_of(release.reader, [each.image_id for each in pending.removals])
    if not pending.is_taken_out:
        pending = _take_out(release, pending, containers)
    at = pending.removals[0].removed_at
    after = amend_outcomes(made, pending.removals, at)
    manifest_sha256 = ""
    if verified and speaks_of(verified, (pending.record_sha256, after)):
        names = files_with_images(release.reader, containers)
        digests = {name: digest_file_of(release.reader, name) for name in names}
        manifest_sha256 = amend_verdicts(verified, pending.removals, digests, after, at)
    _renew_report(release)
    clear_pending(base)
    return RemovalSummary(
        release.out,
        base,
        tuple(each.image_id for each in pending.removals if not each.because_of),
        tuple((each.image_id, each.because_of) for each in pending.removals if each.because_of),
        manifest_sha256=manifest_sha256,
    )


def _take_out(release: _Release, pending: Pending, containers: Mapping[str, set[str]]) -> Pending:
    """Take the images out of the output, and write down what went with them."""
    table = OutcomeTable(release.made.folder)
    writer = open_writer(release.out, like=release.reader)
    first = pending.removals[0]
    went = [
        _removal(row, first.reason, first.removed_at, because_of)
        for row, because_of in take_out(release.reader, writer, table, containers)
    ]
    writer.finish([each.image_id for each in (*pending.removals, *went)])
    pending = replace(pending, removals=(*pending.removals, *went), is_taken_out=True)
    write_pending(release.base, pending)
    append_to_log(release.base, pending)
    return pending


def _removal(row: ImageOutcome, reason: str, at: str, because_of: str = "") -> Removal:
    return Removal(row.image_id, row.sha256_out, row.sha256_in, reason, at, because_of)


def _renew_report(release: _Release) -> None:
    """Write the report beside the records anew: it may show what was withdrawn."""
    page = release.base / "report.html"
    if not page.exists():
        return
    try:
        write_report(release.out, None, release.base, page)
    except VeilsetError as error:
        log.warning("%s cannot be written anew, so it is deleted: %s", page, error)
        for path in (page, page.with_suffix(".json")):
            path.unlink(missing_ok=True)
