# SPDX-License-Identifier: Apache-2.0
"""What is no annotation set is refused in a sentence, by every verb that takes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.command import command
from tests.unit.synthesize.drawn_photographs import write_drawn_photographs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, their boxes, a release with its record, and a file."""
    folder = write_drawn_photographs(tmp_path_factory.mktemp("sets") / "set", 2)
    command("obfuscate", folder / "photos", "-a", folder / "boxes", "-o", folder / "out")
    (folder / "note.txt").write_text("boxes: see below")
    return folder


VERBS = {
    "obfuscate": ("obfuscate", "photos", "-a", "WRONG", "-o", "new"),
    "audit": ("audit", "photos", "-a", "WRONG", "-o", "new"),
    "layer": ("layer", "WRONG", "new.arrow"),
    "export": ("annotations", "export", "WRONG", "-o", "new", "-f", "coco"),
    "attack run": (
        "attack",
        "run",
        "photos",
        "-a",
        "WRONG",
        "-o",
        "new",
        "--identities",
        "who.csv",
    ),
    "review open": ("review", "open", "photos", "-a", "WRONG", "-d", "new.db"),
    "synthesize select": (
        "synthesize",
        "select",
        "photos",
        "-a",
        "WRONG",
        "-o",
        "new",
        "--classifier",
        "photos",
    ),
}


@pytest.mark.parametrize("verb", list(VERBS))
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("out.veilset/obfuscate", "holds a run of 'obfuscate', and no annotation set. Give what"),
        ("photos", "holds no run of Veilset: run.json is missing"),
    ],
)
def test_a_folder_that_is_no_set(
    wrong: str, told: str, verb: str, folder: Path, tmp_path: Path
) -> None:
    refused(verb, folder / wrong, folder, tmp_path, told)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"obfuscate"}))
def test_a_file_that_is_no_set(verb: str, folder: Path, tmp_path: Path) -> None:
    refused(verb, folder / "note.txt", folder, tmp_path, "Give a folder.")


def refused(verb: str, wrong: Path, folder: Path, tmp_path: Path, told: str) -> None:
    (tmp_path / "who.csv").write_text("image_id,person\n00.png,a\n01.png,a\n")
    places = {
        "photos": folder / "photos",
        "WRONG": wrong,
        "who.csv": tmp_path / "who.csv",
        "new": tmp_path / "new",
        **{f"new.{end}": tmp_path / f"new.{end}" for end in ("db", "arrow")},
    }
    said = command(*(places.get(word, word) for word in VERBS[verb]), code=1).stderr
    assert told in said, said
    assert [path.name for path in tmp_path.iterdir()] == ["who.csv"]
