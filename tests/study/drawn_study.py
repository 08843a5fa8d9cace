# SPDX-License-Identifier: Apache-2.0
"""A drawn study with its YAML file, for what does not look at pixels."""

from __future__ import annotations

from pathlib import Path

from tests.study.drawn_pictures import annotate, draw_photos
from veilset.obfuscate.stage import obfuscate_dataset

TEXT = """\
format: veilset-study/1
data: {annotations: faces}
settings:
  original: {root: photos}
  released: {root: released}
networks: [resnet18, {name: alexnet, lr: 0.01}]
seeds: [1, 2]
recipe: {base: small, epochs: 1, warmup_epochs: 0}
"""


def draw_study(base: Path, text: str = TEXT) -> Path:
    """Draw originals, obfuscate them, and write ``study.yaml`` beside; give its path."""
    draw_photos(base / "photos")
    annotate(base / "photos", base / "faces")
    obfuscate_dataset(base / "photos", base / "faces", base / "released")
    path = base / "study.yaml"
    path.write_text(text)
    return path
