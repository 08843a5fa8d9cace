# SPDX-License-Identifier: Apache-2.0
"""Changes to the record of a finished run, for what happens to its results later on."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from veilset.errors import RunError
from veilset.files import ordered_name, write_atomically
from veilset.locks import lock_folder
from veilset.runs import FINISHED, LEDGER, STARTED, json_bytes, read_manifest


class Amendment:
    """The record of a finished run that is being changed; nobody else works on it meanwhile.

    Each change can be made twice: killed anywhere, the same changes again end the same way.
    The tables themselves are written by whoever knows their rows.

    Attributes:
        folder: Folder of the run.
        manifest: Its ``run.json``, as it was when the record was opened or last settled.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[Self]:
        """Open the record of a run, and hold it while the block lasts.

        Raises:
            RunError: If there is none, it is not finished, or another process works on it.
        """
        read_manifest(folder)
        lock_fd = lock_folder(folder)
        try:
            # Read again: the process that held it may have changed it.
            yield cls(folder, read_manifest(folder))
        finally:
            os.close(lock_fd)

    def put(self, index: int, counts: Mapping[str, int], digest: str) -> None:
        """Note that a shard of the table was written anew.

        Args:
            index: Index of the shard.
            counts: Its images by how they ended, as they are now.
            digest: SHA-256 of what was written, lower-case hex.
        """
        entry = self._entry(index) | {"counts": dict(sorted(counts.items())), "digest": digest}
        write_atomically(self._entry_path(index), json_bytes(entry))

    def entries(self) -> Iterator[dict[str, Any]]:
        """Go through the ledger in the order of the shards."""
        return (self._entry(index) for index in range(int(self.manifest["n_shards"])))

    def outputs_sha256(self) -> str:
        """Give the digest of all shards, as the ledger has them now."""
        digest = hashlib.sha256()
        for entry in self.entries():
            digest.update(entry["digest"].encode())
        return digest.hexdigest()

    def settle(self, *, inputs: Mapping[str, Any], extra: Mapping[str, Any], at: str) -> None:
        """Sum the ledger up anew, into ``run.json``.

        Args:
            inputs: Inputs that changed; the others stay.
            extra: Further results that changed; the others stay.
            at: When the record was amended, UTC.
        """
        counts: Counter[str] = Counter()
        for entry in self.entries():
            counts.update(entry["counts"])
        digest = self.outputs_sha256()
        started_path = self.folder / STARTED
        started = json.loads(started_path.read_bytes())
        started["inputs"] |= inputs
        write_atomically(started_path, json_bytes(started))
        manifest = {
            **self.manifest,
            "inputs": {**self.manifest["inputs"], **inputs},
            "extra": {**self.manifest["extra"], **extra},
            "run_id": digest[:12],
            "counts": dict(sorted(counts.items())),
            "outputs_sha256": digest,
            "amended_at": at,
        }
        write_atomically(self.folder / FINISHED, json_bytes(manifest))
        self.manifest = manifest

    def _entry(self, index: int) -> dict[str, Any]:
        path = self._entry_path(index)
        try:
            entry: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} is missing or damaged. Restore it, or make {self.folder} again."
            ) from error
        return entry

    def _entry_path(self, index: int) -> Path:
        return self.folder / LEDGER / f"{ordered_name(index)}.json"
