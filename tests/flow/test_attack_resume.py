# SPDX-License-Identifier: Apache-2.0
"""Killed at any instant and run again, an attack comes to the same, and keeps nothing private."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, times
from tests.flow.killed_attack import CONFIG, digest
from tests.unit.attack.drawn_attack import Album, draw_album, planted_plugins
from veilset.errors import RunError
from veilset.locks import lock_folder
from veilset.runs import make_folder


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Album]:
    with planted_plugins(tmp_path_factory.mktemp("package")):
        yield draw_album(tmp_path_factory.mktemp("album"), n_people=4)


def test_killed_around_writes_and_resumed_it_is_the_same(album: Album, tmp_path: Path) -> None:
    n = times(6, 60)
    done = subprocess.run(
        [sys.executable, "-m", "tests.flow.killed_attack", album.base, tmp_path, str(n)],
        cwd=REPOSITORY,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["n_killed"] >= n // 2
    assert len(result["digests"]) == 1
    assert len(result["digests"][0]) == 64, "something was left behind"


def test_killed_while_private_files_go_another_attack_can_be_made(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    album.attack(CONFIG, whole)
    removed = shutil.rmtree

    def halfway(folder: Path) -> None:
        removed(folder / "clear")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("veilset.attack.views.shutil.rmtree", halfway)
        with pytest.raises(KeyboardInterrupt):
            album.attack(replace(CONFIG, attacks=("recognise",)), out)
    album.attack(CONFIG, out)
    assert digest(out) == digest(whole)


def test_two_commands_never_work_on_one_folder(album: Album, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make_folder(out)
    held = lock_folder(out)
    with pytest.raises(RunError, match="Another process is working"):
        album.attack(CONFIG, out)
    os.close(held)
    album.attack(CONFIG, out)
