# SPDX-License-Identifier: Apache-2.0
"""COCO's JSON: which image an entry means, and what is left of the file without some."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.unit.dataset.test_folder import PNG, put
from veilset.dataset.coco import NO_ENTRY, NO_FILE, CocoReader
from veilset.dataset.folder import FolderReader
from veilset.dataset.places import open_reader, open_release, open_writer
from veilset.errors import DatasetError, RunError


def document(*names: str, **more: Any) -> dict[str, Any]:
    """Give a document with two boxes for each image, the second of another category."""
    return {
        "info": {"year": 2017},
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names, start=1)],
        "annotations": [
            {"id": 10 * n + k, "image_id": n, "category_id": k, "bbox": [1, 2, 3.5, 4]}
            for k in (1, 2)
            for n in range(1, len(names) + 1)
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
    } | more


def put_json(path: Path, value: object, **options: Any) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(value, **options).encode()
    path.write_bytes(data)
    return data


def left_of(reader: CocoReader, *gone: str) -> list[Any]:
    """Give what is left of each JSON, parsed."""
    return [json.loads(b"".join(each.released(set(gone)))) for each in reader.sidecars()]


def ids(reader: CocoReader) -> list[str]:
    return [record.image_id for shard in reader.shards(2) for record in shard.records]


TREES = [
    ("annotations/instances_val2017.json", "x.png", "val2017/x.png"),
    ("annotations/person_keypoints_val2017.json", "x.png", "val2017/x.png"),
    ("annotations/val.json", "x.png", "images/val/x.png"),
    ("annotations/val.json", "x.png", "val/images/x.png"),
    ("annotations/any.json", "x.png", "images/x.png"),
    ("annotations/any.json", "sub/x.png", "sub/x.png"),
    ("annotations/any.json", "../pics/x.png", "pics/x.png"),
    ("val/_annotations.coco.json", "x.png", "val/x.png"),
    ("instances.json", "./deep/x.png", "deep/x.png"),
    ("instances.json", "Zoë/x.png", "Zoë/x.png"),
    ("deep/er/val.JSON", "x.png", "val/x.png"),
]


@pytest.mark.parametrize(("name", "file_name", "image_id"), TREES)
def test_which_image_an_entry_means(
    tmp_path: Path, name: str, file_name: str, image_id: str
) -> None:
    put(tmp_path, image_id, "other/y.png")
    put_json(tmp_path / name, document(file_name, "y.png", "gone.png"))
    reader = open_reader(tmp_path, "coco")
    assert isinstance(reader, CocoReader)
    assert ids(reader) == sorted([image_id, "other/y.png"])
    assert reader.passed_over() == {NO_FILE: 2, NO_ENTRY: 1}
    (left,) = left_of(reader, image_id)
    assert [image["file_name"] for image in left["images"]] == ["y.png", "gone.png"]
    assert [each["id"] for each in left["annotations"]] == [21, 31, 22, 32]


def test_lvis_has_an_address_in_place_of_a_name(tmp_path: Path) -> None:
    put(tmp_path, "train2017/1.png", "val2017/1.png", "val2017/2.png")
    value = document("")
    at = "http://images.cocodataset.org"
    value["images"] = [
        {"id": n, "coco_url": f"{at}/{path}"}
        for n, path in enumerate(("val2017/1.png", "train2017/1.png", "val2017/2.png"))
    ]
    put_json(tmp_path / "lvis_v1_train.json", value)
    reader = CocoReader(tmp_path)
    ids(reader)
    assert reader.passed_over() == {}
    (left,) = left_of(reader, "val2017/1.png", "val2017/2.png")
    assert [image["id"] for image in left["images"]] == [1]


def test_one_name_in_several_folders(tmp_path: Path) -> None:
    put(tmp_path, "train2017/x.png", "val2017/x.png", "x.png")
    for split in ("train2017", "val2017", "test2017"):
        put_json(tmp_path / "annotations" / f"instances_{split}.json", document("x.png"))
    reader = CocoReader(tmp_path)
    ids(reader)
    assert reader.passed_over() == {}
    for gone, n_left in (
        ("train2017/x.png", [1, 0, 1]),
        ("val2017/x.png", [1, 1, 0]),
        ("x.png", [0, 1, 1]),
    ):
        assert [len(each["images"]) for each in left_of(reader, gone)] == n_left


def test_what_stays_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    names = ("a.png", "é.png", "c.png", "d.png")
    put(tmp_path, *names)
    value = document(*names, note='Zoë \\ "}]', licenses=[])
    for indent in (None, 2):
        for ascii_only in (True, False):
            data = put_json(tmp_path / "x.json", value, indent=indent, ensure_ascii=ascii_only)
            (sidecar,) = CocoReader(tmp_path).sidecars()
            assert b"".join(sidecar.released(())) == data
            assert b"".join(sidecar.released({"elsewhere.png"})) == data
            for gone in ({"a.png"}, {"é.png", "c.png"}, {"d.png"}, set(names)):
                left = document(*names, note='Zoë \\ "}]', licenses=[])
                kept = {n for n, name in enumerate(names, start=1) if name not in gone}
                left["images"] = [each for each in value["images"] if each["id"] in kept]
                left["annotations"] = [e for e in value["annotations"] if e["image_id"] in kept]
                written = b"".join(sidecar.released(gone))
                assert json.loads(written) == left
                if kept:
                    expected = json.dumps(left, indent=indent, ensure_ascii=ascii_only)
                    assert written == expected.encode()


def test_in_two_steps_as_in_one(tmp_path: Path) -> None:
    names = ("a.png", "b.png", "c.png")
    put(tmp_path / "in", *names)
    put_json(tmp_path / "in" / "x.json", document(*names), indent=1)
    reader = CocoReader(tmp_path / "in")
    whole = b"".join(reader.sidecars()[0].released({"a.png", "b.png"}))
    writer = open_writer(tmp_path / "out", like=reader)
    writer.finish(["b.png"])
    put(tmp_path / "out", "a.png", "c.png")
    again = open_release(tmp_path / "out", reader.describe())
    assert isinstance(again, CocoReader)
    assert b"".join(again.sidecars()[0].released({"a.png"})) == whole
    writer.finish(["a.png", "b.png"])
    assert (tmp_path / "out" / "x.json").read_bytes() == whole
    # One that tells of no image any more is of the form still.
    writer.finish(names)
    last = open_release(tmp_path / "out", reader.describe())
    assert isinstance(last, CocoReader)
    assert json.loads(b"".join(last.sidecars()[0].released(()))) == document()


def test_an_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    put(tmp_path / "in", "val/a.png")
    put_json(tmp_path / "in" / "annotations" / "val.json", document("a.png"))
    writer = open_writer(tmp_path / "out", like=CocoReader(tmp_path / "in"))
    put(tmp_path / "out", "annotations")
    with pytest.raises(RunError, match=r"annotations/val.json cannot be written \("):
        writer.finish([])
    (tmp_path / "out" / "annotations").unlink()
    writer.finish([])
    assert (tmp_path / "out" / "annotations" / "val.json").exists()


def test_ids_that_are_texts_and_annotations_before_images(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    text = (
        '{"annotations": [{"image_id": "\\u00e9"}, {"image_id": "1"}, {"image_id": "é"}],'
        ' "images": [{"id": "é", "file_name": "a.png"}, {"id": "1", "file_name": "b.png"}]}'
    )
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    (left,) = left_of(CocoReader(tmp_path), "a.png")
    assert left == {
        "annotations": [{"image_id": "1"}],
        "images": [{"id": "1", "file_name": "b.png"}],
    }


def test_one_json_stands_for_its_folder_or_the_one_above(tmp_path: Path) -> None:
    put(tmp_path, "coco/val2017/x.png", "flat/labels/y.png", "flat/z.png")
    path = tmp_path / "coco" / "annotations" / "instances_val2017.json"
    put_json(path, document("x.png"))
    put_json(path.with_name("captions_val2017.json"), document("x.png"))
    put_json(tmp_path / "flat" / "labels" / "all.json", document("y.png"))
    for place, images, name in (
        (path, ["val2017/x.png"], "annotations/instances_val2017.json"),
        (tmp_path / "flat" / "labels" / "all.json", ["y.png"], "all.json"),
    ):
        reader = open_reader(place)
        assert isinstance(reader, CocoReader)
        assert ids(reader) == images
        assert [each.name for each in reader.sidecars()] == [name]
        assert reader.describe()["json"] == name
    whole = open_reader(tmp_path / "coco", "coco")
    assert isinstance(whole, CocoReader)
    assert len(whole.sidecars()) == 2
    # A folder is one of images only, unless it is said that it is more.
    assert type(open_reader(tmp_path / "coco")) is FolderReader


@pytest.mark.parametrize(
    ("here", "place"),
    [
        (".", "annotations/val.json"),
        ("annotations", "val.json"),
        ("val", "../annotations/val.json"),
        ("annotations/deep", "../val.json"),
    ],
)
def test_wherever_one_is_when_one_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, place: str
) -> None:
    put(tmp_path, "val/x.png")
    put_json(tmp_path / "annotations" / "val.json", document("x.png"))
    (tmp_path / here).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / here)
    reader = open_reader(place)
    assert isinstance(reader, CocoReader)
    assert ids(reader) == ["val/x.png"]
    assert reader.describe() == {
        "layout": "coco", "root": str(tmp_path), "json": "annotations/val.json",
    }  # fmt: skip


def test_what_a_url_says_of_its_user_is_kept_out_of_messages(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/me:secret@kept/a.png", PNG)
    files.pipe("/me:secret@kept/list.txt", b"a.png\n../b.png")
    files.pipe("/me:secret@kept/x.json", b"[]")
    for name, says in (("list.txt", "line 2: it names what is not below"), ("x.json", "COCO's")):
        reader = open_reader(f"memory://me:secret@kept/{name}")
        with pytest.raises(DatasetError, match=says) as caught:
            next(reader.shards(1))
        assert f"memory://kept/{name}" in str(caught.value)
        assert "secret" not in str(caught.value) + str(reader.describe())


def test_a_json_in_a_folder_without_images_does_not_stand_for_all_above(tmp_path: Path) -> None:
    put(tmp_path, "x.png")
    put_json(tmp_path / "elsewhere" / "val.json", document("x.png"))
    with pytest.raises(DatasetError, match="holds no image"):
        ids(CocoReader(tmp_path / "elsewhere" / "val.json"))


def test_other_json_files_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    put_json(tmp_path / "x.json", document("a.png"))
    put_json(tmp_path / "results.json", [{"image_id": 1, "bbox": [1, 2, 3, 4]}])
    put_json(tmp_path / "words.json", {"annotations": [1, 2], "images": {}})
    reader = CocoReader(tmp_path)
    assert ids(reader) == ["a.png", "b.png"]
    assert reader.passed_over() == {"not an image": 2, NO_ENTRY: 1}
    copy = pickle.loads(pickle.dumps(reader))
    # What it needs to count them is not carried to every worker.
    assert copy.passed_over() == {"not an image": 2}
    assert [each.name for each in copy.sidecars()] == ["x.json"]
    assert copy.read(next(copy.shards(1)).records[0]) == PNG


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (document("/data/a.png"), "'images', item 1: its file_name is absolute"),
        (document("a.png", r"C:\data\a.png"), "'images', item 2: its file_name is absolute"),
        (document("https://example.org/a.png"), "'images', item 1: its file_name is absolute"),
        (document("file:/data/a.png"), "'images', item 1: its file_name is absolute"),
        (document("~me/photos/a.png"), "'images', item 1: its file_name is absolute"),
        (document(r"\\server\a.png"), "'images', item 1: its file_name is absolute"),
        (document("data:image/png;base64,iVBORw0KGgo"), "item 1: its file_name is absolute"),
        (document("../../in/a.png"), "'images', item 1: its file_name leads out"),
        (document("a.png", "x/../../../in/a.png"), "'images', item 2: its file_name leads out"),
        (document(r"..\..\in\a.png"), "'images', item 1: its file_name leads out"),
        (document("a.png", images=["a.png"]), "'images', item 1: it has no file_name"),
        (document("a.png", images=[{"file_name": "a.png"}]), "'images', item 1: it has no id"),
        (document("a.png", annotations=[{"image_id": 1}, {}]), "'annotations', item 2: it has no"),
        ({"images": [], "annotations": [1]}, "'annotations', item 1: it has no image_id"),
        ({"images": {}, "annotations": []}, "is, or holds, no JSON of COCO's form"),
        ([document("a.png")], "is, or holds, no JSON of COCO's form"),
    ],
)
def test_what_is_not_of_its_form_is_refused(tmp_path: Path, value: object, says: str) -> None:
    put(tmp_path, "a.png")
    put_json(tmp_path / "x.json", value)
    with pytest.raises(DatasetError, match=says):
        next(CocoReader(tmp_path).shards(1))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (json.dumps(document("a.png")).encode()[:-40], "x.json, 'categories', item 1, near byte"),
        (b'{"images": []}\n{"images": []}', "Something follows the end of the object"),
        (b'{"images": [{"id": 1, "file_name": "\xff.png"}]}', "file_name is not in UTF-8"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    put(tmp_path, "a.png")
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(DatasetError, match=says):
        next(CocoReader(tmp_path).shards(1))
