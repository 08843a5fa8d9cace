# SPDX-License-Identifier: Apache-2.0
"""The report in a real browser: it is drawn, follows the theme, and asks nobody for anything."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from tests.unit.report.drawn_release import HOSTILE, DrawnRelease, Image, many_images, region
from veilset.report.stage import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = [*many_images(60), Image(f"z/{HOSTILE}", (region(60, 40, 80),))]
    return write_report(DrawnRelease(tmp_path_factory.mktemp("web"), images).write().out)


def browse(tmp_path: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a browser of its own."""
    return subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
            f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip


def screenshot(tmp_path: Path, page: Path, theme: int, width: int) -> np.ndarray:
    """Draw the page; ``theme`` is 0 for dark, 1 for light."""
    shot = tmp_path / "shot.png"
    browse(
        tmp_path, page, f"--screenshot={shot}", f"--window-size={width},2000",
        f"--blink-settings=preferredColorScheme={theme}",
    )  # fmt: skip
    with PilImage.open(shot) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("width", [1280, 500])
@pytest.mark.parametrize(("theme", "ground"), [(1, (0xFA, 0xF9, 0xF7)), (0, (0x13, 0x14, 0x16))])
def test_page_is_drawn_in_its_theme(
    tmp_path: Path, page: Path, width: int, theme: int, ground: tuple[int, int, int]
) -> None:
    pixels = screenshot(tmp_path, page, theme, width)
    assert pixels.shape[1] == width
    # The policy would also refuse the page's own style, were its digest wrong.
    assert tuple(pixels[4, 4]) == ground
    # Nothing sticks out to the right: the margin is empty all the way down.
    assert (pixels[:, width - 8 :] == ground).all()
    green = (0xE8, 0xF4, 0xED) if theme else (0x13, 0x29, 0x1D)
    assert (pixels == green).all(axis=2).any(), "the verdict has its colour"


class Proxy(ThreadingHTTPServer):
    """Takes every request of a browser, answers none, and remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                line = self.rfile.readline(4096).decode("latin-1").strip()
                asked.append(line)
                self.close_connection = True

        super().__init__(("127.0.0.1", 0), Handler)

    def of_pages(self) -> list[str]:
        """Give what was asked for, less what the browser asks its maker on its own behalf."""
        makers = ("google.com", "googleapis.com", "gvt1.com", "gstatic.com")
        return [line for line in self.asked if line and not any(each in line for each in makers)]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = Proxy()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def dom(tmp_path: Path, page: Path, proxy: Proxy) -> subprocess.CompletedProcess[str]:
    """Give the page as the browser understood it; every request goes to the proxy."""
    through = f"--proxy-server=http://127.0.0.1:{proxy.server_port}"
    return browse(
        tmp_path, page, through, "--proxy-bypass-list=<-loopback>", "--enable-logging=stderr",
        "--disable-component-update", "--virtual-time-budget=500", "--dump-dom",
    )  # fmt: skip


def test_page_runs_nothing_and_asks_nobody(tmp_path: Path, page: Path, proxy: Proxy) -> None:
    ran = dom(tmp_path, page, proxy)
    assert "Passed: no leak found" in ran.stdout
    assert "Content Security Policy" not in ran.stderr, "the policy had to refuse something"
    assert "<script" not in ran.stdout
    assert proxy.of_pages() == []


def test_the_proxy_notices_a_page_that_asks(tmp_path: Path, proxy: Proxy) -> None:
    page = tmp_path / "asks.html"
    page.write_text('<img src="http://pictures.example/x.png"><img src="https://s.example/y">')
    dom(tmp_path, page, proxy)
    asked = " ".join(proxy.of_pages())
    assert "http://pictures.example/x.png" in asked
    assert "s.example:443" in asked


def test_policy_stops_what_would_have_been_let_in(tmp_path: Path, page: Path, proxy: Proxy) -> None:
    attacked = tmp_path / "attacked.html"
    attack = '<script>document.title = "run"</script><img src="http://pictures.example/x.png">'
    attacked.write_text(page.read_text(encoding="utf-8").replace("</main>", attack + "</main>"))
    ran = dom(tmp_path, attacked, proxy)
    assert "<title>run</title>" not in ran.stdout
    assert "Content Security Policy" in ran.stderr
    assert proxy.of_pages() == []
