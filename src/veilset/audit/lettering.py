# SPDX-License-Identifier: Apache-2.0
"""The one font that every machine has: Aileron Regular (CC0), which comes inside Pillow.

It knows ASCII and a few signs. What it does not know is written another way, so that a name
in any script can still be told from another one.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

from veilset.errors import MissingExtraError
from veilset.pages.markup import visible

_NOT_A_LETTER = "\uffff"
"""No font draws it; what a font draws in its place stands for every letter it lacks."""


@lru_cache(maxsize=64)
def own_font(size_px: int) -> FreeTypeFont:
    """Give Pillow's own font.

    Args:
        size_px: Its size in pixels, from 1 on.

    Raises:
        MissingExtraError: If this Pillow was built without FreeType.
    """
    try:
        font = ImageFont.load_default(size_px)
    except ImportError as error:
        raise _no_freetype() from error
    if not isinstance(font, FreeTypeFont):
        raise _no_freetype()
    return font


def _no_freetype() -> MissingExtraError:
    return MissingExtraError(
        "This Pillow was built without FreeType, so it cannot write text. "
        "Install it from a wheel: pip install --force-reinstall --only-binary :all: pillow"
    )


@lru_cache(maxsize=4096)
def _knows(letter: str) -> bool:
    font = own_font(16)
    return bytes(font.getmask(letter)) != bytes(font.getmask(_NOT_A_LETTER))


def is_known(text: str) -> bool:
    """Whether the font has every letter of a text.

    Example:
        >>> is_known("27 (22-33)…"), is_known("café")
        (True, False)
    """
    return all(_knows(letter) for letter in text)


def writable(text: str) -> str:
    r"""Give a text in letters that the font has, a name still told from another one.

    Accents go; other letters become their code, as ``pages.markup.visible`` writes it.

    Example:
        >>> print(writable("café \u72ac/1.jpg"))
        cafe \u72ac/1.jpg
    """
    shown = visible(text)
    if is_known(shown):
        return shown
    return "".join(_written(letter) for letter in shown)


def _written(letter: str) -> str:
    if _knows(letter):
        return letter
    parts = unicodedata.normalize("NFKD", letter)
    base = "".join(part for part in parts if not unicodedata.combining(part))
    if base and is_known(base):
        return base
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shortened(text: str, font: FreeTypeFont, width_px: float) -> str:
    """Cut out the middle of a text until it fits: the end of a path tells the most.

    Args:
        text: What ``writable`` gave.
        font: What it is written in.
        width_px: Room for it; a text without any room is cut down to ``…``.

    Example:
        >>> shortened("train/n01440764/n01440764_10026.JPEG", own_font(12), 140)
        'train/n…764_10026.JPEG'
    """
    if font.getlength(text) <= width_px:
        return text
    # Halving the number of letters that stay: a text may be as long as a path.
    fits, too_many = 0, len(text)
    while too_many - fits > 1:
        n = (fits + too_many) // 2
        if font.getlength(_cut(text, n)) <= width_px:
            fits = n
        else:
            too_many = n
    return _cut(text, fits)


def _cut(text: str, n: int) -> str:
    head = n // 3
    tail = n - head
    return f"{text[:head]}…{text[len(text) - tail :]}"
