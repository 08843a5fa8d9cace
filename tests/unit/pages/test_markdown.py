# SPDX-License-Identifier: Apache-2.0
"""Names in Markdown that is published: text in one line, whatever they hold."""

from __future__ import annotations

import pytest

from veilset.pages.markdown import plain

EVIL = [
    "<script>alert(1)</script>", "a|b", "a\n# title", "[x](javascript:1)", "![x](http://evil)",
    "&lt;b&gt;", "`code`", "**bold**", "a\u202eb", "$x$",
]  # fmt: skip


@pytest.mark.parametrize("name", EVIL)
def test_a_name_stays_text(name: str) -> None:
    told = plain(name)
    assert "\n" not in told
    for letter in "<>|[&`*$!":
        assert told.count(letter) == told.count(f"\\{letter}")
    assert plain("s-Hertogenbosch 2.0 (é)") == "s-Hertogenbosch 2.0 (é)"
