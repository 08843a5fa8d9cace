# SPDX-License-Identifier: Apache-2.0
"""A small data set of public-domain photographs, composed from those in scikit-image.

scikit-image comes with Veilset's dependencies and brings, among others, NASA's portrait of
the astronaut Eileen Collins (public domain), a cat, a cup of coffee, a rocket and walls
(CC0). There is one face among them, so scenes with more are composed from it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageEnhance, ImageFilter

HEAD_BOX = (168, 8, 284, 196)  # of the astronaut's head with hair, in her 512 x 512 portrait

# x and y of the centre and height of the head, as shares of the picture; mirrored or not
CROWD = (
    (0.08, 0.22, 0.16, False), (0.20, 0.18, 0.14, True), (0.33, 0.24, 0.17, False),
    (0.46, 0.20, 0.15, True), (0.60, 0.23, 0.16, False), (0.74, 0.18, 0.14, True),
    (0.88, 0.22, 0.16, False), (0.15, 0.55, 0.30, True), (0.40, 0.58, 0.32, False),
    (0.66, 0.56, 0.31, True), (0.88, 0.60, 0.28, False), (0.53, 0.82, 0.10, True),
)  # fmt: skip


def make_photos(folder: Path) -> list[Path]:
    """Write the data set: class folders with JPEG, PNG and WebP files.

    Args:
        folder: Made if missing.

    Returns:
        The files, sorted.
    """
    astronaut = _photo("astronaut.png")
    _save(folder / "portraits" / "astronaut.jpg", astronaut, quality=92)
    _save_sideways(folder / "portraits" / "sideways.jpg", astronaut)
    close = astronaut.crop((180, 40, 270, 160)).resize((450, 600), Image.Resampling.LANCZOS)
    _save(folder / "portraits" / "close.jpg", close, quality=90, subsampling="4:4:4")
    _save(folder / "portraits" / "grey.jpg", astronaut.convert("L").resize((301, 333)), quality=88)

    wall = _photo("brick.png").convert("RGB").resize((1024, 768))
    _save(folder / "crowds" / "wall.jpg", _with_heads(wall, CROWD), quality=90, progressive=True)
    two = ((0.36, 0.52, 0.80, False), (0.76, 0.30, 0.09, True))
    grass = _photo("grass.png").convert("RGB").resize((640, 480))
    _save(folder / "crowds" / "near-and-far.png", _with_heads(grass, two))
    gravel = _photo("gravel.png").convert("RGB").resize((640, 480))
    three = ((0.2, 0.4, 0.35, False), (0.5, 0.5, 0.25, True), (0.8, 0.45, 0.4, False))
    _save(folder / "crowds" / "gravel.webp", _with_heads(gravel, three), lossless=True)

    _save(folder / "animals" / "cat.webp", _photo("chelsea.png"), quality=85)
    _save(folder / "things" / "coffee.jpg", _photo("coffee.png"), quality=85, progressive=True)
    _save(folder / "things" / "rocket.jpg", _photo("rocket.jpg"), quality=85)
    _save(folder / "things" / "motorcycle.png", _photo("motorcycle_left.png"))
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _photo(name: str) -> Image.Image:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-image is not installed. Run: pip install scikit-image")
    with Image.open(Path(spec.origin).parent / "data" / name) as image:
        return image.convert("RGB")


def _save(path: Path, image: Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def _save_sideways(path: Path, image: Image.Image) -> None:
    """Save as a phone does: stored lying, with a rotation tag, a place and an owner."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "The owner of this camera"
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef] = "N"
    gps[ExifTags.GPS.GPSLatitude] = (28.0, 31.0, 27.0)
    _save(path, image.transpose(Image.Transpose.ROTATE_90), quality=90, exif=exif)


def _with_heads(
    background: Image.Image, places: tuple[tuple[float, float, float, bool], ...]
) -> Image.Image:
    """Paste the astronaut's head into a picture, at several places and sizes."""
    head = _photo("astronaut.png").crop(HEAD_BOX)
    scene = ImageEnhance.Brightness(background).enhance(0.9)
    for number, (x, y, share, is_mirrored) in enumerate(places):
        height = max(8, round(share * scene.height))
        width = round(height * head.width / head.height)
        small = head.resize((width, height), Image.Resampling.LANCZOS)
        if is_mirrored:
            small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        small = ImageEnhance.Brightness(small).enhance(0.85 + 0.05 * (number % 6))
        mask = Image.new("L", small.size, 0)
        ImageDraw.Draw(mask).ellipse((0, 0, width - 1, height - 1), fill=255)
        mask = mask.filter(ImageFilter.GaussianBlur(height / 60))
        corner = (round(x * scene.width - width / 2), round(y * scene.height - height / 2))
        scene.paste(small, corner, mask)
    return Image.fromarray(np.asarray(scene))
