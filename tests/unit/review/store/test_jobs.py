# SPDX-License-Identifier: Apache-2.0
"""Opening jobs and finding them again."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from tests.unit.review.store.world import TRUTH, World, looked, make_world, names, write_set
from veilset.errors import AnnotationError, ConfigError, DatasetError, ReviewError
from veilset.review.database import tables
from veilset.review.database.connect import Database
from veilset.review.job.audit import draw_audit
from veilset.review.job.filling import OnOpened, Sources
from veilset.review.job.jobs import find_job, image_named, open_job
from veilset.review.settings import JobSettings
from veilset.review.stage import open_review
from veilset.review.values import drawing_from_json
from veilset.types import Annotations, Region, Status

TRUE_REGIONS = [Region(each.box_xyxy) for each in TRUTH]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def count(database: Database, table: str) -> int:
    query = select(func.count()).select_from(tables.metadata.tables[table])
    return database.look(lambda conn: conn.scalar(query)) or 0


def test_job_holds_every_image_in_order(database: Database, tmp_path: Path) -> None:
    rows = [looked(name) for name in names(6)]
    rows.append(
        Annotations("cat-0/broken.jpg", Status.COULD_NOT_LOOK, reason="truncated", message="m")
    )
    rows.append(Annotations("cat-1/later.jpg", Status.NOT_LOOKED))
    world = make_world(database, tmp_path, rows=rows, gold=0)
    images = world.images()
    assert [row.image_id for row in images] == sorted(row.image_id for row in rows)
    assert [row.seq for row in images] == list(range(8))
    states = world.states()
    assert states["cat-0/broken.jpg"] == states["cat-1/later.jpg"] == "unreadable"
    assert list(states.values()).count("open") == 6
    assert {row.category for row in images} == {"cat-0", "cat-1", "cat-2"}
    assert (world.job.n_images, world.job.n_unreadable) == (8, 2)
    assert drawing_from_json(images[0].proposals)[1].box_xyxy == (320, 200, 350, 240)


def test_boxes_that_could_not_be_sent_back_are_mended(database: Database, tmp_path: Path) -> None:
    """A box without area still hides its pixel; what lies outside shows nothing."""
    regions = [Region((10, 10, 10, 20)), Region((-5, -5, 8, 8)), Region((500, 5, 600, 9))]
    world = make_world(database, tmp_path, rows=[looked("a.jpg", regions)], gold=0)
    drawing = drawing_from_json(world.images()[0].proposals)
    assert [(each.box_xyxy, each.source) for each in drawing] == [
        ((10, 10, 11, 20), 0), ((0, 0, 8, 8), 1),
    ]  # fmt: skip
    detail = select(tables.event.c.detail).where(tables.event.c.what == "job-opened")
    assert json.loads(world.look(lambda conn: conn.scalar(detail)))["regions_outside"] == 1


def test_opening_again_gives_the_same_job(database: Database, photos: Path, tmp_path: Path) -> None:
    sources = Sources(photos, write_set(tmp_path / "ann", [looked(name) for name in names(3)]))
    first = database.run(lambda conn: open_job(conn, "faces", sources, JobSettings(), 1))
    again = database.run(lambda conn: open_job(conn, "faces", sources, JobSettings(), 2))
    assert first == again
    assert count(database, "image") == 3


def test_same_name_with_other_inputs_is_refused_with_both_named(
    database: Database, photos: Path, tmp_path: Path
) -> None:
    one = write_set(tmp_path / "one", [looked(name) for name in names(3)])
    two = write_set(tmp_path / "two", [looked(name) for name in names(2)])

    def open_with(sources: Sources, settings: JobSettings) -> int:
        return database.run(lambda conn: open_job(conn, "faces", sources, settings, 1))

    open_with(Sources(photos, one), JobSettings())
    for sources, settings, says in (
        (Sources(photos, two), JobSettings(), r"annotations: '.*one'; now it would be '.*two'"),
        (Sources(tmp_path, one), JobSettings(), "photos: '.*photos'; now it would be"),
        (Sources(photos, one), JobSettings(lives=3), "settings: .*lives.*2.*now.*lives.*3"),
        (Sources(photos, one, one), JobSettings(), "gold: ''; now it would be '.*one'"),
    ):
        with pytest.raises(ReviewError, match=says):
            open_with(sources, settings)
    assert count(database, "image") == 3


def test_order_of_work_is_by_uncertainty(database: Database, tmp_path: Path) -> None:
    rows = [
        looked("sure.jpg", [Region((0, 0, 200, 200), score=0.99)]),
        looked("unsure.jpg", [Region((0, 0, 200, 200), score=0.5)]),
    ]
    world = make_world(database, tmp_path, rows=rows, gold=0, order="uncertain")
    ranked = sorted(world.images(), key=lambda row: -row.priority)
    assert [row.image_id for row in ranked] == ["unsure.jpg", "sure.jpg"]


def test_disagreement_with_other_sets_comes_first(
    database: Database, photos: Path, tmp_path: Path
) -> None:
    rows = [looked(name, [Region((0, 0, 200, 200), score=0.99)]) for name in ("a.jpg", "b.jpg")]
    other = [looked("a.jpg", rows[0].regions), looked("b.jpg", [])]
    sources = Sources(photos, write_set(tmp_path / "ann", rows), None,
                      (write_set(tmp_path / "other", other),))  # fmt: skip
    database.run(lambda conn: open_job(conn, "faces", sources, JobSettings(), 1))
    query = select(tables.image.c.image_id).order_by(tables.image.c.priority.desc())
    assert database.look(lambda conn: conn.scalars(query).all()) == ["b.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("truths", "says"),
    [
        ({"missing.jpg": TRUE_REGIONS}, "gold image missing.jpg is not_looked"),
        ({"broken.jpg": TRUE_REGIONS}, "gold image broken.jpg is could_not_look"),
        ({"a.jpg": [Region((1, 1, 9, 9), "dog")]}, "In the gold, a.jpg has regions of the kinds"),
    ],
)
def test_gold_that_cannot_serve_is_refused(
    database: Database, tmp_path: Path, truths: dict[str, list[Region]], says: str
) -> None:
    rows = [looked("a.jpg"), Annotations("broken.jpg", Status.COULD_NOT_LOOK, reason="error")]
    with pytest.raises(ReviewError, match=says):
        make_world(database, tmp_path, rows=rows, truths=truths)
    assert count(database, "job") == count(database, "image") == 0


def test_gold_of_other_files_is_refused(database: Database, photos: Path, tmp_path: Path) -> None:
    known = write_set(tmp_path / "ann", [looked("a.jpg")])
    other = Annotations("a.jpg", Status.LOOKED, tuple(TRUE_REGIONS), 400, 300, "f" * 64, 9)
    sources = Sources(photos, known, write_set(tmp_path / "gold", [other]))
    with pytest.raises(ReviewError, match="digests differ"):
        database.run(lambda conn: open_job(conn, "faces", sources, JobSettings(), 1))


def test_gold_set_without_a_single_image_is_refused(
    database: Database, photos: Path, tmp_path: Path
) -> None:
    known = write_set(tmp_path / "ann", [looked("a.jpg")])
    empty = write_set(tmp_path / "gold", [Annotations("a.jpg", Status.NOT_LOOKED)])
    with pytest.raises(AnnotationError, match="holds no image that was looked at"):
        database.run(
            lambda conn: open_job(conn, "x", Sources(photos, known, empty), JobSettings(), 1)
        )


def test_unknown_kinds_are_named_with_the_setting(database: Database, tmp_path: Path) -> None:
    rows = [looked("a.jpg", [Region((1, 1, 9, 9), "plate")])]
    with pytest.raises(ReviewError, match="Give it the kinds face,nsfw,other,plate"):
        make_world(database, tmp_path, rows=rows, gold=0)
    kinds = ("face", "plate")
    assert make_world(database, tmp_path, rows=rows, gold=0, kinds=kinds).job.n_images == 1


def test_too_many_regions_are_refused(database: Database, tmp_path: Path) -> None:
    rows = [looked("a.jpg", [Region((1, 1, 9, 9))] * 2_001)]
    with pytest.raises(ReviewError, match=r"a\.jpg cannot be reviewed\. It has 2001 regions"):
        make_world(database, tmp_path, rows=rows, gold=0)


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\nb"])
def test_names_that_cannot_be_used_are_refused(
    database: Database, tmp_path: Path, name: str
) -> None:
    photos = tmp_path / "p"
    photos.mkdir()
    known = write_set(tmp_path / "ann", [looked("a.jpg")])
    with pytest.raises(ConfigError, match="cannot be named"):
        database.run(lambda conn: open_job(conn, name, Sources(photos, known), JobSettings(), 1))


def test_jobs_are_found_by_name_or_alone(database: Database, tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="holds no review job"):
        database.look(lambda conn: find_job(conn, None))
    one = make_world(database, tmp_path, n=1, gold=0, name="one").job
    assert database.look(lambda conn: find_job(conn, None)) == one
    make_world(database, tmp_path, n=1, gold=0, name="two")
    assert database.look(lambda conn: find_job(conn, "one")) == one
    with pytest.raises(ReviewError, match="several jobs: 'one', 'two'"):
        database.look(lambda conn: find_job(conn, None))
    with pytest.raises(ReviewError, match=r"no job 'three'\. Known: 'one', 'two'"):
        database.look(lambda conn: find_job(conn, "three"))
    with pytest.raises(ReviewError, match=r"no image 'x\.jpg'"):
        database.look(lambda conn: image_named(conn, one, "x.jpg"))


def audit(world: World, n: int, seed: int = 0, categories: tuple[str, ...] = ()) -> set[str]:
    world.database.run(lambda conn: draw_audit(conn, world.job, n, seed, categories, world.now_ms))
    return {row.image_id for row in world.images() if row.in_audit}


def test_audit_sample_is_random_reproducible_and_grows(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=20, gold=4)
    small = audit(world, 5)
    large = audit(world, 9)
    assert len(small) == 5
    assert len(large) == 9
    assert small < large
    assert not any(world.states()[name] == "gold" for name in large)
    other = make_world(database, tmp_path, n=20, gold=4, name="other")
    assert audit(other, 5) == small
    third = make_world(database, tmp_path, n=20, gold=4, name="third")
    assert audit(third, 5, seed=1) != small


def test_audit_sample_of_categories(database: Database, tmp_path: Path) -> None:
    world = make_world(database, tmp_path, n=12, gold=0)
    assert {name[:5] for name in audit(world, 4, categories=("cat-1",))} == {"cat-1"}
    with pytest.raises(ReviewError, match="no image in the category 'cat-9'"):
        audit(world, 1, categories=("cat-9",))
    with pytest.raises(ReviewError, match="there are 12 to choose from"):
        audit(world, 13)


def test_public_function_opens_and_refuses(tmp_path: Path, photos: Path) -> None:
    known = write_set(tmp_path / "ann", [looked("a.jpg")])
    database = tmp_path / "review.sqlite"
    seen: list[tuple[int, int]] = []
    job = open_review(photos, known.folder, name="faces", database=database,
                      on_progress=lambda *done: seen.append(done))  # fmt: skip
    assert (job.name, job.n_images, seen) == ("faces", 1, [(1, 1)])
    with pytest.raises(DatasetError, match="no folder"):
        open_review(tmp_path / "typo", known.folder, name="x", database=database)
    with pytest.raises(AnnotationError):
        open_review(photos, tmp_path / "typo", name="x", database=database)


def test_job_that_was_not_opened_to_the_end_is_not_there(
    database: Database, photos: Path, tmp_path: Path
) -> None:
    known = write_set(tmp_path / "ann", [looked(name) for name in names(2_500)], shard_size=500)

    class KilledError(Exception):
        pass

    def kill(n_done: int, n_images: int) -> None:
        assert n_images == 2_500
        if n_done >= 2_000:
            raise KilledError

    def open_with(on_progress: OnOpened | None) -> int:
        sources = Sources(photos, known)
        return database.run(
            lambda conn: open_job(conn, "faces", sources, JobSettings(), 1, on_progress)
        )

    with pytest.raises(KilledError):
        open_with(kill)
    assert count(database, "job") == count(database, "image") == count(database, "event") == 0
    open_with(None)
    assert count(database, "image") == 2_500


def test_memory_does_not_grow_with_the_job(tmp_path: Path, photos: Path) -> None:
    def peak(n: int) -> int:
        known = write_set(tmp_path / f"ann{n}", [looked(name) for name in names(n)], shard_size=500)
        tracemalloc.start()
        open_review(photos, known.folder, name="x", database=tmp_path / f"{n}.sqlite")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    # Rows go in by the thousand, and the first thousand is alone: both have a second one.
    small, large = peak(2_000), peak(6_000)
    assert large < 1.3 * small


def test_the_database_knows_its_images_when_a_job_is_open(
    database: Database, tmp_path: Path
) -> None:
    # Without statistics PostgreSQL took 8 images for 1.4 million, and seconds for a batch.
    make_world(database, tmp_path)
    known = {
        "postgresql": "SELECT count(*) FROM pg_stats WHERE tablename = 'image'",
        "sqlite": "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'image'",
    }
    with database.reading() as conn:
        assert (conn.scalar(text(known[conn.dialect.name])) or 0) > 0
