# SPDX-License-Identifier: Apache-2.0
"""Files at a URL, through fsspec: an object store such as S3, or whatever else it knows.

Nothing is listed from a cache. A file appears by a single request that ends a whole upload, so
that whoever is killed in the middle of one leaves nothing under its name.
"""

from __future__ import annotations

import errno
import tempfile
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, BinaryIO, TypeVar, cast

from veilset.dataset.fetched import Fetched, fetched_stream
from veilset.dataset.sentences import check_name, check_size, unreadable, unwritable
from veilset.dataset.targets import open_target, writes_to
from veilset.dataset.tree import WhyNot
from veilset.dataset.urls import Listed, answers, connect, facts_of, listed_entry, public_url
from veilset.errors import ConfigError, DatasetError, RunError
from veilset.faults import stop_at_fault
from veilset.images.first_bytes import HEAD_BYTES
from veilset.types import ImageRecord

# A file appears at once, when its upload ends; elsewhere a reader would see it grow.
WHOLE_OR_NOTHING = frozenset("s3 s3a gs gcs az abfs abfss memory".split())

_N_KEPT = 4
"""Fetched files that are kept: those of the shards at work, and what was listed ahead."""
_N_NOTED = 8192
"""Files of which is known what their listing said: more than a shard has."""

_OF_THIS_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_BUCKET = "bucket does not exist"
_MEMORY = "memory"
_IN_MEMORY = threading.RLock()

_Answer = TypeVar("_Answer")


