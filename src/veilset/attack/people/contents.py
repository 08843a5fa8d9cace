# SPDX-License-Identifier: Apache-2.0
"""Names of what ``attack ask`` and ``attack count`` write."""

from __future__ import annotations

KEY_NAME, PAGES_NAME = "key.json", "pages"
COUNTED_JSON, COUNTED_CSV, COUNTED_MD = "people.json", "people.csv", "people.md"
OF_PEOPLE = (KEY_NAME, PAGES_NAME, COUNTED_JSON, COUNTED_CSV, COUNTED_MD)
