# SPDX-License-Identifier: Apache-2.0
"""Label Studio's JSON: who looked at what, percentages, and what cannot be used."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.annotations.exported_files import LABEL_STUDIO
from veilset import json_window
from veilset.annotations.formats.json_items import iterate_items
from veilset.annotations.formats.label_studio import read_label_studio, write_label_studio
from veilset.annotations.formats.written import Exported
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin, Region, Status

File = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    def write(text: str) -> Path:
        path = tmp_path / "tasks.json"
        path.write_text(text)
        return path

    return write


def test_a_file_of_the_tool_is_understood(file: File) -> None:
    rows = list(read_label_studio(file(LABEL_STUDIO), kinds={"Face": "face"}, prefix="photos/"))
    names = ["first.jpg", "a/second one.jpg", "skipped.jpg", "new.jpg", "predicted.jpg"]
    assert [row.image_id for row in rows] == names
    first, second, skipped, new, predicted = rows
    assert (first.status, first.width, first.height) == (Status.LOOKED, 640, 480)
    assert first.regions == (
        Region((64, 120, 96, 360), origin=Origin.REVIEWED, attributes={"place": "poster"}),
    ), "the annotation counts and the prediction does not"
    assert (second.status, second.regions) == (Status.LOOKED, ())
    assert skipped.status is new.status is Status.NOT_LOOKED
    assert [region.origin for region in predicted.regions] == [Origin.DETECTED] * 3
    turned, ellipse, polygon = predicted.regions
    # Turned clockwise about its upper left corner.
    assert turned.box_xyxy == pytest.approx((80, 50, 100, 70))
    assert turned.score == 0.875
    assert ellipse.box_xyxy == pytest.approx((90, 30, 110, 70))
    assert ellipse.score is None
    assert ellipse.attributes == {"drawn_as": "ellipse", "score_given": 12}
    assert polygon.box_xyxy == pytest.approx((10, 10, 40, 90))
    assert polygon.kind == "face", "a shape without a label"


numbers = st.floats(-1e6, 1e6)
values = st.one_of(st.text(max_size=5), st.integers(-9, 9), st.booleans(), numbers)


@st.composite
def rows(draw: st.DrawFn) -> list[Annotations]:
    found = []
    for place in range(draw(st.integers(0, 4))):
        width, height = draw(st.integers(1, 4000)), draw(st.integers(1, 4000))
        status = draw(st.sampled_from(list(Status)))
        if status is not Status.LOOKED:
            reason = "truncated" if status is Status.COULD_NOT_LOOK else ""
            found.append(Annotations(f"{place}.jpg", status, reason=reason, message=reason))
            continue
        regions = []
        for _ in range(draw(st.integers(0, 3))):
            x0, x1 = sorted(draw(st.floats(0, 0.999)) * width for _ in range(2))
            y0, y1 = sorted(draw(st.floats(0, 0.999)) * height for _ in range(2))
            regions.append(
                Region(
                    (x0, y0, x1, y1),
                    kind=draw(st.sampled_from(["face", "nsfw", "a é"])),
                    score=draw(st.none() | st.floats(0, 1)),
                    origin=draw(st.sampled_from(list(Origin))),
                    landmarks_xy=tuple(draw(st.lists(st.tuples(numbers, numbers), max_size=5))),
                    attributes=draw(st.dictionaries(st.text(max_size=4), values, max_size=3)),
                )
            )
        name = f"f {place}/ü?d=%20&#.jpg"
        found.append(Annotations(name, status, tuple(regions), width, height))
    return found


@given(rows(), st.booleans())
def test_what_is_written_comes_back(written: list[Annotations], is_reviewed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.json")
        counts = write_label_studio(path, iter(written), is_reviewed=is_reviewed)
        assert counts == Exported(len(written), sum(len(row.regions) for row in written), 0)
        assert [p.name for p in Path(folder).iterdir()] == ["out.json"]
        assert len(json.loads(path.read_text())) == len(written)
        read = list(read_label_studio(path))
    assert [row.image_id for row in read] == [row.image_id for row in written]
    for got, row in zip(read, written, strict=True):
        assert (got.status, got.reason, got.message) == (row.status, row.reason, row.message)
        assert (got.width, got.height) == (row.width, row.height)
        assert len(got.regions) == len(row.regions)
        for a, b in zip(got.regions, row.regions, strict=True):
            assert a.box_xyxy == pytest.approx(b.box_xyxy, abs=1e-9)
            assert (a.kind, a.score, a.origin) == (b.kind, b.score, b.origin)
            assert (a.landmarks_xy, a.attributes) == (b.landmarks_xy, b.attributes)


def test_who_looked_decides_where_regions_go(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    detected, reviewed = Region((0, 0, 1, 1)), Region((0, 0, 1, 1), origin=Origin.REVIEWED)
    written = [
        Annotations("a", Status.LOOKED, (detected,), 9, 9),
        Annotations("b", Status.LOOKED, (detected, reviewed), 9, 9),
        Annotations("c", Status.LOOKED, (), 9, 9),
        Annotations("d", Status.NOT_LOOKED),
    ]

    def sides(*, is_reviewed: bool) -> list[tuple[int, int]]:
        write_label_studio(path, written, is_reviewed=is_reviewed)
        tasks = json.loads(path.read_text())
        return [(len(task["annotations"]), len(task["predictions"])) for task in tasks]

    assert sides(is_reviewed=False) == [(0, 1), (1, 0), (0, 1), (0, 0)]
    assert sides(is_reviewed=True) == [(0, 1), (1, 0), (1, 0), (0, 0)]


def test_a_size_that_is_not_known_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="size of the image 'a' is not known"):
        write_label_studio(
            tmp_path / "o", [Annotations("a", Status.LOOKED, (Region((0, 0, 1, 1)),))]
        )
    assert not list(tmp_path.iterdir())


def rectangle(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = {"x": 0, "y": 0, "width": 10, "height": 10, "rotation": 0}
    value |= {"rectanglelabels": ["f"]}
    item: dict[str, Any] = {"type": "rectanglelabels", "original_width": 100}
    item |= {"original_height": 50, "value": value}
    for key, change in changes.items():
        (value if key in value else item)[key] = change
    return item


def task(*results: list[Any], **changes: Any) -> str:
    done = [{"result": result, "updated_at": f"2026-01-0{i}"} for i, result in enumerate(results)]
    return json.dumps([{"data": {"image": "a.jpg"}, "annotations": done, **changes}])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "tasks.json, line 1: The file is no JSON list"),
        ("{}", "The file is no JSON list"),
        ("[", "The file ends within the list"),
        ("[{}", "JSON-MIN"),
        ('[\n{"data": {"image": "a"}}\n', "item 1, line 3: The file ends within the list"),
        ('[{"data": {"image": "a"}} {}]', "Expected a comma"),
        ('[{"data": {"image": "a"}}] x', "Something follows"),
        ('[\n\n{"data" "a"}]', "item 1, line 3: It is not valid JSON"),
        ('[{"data": NaN}]', "NaN is no number"),
        ("[" + "[" * 100_000, "not valid JSON"),
        ("[1]", "task 1: it is not of the form"),
        ("[null]", "task 1: it is not of the form"),
        ('[{"id": 1, "image": "a.jpg", "label": []}]', "JSON-MIN"),
        ('[{"data": {"img": "a.jpg"}}]', "have no 'image', only img"),
        ('[{"data": {"image": "/data/local-files/?d=../../etc/x"}}]', "leads out of"),
        ('[{"data": {"image": ""}}]', "leads out of"),
        ('[{"data": {"image": "a"}, "annotations": [7]}]', "not of the form"),
        ('[{"data": {"image": "a"}, "annotations": [{}]}]', "not of the form"),
        (task([rectangle(x="a")]), "task 1, result 1: x is 'a'. Expected a number"),
        (task([rectangle(x=None)]), "x is None"),
        (task([rectangle(width=-1)]), "width or height is negative"),
        (task([rectangle(rotation="x")]), "rotation is 'x'"),
        (task([rectangle(original_width=0)]), "0 x 50 px"),
        (task([rectangle(original_height=None)]), "original_height is None"),
        (task([rectangle(), rectangle(original_width=99)]), "result 2: the image has 99 x 50 px"),
        (task([rectangle(image_rotation=90)]), "was turned in Label Studio (90 degrees)"),
        (task([rectangle(type="brushlabels")]), "a brushlabels cannot become a box"),
        (task([rectangle(type="keypointlabels")]), "a keypointlabels cannot become a box"),
        (task([rectangle(meta={"veilset": {"origin": "dreamt"}})]), "not of the form"),
        (task([], []), "2 people annotated it"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_place(file: File, text: str, said: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        list(read_label_studio(file(text)))
    assert said in str(caught.value)
    assert "tasks.json, " in str(caught.value)


def test_what_several_people_drew_is_chosen_as_asked(file: File) -> None:
    path = file(task([rectangle(x=1)], [rectangle(x=2)]))
    (newest,) = read_label_studio(path, several="newest")
    assert [region.box_xyxy[0] for region in newest.regions] == [2]
    (every,) = read_label_studio(path, several="all")
    assert [region.box_xyxy[0] for region in every.regions] == [1, 2]
    with pytest.raises(AnnotationError, match="refuse, newest, all"):
        list(read_label_studio(path, several="some"))


def test_the_ground_truth_counts(file: File) -> None:
    tasks = json.loads(task([rectangle(x=1)], [rectangle(x=2)]))
    tasks[0]["annotations"][0]["ground_truth"] = True
    (row,) = read_label_studio(file(json.dumps(tasks)))
    assert [region.box_xyxy[0] for region in row.regions] == [1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(json_values, max_size=6), st.sampled_from([None, 0, 3]), st.booleans())
def test_items_come_as_the_standard_library_reads_them(
    items: list[Any], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_only)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "items.json")
        try:
            path.write_text(text)
        except UnicodeEncodeError:
            return
        for window in (1, 2, 7, 1 << 20):
            patch.setattr(json_window, "WINDOW", window)
            assert list(iterate_items(path)) == list(enumerate(items, start=1))


@given(st.text(max_size=30), st.integers(1, 5))
def test_any_text_is_read_or_refused(text: str, window: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "items.json")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        patch.setattr(json_window, "WINDOW", window)
        try:
            wanted = json.loads(text)
        except ValueError:
            wanted = None
        if isinstance(wanted, list) and "NaN" not in text and "Inf" not in text:
            assert [item for _, item in iterate_items(path)] == wanted
        else:
            with pytest.raises(AnnotationError):
                list(iterate_items(path))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'["\xff"]')
    with pytest.raises(AnnotationError, match="not UTF-8"):
        list(iterate_items(path))
    with pytest.raises(AnnotationError, match="cannot be read"):
        list(iterate_items(tmp_path / "none.json"))
    path.write_bytes(b"\xef\xbb\xbf[]")
    assert list(iterate_items(path)) == []


def test_an_endless_item_is_not_read_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    path.write_text('["' + "a" * 5000 + '"]')
    monkeypatch.setattr(json_window, "WINDOW", 100)
    monkeypatch.setattr(json_window, "MAX_ITEM", 1000)
    with pytest.raises(AnnotationError, match="longer than 1,000 characters"):
        list(iterate_items(path))
