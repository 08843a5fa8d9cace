# SPDX-License-Identifier: Apache-2.0
"""The headers of a tar file as they are released: made anew from name, times, owner and mode.

A header has room for what no reader shows: behind the end of a name, in fields that a file does not
use, in extended headers. None of it is copied.
"""

from __future__ import annotations

import math
import re
import tarfile

BLOCK = 512

FOR_ALL = frozenset("path mtime atime ctime uid gid uname gname".split())
"""What an extended header for all that follows may say; other keys are dropped."""

_GNU = b"ustar  \0"
_TIMES = ("mtime", "atime", "ctime")
_TIME = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?")
_LONGEST_OWNER = 64
_LARGEST_ID = (1 << 32) - 1
_LATEST = 1 << 40


def written_anew(info: tarfile.TarInfo, raw: bytes, n_bytes: int) -> bytes:
    """Give the headers of a file or folder in the form of its own (old, GNU or pax).

    Values that no file system gives are left out: an owner of more than 64 bytes or with control
    characters, a number of an owner beyond 32 bits, a time that is no plain number.

    Args:
        info: What they say.
        raw: The headers, from the first to the beginning of the content.
        n_bytes: Length of the content.
    """
    new = tarfile.TarInfo(info.name)
    new.type, new.size, new.mode = info.type, n_bytes, info.mode & 0o7777
    new.uid, new.gid = (each if 0 <= each <= _LARGEST_ID else 0 for each in (info.uid, info.gid))
    new.uname, new.gname = _owner(info.uname), _owner(info.gname)
    is_time = math.isfinite(info.mtime) and abs(info.mtime) < _LATEST
    new.mtime = info.mtime if is_time else 0
    if raw[-BLOCK:][257:265] == _GNU:
        return new.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    kept: dict[str, str] = {}
    for key in _TIMES:
        written = info.pax_headers.get(key, "")
        # A time that a number in floating point gives back as it was needs no words of its own.
        is_exact = key == "mtime" and written == str(new.mtime)
        if _TIME.fullmatch(written) and not is_exact:
            kept[key] = written
    new.pax_headers = kept
    if len(raw) == BLOCK and not kept and new.mtime == int(new.mtime):
        try:
            return new.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
        except ValueError:
            pass
    return new.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _owner(name: str) -> str:
    is_name = len(name.encode("utf-8", "surrogateescape")) <= _LONGEST_OWNER and (
        name.isprintable()
    )
    return name if is_name else ""
