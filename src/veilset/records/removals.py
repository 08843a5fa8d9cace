# SPDX-License-Identifier: Apache-2.0
"""What was withdrawn from a release, so that nothing brings it back.

``removed/log.jsonl`` in the folder of records only ever grows: a line for each image.
``removed/pending.json`` is there while a removal is under way, and says all that is needed to
finish it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from veilset.errors import RunError
from veilset.files import part_path
from veilset.runs import json_bytes, make_folder

FOLDER = "removed"
LOG = "log.jsonl"
PENDING = "pending.json"
FORMAT = "veilset-removal/1"


@dataclass(frozen=True, slots=True)
class Removal:
    """One image that was withdrawn; a line of the log. Never boxes, never pixels.

    Attributes:
        image_id: Its name.
        sha256: Digest of the file that was released, "" if there was none.
        sha256_original: Digest of the original, "" if it is not known.
        reason: Why, in the words of whoever asked for it.
        removed_at: When it was asked for, UTC, ``2026-01-31T12:00:00Z``.
        because_of: Name of the image that was asked for, if this one only shared its sample.
    """

    image_id: str
    sha256: str
    sha256_original: str
    reason: str
    removed_at: str
    because_of: str = ""

    def line(self) -> bytes:
        """Give the line of the log."""
        text = json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)
        return f"{text}\n".encode()


@dataclass(frozen=True, slots=True)
class Removals:
    """Everything that was withdrawn from a release, by name and by content.

    Attributes:
        image_ids: Names of the images that were asked for.
        digests: Digests of their originals and of what was released of them, each with the name
            of such an image.
    """

    image_ids: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, record: Path) -> Self:
        """Read the log in a folder of records; without one, nothing was withdrawn.

        Raises:
            RunError: If it is damaged: what it says must not be lost.
        """
        # Those that only shared a sample may come back when it is whole again.
        asked = [each for each in read_log(record) if not each.because_of]
        digests = {
            digest: each.image_id
            for each in asked
            for digest in (each.sha256, each.sha256_original)
            if digest
        }
        return cls(frozenset(each.image_id for each in asked), digests)

    def cover(self, image_id: str, digest: str) -> bool:
        """Whether an image was withdrawn, under this name or with this content.

        Example:
            >>> removals = Removals(frozenset({"a.jpg"}), {"51f0": "a.jpg"})
            >>> [removals.cover(*each) for each in (("a.jpg", ""), ("b.jpg", "51f0"), ("c", ""))]
            [True, True, False]
        """
        return image_id in self.image_ids or digest in self.digests


@dataclass(frozen=True, slots=True)
class Pending:
    """A removal that is under way.

    Attributes:
        removals: What is withdrawn.
        log_bytes: Size of the log before.
        record_sha256: Digest of the outcomes before.
        is_taken_out: Whether the output no longer holds any of it, so that ``removals`` names
            the images of their samples too.
    """

    removals: tuple[Removal, ...]
    log_bytes: int
    record_sha256: str
    is_taken_out: bool = False


def log_path(record: Path) -> Path:
    """Give the path of the log in a folder of records."""
    return record / FOLDER / LOG


def log_size(record: Path) -> int:
    """Give the size of the log in bytes, 0 if there is none."""
    path = log_path(record)
    return path.stat().st_size if path.exists() else 0


def read_log(record: Path) -> list[Removal]:
    """Read all lines of the log, oldest first.

    Raises:
        RunError: If a line is damaged. The end of one, left by a process that was killed, is
            no damage: that removal is still pending.
    """
    path = log_path(record)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    *lines, rest = data.split(b"\n")
    if rest and read_pending(record) is None:
        raise _damaged(path, len(lines) + 1)
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(Removal(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise _damaged(path, number) from error
    return found


def append_to_log(record: Path, pending: Pending) -> None:
    """Make sure that every line of a removal is in the log, and on the disk.

    Raises:
        RunError: If what follows the earlier lines is not the beginning of those.
    """
    path = log_path(record)
    expected = b"".join(each.line() for each in pending.removals)
    with _told(path), path.open("a+b") as stream:
        stream.seek(pending.log_bytes)
        there = stream.read()
        if not expected.startswith(there):
            raise RunError(
                f"{path} was changed by hand after byte {pending.log_bytes:,}, while a removal "
                "was under way. Restore it, then run the same command again."
            )
        stream.write(expected[len(there) :])
        stream.flush()
        os.fsync(stream.fileno())
        _sync(path.parent)


def read_pending(record: Path) -> Pending | None:
    """Read the removal that is under way, None if there is none.

    Raises:
        RunError: If it is damaged.
    """
    path = record / FOLDER / PENDING
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
        if value.pop("format") != FORMAT:
            raise ValueError(FORMAT)
        removals = tuple(Removal(**each) for each in value.pop("removals"))
        return Pending(removals, **value)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"{path} is damaged, or of another version of Veilset. Restore it: it says which "
            "removal has to be finished."
        ) from error


def write_pending(record: Path, pending: Pending) -> None:
    """Write down the removal that is under way; it is on the disk when this returns."""
    folder = record / FOLDER
    make_folder(folder)
    path = folder / PENDING
    part = part_path(path)
    with _told(path):
        with part.open("wb") as stream:
            stream.write(json_bytes({"format": FORMAT, **asdict(pending)}))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        _sync(folder)
        _sync(record)


def clear_pending(record: Path) -> None:
    """Say that the removal is finished."""
    (record / FOLDER / PENDING).unlink(missing_ok=True)
    _sync(record / FOLDER)


def require_settled(record: Path) -> None:
    """Refuse to work on a release from which something is being withdrawn.

    Raises:
        RunError: If a removal is under way.
    """
    if (record / FOLDER / PENDING).exists():
        raise RunError(
            f"A removal from the release of {record} was not finished. Run veilset remove on its "
            "output again, with the same images or with none, to finish it."
        )


def _damaged(path: Path, number: int) -> RunError:
    return RunError(
        f"{path}, line {number}, is damaged. Restore the log of removals from a copy: without it, "
        "what was withdrawn could come back."
    )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}). "
            "Mend that, then run the same command again: it goes on from here."
        ) from error


def _sync(folder: Path) -> None:
    """Force the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
