# SPDX-License-Identifier: Apache-2.0
"""What a request passes before any route: names, origins, sizes, proxies, rates, headers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.web.review_browser import BASE, Browser
from veilset.errors import ConfigError
from veilset.review.web.client_files import ClientFiles
from veilset.review.web.options import WebOptions
from veilset.review.web.problems import Refused, install
from veilset.review.web.protection import Protection, origin_of
from veilset.review.web.rates import Rate, address_key

SECRET = "token-that-must-stay-here"


async def echo(request: Request) -> Response:
    origin = origin_of(request.scope)
    n_bytes = len(await request.body())
    return JSONResponse({"address": origin.address, "scheme": origin.scheme, "n_bytes": n_bytes})


async def broken(_request: Request) -> Response:
    raise RuntimeError(f"SELECT {SECRET}")


def small_app(options: WebOptions) -> Starlette:
    app = Starlette(
        routes=[Route("/api/echo", echo, methods=["GET", "POST"]), Route("/api/broken", broken)],
        middleware=[Middleware(Protection, options=options)],
    )
    install(app)
    return app


def asked(
    options: WebOptions | None = None, method: str = "GET", path: str = "/api/echo",
    address: str = "192.0.2.9", base: str = BASE, **more: Any,
) -> httpx.Response:  # fmt: skip
    with Browser(small_app(options or WebOptions()), base=base, address=address) as browser:
        return browser.request(method, path, **more)


@pytest.mark.parametrize(
    "host", ["attacker.example", "127.0.0.1.attacker.example", "localhost.attacker.example:8321",
             "192.168.0.1", "", "[::2]", "127.0.0.1,127.0.0.1"]
)  # fmt: skip
def test_another_name_is_refused(host: str) -> None:
    refused = asked(headers={"Host": host})
    assert (refused.status_code, refused.json()["code"]) == (400, "host")
    assert "content-security-policy" in refused.headers


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9", "[::1]:8321", "127.0.0.1", "review.x"]
)
def test_our_own_names_are_served(host: str) -> None:
    assert asked(WebOptions(hosts=("review.x",)), headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 200),  # no browser at all
        ("POST", {"Origin": "http://127.0.0.1:8321", "Sec-Fetch-Site": "same-origin"}, 200),
        ("POST", {"Origin": "http://127.0.0.1:8322"}, 403),  # another program on this machine
        ("POST", {"Origin": "https://127.0.0.1:8321"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "http://attacker.example"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "none"}, 403),
        ("GET", {"Sec-Fetch-Site": "none"}, 200),  # typed into the address bar
        ("GET", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", {"Origin": "http://attacker.example"}, 403),
    ],
)
def test_pages_of_others_may_ask_nothing(method: str, headers: dict[str, str], status: int) -> None:
    assert asked(method=method, headers=headers).status_code == status


def test_a_link_to_the_page_itself_may_be_followed() -> None:
    assert asked(path="/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 404


def test_an_announced_body_is_refused_before_it_is_read() -> None:
    options = WebOptions(max_body_bytes=1_000)
    assert asked(options, "POST", content=b"x" * 1_000).json()["n_bytes"] == 1_000
    refused = asked(options, "POST", content=b"x" * 1_001)
    assert (refused.status_code, refused.json()["code"]) == (413, "too-large")
    assert refused.headers["connection"] == "close"


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "9" * 400])
def test_a_senseless_length_is_refused(length: str) -> None:
    assert asked(method="POST", headers={"Content-Length": length}).status_code == 413


def test_a_streamed_body_is_refused_where_it_grows_too_large() -> None:
    n_read = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal n_read
        for _ in range(1_000):
            n_read += 1
            yield b"x" * 100

    refused = asked(WebOptions(max_body_bytes=1_000), "POST", content=stream())
    assert (refused.status_code, refused.json()["code"]) == (413, "too-large")
    assert n_read < 20


async def asked_slowly(options: WebOptions) -> int:
    async def stream() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)
        yield b"y"

    messages: list[Any] = []
    bodies = stream()

    async def receive() -> Any:
        return {"type": "http.request", "body": await anext(bodies), "more_body": True}

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/echo", "raw_path": b"/api/echo",
             "query_string": b"", "headers": [(b"host", b"localhost")],
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1), "scheme": "http",
             "root_path": "", "http_version": "1.1"}  # fmt: skip
    await small_app(options)(scope, receive, send)
    status: int = messages[0]["status"]
    return status


def test_a_body_that_drips_is_given_up() -> None:
    assert asyncio.run(asked_slowly(WebOptions(body_seconds=0.05))) == 408


def test_headers_of_every_response() -> None:
    headers = asked().headers
    policy = headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'",
                 "base-uri 'none'", "form-action 'none'"):  # fmt: skip
        assert part in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert "strict-transport-security" not in headers
    assert "server" not in headers


def test_https_is_told_to_stay() -> None:
    options = WebOptions(public_url="https://review.x")
    assert "max-age" in asked(options).headers["strict-transport-security"]


def test_a_frame_is_allowed_only_where_it_was_asked_for() -> None:
    options = WebOptions(
        public_url="https://review.x", frame_ancestors=("https://workersandbox.mturk.com",)
    )
    headers = asked(options).headers
    assert headers["content-security-policy"].endswith(
        "frame-ancestors https://workersandbox.mturk.com"
    )
    assert "x-frame-options" not in headers


FORWARDED = {"X-Forwarded-For": "203.0.113.5", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "address", "scheme"),
    [
        ((), "192.0.2.9", FORWARDED, "192.0.2.9", "http"),
        (("10.0.0.0/8",), "192.0.2.9", FORWARDED, "192.0.2.9", "http"),
        (("10.0.0.0/8",), "10.0.0.1", FORWARDED, "203.0.113.5", "https"),
        # What a client wrote itself stands further left than what the proxy added.
        (("10.0.0.0/8",), "10.0.0.1", {"X-Forwarded-For": "1.1.1.1, 203.0.113.5"},
         "203.0.113.5", "http"),
        (("10.0.0.0/8",), "10.0.0.1", {"X-Forwarded-For": "1.1.1.1, 203.0.113.5, 10.0.0.2"},
         "203.0.113.5", "http"),
        (("10.0.0.0/8",), "10.0.0.1", {}, "10.0.0.1", "http"),
    ],
)  # fmt: skip
def test_only_a_trusted_proxy_says_where_a_request_comes_from(
    proxies: tuple[str, ...], peer: str, forwarded: dict[str, str], address: str, scheme: str
) -> None:
    options = WebOptions(trusted_proxies=proxies)
    said = asked(options, address=peer, headers=forwarded).json()
    assert (said["address"], said["scheme"]) == (address, scheme)


def test_two_forwarded_headers_are_read_as_one() -> None:
    options = WebOptions(trusted_proxies=("10.0.0.1",))
    pairs = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.5")]
    assert asked(options, address="10.0.0.1", headers=pairs).json()["address"] == "203.0.113.5"


def test_an_unexpected_error_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = asked(path="/api/broken")
    assert answer.status_code == 500
    assert answer.json()["code"] == "error"
    assert SECRET not in answer.text
    assert "broken" in caplog.text
    assert SECRET not in caplog.text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_holds_in_the_long_run() -> None:
    clock = Clock()
    rate = Rate(per_second=2, burst=3, clock=clock)
    n_allowed = 0
    for step in range(1_000):
        clock.now = step * 0.01
        n_allowed += rate.take("ada") == 0
    assert n_allowed == 3 + 2 * 10 - 1 or n_allowed == 3 + 2 * 10


def test_a_rate_says_how_long_to_wait() -> None:
    clock = Clock()
    rate = Rate(per_second=0.5, burst=1, clock=clock)
    assert rate.take("ada") == 0
    clock.now += rate.take("ada") + 1e-6
    assert rate.take("ada") == 0


def test_the_memory_of_a_rate_is_bounded() -> None:
    rate = Rate(per_second=0.001, burst=1, max_keys=100)
    for number in range(10_000):
        rate.take(f"address {number}")
    assert len(rate) == 100
    assert rate.take("address 9999") > 0, "who asked last is remembered"


@pytest.mark.parametrize(
    ("address", "key"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:0:1::5", "2001:db8:0:1::/64"),
     ("testclient", "unknown")],
)  # fmt: skip
def test_what_counts_as_one_address(address: str, key: str) -> None:
    assert address_key(address) == key


FRAMED = {"public_url": "https://x", "frame_ancestors": ("https://crowd.x",)}
SUBMIT_WRONG = (
    "crowd.x", "http://crowd.x/hand-in", "https://", "https:///hand-in", "javascript:alert(1)",
    "https://crowd.x; script-src *", "https://crowd.x /hand-in", "https://a@crowd.x/hand-in",
    "https://crowd.x,https://attacker.x", "https://crowd.x/\nform", "https://crowd.é/hand-in",
)  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "0.0.0.0"},
        {"host": ""},
        {"public_url": "review.example.org"},
        {"public_url": "https://x/path"},
        {"public_url": "ftp://x"},
        {"frame_ancestors": ("https://www.mturk.com",)},
        {"public_url": "https://x", "frame_ancestors": ("*",)},
        {"public_url": "https://x", "frame_ancestors": ("https://x; script-src *",)},
        {"public_url": "https://x", "submit_url": "https://crowd.x/hand-in"},
        *({**FRAMED, "submit_url": wrong} for wrong in SUBMIT_WRONG),
        {"trusted_proxies": ("proxy.local",)},
    ],
)
def test_options_that_cannot_be_used(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        WebOptions(**wrong)


def client_folder(folder: Path) -> Path:
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Review</title>" + " " * 500)
    (folder / "assets" / "index-abc.js").write_text("let x = 1;" * 100)
    (folder / "secret.env").write_text(SECRET)
    (folder.parent / "outside.txt").write_text(SECRET)
    return folder


def test_the_client_is_served_and_nothing_else(tmp_path: Path) -> None:
    with Browser(ClientFiles(client_folder(tmp_path / "client"))) as browser:
        page = browser.get("/")
        assert "Review" in page.text
        assert "immutable" not in page.headers.get("cache-control", "")
        asset = browser.get("/assets/index-abc.js")
        assert asset.text == "let x = 1;" * 100
        assert asset.headers["content-encoding"] == "gzip"
        assert "immutable" in asset.headers["cache-control"]
        plain = browser.get("/assets/index-abc.js", headers={"Accept-Encoding": "identity"})
        assert plain.text == asset.text
        assert "content-encoding" not in plain.headers
        assert browser.request("HEAD", "/").status_code == 200
        for path in ("/secret.env", "/../outside.txt", "/assets/../../outside.txt",
                     "/%2e%2e/outside.txt", "/assets", "/index.html/"):  # fmt: skip
            answer = browser.get(path)
            assert answer.status_code == 404, path
            assert SECRET not in answer.text
        assert browser.post("/").status_code == 404


def test_a_client_that_is_not_built_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Browser(ClientFiles(tmp_path / "nothing")) as browser:
        answer = browser.get("/")
    assert "make client" in caplog.text
    assert (answer.status_code, answer.json()["code"]) == (404, "not-built")


def test_a_refusal_carries_its_code() -> None:
    assert Refused(403, "csrf", "no").code == "csrf"
