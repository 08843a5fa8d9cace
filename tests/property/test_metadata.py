# SPDX-License-Identifier: Apache-2.0
"""Cleaning under random secrets, random settings and random damage."""

from __future__ import annotations

import random
import struct
import time
import zlib
from functools import cache

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.metadata.hiding_places import PLACES
from tests.unit.metadata.samples import camera_block, exif_of, opened, profile, saved
from veilset.errors import DecodeError
from veilset.metadata.clean import (
    POLICIES,
    clean_metadata,
    embedded_previews,
    metadata_findings,
)

EXIF = b"Exif\0\0" + camera_block()
SEEDS = st.integers(0, 2**32)
FILES: list[tuple[str, str, dict[str, object]]] = [
    ("JPEG", "RGB", {"exif": EXIF, "comment": b"x", "icc_profile": profile()}),
    ("JPEG", "RGB", {"exif": EXIF, "progressive": True}),
    ("JPEG", "L", {"restart_marker_blocks": 2}),
    ("JPEG", "CMYK", {}),
    ("PNG", "RGB", {"exif": EXIF, "icc_profile": profile()}),
    ("PNG", "P", {}),
    ("WEBP", "RGBA", {"exif": EXIF, "icc_profile": profile()}),
    ("TIFF", "RGB", {"exif": EXIF, "icc_profile": profile()}),
    ("TIFF", "P", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("BMP", "RGB", {}),
    ("BMP", "P", {}),
    ("AVIF", "RGBA", {"exif": EXIF, "icc_profile": profile()}),
]


@cache
def file_number(index: int) -> bytes:
    form, mode, options = FILES[index]
    return saved(form, mode, **options)


@given(st.sampled_from(sorted(PLACES)), st.sampled_from(POLICIES), SEEDS, st.data())
def test_no_secret_survives_in_any_place(container, policy, seed, data):
    secret = random.Random(seed).randbytes(40)
    places = dict(PLACES[container](secret))
    place = data.draw(st.sampled_from(sorted(places)))
    try:
        out = clean_metadata(places[place], policy)
    except DecodeError:
        assume(False)
    assert secret not in out
    # Nor may a good part of it: sixteen bytes do not come about by chance.
    assert not any(secret[i : i + 16] in out for i in range(25))
    assert clean_metadata(out, policy) == out
    assert metadata_findings(out, policy) == ()
    assert embedded_previews(out) == []


@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "AVIF", "TIFF"]),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from(POLICIES),
    st.integers(30, 95),
)
def test_orientation_profile_and_pixels_stay(form, orientation, has_profile, policy, quality):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "Ann was here"
    options: dict[str, object] = {"icc_profile": profile()} if has_profile else {}
    if form != "TIFF":
        options["quality"] = quality
    data = saved(form, exif=exif, **options)
    out = clean_metadata(data, policy)
    before, after = opened(data), opened(out)
    assert before.tobytes() == after.tobytes()
    assert before.info.get("icc_profile") == after.info.get("icc_profile")
    assert exif_of(out).get(0x0112, 1) == exif_of(data).get(0x0112, 1) == orientation
    assert b"Ann" not in out


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Change some bytes, mostly near the beginning where the structure is."""
    out = bytearray(data)
    reach = len(out) if rng.random() < 0.3 else min(len(out), 900)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place = rng.randrange(reach)
        out[place] = rng.choice((0, 1, 255, out[place] ^ (1 << rng.randrange(8))))
    if rng.random() < 0.1:
        del out[rng.randrange(len(out)) :]
    if rng.random() < 0.1:
        place = rng.randrange(len(out) + 1)
        out[place:place] = rng.randbytes(rng.randrange(1, 9))
    data = bytes(out)
    # Without right checksums every change of a PNG would be refused at once.
    return with_checksums(data) if data[:4] == b"\x89PNG" and rng.random() < 0.8 else data


def with_checksums(png: bytes) -> bytes:
    out, place = png[:8], 8
    while place + 12 <= len(png):
        (size,) = struct.unpack_from(">L", png, place)
        body = png[place + 4 : place + 8 + size]
        out += png[place : place + 4] + body + struct.pack(">L", zlib.crc32(body))
        place += 12 + size
    return out


# Pillow warns in many ways of what is damaged; only errors are asked for here.
@pytest.mark.filterwarnings("ignore")
@given(st.integers(0, len(FILES) - 1), SEEDS, st.sampled_from(POLICIES))
def test_damage_is_refused_or_cleaned_without_another_error(index, seed, policy):
    data = damaged(file_number(index), random.Random(seed))
    started = time.perf_counter()
    out = None
    try:
        out = clean_metadata(data, policy)
        metadata_findings(data, policy)
        embedded_previews(data)
    except DecodeError as error:
        assert error.reason in DecodeError.REASONS  # noqa: PT017  most raise none
    assert time.perf_counter() - started < 5
    if out is None:
        return
    assert clean_metadata(out, policy) == out
    assert embedded_previews(out) == []
    try:
        before = opened(data)
    except Exception:
        return
    after = opened(out)
    assert (before.mode, before.size, before.tobytes()) == (after.mode, after.size, after.tobytes())


SIGNATURES = [
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II\x2a\0", b"MM\0\x2a",
    b"RIFF\x40\0\0\0WEBP", b"\0\0\0\x14ftypavif",
]  # fmt: skip


@given(st.sampled_from(SIGNATURES), st.binary(max_size=400))
def test_noise_behind_a_signature_is_refused_or_cleaned(signature, noise):
    for work in (clean_metadata, metadata_findings, embedded_previews):
        try:
            work(signature + noise)
        except DecodeError as error:
            assert str(error)  # noqa: PT017  most raise none
