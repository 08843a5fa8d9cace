# SPDX-License-Identifier: Apache-2.0
"""Everything that a study found, as one JSON value: tables, figures and measurements."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from veilset.errors import DatasetError, RunError
from veilset.files import sha256_file
from veilset.study.alike import check_alike
from veilset.study.categories import (
    categories_table,
    objects_table,
    pair_figures,
    pairs_table,
    table_4,
)
from veilset.study.category_drops import category_drops_table
from veilset.study.comparisons import drops_table, faces_table
from veilset.study.correlations import binned_figures, bins_table, correlations_table, figure_2
from veilset.study.facts_files import make_facts
from veilset.study.found import Found
from veilset.study.layout import read_predictions, run_name
from veilset.study.masses import PAIRS, saliency_table
from veilset.study.paper import is_ilsvrc
from veilset.study.plan import PlannedRun, Study
from veilset.study.records import Failure, read_failure, read_run
from veilset.study.scores import Question, RunKey, RunScores, Scores
from veilset.study.small_tables import small_faces_table
from veilset.study.tables import AVERAGE, Table, table_3, table_7, table_8
from veilset.study.transferred import SCORE, read_score, transfer_tables
from veilset.types import Direction, Measurement

FORMAT = "veilset-study-results/1"

# Settings that take a role where the study does not say which do.
_USUAL_ROLES = {
    "released": ("blur-released", "blur-paper"), "per_face": ("blur",),
    "veil": ("veil",), "overlay": ("overlay",),
}  # fmt: skip

OnStep = Callable[[str], None]


def evaluate(study: Study, on_step: OnStep | None = None) -> dict[str, Any]:
    """Evaluate all finished runs of a study.

    The same files give the same value: no clock and no chance is in it.

    Args:
        study: The study.
        on_step: Told what is done next.

    Returns:
        JSON values, as ``docs/study.md`` describes ``study.json``.

    Raises:
        RunError: If no run is finished, or predictions are damaged or of other weights.
        DatasetError: If a file of names, annotations or objects cannot be used.
    """
    say = on_step or (lambda _text: None)
    inputs: dict[str, str] = {}
    runs = _read_runs(study, say, inputs)
    if not runs:
        raise RunError(
            f"No run of the study in {study.folder} is finished. Run 'veilset study run' first."
        )
    failures = _failures(study)
    _say_missing(study, runs, say)
    found = _found(study, runs, failures, say)
    tables = [
        replace(_with_left_out(table, len(study.plan.left_out)), n_seeds=len(study.config.seeds))
        for table in _tables(found, say)
        if table is not None
    ]
    tables += _transfer_tables(study, found, inputs)
    tables += _saliency_tables(study, inputs)
    return {
        "format": FORMAT,
        "name": study.config.name,
        "classes": len(study.classes),
        "reference": study.config.reference,
        "settings": list(study.config.settings),
        "is_ilsvrc": found.is_ilsvrc,
        "runs": _counted(study, runs, failures),
        "left_out": len(study.plan.left_out),
        "tables": [table.to_json() for table in tables],
        "figures": _figures(found, tables),
        "measurements": [asdict(each) for each in _measurements(tables, inputs)],
        "inputs": dict(sorted(inputs.items())),
    }


def _say_missing(study: Study, runs: Mapping[RunKey, RunScores], say: OnStep) -> None:
    planned = set(_planned(study))
    n_missing = len(planned - runs.keys())
    if n_missing:
        say(
            f"{n_missing:,} of {len(planned):,} predictions are missing: the notes of the tables "
            "name them, and cells say over how many seeds they are"
        )


def _counted(
    study: Study, runs: Mapping[RunKey, RunScores], failures: Mapping[str, Failure]
) -> dict[str, Any]:
    return {
        "planned": len(study.plan.runs),
        "done": len({(key.network, key.question.trained, key.seed) for key in runs}),
        "failed": [
            {"run_id": run_id, "kind": failure.kind, "message": failure.message}
            for run_id, failure in failures.items()
        ],
    }


def _found(
    study: Study, runs: Mapping[RunKey, RunScores], failures: Mapping[str, Failure], say: OnStep
) -> Found:
    config, names = study.config, class_names(study)
    say("facts of images")
    facts = make_facts(study, names)
    return Found(
        reference=config.reference,
        settings=tuple(config.settings),
        scores=Scores(
            labels=study.lists["val"].labels,
            n_classes=len(study.classes),
            networks=tuple(network.name for network in config.networks),
            runs=runs,
            ddof=config.sem_ddof,
        ),
        planned=frozenset(_planned(study)),
        classes=study.classes,
        names=names,
        is_ilsvrc=is_ilsvrc(study.classes),
        facts=facts["val"] if facts else None,
        n_resamples=config.bootstrap,
        area_bins=config.area_bins,
        object_bins=config.object_bins,
        roles=roles_of(study),
        splits=tuple((known, study.lists[split].labels) for split, known in (facts or {}).items()),
        failed={run_id: failure.kind for run_id, failure in failures.items()},
    )


def _planned(study: Study) -> Iterator[RunKey]:
    for run in study.plan.runs:
        for setting in run.evaluate:
            yield RunKey(run.network.name, Question(run.setting, setting), run.seed)


def _read_runs(study: Study, say: OnStep, inputs: dict[str, str]) -> dict[RunKey, RunScores]:
    """Judge the predictions of all finished runs, one file in memory at a time."""
    runs = {}
    records = [(run, read_run(study.paths.run(run.run_id))) for run in study.plan.runs]
    check_alike(study.paths, [(run, record) for run, record in records if record])
    for number, (run, record) in enumerate(records, start=1):
        if record is None:
            continue
        say(f"predictions of run {number} of {len(study.plan.runs)}, {run.run_id}")
        for setting in run.evaluate:
            path = study.paths.predictions(run.run_id, setting)
            if not path.exists():
                # Added to the study after the run: it is missing, and the tables say so.
                continue
            key = RunKey(run.network.name, Question(run.setting, setting), run.seed)
            runs[key] = _judge(study, run, setting, path, record.weights_sha256)
            inputs[path.relative_to(study.folder).as_posix()] = sha256_file(path)
    return runs


def _judge(
    study: Study, run: PlannedRun, setting: str, path: Path, weights_sha256: str
) -> RunScores:
    images = study.lists["val"]
    expect = {
        "run_id": run.run_id,
        "setting": setting,
        "weights_sha256": weights_sha256,
        "list_sha256": images.sha256,
    }
    given = read_predictions(path, expect)
    if given.image_ids != images.image_ids or not np.array_equal(given.labels, images.labels):
        raise RunError(
            f"{path} speaks of other images than the study. Delete it; 'veilset study run' writes "
            "it again."
        )
    return RunScores.of(given.labels, given.top, given.scores, len(images.classes))


def _failures(study: Study) -> dict[str, Failure]:
    found = {run.run_id: read_failure(study.paths.run(run.run_id)) for run in study.plan.runs}
    return {run_id: failure for run_id, failure in found.items() if failure is not None}


def class_names(study: Study) -> tuple[str, ...]:
    """Give the name for people of every class; that of its folder where there is no other.

    Raises:
        DatasetError: If the file of names cannot be used.
    """
    path = study.config.data.names
    if path is None:
        return study.classes
    try:
        names: Mapping[str, object] = json.loads(path.read_bytes())
        return tuple(str(names.get(folder, folder)) for folder in study.classes)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{path} is no JSON map from folder names to names for people ({error}). Correct it, "
            "or leave data.names out."
        ) from error


def roles_of(study: Study) -> dict[str, str]:
    """Give the settings that take the roles of the question on small faces."""
    if study.config.roles:
        return dict(study.config.roles)
    roles = {}
    for role, usual in _USUAL_ROLES.items():
        there = [name for name in usual if name in study.config.settings]
        if there:
            roles[role] = there[0]
    return roles


def _tables(found: Found, say: OnStep) -> Iterator[Table | None]:
    for name, make in (
        ("accuracy", table_3), ("drops with intervals", drops_table),
        ("images with faces", faces_table), ("transfer between settings", table_8),
        ("obfuscated test images", table_7), ("competing pairs", table_4),
        ("pairs", pairs_table), ("categories", categories_table),
        ("drops of categories", category_drops_table),
        ("objects", objects_table), ("correlations", correlations_table), ("bins", bins_table),
        ("small faces", small_faces_table),
    ):  # fmt: skip
        say(f"table of {name}")
        yield make(found)


def _with_left_out(table: Table, n_left_out: int) -> Table:
    if not n_left_out:
        return table
    what = "image that" if n_left_out == 1 else "images that"
    said = f"Left out: {n_left_out:,} {what} not all settings have."
    return replace(table, note=f"{table.note} {said}")


def _figures(found: Found, tables: list[Table]) -> dict[str, Any]:
    faces = figure_2(found)
    competing = next((table for table in tables if table.name == "table_4"), None)
    return {
        **({"figure_2": faces} if faces else {}),
        **binned_figures(found),
        **pair_figures(competing, found.reference),
    }


def _transfer_tables(study: Study, found: Found, inputs: dict[str, str]) -> list[Table]:
    asked = [
        study.paths.transfer(spec.task, run_name(network, source, seed)) / SCORE
        for spec in study.config.transfer
        for network in spec.networks
        for source in spec.sources
        for seed in spec.seeds
    ]
    paths = [path for path in asked if path.exists()]
    missing = [path.parent for path in asked if not path.exists()]
    for path in paths:
        inputs[path.relative_to(study.folder).as_posix()] = sha256_file(path)
    others = [name for name in found.settings if name != found.reference]
    tables = transfer_tables(
        [read_score(path) for path in paths],
        ["none", found.reference, *others],
        ddof=found.scores.ddof,
        is_ilsvrc=found.is_ilsvrc,
    )
    n_seeds = max((len(spec.seeds) for spec in study.config.transfer), default=0)
    said = _missing_transfers([f"{each.parent.name}/{each.name}" for each in missing])
    return [
        replace(table, note=f"{table.note} {said}".strip(), n_seeds=n_seeds) for table in tables
    ]


def _missing_transfers(names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 6} more" if names[6:] else ""
    runs = "1 run is" if len(names) == 1 else f"{len(names)} runs are"
    return f"{runs} missing: {', '.join(names[:6])}{more}."


def _saliency_tables(study: Study, inputs: dict[str, str]) -> list[Table]:
    table = saliency_table(study.paths.saliency)
    if table is None:
        return []
    path = study.paths.saliency / PAIRS
    inputs[path.relative_to(study.folder).as_posix()] = sha256_file(path)
    return [table]


def _measurements(tables: list[Table], inputs: Mapping[str, str]) -> Iterator[Measurement]:
    """Give the drops averaged over networks, with each of their intervals."""
    rows = next((table.rows for table in tables if table.name == "drops"), ())
    for row in rows:
        if row["network"] != AVERAGE:
            continue
        for key, n in (("over_trainings", row["n_seeds"]), ("over_images", row["n_images"])):
            ends, drop = row[key], row["drop"]
            if not isinstance(ends, Mapping) or not isinstance(drop, float):
                continue
            yield Measurement(
                name=(
                    f"{row['metric']}, drop of {row['trained']} on {row['evaluated']}, "
                    f"{key.replace('_', ' ')}"
                ),
                value=drop,
                low=float(ends["low"] or 0.0),
                high=float(ends["high"] or 0.0),
                n=int(n) if isinstance(n, int) else 0,
                direction=Direction.LOWER,
                inputs=dict(inputs),
            )
