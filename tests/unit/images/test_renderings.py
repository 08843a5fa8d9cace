# SPDX-License-Identifier: Apache-2.0
"""What viewers show of pictures with alpha: against Pillow, in every format that has it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as PillowImage

from veilset.images.decode import decode_image
from veilset.images.renderings import decode_renderings
from veilset.types import Image

SHAPE = (9, 14)


def stored(picture: PillowImage.Image, name: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, name, **options)
    return stream.getvalue()


def on(picture: PillowImage.Image, ground: int) -> Image:
    """Compose by Pillow."""
    coloured = picture.convert("RGBA")
    below = PillowImage.new("RGBA", coloured.size, (ground, ground, ground, 255))
    return np.asarray(PillowImage.alpha_composite(below, coloured).convert("RGB"))


def drawn(mode: str) -> PillowImage.Image:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 256, (*SHAPE, 2 if mode == "LA" else 4), dtype=np.uint8)
    values[0, 0, -1], values[0, 1, -1] = 0, 255
    return PillowImage.frombytes(mode, SHAPE[::-1], values.tobytes())


@pytest.mark.parametrize(
    ("mode", "name", "options"),
    [
        ("RGBA", "PNG", {}),
        ("LA", "PNG", {}),
        ("RGBA", "WEBP", {"lossless": True, "exact": True}),
        ("RGBA", "WEBP", {"quality": 90}),
        ("RGBA", "TIFF", {}),
        ("LA", "TIFF", {}),
        ("RGBA", "AVIF", {}),
    ],
)
def test_every_format_with_alpha_is_seen_on_white_on_black_and_as_alpha(
    mode: str, name: str, options: dict[str, Any]
) -> None:
    data = stored(drawn(mode), name, **options)
    renderings, info = decode_renderings(data)
    picture, same_info = decode_image(data)
    assert info == same_info
    assert np.array_equal(renderings[0], picture)
    reread = PillowImage.open(io.BytesIO(data))
    alpha = np.asarray(reread.convert("RGBA"))[:, :, 3]
    for shown, expected in zip(
        renderings[1:], (on(reread, 255), on(reread, 0), alpha[:, :, None]), strict=True
    ):
        # Pillow rounds in steps of its own.
        assert np.abs(shown.astype(int) - expected).max() <= 1
        assert shown.flags.c_contiguous


def test_a_transparent_palette_and_a_transparent_colour() -> None:
    palette = PillowImage.new("P", SHAPE[::-1])
    palette.putpalette([10, 20, 30, 200, 210, 220])
    palette.putpixel((3, 3), 1)
    colour = PillowImage.new("RGB", SHAPE[::-1], (10, 20, 30))
    colour.putpixel((3, 3), (200, 210, 220))
    for picture, clear in ((palette, 1), (colour, (200, 210, 220))):
        renderings, _ = decode_renderings(stored(picture, transparency=clear))
        assert [each[3, 3].tolist() for each in renderings] == [
            [200, 210, 220], [255, 255, 255], [0, 0, 0], [0, 0, 0],
        ]  # fmt: skip


def test_alpha_of_16_bits() -> None:
    cv2 = pytest.importorskip("cv2")
    deep = np.full((*SHAPE, 4), 65535, np.uint16)
    deep[2:5, 2:5, 3] = 0
    renderings, _ = decode_renderings(cv2.imencode(".png", deep)[1].tobytes())
    # On white nothing is seen of it: that is the first picture once more.
    assert [each[3, 3, 0] for each in renderings] == [255, 0]
    assert [each[0, 0, 0] for each in renderings] == [255, 255]


def test_they_are_turned_as_the_picture_is() -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    renderings, info = decode_renderings(stored(drawn("RGBA"), exif=exif.tobytes()))
    upright, _ = decode_renderings(stored(drawn("RGBA")))
    assert info.orientation == 6
    for turned, each in zip(renderings, upright, strict=True):
        assert np.array_equal(turned, np.rot90(each, -1))


@pytest.mark.parametrize("alpha", [0, 17, 255])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "RGBA", "LA"])
def test_without_a_varying_alpha_there_is_one(mode: str, alpha: int) -> None:
    picture = drawn("RGBA").convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(alpha)
    assert len(decode_renderings(stored(picture))[0]) == 1
    if mode == "RGB":
        assert len(decode_renderings(stored(picture, "JPEG"))[0]) == 1


@given(arrays(np.uint8, (4, 5, 4)))
def test_no_two_are_the_same(values: Image) -> None:
    data = stored(PillowImage.frombytes("RGBA", (5, 4), values.tobytes()))
    renderings, _ = decode_renderings(data)
    assert np.array_equal(renderings[0], values[:, :, :3])
    assert len({each.tobytes() for each in renderings}) == len(renderings)
    if len(np.unique(values[:, :, 3])) > 1:
        assert len(renderings) > 1


@given(st.integers(0, 255), st.integers(0, 255), st.sampled_from([0, 255]))
def test_opaque_parts_show_their_colours(colour: int, alpha: int, ground: int) -> None:
    values = np.array([[[colour] * 3 + [255], [colour] * 3 + [alpha]]], np.uint8)
    renderings, _ = decode_renderings(
        stored(PillowImage.frombytes("RGBA", (2, 1), values.tobytes()))
    )
    mixed = (colour * alpha + ground * (255 - alpha)) / 255
    shades = {int(each[0, 1, 0]) for each in renderings if int(each[0, 0, 0]) == colour}
    assert any(abs(shade - mixed) <= 0.5 for shade in shades)
