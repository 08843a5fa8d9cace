# SPDX-License-Identifier: Apache-2.0
"""Which outputs are shown, and how."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from tests.unit.report.drawn_release import DrawnRelease, Image, leak, region, review
from veilset.files import sha256_hex
from veilset.records.verdicts import Finding, Level
from veilset.report.contact_sheet import MAX_BYTES, MAX_SIDE_PX, Thumbnail, make_thumbnails
from veilset.report.facts import Candidate
from veilset.report.gather import Facts, Limits, gather

FACE = (region(60, 40, 80),)


def facts_of(release: DrawnRelease, n_candidates: int = 48) -> Facts:
    return gather(release.out, None, release.record, Limits(200, n_candidates))


def shown(out: Path, data: bytes, name: str = "a.png") -> Thumbnail:
    """Put one file into an output and give its thumbnail."""
    out.mkdir(exist_ok=True)
    (out / name).write_bytes(data)
    (thumbnail,) = make_thumbnails(out, [Candidate(name, sha256_hex(data), 1)], 24)
    return thumbnail


def pixels(thumbnail: Thumbnail) -> np.ndarray:
    with PilImage.open(io.BytesIO(thumbnail.jpeg)) as picture:
        return np.asarray(picture)


def encoded(picture: PilImage.Image, suffix: str, **settings: object) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, suffix, **settings)
    return sink.getvalue()


def test_only_what_passed_with_a_region_is_a_candidate(tmp_path: Path) -> None:
    error = Finding("check-failed", Level.ERROR, "The check itself failed.")
    images = [
        Image("error.jpg", FACE, findings=(error,)),
        Image("leak.jpg", FACE, findings=(leak(),)),
        Image("none.jpg"),
        Image("passed.jpg", FACE),
        Image("review.jpg", FACE, findings=(review(),)),
    ]
    verified = facts_of(DrawnRelease(tmp_path, images).write()).verified
    assert verified is not None
    assert [each.image_id for each in verified.sheet] == ["passed.jpg"]


def test_choice_is_bounded_and_not_that_of_the_names(tmp_path: Path) -> None:
    images = [Image(f"{i:03d}.png", FACE, size_wh=(90, 60), suffix="PNG") for i in range(60)]
    verified = facts_of(DrawnRelease(tmp_path, images).write(), n_candidates=12).verified
    assert verified is not None
    chosen = [each.image_id for each in verified.sheet]
    assert len(chosen) == 12
    assert chosen != sorted(chosen)
    assert max(chosen) > "030.png" > min(chosen)


def test_a_file_that_is_not_the_verified_one_is_not_shown(tmp_path: Path) -> None:
    release = DrawnRelease(tmp_path, [Image(f"{i}.jpg", FACE) for i in range(4)]).write()
    (release.out / "1.jpg").write_bytes((release.out / "0.jpg").read_bytes())
    (release.out / "2.jpg").unlink()
    verified = facts_of(release).verified
    assert verified is not None
    made = make_thumbnails(release.out, verified.sheet, 24)
    assert sorted(each.image_id for each in made) == ["0.jpg", "3.jpg"]
    assert len(make_thumbnails(release.out, verified.sheet, 1)) == 1


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 no picture", b"GIF89a"])
def test_what_cannot_be_opened_is_passed_over(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    assert make_thumbnails(tmp_path, [Candidate("a.jpg", sha256_hex(data), 1)], 24) == []


def test_a_picture_over_the_limit_is_not_decoded(tmp_path: Path) -> None:
    data = encoded(PilImage.new("1", (9000, 9000)), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    assert make_thumbnails(tmp_path, [Candidate("a.png", sha256_hex(data), 1)], 24) == []


def test_thumbnail_is_upright(tmp_path: Path) -> None:
    picture = PilImage.new("RGB", (400, 200), "blue")
    picture.paste("red", (0, 0, 200, 200))
    exif = PilImage.Exif()
    exif[0x0112] = 6  # turn a quarter to the right to see it upright
    exif[0x010F] = "Maker of the camera"
    small = shown(tmp_path, encoded(picture, "JPEG", exif=exif), "a.jpg")
    assert (small.width, small.height) == (120, 240)
    assert b"Maker" not in small.jpeg
    top, bottom = pixels(small)[20, 60].astype(int), pixels(small)[220, 60].astype(int)
    assert top[0] > 200 > bottom[0]
    assert bottom[2] > 200 > top[2]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 200, 200),
        ("1", 1, 255),
        ("P", 0, 0),
        ("LA", (90, 0), 255),
        ("RGBA", (90, 90, 90, 255), 90),
        ("I;16", 51400, 200),
    ],
)
def test_modes_look_as_they_are(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], expected: int
) -> None:
    small = shown(tmp_path, encoded(PilImage.new(mode, (64, 48), colour), "PNG"))
    assert abs(int(pixels(small)[24, 32].mean()) - expected) <= 2


def test_thumbnail_is_small_even_of_noise(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)
    small = shown(tmp_path, encoded(PilImage.fromarray(noise), "JPEG"), "a.jpg")
    assert max(small.width, small.height) == MAX_SIDE_PX
    assert len(small.jpeg) <= MAX_BYTES


WATCH = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(str(args[0])) if event in
                 ("open", "os.listdir", "os.scandir") and args[0] else None)
from veilset.report.stage import write_report
write_report(sys.argv[1])
print("\\n".join(seen))
"""


def test_no_original_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    originals = tmp_path / "originals"
    originals.mkdir()
    (originals / "a.jpg").write_bytes(b"never to be read")
    monkeypatch.setattr("tests.unit.report.drawn_release.ORIGINALS", str(originals))
    release = DrawnRelease(tmp_path, [Image("a.jpg", FACE)]).write()
    ran = subprocess.run(
        [sys.executable, "-c", WATCH, str(release.out)], capture_output=True, text=True, check=True
    )
    opened = ran.stdout.splitlines()
    assert str(release.out / "a.jpg") in opened, "the watch itself has to work"
    assert not [path for path in opened if str(originals) in path]
