# SPDX-License-Identifier: Apache-2.0
"""A kind that is spelt wrong never lets a face through: no verb takes it for "nothing to do"."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.flow.command import command
from tests.unit.synthesize.drawn_photographs import write_boxes, write_drawn_photographs
from veilset.annotations.store import AnnotationSet
from veilset.types import Annotations, Status


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_drawn_photographs(tmp_path_factory.mktemp("drawn") / "set", 3)


@pytest.mark.parametrize("kind", ["Face", " face", "", "nosuch"])
def test_a_kind_that_the_set_lacks_is_refused_and_nothing_is_written(
    kind: str, drawn: Path, tmp_path: Path
) -> None:
    photos, boxes = drawn / "photos", drawn / "boxes"
    for words in (
        ("obfuscate", photos, "-a", boxes, "-o", tmp_path / "out"),
        ("layer", boxes, tmp_path / "layer.arrow"),
        ("annotations", "export", boxes, "-o", tmp_path / "boxes.json", "-f", "coco"),
    ):
        # One that is there does not make up for one that is not.
        for asked in (("--kind", kind), ("--kind", "face", "--kind", kind)):
            said = command(*words, *asked, code=1).stderr
            assert f"no region of kind {kind!r}. It has: face." in said
    assert not list(tmp_path.iterdir())


def test_a_kind_that_is_there_is_taken(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command("obfuscate", drawn / "photos", "-a", drawn / "boxes", "-o", out, "--kind", "face")
    for photo in (drawn / "photos").iterdir():
        assert (out / photo.name).read_bytes() != photo.read_bytes()


def test_a_set_without_regions_has_nothing_to_hide(tmp_path: Path) -> None:
    drawn = write_drawn_photographs(tmp_path / "set", 1)
    (row,) = AnnotationSet(drawn / "boxes")
    bare: Annotations = replace(row, regions=())
    assert bare.status is Status.LOOKED
    (drawn / "boxes").rename(tmp_path / "old")
    write_boxes(drawn, **{"00": bare})
    AnnotationSet(drawn / "boxes").require_kinds(["face"])
