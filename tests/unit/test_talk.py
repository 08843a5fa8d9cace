# SPDX-License-Identifier: Apache-2.0
"""The line of progress: what it says of a data set whose size is known, and of others."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.flow.command import command
from tests.s3 import put_files
from veilset.cli.talk import _text, say, say_verified
from veilset.dataset.webdataset import WebDatasetReader
from veilset.engine.drive import Progress
from veilset.runs import RunSummary


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (Progress("detect", 50, 200, 1, 10), "detect     25%  50 of 200 images, 4.0/s, 0:38 left"),
        (Progress("detect", 200, 200, 0, 0), "detect    100%  200 of 200 images, 20.0/s, 0:00"),
        (Progress("verify", 7, 6, 0, 0), "verify    117%  7 of 6 images, 0.7/s, 0:00 left"),
        (Progress("verify", 1, 60, 0, 0), "verify      2%  1 of 60 images, 0.1/s, 9:50 left"),
        (Progress("detect", 1050, 0, 3, 50), "detect    1,050 images, 100.0/s, 3 failed"),
    ],
)
def test_how_far_a_stage_is(progress: Progress, expected: str) -> None:
    assert _text(progress, 10.0).startswith(expected)


def test_containers_at_a_url_are_not_fetched_to_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a.jpg"))
    put_files("memory://talk", {"0.tar": data.getvalue()})
    reader = WebDatasetReader("memory://talk")
    assert [len(shard.records) for shard in reader.shards()] == [1]

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(WebDatasetReader, "open_container", refuse)
    assert reader.count() == 0


def _verified(counts: dict[str, int]) -> RunSummary:
    return RunSummary("verify", Path("out.veilset/verify"), counts, {}, 1.0)


def test_what_verification_came_to_is_said_in_the_order_of_its_weight(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts = {"finding digest": 1, "finding missed-face": 9, "leak": 2, "missed_leak": 2,
              "missed_review": 13, "n_regions": 350, "passed": 1051, "review": 7,
              "reused": 3, "searched_sample": 20, "searched_touched": 15, "still_detected": 46,
              "touched_searched": 15, "untouched_searched": 20}  # fmt: skip
    say_verified(_verified(counts))
    assert capsys.readouterr().err.splitlines() == [
        "verify: 2 leak, 7 to review, 1,051 passed, 3 reused; 35 searched again; "
        "missed-face in 9, digest in 1",
        "A leak, or could not be checked: 2. Do not publish. The report (veilset report) lists "
        "them.",
        "For people to look at before you publish: 7. The report (veilset report) lists them.",
    ]


def test_a_release_without_a_finding_is_not_promised_to_be_safe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_verified(_verified({"passed": 4, "whole": 1, "absent": 1, "searched_all": 4}))
    assert capsys.readouterr().err.splitlines() == [
        "verify: 4 passed, 1 whole, 1 absent; 4 searched again",
        "No leak was found in the output. Read the report's limits before you publish.",
    ]


def test_what_is_said_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nOK\x1b[2K\u202e")
    assert capsys.readouterr().err == "a\\x0aOK\\x1b[2K\\u202e\n"


def test_an_error_is_one_line(tmp_path: Path) -> None:
    done = command(
        "detect", tmp_path / "a\nveilset: all is well\x1b[2K", "-o", tmp_path / "ann", code=1
    )
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
