# SPDX-License-Identifier: Apache-2.0
"""Lists and COCO's JSON without some images: against the plain way of doing it, in memory."""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilset import json_window
from veilset.dataset.coco import CocoReader
from veilset.dataset.json_pieces import split_json
from veilset.dataset.listed import ListReader
from veilset.errors import DatasetError
from veilset.types import ImageRecord

SHARED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = ("a.png", "b.png", "é/c.png", 'd "e".png')
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
IDS = st.sampled_from([1, 2, 3, 4, "1", "é"])


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a document with the lists of COCO at any place, and foreign members beside them."""
    more = st.dictionaries(TEXTS, VALUES, max_size=2)
    images = draw(
        st.lists(
            st.builds(
                lambda extra, key, name: extra | {"id": key, "file_name": name},
                more, IDS, st.sampled_from(NAMES),
            ),
            min_size=1, max_size=4, unique_by=lambda each: repr(each["id"]),
        )
    )  # fmt: skip
    boxes = draw(st.lists(st.builds(lambda e, key: e | {"image_id": key}, more, IDS), max_size=5))
    foreign = draw(st.dictionaries(TEXTS.filter(lambda t: t not in ("images", "annotations")),
                                   VALUES, max_size=3))  # fmt: skip
    members = [*foreign.items(), ("images", images), ("annotations", boxes)]
    return dict(draw(st.permutations(members)))


def without(document: dict[str, Any], gone: Collection[str]) -> dict[str, Any]:
    """Give the document without some images, the plain way."""
    ids = [each["id"] for each in document["images"] if each["file_name"] in gone]
    return document | {
        "images": [each for each in document["images"] if each["id"] not in ids],
        "annotations": [each for each in document["annotations"] if each["image_id"] not in ids],
    }


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_window, "WINDOW", 32)


@SHARED
@given(
    documents(),
    st.sets(st.sampled_from(NAMES)),
    st.sets(st.sampled_from(NAMES)),
    st.sampled_from([None, 0, 3]),
    st.booleans(),
)
def test_a_json_without_images_is_the_document_without_them(
    tmp_path: Path, document: dict[str, Any], first: set[str], more: set[str],
    indent: int | None, is_ascii: bool,
) -> None:  # fmt: skip
    (tmp_path / "é").mkdir(exist_ok=True)
    for name in NAMES:
        (tmp_path / name).touch()
    path = tmp_path / "x.json"
    data = json.dumps(document, indent=indent, ensure_ascii=is_ascii).encode()

    def left_of(source: bytes, gone: set[str]) -> bytes:
        path.write_bytes(source)
        (sidecar,) = CocoReader(tmp_path).sidecars()
        return b"".join(sidecar.released(gone))

    assert left_of(data, set()) == data
    left = left_of(data, first)
    expected = without(document, first)
    assert json.loads(left) == expected
    if all(bool(expected[name]) == bool(document[name]) for name in ("images", "annotations")):
        assert left == json.dumps(expected, indent=indent, ensure_ascii=is_ascii).encode()
    if expected["images"]:
        assert left_of(left, more) == left_of(data, first | more)


@SHARED
@given(st.binary(max_size=60) | documents().map(lambda each: json.dumps(each).encode()), st.data())
def test_whatever_is_spoilt_is_told_or_comes_out_whole(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, max(len(data) - 1, 0)))
    spoilt = (
        data[:at] + draw.draw(st.binary(max_size=2)) + data[at + draw.draw(st.integers(0, 2)) :]
    )
    try:
        pieces = list(split_json(io.BytesIO(spoilt), "x"))
    except DatasetError:
        with pytest.raises((ValueError, AssertionError)):
            # What the standard library takes for an object is taken here too.
            assert isinstance(
                json.loads(spoilt.decode("latin-1").removeprefix("\xef\xbb\xbf")), dict
            )
        return
    assert b"".join(piece.before + piece.item for piece in pieces) == spoilt


PARTS = st.text(
    # A slash parts, a "#" may begin a comment, and the last would be taken for a byte order mark.
    st.characters(min_codepoint=33, exclude_characters="/#\ufeff", exclude_categories=["Cs"]),
    min_size=1,
    max_size=4,
)
PATHS = (
    st.lists(PARTS.filter(lambda part: part not in (".", "..")), min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda path: not path.startswith("x.txt"))
)
ENDINGS = st.sampled_from(["\n", "\r\n", " 3\n", "  -1 20\n", "\ta caption 7\n", "\t\n", " \n"])
OTHERS = st.sampled_from(["\n", "# words\n", "  #1\r\n", " \t \n"])


@SHARED
@given(
    st.lists(st.tuples(PATHS, ENDINGS), min_size=1, max_size=8, unique_by=lambda each: each[0]),
    st.lists(OTHERS, max_size=3),
    st.randoms(use_true_random=False),
)
def test_a_list_without_images_is_the_lines_of_the_others(
    tmp_path: Path, images: list[tuple[str, str]], others: list[str], random: Any
) -> None:
    lines = [(path, path + ending) for path, ending in images] + [("", each) for each in others]
    random.shuffle(lines)
    (tmp_path / "x.txt").write_bytes("".join(line for _, line in lines).encode())
    reader = ListReader(tmp_path / "x.txt")
    paths = [path for path, _ in images]
    assert all(posixpath.normpath(path) == path for path in paths)
    order = sorted((ImageRecord(path) for path in paths), key=lambda each: each.order_key)
    assert [record for shard in reader.shards(3) for record in shard.records] == order
    gone = {path for path in paths if random.random() < 0.5}
    left = "".join(line for path, line in lines if path not in gone)
    assert b"".join(reader.list_file.released(gone)) == left.encode()
