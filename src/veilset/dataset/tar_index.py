# SPDX-License-Identifier: Apache-2.0
"""What is where in a tar file, told from its headers alone, and which of it is an image.

A tar file that cannot be read to its very end is refused: Python's ``tarfile`` takes a damaged
header, or the end of a file that was cut between two members, for the end of the archive,
and the photographs behind it would be lost without a word.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO

from veilset.dataset.folder import PICTURE_SUFFIXES, has_suffix
from veilset.dataset.spools import pieces
from veilset.dataset.tar_headers import BLOCK, FOR_ALL, written_anew
from veilset.dataset.tree import named
from veilset.errors import DatasetError
from veilset.faults import stop_at_fault
from veilset.images.first_bytes import HEAD_BYTES, looks_like_a_picture
from veilset.types import ImageRecord

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
_LINK = "It is a link inside the tar file, not a picture. Pack the file itself."
_SPARSE = "It is packed as a sparse file. Pack it as an ordinary one."
# Of a name on a disk, in bytes.
_LONGEST_PART, _LONGEST_PATH = 255, 4096


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a tar file. Offsets are in bytes from the beginning of the file.

    Attributes:
        name: Its path, without ``.`` and empty parts; that of a folder ends with a slash.
        record: The image that it is; None if it is none.
        key: Key of its sample, as WebDataset has it: the path up to the first dot of the file
            name; "" if it belongs to no sample.
        left_out: Why it is never carried over (``hidden``, ``link``, ``not a regular file``).
        header: Its first header.
        data: Its content.
        size: Length of its content.
        end: End of its content, padding included.
        for_all: What headers for all that follows say of it.
    """

    name: str
    record: ImageRecord | None
    key: str
    left_out: str
    header: int
    data: int
    size: int
    end: int
    for_all: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TarIndex:
    """What is in a tar file.

    Attributes:
        members: All members, in its own order.
        end: Where the last one ends.
        by_id: Those that are images, by ``image_id``. It is kept with the index: made for every
            image that is read, it would take time that grows with the square of their number.
    """

    members: tuple[Member, ...]
    end: int
    by_id: Mapping[str, Member] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id = {m.record.image_id: m for m in self.members if m.record}
        object.__setattr__(self, "by_id", by_id)

    def images(self) -> list[Member]:
        """Give the members that are images, in the order of data sets."""
        return sorted((m for m in self.members if m.record), key=_order)

    def __len__(self) -> int:
        return len(self.members)


def _order(member: Member) -> tuple[str, ...]:
    return member.record.order_key if member.record else ()


def read_index(stream: BinaryIO, container: str, place: str) -> TarIndex:
    """Read all headers of a tar file, and the first bytes of what may be an image.

    Args:
        stream: The file, open for reading, with a descriptor.
        container: Its path below the root of the data set: images are named below it.
        place: Where it lies, for messages.

    Raises:
        DatasetError: If it is no tar file, compressed, cut short, damaged, or if a name in it
            comes twice or leads out of the folder in which it would be unpacked.
    """
    n_bytes = os.fstat(stream.fileno()).st_size
    if os.pread(stream.fileno(), 6, 0).startswith(_COMPRESSED):
        raise DatasetError(
            f"{place} is compressed. Unpack it to a plain .tar file: images do not get smaller."
        )
    members: list[Member] = []
    end = 0
    try:
        for info, end, for_all in _headers(stream):
            if end > n_bytes:
                raise _damaged(place, "its last member is not whole")
            members.append(_member(stream.fileno(), info, container, place, end, for_all))
    except (tarfile.TarError, ValueError) as error:
        raise _damaged(place, str(error) or type(error).__name__) from error
    except OSError as error:
        stop_at_fault(error, place)
        raise DatasetError(f"{place} cannot be read ({error.strerror}). Check the disk.") from error
    _check_end(stream.fileno(), end, n_bytes, place)
    _check_unique(members, place)
    return TarIndex(tuple(members), end)


def carried(index: TarIndex, written: Collection[str]) -> Iterator[tuple[Member, bool]]:
    """Go through the members of a tar file, and tell which are in the output.

    Args:
        index: The source.
        written: ``image_id`` of the images that could be fully processed.
    """
    images = [m for m in index.members if m.record]
    failed = {m.key for m in images if m.record and m.record.image_id not in written} - {""}
    for member in index.members:
        is_there = not member.left_out and member.key not in failed
        if member.record and member.record.image_id not in written:
            is_there = False
        yield member, is_there


def released_images(index: TarIndex, written: Collection[str]) -> list[str]:
    """Give the ``image_id`` of the images that are in the output; arguments as ``carried``."""
    return [m.record.image_id for m, is_there in carried(index, written) if is_there and m.record]


def released_header(descriptor: int, member: Member, n_bytes: int) -> bytes:
    """Give the headers of a member for a content of some length, as they are released.

    Args:
        descriptor: Of the tar file.
        member: The member.
        n_bytes: Length of its content in the release.
    """
    raw = read_range(descriptor, member.header, member.data)
    with tarfile.open(
        fileobj=io.BytesIO(raw), mode="r:", encoding="utf-8", errors="surrogateescape",
        pax_headers=dict(member.for_all),
    ) as tar:  # fmt: skip
        info = tar.next()
    if info is None:
        raise DatasetError("A header that could be read a moment ago is gone. Run it again.")
    return written_anew(info, raw, n_bytes)


