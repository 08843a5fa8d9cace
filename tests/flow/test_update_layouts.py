# SPDX-License-Identifier: Apache-2.0
"""Removal and update where files hold images, or tell of them: Parquet, lists, COCO's JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import files_below
from tests.flow.test_lists import JSON, LINES, LIST, document
from tests.flow.test_update import CONFIG
from tests.unit.dataset.drawn_parquet import FIRST, pack, rewritten, row_of
from tests.unit.verify.drawn import MAGENTA, draw, draw_photos, jpeg_bytes, planted_detectors
from veilset.records.outcomes import Outcome, OutcomeTable
from veilset.records.places import record_folder
from veilset.remove.stage import RemoveConfig, remove_images
from veilset.run.stage import ReleaseSummary, run_dataset
from veilset.verify.manifest import verify_manifest
from veilset.verify.stage import verify_dataset

NEW = jpeg_bytes(draw(3, 1, {(1, 0): MAGENTA}))


@dataclass(frozen=True)
class Case:
    """A layout: how it is made and changed, and which images are withdrawn from it."""

    layout: str
    told_by: str
    make: Callable[[Path], None]
    change: Callable[[Path], None]
    first: str
    second: str


def make_parquet(photos: Path) -> None:
    draw_photos(photos.with_name("pictures"))
    pack(photos.with_name("pictures"), photos)


def change_parquet(photos: Path) -> None:
    picture = photos.with_name("pictures") / "new.jpg"
    picture.write_bytes(NEW)
    new = row_of(picture.parent, picture)
    rewritten(photos / FIRST, lambda rows: rows.append(new))


def make_list(photos: Path) -> None:
    draw_photos(photos)
    (photos / LIST).write_bytes(LINES)


def change_list(photos: Path) -> None:
    (photos / "b/new.jpg").write_bytes(NEW)
    (photos / LIST).write_bytes(LINES.replace(b"a/one.jpg 0", b"b/new.jpg 7"))


def make_coco(photos: Path) -> None:
    draw_photos(photos)
    (photos / JSON).parent.mkdir()
    (photos / JSON).write_text(json.dumps(document()))
    (photos / "old").mkdir()
    (photos / "old/half.json").write_text(json.dumps(document()))


def change_coco(photos: Path) -> None:
    (photos / "c/new.jpg").write_bytes(NEW)
    changed = document()
    changed["images"].append({"id": 9, "file_name": "new.jpg", "width": 240, "height": 80})
    (photos / JSON).write_text(json.dumps(changed))
    (photos / "c/plain.jpg").unlink()
    shutil.rmtree(photos / "old")


PARQUET = Case(
    "parquet", "", make_parquet, change_parquet, f"{FIRST}/00000000", f"{FIRST}/00000002"
)
LISTED = Case("list", LIST, make_list, change_list, "b/none.jpg", "a/two.png")
COCO = Case("coco", "", make_coco, change_coco, "c/turned.jpg", "b/none.png")


@pytest.fixture(autouse=True, scope="module")
def planted() -> Iterator[None]:
    with planted_detectors():
        yield


def run(base: Path, case: Case, *, update: bool = False) -> ReleaseSummary:
    photos = base / "photos" / case.told_by
    return run_dataset(photos, base / "out", CONFIG, workers=2, layout=case.layout, update=update)


def results(base: Path) -> dict[str, bytes]:
    record = files_below(record_folder(base / "out"))
    kept = (".parquet", "manifest.json")
    stages = ("annotations/", "obfuscate/", "verify/")
    tables = {n: d for n, d in record.items() if n.endswith(kept) and n.startswith(stages)}
    return tables | files_below(base / "out")


@pytest.mark.parametrize("case", [PARQUET, LISTED, COCO], ids=lambda case: case.layout)
def test_withdrawn_twice_then_brought_up_to_date(case: Case, tmp_path: Path) -> None:
    base = tmp_path / "release"
    out, record = base / "out", record_folder(base / "out")
    case.make(base / "photos")
    run(base, case)
    for image_id in (case.first, case.second):
        assert remove_images(out, RemoveConfig("asked", (image_id,))).manifest_sha256
        assert verify_manifest(record / "verify", out).is_intact
    ended = {row.image_id: row.outcome for row in OutcomeTable(record / "obfuscate")}
    assert ended[case.first] is ended[case.second] is Outcome.REMOVED
    verified = verify_dataset(
        base / "photos" / case.told_by, out, record / "annotations", CONFIG.verify,
        workers=2, layout=case.layout,
    )  # fmt: skip
    assert verified.extra["overall"] == "passed"
    case.change(base / "photos")
    summary = run(base, case, update=True)
    assert summary.obfuscate.counts["reused"] >= 1
    scratch = tmp_path / "scratch"
    shutil.copytree(base / "photos", scratch / "photos")
    shutil.copytree(record / "removed", record_folder(scratch / "out") / "removed")
    run(scratch, case)
    assert results(base) == results(scratch)


def test_a_row_of_a_parquet_file_goes_and_the_others_stay(tmp_path: Path) -> None:
    make_parquet(tmp_path / "photos")
    run(tmp_path, PARQUET)
    path = tmp_path / "out" / FIRST
    before = pq.read_table(path).to_pylist()
    remove_images(path.parents[1], RemoveConfig("asked", (PARQUET.first,)))
    # As text: a value is NaN.
    assert repr(pq.read_table(path).to_pylist()) == repr(before[1:])


def test_what_tells_of_images_tells_of_the_withdrawn_no_more(tmp_path: Path) -> None:
    make_list(tmp_path / "photos")
    run(tmp_path, LISTED)
    remove_images(tmp_path / "out", RemoveConfig("asked", (LISTED.first,)))
    released = (tmp_path / "out" / LIST).read_bytes()
    assert released == LINES.replace(b"b/none.jpg 1\n", b"").replace(b"c/cut.jpg 2\n", b"")


def test_at_a_url_it_is_the_same(tmp_path: Path) -> None:
    """Objects in memory stand for those of any store; their records are local."""
    change = {"0/new.jpg": NEW, "b/none.jpg": NEW}
    given = {"here": str(tmp_path / "here"), "there": "memory://update-test/there"}
    seen = []
    for name, out in given.items():
        photos, record = tmp_path / f"photos-{name}", tmp_path / f"record-{name}"
        draw_photos(photos)

        def again(
            photos: Path = photos, out: str = out, record: Path = record, *, update: bool
        ) -> ReleaseSummary:
            return run_dataset(photos, out, CONFIG, record=record, workers=2, update=update)

        again(update=False)
        removed = remove_images(out, RemoveConfig("asked", ("a/one.jpg",)), record=record)
        for image_id, data in change.items():
            (photos / image_id).parent.mkdir(exist_ok=True)
            (photos / image_id).write_bytes(data)
        shutil.rmtree(photos / "c")
        counts = again(update=True).obfuscate.counts
        manifest = (record / "verify" / "manifest.json").read_bytes()
        assert verify_manifest(record / "verify", out).is_intact
        seen.append((removed.image_ids, counts, manifest))
    assert seen[0] == seen[1]
    assert seen[0][1] == {
        "n_regions": 4,
        "obfuscated": 3,
        "removed": 1,
        "reused": 2,
        "untouched": 1,
    }
