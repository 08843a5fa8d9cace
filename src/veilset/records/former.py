# SPDX-License-Identifier: Apache-2.0
"""Results of an earlier run that are taken over where nothing that decides them changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from veilset.changes import changed_values, told
from veilset.errors import ResumeMismatchError, RunError
from veilset.packages import package_versions
from veilset.records.table import check_tables
from veilset.runs import json_bytes, read_manifest

# They decide which rows share a file, and not what is in a row.
_NO_MATTER = ("shard_size",)
# They write tables or count in them; what is in a row comes from the others.
_OTHER_PACKAGES = ("duckdb", "pyarrow")


def find_difference(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Say what decides the results of a run and is not as it was, "" if nothing.

    Args:
        manifest: The ``run.json`` of the earlier run.
        config: Settings of the run that is to take results over, resolved.

    Example:
        >>> packages = package_versions()
        >>> config = {"shard_size": 9, "method": {"name": "veil"}}
        >>> manifest = {"config": config, "packages": packages}
        >>> find_difference(manifest, {"shard_size": 7, "method": {"name": "blur"}})
        "method.name changed from 'veil' to 'blur'"
    """
    was, now = (json.loads(json_bytes(each)) for each in (manifest["config"], config))
    for versions, into in ((manifest["packages"], was), (package_versions(), now)):
        for name in versions.keys() - set(_OTHER_PACKAGES):
            into[f"the version of {name}"] = versions[name]
    changed = (each for each in changed_values(was, now) if each[0] not in _NO_MATTER)
    return next((told(*change) for change in changed), "")


def open_former(folder: Path, stage: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check that results can be taken over from an earlier run; give its ``run.json``.

    Args:
        folder: Folder of the earlier run.
        stage: What it has to be.
        config: Settings of the run that is to take results over, resolved.

    Raises:
        RunError: If it is of another stage, or not finished.
        ResumeMismatchError: If a setting or a package that decides the result is another one.
        DatasetError: If its tables are not those that it wrote.
    """
    manifest = read_manifest(folder)
    if manifest["stage"] != stage:
        raise RunError(
            f"{folder} records a run of {manifest['stage']!r}: results of {stage!r} are wanted. "
            "Start a new run in another folder."
        )
    if difference := find_difference(manifest, config):
        raise ResumeMismatchError(
            f"Nothing can be taken over from {folder}: {difference}. "
            "Restore it, or start a new run in another folder."
        )
    check_tables(folder, manifest)
    return manifest
