# SPDX-License-Identifier: Apache-2.0
"""Markdown for publication: a name from a data set stays text, in one line and one cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from veilset.pages.markup import visible

# What begins an element of HTML, an entity, a link, an emphasis, code, a formula, a cell.
LETTERS: Final[Mapping[str, str]] = {letter: f"\\{letter}" for letter in "\\`*_{}[]<>|#~$&!"}


def plain(text: str) -> str:
    r"""Give a text as Markdown that shows it, within a line or a cell of a table.

    Example:
        >>> print(plain("<script>a|b</script>\n# [x](y)"))
        \<script\>a\|b\</script\>\\x0a\# \[x\](y)
    """
    return "".join(LETTERS.get(letter, letter) for letter in visible(text))
