# SPDX-License-Identifier: Apache-2.0
"""WebP: a chunk of compressed pixels holds them, and nothing behind or between them."""

from __future__ import annotations

import random
import struct
from io import BytesIO

import pytest
from PIL import Image, ImageChops

from tests.unit.metadata.refusals import refusal
from tests.unit.metadata.samples import drawn, opened, profile, riff, saved
from veilset.metadata.clean import clean_metadata, embedded_previews, metadata_findings
from veilset.metadata.riff_chunks import iterate_riff

JPEG = saved("JPEG", quality=60)
NAMES: dict[bytes, dict[str, object]] = {b"VP8 ": {"quality": 80}, b"VP8L": {"lossless": True}}


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    return list(iterate_riff(data))


def changed(data: bytes, name: bytes, payload: bytes) -> bytes:
    return riff(*((each, payload if each == name else old) for each, old in chunks_of(data)))


def picture_of(data: bytes, name: bytes) -> bytes:
    return dict(chunks_of(data))[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tail", [JPEG, bytes(12), random.Random(3).randbytes(5000)])
def test_bytes_behind_the_pixels_are_refused(tail, name):
    plain = saved("WEBP", **NAMES[name])
    data = changed(plain, name, picture_of(plain, name) + tail)
    assert opened(data).tobytes() == opened(plain).tobytes()
    assert refusal(data) == "unsupported"
    found = [each.where for each in embedded_previews(data)]
    assert found == [f"WebP chunk {name.decode().strip()}"] * (tail == JPEG)


def test_bytes_behind_the_first_partition_are_refused():
    plain = saved("WEBP", quality=80)
    picture = picture_of(plain, b"VP8 ")
    tag = int.from_bytes(picture[:3], "little")
    end = 10 + (tag >> 5)
    tag += len(JPEG) << 5
    longer = tag.to_bytes(3, "little") + picture[3:end] + JPEG + picture[end:]
    data = changed(plain, b"VP8 ", longer)
    assert opened(data).tobytes() == opened(plain).tobytes()
    assert refusal(data) == "unsupported"
    assert embedded_previews(data)


def in_four_partitions(parts: list[bytes]) -> bytes:
    """Write a lossy WebP of 64 x 64 pixels, each row of blocks in a partition of its own."""
    # Bits as likely 0 as 1 begin as these bytes do: only the number of partitions is not 0.
    head = bytes.fromhex("0002") + bytes(400)
    table = b"".join(len(part).to_bytes(3, "little") for part in parts[:3])
    tag = (len(head) << 5 | 1 << 4).to_bytes(3, "little")
    sizes = struct.pack("<HH", 64, 64)
    return riff((b"VP8 ", tag + b"\x9d\x01\x2a" + sizes + head + table + b"".join(parts)))


def test_bytes_behind_any_partition_are_refused():
    plain = opened(in_four_partitions([bytes(64)] * 4))
    noise = random.Random(1).randbytes(400)
    for index in range(4):
        # libwebp sees four as well: each changes the picture from its row on.
        parts = [bytes(64)] * index + [noise] + [bytes(64)] * (3 - index)
        changed_rows = ImageChops.difference(plain, opened(in_four_partitions(parts))).getbbox()
        assert changed_rows
        assert 16 * index - 8 <= changed_rows[1] < 16 * index + 16
        parts[index] = bytes(64) + JPEG
        assert opened(in_four_partitions(parts)).tobytes() == plain.tobytes()
        assert refusal(in_four_partitions(parts)) == "unsupported"
        assert embedded_previews(in_four_partitions(parts))


@pytest.mark.parametrize("options", [
    {"quality": 1}, {"quality": 50, "method": 0}, {"quality": 100, "method": 6},
    {"lossless": True, "method": 0}, {"lossless": True, "quality": 100, "method": 6},
])  # fmt: skip
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (16, 16), (17, 33), (90, 50)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_what_libwebp_writes_is_copied(mode, size, options):
    for picture in (drawn(mode, size), Image.new(mode, size, 77)):
        file = BytesIO()
        picture.save(file, "WEBP", **options)
        assert clean_metadata(file.getvalue()) == file.getvalue()
        assert embedded_previews(file.getvalue()) == []


def test_noise_is_copied():
    noise = Image.frombytes("RGBA", (90, 70), random.Random(5).randbytes(4 * 90 * 70))
    for options in NAMES.values():
        file = BytesIO()
        noise.save(file, "WEBP", **options)
        assert clean_metadata(file.getvalue()) == file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_pixels_that_end_too_early_are_refused(name):
    plain = saved("WEBP", **NAMES[name])
    picture = picture_of(plain, name)
    for stop in (0, 3, 9, 30, len(picture) // 2, len(picture) - 12):
        assert refusal(changed(plain, name, picture[:stop])) in ("unreadable", "truncated")


def test_a_picture_of_no_width_is_refused():
    for plain in (saved("WEBP", quality=80), saved("WEBP", "RGBA", quality=80)):
        picture = picture_of(plain, b"VP8 ")
        for size in (b"\0\0\x28\0", b"\x30\0\0\0"):
            none = picture[:6] + size + picture[10:]
            assert refusal(changed(plain, b"VP8 ", none)) == "unreadable"


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    plain = saved("WEBP", quality=80)
    picture = picture_of(plain, b"VP8 ")
    huge = picture[:6] + struct.pack("<HH", 16383, 16383) + picture[10:]
    assert refusal(changed(plain, b"VP8 ", huge)) == "over-limit"


def with_plain_alpha(extra: bytes = b"") -> bytes:
    data = saved("WEBP", "RGBA", quality=80)
    return changed(data, b"ALPH", b"\0" + bytes(range(48)) * 40 + extra)


def test_bytes_behind_the_alpha_are_refused():
    packed = saved("WEBP", "RGBA", quality=80)
    alpha = picture_of(packed, b"ALPH")
    assert alpha[0] & 3 == 1
    assert clean_metadata(packed) == packed
    assert refusal(changed(packed, b"ALPH", alpha + JPEG)) == "unsupported"
    assert refusal(changed(packed, b"ALPH", alpha[:20])) == "unreadable"
    assert refusal(changed(packed, b"ALPH", b"")) == "unreadable"
    assert clean_metadata(with_plain_alpha()) == with_plain_alpha()
    assert refusal(with_plain_alpha(JPEG)) == "unsupported"


def test_an_alpha_that_the_header_does_not_announce_goes():
    plain = saved("WEBP", "RGBA", quality=80)
    header = bytearray(picture_of(plain, b"VP8X"))
    assert header[0] == 0x10
    header[0] = 0
    for alpha in (picture_of(plain, b"ALPH"), JPEG):
        data = changed(changed(plain, b"VP8X", bytes(header)), b"ALPH", alpha)
        out = clean_metadata(data)
        assert [name for name, _ in chunks_of(out)] == [b"VP8X", b"VP8 "]
        assert alpha not in out
        assert metadata_findings(data) == ("unused alpha",)
        assert clean_metadata(out) == out
        assert opened(out).convert("RGB").tobytes() == opened(plain).convert("RGB").tobytes()
    lossless = saved("WEBP", "RGBA", lossless=True, icc_profile=profile())
    both = riff(*chunks_of(lossless)[:1], (b"ALPH", JPEG), *chunks_of(lossless)[1:])
    assert "unused alpha" in metadata_findings(both)
    assert JPEG not in clean_metadata(both)
