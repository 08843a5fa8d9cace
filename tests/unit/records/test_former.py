# SPDX-License-Identifier: Apache-2.0
"""When results of an earlier run may be taken over."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from veilset.errors import DatasetError, ResumeMismatchError, RunError
from veilset.packages import package_versions
from veilset.protocols import Shard, ShardReport
from veilset.records.former import find_difference, open_former
from veilset.records.outcomes import SCHEMA
from veilset.runs import Run
from veilset.tables import write_table
from veilset.types import ImageRecord

CONFIG = {"method": {"name": "veil", "parameters": {"cells": 6}}, "kinds": (), "shard_size": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Run.open(tmp_path / "run", "obfuscate", CONFIG, {"root": "photos"}) as run:
        for _ in run.missing([Shard(0, (ImageRecord("a.jpg"),))]):
            digest = write_table(run.folder, 0, [{"image_id": "a.jpg"}], SCHEMA)
            run.commit(ShardReport(0, 1, digest=digest))
        run.finish()
    return tmp_path / "run"


def test_the_same_settings_are_taken_whatever_the_shards(folder: Path) -> None:
    manifest = open_former(folder, "obfuscate", CONFIG | {"shard_size": 9})
    assert manifest["n_images"] == 1


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (CONFIG | {"kinds": ("face",)}, "kinds changed: 'face' added"),
        (CONFIG | {"seed": 1}, "seed changed from 'not set' to 1"),
        (
            CONFIG | {"method": {"name": "veil", "parameters": {"cells": 7}}},
            "method.parameters.cells changed from 6 to 7",
        ),
    ],
)
def test_other_settings_are_refused(folder: Path, config: dict[str, object], says: str) -> None:
    with pytest.raises(ResumeMismatchError, match=says):
        open_former(folder, "obfuscate", config)


def test_another_version_of_what_decides_results_is_refused() -> None:
    packages = package_versions()
    manifest = {"config": CONFIG, "packages": packages | {"pyarrow": "1"}}
    assert find_difference(manifest, CONFIG) == ""
    manifest["packages"] = packages | {"pillow": "1"}
    says = f"the version of pillow changed from '1' to {packages['pillow']!r}"
    assert find_difference(manifest, CONFIG) == says


def test_a_package_that_came_or_went_is_a_difference() -> None:
    packages = package_versions()
    del packages["numpy"]
    assert "the version of numpy changed from 'not set'" in find_difference(
        {"config": CONFIG, "packages": packages}, CONFIG
    )
    packages = package_versions() | {"openvino": "2030.1"}
    assert "openvino" in find_difference({"config": CONFIG, "packages": packages}, CONFIG)


def test_another_stage_and_changed_tables_are_refused(folder: Path) -> None:
    with pytest.raises(RunError, match="records a run of 'obfuscate': results of 'detect'"):
        open_former(folder, "detect", CONFIG)
    (folder / "shard-00000.parquet").write_bytes(b"x")
    with pytest.raises(DatasetError, match="are not those that its run wrote"):
        open_former(folder, "obfuscate", CONFIG)


@pytest.mark.parametrize("brought", ["opencv-python", "opencv-python-headless"])
def test_opencv_counts_by_either_name(monkeypatch: pytest.MonkeyPatch, brought: str) -> None:
    def version(name: str) -> str:
        if name != brought:
            raise PackageNotFoundError(name)
        return "4.10"

    monkeypatch.setattr("veilset.packages.version", version)
    assert package_versions() == {brought: "4.10"}
