# SPDX-License-Identifier: Apache-2.0
"""The table on where networks look, from a file as saliency writes it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from veilset.errors import RunError
from veilset.study.layout import write_table
from veilset.study.masses import FORMAT, saliency_table

ROWS = [
    {"setting_a": "original", "setting_b": "blurred", "p_a": 0.9, "p_b": 0.1,
     "mass_on_object_a": 0.8, "mass_on_object_b": 0.2},
    {"setting_a": "original", "setting_b": "blurred", "p_a": 0.7, "p_b": 0.3,
     "mass_on_object_a": None, "mass_on_object_b": None},
    {"setting_a": "original", "setting_b": "blurred", "p_a": 0.5, "p_b": 0.2,
     "mass_on_object_a": 0.6, "mass_on_object_b": 0.4},
]  # fmt: skip


def test_means_over_pairs(tmp_path):
    assert saliency_table(tmp_path) is None
    table = pa.Table.from_pylist(ROWS).replace_schema_metadata({"veilset": FORMAT})
    write_table(tmp_path / "pairs.parquet", table)
    found = saliency_table(tmp_path)
    assert found is not None
    first, second = (dict(row) for row in found.rows)
    assert first == {
        "setting": "original", "p": pytest.approx(0.7), "mass": pytest.approx(0.7), "n": 2,
        "n_pairs": 3,
    }  # fmt: skip
    assert second["p"] == pytest.approx(0.2)
    assert second["mass"] == pytest.approx(0.3)


def test_no_pair_is_no_row_and_another_file_is_refused(tmp_path):
    table = pa.Table.from_pylist(ROWS).slice(0, 0)
    write_table(tmp_path / "pairs.parquet", table.replace_schema_metadata({"veilset": FORMAT}))
    found = saliency_table(tmp_path)
    assert found is not None
    assert found.rows == ()
    write_table(tmp_path / "pairs.parquet", table)
    with pytest.raises(RunError, match="Delete it"):
        saliency_table(tmp_path)
