# SPDX-License-Identifier: Apache-2.0
"""A browser for tests that speaks to an application in the same process."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import httpx
from starlette.types import ASGIApp

BASE = "http://127.0.0.1:8321"


class Browser:
    """Keeps cookies and the CSRF token, as the client does."""

    def __init__(self, app: ASGIApp, *, base: str = BASE, address: str = "192.0.2.9") -> None:
        transport = httpx.ASGITransport(app, client=(address, 5000))
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=transport, base_url=base)
        self.csrf = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def request(
        self, method: str, path: str, *, headers: Any = None, **more: Any
    ) -> httpx.Response:
        sent = httpx.Headers(headers, encoding="latin-1")
        if self.csrf:
            sent.setdefault("X-CSRF-Token", self.csrf)
        return self._runner.run(self._client.request(method, path, headers=sent, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        if body is not None:
            more["json"] = body
        return self.request("POST", path, **more)

    def sign_in(self, token: str) -> httpx.Response:
        answer = self.post("/api/session", {"token": token})
        if answer.status_code == 200:
            self.csrf = answer.json()["csrf"]
        return answer
