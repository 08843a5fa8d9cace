# SPDX-License-Identifier: Apache-2.0
"""What is hidden in the headers of a tar file is not in the one that is written from it."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from veilset.dataset.containers import ContainerWriter
from veilset.dataset.webdataset import WebDatasetReader
from veilset.errors import DatasetError

IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(range(90))
# Looks like a preview, and is not valid UTF-8; no line end, which would end a pax value early.
HIDDEN = b"\xff\xd8\xff\xe0GPS 52.52 N" + bytes(range(200, 250)) * 6


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def header(name: str, kind: bytes = tarfile.REGTYPE, n_bytes: int = 0, **facts: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime, info.uid, info.mode = kind, n_bytes, 1_700_000_000, 7, 0o640
    for key, value in facts.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def pax(kind: bytes, **values: bytes) -> bytes:
    body = b""
    for key, value in values.items():
        rest = b" %s=%s\n" % (key.replace("_", ".").encode(), value)
        n_bytes = next(n for n in range(len(rest), len(rest) + 9) if n == len(b"%d" % n + rest))
        body += b"%d" % n_bytes + rest
    return header("extended", kind, len(body)) + padded(body)


def changed(block: bytes, *changes: tuple[int, bytes]) -> bytes:
    """Put bytes into a header, and mend its checksum."""
    new = bytearray(block)
    for at, data in changes:
        new[at : at + len(data)] = data
    new[148:156] = b" " * 8
    new[148:156] = b"%06o\0 " % sum(new)
    return bytes(new)


def gnu_name(of_image: bytes) -> bytes:
    name = of_image.rstrip(b"\0").split(b"\0")[0] + b"\0" + HIDDEN
    return header("././@LongLink", tarfile.GNUTYPE_LONGNAME, len(name)) + padded(name)


HIDING: dict[str, Callable[[bytes], bytes]] = {
    "behind the end of a GNU name": lambda block: gnu_name(block[:100]) + block,
    "behind the end of a name": lambda block: changed(block, (30, HIDDEN[:60])),
    "in an unused target": lambda block: changed(block, (157, HIDDEN[:90])),
    "in a long unused target": lambda block: (
        header("././@LongLink", tarfile.GNUTYPE_LONGLINK, len(HIDDEN)) + padded(HIDDEN) + block
    ),
    "at the end of the header": lambda block: changed(block, (500, HIDDEN[:12])),
    "behind the end of an owner": lambda block: changed(block, (270, HIDDEN[:27])),
    "in a kept key": lambda block: pax(tarfile.XHDTYPE, charset=HIDDEN) + block,
    "in an owner": lambda block: pax(tarfile.XHDTYPE, uname=HIDDEN, gname=HIDDEN) + block,
    "in a time": lambda block: pax(tarfile.XHDTYPE, mtime=HIDDEN, atime=HIDDEN) + block,
    "in an attribute": lambda block: pax(tarfile.XHDTYPE, SCHILY_xattr_user=HIDDEN) + block,
    "in a comment": lambda block: pax(tarfile.XHDTYPE, comment=HIDDEN) + block,
    "in a comment for all": lambda block: pax(tarfile.XGLTYPE, comment=HIDDEN) + block,
    "in an owner for all": lambda block: pax(tarfile.XGLTYPE, uname=HIDDEN) + block,
    "behind an extended header": lambda block: (
        pax(tarfile.XHDTYPE, ctime=b"5.5")[:-100] + HIDDEN[:100] + block
    ),
}  # fmt: skip


def rewritten(folder: Path, data: bytes) -> bytes:
    (folder / "in").mkdir()
    (folder / "in" / "x.tar").write_bytes(data)
    reader = WebDatasetReader(folder / "in")
    (shard,) = reader.shards()
    with (
        reader.open_shard(shard) as source,
        ContainerWriter(folder / "out").open_shard(shard, source) as target,
    ):
        for record in shard.records:
            target.write(record, source.read(record))
    out = folder / "out" / "x.tar"
    sizes = {record.image_id: len(IMAGE) for record in shard.records}
    with reader.open_container("x.tar") as container, out.open("rb") as other:
        assert not container.find_difference(other, sizes)
    return out.read_bytes()


def contents(data: bytes) -> list[tuple[str, bytes, float, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return [
            (info.name, (tar.extractfile(info) or io.BytesIO()).read(), info.mtime, info.uid,
             info.mode)
            for info in tar
        ]  # fmt: skip


@pytest.mark.parametrize("where", HIDING)
@pytest.mark.parametrize("hides_in", ["image", "caption"])
def test_nothing_that_no_reader_shows_is_released(
    tmp_path: Path, where: str, hides_in: str
) -> None:
    blocks = {
        "a/0001.png": header("a/0001.png", n_bytes=len(IMAGE)),
        "a/0001.txt": header("a/0001.txt", n_bytes=7),
    }
    name = {"image": "a/0001.png", "caption": "a/0001.txt"}[hides_in]
    hiding = HIDING[where](blocks[name])
    data = (
        header("a/", tarfile.DIRTYPE)
        + (hiding if hides_in == "image" else blocks["a/0001.png"]) + padded(IMAGE)
        + (hiding if hides_in == "caption" else blocks["a/0001.txt"]) + padded(b"caption")
    )  # fmt: skip
    assert any(HIDDEN[at : at + 12] in data for at in range(0, 200, 4))
    out = rewritten(tmp_path, data + bytes(1024))
    assert not any(HIDDEN[at : at + 4] in out for at in range(len(HIDDEN) - 4))
    assert [each[:2] for each in contents(out)] == [
        ("a", b""), ("a/0001.png", IMAGE), ("a/0001.txt", b"caption"),
    ]  # fmt: skip
    times = 0 if where == "in a time" and hides_in == "image" else 1_700_000_000
    assert contents(out)[1][2:] == (times, 7, 0o640)


def test_what_fills_the_block_of_a_caption_is_zero(tmp_path: Path) -> None:
    data = (
        header("1.png", n_bytes=len(IMAGE)) + padded(IMAGE)
        + header("1.txt", n_bytes=7) + padded(b"caption" + HIDDEN[:300]) + bytes(1024)
    )  # fmt: skip
    out = rewritten(tmp_path, data)
    assert b"GPS" not in out
    assert [each[1] for each in contents(out)] == [IMAGE, b"caption"]


def test_times_and_owners_for_all_stay_with_each(tmp_path: Path) -> None:
    data = (
        pax(tarfile.XGLTYPE, mtime=b"1234.123456789", uname=b"someone", comment=b"hidden words")
        + header("1.png", n_bytes=len(IMAGE)).replace(b"ustar  \0", b"ustar\00000") + padded(IMAGE)
    )  # fmt: skip
    block = changed(data[-512 - len(padded(IMAGE)) : -len(padded(IMAGE))])
    data = data[: -512 - len(padded(IMAGE))] + block + padded(IMAGE) + bytes(1024)
    out = rewritten(tmp_path, data)
    assert b"hidden" not in out
    assert b"mtime=1234.123456789\n" in out
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        (info,) = tar
        assert (info.uname, info.name) == ("someone", "1.png")
    if tar_program := shutil.which("tar"):
        (tmp_path / "x.tar").write_bytes(out)
        done = subprocess.run(
            [tar_program, "-tvf", tmp_path / "x.tar"], capture_output=True, text=True, check=True
        )
        assert "someone" in done.stdout
        assert not done.stderr


@pytest.mark.parametrize("name", ["d" * 256 + ".txt", "d/" * 2100 + "x.txt", "x.png\0more"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    block = header("1.txt", n_bytes=7)
    data = pax(tarfile.XHDTYPE, path=name.encode()) + block + padded(b"caption") + bytes(1024)
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(DatasetError, match="no file can have"):
        list(WebDatasetReader(tmp_path).shards())


def test_a_sparse_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    body = b"1\n0\n7\n".ljust(512, b"\0") + padded(b"caption")
    keys = {"GNU_sparse_major": b"1", "GNU_sparse_minor": b"0", "GNU_sparse_realsize": b"7"}
    data = pax(tarfile.XHDTYPE, **keys) + header("1.txt", n_bytes=519) + body + bytes(1024)
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(DatasetError, match="sparse"):
        list(WebDatasetReader(tmp_path).shards())
