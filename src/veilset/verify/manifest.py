# SPDX-License-Identifier: Apache-2.0
"""The release manifest: every file of the output with its digest, checkable without originals.

``manifest.parquet`` lists the files; ``manifest.json`` says what the release is, and holds
the digest of the list. Whoever keeps or publishes the digest of ``manifest.json`` can show
later that the release is the one that was verified.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from veilset.dataset.stores import Store
from veilset.engine.drive import OnProgress, Progress
from veilset.engine.threads import ordered_map, resolve_workers
from veilset.errors import DatasetError, DecodeError, RunError
from veilset.files import (
    discard_part,
    part_path,
    sha256_file,
    sha256_hex,
    write_atomically,
    writing,
)
from veilset.tables import ShardedTable
from veilset.types import ImageRecord
from veilset.verify.trees import Found, digest_file, keyed, list_tree, open_output

FORMAT = "veilset-release/1"
MANIFEST = "manifest.json"
FILES = "manifest.parquet"
MAX_LISTED = 1000
"""Findings that are kept one by one; the others are only counted."""

_ROWS_AT_ONCE = 4096
_ROWS_IN_GROUP = 65_536
"""The end of the file describes every group, and is read and written whole."""

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("sha256", pa.string()),
        ("n_bytes", pa.int64()),
        ("verdict", pa.string()),
        ("n_regions", pa.int32()),
    ],
    metadata={"veilset": FORMAT},
)


@dataclass(frozen=True, slots=True)
class ManifestFinding:
    """One file that is not as the manifest says.

    Attributes:
        image_id: Its path below the output.
        code: ``missing``, ``changed``, ``unexpected``, ``not passed``.
    """

    image_id: str
    code: str


@dataclass(frozen=True, slots=True)
class ManifestCheck:
    """What became of a check against a manifest.

    Attributes:
        n_files: Files that the manifest lists.
        counts: How many findings of each code.
        findings: The first findings, in the order of the paths, at most ``MAX_LISTED``.
        overall: Overall verdict of the release when it was verified.
    """

    n_files: int
    counts: Mapping[str, int]
    findings: tuple[ManifestFinding, ...]
    overall: str

    @property
    def is_intact(self) -> bool:
        """Whether the output is the release that was verified, and that passed."""
        return not self.counts and self.overall == "passed"


@dataclass(frozen=True, slots=True)
class _Listed(ImageRecord):
    sha256: str = ""
    n_bytes: int = 0
    verdict: str = ""


@dataclass(slots=True)
class _Tally:
    n_files: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[ManifestFinding] = field(default_factory=list)

    def add(self, image_id: str, code: str) -> None:
        self.counts[code] += 1
        if len(self.findings) < MAX_LISTED:
            self.findings.append(ManifestFinding(image_id, code))


def write_manifest(folder: Path, n_shards: int, release: Mapping[str, Any]) -> str:
    """Write the release manifest from the verdicts in a folder, one shard at a time.

    The same verdicts give the same bytes.

    Args:
        folder: Record of the verification; the manifest is written into it.
        n_shards: How many files its table of verdicts has.
        release: What ``manifest.json`` says of the release; JSON values.

    Returns:
        SHA-256 of ``manifest.json``, lower-case hex.
    """
    path = folder / FILES
    part = part_path(path)
    try:
        with writing(path), pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
            for group in _groups(ShardedTable(folder, n_shards).rows(SCHEMA.names)):
                writer.write_table(group, row_group_size=_ROWS_IN_GROUP)
        with writing(path):
            part.replace(path)
    finally:
        discard_part(part)
    document = {"format": FORMAT, **release, "files": FILES, "files_sha256": sha256_file(path)}
    data = (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    write_atomically(folder / MANIFEST, data)
    return sha256_hex(data)


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[pa.Table]:
    """Give what the manifest says of each file, so many files at a time as a group has."""
    present = (row for row in _files(rows) if row["sha256"])
    pieces: list[pa.Table] = []
    # As values of Python a group would take four times the memory.
    while piece := list(islice(present, _ROWS_AT_ONCE)):
        pieces.append(pa.Table.from_pylist(piece, schema=SCHEMA))
        if len(pieces) * _ROWS_AT_ONCE == _ROWS_IN_GROUP:
            yield pa.concat_tables(pieces)
            pieces.clear()
    if pieces:
        yield pa.concat_tables(pieces)


def _files(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give one row for each file: a file of images comes before them, and speaks for them all."""
    file: dict[str, Any] | None = None
    for row in rows:
        if file and row["image_id"].startswith(f"{file['image_id']}/"):
            file["n_regions"] += row["n_regions"]
            file["verdict"] = max(file["verdict"], row["verdict"], key=_weight)
            continue
        if file:
            yield file
        file = row
    if file:
        yield file


