# SPDX-License-Identifier: Apache-2.0
"""How the review server listens, and whom it trusts."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from veilset.errors import ConfigError
from veilset.images.decode import DEFAULT_MAX_PIXELS

CLIENT_FOLDER = Path(__file__).resolve().parents[1] / "client"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WILDCARD = ("", "0.0.0.0", "::")  # noqa: S104 - they are refused, not bound


@dataclass(frozen=True, slots=True)
class WebOptions:
    """How the review server listens, and whom it trusts.

    Attributes:
        host: Address to listen on. Only programs on this machine reach the default.
        port: Port to listen on.
        public_url: Address under which people reach the server, for example
            ``https://review.example.org``; sign-in links begin with it. "" for the address
            it listens on. With ``https`` cookies are sent over https only.
        hosts: Further names under which the server may be asked for. Any other is refused:
            a page of a stranger could otherwise make its own name point here.
        trusted_proxies: Addresses or networks of reverse proxies whose ``X-Forwarded-For``
            and ``X-Forwarded-Proto`` are believed. Nobody else's are.
        frame_ancestors: Origins whose pages may show this one in a frame; Mechanical Turk
            does. Needs https, because browsers keep such cookies on nothing else.
        submit_url: Where the frame's form hands in a finished HIT, if not at Amazon.
        max_body_bytes: Largest body of a request.
        body_seconds: A body that takes longer to arrive is refused.
        failed_sign_ins_a_minute: From one address.
        failed_sign_ins_a_minute_all: From all addresses together.
        answers_a_second: Of one person, in the long run.
        pictures_a_second: Of one person, in the long run.
        max_pixels: Larger images are not decoded.
        database_threads: Requests that are in the database at the same time. More make
            Python's threads wait for each other, and everybody slower.
        picture_threads: Images that are decoded at the same time.
        show_schema: Serve ``/openapi.json``.
        client: Folder of the built browser client.

    Raises:
        ConfigError: If a value cannot be used.
    """

    host: str = "127.0.0.1"
    port: int = 8321
    public_url: str = ""
    hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    frame_ancestors: tuple[str, ...] = ()
    submit_url: str = ""
    max_body_bytes: int = 1_000_000
    body_seconds: float = 30.0
    failed_sign_ins_a_minute: int = 20
    failed_sign_ins_a_minute_all: int = 600
    answers_a_second: float = 5.0
    pictures_a_second: float = 10.0
    max_pixels: int = DEFAULT_MAX_PIXELS
    database_threads: int = 4
    picture_threads: int = 2
    show_schema: bool = False
    client: Path = CLIENT_FOLDER

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        if self.public_url and (not is_address or parts.path.strip("/") or parts.query):
            raise ConfigError(
                f"The public address is {self.public_url!r}. "
                "Give scheme and name only, as https://review.example.org."
            )
        if self.host in _WILDCARD and not self.public_url:
            raise ConfigError(
                f"The server shall listen on all networks ({self.host or 'no host'}), but under "
                "which address people reach it is not known. Give the public address too."
            )
        if self.frame_ancestors and parts.scheme != "https":
            raise ConfigError(
                "Pages of others shall show review in a frame, which browsers allow over https "
                "only. Give a public address that begins with https."
            )
        for origin in self.frame_ancestors:
            if not origin.startswith("https://") or any(c in origin for c in " ;,'\""):
                raise ConfigError(f"{origin!r} is no origin. Give one as https://www.mturk.com.")
        self._check_submit_url()
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ConfigError(
                    f"The trusted proxy {network!r} is no address and no network. "
                    "Give one as 127.0.0.1 or 10.0.0.0/8."
                ) from error

    def _check_submit_url(self) -> None:
        if not self.submit_url:
            return
        if not self.frame_ancestors:
            raise ConfigError(
                f"HITs shall be handed in at {self.submit_url!r}, but no page may show them in a "
                "frame. Name the origin of that page too."
            )
        # Its origin goes into a header, where blanks and semicolons mean something.
        is_plain = not re.search(r"[^!-~]|[;,'\"@]", self.submit_url)
        parts = urlsplit(self.submit_url)
        if not (is_plain and parts.scheme == "https" and parts.hostname):
            raise ConfigError(
                f"HITs cannot be handed in at {self.submit_url!r}. Give the address of the form, "
                "as https://crowd.example.org/mturk/externalSubmit."
            )

    @property
    def is_https(self) -> bool:
        """Whether people come over https."""
        return self.public_url.startswith("https://")

    @property
    def base_url(self) -> str:
        """The address that links begin with, without a slash at the end.

        Example:
            >>> WebOptions(host="::1", port=80).base_url
            'http://[::1]:80'
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url.rstrip("/") or f"http://{host}:{self.port}"

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Names, without port, that a request may ask for."""
        named = urlsplit(self.public_url).hostname or ""
        names = {*_LOOPBACK, self.host, named, *self.hosts} - set(_WILDCARD)
        return frozenset(name.lower() for name in names)

    def sign_in_url(self, token: str) -> str:
        """Give a sign-in link. The secret is in the fragment, which browsers never send.

        Example:
            >>> WebOptions().sign_in_url("abc")
            'http://127.0.0.1:8321/#in=abc'
        """
        return f"{self.base_url}/#in={token}"
