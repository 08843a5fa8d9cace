# SPDX-License-Identifier: Apache-2.0
"""Every kind of leak, planted in a small release: it is found, and nothing else is."""

from __future__ import annotations

import io
import os
from pathlib import Path

import jpeglib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from tests.unit.verify.drawn import (
    CELL,
    MAGENTA,
    Release,
    annotate,
    draw,
    exif_bytes,
    forge,
    found_in,
    jpeg_bytes,
    make_release,
    planted_detectors,
)
from veilset.images.encode import replace_pixels
from veilset.metadata.clean import clean_metadata
from veilset.metadata.jpeg_segments import segment_bytes
from veilset.records.verdicts import Verdict
from veilset.types import Region
from veilset.verify import checks

LEAK, ERROR, REVIEW, ABSENT = Verdict.LEAK, Verdict.ERROR, Verdict.REVIEW, Verdict.ABSENT


def test_a_clean_release_passes_without_a_finding(release: Release) -> None:
    summary = release.verify()
    assert summary.extra["overall"] == "passed"
    assert {k: v for k, v in summary.counts.items() if k in list(Verdict)} == {
        "passed": 6,
        "absent": 1,
    }
    assert found_in(release) == {}
    assert release.verdicts()["a/one.jpg"].looked_again == "touched"


def test_an_original_in_place_of_its_output(release: Release) -> None:
    (release.out / "a/one.jpg").write_bytes((release.photos / "a/one.jpg").read_bytes())
    codes = {"digest", "metadata", "shows-through", "missed-face"}
    # Magenta is seen, but inside the region that was to be hidden: judged by the contract.
    assert found_in(release) == {"a/one.jpg": (LEAK, codes - {"missed-face"})}
    assert release.verdicts()["a/one.jpg"].n_still_detected == 1


def test_an_original_of_an_untouched_image_keeps_its_comment(release: Release) -> None:
    (release.out / "b/none.jpg").write_bytes((release.photos / "b/none.jpg").read_bytes())
    assert found_in(release) == {"b/none.jpg": (LEAK, {"digest", "not-justified", "metadata"})}


def test_a_failed_original_that_got_into_the_output(release: Release) -> None:
    (release.out / "c/cut.jpg").write_bytes((release.photos / "c/cut.jpg").read_bytes())
    assert release.found() == {"c/cut.jpg": (LEAK, {"failed-but-present"})}


def test_a_region_left_as_it_was_although_the_record_agrees(release: Release) -> None:
    forge(release, "a/one.jpg", clean_metadata((release.photos / "a/one.jpg").read_bytes()))
    assert found_in(release) == {"a/one.jpg": (LEAK, {"shows-through"})}
    (finding,) = release.verdicts()["a/one.jpg"].findings
    assert finding.score == 1.0
    assert finding.box_xyxy is not None
    assert finding.box_xyxy[0] == pytest.approx(CELL + 16, abs=2)


def test_one_of_two_regions_left_as_it_was(release: Release) -> None:
    with PillowImage.open(release.photos / "a/two.png") as before:
        original = np.asarray(before)
    with PillowImage.open(release.out / "a/two.png") as after:
        pixels = np.array(after)
    pixels[CELL:, CELL:] = original[CELL:, CELL:]
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, "PNG")
    forge(release, "a/two.png", clean_metadata(stream.getvalue()))
    assert found_in(release) == {"a/two.png": (LEAK, {"shows-through"})}
    assert len(release.verdicts()["a/two.png"].findings) == 1


def test_a_small_face_beside_a_large_one_under_the_released_blur(tmp_path: Path) -> None:
    release = Release(tmp_path / "m1")
    release.photos.mkdir(parents=True)
    random = np.random.default_rng(5)
    picture = random.integers(60, 190, (100, 150, 3), dtype=np.uint8)
    picture = np.kron(picture, np.ones((4, 4, 1), np.uint8))
    PillowImage.fromarray(picture).save(release.photos / "pair.png")
    large, small = Region((40, 40, 360, 380)), Region((480, 100, 510, 130))
    annotate(release, {"pair.png": [large, small]})
    with planted_detectors():
        make_release(release.base, "blur-released")
        summary = release.verify()
        assert release.found() == {"pair.png": (LEAK, {"shows-through"})}
    (finding,) = release.verdicts()["pair.png"].findings
    assert finding.box_xyxy == small.box_xyxy
    assert [warning["code"] for warning in summary.extra["warnings"]] == ["weak-method"]
    stronger = Release(tmp_path / "veil")
    release.photos.rename(release.base.with_name("photos"))
    stronger.base.mkdir()
    release.base.with_name("photos").rename(stronger.photos)
    annotate(stronger, {"pair.png": [large, small]})
    with planted_detectors():
        make_release(stronger.base, "veil")
        assert stronger.found() == {}


def test_a_pixel_outside_changed(release: Release) -> None:
    with PillowImage.open(release.out / "a/two.png") as after:
        pixels = np.array(after)
    pixels[3, CELL + 40, 1] ^= 1
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, "PNG")
    forge(release, "a/two.png", clean_metadata(stream.getvalue()))
    assert found_in(release) == {"a/two.png": (LEAK, {"outside-changed"})}


