# SPDX-License-Identifier: Apache-2.0
"""Cleaning, container by container: what goes, what stays, what is refused."""

from __future__ import annotations

import base64
import random
import struct

import pytest
from PIL import Image

from tests.unit.metadata.hiding_places import PLACES
from tests.unit.metadata.samples import (
    between_scans,
    block,
    camera_block,
    chunk,
    drawn,
    exif_of,
    exif_segment,
    opened,
    profile,
    riff,
    saved,
    segment,
    tiff_file,
    with_chunks,
    with_icc_tag,
    with_segments,
)
from veilset.errors import ConfigError, DecodeError
from veilset.metadata.clean import POLICIES, clean_metadata, metadata_findings
from veilset.metadata.icc_profile import clean_profile

SECRET = random.Random(20).randbytes(40)
EXIF = b"Exif\0\0" + camera_block()
FORMS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")


# Pillow, which reads the pixels, warns of tags that are not as they should be.
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("container", PLACES)
def test_a_secret_in_any_place_is_gone_and_the_pixels_stay(container, policy):
    n_cleaned = 0
    for place, data in PLACES[container](SECRET):
        try:
            out = clean_metadata(data, policy)
        except DecodeError:
            # Only TIFF has places where a value of the wrong form means another picture.
            assert container == "tiff", place
            continue
        n_cleaned += 1
        for form in (SECRET, SECRET.hex().encode(), base64.b64encode(SECRET)):
            assert form not in out, place
        assert out != data, place
        assert metadata_findings(data, policy), place
        assert metadata_findings(out, policy) == (), place
        assert clean_metadata(out, policy) == out, place
        if place != "header tail":  # libwebp refuses that one before cleaning
            before, after = opened(data), opened(out)
            assert (before.mode, before.tobytes()) == (after.mode, after.tobytes()), place
    assert n_cleaned >= 5


@pytest.mark.parametrize("form", FORMS)
def test_safe_keeps_profile_orientation_resolution_and_settings(form):
    data = saved(form, exif=EXIF, icc_profile=profile())
    out = clean_metadata(data)
    exif = exif_of(out)
    assert opened(out).info["icc_profile"] == profile()
    assert exif[0x0112] == exif_of(data)[0x0112] == 6
    assert exif[0x0110] == "Canon EOS 5D"
    assert exif[0x011A] == 300
    settings = exif.get_ifd(0x8769)
    assert settings[0x829A] == pytest.approx(1 / 125)
    assert settings[0x8827] == 400
    assert settings[0xA434] == "EF24-105mm f/4L IS USM"
    assert settings.keys().isdisjoint({0x927C, 0x9286, 0xA430, 0xA431})
    assert not exif.get_ifd(0x8825)
    for text in (b"Ann", b"A\0n\0n", b"SN-0012", b"2024:05"):
        assert text in data
        assert text not in out


@pytest.mark.parametrize("form", FORMS)
def test_strip_keeps_profile_and_orientation_only(form):
    out = clean_metadata(saved(form, exif=EXIF, icc_profile=profile(), dpi=(300, 300)), "strip")
    picture = opened(out)
    exif = exif_of(out)
    assert picture.info["icc_profile"] == profile()
    assert exif[0x0112] == 6
    structure = set(range(0x0100, 0x0145)) | {0x8773, 0x0153} if form == "TIFF" else {0x0112}
    assert set(exif) <= structure
    assert exif.keys().isdisjoint({0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x8769})
    # Without a unit Pillow reports 72 for JPEG and 1 for TIFF.
    assert set(picture.info.get("dpi", (72, 72))) <= {72, 1}
    assert b"Canon" not in out


def test_findings_name_what_is_there_and_no_value():
    data = saved("JPEG", exif=EXIF, comment=b"Ann was here")
    found = metadata_findings(data)
    wanted = {
        "JPEG comment",
        "GPS position",
        "maker note",
        "serial number",
        "owner, artist or copyright",
        "comment or description",
        "date and time",
    }
    assert wanted <= set(found)
    assert "Ann" not in " ".join(found)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_stays_in_both_byte_orders(orientation, order):
    data = with_segments(
        saved("JPEG"), exif_segment(block(order=order, orientation=orientation, slack=SECRET))
    )
    for policy in POLICIES:
        assert opened(clean_metadata(data, policy)).getexif()[0x0112] == orientation