def carried_over(descriptor: int, member: Member) -> Iterator[bytes]:
    """Give what is released of a member that is no image: headers, content, and zeros."""
    n_bytes = 0 if member.name.endswith("/") else member.size
    yield released_header(descriptor, member, n_bytes)
    yield from pieces(descriptor, member.data, member.data + n_bytes)
    yield padding(n_bytes)


def read_range(descriptor: int, start: int, stop: int) -> bytes:
    """Give the bytes of a file from ``start`` to ``stop``; fewer where it ends earlier."""
    return b"".join(pieces(descriptor, start, stop))


def padding(n_bytes: int) -> bytes:
    """Give the zeros that fill the last block of a content."""
    return bytes(-n_bytes % BLOCK)


def end_mark(n_bytes: int) -> bytes:
    """Give what ends a tar file of which ``n_bytes`` are written."""
    return bytes(2 * BLOCK + -(n_bytes + 2 * BLOCK) % tarfile.RECORDSIZE)


def _headers(stream: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, int, Mapping[str, str]]]:
    """Go through the headers, each with the end of its member and what is said of all."""
    if os.fstat(stream.fileno()).st_size < BLOCK:
        return
    # One mapping for all members of which the same is said: they are many.
    for_all: dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        while (info := tar.next()) is not None:
            kept = {k: v for k, v in tar.pax_headers.items() if k in FOR_ALL}
            for_all = for_all if kept == for_all else kept
            yield info, tar.offset, for_all
            tar.members = []  # type: ignore[attr-defined]  # else it would keep every header


def _member(
    descriptor: int,
    info: tarfile.TarInfo,
    container: str,
    place: str,
    end: int,
    for_all: Mapping[str, str],
) -> Member:
    path = _path_of(info, place)
    is_hidden = any(part.startswith(".") for part in path.parts)
    left_out, problem = ("hidden" if is_hidden else ""), ""
    is_image = has_suffix(path.name, PICTURE_SUFFIXES)
    if info.isdir():
        is_image = False
    elif info.issym() or info.islnk():
        left_out, problem = left_out or ("" if is_image else "link"), _LINK
    elif not info.isreg():
        left_out, is_image = left_out or "not a regular file", False
    elif info.issparse():
        if not is_image and not is_hidden:
            raise DatasetError(f"{place}: {info.name!r} cannot be carried over. {_SPARSE}")
        problem = _SPARSE
    elif not is_image and not left_out and info.size:
        head = os.pread(descriptor, min(HEAD_BYTES, info.size), info.offset_data)
        is_image = looks_like_a_picture(head)
    record = named(f"{container}/{path}") if is_image and not left_out else None
    if record and problem:
        record = ImageRecord(record.image_id, record.problem or problem)
    return Member(
        f"{path}/" if info.isdir() else str(path), record,
        "" if info.isdir() else _key(path), left_out,
        info.offset, info.offset_data, info.size, end, for_all,
    )  # fmt: skip


def _path_of(info: tarfile.TarInfo, place: str) -> PurePosixPath:
    """Give the path of a member; refuse one that is none, or of a content that cannot be read."""
    path = PurePosixPath(info.name)
    if path.is_absolute() or ".." in path.parts:
        raise DatasetError(
            f"{place} holds the name {info.name!r}, which leads out of the folder in which it is "
            "unpacked. Pack it anew, with names below one folder."
        )
    name = info.name.encode("utf-8", "surrogateescape")
    longest = max(map(len, name.split(b"/")))
    if b"\0" in name or longest > _LONGEST_PART or len(name) > _LONGEST_PATH:
        raise DatasetError(
            f"{place} holds a name of {len(info.name):,} characters, {info.name[:40]!r}..., that "
            "no file can have: something else may be hidden in it. Pack it anew."
        )
    return path


def _key(path: PurePosixPath) -> str:
    stem, dot, _ = path.name.partition(".")
    return str(path.with_name(stem)) if stem and dot else ""


def _check_end(descriptor: int, end: int, n_bytes: int, place: str) -> None:
    """Make sure that the archive ends where its members do."""
    if n_bytes < end + BLOCK:
        raise _damaged(place, "its end is missing: it was cut short, or is still being written")
    for piece in pieces(descriptor, end, n_bytes):
        if piece.strip(b"\0"):
            raise _damaged(place, f"after byte {end:,} comes what is no member of it")


def _check_unique(members: list[Member], place: str) -> None:
    seen: set[str] = set()
    for member in members:
        # Two folders of one name are one folder.
        if member.name in seen and not member.name.endswith("/"):
            raise DatasetError(
                f"{place} holds the name {member.name!r} twice, and readers differ in which of the "
                "two they take. Pack it anew, with every name once."
            )
        seen.add(member.name)


def _damaged(place: str, why: str) -> DatasetError:
    return DatasetError(
        f"{place} is no whole tar file ({why}). Restore it, then run the same command again."
    )