@pytest.mark.parametrize("name", ["a/one.jpg", "c/turned.jpg"])
def test_a_coefficient_outside_changed(release: Release, tmp_path: Path, name: str) -> None:
    coefficients = jpeglib.read_dct(str(release.out / name))
    coefficients.Y[0, 0, 7, 7] += 1
    coefficients.write_dct(str(tmp_path / "changed.jpg"))
    carrier = (release.out / name).read_bytes()
    # Keep the metadata of the output, so that nothing but the coefficient differs.
    changed = clean_metadata((tmp_path / "changed.jpg").read_bytes())
    head = carrier[: carrier.index(b"\xff\xdb")]
    forge(release, name, clean_metadata(head + changed[changed.index(b"\xff\xdb") :]))
    assert found_in(release) == {name: (LEAK, {"outside-changed"})}


def planted_segments() -> dict[str, tuple[bytes, set[str]]]:
    thumbnail = jpeg_bytes(draw(1, 1, {(0, 0): MAGENTA}))
    exif = exif_bytes(gps=True)
    preview = b"Exif\0\0II*\0\x08\0\0\0" + b"\0\0" + (14).to_bytes(4, "little") + _ifd1(thumbnail)
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><dc:creator>Ann</dc:creator></x:xmpmeta>"
    return {
        "gps": (segment_bytes(0xE1, exif), {"metadata"}),
        "thumbnail": (segment_bytes(0xE1, preview), {"metadata", "embedded-preview"}),
        "xmp": (segment_bytes(0xE1, xmp), {"metadata"}),
        "comment": (segment_bytes(0xFE, b"seen at Ann's"), {"metadata"}),
    }


def _ifd1(thumbnail: bytes) -> bytes:
    """A second directory, at byte 14, that points at a thumbnail behind it."""
    start = 14 + 2 + 2 * 12 + 4
    entries = [(0x0201, start), (0x0202, len(thumbnail))]
    packed = b"".join(
        tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0" + value.to_bytes(4, "little")
        for tag, value in entries
    )
    return b"\x02\0" + packed + b"\0\0\0\0" + thumbnail


@pytest.mark.parametrize("kind", planted_segments())
@pytest.mark.parametrize("name", ["a/one.jpg", "b/none.jpg"])
def test_metadata_left_in_the_output(release: Release, kind: str, name: str) -> None:
    segment, codes = planted_segments()[kind]
    data = (release.out / name).read_bytes()
    forge(release, name, data[:2] + segment + data[2:])
    if name == "b/none.jpg":
        codes = codes | {"not-justified"}
    assert found_in(release) == {name: (LEAK, codes)}


@pytest.mark.parametrize("name", ["a/one.jpg", "a/two.png", "b/none.png"])
def test_bytes_behind_the_end(release: Release, name: str) -> None:
    forge(release, name, (release.out / name).read_bytes() + b"secret")
    extra = {"not-justified"} if name == "b/none.png" else set()
    assert found_in(release) == {name: (LEAK, {"metadata"} | extra)}
    picture = jpeg_bytes(draw(1, 1, {}))
    forge(release, name, (release.out / name).read_bytes() + picture)
    assert found_in(release) == {name: (LEAK, {"metadata", "embedded-preview"} | extra)}


@pytest.mark.parametrize(
    "name", ["extra.jpg", "a/.hidden.jpg", ".hidden/x.jpg", "a/.veilset-part-0", "notes.txt"]
)
def test_a_file_that_nobody_wrote(release: Release, name: str) -> None:
    path = release.out / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"whatever")
    assert found_in(release) == {name: (LEAK, {"unexpected-file"})}
    assert release.verdicts()[name].n_bytes == 8


def test_a_name_that_is_not_utf8(release: Release) -> None:
    (release.out / os.fsdecode(b"a\xff.jpg")).write_bytes(b"whatever")
    assert found_in(release) == {"a\\xff.jpg": (LEAK, {"unexpected-file"})}


def test_links_and_things_that_are_no_files(release: Release) -> None:
    (release.out / "d").symlink_to(release.photos)
    (release.out / "e").mkdir()
    os.mkfifo(release.out / "f")
    (release.out / "b/none.png").unlink()
    (release.out / "b/none.png").symlink_to(release.photos / "b/none.png")
    assert found_in(release) == {
        "b/none.png": (LEAK, {"unexpected-link", "missing"}),
        "d": (LEAK, {"unexpected-link"}),
        "e": (REVIEW, {"empty-folder"}),
        "f": (LEAK, {"unexpected-file"}),
    }


def test_a_file_that_is_gone(release: Release) -> None:
    (release.out / "a/two.png").unlink()
    (release.out / "c/plain.jpg").unlink()
    (release.photos / "c/plain.jpg").unlink()
    assert found_in(release) == {
        "a/two.png": (ERROR, {"missing"}),
        "c/plain.jpg": (ERROR, {"missing"}),
    }
    assert release.verify().extra["overall"] == "errors"


