# SPDX-License-Identifier: Apache-2.0
"""From decisions back to an annotation set."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.review.store.world import PROPOSED, TRUTH, World, correct, looked, make_world, names
from veilset.annotations.store import AnnotationSet
from veilset.errors import AnnotationError, DatasetError, ResumeMismatchError, ReviewError
from veilset.files import sha256_hex
from veilset.obfuscate.stage import obfuscate_dataset
from veilset.review.database.connect import Database
from veilset.review.job import decisions
from veilset.review.job.audit import draw_audit
from veilset.review.job.export import reviewed
from veilset.review.stage import export_expert, export_review
from veilset.review.values import Drawn, Role
from veilset.types import Annotations, ImageRecord, Origin, Region, Status

BROKEN = Annotations("cat-2/zz.jpg", Status.COULD_NOT_LOOK, reason="truncated", message="m")


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    rows = [looked(name) for name in names(10)]
    truth = [Region(each.box_xyxy) for each in TRUTH]
    return make_world(
        database, tmp_path, rows=[*rows, BROKEN], truths={rows[9].image_id: truth},
        batch_size=5, gold_per_batch=1,
    )  # fmt: skip


def known(world: World) -> list[Annotations]:
    return list(AnnotationSet(Path(world.job.annotations)))


def test_export_has_every_image_and_loses_nothing(
    world: World, database_url: str, tmp_path: Path
) -> None:
    batch = world.do(world.person())
    golds = world.gold_tasks(batch)
    images = world.images_of(batch)
    done = {world.image(pk).image_id for task, pk in images.items() if task not in golds}
    summary = export_review(database_url, None, tmp_path / "out", shard_size=3)
    assert summary.counts == {
        "could_not_look": 1, "kept": 6, "looked": 10, "n_regions": 20, "reviewed": 5,
        "with_regions": 10,
    }  # fmt: skip
    before, after = known(world), list(AnnotationSet(tmp_path / "out"))
    assert [row.image_id for row in after] == [row.image_id for row in before]
    for old, new in zip(before, after, strict=True):
        if new.image_id in done or world.states()[new.image_id] == "gold":
            first, second = new.regions
            # The first face was proposed and left as it was; the second was drawn.
            assert first == replace(PROPOSED[0], origin=Origin.REVIEWED)
            assert second == Region(TRUTH[1].box_xyxy, "face", None, Origin.REVIEWED)
            assert replace(new, regions=old.regions) == old
        else:
            assert new == old


def test_export_of_an_unfinished_dispute_is_as_before(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    world = make_world(database, tmp_path, n=2, gold=0, replicas=2, batch_size=2, gold_per_batch=0)
    one, two = world.people(2)
    world.do(one)
    world.do(two, lambda _: ())
    export_review(database_url, "faces", tmp_path / "out")
    assert list(AnnotationSet(tmp_path / "out")) == known(world)
    image_pk = world.images()[0].id
    world.run(decisions.adjudicate, world.owner, image_pk, ())
    export_review(database_url, "faces", tmp_path / "out2")
    first, second = AnnotationSet(tmp_path / "out2")
    assert (first.regions, first.status) == ((), Status.LOOKED)
    assert second == known(world)[1]
    world.run(decisions.undo_decision, world.owner, world.latest_decision(image_pk))
    # Later by a millisecond: an undo counts from its moment on.
    world.later(1)
    export_review(database_url, "faces", tmp_path / "out3")
    assert list(AnnotationSet(tmp_path / "out3")) == known(world)


def test_moved_boxes_keep_landmarks_but_no_score() -> None:
    row = looked("a.jpg")
    moved = Drawn((12.0, 10.0, 90.0, 110.0), "face", 0)
    other_kind = Drawn(PROPOSED[1].box_xyxy, "nsfw", 1)
    first, second = reviewed(row, (moved, other_kind)).regions
    assert first == Region(
        (12.0, 10.0, 90.0, 110.0), "face", None, Origin.REVIEWED, ((30.0, 40.0),),
        {"pose": 1.5, "detector_score": 0.9},
    )  # fmt: skip
    assert (second.kind, second.score, second.attributes) == ("nsfw", None, {"detector_score": 0.4})


def test_untouched_boxes_keep_their_exact_place() -> None:
    row = looked("a.jpg", [Region((-5.5, 10, 20, 20), score=0.5), Region((30, 30, 30, 40))])
    shown = (Drawn((0.0, 10, 20, 20.001), "face", 0), Drawn((30, 30, 31, 40), "face", 1))
    assert [each.box_xyxy for each in reviewed(row, shown).regions] == [
        (-5.5, 10, 20, 20), (30, 30, 30, 40),
    ]  # fmt: skip


def test_killed_export_goes_on_with_the_state_that_it_began_with(
    world: World, database_url: str, tmp_path: Path
) -> None:
    world.do(world.person())
    settled = [row for row in world.images() if row.state == "settled"]
    # The second shard is written, but not yet in the ledger when the process dies.
    assert settled[-1].seq >= 3
    not_yet_written = world.latest_decision(settled[-1].id)
    export_review(database_url, None, tmp_path / "whole", shard_size=3)

    class KilledError(Exception):
        pass

    def kill(n_done: int, _n: int) -> None:
        if n_done >= 6:
            raise KilledError

    with pytest.raises(KilledError):
        export_review(database_url, None, tmp_path / "part", shard_size=3, on_progress=kill)
    # People work on in the meantime.
    world.later(1)
    world.do(world.person())
    world.run(decisions.undo_decision, world.owner, not_yet_written)
    export_review(database_url, None, tmp_path / "part", shard_size=3)
    for path in sorted((tmp_path / "whole").glob("*.parquet")):
        assert path.read_bytes() == (tmp_path / "part" / path.name).read_bytes()
    with pytest.raises(ResumeMismatchError, match="state"):
        export_review(database_url, None, tmp_path / "part", shard_size=3)


def test_same_state_exported_again_is_the_same_run(
    world: World, database_url: str, tmp_path: Path
) -> None:
    world.do(world.person())
    first = export_review(database_url, None, tmp_path / "out")
    assert export_review(database_url, None, tmp_path / "out").counts == first.counts


def test_changed_annotation_set_is_refused(world: World, database_url: str, tmp_path: Path) -> None:
    shutil.rmtree(world.job.annotations)
    with pytest.raises(AnnotationError):
        export_review(database_url, None, tmp_path / "out")


@pytest.mark.parametrize("inside", ["annotations", "photos"])
def test_output_inside_the_inputs_is_refused(world: World, database_url: str, inside: str) -> None:
    with pytest.raises(DatasetError, match="lie in each other"):
        export_review(database_url, None, Path(getattr(world.job, inside)) / "out")


def test_experts_pass_is_a_set_of_its_own(world: World, database_url: str, tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="No expert has finished"):
        export_expert(database_url, None, tmp_path / "early")
    world.database.run(lambda conn: draw_audit(conn, world.job, 6, 0, (), world.now_ms))
    expert = world.person(Role.EXPERT)
    batch = world.do(expert, lambda _: (Drawn((1, 2, 3, 4)),))
    # What workers do says nothing in it.
    world.do(world.person(), correct)
    done = sorted(world.image(pk).image_id for pk in world.images_of(batch).values())
    summary = export_expert(database_url, None, tmp_path / "expert", shard_size=2)
    reference = AnnotationSet(tmp_path / "expert")
    rows = list(reference)
    assert [row.image_id for row in rows] == done
    drawn = Region((1, 2, 3, 4), "face", None, Origin.REVIEWED)
    assert all(row.regions == (drawn,) for row in rows)
    assert summary.counts["reviewed"] == 5
    # It can be searched like any other set, image by image.
    for row in known(world):
        status = Status.LOOKED if row.image_id in done else Status.NOT_LOOKED
        assert reference.find(ImageRecord(row.image_id)).status is status


def test_obfuscate_takes_the_export(database: Database, database_url: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = []
    for name in ("a.png", "b.png"):
        Image.effect_noise((400, 300), 90).convert("RGB").save(photos / name)
        digest = sha256_hex((photos / name).read_bytes())
        rows.append(replace(looked(name), sha256=digest))
    world = make_world(database, tmp_path, rows=rows, gold=0, batch_size=1, gold_per_batch=0)
    world.do(world.person())
    export_review(database_url, None, tmp_path / "out")
    summary = obfuscate_dataset(
        photos, tmp_path / "out", tmp_path / "private",
        record=tmp_path / "record", workers=1,
    )  # fmt: skip
    assert summary.counts == {"obfuscated": 2, "n_regions": 4}
