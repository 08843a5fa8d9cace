# SPDX-License-Identifier: Apache-2.0
"""The picture that is sent: upright, small enough, without metadata, of the right file only."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from veilset.dataset.folder import FolderReader
from veilset.errors import DecodeError
from veilset.files import sha256_hex
from veilset.images.decode import decode_image, inspect_image
from veilset.review.views import ImageView
from veilset.review.web.pictures import picture_of
from veilset.types import Image

SECRET = "camera-of-ada-4711"


def gradient(width: int, height: int) -> Image:
    """Pixels that tell every corner from every other."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = columns * 255 // max(1, width - 1), rows * 255 // max(1, height - 1)
    return np.stack([red, green, 255 - red], axis=2).astype(np.uint8)


def jpeg(pixels: Image, orientation: int = 1) -> bytes:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = SECRET
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(
        stream, "JPEG", quality=95, exif=exif, comment=SECRET.encode()
    )
    return stream.getvalue()


def put(folder: Path, name: str, data: bytes) -> ImageView:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return ImageView(1, name, sha256_hex(data), inspect_image(data).size_wh)


def shown(folder: Path, view: ImageView, longest: int = 2_560) -> tuple[bytes, str]:
    return picture_of(FolderReader(folder), view, longest, 100_000_000)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_shown_upright(tmp_path: Path, orientation: int) -> None:
    data = jpeg(gradient(320, 200), orientation)
    upright, _ = decode_image(data)
    picture, media_type = shown(tmp_path, put(tmp_path, "a/b.jpg", data))
    again = np.asarray(PillowImage.open(io.BytesIO(picture)))
    assert media_type == "image/jpeg"
    assert again.shape == upright.shape
    assert np.abs(again.astype(int) - upright).mean() < 3


def test_no_metadata_comes_along(tmp_path: Path) -> None:
    note = PngImagePlugin.PngInfo()
    note.add_text("Author", SECRET)
    stream = io.BytesIO()
    PillowImage.fromarray(gradient(64, 64)).save(stream, "PNG", pnginfo=note)
    for name, data in (("a.jpg", jpeg(gradient(640, 480), 6)), ("b.png", stream.getvalue())):
        assert SECRET.encode() in data
        picture, _ = shown(tmp_path, put(tmp_path, name, data))
        opened = PillowImage.open(io.BytesIO(picture))
        assert SECRET.encode() not in picture
        assert not opened.getexif()
        assert set(opened.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_the_longer_side_is_reduced_and_nothing_is_enlarged(tmp_path: Path) -> None:
    view = put(tmp_path, "wide.jpg", jpeg(gradient(1_000, 400)))
    assert PillowImage.open(io.BytesIO(shown(tmp_path, view, 500)[0])).size == (500, 200)
    assert PillowImage.open(io.BytesIO(shown(tmp_path, view, 5_000)[0])).size == (1_000, 400)
    thin = put(tmp_path, "thin.jpg", jpeg(gradient(1, 3_000)))
    assert PillowImage.open(io.BytesIO(shown(tmp_path, thin, 100)[0])).size == (1, 100)


def test_a_small_picture_loses_nothing(tmp_path: Path) -> None:
    stream = io.BytesIO()
    PillowImage.fromarray(gradient(40, 30)).save(stream, "PNG")
    picture, media_type = shown(tmp_path, put(tmp_path, "s.png", stream.getvalue()))
    assert media_type == "image/png"
    assert np.array_equal(np.asarray(PillowImage.open(io.BytesIO(picture))), gradient(40, 30))


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    view = put(tmp_path, "a.jpg", jpeg(gradient(64, 64)))
    put(tmp_path, "a.jpg", jpeg(gradient(64, 65)))
    with pytest.raises(DecodeError) as caught:
        shown(tmp_path, view)
    assert caught.value.reason == "changed"


def test_a_size_that_does_not_fit_the_boxes_is_refused(tmp_path: Path) -> None:
    data = jpeg(gradient(64, 48))
    put(tmp_path, "a.jpg", data)
    with pytest.raises(DecodeError) as caught:
        shown(tmp_path, ImageView(1, "a.jpg", sha256_hex(data), (48, 64)))
    assert caught.value.reason == "changed"


def test_too_many_pixels_are_not_decoded(tmp_path: Path) -> None:
    view = put(tmp_path, "a.jpg", jpeg(gradient(64, 64)))
    with pytest.raises(DecodeError) as caught:
        picture_of(FolderReader(tmp_path), view, 2_560, 64 * 64 - 1)
    assert caught.value.reason == "over-limit"


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    data = jpeg(gradient(640, 480))
    half = data[: len(data) // 2]
    (tmp_path / "half.jpg").write_bytes(half)
    with pytest.raises(DecodeError):
        shown(tmp_path, ImageView(1, "half.jpg", sha256_hex(half), (640, 480)))


@pytest.mark.parametrize(
    "name",
    ["../secret.jpg", "a/../../secret.jpg", "{out}/secret.jpg", "link.jpg", "folder/secret.jpg",
     "nothing.jpg", "", ".", "a\0b.jpg", "x" * 5_000, "loop.jpg"],
)  # fmt: skip
def test_nothing_outside_the_folder_is_read(tmp_path: Path, name: str) -> None:
    photos, data = tmp_path / "photos", jpeg(gradient(64, 64))
    (photos / "a").mkdir(parents=True)
    secret = put(tmp_path, "secret.jpg", data)
    (photos / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (photos / "folder").symlink_to(tmp_path)
    (photos / "loop.jpg").symlink_to(photos / "loop.jpg")
    # Everything else fits, so that only the place of the file can be what is refused.
    view = ImageView(1, name.format(out=tmp_path), secret.sha256, secret.size_wh)
    with pytest.raises(DecodeError):
        shown(photos, view)


def test_a_link_inside_the_folder_is_read(tmp_path: Path) -> None:
    view = put(tmp_path, "a.jpg", jpeg(gradient(200, 200)))
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    linked = ImageView(2, "b.jpg", view.sha256, view.size_wh)
    assert shown(tmp_path, linked) == shown(tmp_path, view)
