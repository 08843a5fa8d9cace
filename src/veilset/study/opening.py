# SPDX-License-Identifier: Apache-2.0
"""Opening a study: its images are looked at, compared with those of before, and written down."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from veilset.errors import ResumeMismatchError, RunError
from veilset.files import sha256_file, sha256_hex, write_atomically, writing
from veilset.runs import json_bytes, make_folder
from veilset.study.checks import check_objects, check_settings
from veilset.study.claims import wait_for_lock
from veilset.study.config import FORMAT, StudyConfig
from veilset.study.layout import StudyPaths
from veilset.study.lists import SPLITS, FoundImages, ImageList, find_images, read_list, write_list
from veilset.study.plan import Plan, Study, make_plan
from veilset.study.records import STARTED, check_unchanged, find_object

# What tells of a folder that it is of a study, or is empty.
_OURS = frozenset(
    "lock started.json plan.json lists runs predictions facts layers transfer saliency study.json "
    "tables figures written.json".split()
)


def open_study(config: StudyConfig) -> Study:
    """Look at the images of a study, refuse what cannot be compared, and write down the plan.

    Settings, networks and seeds may be added to a study that has begun; the images of a
    setting that has runs may not change, nor may the network or the recipe of a run.

    Raises:
        DatasetError: If the settings do not hold the same images, or an image that should be
            obfuscated is not.
        AnnotationError: If the annotation set, or the boxes of objects, cannot be used.
        ResumeMismatchError: If the images, or what a run was asked for, are not those of before.
        RunError: If the folder of the study cannot be used.
    """
    found = find_images(config)
    check_settings(config, found.lists)
    check_objects(config, found.lists)
    paths = StudyPaths(config.out)
    plan = make_plan(config, found.left_out)
    make_folder(paths.folder)
    _refuse_foreign_files(paths.folder)
    with _locked(paths.folder):
        started = _started(config, found)
        before = find_object(paths.started)
        if before is not None:
            _check_same(paths, before, started)
            _check_runs(paths, plan)
            # A setting that left the yaml keeps its digests: its runs are still there.
            started["settings"] = before["settings"] | started["settings"]
        for split in SPLITS:
            write_list(paths.images(split), found.lists[split])
        write_atomically(paths.started, json_bytes(started))
        write_atomically(paths.plan, json_bytes(plan.as_json()))
    return Study(config, paths.folder, plan, found.lists, found.files_sha256)


def load_study(config: StudyConfig) -> Study:
    """Open a study that has begun without looking at its images.

    Raises:
        RunError: If it has not begun, lacks a setting, or its files are damaged.
    """
    paths = StudyPaths(config.out)
    started = find_object(paths.started)
    if started is None:
        raise RunError(f"{paths.folder} holds no study. Begin with 'veilset study run'.")
    for name in config.settings:
        if name not in started["settings"]:
            raise RunError(
                f"The study in {paths.folder} does not know the setting {name!r} yet. "
                "Run 'veilset study run' first."
            )
    lists = {split: read_list(paths.images(split), started["classes"]) for split in SPLITS}
    for split in SPLITS:
        if lists[split].sha256 != started["lists"][split]:
            raise RunError(
                f"{paths.images(split)} is not the list that the study began with. "
                "'veilset study plan' writes it again."
            )
    left_out = tuple((find_object(paths.plan) or {}).get("left_out", ()))
    digests = {name: spec["files_sha256"] for name, spec in started["settings"].items()}
    return Study(config, paths.folder, make_plan(config, left_out), lists, digests)


def classes_digest(images: ImageList) -> str:
    """Give the SHA-256 over the names of the classes, in order."""
    return sha256_hex("\n".join(images.classes).encode("utf-8", "surrogateescape"))


def _started(config: StudyConfig, found: FoundImages) -> dict[str, Any]:
    settings = {}
    for spec in config.settings.values():
        base = spec if spec.kind == "folder" else config.settings[spec.of]
        settings[spec.name] = {
            "kind": spec.kind,
            "root": str(base.root),
            "layer_sha256": sha256_file(spec.layer) if spec.layer else "",
            "method": spec.method,
            "parameters": dict(spec.parameters),
            "files_sha256": dict(found.files_sha256[spec.name]),
        }
    return {
        "format": FORMAT,
        "classes": list(found.lists["val"].classes),
        "classes_sha256": classes_digest(found.lists["val"]),
        "lists": {split: found.lists[split].sha256 for split in SPLITS},
        "settings": settings,
    }


def _check_same(paths: StudyPaths, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse other images than those that runs were trained on."""
    names = _with_runs(paths)
    if not names:
        return
    for split in SPLITS:
        if before["lists"][split] != now["lists"][split]:
            raise ResumeMismatchError(
                f"Cannot go on with the study in {paths.folder}: its {split} images or classes are "
                "not those that it began with. Restore them, or set out to another folder."
            )
    for name in sorted(names & before["settings"].keys() & now["settings"].keys()):
        old, new = before["settings"][name], now["settings"][name]
        for key in ("kind", "layer_sha256", "method", "parameters"):
            if old[key] != new[key]:
                raise ResumeMismatchError(
                    f"Cannot go on with the study in {paths.folder}: {key} of the setting {name!r} "
                    f"changed from {old[key]!r} to {new[key]!r}. Restore it, or give the new one "
                    "another name."
                )
        for split in SPLITS:
            if old["files_sha256"][split] != new["files_sha256"][split]:
                raise ResumeMismatchError(
                    f"Cannot go on with the study in {paths.folder}: files of {name}/{split} have "
                    "other names or sizes than when it began. Restore them, or give the new "
                    "images a setting of another name."
                )


def _check_runs(paths: StudyPaths, plan: Plan) -> None:
    """Refuse another network or recipe than a run began with: its results would be taken for it."""
    for run in plan.runs:
        folder = paths.run(run.run_id)
        if (folder / STARTED).exists():
            before = find_object(folder / STARTED) or {}
            asked = run.asked()
            check_unchanged(folder, {key: before.get(key) for key in asked}, asked)


def _with_runs(paths: StudyPaths) -> frozenset[str]:
    """Give the settings on which something was trained or evaluated."""
    runs = paths.run("x").parent
    names = {folder.name.split(".")[1] for folder in runs.glob("*.*.s*")}
    return frozenset(names | {each.stem for each in paths.folder.glob("predictions/*/*.parquet")})


def _refuse_foreign_files(folder: Path) -> None:
    if (folder / "started.json").exists():
        return
    names = sorted(each.name for each in os.scandir(folder) if not each.name.startswith("."))
    foreign = [name for name in names if name not in _OURS]
    if foreign:
        raise RunError(
            f"The folder {folder} is not empty (it holds {foreign[0]!r}) and is no study. "
            "Set out to another folder."
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Write the files that all processes share one after the other."""
    path = folder / "lock"
    with writing(path):
        lock_fd = wait_for_lock(path)
    try:
        yield
    finally:
        os.close(lock_fd)


def summarize(plan: Plan, paths: StudyPaths) -> dict[str, int]:
    """Count the runs that are finished, failed and left, and the predictions that are missing."""
    counts = {"runs": len(plan.runs), "done": 0, "failed": 0, "left": 0, "predictions_left": 0}
    for run in plan.runs:
        folder = paths.run(run.run_id)
        if (folder / "run.json").exists():
            counts["done"] += 1
        elif (folder / "failure.json").exists():
            counts["failed"] += 1
        else:
            counts["left"] += 1
        counts["predictions_left"] += sum(
            not paths.predictions(run.run_id, setting).exists() for setting in run.evaluate
        )
    return counts
