# SPDX-License-Identifier: Apache-2.0
"""JSON in pieces: they are the file, and what is no JSON is refused with its place."""

from __future__ import annotations

import io
import json

import pytest

from veilset import json_window
from veilset.dataset.json_pieces import Piece, split_json
from veilset.errors import DatasetError

DOCUMENT = (
    b'\xef\xbb\xbf {"info": {"a": [1, {"b": "]}"}], "c": {}},\r\n "empty": [ ], "none": {},\n'
    b'  "images": [ {"id":1,"file_name":"Zo\xc3\xab \\"].jpg"} ,\n\t{"id": -2.5e+3}, "x", 7\n],'
    b' "flag":true, "n": -1.25E-2 } \n'
)


def split(data: bytes) -> list[Piece]:
    return list(split_json(io.BytesIO(data), "the file"))


@pytest.mark.parametrize("window", [1, 2, 5, 64, 1 << 20])
def test_the_pieces_are_the_file_and_hold_its_items(
    monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(json_window, "WINDOW", window)
    pieces = split(DOCUMENT)
    assert b"".join(piece.before + piece.item for piece in pieces) == DOCUMENT
    items = [piece for piece in pieces if piece.place]
    assert [(piece.member, piece.place) for piece in items] == [("images", n) for n in (1, 2, 3, 4)]
    expected = json.loads(DOCUMENT.decode("utf-8-sig"))["images"]
    assert [json.loads(piece.item) for piece in items] == expected
    assert [piece.value for piece in items[1:]] == expected[1:]
    assert [piece.before for piece in items] == [b" ", b" ,\n\t", b", ", b", "]


@pytest.mark.parametrize("window", [1, 1 << 20])
def test_a_file_that_was_cut_anywhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(json_window, "WINDOW", window)
    whole = DOCUMENT.rstrip()
    for n in range(len(whole)):
        with pytest.raises(DatasetError, match=r"^the file.*, near byte [\d,]+: .*\. Restore it"):
            split(whole[:n])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"[1]", "no JSON object"),
        (b'{"a": [1 2]}', "'a', item 1, near byte 10: Expected a comma"),
        (b'{"a": [1,]}', "'a', item 2"),
        (b'{"a" 1}', "Expected a colon"),
        (b"{a: 1}", "Expected the name of a member"),
        (b'{"a": {"b" 1}}', "Expected a colon"),
        (b'{"a": {b: 1}}', "Expected the name of a member"),
        (b'{"a": 1} {}', "Something follows the end"),
        (b'{"a": [nul]}', "not valid JSON"),
        (b'{"a": ["\n", "something behind"]}', "Invalid control character"),
        (b'{"a": [' + b"[" * 200_000, "nested too deeply"),
        (b'{"a": [' + b"1" * 5000 + b"]}", "Exceeds the limit (4300 digits)"),
        ('{"a": []}'.encode("utf-16"), "no JSON object"),
    ],
)
def test_what_is_no_json_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(DatasetError) as caught:
        split(data)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_window, "WINDOW", 100)
    monkeypatch.setattr(json_window, "MAX_ITEM", 1000)
    assert len(split(b'{"a": [' + b", ".join([b'"%s"' % (b"x" * 90)] * 500) + b"]}")) > 500
    with pytest.raises(DatasetError, match="longer than 1,000 bytes"):
        split(b'{"a": ["' + b"x" * 5000 + b'"]}')
