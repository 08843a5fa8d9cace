# SPDX-License-Identifier: Apache-2.0
"""The gate raises no false alarm, whatever the format, and sees through each of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.unit.verify.drawn import (
    CELL,
    MAGENTA,
    QUIET,
    Release,
    annotate,
    draw,
    exif_bytes,
    forge,
    make_release,
    planted_detectors,
)
from veilset.metadata.clean import clean_metadata
from veilset.records.verdicts import Verdict
from veilset.types import Region

FACE = Region((CELL + 16.0, 16.0, CELL + 64.0, 64.0))
TURNED = Region((16.0, CELL + 16.0, 64.0, CELL + 64.0))


def picture(mode: str) -> PillowImage.Image:
    image = PillowImage.fromarray(draw(3, 1, {(1, 0): MAGENTA}))
    if mode == "RGBA":
        image.putalpha(PillowImage.fromarray(np.full((CELL, 3 * CELL), 200, np.uint8)))
        return image
    if mode == "I;16":
        grey = np.asarray(image.convert("L")).astype(np.uint16)
        return PillowImage.fromarray(grey * 257)
    return image.convert(mode)


FORMATS: dict[str, tuple[str, str, dict[str, object]]] = {
    "420.jpg": ("RGB", "JPEG", {"subsampling": 2}),
    "422.jpg": ("RGB", "JPEG", {"subsampling": 1}),
    "444.jpg": ("RGB", "JPEG", {"subsampling": 0}),
    "progressive.jpg": ("RGB", "JPEG", {"progressive": True}),
    "gray.jpg": ("L", "JPEG", {}),
    "turned.jpg": ("RGB", "JPEG", {"exif": exif_bytes(orientation=6, gps=True)}),
    "rgb.png": ("RGB", "PNG", {}),
    "rgba.png": ("RGBA", "PNG", {}),
    "gray.png": ("L", "PNG", {}),
    "deep.png": ("I;16", "PNG", {}),
    "palette.png": ("P", "PNG", {}),
    "rgb.tif": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "rgb.bmp": ("RGB", "BMP", {}),
    "lossless.webp": ("RGB", "WEBP", {"lossless": True}),
    "lossy.webp": ("RGB", "WEBP", {"quality": 90}),
    "lossy.avif": ("RGB", "AVIF", {"quality": 90}),
}


def encoded(name: str) -> bytes:
    mode, kind, options = FORMATS[name]
    stream = io.BytesIO()
    picture(mode).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    release = Release(tmp_path_factory.mktemp("formats") / "base")
    for folder in ("face", "none"):
        (release.photos / folder).mkdir(parents=True)
        for name in FORMATS:
            (release.photos / folder / name).write_bytes(encoded(name))
    annotate(
        release,
        {f"face/{name}": [TURNED if name == "turned.jpg" else FACE] for name in FORMATS},
    )
    with planted_detectors():
        yield make_release(release.base)


def test_every_format_passes_with_and_without_a_region(release: Release) -> None:
    summary = release.verify()
    assert release.found() == {}
    assert summary.counts["passed"] == 2 * len(FORMATS)
    assert summary.counts["searched_touched"] == len(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_the_original_behind_a_false_record_is_seen_in_every_format(
    release: Release, tmp_path: Path, name: str
) -> None:
    copy = release.copy(tmp_path / "copy")
    forge(copy, f"face/{name}", clean_metadata((copy.photos / f"face/{name}").read_bytes()))
    with planted_detectors():
        assert copy.found(QUIET) == {f"face/{name}": (Verdict.LEAK, {"shows-through"})}
