# SPDX-License-Identifier: Apache-2.0
"""The records of a release after images were withdrawn: outcomes, verdicts, release manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from veilset.records.amend import Amendment
from veilset.records.outcomes import (
    OutcomeTable,
    count_outcome,
    removed_outcome,
    sample_failed,
    write_outcomes,
)
from veilset.records.removals import Removal
from veilset.records.verdicts import ImageVerdict, Verdict, VerdictTable, write_verdicts
from veilset.verify.manifest import write_manifest
from veilset.verify.release import count_verdict, recount_release

AMENDED = "amended"
"""State of the files, in a verification that was not done anew: it never is that of any."""

_NOT_OF_RELEASE = ("manifest_sha256", "skipped_detectors")


def amend_outcomes(made: Amendment, removals: Iterable[Removal], at: str) -> str:
    """Say in the record of obfuscation that images are not in the output any more.

    Args:
        made: The record.
        removals: What was withdrawn, images of their samples among it.
        at: When it was asked for, UTC.

    Returns:
        Digest of the outcomes as they are now.
    """
    gone = {each.image_id: each for each in removals}
    table = OutcomeTable(made.folder)
    for index in table.shards_of(gone):
        rows = table.read_shard(index)
        for at_row, row in enumerate(rows):
            if removal := gone.get(row.image_id):
                make = sample_failed if removal.because_of else removed_outcome
                rows[at_row] = make(row.image_id, row.sha256_in)
        counts = _summed(map(count_outcome, rows))
        made.put(index, counts, write_outcomes(made.folder, index, rows))
    digest = made.outputs_sha256()
    made.settle(inputs={}, extra={}, at=at)
    return digest


def speaks_of(verified: Amendment, record_digests: Collection[str]) -> bool:
    """Whether a verification is of outcomes with one of these digests."""
    return verified.manifest["inputs"].get("record_sha256") in record_digests


def listed_digests(verified: Amendment, containers: Iterable[str]) -> dict[str, str]:
    """Give the digests of containers as they were verified."""
    table = VerdictTable(verified.folder)
    wanted = set(containers)
    rows = (row for index in table.shards_of(wanted) for row in table.read_shard(index))
    return {row.image_id: row.sha256 for row in rows if row.image_id in wanted}


def amend_verdicts(
    verified: Amendment,
    removals: Iterable[Removal],
    containers: Mapping[str, tuple[str, int]],
    record_sha256: str,
    at: str,
) -> str:
    """Take images out of a verification and its release manifest; the others stay judged.

    Args:
        verified: The record of the verification.
        removals: What was withdrawn, images of their samples among it.
        containers: Digest and size of each container that was written anew, by name.
        record_sha256: Digest of the outcomes as they are now.
        at: When it was asked for, UTC.

    Returns:
        SHA-256 of ``manifest.json``, lower-case hex.
    """
    gone = {each.image_id for each in removals}
    table = VerdictTable(verified.folder)
    for index in table.shards_of([*gone, *containers]):
        rows = [_amended(row, gone, containers) for row in table.read_shard(index)]
        counts = _summed(map(count_verdict, rows))
        verified.put(index, counts, write_verdicts(verified.folder, index, rows))
    before: Mapping[str, Any] = verified.manifest["extra"]
    release = recount_release(
        {name: value for name, value in before.items() if name not in _NOT_OF_RELEASE},
        verified.entries(),
        record_sha256,
    )
    digest = write_manifest(verified.folder, int(verified.manifest["n_shards"]), release)
    verified.settle(
        # The next verification has to look at all files anew.
        inputs={"record_sha256": record_sha256, "state": AMENDED},
        extra={**release, "manifest_sha256": digest},
        at=at,
    )
    return digest


def _amended(
    row: ImageVerdict, gone: Collection[str], containers: Mapping[str, tuple[str, int]]
) -> ImageVerdict:
    if row.image_id in gone:
        return ImageVerdict(row.image_id, Verdict.ABSENT)
    if row.image_id in containers:
        digest, n_bytes = containers[row.image_id]
        return replace(row, sha256=digest, n_bytes=n_bytes)
    return row


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
