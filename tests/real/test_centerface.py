# SPDX-License-Identifier: Apache-2.0
"""CenterFace on photographs: found where people marked them, the same on every runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from veilset.boxes import iou
from veilset.detect.centerface import load_network
from veilset.protocols import DetectorSettings
from veilset.types import FloatBoxes, Image

pytestmark = pytest.mark.real


def opened(path: Path) -> Image:
    with PillowImage.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.fixture(scope="module")
def photos(real_data: Path) -> list[Image]:
    paths = sorted((real_data / "imagenet_sample").rglob("*.JPEG"))[::8]
    assert len(paths) > 20
    return [opened(path) for path in paths]


def test_runtimes_agree_on_photographs(photos: list[Image]) -> None:
    ours = load_network(DetectorSettings()).look(photos, floor=0.2)
    other = load_network(DetectorSettings(runtime="onnxruntime")).look(photos, floor=0.2)
    assert sum(map(len, ours)) >= 15
    for a, b in zip(ours, other, strict=True):
        assert len(a) == len(b)
        if len(a):
            assert np.diag(iou(a.boxes_xyxy, b.boxes_xyxy)).min() > 0.999
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)


def test_fast_precision_finds_the_sure_faces(photos: list[Image]) -> None:
    full = load_network(DetectorSettings()).look(photos, floor=0.5)
    fast = load_network(DetectorSettings(precision="fast")).look(photos, floor=0.4)
    for a, b in zip(full, fast, strict=True):
        for box in a.boxes_xyxy:
            assert iou(box[None], b.boxes_xyxy).max(initial=0.0) > 0.8


def marked_faces(folder: Path) -> dict[str, FloatBoxes]:
    """Read the marked faces of at least 16 px that are not marked invalid."""
    lines = (folder / "wider_face_val_bbx_gt.subset.txt").read_text(encoding="utf-8").splitlines()
    faces: dict[str, FloatBoxes] = {}
    at = 0
    while at < len(lines):
        name, count = lines[at], int(lines[at + 1])
        rows = [[float(value) for value in line.split()] for line in lines[at + 2 : at + 2 + count]]
        kept = [
            (x, y, x + w, y + h) for x, y, w, h, *flags in rows if min(w, h) >= 16 and not flags[3]
        ]
        faces[name] = np.array(kept).reshape(-1, 4)
        at += 2 + max(count, 1)  # a photograph without faces still has one line of zeros
    return faces


def test_one_look_finds_what_people_marked(real_data: Path) -> None:
    folder = real_data / "wider_val_subset"
    network = load_network(DetectorSettings())
    n_found = n_marked = 0
    for name, marked in sorted(marked_faces(folder).items())[::8]:
        path = next(folder.rglob(Path(name).name))
        (found,) = network.look([opened(path)], floor=0.2)
        n_marked += len(marked)
        if len(marked) and len(found):
            n_found += int((iou(marked, found.boxes_xyxy).max(axis=1) >= 0.5).sum())
    assert n_marked > 100
    # 0.92 over all 195 photographs; this is every eighth.
    assert n_found / n_marked > 0.85
