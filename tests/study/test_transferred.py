# SPDX-License-Identifier: Apache-2.0
"""Tables of other tasks against SciPy, from the files that those runs leave."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scipy import stats

from veilset.errors import RunError
from veilset.study.tables import Table
from veilset.study.transferred import TransferScore, read_score, transfer_tables

SOURCES = ("none", "original", "blurred")
TOP1 = {
    ("resnet18", "none"): (0.50, 0.52, 0.51),
    ("resnet18", "original"): (0.90, 0.91, 0.93),
    ("resnet18", "blurred"): (0.91, 0.90, 0.90),
    ("alexnet", "original"): (0.80, 0.82, 0.81),
    ("alexnet", "blurred"): (0.79, 0.80, 0.80),
}


def _scores(task: str = "cifar10", metric: str = "top1") -> list[TransferScore]:
    return [
        TransferScore(task, network, source, seed, {metric: value})
        for (network, source), values in TOP1.items()
        for seed, value in enumerate(values, start=1)
    ]


def _tables(
    scores: list[TransferScore], *, ddof: int = 1, is_ilsvrc: bool = False
) -> dict[str, Table]:
    tables = transfer_tables(scores, SOURCES, ddof=ddof, is_ilsvrc=is_ilsvrc)
    return {table.name: table for table in tables}


def _rows(table: Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_json()["rows"]
    return rows


@pytest.mark.parametrize("ddof", [1, 2])
def test_means_and_errors(ddof):
    table = _tables(_scores(), ddof=ddof)["table_5"]
    rows = {row["network"]: row for row in _rows(table)}
    for (network, source), values in TOP1.items():
        cell = rows[network][f"cifar10.{source}"]
        assert cell["mean"] == pytest.approx(sum(values) / 3)
        assert cell["sem"] == pytest.approx(stats.sem(values, ddof=ddof))
    assert rows["alexnet"]["cifar10.none"] is None


def test_settings_are_compared_with_the_reference_seed_by_seed():
    rows = _rows(_tables(_scores())["transfer_drops"])
    p_values = []
    for row in rows:
        network = row["network"]
        test = stats.ttest_rel(TOP1[network, "original"], TOP1[network, "blurred"])
        assert row["p"] == pytest.approx(test.pvalue)
        p_values.append(test.pvalue)
    # Holm of two: the smaller twice, the larger not below it.
    smaller = 2 * min(p_values)
    expected = [smaller if p == min(p_values) else max(p, smaller) for p in p_values]
    assert [row["p_holm"] for row in rows] == pytest.approx(expected)


def test_the_numbers_of_the_paper_stand_beside_on_ilsvrc_only():
    keys = [column.key for column in _tables(_scores(), is_ilsvrc=True)["table_5"].columns]
    assert "cifar10.blurred.paper" in keys
    assert not any(column.key.endswith("paper") for column in _tables(_scores())["table_5"].columns)


def test_attributes_and_detection_have_tables_of_their_own():
    tables = _tables(_scores("celeba", "mAP") + _scores("voc-detection", "mAP50_voc07"))
    assert set(tables) == {"table_6", "table_voc", "transfer_drops"}
    row = _rows(tables["table_voc"])[1]
    assert (row["setting"], row["network"]) == ("original", "resnet18")
    assert row["mAP"]["mean"] == pytest.approx(sum(TOP1["resnet18", "original"]) / 3)
    assert row["person"] is None


def test_no_scores_no_tables():
    assert _tables([]) == {}


@pytest.mark.parametrize(
    "change", [{"format": "other/1"}, {"metrics": {"top1": 91.0}}, {"seed": "x"}, {"task": None}]
)
def test_a_damaged_score_is_refused(tmp_path, change):
    good = {
        "format": "veilset-transfer/1", "task": "cifar10", "network": "resnet18", "from": "none",
        "seed": 1, "metrics": {"top1": 0.5},
    }  # fmt: skip
    path = tmp_path / "score.json"
    path.write_text(json.dumps(good))
    assert read_score(path).metrics == {"top1": 0.5}
    path.write_text(json.dumps({key: value for key, value in (good | change).items() if value}))
    with pytest.raises(RunError, match=r"score\.json is damaged"):
        read_score(path)
