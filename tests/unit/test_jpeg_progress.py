# SPDX-License-Identifier: Apache-2.0
"""Scans that bring something twice are refused, the scripts of encoders are not."""

from __future__ import annotations

import re
import struct

import pytest

from tests.unit.metadata.samples import drawn, opened, saved
from veilset.errors import DecodeError
from veilset.images.decode import decode_image
from veilset.jpeg_progress import MAX_SCANS, ScanProgress
from veilset.metadata.clean import clean_metadata

Line = tuple[tuple[int, ...], int, int, int, int]
# What jcparam.c of libjpeg writes for YCbCr.
LIBJPEG: list[Line] = [
    ((0, 1, 2), 0, 0, 0, 1), ((0,), 1, 5, 0, 2), ((2,), 1, 63, 0, 1), ((1,), 1, 63, 0, 1),
    ((0,), 6, 63, 0, 2), ((0,), 1, 63, 2, 1), ((0, 1, 2), 0, 0, 1, 0), ((2,), 1, 63, 1, 0),
    ((1,), 1, 63, 1, 0), ((0,), 1, 63, 1, 0),
]  # fmt: skip
# One that jcparam.c of mozjpeg chooses after its search.
MOZJPEG: list[Line] = [
    ((0,), 0, 0, 0, 0), ((1, 2), 0, 0, 0, 0), ((0,), 1, 8, 0, 2), ((1,), 1, 8, 0, 0),
    ((2,), 1, 8, 0, 0), ((0,), 9, 63, 0, 2), ((0,), 1, 63, 2, 1), ((0,), 1, 63, 1, 0),
    ((1,), 9, 63, 0, 0), ((2,), 9, 63, 0, 0),
]  # fmt: skip
# The examples of wizard.txt: sequential, spectral selection, a refinement before other bands.
SPECTRAL: list[Line] = [
    ((0, 1, 2), 0, 0, 0, 0), ((0,), 1, 2, 0, 0), ((0,), 3, 5, 0, 0), ((1,), 1, 63, 0, 0),
    ((2,), 1, 63, 0, 0), ((0,), 6, 63, 0, 0),
]  # fmt: skip
MIXED: list[Line] = [
    ((0,), 0, 0, 0, 1),
    ((0,), 0, 0, 1, 0),
    ((0,), 1, 63, 0, 0),
    ((1,), 0, 0, 0, 0),
]


def complaint(script: list[Line]) -> str:
    progress = ScanProgress(is_progressive=True)
    answers = [progress.note(who, (a, z), (high, low)) for who, a, z, high, low in script]
    return next(filter(None, answers), "")


@pytest.mark.parametrize("script", [LIBJPEG, MOZJPEG, SPECTRAL, MIXED])
def test_scripts_of_encoders_are_taken(script):
    assert complaint(script) == ""


@pytest.mark.parametrize(("script", "words"), [
    ([*LIBJPEG, LIBJPEG[0]], "twice"),
    ([LIBJPEG[0], *LIBJPEG], "twice"),
    ([*LIBJPEG[:6], *LIBJPEG[5:]], "next bit"),
    ([((0,), 0, 0, 1, 0)], "next bit"),
    ([((0,), 0, 0, 0, 3), ((0,), 0, 0, 2, 1)], "next bit"),
    ([((0,), 0, 0, 0, 3), ((0,), 0, 0, 3, 1)], "next bit"),
    ([((0,), 0, 0, 0, 0), ((0,), 1, 9, 0, 0), ((0,), 9, 63, 0, 0)], "twice"),
    ([((0,), 1, 63, 0, 0), ((0,), 0, 0, 0, 0)], "before"),
    ([((0,), 0, 0, 0, 0), ((1,), 1, 63, 0, 0)], "before"),
])  # fmt: skip
def test_what_brings_a_bit_twice_or_none_is_named(script, words):
    assert words in complaint(script)


def scans_of(data: bytes) -> list[bytes]:
    """Split what follows the frame of a progressive file into scans with their tables."""
    at = data.index(b"\xff\xc2")
    body = data[at + 2 + struct.unpack_from(">H", data, at + 2)[0] : -2]
    starts = [match.start() for match in re.finditer(rb"\xff\xc4|\xff\xda", body)]
    first = [s for i, s in enumerate(starts) if i == 0 or body[starts[i - 1] + 1] == 0xDA]
    return [body[a:z] for a, z in zip(first, [*first[1:], len(body)], strict=True)]


def refusals(data: bytes) -> list[str]:
    reasons = []
    for work in (clean_metadata, decode_image):
        with pytest.raises(DecodeError) as caught:
            work(data)
        reasons.append(caught.value.reason)
    return reasons


def test_a_picture_before_the_picture_is_refused():
    data = saved("JPEG", progressive=True)
    scans = scans_of(data)
    head = data[: data.index(scans[0])]
    assert head + b"".join(scans) + b"\xff\xd9" == data
    other = saved_other()
    for each in ([scans_of(other)[0], *scans], [*scans[:1], *scans], [*scans, *scans_of(other)]):
        assert refusals(head + b"".join(each) + b"\xff\xd9") == ["unreadable"] * 2


def saved_other() -> bytes:
    from io import BytesIO

    file = BytesIO()
    drawn().rotate(180).save(file, "JPEG", progressive=True)
    return file.getvalue()


def test_a_component_scanned_twice_is_refused_in_sequential_files_too():
    data = saved("JPEG", "L")
    scan = data[data.index(b"\xff\xda") : -2]
    assert refusals(data[:-2] + scan + b"\xff\xd9") == ["unreadable"] * 2


@pytest.mark.parametrize("n_scans", [MAX_SCANS, MAX_SCANS + 1])
def test_the_number_of_scans_is_bounded(n_scans):
    """Each is a pass over the picture, and may cost a few bytes only."""
    data = saved("JPEG", "L", progressive=True)
    first = scans_of(data)[0]
    table = b"\xff\xc4\0\x14\x10\1" + bytes(16)  # one code of one bit: the band ends here
    bands = [(k, bit) for bit in range(13, 0, -1) for k in range(1, 64)][: n_scans - 1]
    empty = [
        b"\xff\xda\0\x08\1\1\0"
        + bytes([k, k, (bit + 1) << 4 | bit if bit < 13 else bit])
        + bytes(4)
        for k, bit in bands
    ]
    file = data[: data.index(first)] + first + table + b"".join(empty) + b"\xff\xd9"
    if n_scans > MAX_SCANS:
        assert refusals(file) == ["unreadable"] * 2
    else:
        assert opened(clean_metadata(file)).size == (48, 40)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("rows", [0, 1])
def test_what_pillow_writes_comes_through(mode, subsampling, rows):
    options = {"subsampling": subsampling, "restart_marker_rows": rows, "optimize": bool(rows)}
    for progressive in (False, True):
        data = saved("JPEG", mode, progressive=progressive, quality=80, **options)
        assert clean_metadata(data) == data or mode == "CMYK"
        if mode != "CMYK":
            assert decode_image(data)[1].format == "JPEG"
