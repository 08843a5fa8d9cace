# SPDX-License-Identifier: Apache-2.0
"""Pictures as viewers show them that apply a profile or gamma, against hand-made curves."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from tests.unit.metadata.samples import profile
from veilset.images.colours import StatedColours, managed, stated_colours
from veilset.images.decode import decode_image
from veilset.images.formats import DEFAULT_MAX_PIXELS
from veilset.images.renderings import decode_renderings
from veilset.types import Image

Levels = NDArray[np.int64]
LEVELS: Levels = np.arange(256)
WHITE = struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)


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


def a_profile(space: bytes, between: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Give a profile of some tags, by ICC.1:2010."""
    place, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    head = struct.pack(">I4sI4s4s4s12s4s", place + len(body), b"", 0x04300000, b"mntr", space,
                       between, b"", b"acsp")  # fmt: skip
    return head.ljust(68, b"\0") + WHITE + b"\0" * 48 + table + body


def gray_profile(power: float) -> bytes:
    """Give a profile of grays: a white point and one curve."""
    curve = b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(power * 65536))
    return a_profile(b"GRAY", b"XYZ ", {b"wtpt": b"XYZ \0\0\0\0" + WHITE, b"kTRC": curve})


def profile_of_levels(levels: Levels) -> bytes:
    """Give Pillow's sRGB profile, but that each level is first replaced by another."""
    samples = np.clip(levels, 0, 255) / 255
    light = np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)
    points = np.rint(light * 65535).astype(">u2").tobytes()
    curve = b"curv\0\0\0\0" + struct.pack(">I", 256) + points
    made = profile()
    (count,) = struct.unpack_from(">I", made, 128)
    tags = {}
    for at in range(132, 132 + 12 * count, 12):
        name, offset, size = struct.unpack_from(">4sII", made, at)
        tags[name] = curve if name[1:] == b"TRC" else made[offset : offset + size]
    return a_profile(b"RGB ", b"XYZ ", tags)


def profile_of_a_table(levels: Levels) -> bytes:
    """Give a profile of a table of eight colours, in which grays are as light as their level."""
    corners = bytes(each for at in range(8) for each in (85 * at.bit_count(), 128, 128))
    one = struct.pack(">9i", *(65536 * each for each in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    into = 3 * np.clip(levels, 0, 255).astype(np.uint8).tobytes()
    table = b"mft1\0\0\0\0\3\3\2\0" + one + into + corners + 3 * bytes(range(256))
    return a_profile(b"RGB ", b"Lab ", {b"A2B0": table, b"wtpt": b"XYZ \0\0\0\0" + WHITE})


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


def two_levels(dark: int, light: int) -> Image:
    """Draw what nobody sees as stored, a square that is hardly another gray."""
    picture = np.full((40, 40, 3), dark, np.uint8)
    picture[10:30, 10:30] = light
    return picture


def test_a_profile_that_is_srgb_but_at_single_levels() -> None:
    odd = np.where(LEVELS == 128, 255, LEVELS)
    data = stored(two_levels(127, 128), "PNG", icc_profile=profile_of_levels(odd))
    _, shown = decode_renderings(data)[0]
    assert (int(shown[0, 0, 0]), int(shown[20, 20, 0])) == (127, 255)
    same = stored(two_levels(127, 128), "PNG", icc_profile=profile_of_levels(LEVELS))
    assert len(decode_renderings(same)[0]) == 1


@pytest.mark.parametrize("make", [profile_of_levels, profile_of_a_table])
def test_a_profile_that_draws_levels_apart_without_moving_one_far(make: Any) -> None:
    apart = LEVELS + np.where(LEVELS < 128, -50, 50)
    data = stored(two_levels(127, 128), "PNG", icc_profile=make(apart))
    _, shown = decode_renderings(data)[0]
    assert int(shown[20, 20, 0]) - int(shown[0, 0, 0]) > 90


def test_a_gamma_that_draws_levels_apart_without_moving_one_far() -> None:
    data = stored(two_levels(254, 255), "PNG")
    _, shown = decode_renderings(with_gamma(data, 0.01))[0]
    assert int(shown[20, 20, 0]) - int(shown[0, 0, 0]) > 40


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
