# SPDX-License-Identifier: Apache-2.0
"""What an attack refuses before it writes anything, each in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import files_below
from tests.flow.command import command
from tests.unit.attack.drawn_attack import (
    ONLY_RECOGNISE,
    QUICK,
    Album,
    draw_album,
    obfuscated,
    planted_plugins,
    results,
)
from veilset.attack import stage
from veilset.attack.config import Setting, method_setting, release_setting
from veilset.errors import (
    ConfigError,
    DatasetError,
    MissingExtraError,
    RunError,
    UnknownPluginError,
    VeilsetError,
)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Album]:
    with planted_plugins(tmp_path_factory.mktemp("package")):
        yield draw_album(tmp_path_factory.mktemp("album"), n_people=4)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"recogniser": "plantd"}, UnknownPluginError, "Did you mean 'planted'"),
        ({"recogniser": "headless"}, ConfigError, "It has no weights"),
        ({"settings": (method_setting("feebl"),)}, UnknownPluginError, "Did you mean 'feeble'"),
        ({"settings": (method_setting("feeble:level=3"),)}, ConfigError, "no parameter 'level'"),
        ({"settings": (method_setting("feeble:levels=x"),)}, ConfigError, "Give a whole number"),
        ({"settings": (Setting("gone", release="/no/such/folder"),)}, DatasetError, "no/such"),
        ({"identities": "/no/such/file"}, ConfigError, "cannot be read"),
        ({"least_side_px": 500}, DatasetError, "face below 500 px"),
        ({"face_min_score": 0.99}, DatasetError, "no face found"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_is_written(
    album: Album, tmp_path: Path, changes: dict[str, Any], error: type[VeilsetError], says: str
) -> None:
    with pytest.raises(error, match=says):
        album.attack(replace(QUICK, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_release_of_other_photographs_is_refused_before_the_look(
    album: Album, tmp_path: Path
) -> None:
    for name in ("empty", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "other" / "mine.png").write_bytes(b"no picture")
    for name in ("empty", "other"):
        setting = release_setting(f"released={tmp_path / name}")
        with pytest.raises(DatasetError, match=f"'released' in .*{name} has none of the photog"):
            album.attack(replace(QUICK, settings=(setting,)), tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [0, -1, 100_000])
def test_workers_that_cannot_be_are_refused(album: Album, tmp_path: Path, workers: int) -> None:
    with pytest.raises(ConfigError, match=f"--workers is {workers}"):
        album.attack(QUICK, tmp_path / "out", workers=workers)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("missing", "attacks", "says"),
    [
        ("sklearn", QUICK.attacks, "scikit-learn is not installed.*pip install 'veilset"),
        ("skimage", QUICK.attacks, "scikit-image is not installed"),
        (
            "torch",
            ("assessor", "parrot-network"),
            "PyTorch.*--without assessor --without parrot-ne",
        ),
    ],
)
def test_a_library_that_is_missing_is_named_first(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str,
    attacks: tuple[str, ...], says: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        stage, "find_spec", lambda name: None if name == missing else find_spec(name)
    )
    with pytest.raises(MissingExtraError, match=says):
        album.attack(replace(QUICK, attacks=attacks), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_foreign_folder_is_left_alone(album: Album, tmp_path: Path) -> None:
    for name in ("notes.txt", "look/mine.png"):
        folder = tmp_path / name.replace("/", "-")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"mine")
        with pytest.raises(RunError, match="not empty"):
            album.attack(QUICK, folder)
        assert (folder / name).read_bytes() == b"mine"
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(DatasetError, match="file is a file, and a folder is needed"):
        album.attack(QUICK, tmp_path / "file")


def test_a_folder_in_a_data_set_is_refused(album: Album, tmp_path: Path) -> None:
    release = obfuscated(album, tmp_path / "release")
    config = replace(QUICK, settings=(release_setting(f"out={release}"),))
    for inside in (album.photos, release):
        before = files_below(inside)
        for out in (inside, inside / "attack"):
            with pytest.raises(DatasetError, match="lie in each other"):
                album.attack(config, out)
        assert files_below(inside) == before


def test_pages_for_people_may_lie_in_the_attack_and_not_in_a_data_set(
    album: Album, tmp_path: Path
) -> None:
    release = obfuscated(album, tmp_path / "release")
    config = replace(ONLY_RECOGNISE, settings=(release_setting(f"out={release}"),))
    out = tmp_path / "attack"
    album.attack(config, out)
    ask = ("attack", "ask", out, "--per-setting", "1", "--candidates", "3", "-o")
    for inside in (album.photos, release / "pages"):
        assert "lie in each other" in command(*ask, inside, code=1).stderr
        assert not (inside / "key.json").exists()
    command(*ask, out)
    before = results(out)
    album.attack(config, out)
    assert results(out) == before


def test_the_command_tells_and_refuses(album: Album, tmp_path: Path) -> None:
    words = (
        "attack", "run", album.photos, "-a", album.annotations, "-o", tmp_path / "out",
        "--recogniser", "planted", "--method", "feeble", "--chip", "32", "--only", "recognise",
    )  # fmt: skip
    told = command(*words)
    assert "No setting can be recommended" in told.stdout + told.stderr
    assert (tmp_path / "out" / "summary.md").exists()
    for more, says in (
        (("--only", "guess"), "There is no attack 'guess'"),
        (("--method", "feeble:levels"), "not of the form KEY=VALUE"),
        (("--release", "nameless"), "not of the form NAME=PLACE"),
        (("--chip", "33"), "Give a multiple of 16"),
    ):
        refused = command(*words, *more, code=None)
        assert refused.returncode == 2 or refused.returncode == 1
        assert says in refused.stderr
    assert "scene" in command("attack", "list").stdout
