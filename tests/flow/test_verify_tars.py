# SPDX-License-Identifier: Apache-2.0
"""What verification finds in tar files that were changed after the release."""

from __future__ import annotations

import shutil
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.flow.packed_tars import Members, both, contents, members, packed, repack
from tests.unit.verify.drawn import (
    QUIET,
    Release,
    jpeg_bytes,
)
from veilset.records.verdicts import Verdict
from veilset.verify.manifest import verify_manifest

__all__ = ["both", "packed"]


def with_data(name: str, data: bytes) -> Callable[[Members], Members]:
    return lambda old: [(info, data if info.name == name else was) for info, was in old]


CLEAN = {
    "00000.tar": (Verdict.WHOLE, set[str]()),
    "00001.tar": (Verdict.WHOLE, set[str]()),
    "00001.tar/c/cut.jpg": (Verdict.ABSENT, set[str]()),
    "00002.tar": (Verdict.WHOLE, set[str]()),
    "99999.tar": (Verdict.WHOLE, set[str]()),
}


CHANGED = (Verdict.LEAK, {"container-changed"})


def test_a_clean_release_passes_and_its_manifest_is_of_tar_files(packed: Release) -> None:
    summary = packed.verify()
    assert summary.extra["overall"] == "passed"
    assert packed.found() == CLEAN
    manifest = packed.record / "verify" / "manifest.json"
    check = verify_manifest(manifest, packed.out)
    assert (check.n_files, check.is_intact) == (4, True)
    path = packed.out / "00000.tar"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    check = verify_manifest(manifest, packed.out)
    assert [(each.image_id, each.code) for each in check.findings] == [("00000.tar", "changed")]


def test_a_changed_caption_is_found(packed: Release) -> None:
    repack(packed.out / "00000.tar", with_data("a/one.txt", "a picture of a/one, Zoé".encode()))
    assert packed.found() == CLEAN | {"00000.tar": CHANGED}


def test_an_original_put_back_is_found(packed: Release) -> None:
    original = contents(packed.photos / "00000.tar")
    repack(packed.out / "00000.tar", with_data("a/one.jpg", original["a/one.jpg"]))
    found = packed.found()
    verdict, codes = found.pop("00000.tar/a/one.jpg")
    assert verdict is Verdict.LEAK
    assert {"digest", "shows-through", "metadata"} <= codes
    assert found == CLEAN | {"00000.tar": CHANGED}


def test_a_whole_original_tar_put_back_is_found(packed: Release) -> None:
    shutil.copy(packed.photos / "00001.tar", packed.out / "00001.tar")
    found = packed.found()
    assert found["00001.tar"] == CHANGED
    assert found["00001.tar/c/cut.jpg"] == (Verdict.LEAK, {"failed-but-present"})


@pytest.mark.parametrize("name", ["a/one.extra.npy", ".hidden.jpg", "z/new.txt"])
def test_an_added_member_is_found(packed: Release, name: str) -> None:
    def more(old: Members) -> Members:
        return [*old, (tarfile.TarInfo(name), b"pixels of a face")]

    repack(packed.out / "00000.tar", more)
    assert packed.found() == CLEAN | {"00000.tar": CHANGED}


def test_an_added_image_is_found_whatever_its_name(packed: Release) -> None:
    data = contents(packed.photos / "00000.tar")["a/one.jpg"]
    repack(packed.out / "00000.tar", lambda old: [*old, (tarfile.TarInfo("a/one.cls"), data)])
    found = packed.found()
    assert found["00000.tar"] == CHANGED
    assert found["00000.tar/a/one.cls"] == (Verdict.LEAK, {"unexpected-file"})


def test_a_thumbnail_in_an_image_is_found(packed: Release) -> None:
    thumbnail = jpeg_bytes(np.zeros((60, 80, 3), np.uint8))
    inside = contents(packed.out / "00002.tar")
    # An EXIF block without tags, whose second directory points at a JPEG file behind it.
    tags = ((0x0201, 44), (0x0202, len(thumbnail)))
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack(">2sHIHI", b"MM", 42, 8, 0, 14)
    segment = b"Exif\0\0" + head + struct.pack(">H", 2) + entries + bytes(4) + thumbnail
    app1 = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    data = inside["c/turned.jpg"]
    repack(packed.out / "00002.tar", with_data("c/turned.jpg", data[:2] + app1 + data[2:]))
    codes = packed.found()["00002.tar/c/turned.jpg"][1]
    assert {"digest", "embedded-preview"} <= codes


def test_data_behind_the_end_and_in_the_padding_is_found(packed: Release) -> None:
    first, second = packed.out / "00000.tar", packed.out / "00001.tar"
    first.write_bytes(first.read_bytes() + bytes(10240))
    data = bytearray(second.read_bytes())
    info = next(i for i, _ in members(second) if i.name == "b/none.png")
    end = info.offset_data + info.size
    assert end % 512
    data[end] = 1
    second.write_bytes(data)
    assert packed.found() == CLEAN | {"00000.tar": CHANGED, "00001.tar": CHANGED}


def test_tar_files_that_are_gone_cut_added_or_links(packed: Release) -> None:
    (packed.out / "00000.tar").unlink()
    cut = (packed.out / "00001.tar").read_bytes()
    (packed.out / "00001.tar").write_bytes(cut[:-10240])
    (packed.out / "00002.tar").rename(packed.out / "other.tar")
    (packed.out / "00002.tar").symlink_to("other.tar")
    found = packed.found()
    assert found["00000.tar"] == (Verdict.ERROR, {"missing"})
    assert found["00000.tar/a/one.jpg"] == (Verdict.ERROR, {"missing"})
    assert found["00001.tar"] == CHANGED
    assert found["00002.tar"] == (Verdict.LEAK, {"unexpected-link", "missing"})
    assert found["other.tar"] == (Verdict.LEAK, {"unexpected-file"})


def test_a_change_after_verification_starts_it_anew(packed: Release) -> None:
    packed.verify()
    repack(packed.out / "00000.tar", with_data("a/one.txt", b"other words"))
    assert packed.found() == CLEAN | {"00000.tar": CHANGED}


def test_detectors_search_the_images_in_tar_files_again(packed: Release) -> None:
    summary = packed.verify(replace(QUIET, recheck="all"))
    assert summary.counts["searched_all"] == 6