def _weight(verdict: str) -> int:
    return {"review": 1, "error": 2, "leak": 3}.get(verdict, 0)


def verify_manifest(
    manifest: str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> ManifestCheck:
    """Check that a folder holds exactly the files of a release, byte for byte.

    Neither the originals nor the annotation set are needed.

    Args:
        manifest: ``manifest.json`` of the release, or the folder that holds it; the list of
            files lies beside it.
        out: The output folder, wherever it lies now.
        workers: Threads; None for all cores.
        on_progress: Called as files are checked.

    Returns:
        What differs. Files whose verdict was not ``passed`` or ``review`` are named too.

    Raises:
        RunError: If the manifest or the folder is missing.
        DatasetError: If the manifest is damaged, or its list of files is not its own.
    """
    manifest = Path(manifest)
    if manifest.is_dir():
        manifest = manifest / MANIFEST
    document = _read_document(manifest)
    store = open_output(out, "Give the folder of the release.")
    files = manifest.with_name(FILES)
    n_total = pq.ParquetFile(files).metadata.num_rows if on_progress else 0
    n_threads = resolve_workers(workers)
    tally = _Tally()

    def compare(pair: dict[str, Any]) -> tuple[str, bool, str]:
        listed, found = pair.get("listed"), pair.get("found")
        image_id = next(iter(pair.values())).image_id
        return image_id, listed is not None, _difference(store, listed, found)

    with ThreadPoolExecutor(n_threads, thread_name_prefix="veilset") as executor:
        results = ordered_map(executor, compare, _pairs(files, store), window=4 * n_threads)
        for image_id, is_listed, code in results:
            tally.n_files += is_listed
            if code:
                tally.add(image_id, code)
            if on_progress:
                n_bad = sum(tally.counts.values())
                on_progress(Progress("verify", tally.n_files, n_total, n_bad, 0))
    return ManifestCheck(
        tally.n_files, dict(tally.counts), tuple(tally.findings), str(document["overall"])
    )


def _difference(store: Store, listed: _Listed | None, found: Found | None) -> str:
    """Say how a file differs from what the manifest says, "" if it does not."""
    if listed is None:
        return "unexpected"
    if found is None:
        return "missing"
    if found.kind != "file" or found.problem:
        return "changed"
    try:
        digest, n_bytes = digest_file(store, found.image_id)
    except DecodeError:
        return "changed"
    if (digest, n_bytes) != (listed.sha256, listed.n_bytes):
        return "changed"
    return "" if listed.verdict in ("passed", "review", "whole") else "not passed"


def _pairs(files: Path, store: Store) -> Iterator[dict[str, Any]]:
    """Join the list and the folder by name, as both stream by."""
    streams = (
        ((key, "listed", item) for key, item in keyed(_listed(files))),
        ((key, "found", item) for key, item in keyed(list_tree(store))),
    )
    for _, group in groupby(heapq.merge(*streams, key=itemgetter(0)), key=itemgetter(0)):
        yield {name: item for _, name, item in group}


def _listed(files: Path) -> Iterator[_Listed]:
    table = pq.ParquetFile(files)
    # Asked for all groups at once, it would hold those that it has given already.
    for group in range(table.num_row_groups):
        for batch in table.iter_batches(_ROWS_AT_ONCE, row_groups=[group]):
            for row in batch.to_pylist():
                yield _Listed(
                    row["image_id"],
                    sha256=row["sha256"],
                    n_bytes=row["n_bytes"],
                    verdict=row["verdict"],
                )


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(
            f"The manifest {path} cannot be read ({error.strerror}). Give manifest.json of a "
            "verified release."
        ) from error
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON. Restore it.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DatasetError(f"{path} is no release manifest of this version ({FORMAT}).")
    files = path.with_name(FILES)
    try:
        digest = sha256_file(files)
    except OSError as error:
        raise DatasetError(f"{files} cannot be read ({error.strerror}). Restore it.") from error
    if digest != document.get("files_sha256"):
        raise DatasetError(
            f"{files} is not the list that belongs to {path}: one of the two was changed. "
            "Restore both."
        )
    return document
