# SPDX-License-Identifier: Apache-2.0
"""The documentation: generated parts are fresh, links lead somewhere, every verb is named."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from veilset.annotations import store
from veilset.plugins import list_plugins

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])


def test_command_line_reference_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "docs" / "generate_cli.py", "--check"], check=False
    )
    assert done.returncode == 0, "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert not missing


def test_every_column_of_the_annotation_set_is_documented() -> None:
    page = (REPOSITORY / "docs" / "conventions.md").read_text()
    for name in store.SCHEMA.names:
        assert f"`{name}`" in page
    for field in store.SCHEMA.field("regions").type.value_type:
        assert f"`{field.name}`" in page


def test_every_method_is_documented() -> None:
    page = (REPOSITORY / "docs" / "obfuscation.md").read_text()
    for info in list_plugins("obfuscator"):
        assert f"`{info.name}`" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_nothing_promises_that_nobody_can_be_recognised(page: Path) -> None:
    words = set(re.findall(r"[a-z]*anonymi[sz][a-z]*", page.read_text().lower()))
    assert not words
