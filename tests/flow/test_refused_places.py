# SPDX-License-Identifier: Apache-2.0
"""Where nothing can be written, every verb says so in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.flow.command import command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, an annotation set of them, and a file that verbs are to take for a folder."""
    base = tmp_path_factory.mktemp("places")
    (base / "photos").mkdir()
    noise = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(base / "photos/a.png")
    command("detect", base / "photos", "-o", base / "ann", "--effort", "fast", "-q")
    (base / "file").touch()
    return base


@pytest.mark.parametrize(
    "words",
    [
        "detect PHOTOS -o OUT",
        "obfuscate PHOTOS -a ANN -o OUT",
        "run PHOTOS OUT",
        "layer ANN OUT.arrow",
        "audit -a ANN -o OUT",
        "annotations export ANN -f coco -o OUT",
        "annotations export ANN -f yolo -o OUT",
    ],
)
@pytest.mark.parametrize("out", ["file/x", "file/x/y"])
def test_a_file_on_the_way_gets_one_sentence(folder: Path, words: str, out: str) -> None:
    swap = {"PHOTOS": "photos", "ANN": "ann", "OUT": out, "OUT.arrow": f"{out}.arrow"}
    done = command(*(folder / swap[w] if w in swap else w for w in words.split()), code=1)
    assert "Not a directory" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (folder / "file").read_bytes() == b""


@pytest.mark.parametrize(
    "words",
    [
        "detect PHOTOS -o OUT",
        "obfuscate PHOTOS -a ANN -o OUT",
        "run PHOTOS OUT",
        "verify PHOTOS OUT -a ANN",
        "attack run PHOTOS -a ANN -o OUT --method blur",
    ],
)
def test_a_file_in_place_of_the_folder_gets_one_sentence(folder: Path, words: str) -> None:
    swap = {"PHOTOS": "photos", "ANN": "ann", "OUT": "file"}
    done = command(*(folder / swap[w] if w in swap else w for w in words.split()), code=1)
    expected = f"{folder / 'file'} is a file, and a folder is needed. Choose another name."
    assert done.stderr == f"veilset: {expected}\n"
    assert (folder / "file").read_bytes() == b""


@pytest.mark.parametrize(
    "words",
    ["detect LONG -o OUT", "run PHOTOS LONG", "obfuscate PHOTOS -a LONG -o OUT", "layer ANN LONG"],
)
def test_a_name_that_is_too_long_gets_one_sentence(folder: Path, words: str) -> None:
    swap = {"PHOTOS": "photos", "ANN": "ann", "OUT": "out", "LONG": "a" * 300 + ".arrow"}
    done = command(*(folder / swap[w] if w in swap else w for w in words.split()), code=1)
    assert "cannot be used (File name too long)" in done.stderr
    assert done.stderr.count("\n") == 1
