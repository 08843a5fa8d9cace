# SPDX-License-Identifier: Apache-2.0
"""The log of removals: it only grows, and what it says is never lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from veilset.errors import RunError
from veilset.records.removals import (
    LOG,
    PENDING,
    Pending,
    Removal,
    Removals,
    append_to_log,
    clear_pending,
    log_path,
    log_size,
    read_log,
    read_pending,
    require_settled,
    write_pending,
)

AT = "2026-01-31T12:00:00Z"
ONE = Removal("a/Zoë.jpg", "51f0", "77aa", "asked for", AT)
TWO = Removal("b.jpg", "", "", "asked for", AT)
MATE = Removal("c.jpg", "9901", "9902", "asked for", AT, because_of="b.jpg")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    write_pending(tmp_path, Pending((ONE, TWO), 0, "d1"))
    return tmp_path


def test_what_is_written_is_read(record: Path) -> None:
    pending = read_pending(record)
    assert pending == Pending((ONE, TWO), 0, "d1")
    append_to_log(record, pending)
    assert read_log(record) == [ONE, TWO]
    clear_pending(record)
    assert read_pending(record) is None
    require_settled(record)


@pytest.mark.parametrize("n_written", [0, 1, 60, len(ONE.line()), len(ONE.line()) + 9])
def test_a_line_cut_by_a_kill_is_completed(record: Path, n_written: int) -> None:
    log_path(record).write_bytes((ONE.line() + TWO.line())[:n_written])
    whole_lines = [ONE] if n_written >= len(ONE.line()) else []
    assert read_log(record) == whole_lines
    append_to_log(record, Pending((ONE, TWO), 0, "d1"))
    append_to_log(record, Pending((ONE, TWO, MATE), 0, "d1", is_taken_out=True))
    assert read_log(record) == [ONE, TWO, MATE]


def test_earlier_lines_are_never_touched(record: Path) -> None:
    append_to_log(record, Pending((ONE,), 0, "d1"))
    before = log_path(record).read_bytes()
    append_to_log(record, Pending((TWO,), log_size(record), "d2"))
    assert log_path(record).read_bytes() == before + TWO.line()


def test_what_only_shared_a_sample_may_come_back(record: Path) -> None:
    append_to_log(record, Pending((ONE, TWO, MATE), 0, "d1"))
    removals = Removals.read(record)
    assert removals.image_ids == {"a/Zoë.jpg", "b.jpg"}
    assert [removals.cover("new", digest) for digest in ("51f0", "77aa", "9901", "")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_damage_is_an_error(record: Path) -> None:
    append_to_log(record, Pending((ONE, TWO), 0, "d1"))
    path = log_path(record)
    data = path.read_bytes()
    clear_pending(record)
    for damaged, says in (
        (data[:-9], "line 2, is damaged"),
        (data.replace(b'"sha256"', b'"sha25"', 1), "line 1, is damaged"),
        (b"[]\n" + data, "line 1, is damaged"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=says):
            Removals.read(record)
    with pytest.raises(RunError, match="was changed by hand"):
        append_to_log(record, Pending((TWO,), 0, "d1"))
    (record / "removed" / PENDING).write_text("{}")
    with pytest.raises(RunError, match="is damaged, or of another version"):
        read_pending(record)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "removed" / LOG).mkdir(parents=True)
    with pytest.raises(RunError, match=r"log\.jsonl cannot be written"):
        append_to_log(tmp_path, Pending((ONE,), 0, "d1"))
