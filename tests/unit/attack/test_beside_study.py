# SPDX-License-Identifier: Apache-2.0
"""An attack beside a study: only what is the same method in both, with both intervals."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.drawn_attack import OVERLAY, VEIL, write_attack
from veilset.attack.beside_study import BESIDE_CSV, BESIDE_MD, Estimate, put_beside
from veilset.errors import RunError


def drop(setting: str, value: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "network": "Average", "trained": setting, "evaluated": setting,
        "metric": "Top-1 accuracy", "drop": value, "over_images": {"low": -0.01, "high": 0.03},
        "over_trainings": {"low": -0.04, "high": 0.05}, "n_seeds": 3, "n_images": 1400, **changes,
    }  # fmt: skip


def write_study(folder: Path, methods: Mapping[str, Mapping[str, Any]], *drops: Any) -> Path:
    """Write an evaluated study, and the record of the release that each setting is."""
    folder.mkdir()
    settings: dict[str, Any] = {
        "original": {"kind": "folder", "root": str(folder / "original"), "files_sha256": {}}
    }
    for name, method in methods.items():
        settings[name] = {"kind": "folder", "root": str(folder / name), "files_sha256": {}}
        record = folder / f"{name}.veilset" / "obfuscate"
        record.mkdir(parents=True)
        (record / "run.json").write_text(json.dumps({"config": {"method": method}}))
    values = {
        "format": "veilset-study-results/1",
        "reference": "original",
        "tables": [{"name": "drops", "rows": list(drops)}],
    }
    (folder / "study.json").write_text(json.dumps(values))
    (folder / "started.json").write_text(json.dumps({"settings": settings}))
    return folder


def test_methods_meet_by_what_they_are_and_not_by_name(tmp_path: Path) -> None:
    attack = write_attack(tmp_path / "attack")
    stronger = {**VEIL, "parameters": {"cells": 4, "enlarge": 0.2}}
    study = write_study(
        tmp_path / "study",
        {"soft": VEIL, "plain": OVERLAY, "veil:cells=6": stronger},
        drop("soft", 0.012), drop("soft", 0.9, network="resnet18"),
        drop("soft", 0.9, metric="Top-5 accuracy"), drop("soft", 0.9, evaluated="original"),
        drop("plain", -0.0001, over_trainings=None), drop("veil:cells=6", 0.5),
    )  # fmt: skip
    overlay, veil = put_beside(attack, study, tmp_path / "out")
    assert (overlay.setting, overlay.studied_as) == ("overlay", "plain")
    assert (veil.setting, veil.studied_as, veil.attack) == ("veil:cells=6", "soft", "parrot-pixels")
    assert veil.named.in_percent == "35.5 (31.5 to 41.5)"
    assert veil.drop.in_percent == "1.2 (-1.0 to 3.0)"
    assert veil.drop_trainings.in_percent == "1.2 (-4.0 to 5.0)"
    assert overlay.drop_trainings.in_percent == "0.0 (no interval)"
    assert Estimate(0.0, -0.0004, -0.0).in_percent == "0.0 (0.0 to 0.0)"
    told = (tmp_path / "out" / BESIDE_MD).read_text()
    assert "| veil:cells=6 | parrot-pixels | 35.5 (31.5 to 41.5) | 1.2 (-1.0 to 3.0) |" in told
    assert "n = 80 photographs" in told
    assert "n = 1,400 images and 3 trainings" in told
    with (tmp_path / "out" / BESIDE_CSV).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["setting"] for row in rows] == ["overlay", "veil:cells=6"]
    assert float(rows[1]["drop_high"]) == 0.03
    assert rows[0]["drop_trainings_low"] == ""
    assert (rows[1]["n_probes"], rows[1]["n_images"], rows[1]["n_seeds"]) == ("80", "1400", "3")


def test_nothing_in_common_is_said(tmp_path: Path) -> None:
    attack = write_attack(tmp_path / "attack")
    other = {**VEIL, "version": 2}
    study = write_study(tmp_path / "study", {"veil": other}, drop("veil", 0.01))
    with pytest.raises(RunError, match=r"settings: veil\) have no method in common"):
        put_beside(attack, study)
    assert not (attack / BESIDE_CSV).exists()


def test_a_setting_that_is_not_trained_yet_has_no_row(tmp_path: Path) -> None:
    attack = write_attack(tmp_path / "attack")
    study = write_study(
        tmp_path / "study", {"veil": VEIL, "overlay": OVERLAY}, drop("veil", None),
        drop("overlay", 0.01),
    )  # fmt: skip
    assert [row.setting for row in put_beside(attack, study)] == ["overlay"]
    assert (attack / BESIDE_MD).exists()


def test_what_is_not_finished_is_refused(tmp_path: Path) -> None:
    attack = write_attack(tmp_path / "attack")
    with pytest.raises(RunError, match=r"veilset study"):
        put_beside(attack, tmp_path / "nothing")
    study = write_study(tmp_path / "study", {"veil": VEIL}, drop("veil", 0.01))
    with pytest.raises(RunError, match="is not finished"):
        put_beside(tmp_path / "study", study)