class RemoteStore:
    """A place at a URL. Holds its connection, and what it fetched, only in this process.

    Attributes:
        root: The URL without credentials and without a slash at its end.
    """

    def __init__(self, url: str) -> None:
        """Note the place; nothing is asked yet.

        Raises:
            ConfigError: If the URL is a chain of several.
        """
        self._url = url
        self.root = public_url(url)
        self._protocol = url.partition("://")[0].lower()
        if "::" in url:
            raise ConfigError(f"{self.root} is a chain of URLs. Give the URL of one place.")
        self._lock = threading.Lock()
        self._fetching = tuple(threading.Lock() for _ in range(64))
        self._connection: tuple[Any, str] | None = None
        self._kept: dict[str, tuple[object, Fetched]] = {}
        self._listed: OrderedDict[str, tuple[object, ...]] = OrderedDict()

    def __getstate__(self) -> str:
        if self._protocol == _MEMORY:
            raise ConfigError(
                f"{self.root} lies in the memory of this process, where no other worker sees it. "
                "Use the local engine, or a place that every worker reaches."
            )
        return self._url

    def __setstate__(self, state: str) -> None:
        # Made anew as by a call; mypy wants __init__ called on classes only.
        self.__init__(state)  # type: ignore[misc]

    def describe(self) -> str:
        """Give the URL without credentials."""
        return self.root

    def place(self, name: str) -> str:
        """Give the URL of a file, without credentials."""
        return f"{self.root}/{name}"

    def check(self) -> None:
        """Make sure that something is there and may be listed."""
        try:
            kind = self._info("")["type"]
        except FileNotFoundError as error:
            raise DatasetError(
                f"There is nothing at {self.root} ({error.strerror}). Check the URL."
            ) from error
        except OSError as error:
            raise DatasetError(
                f"{self.root} cannot be read ({error.strerror}). Check the URL and the credentials."
            ) from error
        if kind != "directory":
            raise DatasetError(f"{self.root} is not a folder. Give the place that holds the files.")

    def is_there(self) -> bool:
        """Whether files can be there: folders of object stores come and go with their files.

        Raises:
            OSError: If it cannot be reached.
        """
        fs, path = self._connect()
        with self._asking():
            if fs.exists(path or "/"):
                return bool(fs.isdir(path or "/"))
            try:
                fs.ls(path, detail=True)
            except FileNotFoundError as error:
                # Whether the bucket is there cannot be asked by those who may use a part of it.
                return _NO_BUCKET not in str(error)
        return True

    def is_empty(self) -> bool:
        """Whether no file is there."""
        return next(self.everything(), None) is None

    def visible(self, folder: str) -> list[tuple[str, bool]]:
        """Give what is in a folder and not hidden."""
        prefix = f"{folder}/" if folder else ""
        try:
            listed = self._list(folder, None)
        except OSError:
            return []
        return [
            (prefix + each.name, each.kind == "folder")
            for each in listed
            if each.kind != "other" and not each.name.startswith(".")
        ]

    def files(self, why_not: WhyNot, ignored: Counter[str]) -> Iterator[ImageRecord]:
        """Go through the wanted files; memory holds the names of the folders that lead to one."""
        try:
            for name, kind in self._walk("", ignored):
                if kind != "file":
                    ignored["not a regular file"] += 1
                elif reason := why_not(name):
                    ignored[reason] += 1
                else:
                    yield ImageRecord(name)
        except OSError as error:
            raise DatasetError(
                f"{error.filename or self.root} cannot be listed ({error.strerror}). "
                "Check the URL and the credentials."
            ) from error

    def everything(self) -> Iterator[tuple[str, str]]:
        """Go through every name there is; memory holds the names of one folder at a time."""
        return self._walk("", None)

    def is_file(self, name: str) -> bool:
        """Whether there is a file of this name."""
        try:
            return bool(self._patiently(lambda: self._info(name))["type"] == "file")
        except OSError:
            return False

    @contextmanager
    def open(self, name: str, *, follow: bool = True) -> Iterator[BinaryIO]:
        """Open a file that was fetched into one without a name; some are kept."""
        with fetched_stream(self._patiently(lambda: self._fetch(name))) as stream:
            yield stream

    def read(self, name: str, max_bytes: int, *, follow: bool = True) -> bytes:
        """Give all of a file, by one request."""
        try:
            data = self._patiently(lambda: self._first_bytes(name, max_bytes + 1))
            if len(data) > max_bytes:
                check_size(int(self._info(name)["size"]), max_bytes)
            return data
        except OSError as error:
            stop_at_fault(error, self.place(name))
            raise unreadable(error) from error

    def head(self, name: str) -> bytes:
        """Give the first bytes of a file."""
        return self._patiently(lambda: self._first_bytes(name, HEAD_BYTES))

    def facts(self, name: str) -> object:
        """Give size, digest and time, as the listing at hand has them, or asked for."""
        return self._listed.get(name) or self.version(name)

    def version(self, name: str) -> object:
        """Give size, digest and time of a file as they are now; None if there is none."""
        try:
            return facts_of(self._patiently(lambda: self._info(name)))
        except OSError:
            return None

    def room(self, name: str) -> str:
        """Give the folder of temporary files."""
        return tempfile.gettempdir()

    @contextmanager
    def spool(self, name: str) -> Iterator[BinaryIO]:
        """Open a nameless file among the temporary ones of this machine."""
        with tempfile.TemporaryFile() as stream:
            yield cast(BinaryIO, stream)

    def write(self, name: str, data: bytes) -> None:
        """Write a file by one request, or by an upload that one request ends."""
        self._check_target(name)
        try:
            fs, path = self._connect()
            with self._asking():
                fs.pipe_file(f"{path}/{name}", data)
        except OSError as error:
            raise unwritable(self.place(name), error) from error

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Open a temporary file, to be uploaded when the block ends."""
        self._check_target(name)
        room = tempfile.gettempdir()
        with ExitStack() as stack:
            with writes_to(room):
                file = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            with open_target(file.fileno(), room) as stream:
                yield stream
            with writes_to(self.place(name)):
                fs, path = self._connect()
                with self._asking():
                    fs.put_file(f"/proc/self/fd/{file.fileno()}", f"{path}/{name}")

    def delete(self, name: str) -> None:
        """Make sure that there is no file of this name."""
        self._check_target(name)
        try:
            fs, path = self._connect()
            with self._asking():
                fs.rm_file(f"{path}/{name}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise unwritable(self.place(name), error) from error

    def _connect(self) -> tuple[Any, str]:
        """Give the file system and the path of the root in it, without a slash at its end."""
        with self._lock:
            if self._connection is None:
                self._connection = connect(self._url)
            return self._connection

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Have what the file system raises as OSError."""
        # Files in memory have one place for all who read them.
        with _IN_MEMORY if self._protocol == _MEMORY else nullcontext(), answers():
            yield

    def _info(self, name: str) -> Mapping[str, Any]:
        fs, path = self._connect()
        with self._asking():
            return cast(Mapping[str, Any], fs.info(f"{path}/{name}" if name else path or "/"))

    def _patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask about one file, once more if that fails while the place is there.

        Raises:
            OSError: If the file cannot be had.
            RunError: If the whole place is out of reach. Else every further image would be
                written down as a failure, and a resumed run passes over those.
        """
        try:
            return ask()
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in _OF_THIS_MACHINE:
                raise
            self._check_reach()
            return ask()

    def _check_reach(self) -> None:
        try:
            self._info("")
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunError(
                f"{self.root} cannot be reached ({error.strerror}). "
                "Mend that, then run the same command again: it goes on from here."
            ) from error

    def _first_bytes(self, name: str, n_bytes: int) -> bytes:
        fs, path = self._connect()
        try:
            with self._asking():
                return cast(bytes, fs.cat_file(f"{path}/{name}", start=0, end=n_bytes))
        except OSError as error:
            # S3 has no answer to a request for the first bytes of an empty file.
            if error.errno == errno.EINVAL and self._info(name)["size"] == 0:
                return b""
            raise

    def _fetch(self, name: str) -> Fetched:
        before = facts_of(self._info(name))
        # Threads that read one container wait for one download of it.
        with self._fetching[hash(name) % len(self._fetching)]:
            version, fetched = self._kept.get(name, (None, None))
            if fetched is not None and version == before:
                return fetched
            fetched = Fetched()
            fs, path = self._connect()
            try:
                with self._asking():
                    fs.get_file(f"{path}/{name}", f"/proc/self/fd/{fetched.descriptor}")
            except OSError as error:
                if error.errno in _OF_THIS_MACHINE:
                    error.strerror = f"{tempfile.gettempdir()} has no room for it: set TMPDIR"
                raise
            if facts_of(self._info(name)) != before or before[0] not in (None, fetched.size()):
                raise OSError(errno.EBUSY, "it changed while it was fetched")
            with self._lock:
                kept = [(k, v) for k, v in self._kept.items() if k != name]
                self._kept = dict([*kept, (name, (before, fetched))][-_N_KEPT:])
            return fetched

    def _check_target(self, name: str) -> None:
        check_name(name)
        if self._protocol not in WHOLE_OR_NOTHING:
            raise RunError(
                f"{self.root} cannot be written to: at {self._protocol}:// others would see files "
                "that are half written. Write into a local folder, or to one of "
                f"{', '.join(sorted(WHOLE_OR_NOTHING))}."
            )

    def _walk(self, folder: str, ignored: Counter[str] | None) -> Iterator[tuple[str, str]]:
        """Go through the names below a folder, in order; all of them if nothing is counted.

        What cannot be a name of a data set, an empty part as in ``a//b.jpg``, is ``other``.
        """
        # A stack instead of recursion: keys may be deeper than Python's stack.
        self._listed = OrderedDict()
        stack = [(folder, iter(self._list(folder, ignored)))]
        while stack:
            at, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            name = f"{at}/{entry.name}" if at else entry.name
            if entry.kind != "folder":
                self._note(name, entry.facts)
                yield name, entry.kind
            else:
                inside = self._list(name, ignored)
                if inside or ignored is not None:
                    stack.append((name, iter(inside)))
                else:
                    yield name, "folder"

    def _note(self, name: str, facts: tuple[object, ...]) -> None:
        """Keep what the listing says of a file, for those who ask for it soon."""
        self._listed[name] = facts
        if len(self._listed) > _N_NOTED:
            self._listed.popitem(last=False)

    def _list(self, folder: str, ignored: Counter[str] | None) -> list[Listed]:
        """Give what is in a folder, sorted; without what is hidden if that is counted."""
        fs, root = self._connect()
        path = f"{root}/{folder}" if folder else root
        try:
            with self._asking():
                entries = fs.ls(path or "/", detail=True)
        except FileNotFoundError:
            # Where folders are but the beginnings of names, one without a file is none.
            if not folder and ignored is not None:
                raise
            return []
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.place(folder)) from error
        listed = []
        for entry in entries:
            name = str(entry["name"]).removeprefix(path.rstrip("/") + "/")
            is_marker = not name and entry["type"] == "file" and not entry.get("size")
            if is_marker or str(entry["name"]) == path:
                continue
            if name.startswith(".") and ignored is not None:
                ignored["hidden"] += 1
                continue
            listed.append(listed_entry(name, entry))
        if ignored is not None and any(not entry.name.strip("/") for entry in listed):
            raise DatasetError(
                f"{self.place(folder)} holds names with an empty part, as in a//b.jpg. "
                "Rename those files."
            )
        listed.sort(key=lambda each: (each.name, each.kind == "folder"))
        return listed
