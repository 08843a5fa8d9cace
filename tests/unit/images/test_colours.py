# SPDX-License-Identifier: Apache-2.0
"""Pictures as viewers show them that apply a profile or gamma, against hand-made curves."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.unit.metadata.samples import profile
from veilset.images.colours import StatedColours, managed, stated_colours
from veilset.images.decode import decode_image
from veilset.images.formats import DEFAULT_MAX_PIXELS
from veilset.images.renderings import decode_renderings
from veilset.types import Image


def with_curve(power: float) -> bytes:
    """Give Pillow's sRGB profile with a power of the samples in place of its curve."""
    made = bytearray(profile())
    (count,) = struct.unpack_from(">I", made, 128)
    for at in range(132, 132 + 12 * count, 12):
        name, offset, size = struct.unpack_from(">4sII", made, at)
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            curve = b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(power * 65536))
            made[offset : offset + size] = curve.ljust(size, b"\0")
    return bytes(made)


def gray_profile(power: float) -> bytes:
    """Give a profile of grays, by ICC.1:2010: a white point and one curve."""
    white = struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    curve = b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(power * 65536))
    tags = [(b"wtpt", b"XYZ \0\0\0\0" + white), (b"kTRC", curve)]
    place, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags:
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    head = struct.pack(">I4sI4s4s4s12s4s", place + len(body), b"", 0x04300000, b"mntr", b"GRAY",
                       b"XYZ ", b"", b"acsp")  # fmt: skip
    return head.ljust(68, b"\0") + white + b"\0" * 48 + table + body


def gray_ramp() -> Image:
    return np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)


def stored(picture: Image, name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(picture).save(stream, name, **options)
    return stream.getvalue()


def with_gamma(data: bytes, gamma: float, *more: tuple[bytes, bytes]) -> bytes:
    """Put gAMA, and what else is asked for, behind the header of a PNG."""
    chunks = [(b"gAMA", struct.pack(">I", round(gamma * 100_000))), *more]
    packed = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return data[:33] + packed + data[33:]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("PNG", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
def test_the_profile_of_every_format_is_applied(name: str, options: dict[str, Any]) -> None:
    data = stored(gray_ramp(), name, icc_profile=with_curve(9.0), **options)
    raw, shown = decode_renderings(data)[0]
    assert np.array_equal(raw, decode_image(data)[0])
    light = (raw[0, :, 1] / 255.0) ** 9.0
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(shown[0, :, 1] - expected).max() <= 3


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_profile_in_several_segments(form: str) -> None:
    long = with_curve(9.0).ljust(150_000, b"\0")
    data = stored(gray_ramp(), form, icc_profile=long)
    assert stated_colours(data, DEFAULT_MAX_PIXELS).profile == long


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_profile_of_grays_is_applied(form: str) -> None:
    gray = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    data = stored(gray, form, icc_profile=gray_profile(9.0), quality=100)
    raw, shown = decode_renderings(data)[0]
    by_colours = managed(raw, StatedColours(with_curve(9.0)))
    assert by_colours is not None
    assert np.abs(shown.astype(int) - by_colours).max() <= 2


def test_ordinary_profiles_are_not_searched_twice() -> None:
    data = stored(gray_ramp(), "PNG", icc_profile=profile())
    assert len(decode_renderings(data)[0]) == 1
    assert len(decode_renderings(stored(gray_ramp(), "PNG", icc_profile=with_curve(2.2)))[0]) == 1


@pytest.mark.parametrize("broken", [b"no profile", profile()[:200], b"\0" * 128, b"x" * 4096])
def test_a_profile_that_cannot_be_used_is_passed_by(broken: bytes) -> None:
    data = stored(gray_ramp(), "PNG", icc_profile=broken)
    assert len(decode_renderings(data)[0]) == 1


def test_gamma_of_a_png_is_applied() -> None:
    plain = stored(gray_ramp(), "PNG")
    _, shown = decode_renderings(with_gamma(plain, 0.1))[0]
    expected = 255 * (np.arange(256) / 255) ** (1 / 0.22)
    assert np.abs(shown[0, :, 0] - expected).max() <= 0.5
    assert len(decode_renderings(with_gamma(plain, 0.45455))[0]) == 1
    assert len(decode_renderings(with_gamma(plain, 0.1, (b"sRGB", b"\0")))[0]) == 1
    assert len(decode_renderings(with_gamma(plain, 0.0))[0]) == 1


def test_a_flat_picture_that_no_profile_moves_far_is_searched_once() -> None:
    flat = np.full((4, 4, 3), 255, np.uint8)
    colours = stated_colours(stored(flat, "PNG", icc_profile=with_curve(9.0)), DEFAULT_MAX_PIXELS)
    assert managed(flat, colours) is None


def test_alpha_and_profile_together() -> None:
    picture = np.dstack([gray_ramp(), np.full((1, 256), 255, np.uint8)])
    picture[0, 128:, 3] = 128
    data = stored(picture, "PNG", icc_profile=with_curve(9.0))
    raw, shown, *composed = decode_renderings(data)[0]
    over_white = (int(shown[0, 200, 0]) * 128 + 255 * 127 + 127) // 255
    assert over_white in {int(each[0, 200, 0]) for each in composed}
    assert len(composed) == 5
    assert not np.array_equal(raw, shown)
