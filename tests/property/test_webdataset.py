# SPDX-License-Identifier: Apache-2.0
"""Random tar files: every image is read; written anew, the rest is the same."""

from __future__ import annotations

import io
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.dataset.containers import ContainerWriter
from veilset.dataset.webdataset import OpenTar, WebDatasetReader
from veilset.errors import DatasetError
from veilset.images.first_bytes import looks_like_a_picture
from veilset.protocols import Shard
from veilset.types import ImageRecord

PNG = b"\x89PNG\r\n\x1a\n"
ENDINGS = ("jpg", "left.png", "txt", "json", "cls", "", "npy", "JPEG")
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


@dataclass(frozen=True)
class Packed:
    """A member as it was packed."""

    name: str
    data: bytes
    mtime: float
    uid: int
    mode: int
    comment: str


stems = st.text(st.sampled_from("abcZ09-_ éß漢"), min_size=1, max_size=5)
folders = st.sampled_from(["", "a/", "a-b/", "train/n01/", "d" * 90 + "/" + "e" * 80 + "/", "./"])
packed = st.builds(
    lambda folder, stem, ending, *rest: Packed(
        f"{folder}{stem}.{ending}" if ending else f"{folder}{stem}", *rest
    ),
    folders,
    stems,
    st.sampled_from(ENDINGS),
    st.binary(max_size=1300) | st.binary(max_size=600).map(lambda data: PNG + bytes(8) + data),
    st.integers(0, 2**33) | st.floats(0, 2**33).map(lambda value: round(value, 3)),
    st.integers(0, 3_000_000),
    st.integers(0, 0o777),
    st.sampled_from(["", "", "of the whole"]),
)
tars = st.lists(packed, max_size=12, unique_by=lambda each: each.name.removeprefix("./"))


def pack(members: list[Packed], form: int) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as tar:
        for each in members:
            info = tarfile.TarInfo(each.name)
            info.size, info.uid, info.mode = len(each.data), each.uid, each.mode
            info.mtime = each.mtime
            info.uname = "owner"
            if each.comment and form == tarfile.PAX_FORMAT:
                info.pax_headers = {"comment": each.comment}
            try:
                tar.addfile(info, io.BytesIO(each.data))
            except ValueError:
                continue  # too long a name or too large a number for the oldest form
    return sink.getvalue()


def unpacked(data: bytes) -> dict[str, tuple[bytes, float, int, int, str]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return {
            info.name: (
                stream.read() if (stream := tar.extractfile(info)) else b"",
                info.mtime, info.uid, info.mode, info.uname,
            )
            for info in tar
        }  # fmt: skip


def is_image(name: str, data: bytes) -> bool:
    # Hypothesis tries the constants of the code: the first bytes of other formats, too.
    is_named = name.lower().endswith((".jpg", ".jpeg", ".png"))
    return is_named or looks_like_a_picture(data)


def key_of(name: str) -> str:
    folder, slash, file = name.removeprefix("./").rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}" if "." in file else ""


def one_shard(folder: Path, data: bytes) -> tuple[WebDatasetReader, Shard]:
    (folder / "in").mkdir()
    (folder / "in" / "x.tar").write_bytes(data)
    (folder / "in" / "y.tar").write_bytes(pack([Packed("z.png", b"", 0, 0, 0, "")], 1))
    reader = WebDatasetReader(folder / "in")
    return reader, next(iter(reader.shards()))


def rewrite(folder: Path, data: bytes, new: dict[str, bytes]) -> tuple[bytes, set[str]]:
    """Write the images of a tar file anew; those without new bytes are discarded."""
    reader, shard = one_shard(folder, data)
    with (
        reader.open_shard(shard) as source,
        ContainerWriter(folder / "out").open_shard(shard, source) as target,
    ):
        for record in reversed(shard.records):
            name = record.image_id.removeprefix("x.tar/")
            if name in new:
                target.write(record, new[name])
            else:
                target.discard(record)
        withdrawn = set(target.withdrawn())
    assert [path.name for path in (folder / "out").iterdir()] == ["x.tar"]
    return (folder / "out" / "x.tar").read_bytes(), withdrawn


