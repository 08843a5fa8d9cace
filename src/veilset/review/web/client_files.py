# SPDX-License-Identifier: Apache-2.0
"""The built browser client: read once at start, so that no request can name a path."""

from __future__ import annotations

import gzip
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.types import Receive, Scope, Send

from veilset.review.web.problems import for_error, not_found, problem

logger = logging.getLogger(__name__)

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_PACKED: Final = (".css", ".html", ".js", ".json", ".svg", ".txt", ".webmanifest")
# The build puts a digest into the names of assets, so they never change.
_FOREVER: Final = b"public, max-age=31536000, immutable"
NOT_BUILT: Final = (
    "The browser client is not built, so only the programming interface is served. "
    "In a source checkout run: make client"
)


@dataclass(frozen=True, slots=True)
class ClientFile:
    """A file of the client, as it is and packed."""

    data: bytes
    packed: bytes
    media_type: bytes
    is_asset: bool


class ClientFiles:
    """Serves the client: ``index.html`` for ``/``, and every other file by its name."""

    def __init__(self, folder: Path) -> None:
        self._files = _read_all(folder)
        if "/" not in self._files:
            logger.warning(NOT_BUILT)

    @property
    def is_built(self) -> bool:
        """Whether there is a client to serve."""
        return "/" in self._files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._files.get(scope["path"])
        if scope["method"] not in ("GET", "HEAD") or found is None:
            response = for_error(not_found())
            if scope["path"] == "/" and not self.is_built:
                response = problem(404, "not-built", NOT_BUILT)
            await response(scope, receive, send)
            return
        accepted = dict(scope["headers"]).get(b"accept-encoding", b"")
        is_packed = bool(found.packed) and b"gzip" in accepted
        body = found.packed if is_packed else found.data
        headers = [
            (b"content-type", found.media_type),
            (b"content-length", str(len(body)).encode()),
            (b"vary", b"Accept-Encoding"),
        ]
        if is_packed:
            headers.append((b"content-encoding", b"gzip"))
        if found.is_asset:
            headers.append((b"cache-control", _FOREVER))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        is_head = scope["method"] == "HEAD"
        await send({"type": "http.response.body", "body": b"" if is_head else body})


def _read_all(folder: Path) -> dict[str, ClientFile]:
    files: dict[str, ClientFile] = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        media_type = _TYPES.get(path.suffix)
        if not path.is_file() or media_type is None:
            continue
        name = "/" + path.relative_to(folder).as_posix()
        data = path.read_bytes()
        packed = gzip.compress(data, mtime=0) if path.suffix in _PACKED else b""
        file = ClientFile(data, packed, media_type.encode(), name.startswith("/assets/"))
        files["/" if name == "/index.html" else name] = file
    return files
