# SPDX-License-Identifier: Apache-2.0
"""Both choices in all combinations, beside each other."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.synthesize.small_trainings import GENERATOR, MACHINE
from veilset.synthesize.ablation import BASE, ablate
from veilset.synthesize.training import Habits


def test_all_four_are_trained_and_compared_face_by_face(faces: Path, tmp_path: Path) -> None:
    config = replace(GENERATOR, epochs=1)
    stopped = Habits(should_stop=lambda: True)
    assert ablate(faces, tmp_path, config, machine=MACHINE, habits=stopped) is None
    variants = ablate(faces, tmp_path, config, machine=MACHINE)
    assert variants is not None
    assert (variants[0].loss, variants[0].planes) == BASE
    assert len({(each.loss, each.planes) for each in variants}) == 4
    assert variants[0].compared == ()
    means = {}
    for each in variants:
        scores = pq.read_table(tmp_path / f"{each.loss}-{each.planes}" / "scores.parquet")
        means[each.loss, each.planes] = sum(scores["ssim"].to_pylist()) / len(scores)
        assert each.measured[0].value == pytest.approx(means[each.loss, each.planes])
    for each in variants[1:]:
        difference = means[each.loss, each.planes] - means[BASE]
        assert each.compared[0].value == pytest.approx(difference, abs=1e-12)
    with (tmp_path / "ablation.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * 3 + 3 * 3
    told = [found.value for each in variants for found in (*each.measured, *each.compared)]
    assert [float(row["value"]) for row in rows] == pytest.approx(told, abs=1e-6)
    assert {row["n_people"] for row in rows} == {"1"}
    # One person is no interval: in no file, and in no format.
    assert {row["low"] for row in rows} == {row["high"] for row in rows} == {""}
    for path in tmp_path.rglob("*.json"):
        assert not re.search("NaN|Infinity", path.read_text()), path
