# SPDX-License-Identifier: Apache-2.0
"""The style of every page, and the policy that forbids every request."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path


@cache
def page_style() -> str:
    """Give the style sheet: one palette, light and dark, for desk, phone and paper."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def content_policy(style: str) -> str:
    """Give the content security policy of a page with exactly this style sheet.

    Nothing may be fetched or run; pictures come from the page itself.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
