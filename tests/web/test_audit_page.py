# SPDX-License-Identifier: Apache-2.0
"""The audit's page in a real browser: drawn in both themes, narrow enough, asking nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.audit.drawn_set import face, looked, write_set
from tests.unit.report.drawn_release import HOSTILE
from tests.web.test_report_page import CHROMIUM, Proxy, dom, screenshot
from veilset.audit.stage import AuditConfig, audit_dataset
from veilset.types import Origin

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit with every section, and a category that would like to be markup."""
    folder = tmp_path_factory.mktemp("audit")
    names = [f"category-{i:02d}-with-a-rather-long-name" for i in range(30)] + [HOSTILE]
    ours, theirs = [], []
    for i, name in enumerate(names):
        for j in range(6):
            box = (10.0, 10.0, 20.0 + 2 * j, 30.0 + j)
            known: dict[str, Any] = {"age": 12.0 * j, "gender": ("female", "male")[j % 2]}
            image = f"{name}/{j}.jpg"
            ours.append(looked(image, *([face(box, **known)] if (i + j) % 3 else [])))
            theirs.append(looked(image, face(box, None, Origin.REVIEWED, **known)))
    write_set(folder / "set", ours, 64)
    write_set(folder / "reference", theirs, 64)
    config = AuditConfig(min_faces=5, min_images=5)
    audit_dataset(None, folder / "set", folder / "out", config, reference=folder / "reference")
    return folder / "out" / "index.html"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = Proxy()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("width", [1280, 500])
@pytest.mark.parametrize(
    ("theme", "ground", "curve"),
    [
        (1, (0xFA, 0xF9, 0xF7), (0x3A, 0x5A, 0x94)),
        (0, (0x13, 0x14, 0x16), (0x9C, 0xB8, 0xEE)),
    ],
)
def test_page_is_drawn_in_its_theme(
    tmp_path: Path,
    page: Path,
    width: int,
    theme: int,
    ground: tuple[int, int, int],
    curve: tuple[int, int, int],
) -> None:
    pixels = screenshot(tmp_path, page, theme, width)
    # The policy would also refuse the page's own style, were its digest wrong.
    assert tuple(pixels[4, 4]) == ground
    # Nothing sticks out to the right: the margin is empty all the way down.
    assert (pixels[:, width - 8 :] == ground).all()
    assert (pixels == curve).all(axis=2).sum() > 100, "the curve is drawn in its colour"


def test_page_runs_nothing_and_asks_nobody(tmp_path: Path, page: Path, proxy: Proxy) -> None:
    ran = dom(tmp_path, page, proxy)
    assert "Does protection differ?" in ran.stdout
    assert "Content Security Policy" not in ran.stderr, "the policy had to refuse something"
    assert "<script" not in ran.stdout
    assert "<img" not in ran.stdout, "the name of a category became an element"
    assert proxy.of_pages() == []
