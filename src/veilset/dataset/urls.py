# SPDX-License-Identifier: Apache-2.0
"""What is asked of fsspec, and what its file systems answer, each in its own way."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from veilset.errors import ConfigError, MissingExtraError


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a folder: its last part, ``file``, ``folder``, ``link`` or ``other``."""

    name: str
    kind: str
    facts: tuple[object, ...]


def connect(url: str) -> tuple[Any, str]:
    """Give the file system of a URL, and the path in it without a slash at its end.

    Raises:
        MissingExtraError: If the package for it is not installed.
        ConfigError: If there is no such kind of URL.
    """
    try:
        from fsspec.core import url_to_fs
        from fsspec.registry import known_implementations
    except ImportError as error:
        raise MissingExtraError(
            "What reads data sets at a URL is not installed. Install it with: "
            "pip install 'veilset[remote]'"
        ) from error
    protocol = url.partition("://")[0].lower()
    # s3fs would hold ten parts of 50 MiB of one upload in memory.
    options = {"max_concurrency": 4} if protocol in ("s3", "s3a") else {}
    try:
        fs, path = url_to_fs(url, use_listings_cache=False, **options)
    except ImportError as error:
        package = str(known_implementations.get(protocol, {}).get("class", "")).partition(".")[0]
        name = {"s3fs": "'veilset[remote]'", "fsspec": ""}.get(package, package)
        command = f"Install it with: pip install {name}" if name else f"{error}."
        raise MissingExtraError(
            f"What reads data sets at {protocol}:// is not installed. {command}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{public_url(url)} cannot be used ({error}). Check the URL.") from error
    return fs, str(path).rstrip("/")


def public_url(url: str) -> str:
    """Give a URL without user and password, without a query and without a slash at its end.

    Example:
        >>> public_url("https://me:secret@host/photos/?token=1"), public_url("s3://bucket/a/")
        ('https://host/photos', 's3://bucket/a')
    """
    protocol, _, rest = url.partition("://")
    if protocol.lower() in ("http", "https"):
        rest = rest.partition("?")[0].partition("#")[0]
    host, slash, path = rest.partition("/")
    # Azure has CONTAINER@ACCOUNT there, which is no secret.
    user, at, address = host.rpartition("@")
    if at and ":" in user:
        host = address
    return f"{protocol}://{host}{slash}{path}".rstrip("/") if rest.strip("/") else f"{protocol}://"


def listed_entry(name: str, entry: Mapping[str, Any]) -> Listed:
    """Give what a file system told of one entry of a folder; ``name`` is its last part."""
    kinds = {"file": "file", "directory": "folder", "link": "link"}
    kind = kinds.get(str(entry["type"]), "other")
    stripped = name.rstrip("/")
    # What has an empty part can be a folder of its own name, and would be walked for ever.
    if not stripped or (kind == "file" and stripped != name) or "/" in stripped:
        return Listed(name or "/", "other", ())
    return Listed(stripped, kind, facts_of(entry) if kind == "file" else ())


def facts_of(info: Mapping[str, Any]) -> tuple[object, ...]:
    """Give size, digest and time of what a file system told of a file, in one form."""
    digest = next((info[k] for k in ("ETag", "etag", "md5Hash", "content_md5") if info.get(k)), "")
    times = ("LastModified", "last_modified", "updated", "mtime", "created")
    time = next((info[name] for name in times if info.get(name)), "")
    if isinstance(time, datetime):
        # The listing and the file itself give the same instant in other time zones.
        time = time.timestamp()
    # Not the version: S3 tells it of a file that is asked for, and not in a listing.
    return info.get("size"), str(digest), str(time)


@contextmanager
def answers() -> Iterator[None]:
    """Turn whatever a file system raises into an OSError with one line of text."""
    try:
        yield
    except FileNotFoundError as error:
        text = _text(error)
        missing = text if "bucket" in text else os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, missing) from error
    except PermissionError as error:
        raise PermissionError(errno.EACCES, _text(error)) from error
    except OSError as error:
        raise OSError(error.errno or errno.EIO, _text(error)) from error
    # Every such library has exceptions of its own.
    except Exception as error:
        raise OSError(errno.EIO, _text(error)) from error


def _text(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = re.sub(r"(\w://)[^/@\s]+@", r"\1", " ".join(text.split()))
    # What a server was asked is of no use to people, and may hold a token.
    text = re.sub(r"(https?://[^\s?\"']+)\?[^\s\"']*", r"\1", text)
    return text.rstrip(".")[:200] or type(error).__name__
