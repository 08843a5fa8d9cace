# SPDX-License-Identifier: Apache-2.0
"""Whether the runs of a study were trained alike, so that one table may hold them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from veilset.changes import changed_values
from veilset.errors import RunError
from veilset.study.layout import StudyPaths
from veilset.study.plan import PlannedRun
from veilset.study.records import RunRecord

# A network may have these of its own.
_OF_A_NETWORK = ("lr", "batch_size")


def check_alike(paths: StudyPaths, runs: Sequence[tuple[PlannedRun, RunRecord]]) -> None:
    """Refuse finished runs that were trained by two recipes, or as two networks of one name.

    Args:
        paths: Of the study.
        runs: What is finished, and how it was begun.

    Raises:
        RunError: If there are such; the message names two of them and what differs.
    """
    first: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for run, record in runs:
        recipe = dict(record.started.get("recipe", {}))
        whole = {"recipe": recipe, "network": record.started.get("network", {})}
        shared = {"recipe": {key: v for key, v in recipe.items() if key not in _OF_A_NETWORK}}
        for group, values in ((run.network.name, whole), ("", shared)):
            other, before = first.setdefault(group, (run.run_id, values))
            for place, old, new in changed_values(before, values):
                raise RunError(
                    f"{run.run_id} cannot stand in one table with {other}: {place} was {new!r} for "
                    f"the first and {old!r} for the second. Delete the folders of one kind from "
                    f"{paths.folder / 'runs'} and {paths.folder / 'predictions'} and run 'veilset "
                    "study run' again, or set out to another folder."
                )
