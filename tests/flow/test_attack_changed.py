# SPDX-License-Identifier: Apache-2.0
"""An attack that is run again after something changed under the same name, or went wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.attack.drawn_attack import (
    ONLY_RECOGNISE,
    Album,
    Feeble,
    Planted,
    draw_album,
    obfuscated,
    results,
)
from veilset.attack import stage
from veilset.attack.config import method_setting, release_setting
from veilset.attack.views import read_faces
from veilset.errors import ResumeMismatchError
from veilset.protocols import EngineSettings

pytestmark = pytest.mark.usefixtures("announced")


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    return draw_album(tmp_path_factory.mktemp("album"), n_people=8)


def test_another_list_of_people_is_refused_though_it_has_the_same_name(
    album: Album, tmp_path: Path
) -> None:
    out, who = tmp_path / "out", tmp_path / "who.csv"

    def write(shift: int) -> None:
        names = album.image_ids()
        people = [name.split("/")[0] for name in names]
        lines = [f"{a},{b}" for a, b in zip(names, people[shift:] + people[:shift], strict=True)]
        who.write_text("\n".join(["image_id,person", *lines]))

    config = replace(ONLY_RECOGNISE, identities=str(who))
    write(0)
    album.attack(config, out)
    write(2)
    with pytest.raises(ResumeMismatchError, match="identities_sha256 changed"):
        album.attack(config, out)
    # The same people from another file are the same.
    write(0)
    other = who.rename(tmp_path / "again.csv")
    album.attack(replace(config, identities=str(other)), out)


def test_another_version_of_a_method_is_refused(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    album.attack(ONLY_RECOGNISE, out)
    card = Feeble().card
    monkeypatch.setattr(Feeble, "card", property(lambda _: replace(card, version=2)))
    with pytest.raises(ResumeMismatchError, match=r'method feeble changed from .*"version": 1'):
        album.attack(ONLY_RECOGNISE, out)


def test_a_release_made_anew_is_refused(album: Album, tmp_path: Path) -> None:
    release, record = tmp_path / "release", tmp_path / "release.veilset" / "obfuscate"
    obfuscated(album, release)
    record.mkdir(parents=True)
    config = replace(ONLY_RECOGNISE, settings=(release_setting(f"released={release}"),))
    (record / "run.json").write_text('{"outputs_sha256": "1"}')
    album.attack(config, tmp_path / "out")
    (record / "run.json").write_text('{"outputs_sha256": "2"}')
    with pytest.raises(ResumeMismatchError, match="release_sha256 released changed from '1'"):
        album.attack(config, tmp_path / "out")


def test_what_was_computed_back_may_be_left_out_later(album: Album, tmp_path: Path) -> None:
    out, swirl = tmp_path / "out", (method_setting("swirl"),)
    both = replace(ONLY_RECOGNISE, settings=swirl, attacks=("recognise", "restore-known"))
    album.attack(both, out)
    before = results(out)
    album.attack(replace(both, attacks=("recognise",)), out)
    assert results(out) == before
    album.attack(replace(both, attacks=("recognise",)), tmp_path / "other")
    with pytest.raises(ResumeMismatchError, match="restore-known changed from False"):
        album.attack(both, tmp_path / "other")


def test_an_embedding_that_is_no_number_is_one_photograph_s_failure(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, seen = Planted.embed, 0

    def embed_badly(self: Planted, chips: Any) -> Any:
        nonlocal seen
        seen += 1
        return embed(self, chips) * (np.nan if seen == 4 else 1)

    monkeypatch.setattr(Planted, "embed", embed_badly)
    engine = EngineSettings("local", n_processes=1)
    summary = stage.attack_dataset(
        album.photos, album.annotations, tmp_path / "out", ONLY_RECOGNISE, workers=1, engine=engine
    )
    assert summary.counts["failed"] == 1
    (row,) = (each for each in read_faces(tmp_path / "out/look", 7) if each["reason"])
    assert row["reason"] == "embedding"
    assert "'planted' gives an embedding of this face in 'veil:cells=4' that" in row["message"]