def with_lens(ratios: bytes, order: str) -> bytes:
    lens = (0xA432, 5, len(ratios) // 8, ratios)
    return with_segments(saved("JPEG"), exif_segment(block(order=order, exif=[lens])))


@pytest.mark.parametrize("order", "<>")
def test_what_a_lens_can_do_stays_as_numbers_not_as_bytes(order):
    data = with_lens(struct.pack(f"{order}8L", 24_000, 1000, 70, 1, 28, 10, 0, 0), order)
    out = clean_metadata(data)
    written = struct.pack(f"{order}8L", 2400, 100, 7000, 100, 280, 100, 0, 0)
    assert written in out
    assert clean_metadata(out) == out
    # As ratios of 32 bits these are numbers too, and would carry 32 bytes of anything.
    secret = struct.pack(f"{order}8L", *(n for i in range(4) for n in (0x5EC4E7A1 + i, 0x1CEB00DA)))
    out = clean_metadata(with_lens(secret, order))
    assert not any(secret[i : i + 8] in out for i in range(25))


@pytest.mark.parametrize("odd", [(1, 0), (10_001, 1), (0xFFFFFFFF, 1)])
def test_a_lens_that_cannot_be_goes(odd):
    data = with_lens(struct.pack("<8L", 24, 1, 70, 1, *odd, 4, 1), "<")
    assert metadata_findings(data) == ("other EXIF tags",)
    assert 0xA432 not in exif_of(clean_metadata(data)).get_ifd(0x8769)


@pytest.mark.parametrize(("form", "mode"), [
    ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "1"), ("PNG", "P"), ("PNG", "LA"), ("PNG", "RGBA"),
    ("PNG", "I;16"), ("WEBP", "RGBA"), ("TIFF", "1"), ("TIFF", "P"), ("TIFF", "CMYK"),
    ("TIFF", "RGBA"), ("TIFF", "LAB"), ("BMP", "1"), ("BMP", "P"), ("BMP", "L"), ("AVIF", "RGBA"),
])  # fmt: skip
def test_pixels_of_every_mode_stay(form, mode):
    picture = drawn("L").convert("I").convert("I;16") if mode == "I;16" else drawn()
    if mode not in ("I;16", "LAB"):
        picture = drawn(mode)
    if mode == "LAB":
        picture = Image.merge("LAB", drawn().split())
    data = saved_picture(picture, form)
    for policy in POLICIES:
        before, after = opened(data), opened(clean_metadata(data, policy))
        assert (before.mode, before.tobytes()) == (after.mode, after.tobytes())


def saved_picture(picture: Image.Image, form: str, **options: object) -> bytes:
    from io import BytesIO

    file = BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("options", [
    {"progressive": True}, {"restart_marker_blocks": 1}, {"restart_marker_rows": 1},
    {"subsampling": 0}, {"subsampling": 2, "optimize": True}, {"keep_rgb": True},
])  # fmt: skip
def test_jpeg_scans_are_copied_byte_for_byte(options):
    plain = saved("JPEG", **options)
    dirty = with_segments(plain, segment(0xFE, SECRET), exif_segment(camera_block()))
    start = plain.index(b"\xff\xdb")
    out = clean_metadata(dirty, "strip")
    assert out.endswith(plain[start:])
    assert opened(out).tobytes() == opened(plain).tobytes()


def test_jpeg_fill_bytes_and_late_segments_go():
    plain = saved("JPEG", progressive=True)
    dirty = between_scans(plain, segment(0xE1, SECRET) + b"\xff" * 9)
    assert clean_metadata(dirty) == clean_metadata(plain)


def test_jpeg_colours_that_hang_on_the_adobe_segment_stay():
    data = saved("JPEG", "CMYK", icc_profile=profile())
    out = clean_metadata(data, "strip")
    assert out.count(b"\xff\xee\x00\x0eAdobe") == 1
    assert opened(out).tobytes() == opened(data).tobytes()


def test_profile_in_several_jpeg_segments_stays():
    large = with_icc_tag(profile(), b"A2B0", random.Random(1).randbytes(150_000))
    out = clean_metadata(saved("JPEG", icc_profile=large))
    assert opened(out).info["icc_profile"] == large


@pytest.mark.parametrize(("cut", "reason"), [
    (lambda d: d[:-2], "truncated"),
    (lambda d: d[: len(d) // 2], "truncated"),
    (lambda d: d[:-2] + d, "truncated"),
    (lambda d: d[:3], "truncated"),
    (lambda d: d.replace(b"\xff\xdb\x00\x43", b"\xff\xdb\x00\x44", 1), "unreadable"),
    (lambda d: d[: d.index(b"\xff\xda")] + b"\xff\xd9", "unreadable"),
    (lambda d: d.replace(b"\xff\xc0\x00\x11\x08\x00\x28", b"\xff\xc0\x00\x11\x08\x00\x00"),
     "unsupported"),
    (lambda d: d[:-2] + d[d.index(b"\xff\xda"):], "unreadable"),
    (lambda d: with_segments(d, segment(0xF7, b"x")), "unsupported"),
])  # fmt: skip
def test_broken_jpeg_is_refused(cut, reason):
    with pytest.raises(DecodeError) as caught:
        clean_metadata(cut(saved("JPEG")))
    assert caught.value.reason == reason


def test_png_chunks_that_change_the_look_stay():
    chunks = (
        chunk(b"gAMA", struct.pack(">L", 45455)),
        chunk(b"cHRM", bytes(32)),
        chunk(b"sBIT", b"\5\6\5"),
        chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)),
        chunk(b"pHYs", struct.pack(">LLB", 2835, 2835, 1)),
    )
    data = with_chunks(saved("PNG"), *chunks)
    out = clean_metadata(data)
    assert all(each in out for each in chunks)
    assert chunks[-1] not in clean_metadata(data, "strip")
    assert opened(data).tobytes() == opened(out).tobytes()


