# SPDX-License-Identifier: Apache-2.0
"""A redaction layer: what goes in comes out by content, and nothing damaged is believed."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilset.annotations import layer_writer
from veilset.annotations.layer import Layer
from veilset.annotations.layer_format import (
    CHECKSUM_KEY,
    FACTS_KEY,
    LayerFacts,
    batch_checksum,
    layer_schema,
)
from veilset.annotations.layer_writer import Written, write_layer_file
from veilset.errors import AnnotationError, PluginError, RunError
from veilset.types import Annotations, ImageRecord, Region, Status

FACTS = LayerFacts(
    method="veil", version=1, summary="", parameters={"cells": 6, "enlarge": 0.2, "feather": 0.2},
    kinds=(), min_score=0.0, metadata="safe", quality=90, seed=0, n_images=0, n_regions=0,
    left_out={}, annotations_sha256="ab", effort=None,
)  # fmt: skip


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def row(name: str, *regions: Region, content: str = "") -> Annotations:
    return Annotations(name, Status.LOOKED, regions, 640, 480, digest(content or name), 999)


def make(path: Path, rows: Iterable[Annotations], *, names: bool = True) -> Written:
    return write_layer_file(path, rows, lambda: FACTS, has_names=names)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "layer.arrow"


def boxes(found: Annotations) -> list[tuple[object, ...]]:
    return [(region.box_xyxy, region.kind) for region in found.regions]


coordinate = st.floats(-1e6, 1e6)
some_regions = st.lists(
    st.builds(
        lambda x, y, w, h, kind: Region((x, y, x + w, y + h), kind, 0.5),
        coordinate, coordinate, st.floats(0, 1e4), st.floats(0, 1e4), st.text(max_size=5),
    ),
    max_size=3, unique_by=lambda region: (region.box_xyxy, region.kind),
)  # fmt: skip


@settings(max_examples=25)
@given(st.dictionaries(st.text(min_size=1, max_size=8), some_regions, max_size=30), st.booleans())
def test_every_content_is_found_with_its_exact_boxes(
    tmp_path_factory: pytest.TempPathFactory, known: dict[str, list[Region]], names: bool
) -> None:
    path = tmp_path_factory.mktemp("layer") / "layer.arrow"
    rows = [row(name, *regions) for name, regions in known.items()]
    assert make(path, rows, names=names) == Written(len(known), 0)
    layer = Layer(path)
    assert len(layer) == len(known)
    for each in rows:
        found = layer.find(ImageRecord("another name"), each.sha256)
        assert boxes(found) == boxes(each)
        assert (found.status, found.width, found.height) == (Status.LOOKED, 640, 480)
        assert (found.image_id, found.sha256) == ("another name", each.sha256)


def test_zero_bytes_in_digests_are_kept_apart(path: Path) -> None:
    # NumPy takes zero bytes at the end of a text for padding.
    tails = ["00" * 31, "00" * 30 + "01", "01" + "00" * 30]
    rows = [
        replace(row(tail), sha256="07" + tail, regions=(Region((i, 0, 9, 9)),))
        for i, tail in enumerate(tails)
    ]
    make(path, rows)
    layer = Layer(path)
    for i, tail in enumerate(tails):
        assert layer.find(ImageRecord("x"), "07" + tail).regions[0].box_xyxy[0] == i
    missing = "07" + "00" * 29 + "0100"
    assert layer.find(ImageRecord("x"), missing).status is Status.COULD_NOT_LOOK


@pytest.mark.parametrize(("names", "reason"), [(True, "changed"), (False, "not-looked")])
def test_what_is_not_in_the_layer_says_why(path: Path, names: bool, reason: str) -> None:
    make(path, [row("a/one.jpg")], names=names)
    layer = Layer(path)
    other = layer.find(ImageRecord("a/one.jpg"), digest("edited"))
    assert (other.status, other.reason) == (Status.COULD_NOT_LOOK, reason)
    stranger = layer.find(ImageRecord("two.jpg"), digest("edited"))
    assert (stranger.status, stranger.reason) == (Status.COULD_NOT_LOOK, "not-looked")


def test_names_stay_out_if_asked_for(path: Path) -> None:
    make(path, [row("ann-smith.jpg", Region((1, 2, 3, 4), attributes={"who": "ann"}))], names=False)
    data = path.read_bytes()
    assert b"smith" not in data
    assert b"ann" not in data.replace(b"annotations_sha256", b"")


def test_copies_with_different_regions_get_all_of_them(path: Path) -> None:
    one, two = Region((1, 1, 5, 5)), Region((7, 7, 9, 9), kind="plate")
    rows = [row("a", one, content="same"), row("b", two, one, content="same"), row("c", one)]
    assert make(path, rows) == Written(n_contents=2, n_merged=1)
    assert boxes(Layer(path).find(ImageRecord("b"), digest("same"))) == boxes(row("", one, two))


def test_the_same_rows_give_the_same_bytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(f"{i}.jpg", Region((i, 0, i + 1.5, 9))) for i in range(3000)]
    make(path, rows)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    first = path.read_bytes()
    # Put away one by one, as the piles of a large set are.
    monkeypatch.setattr(layer_writer, "_PILE_BYTES", 1)
    make(path, rows)
    assert path.read_bytes() == first


def test_a_row_without_digest_or_size_is_refused(path: Path) -> None:
    for bad in (replace(row("a"), sha256=""), replace(row("a"), width=0)):
        with pytest.raises(AnnotationError, match="digest or no size of the image 'a'"):
            make(path, [row("b"), bad])
    assert list(path.parent.iterdir()) == []


def test_nothing_half_written_is_left(path: Path) -> None:
    def broken() -> LayerFacts:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_layer_file(path, [row("a")], broken, has_names=True)
    assert list(path.parent.iterdir()) == []
    with pytest.raises(RunError, match="cannot be written"):
        make(path.parent / "nowhere" / "x.arrow", [row("a")])


def test_it_pickles_as_its_path_and_knows_when_it_was_replaced(path: Path) -> None:
    make(path, [row("a", Region((1, 2, 3, 4)))])
    packed = pickle.dumps(Layer(path))
    assert len(packed) < 1000
    found = pickle.loads(packed).find(ImageRecord("a"), digest("a"))
    assert boxes(found) == [((1, 2, 3, 4), "face")]
    make(path, [row("a"), row("b")])
    with pytest.raises(AnnotationError, match="was replaced"):
        pickle.loads(packed)


def test_a_flipped_bit_in_what_the_layer_says_is_noticed(path: Path) -> None:
    rows = [row("some-name", Region((101.25, 7, 300, 9), kind="face"))]
    make(path, rows)
    whole = path.read_bytes()
    wanted = [bytes.fromhex(rows[0].sha256), b"some-name", b"face", b'6, "enlarge"', b'0, "summary']
    wanted += [pa.array([value]).buffers()[1].to_pybytes()[:8] for value in (101.25, 300.0)]
    for what in wanted:
        at = whole.rindex(what)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(AnnotationError, match="damaged"):
            len(Layer(path))


@pytest.mark.parametrize("size", [0, 5, 100, 5000, -1, -200])
def test_a_cut_file_is_refused(path: Path, size: int) -> None:
    make(path, [row("a")])
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    with pytest.raises(AnnotationError, match=r"layer\.arrow"):
        len(Layer(path))


def forge(path: Path, change: Callable[[int, pa.RecordBatch], pa.RecordBatch]) -> None:
    """Write all batches anew, with checksums that are right."""
    reader = pa.ipc.open_file(pa.BufferReader(path.read_bytes()))
    with pa.ipc.new_file(str(path), reader.schema) as writer:
        for index in range(reader.num_record_batches):
            batch = change(index, reader.get_batch(index))
            checksum = batch_checksum(batch, reader.schema.metadata[FACTS_KEY])
            writer.write_batch(batch, custom_metadata={CHECKSUM_KEY: checksum})


def with_rows(rows: Sequence[dict[str, object]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=layer_schema(has_names=True))


def test_a_forged_order_or_box_is_refused(path: Path) -> None:
    make(path, [])
    plain = {"sha256": b"\0" * 32, "width": 1, "height": 1, "regions": [], "image_id": "a"}
    box = {"x0": 5.0, "y0": 0.0, "x1": 1.0, "y1": 9.0, "kind": "face"}
    forgeries = {
        "not in order": [plain, plain],
        "digests are not in": [{**plain, "sha256": b"\1" * 32}],
        "inside out": [{**plain, "regions": [box]}],
        "not finite": [{**plain, "regions": [{**box, "x1": float("nan")}]}],
    }
    for message, rows in forgeries.items():
        # mypy infers no lambda that has a default.
        forge(path, lambda i, batch, rows=rows: batch if i else with_rows(rows))  # type: ignore[misc]
        with pytest.raises(AnnotationError, match=message):
            Layer(path).find(ImageRecord("a"), "00" * 32)


def test_offsets_that_lead_out_of_the_file_are_refused(path: Path) -> None:
    make(path, [row("a", Region((0, 0, 1, 1))), row("b")])
    whole = path.read_bytes()
    # The ends of the list of regions in the one batch with a region: 0, 1.
    at = whole.rindex(bytes.fromhex(digest("a")))
    ends = whole.index(b"\0\0\0\0\1\0\0\0", at + 32)
    path.write_bytes(whole[: ends + 4] + b"\xff\xff\xff\x6f" + whole[ends + 8 :])
    with pytest.raises(AnnotationError, match="damaged"):
        len(Layer(path))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "no redaction layer of this version"),
        ({b"veilset": b"veilset-layer/2"}, "no redaction layer of this version"),
        ({b"veilset": b"veilset-layer/1"}, "does not say how"),
        ({b"veilset": b"veilset-layer/1", FACTS_KEY: b"[]"}, "does not say how"),
        (replace(FACTS, metadata="none").to_metadata(), "does not say how"),
        (replace(FACTS, quality=0).to_metadata(), "does not say how"),
        (FACTS.to_metadata(), "damaged"),
    ],
)
def test_another_arrow_file_is_no_layer(
    path: Path, metadata: dict[bytes, bytes], message: str
) -> None:
    schema = layer_schema(has_names=False).with_metadata(metadata)
    with pa.ipc.new_file(str(path), schema):
        pass
    with pytest.raises(AnnotationError, match=message):
        Layer(path)


def test_what_is_no_arrow_file_is_refused_with_its_name(path: Path) -> None:
    for make_it in (lambda: None, lambda: path.write_text("x" * 99), lambda: os.truncate(path, 0)):
        make_it()
        with pytest.raises(AnnotationError, match=r"layer\.arrow cannot be opened"):
            Layer(path)


def test_another_version_of_the_method_is_refused() -> None:
    assert FACTS.make_obfuscator().card.version == 1
    with pytest.raises(PluginError, match="version 7 of the method 'veil'"):
        replace(FACTS, version=7).make_obfuscator()
    # A parameter that came later has to be named, or the output would be another.
    with pytest.raises(PluginError, match="takes other parameters"):
        replace(FACTS, parameters={"cells": 6}).make_obfuscator()
