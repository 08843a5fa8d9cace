# SPDX-License-Identifier: Apache-2.0
"""A drawn data set with an annotation set, and the look at both with planted models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.unit.audit.drawn_set import face, failed, not_looked, write_set
from tests.unit.audit.planted import (
    plant,
    searched,
    write_photo,
)
from veilset.annotations.store import AnnotationSet
from veilset.audit.config import AuditConfig
from veilset.audit.estimators import open_estimators
from veilset.audit.looking import look_dataset
from veilset.dataset.folder import FolderReader
from veilset.runs import RunSummary
from veilset.types import Annotations, Origin

ALL = AuditConfig(demographics="planted", classify="planted", nsfw=True, shard_size=3)


SMALL = face((1, 1, 8, 30))


class Place:
    """A data set, its annotation set, and where the look goes."""

    def __init__(self, folder: Path) -> None:
        self.photos, self.set, self.out = folder / "photos", folder / "set", folder / "look"
        rows: list[Annotations] = []
        for i in range(8):
            name = f"{'ab'[i % 2]}/{i}.png"
            write_photo(self.photos / name, 20 + i)
            regions = [face((2 * j, 3, 2 * j + 12, 20), origin=Origin.REVIEWED)
                       for j in range(i % 3)]  # fmt: skip
            rows.append(searched(self.photos, name, *regions, *([SMALL] if i == 4 else [])))
        write_photo(self.photos / "c" / "unsearched.png", 90)
        write_photo(self.photos / "c" / "broken.png", 91)
        rows += [not_looked("c/unsearched.png"), failed("c/broken.png")]
        self.rows = {row.image_id: row for row in rows}
        self.write(rows)

    def write(self, rows: list[Annotations]) -> None:
        shutil.rmtree(self.set, ignore_errors=True)
        write_set(self.set, rows, 4)

    def look(self, config: AuditConfig = ALL, workers: int = 2, **how: Any) -> RunSummary:
        out = how.pop("out", self.out)
        return look_dataset(
            FolderReader(self.photos), AnnotationSet(self.set), out, config,
            open_estimators(config, workers), workers=workers, **how,
        )  # fmt: skip

    def found(self) -> dict[str, Annotations]:
        return {row.image_id: row for row in AnnotationSet(self.out)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    plant(monkeypatch)
    return Place(tmp_path)