def test_png_profile_stream_is_not_packed_again():
    data = saved("PNG", icc_profile=profile())
    place = data.index(b"iCCP")
    (size,) = struct.unpack_from(">L", data, place - 4)
    stream = data[place + 4 : place + 4 + size].partition(b"\0")[2]
    assert stream in clean_metadata(data)


@pytest.mark.parametrize(("data", "reason"), [
    (saved("PNG")[:-3], "truncated"),
    (with_chunks(saved("PNG"), chunk(b"fdAT", bytes(9)), last=True), "animated"),
    (with_chunks(saved("PNG"), chunk(b"ABCD", b"")), "unreadable"),
    (with_chunks(saved("PNG"), saved("PNG")[8:33]), "unreadable"),
    (saved("PNG").replace(b"IHDR\0\0\0\x30", b"IHDR\0\0\0\x31"), "unreadable"),
    (saved("WEBP")[:-9], "truncated"),
    (riff((b"VP8X", bytes(10)), (b"ANMF", bytes(20))), "animated"),
    (riff((b"VP8X", bytes(10))), "unreadable"),
    (saved("BMP")[:-9], "truncated"),
    (saved("TIFF")[:-9], "truncated"),
    (b"II\x2b\0\x08\0\0\0" + bytes(20), "unsupported"),
    (tiff_file("<", [(0x00FE, 4, 1, b"\1\0\0\0")], bytes(128)), "unsupported"),
    (saved("AVIF")[:-9], "truncated"),
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes([0, 0, 0, 8]) + b"meta", "unsupported"),
    (b"GIF89a" + bytes(20), "unsupported"),
    (b"", "unreadable"),
])  # fmt: skip
def test_what_cannot_be_cleaned_with_certainty_is_refused(data, reason):
    with pytest.raises(DecodeError) as caught:
        clean_metadata(data)
    assert caught.value.reason == reason
    with pytest.raises(DecodeError):
        metadata_findings(data)


@pytest.mark.parametrize("form", ["WEBP", "AVIF", "TIFF", "PNG"])
def test_several_pictures_are_refused(form):
    data = saved_picture(drawn(), form, save_all=True, append_images=[drawn().rotate(90)])
    with pytest.raises(DecodeError) as caught:
        clean_metadata(data)
    assert caught.value.reason == ("multi-picture" if form == "TIFF" else "animated")


def test_webp_flags_follow_the_chunks():
    data = saved("WEBP", "RGBA", exif=EXIF, xmp=b"<x/>", icc_profile=profile())
    flags = clean_metadata(data)[20]
    assert flags == 0x20 | 0x10 | 0x08
    bare = saved("WEBP", "RGBA", xmp=b"<x/>")
    assert clean_metadata(bare)[20] == 0x10


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits"])
@pytest.mark.parametrize("order", "<>")
def test_tiff_strips_are_copied(compression, order):
    data = saved("TIFF", compression=compression, description="Ann was here")
    if order == ">":
        data = tiff_file(">", [(0x010E, 2, 13, b"Ann was here\0")], bytes(range(128)))
    out = clean_metadata(data)
    assert b"Ann" in data
    assert b"Ann" not in out
    assert opened(out).tobytes() == opened(data).tobytes()
    assert out[:2] == data[:2]


def test_a_cycle_of_directories_ends():
    loop = block(exif=[], second=[(0x010E, 2, 4, b"abc\0")])
    place = loop.index(b"\x69\x87") + 8
    looped = loop[:place] + struct.pack("<L", 8) + loop[place + 4 :]
    out = clean_metadata(with_segments(saved("JPEG"), exif_segment(looped)))
    assert opened(out).getexif()[0x0112] == 6


def test_private_tags_leave_a_profile_and_registered_ones_stay_as_they_are():
    plain = profile()
    assert clean_profile(plain).data == plain
    rebuilt = clean_profile(with_icc_tag(plain, b"mmod", SECRET)).data
    assert SECRET not in rebuilt
    assert clean_profile(rebuilt).data == rebuilt
    n_tags = int.from_bytes(plain[128:132], "big")
    assert int.from_bytes(rebuilt[128:132], "big") == n_tags
    assert clean_profile(plain + SECRET).data == plain
    assert clean_profile(plain[:-20]).data == b""


def test_a_clean_file_is_given_back_as_it_is():
    data = clean_metadata(saved("JPEG"))
    assert clean_metadata(data) is data


def test_an_unknown_policy_is_named():
    with pytest.raises(ConfigError, match="Known: safe, strip"):
        clean_metadata(saved("PNG"), "keep")
