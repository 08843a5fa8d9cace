# SPDX-License-Identifier: Apache-2.0
"""Where a data set lies: a local path, or a URL."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from veilset.errors import ConfigError

Location = Path | str
"""A local path, or a text with "://", which is a URL and never becomes a path."""

_LOCAL_URL = "file://"


def location_of(place: Location) -> Location:
    """Give a path for a text that is no URL; a URL stays as it is.

    Raises:
        ConfigError: If it is a path that was a URL before, or a ``file://`` URL of another machine.

    Example:
        >>> location_of("photos"), location_of("s3://bucket/photos")
        (PosixPath('photos'), 's3://bucket/photos')
        >>> location_of("file:///my%20photos")
        PosixPath('/my photos')
    """
    if isinstance(place, Path):
        if is_url(place):
            raise ConfigError(f"{place} was a URL before it became a path. Give it as a text.")
        return place
    if place.startswith(_LOCAL_URL):
        return _local_path_of(place)
    return place if is_url(place) else Path(place)


def _local_path_of(url: str) -> Path:
    host, slash, path = url.removeprefix(_LOCAL_URL).partition("/")
    if not slash or host not in ("", "localhost"):
        raise ConfigError(
            f"{url} is no path of this machine (it names the machine {host!r}). Give the whole "
            "path after three slashes, as in file:///data/photos."
        )
    # By bytes: names need not be UTF-8.
    return Path(os.fsdecode(unquote_to_bytes(os.fsencode(slash + path))))


def local_path(place: Location, what: str) -> Path:
    """Give the path of something that has to lie on this machine.

    Args:
        place: Where it lies.
        what: What it is, for the message.

    Raises:
        ConfigError: If it is at a URL.
    """
    if is_url(place):
        raise ConfigError(f"{what} cannot lie at a URL ({place}). Give a local folder.")
    return Path(place)


def join(place: Location, name: str) -> Location:
    """Give the place of a file below another place.

    Example:
        >>> join(Path("photos"), "list.txt"), join("s3://bucket/photos/", "list.txt")
        (PosixPath('photos/list.txt'), 's3://bucket/photos/list.txt')
    """
    place = location_of(place)
    return place / name if isinstance(place, Path) else f"{place.rstrip('/')}/{name}"


def is_url(place: Location) -> bool:
    """Whether a place is a URL, or a path that was made of one and lost a slash by that.

    Example:
        >>> is_url("s3://bucket/photos"), is_url("photos"), is_url(Path("s3://bucket"))
        (True, False, True)
    """
    form = r"[A-Za-z][A-Za-z0-9+.:-]+:/" + ("" if isinstance(place, Path) else "/")
    return re.match(form, str(place)) is not None
