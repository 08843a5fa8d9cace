# SPDX-License-Identifier: Apache-2.0
"""Annotation sets from and for other tools, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.flow.command import command
from veilset.annotations.formats.registry import FORMATS
from veilset.annotations.store import AnnotationSet
from veilset.types import Annotations

TASKS = """[
  {"data": {"image": "/data/local-files/?d=a/one.png"},
   "annotations": [{"result": [{"type": "rectanglelabels", "original_width": 80,
     "original_height": 60, "from_name": "label", "to_name": "image",
     "value": {"x": 25, "y": 50, "width": 25, "height": 25, "rotation": 0,
               "rectanglelabels": ["Head"]}}]}]},
  {"data": {"image": "/data/local-files/?d=a/two.png"}, "annotations": [{"result": []}]}
]"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos/a").mkdir(parents=True)
    for name in ("one", "two"):
        noise = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"photos/a/{name}.png")
    (tmp_path / "tasks.json").write_text(TASKS)
    return tmp_path


def boxes(annotations: Path) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    def of(row: Annotations) -> list[tuple[str, tuple[float, ...]]]:
        return [
            (each.kind, tuple(round(side, 9) for side in each.box_xyxy)) for each in row.regions
        ]

    return {row.image_id: of(row) for row in AnnotationSet(annotations)}


def test_every_format_takes_a_set_out_and_brings_it_back(folder: Path) -> None:
    photos, ann = ("--photos", folder / "photos"), folder / "ann"
    command("annotations", "import", folder / "tasks.json", "-f", "label-studio", *photos,
            "-o", ann, "--label", "Head=face")  # fmt: skip
    expected = {"a/one.png": [("face", (20.0, 30.0, 40.0, 45.0))], "a/two.png": []}
    assert boxes(ann) == expected
    for name in FORMATS:
        there, back = folder / f"there.{name}", folder / f"back.{name}"
        command("annotations", "export", ann, "-f", name, "-o", there)
        command("annotations", "import", there, "-f", name, *photos, "-o", back)
        assert boxes(back) == expected
    listed = command("annotations", "formats").stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(FORMATS)


def test_an_export_leaves_what_is_there_alone(folder: Path) -> None:
    ann, there = folder / "ann", folder / "mine.txt"
    command("annotations", "import", folder / "tasks.json", "-f", "label-studio", "-o", ann,
            "--label", "Head=face")  # fmt: skip
    there.write_text("mine")
    for name in FORMATS:
        said = command("annotations", "export", ann, "-f", name, "-o", there, code=1).stderr
        assert f"{there} is there already" in said
        assert there.read_text() == "mine"
    assert not list(folder.glob(".veilset-part-*"))


def test_a_set_without_its_photographs_hides_nothing(folder: Path) -> None:
    ann = folder / "ann"
    said = command("annotations", "import", folder / "tasks.json", "-f", "label-studio", "-o", ann)
    assert "audits and exports only" in said.stderr
    for verb in (
        ("obfuscate", folder / "photos", "-a", ann, "-o", folder / "out"),
        ("review", "open", folder / "photos", "-a", ann, "-d", folder / "review.sqlite"),
    ):
        assert "without its photographs" in command(*verb, code=1).stderr
    assert not (folder / "out").exists()


def test_a_set_without_its_photographs_can_be_audited(folder: Path) -> None:
    ann, out = folder / "ann", folder / "audit"
    command("annotations", "import", folder / "tasks.json", "-f", "label-studio", "-o", ann,
            "--label", "Head=face")  # fmt: skip
    done = command("audit", "-a", ann, "-o", out, "--name", "Two pictures", "--quiet")
    assert done.stdout.strip() == str(out / "index.html")
    assert "Of 2 searched images, 1 holds a face: 50.0 %" in done.stderr
    assert "Two pictures" in (out / "index.html").read_text()
    known = json.loads((out / "audit.json").read_text())
    assert known["per_image"]["images_by_regions"] == [[0, 1], [1, 1]]
    said = command("audit", folder / "no", "-a", ann, "-o", out, code=1).stderr
    assert "no" in said
    assert "--annotations" in command("audit", folder / "photos", "-o", out, code=2).stderr


def test_wrong_input_is_one_sentence(folder: Path) -> None:
    def error(*arguments: str | Path) -> str:
        said = command("annotations", *arguments, "-o", folder / "x", code=1).stderr
        assert "Traceback" not in said
        return said

    tasks = folder / "tasks.json"
    assert "Did you mean 'coco'" in error("import", tasks, "-f", "cocoo")
    assert "LABEL=KIND" in error("import", tasks, "-f", "label-studio", "--label", "Head")
    assert "several" in error("import", tasks, "-f", "coco", "--several", "all")
    assert "size" in error("import", folder, "-f", "yolo")
    (folder / "broken.json").write_text("[{")
    assert "broken.json" in error("import", folder / "broken.json", "-f", "label-studio")
