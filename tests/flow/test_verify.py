# SPDX-License-Identifier: Apache-2.0
"""Every kind of leak, planted in a small release: it is found, and nothing else is."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jpeglib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from tests.unit.verify.drawn import (
    CELL,
    CLEAN,
    CYAN,
    MAGENTA,
    QUIET,
    Release,
    annotate,
    draw,
    exif_bytes,
    forge,
    jpeg_bytes,
    make_release,
    planted_detectors,
)
from veilset.errors import AnnotationError, DatasetError, LicenceError, RunError
from veilset.images.encode import replace_pixels
from veilset.metadata.clean import clean_metadata
from veilset.metadata.jpeg_segments import segment_bytes
from veilset.obfuscate.stage import ObfuscateConfig
from veilset.records.outcomes import Outcome
from veilset.records.verdicts import CODES, Level, Verdict
from veilset.types import Region
from veilset.verify.redetect import is_sampled

LEAK, ERROR, REVIEW, ABSENT = Verdict.LEAK, Verdict.ERROR, Verdict.REVIEW, Verdict.ABSENT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    with planted_detectors():
        yield make_release(tmp_path_factory.mktemp("release") / "base")


@pytest.fixture
def release(made: Release, tmp_path: Path) -> Release:
    return made.copy(tmp_path / "copy")


def found_in(release: Release) -> dict[str, tuple[Verdict, set[str]]]:
    """What is found besides the picture that failed as it should."""
    found = release.found()
    assert {name: found.pop(name) for name in CLEAN} == CLEAN
    assert all(codes <= set(CODES) for _, codes in found.values())
    return found


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


@pytest.mark.parametrize(
    ("score", "verdict", "level"), [(0.8, LEAK, Level.LEAK), (0.81, REVIEW, Level.REVIEW)]
)
def test_a_face_that_the_release_missed(
    tmp_path: Path, score: float, verdict: Verdict, level: Level
) -> None:
    release = Release(tmp_path / "missed")
    release.photos.mkdir(parents=True)
    picture = draw(3, 1, {(0, 0): MAGENTA, (2, 0): CYAN})
    (release.photos / "x.jpg").write_bytes(jpeg_bytes(picture, subsampling=0))
    with planted_detectors():
        make_release(release.base)
        assert release.found(replace(QUIET, leak_score=score)) == {
            "x.jpg": (verdict, {"missed-face"})
        }
        (finding,) = release.verdicts()["x.jpg"].findings
        assert (finding.detector, finding.score, finding.level) == ("planted", 0.8, level)
        assert finding.box_xyxy is not None
        assert finding.box_xyxy[0] == pytest.approx(2 * CELL + 16, abs=2)
        assert release.found(replace(QUIET, effort="fast")) == {}
        assert release.found(replace(QUIET, recheck="none")) == {}


def test_a_face_missed_in_an_untouched_image_is_found_by_all_or_by_sample(tmp_path: Path) -> None:
    release = Release(tmp_path / "missed")
    release.photos.mkdir(parents=True)
    for index in range(40):
        faces = {(0, 0): CYAN} if index % 4 == 0 else {}
        picture = draw(1, 1, faces)
        (release.photos / f"{index:02}.jpg").write_bytes(jpeg_bytes(picture, subsampling=0))
    with planted_detectors():
        make_release(release.base)
        assert release.found() == {}
        everything = release.verify(replace(QUIET, recheck="all"))
        assert everything.counts["leak"] == 10
        (measured,) = everything.extra["measurements"]
        assert (measured["value"], measured["n"]) == (0.25, 40)
        assert 0 < measured["low"] < 0.25 < measured["high"] < 1
        # Images with and without a region are sampled alike where only a sample is wanted.
        part = replace(QUIET, recheck="sample", recheck_sample=0.5)
        release.verify(part)
        drawn = {name for name, row in release.verdicts().items() if row.looked_again}
        release.verify(replace(part, recheck="touched"))
        assert drawn == {name for name, row in release.verdicts().items() if row.looked_again}
        sampled = release.verify(replace(QUIET, recheck_sample=0.01, recheck_minimum=20))
        (measured,) = sampled.extra["measurements"]
        assert measured["n"] == sampled.counts["searched_sample"] in range(10, 31)
        assert sampled.counts.get("leak", 0) == round(measured["value"] * measured["n"])


def test_second_detectors_are_the_other_installed_ones(release: Release) -> None:
    with planted_detectors(("planted", "blind", "unusable")):
        summary = release.verify(replace(QUIET, second_detectors=None))
        assert set(summary.extra["verification"]["detectors"]) == {"planted", "blind"}
        assert summary.extra["skipped_detectors"] == {"unusable": "It has no weights."}
        summary = release.verify(replace(QUIET, second_detectors=None, commercial_ok=True))
        assert set(summary.extra["verification"]["detectors"]) == {"planted"}
    with planted_detectors():
        with pytest.raises(LicenceError, match="research only"):
            release.verify(replace(QUIET, second_detectors=("blind",), commercial_ok=True))
        found = release.found(replace(QUIET, second_detectors=("failing",)))
    # A detector that fails on wide pictures must not vouch for them, nor spoil the others.
    failed = (ERROR, {"check-failed"})
    assert found == {"a/one.jpg": failed, "c/turned.jpg": failed, **CLEAN}


def test_another_annotation_set_is_refused(release: Release, tmp_path: Path) -> None:
    other = Release(tmp_path / "other")
    other.base.mkdir()
    other.photos.symlink_to(release.photos)
    annotate(other, {})
    with pytest.raises(AnnotationError, match="another annotation set"):
        replace_annotations(release, other).verify()


def replace_annotations(release: Release, other: Release) -> Release:
    release.annotations.rename(release.annotations.with_name("old"))
    other.annotations.rename(release.annotations)
    return release


@pytest.mark.parametrize("place", ["annotations", "out.veilset/obfuscate"])
def test_changed_tables_are_refused(release: Release, place: str) -> None:
    path = release.base / place / "shard-00000.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="not those that its run wrote"):
        release.verify()


def test_regions_that_the_run_ignored(release: Release) -> None:
    original = (release.photos / "a/one.jpg").read_bytes()
    forge(release, "a/one.jpg", clean_metadata(original), outcome=Outcome.UNTOUCHED, n_regions=0)
    assert found_in(release) == {"a/one.jpg": (LEAK, {"regions-ignored", "shows-through"})}


def test_regions_of_other_kinds_and_low_scores_are_left_alone(tmp_path: Path) -> None:
    config = ObfuscateConfig(min_score=0.95)
    with planted_detectors():
        release = make_release(tmp_path / "weak", obfuscate=config)
        found = release.found(replace(QUIET, recheck="all"))
        # Left visible on purpose, yet faces that anybody finds: still leaks.
        assert {name for name, (verdict, _) in found.items() if verdict is LEAK} == {
            "a/one.jpg",
            "a/two.png",
            "c/turned.jpg",
        }
        assert {code for _, codes in found.values() for code in codes} == {"missed-face"}
        plates = make_release(tmp_path / "plates", obfuscate=ObfuscateConfig(kinds=("plate",)))
        summary = plates.verify(replace(QUIET, recheck="all"))
    assert summary.extra["overall"] == "passed"
    assert [warning["code"] for warning in summary.extra["warnings"]] == ["faces-not-hidden"]


def test_an_output_of_another_method(release: Release, tmp_path: Path) -> None:
    with planted_detectors():
        other = make_release(tmp_path / "other", "swirl")
    for name in ("a/one.jpg", "a/two.png", "c/turned.jpg"):
        (release.out / name).write_bytes((other.out / name).read_bytes())
    found = found_in(release)
    assert {name for name, (verdict, _) in found.items() if verdict is LEAK} == {
        "a/one.jpg",
        "a/two.png",
        "c/turned.jpg",
    }
    assert all("digest" in codes for _, codes in found.values())


def test_another_version_of_the_method_is_refused(release: Release) -> None:
    path = release.record / "obfuscate/run.json"
    manifest = json.loads(path.read_bytes())
    manifest["config"]["method"]["version"] += 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="Verify with the version"):
        release.verify()


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


def test_a_sample_of_the_touched_images_gives_a_rate_of_its_own(release: Release) -> None:
    names = {"a/one.jpg", "a/two.png", "c/turned.jpg"}
    for share in (0.3, 0.6, 1.0):
        config = replace(QUIET, recheck="sample", recheck_sample=share, recheck_minimum=0)
        summary = release.verify(config)
        searched = {name for name, row in release.verdicts().items() if row.looked_again}
        assert searched == {name for name in FILES if is_sampled(name, 0, share)}
        rates = {each["name"].split()[0]: each for each in summary.extra["measurements"]}
        assert rates.get("touched", {"n": 0})["n"] == len(searched & names)
        assert rates.get("untouched", {"n": 0})["n"] == len(searched - names)
