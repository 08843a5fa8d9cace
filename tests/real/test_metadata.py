# SPDX-License-Identifier: Apache-2.0
"""Cleaning on real files: every robustness file, and photographs from ImageNet."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.metadata.samples import exif_of
from veilset.errors import DecodeError
from veilset.metadata.clean import (
    POLICIES,
    clean_metadata,
    embedded_previews,
    metadata_findings,
)

pytestmark = [
    pytest.mark.real,
    # Some of the robustness files are decompression bombs, some have damaged EXIF.
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning"),
]
MAX_PIXELS = 30_000_000
# 4.3 gigapixels: Veilset refuses it by its header, and inflating it takes a minute.
BOMB = "65536-uint32-limit.png"


def check(data: bytes, policy: str) -> None:
    """Check one file: cleaned for good, and the same picture as before."""
    out = clean_metadata(data, policy)
    assert clean_metadata(out, policy) == out
    assert metadata_findings(out, policy) == ()
    assert embedded_previews(out) == []
    before, after = _opened(data), _opened(out)
    if before is None or after is None:
        assert before is None
        return
    orientation = exif_of(data).get(0x0112, 1)
    assert exif_of(out).get(0x0112, 1) == (orientation or 1)
    assert ("icc_profile" in before.info) == ("icc_profile" in after.info)
    if before.size[0] * before.size[1] <= MAX_PIXELS:
        assert (before.mode, before.tobytes()) == (after.mode, after.tobytes())


def _opened(data: bytes) -> Image.Image | None:
    try:
        return Image.open(BytesIO(data))
    except OSError:
        return None


def test_robustness_files_are_cleaned_or_refused(real_data: Path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    files = [
        path
        for path in sorted((real_data / "robustness").rglob("*"))
        if path.is_file() and path.name != BOMB
    ]
    refused = {}
    for path in files:
        data = path.read_bytes()
        for policy in POLICIES:
            try:
                check(data, policy)
            except DecodeError as error:
                refused[path.name] = error.reason
    assert len(files) > 100
    assert refused == {
        "LICENSE": "unsupported",
        "Crash_test.gif": "unsupported",
        "G31D_MULTI.TIF": "multi-picture",
        "animated-loop-3.gif": "unsupported",
        "animated-loop-3.webp": "animated",
        "big-height.webp": "animated",
        "corrupt-header.jpg": "truncated",
        "grey-plus-alpha.gif": "unsupported",
        "relax.jp2": "unsupported",
        "relax_tileparts.jp2": "unsupported",
        "rotating-squares.gif": "unsupported",
        "rotating-squares.webp": "animated",
        "truncated.jpg": "truncated",
        "truncated.png": "truncated",
    }


@pytest.mark.parametrize("policy", POLICIES)
def test_photographs_stay_and_their_previews_go(real_data: Path, policy: str):
    files = sorted((real_data / "imagenet_sample").glob("*/*"))[::3][:120]
    for path in files:
        check(path.read_bytes(), policy)
    assert len(files) >= 100


def test_previews_of_real_cameras_and_editors_are_found(real_data: Path):
    folder = real_data / "robustness" / "sharp_fixtures"
    for name, where in (
        ("gain-map.jpg", "MPF picture 2"),
        ("Landscape_9.jpg", "EXIF IFD1 thumbnail"),
        ("Landscape_9.jpg", "Photoshop 8BIM 1036"),
        ("image-in-alpha.png", "bytes after IEND"),
    ):
        data = (folder / name).read_bytes()
        previews = [each for each in embedded_previews(data) if each.where == where]
        assert previews
        assert _opened(previews[0].data) is not None
