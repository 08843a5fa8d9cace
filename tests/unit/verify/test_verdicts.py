# SPDX-License-Identifier: Apache-2.0
"""Rows of verdicts: written and read back, and what findings lead to."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from veilset.protocols import Shard, ShardReport
from veilset.records.verdicts import (
    CODES,
    Finding,
    ImageVerdict,
    Level,
    Verdict,
    VerdictTable,
    judge,
    write_verdicts,
)
from veilset.runs import Run
from veilset.types import ImageRecord
from veilset.verify.release import count_verdict, overall_verdict

ROWS = (
    ImageVerdict("a/1.jpg", Verdict.PASSED, sha256="ab", n_bytes=12, n_regions=1, max_survival=0.1),
    ImageVerdict(
        "a/2.jpg",
        Verdict.LEAK,
        findings=(
            Finding("missed-face", Level.LEAK, "look", (1.0, 2.0, 3.5, 4.0), 0.9, "centerface"),
            Finding("missed-face", Level.REVIEW, "look", (1.0, 2.0, 3.5, 4.0), 0.2, "b", "plate"),
            Finding("digest", Level.LEAK, "changed"),
        ),
        looked_again="sample",
        n_still_detected=2,
        n_drawn_detected=3,
    ),
    ImageVerdict("b.jpg", Verdict.ABSENT),
)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    shard = Shard(0, tuple(ImageRecord(row.image_id) for row in ROWS))
    with Run.open(tmp_path, "verify", {}, {}) as run:
        for each in run.missing([shard]):
            run.commit(ShardReport(0, 3, digest=write_verdicts(tmp_path, each.index, ROWS)))
        run.finish()
    table = VerdictTable(tmp_path)
    assert tuple(table) == ROWS
    assert table.find(ImageRecord("a/2.jpg")) == ROWS[1]
    assert table.find(ImageRecord("a/3.jpg")) is None
    path = tmp_path / "shard-00000.parquet"
    metadata = pq.read_schema(path).metadata
    assert metadata[b"veilset"] == b"veilset-verdicts/1"
    assert json.dumps(table.manifest["n_shards"]) == "1"
    # A table from before faces were drawn, and before findings had a kind.
    written = pq.read_table(path)
    findings = written.column("findings").to_pylist()
    for finding in (each for row in findings for each in row):
        del finding["kind"]
    former = written.drop_columns(["n_drawn_detected", "findings"])
    pq.write_table(former.append_column("findings", [findings]), path)
    rows = list(VerdictTable(tmp_path))
    assert [row.n_drawn_detected for row in rows] == [0, 0, 0]
    assert [each.kind for each in rows[1].findings] == ["", "", ""]


@pytest.mark.parametrize("is_present", [True, False])
def test_the_worst_finding_decides(is_present: bool) -> None:
    clean = Verdict.PASSED if is_present else Verdict.ABSENT
    mild = Verdict.REVIEW if is_present else Verdict.ABSENT
    for n_levels in range(4):
        for levels in combinations(Level, n_levels):
            findings = [Finding("digest", level, "") for level in levels]
            expected = (
                Verdict.LEAK
                if Level.LEAK in levels
                else Verdict.ERROR
                if Level.ERROR in levels
                else mild
                if levels
                else clean
            )
            assert judge(findings, is_present=is_present) is expected


def test_counts_are_of_images_but_for_regions_and_detections() -> None:
    assert count_verdict(ROWS[0]) == {"passed": 1, "n_regions": 1}
    assert count_verdict(ROWS[1]) == {
        "leak": 1,
        "finding missed-face": 1,
        "finding digest": 1,
        "missed_leak": 1,
        "missed_review": 1,
        "searched_sample": 1,
        "drawn_detected": 3,
        "still_detected": 2,
        "untouched_searched": 1,
        "untouched_with_missed": 1,
    }
    assert count_verdict(ROWS[2]) == {"absent": 1}


def test_a_release_passes_only_without_leak_and_error() -> None:
    assert overall_verdict({"passed": 5, "leak": 1, "error": 1}) == "leaks"
    assert overall_verdict({"passed": 5, "error": 1}) == "errors"
    assert overall_verdict({"review": 5, "absent": 1}) == "passed"


def test_every_code_has_a_meaning() -> None:
    assert all(meaning.endswith(".") for meaning in CODES.values())
