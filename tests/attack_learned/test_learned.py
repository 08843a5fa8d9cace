# SPDX-License-Identifier: Apache-2.0
"""The attacks that train networks, from photographs to rows, on drawn people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.unit.attack.drawn_attack import QUICK, Album, draw_album, planted_plugins
from veilset.attack.config import method_setting
from veilset.errors import ConfigError

CONFIG = replace(
    QUICK, settings=(method_setting("feeble"),), device="cpu", epochs=2,
    attacks=("restore-learned", "parrot-network", "assessor"),
)  # fmt: skip


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Album]:
    with planted_plugins(tmp_path_factory.mktemp("package")):
        made = draw_album(tmp_path_factory.mktemp("album"), n_people=3)
        made.attack(CONFIG)
        yield made


def rows(out: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(out / "results.parquet").to_pylist()
    return found


def test_every_learned_attack_gives_numbers_with_intervals(album: Album) -> None:
    found = rows(album.out)
    made = {(row["setting"], row["attack"]) for row in found if row["measure"] == "rank-1"}
    both = {(name, attack) for name in ("clear", "filled", "feeble")
            for attack in ("parrot-network", "assessor")}  # fmt: skip
    assert made == both | {("feeble", "restore-learned")}
    restored = {row["measure"]: row for row in found if row["attack"] == "restore-learned"}
    assert {"PSNR of obfuscated faces", "PSNR of restored faces"} <= set(restored)
    assert restored["PSNR of obfuscated faces"]["value"] > 40  # type: ignore[operator]  # a number
    for row in found:
        if row["attack"] == "assessor":
            assert row["protocol"] == "3 people, trained on clear"


def test_the_same_seed_gives_the_same_tables(album: Album, tmp_path: Path) -> None:
    album.attack(CONFIG, tmp_path / "out")
    for name in ("results.parquet", "summary.md"):
        assert (tmp_path / "out" / name).read_bytes() == (album.out / name).read_bytes()


def test_a_device_that_is_not_there_is_told_before_the_look(album: Album, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no device 'cuda:99' here"):
        album.attack(replace(CONFIG, device="cuda:99"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
