# SPDX-License-Identifier: Apache-2.0
"""What every request passes before a route sees it, and every response before it leaves.

One plain ASGI layer: the name that was asked for, where the request comes from, the size
of its body, the security headers, and the last net for errors.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from veilset.review.web.options import WebOptions
from veilset.review.web.problems import Refused, for_error

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_PERMISSIONS: Final = (
    "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "microphone",
    "midi", "payment", "usb",
)  # fmt: skip
_Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from.

    Attributes:
        address: The client's IP address, as far as it can be trusted.
        scheme: ``http`` or ``https``, as the browser sees it.
    """

    address: str
    scheme: str


def origin_of(scope: Scope) -> Origin:
    """Give what ``Protection`` found out about a request."""
    found: Origin = scope["veilset.origin"]
    return found


class Protection:
    """The layer around the application."""

    def __init__(self, app: ASGIApp, options: WebOptions) -> None:
        self._app = app
        self._options = options
        self._hosts = options.allowed_hosts
        self._proxies = [ipaddress.ip_network(each) for each in options.trusted_proxies]
        self._headers = _security_headers(options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _joined(scope)
        has_begun = False

        async def send_protected(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = self._completed(message.get("headers", []), origin)
            await send(message)

        origin = Origin("unknown", "http")
        try:
            origin = self._origin(scope, headers)
            scope["veilset.origin"] = origin
            self._refuse_strangers(scope, headers, origin)
            limited = self._limited(scope, headers, receive)
            await self._app(scope, limited, send_protected)
        except Exception as error:  # noqa: BLE001 - the last net: nothing of it may be sent
            response = for_error(error)
            if has_begun:
                return
            await response(scope, receive, send_protected)

    def _completed(self, given: _Headers, origin: Origin) -> _Headers:
        names = {name for name, _ in given}
        added = [pair for pair in self._headers if pair[0] not in names]
        if origin.scheme == "https":
            added.append((b"strict-transport-security", b"max-age=31536000"))
        return [*given, *added]

    def _origin(self, scope: Scope, headers: dict[bytes, bytes]) -> Origin:
        client = scope.get("client")
        address = str(client[0]) if client else "unknown"
        scheme = "https" if self._options.is_https else str(scope.get("scheme", "http"))
        if not self._is_trusted(address):
            return Origin(address, scheme)
        if headers.get(b"x-forwarded-proto", b"").strip().lower() == b"https":
            scheme = "https"
        # Every proxy adds at the end whom it heard: what stands further left, anybody
        # could have written.
        chain = headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")
        for named in reversed([each.strip() for each in chain if each.strip()]):
            address = named
            if not self._is_trusted(named):
                break
        return Origin(address, scheme)

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)

    def _refuse_strangers(self, scope: Scope, headers: dict[bytes, bytes], origin: Origin) -> None:
        """Refuse a name that is not ours, and what pages of others send.

        Raises:
            Refused: 400 or 403.
        """
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if _name_of(host) not in self._hosts:
            said = "The server does not go by this name. Use the address that it was started with."
            raise Refused(400, "host", said)
        site = headers.get(b"sec-fetch-site", b"same-origin")
        # Nobody types a POST into the address bar, but a page may well be opened from there.
        is_safe = scope["method"] in _SAFE_METHODS
        allowed = (b"same-origin", b"none") if is_safe else (b"same-origin",)
        claimed = headers.get(b"origin", b"").decode("latin-1").lower()
        is_foreign = bool(claimed) and claimed != f"{origin.scheme}://{host}"
        is_page = is_safe and not scope["path"].startswith("/api/")
        if not is_page and (site not in allowed or is_foreign):
            raise Refused(403, "origin", "The request comes from a page of somebody else.")

    def _limited(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """Give ``receive`` with limits on the size of the body and the time it takes.

        Raises:
            Refused: 413, at once if the size is announced.
        """
        limit = self._options.max_body_bytes
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > limit:
            raise _too_large(limit)
        n_bytes = 0
        is_complete = False

        async def receive_limited() -> Message:
            nonlocal n_bytes, is_complete
            if is_complete:
                # What comes now is the end of the connection, whenever that may be.
                return await receive()
            try:
                async with asyncio.timeout(self._options.body_seconds):
                    message = await receive()
            except TimeoutError as error:
                raise Refused(408, "slow", "The request took too long to arrive.") from error
            n_bytes += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if n_bytes > limit:
                raise _too_large(limit)
            return message

        return receive_limited


def _too_large(limit: int) -> Refused:
    # The rest of the body is not read, so the connection cannot serve another request.
    said = f"The request is larger than {limit:,} bytes. Send fewer boxes."
    return Refused(413, "too-large", said, {"Connection": "close"})


def _joined(scope: Scope) -> dict[bytes, bytes]:
    """Give the headers of a request, values of repeated ones joined by commas."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        headers[name] = headers[name] + b"," + value if name in headers else value
    return headers


def _name_of(host: str) -> str:
    """Give the name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _security_headers(options: WebOptions) -> _Headers:
    ancestors = " ".join(options.frame_ancestors) or "'none'"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors {ancestors}"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": ", ".join(f"{name}=()" for name in _PERMISSIONS),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if not options.frame_ancestors:
        headers["X-Frame-Options"] = "DENY"
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
