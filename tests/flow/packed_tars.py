# SPDX-License-Identifier: Apache-2.0
"""Tar files of drawn pictures, taken apart and put together anew, and releases of them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.verify.drawn import (
    Release,
    planted_detectors,
    release_both,
)

Members = list[tuple[tarfile.TarInfo, bytes]]


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.uid, info.mode = len(data), 1_700_000_000, 1001, 0o640
    tar.addfile(info, io.BytesIO(data))


def pack(photos: Path, tars: Path, n_each: int = 3) -> None:
    """Pack a folder of pictures, ``n_each`` to a tar file, each with a caption and a label."""
    tars.mkdir(parents=True)
    files = sorted(path for path in photos.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))
    for at in range(0, len(files), n_each):
        with tarfile.open(tars / f"{at // n_each:05d}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            add(tar, "README", b"of this shard")
            # Not in the order of the names: the order of the source has to stay.
            for path in reversed(files[at : at + n_each]):
                key = path.relative_to(photos).with_suffix("").as_posix()
                add(tar, f"{key}.txt", f"a picture of {key}, Zoë".encode())
                add(tar, f"{key}{path.suffix}", path.read_bytes())
                add(tar, f"{key}.json", json.dumps({"key": key}).encode())
    with tarfile.open(tars / "99999.tar", "w") as tar:
        add(tar, "words/only.txt", b"no picture at all")


def members(path: Path) -> Members:
    with tarfile.open(path, "r:") as tar:
        return [(info, (tar.extractfile(info) or io.BytesIO()).read()) for info in tar]


def contents(path: Path) -> dict[str, bytes]:
    return {info.name: data for info, data in members(path)}


def repack(path: Path, change: Callable[[Members], Members]) -> None:
    """Write a tar file anew with other members, as an attacker or a careless owner would."""
    changed = change(members(path))
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in changed:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Release, Release]]:
    """The same pictures as a folder and as tar files, both released."""
    base = tmp_path_factory.mktemp("layouts")
    with planted_detectors():
        yield release_both(base, pack)


@pytest.fixture
def packed(both: tuple[Release, Release], tmp_path: Path) -> Release:
    return both[1].copy(tmp_path / "copy")
