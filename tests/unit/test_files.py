# SPDX-License-Identifier: Apache-2.0
"""Files appear whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.attack.views import PRIVATE, write_seen
from veilset.errors import RunError
from veilset.files import (
    make_private,
    ordered_name,
    part_path,
    read_object,
    sha256_file,
    sha256_hex,
    write_atomically,
)
from veilset.study.kept import KeptFolder


def test_digests_agree(tmp_path: Path) -> None:
    data = bytes(range(256)) * 999
    (tmp_path / "x").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert sha256_hex(data) == sha256_file(tmp_path / "x") == expected


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    write_atomically(path, b"old")

    def no_space(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(RunError, match="No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_on_the_way_is_said_and_nothing_hides_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "x"
    with pytest.raises(RunError, match=r"file/x cannot be written \(Not a directory\)"):
        write_atomically(path, b"x")


def test_a_long_name_gets_a_short_part_name(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 120 + ".jpg")
    write_atomically(path, b"x")
    assert len(part_path(path).name.encode()) < 64
    assert part_path(path).name.startswith(".")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "{}", "[" * 100_000, "\xff"])
def test_a_damaged_object_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kept.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match=r"kept\.json is damaged: it .*\. Restore it\."):
        read_object(path, "Restore it.", ("value",))
    with pytest.raises(RunError, match=r"none\.json cannot be read .*\. Restore it\."):
        read_object(tmp_path / "none.json", "Restore it.")


def test_what_was_not_finite_is_read_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_text('{"value": 1.5, "ends": [-Infinity, {"high": Infinity}, NaN]}')
    expected = {"value": 1.5, "ends": [None, {"high": None}, None]}
    assert read_object(path, "Restore it.") == expected


@given(st.sets(st.integers(0, 10**8) | st.integers(0, 200).map(lambda n: n * 100_000 - (n > 0))))
def test_names_of_numbers_sort_as_the_numbers_do(numbers: set[int]) -> None:
    ordered = sorted(numbers)
    assert sorted(f"shard-{ordered_name(number)}.parquet" for number in numbers) == [
        f"shard-{ordered_name(number)}.parquet" for number in ordered
    ]
    assert len({ordered_name(number) for number in numbers}) == len(numbers)


def rights(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def test_a_private_folder_is_private_also_if_it_was_there(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "new")
    assert rights(tmp_path / "a" / "new") == 0o700
    (tmp_path / "old").mkdir()
    (tmp_path / "old").chmod(0o755)
    make_private(tmp_path / "old")
    assert rights(tmp_path / "old") == 0o700
    (tmp_path / "narrow").mkdir(mode=0o500)
    make_private(tmp_path / "narrow")
    assert rights(tmp_path / "narrow") == 0o500


def test_folders_that_hold_faces_are_narrowed(tmp_path: Path) -> None:
    for name in (PRIVATE, "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    write_seen(tmp_path, {}, 0, [])
    with KeptFolder(tmp_path / "kept", 0):
        found = {name: rights(tmp_path / name) for name in (PRIVATE, "kept")}
    assert set(found.values()) == {0o700}
