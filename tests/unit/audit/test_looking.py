# SPDX-License-Identifier: Apache-2.0
"""The look: what is opened, what is estimated, what becomes of what cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.audit.drawn_place import ALL, SMALL, Place, place
from tests.unit.audit.drawn_set import face, not_looked
from tests.unit.audit.planted import (
    POISON,
    TOLD,
    PlantedFaces,
    PlantedNsfw,
    plant,
    searched,
    write_photo,
)
from veilset.annotations.store import AnnotationSet
from veilset.audit import looking
from veilset.audit.annotated import AnnotatedImages
from veilset.audit.config import AuditConfig
from veilset.audit.estimators import open_estimators
from veilset.audit.looking import look_dataset
from veilset.audit.seen import write_categories
from veilset.dataset.folder import FolderReader
from veilset.errors import (
    AnnotationError,
    LicenceError,
    PluginError,
)
from veilset.files import sha256_file
from veilset.images.decode import decode_image
from veilset.types import Annotations, Image, Origin, Status

__all__ = ["place"]


def test_the_rows_stay_and_faces_get_what_was_estimated(place: Place) -> None:
    summary = place.look()
    found = place.found()
    assert list(found) == [row.image_id for row in AnnotationSet(place.set)]
    for name, before in place.rows.items():
        after = found[name]
        added = after.regions[len(before.regions) :]
        assert replace(after, regions=()) == replace(before, regions=())
        assert [replace(r, attributes={}) for r in after.regions[: len(before.regions)]] == [
            replace(r, attributes={}) for r in before.regions
        ]
        if before.status is not Status.LOOKED:
            assert after == before
            continue
        red = 20 + int(Path(name).stem)
        known = {"age": float(red), "gender": "female", "gender_score": 0.75}
        for region in after.regions[: len(before.regions)]:
            assert region.attributes == ({} if region.box_xyxy == SMALL.box_xyxy else known)
        assert [(r.kind, r.origin, r.score) for r in added] == (
            [("nsfw", Origin.DETECTED, 0.5)] if red % 2 == 0 else []
        )
    n_faces = sum(len(row.regions) for row in place.rows.values())
    assert summary.counts == {
        "looked": 8, "not_looked": 1, "could_not_look": 1, "opened": 8, "classified": 8,
        "n_faces": n_faces, "n_estimated": n_faces - 1, "n_found": 4, "with_found": 4,
        "n_regions": n_faces + 4, "with_regions": 7,
    }  # fmt: skip
    assert summary.extra["failures"] == {"n": 0, "by_reason": {}, "first": []}


def test_another_file_under_the_name_gets_no_attributes(place: Place) -> None:
    write_photo(place.photos / "a/2.png", 99)
    summary = place.look()
    row = place.found()["a/2.png"]
    assert (row.status, row.reason, row.regions) == (Status.COULD_NOT_LOOK, "changed", ())
    assert "not the one that was annotated" in row.message
    assert summary.counts["changed"] == summary.counts["failed"] == 1
    assert summary.extra["failures"]["by_reason"] == {"changed": 1}


def test_without_a_digest_the_size_tells(place: Place) -> None:
    row = replace(place.rows["a/2.png"], sha256="", width=61)
    plain = replace(place.rows["b/1.png"], sha256="")
    place.write([row, plain])
    place.look()
    assert place.found()["a/2.png"].reason == "changed"
    assert place.found()["b/1.png"].regions[0].attributes["age"] == 21.0


def test_what_cannot_be_opened_keeps_its_row(place: Place) -> None:
    old = face((2, 3, 14, 20), age=50.0, gender="male", colour="red")
    cut, gone = "b/5.png", "a/4.png"
    (place.photos / cut).write_bytes((place.photos / cut).read_bytes()[:60])
    rows = place.rows | {
        cut: replace(searched_again(place, cut), regions=(old,)),
        gone: replace(place.rows[gone], regions=(old,)),
    }
    (place.photos / gone).unlink()
    place.write(list(rows.values()))
    summary = place.look()
    for name in (cut, gone):
        after = place.found()[name]
        assert after.status is Status.LOOKED
        (region,) = after.regions
        # An older guess must not pass for one of this model.
        assert region == replace(old, attributes={"colour": "red"})
    failures = summary.extra["failures"]
    assert failures["n"] == summary.counts["failed"] == 2
    assert failures["by_reason"] == {"missing": 1, "truncated": 1}
    assert [each["image_id"] for each in failures["first"]] == [gone, cut]
    assert "changed" not in summary.counts


def searched_again(place: Place, name: str) -> Annotations:
    return replace(place.rows[name], sha256=sha256_file(place.photos / name))


def test_an_older_estimate_is_replaced_and_other_attributes_stay(place: Place) -> None:
    old = face((2, 3, 14, 20), age=50.0, age_low=1.0, age_high=99.0, colour="red")
    plate = face((2, 3, 14, 20), kind="plate", age=7.0)
    place.write([replace(place.rows["a/0.png"], regions=(old, plate))])
    place.look()
    first, second, _ = place.found()["a/0.png"].regions
    assert first.attributes == {
        "colour": "red", "age": 20.0, "gender": "female", "gender_score": 0.75,
    }  # fmt: skip
    assert second == plate, "only faces are estimated"


def test_one_image_at_which_an_estimator_fails_costs_no_other(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    write_photo(place.photos / "a/2.png", POISON)
    place.write([*(place.rows | {"a/2.png": searched(place.photos, "a/2.png", face())}).values()])
    summary = place.look()
    assert summary.counts["opened"] == 8
    assert summary.counts["classified"] == 7
    assert summary.extra["failures"]["by_reason"] == {"error": 1}
    (told,) = summary.extra["failures"]["first"]
    assert told["image_id"] == "a/2.png"
    assert TOLD not in told["message"] + caplog.text
    assert place.found()["a/2.png"].regions == (face(),)
    assert place.found()["b/1.png"].regions[0].attributes


def test_what_is_wrong_with_one_image_is_not_what_was_wrong_with_all() -> None:
    def fail(images: Sequence[Image]) -> list[object]:
        raise ConnectionError if len(images) > 1 else ValueError

    answers = looking._ask(fail, [np.zeros((1, 1, 3), np.uint8)] * 2)
    assert [(type(each), getattr(each, "__context__", None)) for each in answers] == [
        (ValueError, None),
        (ValueError, None),
    ]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), None, [1]])
def test_an_attribute_that_a_table_cannot_hold_is_no_estimate(
    place: Place, monkeypatch: pytest.MonkeyPatch, wrong: object
) -> None:
    class Wrong(PlantedFaces):
        def estimate(self, image: Any, faces: Any) -> Any:
            return [{"age": wrong} for _ in faces]

    plant(monkeypatch, faces=Wrong())
    summary = place.look()
    assert "n_estimated" not in summary.counts
    assert summary.counts["failed"] == sum(bool(row.regions) for row in place.rows.values())
    assert not any(r.attributes for row in place.found().values() for r in row.regions[:1]
                   if r.kind == "face")  # fmt: skip


def test_too_few_answers_are_given_to_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(PlantedFaces):
        def estimate(self, image: Any, faces: Any) -> Any:
            return super().estimate(image, faces)[:-1]

    plant(monkeypatch, faces=Short())
    assert "n_estimated" not in place.look().counts


def test_a_region_for_review_that_is_there_is_not_added_again(place: Place) -> None:
    place.look()
    again = place.out.with_name("again")
    look = look_dataset(
        FolderReader(place.photos), AnnotationSet(place.out), again, ALL,
        open_estimators(ALL, 1), workers=1,
    )  # fmt: skip
    assert "n_found" not in look.counts
    assert [row.regions for row in AnnotationSet(again)] == [
        row.regions for row in place.found().values()
    ]


def test_a_detector_of_something_else_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, nsfw=PlantedNsfw(kind="face"))
    with pytest.raises(PluginError, match="regions of kind 'face'"):
        place.look()


def test_nothing_is_opened_below_other_folders(place: Place) -> None:
    place.look(replace(ALL, within="b/"))
    assert [row.image_id for row in AnnotationSet(place.out)] == [
        "b/1.png", "b/3.png", "b/5.png", "b/7.png",
    ]  # fmt: skip


def test_only_what_was_asked_for_is_estimated(place: Place) -> None:
    summary = place.look(AuditConfig(classify="planted"))
    assert {"n_faces", "n_estimated", "n_found"} & set(summary.counts) == set()
    assert [row.regions for row in place.found().values()] == [
        row.regions for row in AnnotationSet(place.set)
    ]


def test_categories_as_a_mapping_file(place: Place, tmp_path: Path) -> None:
    name = 'a/0, "zero"\n.png'
    (place.photos / "a/0.png").rename(place.photos / name)
    place.write([replace(place.rows["a/0.png"], image_id=name), place.rows["b/1.png"],
                 not_looked("c/unsearched.png")])  # fmt: skip
    place.look()
    write_categories(place.out, 1, tmp_path / "categories.csv")
    assert (tmp_path / "categories.csv").read_text() == (
        'image_id,category,score\n"a/0, ""zero""\n.png",n00000020,0.875000\n'
        "b/1.png,n00000021,0.875000\n"
    )


def test_pixels_are_decoded_only_where_something_is_estimated(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def decode(data: bytes, **how: Any) -> Any:
        decoded.append(len(data))
        return decode_image(data, **how)

    monkeypatch.setattr(looking, "decode_image", decode)
    only_faces = AuditConfig(demographics="planted")
    summary = place.look(only_faces)
    assert summary.counts["opened"] == 8
    n_with = sum(bool(row.regions) for row in place.rows.values())
    assert len(decoded) == n_with < 8
    # Whether it is still the image is asked of every one.
    write_photo(place.photos / "a/0.png", 99)
    assert place.look(only_faces, out=place.out.with_name("again")).counts["changed"] == 1


def test_weights_that_may_not_be_used_commercially_are_refused(place: Place) -> None:
    with pytest.raises(LicenceError, match="planted-classes"):
        open_estimators(replace(ALL, commercial_ok=True), 1)
    open_estimators(replace(ALL, classify="none", commercial_ok=True), 1)


def test_a_name_cannot_lead_out_of_the_data_set(place: Place, tmp_path: Path) -> None:
    write_photo(tmp_path / "secret.png", 77)
    row = replace(place.rows["a/0.png"], image_id="../secret.png", sha256="")
    place.write([row, place.rows["b/1.png"]])
    summary = place.look()
    assert summary.extra["failures"]["by_reason"] == {"missing": 1}
    assert place.found()["../secret.png"].regions == ()


def test_a_set_of_other_images_is_refused(place: Place) -> None:
    place.write([replace(place.rows["a/0.png"], image_id="x/y.png")])
    with pytest.raises(AnnotationError, match=r"its first is 'x/y\.png'"):
        place.look()
    with pytest.raises(AnnotationError, match="names no image below 'nowhere'"):
        place.look(replace(ALL, within="nowhere"))
    assert not place.out.exists()


def test_names_in_the_order_of_a_data_set_are_all_found(place: Place) -> None:
    names = ["a-b/1.png", "a.png", "a/2.png", "a/b/3.png", "z.png"]
    photos = place.photos.with_name("more")
    for name in names:
        write_photo(photos / name, 40)
    place.write([searched(photos, name) for name in names])
    images = AnnotatedImages(AnnotationSet(place.set), FolderReader(photos))
    records = [record for shard in images.shards(2) for record in shard.records]
    assert [record.problem for record in records] == [""] * 5
    assert images.count() == 5
