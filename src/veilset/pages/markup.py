# SPDX-License-Identifier: Apache-2.0
"""HTML and SVG by small functions. A text becomes markup only by being escaped.

File names and messages come from data that nobody has checked. Whatever is not already
``Markup`` is escaped where it enters an element, so there is no place to forget it.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable
from typing import TypeAlias

# Letters that turn the direction of the text around them: a name with one of them reads
# as another name ("gpj.exe" as "exe.jpg").
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_VOID = frozenset({"br", "img", "input", "link", "meta"})


class Markup(str):
    """Text that is HTML already. Made by the functions of this module only."""

    __slots__ = ()


Content: TypeAlias = str | int | Iterable["Content"]
"""What an element may hold: text (escaped), ``Markup`` (as it is), numbers, or several."""


def visible(text: str) -> str:
    r"""Write out what would be invisible, break the line or be no valid Unicode.

    Example:
        >>> print(visible("a\u202eb\n\udcff.jpg"))
        a\u202eb\x0a\udcff.jpg
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(letter) for letter in text)


def _visible(letter: str) -> str:
    code = ord(letter)
    if letter in _BIDI or unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"}:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return letter


def escape(text: str) -> Markup:
    """Give a text as markup that shows it, in an element or in an attribute.

    Example:
        >>> escape('<img src="x">')
        '&lt;img src=&quot;x&quot;&gt;'
    """
    return Markup(html.escape(visible(text), quote=True))


def join(*contents: Content) -> Markup:
    """Give several contents one after the other; ``Markup`` as it is, the rest escaped.

    Example:
        >>> join("a & ", el("b", "c"), [1, " <"])
        'a &amp; <b>c</b>1 &lt;'
    """
    return Markup("".join(_parts(contents)))


def _parts(contents: Iterable[Content]) -> Iterable[str]:
    for content in contents:
        if isinstance(content, Markup):
            yield content
        elif isinstance(content, str):
            yield escape(content)
        elif isinstance(content, int):
            yield f"{content:,}"
        else:
            yield from _parts(content)


def el(name: str, *contents: Content, **attributes: str | int | float | None) -> Markup:
    """Give one element.

    Args:
        name: Name of the element.
        contents: What it holds.
        attributes: Escaped; None leaves one out. ``class_`` becomes ``class``, another
            ``_`` becomes ``-``, as in ``aria_label`` and ``text_anchor``.

    Example:
        >>> el("td", "<1>", class_="num", aria_label='"')
        '<td class="num" aria-label="&quot;">&lt;1&gt;</td>'
    """
    opened = [f"<{name}"]
    for key, value in attributes.items():
        if value is not None:
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            opened.append(f' {key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    opened.append(">")
    if name in _VOID:
        return Markup("".join(opened))
    return Markup(f"{''.join(opened)}{join(*contents)}</{name}>")