def test_swapped_files(release: Release) -> None:
    one, other = release.out / "b/none.jpg", release.out / "c/plain.jpg"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    expected = (LEAK, {"digest", "not-justified"})
    assert found_in(release) == {"b/none.jpg": expected, "c/plain.jpg": expected}


def test_swapped_originals(release: Release) -> None:
    (release.photos / "b/none.jpg").write_bytes((release.photos / "c/plain.jpg").read_bytes())
    assert found_in(release) == {"b/none.jpg": (ERROR, {"original-changed"})}


def test_a_file_cut_short_after_the_run(release: Release) -> None:
    path = release.out / "a/one.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    assert found_in(release) == {"a/one.jpg": (LEAK, {"digest", "unreadable-output"})}


def test_originals_that_came_went_or_changed_since(release: Release) -> None:
    (release.photos / "new.jpg").write_bytes(jpeg_bytes(draw(1, 1, {(0, 0): MAGENTA})))
    (release.photos / "b/none.png").unlink()
    cut = release.photos / "c/cut.jpg"
    cut.write_bytes(cut.read_bytes() + b"more")
    assert release.found() == {
        "new.jpg": (ABSENT, {"not-in-record"}),
        "b/none.png": (ERROR, {"original-missing"}),
        "c/cut.jpg": (ABSENT, {"original-changed"}),
    }


def test_a_picture_of_another_size(release: Release) -> None:
    forge(release, "a/one.jpg", clean_metadata(jpeg_bytes(draw(1, 2, {}))))
    assert found_in(release) == {"a/one.jpg": (LEAK, {"size-changed"})}


def test_a_turned_orientation(release: Release) -> None:
    data = (release.out / "c/turned.jpg").read_bytes()
    plain = clean_metadata(data, "strip")
    assert b"\x12\x01\x03\x00\x01\x00\x00\x00\x06" in plain or b"\x01\x12\x00\x03" in plain
    turned = plain.replace(
        b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06", b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x08"
    ).replace(b"\x12\x01\x03\x00\x01\x00\x00\x00\x06", b"\x12\x01\x03\x00\x01\x00\x00\x00\x08")
    assert turned != plain
    forge(release, "c/turned.jpg", clean_metadata(turned))
    assert found_in(release) == {"c/turned.jpg": (LEAK, {"size-changed"})}


def test_an_untouched_picture_that_cleaning_turns(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the cleaner wrong of the orientation, what it writes would be as expected."""
    original = (release.photos / "b/none.jpg").read_bytes()
    turned = segment_bytes(0xE1, exif_bytes(orientation=3))

    def clean(data: bytes, policy: str = "safe") -> bytes:
        if data == original:
            data = data[:2] + turned + clean_metadata(data, policy)[2:]
        return clean_metadata(data, policy)

    monkeypatch.setattr(checks, "clean_metadata", clean)
    forge(release, "b/none.jpg", clean(original))
    assert found_in(release) == {"b/none.jpg": (LEAK, {"size-changed"})}


def test_hidden_pixels_written_by_hand_pass_only_where_they_belong(release: Release) -> None:
    """A method is judged by what it hides, not by its name."""
    original = (release.photos / "a/two.png").read_bytes()
    with PillowImage.open(io.BytesIO(original)) as picture:
        pixels = np.array(picture)
    boxes = np.array([[12, 12, 68, 68], [CELL + 12, CELL + 12, CELL + 68, CELL + 68]])
    for x0, y0, x1, y1 in boxes:
        pixels[y0:y1, x0:x1] = 90
    forge(release, "a/two.png", clean_metadata(replace_pixels(original, pixels, boxes)))
    assert found_in(release) == {}
    forge(release, "a/two.png", clean_metadata(replace_pixels(original, pixels, boxes[:1])))
    assert found_in(release) == {"a/two.png": (LEAK, {"shows-through"})}


FILES = ("a/one.jpg", "a/two.png", "b/none.jpg", "b/none.png", "c/plain.jpg", "c/turned.jpg")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(FILES), at=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_any_flipped_bit_of_any_file_is_noticed(
    release: Release, name: str, at: int, bit: int
) -> None:
    path = release.out / name
    whole = path.read_bytes()
    data = bytearray(whole)
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    found = found_in(release)
    path.write_bytes(whole)
    assert set(found) == {name}
    assert found[name][0] is LEAK
    assert "digest" in found[name][1]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(["b/none.jpg", "b/none.png"]), at=st.integers(0, 10**9))
def test_any_flipped_bit_of_an_untouched_file_is_noticed_although_the_record_agrees(
    release: Release, name: str, at: int
) -> None:
    whole = (release.out / name).read_bytes()
    data = bytearray(whole)
    data[at % len(data)] ^= 1
    forge(release, name, bytes(data))
    found = found_in(release)
    forge(release, name, whole)
    assert set(found) == {name}
    assert found[name][0] is LEAK
    assert "not-justified" in found[name][1]