@given(tars, st.sampled_from(FORMATS))
def test_every_image_is_listed_and_read(members: list[Packed], form: int) -> None:
    data = pack(members, form)
    images = {name: each[0] for name, each in unpacked(data).items() if is_image(name, each[0])}
    with tempfile.TemporaryDirectory() as folder:
        reader, shard = one_shard(Path(folder), data)
        expected = {f"x.tar/{name.removeprefix('./')}": each for name, each in images.items()}
        assert {record.image_id for record in shard.records} == expected.keys()
        order = [record.order_key for record in shard.records]
        assert order == sorted(order)
        with reader.open_shard(shard) as tar:
            assert {r.image_id: tar.read(r) for r in shard.records} == expected
        assert {r.image_id: reader.read(r) for r in shard.records} == expected
        assert reader.count() == len(expected) + 1


@given(tars, st.sampled_from(FORMATS))
def test_written_with_the_same_images_only_foreign_facts_go(
    members: list[Packed], form: int
) -> None:
    data = pack(members, form)
    images = {
        name.removeprefix("./"): each[0]
        for name, each in unpacked(data).items()
        if is_image(name, each[0])
    }
    with tempfile.TemporaryDirectory() as folder:
        written, withdrawn = rewrite(Path(folder), data, images)
    assert not withdrawn
    if form != tarfile.PAX_FORMAT or not any(each.comment for each in members):
        assert written == data
    assert unpacked(written) == unpacked(data)
    assert list(unpacked(written)) == list(unpacked(data))


def test_the_shortest_image_by_content_is_one_as_in_a_folder(tmp_path: Path) -> None:
    reader, shard = one_shard(tmp_path, pack([Packed("0.txt", PNG, 0, 0, 0, "")], FORMATS[0]))
    assert [record.image_id for record in shard.records] == ["x.tar/0.txt"]
    assert reader.read(shard.records[0]) == PNG


@given(tars, st.sampled_from(FORMATS), st.data())
def test_only_what_was_written_is_there_and_whole_samples_go(
    members: list[Packed], form: int, draw: st.DataObject
) -> None:
    data = pack(members, form)
    before = unpacked(data)
    plain = {name.removeprefix("./"): name for name in before}
    images = sorted(name for name, full in plain.items() if is_image(full, before[full][0]))
    chosen = draw.draw(st.sets(st.sampled_from(images))) if images else set()
    new = {name: draw.draw(st.binary(max_size=2000)) for name in sorted(chosen)}
    failed = {key_of(name) for name in images if name not in new} - {""}
    expected = {
        full: (new.get(name, before[full][0]), *before[full][1:])
        for name, full in plain.items()
        if key_of(name) not in failed and (name in new or name not in images)
    }
    with tempfile.TemporaryDirectory() as folder:
        written, withdrawn = rewrite(Path(folder), data, new)
    after = unpacked(written)
    assert after == expected
    assert list(after) == list(expected)
    gone = {f"x.tar/{name}" for name in new if plain[name] not in after}
    assert withdrawn == gone
    assert len(written) % tarfile.RECORDSIZE == 0


@given(tars.filter(bool), st.data())
def test_cut_anywhere_it_is_refused(members: list[Packed], draw: st.DataObject) -> None:
    data = pack(members, tarfile.PAX_FORMAT)
    content_end = len(data.rstrip(b"\0"))
    at = draw.draw(st.integers(0, content_end))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.tar"
        path.write_bytes(data[:at])
        with pytest.raises(DatasetError, match="no whole tar file"):
            list(WebDatasetReader(Path(folder)).shards())


@given(tars.filter(bool), st.data())
def test_a_damaged_byte_is_refused_or_changes_no_other_image(
    members: list[Packed], draw: st.DataObject
) -> None:
    """Python's tarfile ends without a word at a damaged header; nothing may be lost that way."""
    data = bytearray(pack(members, tarfile.PAX_FORMAT))
    whole = unpacked(bytes(data))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] ^= draw.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.tar").write_bytes(data)
        try:
            index = _index(Path(folder))
        except DatasetError:
            return
    assert len(index) == len(whole)


def _index(folder: Path) -> list[str]:
    reader = WebDatasetReader(folder)
    with reader.open_shard(_any_shard(reader)) as tar:
        assert isinstance(tar, OpenTar)
        return [member.name for member in tar.index.members]


def _any_shard(reader: WebDatasetReader) -> Shard:
    with reader.open_container("x.tar") as tar:
        records: tuple[ImageRecord, ...] = tuple(m.record for m in tar.index.images() if m.record)
    return Shard(0, records, "x.tar")
