# SPDX-License-Identifier: Apache-2.0
"""The tables that an audit counts in, filled from the annotation set and the data set.

``images`` has a row for each image, ``regions`` one for each region of a searched image;
``counted`` are the regions of the kind and score that the audit is about. Sums are over
whole numbers only, so that they do not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from veilset.annotations.store import AnnotationSet
from veilset.audit.config import AuditConfig
from veilset.audit.database import Database, quoted
from veilset.audit.mapping import Mapped, Mapping, category_rule, check_categories, read_mapping
from veilset.errors import AnnotationError, DatasetError
from veilset.protocols import Reader
from veilset.tables import table_path

_NAMES_AT_ONCE = 65_536
_FILES_AT_ONCE = 512
"""Files that a statement reads: while it does, the database keeps what each says of itself."""

PARTS_PER_SHARE = 1_000_000_000
"""Shares that are summed are counted in billionths: sums of whole numbers are exact."""


@dataclass(frozen=True, slots=True)
class Population:
    """Which images the audit is about.

    Attributes:
        n_images: Images of the data set, below the chosen folder.
        n_not_in_set: Those of them that the annotation set does not name: not looked at.
        n_gone: Images of the annotation set that the data set lacks: left out.
        mapped: How the mapping file fits, None without one.
    """

    n_images: int
    n_not_in_set: int
    n_gone: int
    mapped: Mapped | None


def fill_tables(
    database: Database,
    annotations: AnnotationSet,
    photos: Reader | None,
    config: AuditConfig,
    mapping: Mapping | None,
) -> Population:
    """Read the annotation set and the names of the data set into tables.

    Args:
        database: Empty.
        annotations: Finished annotation set.
        photos: The data set; None to take the annotation set's word for what is in it.
        config: Settings.
        mapping: Mapping file of categories; None for none.

    Raises:
        AnnotationError: If the set is empty, lost rows, or has no image in common with the
            data set.
        DatasetError: If a file of the set is missing or damaged.
    """
    _read_set(database, annotations, config)
    n_gone = n_not_in_set = 0
    if photos is not None:
        n_not_in_set, n_gone = _join_photos(database, annotations, photos, config)
    (n_images,) = database.row("SELECT count(*) FROM found")
    category = category_rule(config.categories, mapping)
    if mapping is not None:
        read_mapping(database, mapping)
    _make_regions(database, config)
    _make_covered(database)
    _make_images(database, category)
    mapped = check_categories(database, config.categories, mapping)
    return Population(n_images, n_not_in_set, n_gone, mapped)


def read_shards(database: Database, annotations: AnnotationSet, name: str) -> None:
    """Make a view of all rows of an annotation set.

    Args:
        database: Where the view is made.
        annotations: The set.
        name: Name of the view.

    Raises:
        AnnotationError: If the set is empty, or lost rows.
        DatasetError: If a file of it is missing or damaged.
    """
    files = ", ".join(_files(annotations))
    what = _what(annotations)
    database.read(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{files}])", what)
    ((n_rows,),) = database.read(f"SELECT count(*) FROM {name}", what)
    _check_n_rows(annotations, n_rows)


def _files(annotations: AnnotationSet) -> list[str]:
    """Give the paths of the files of a set, as literals of SQL."""
    folder, n_shards = annotations.folder, int(annotations.manifest["n_shards"])
    paths = [table_path(folder, index) for index in range(n_shards)]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise DatasetError(f"{missing[0]} is missing. Make its folder again.")
    if not paths:
        raise _empty(annotations)
    return [quoted(str(path)) for path in paths]


def _check_n_rows(annotations: AnnotationSet, n_rows: int) -> None:
    if n_rows != annotations.manifest["n_images"]:
        raise AnnotationError(
            f"The annotation set {annotations.folder} has {n_rows:,} images, its run.json says "
            f"{annotations.manifest['n_images']:,}. It is damaged: make it again."
        )
    if not n_rows:
        raise _empty(annotations)


def _read_set(database: Database, annotations: AnnotationSet, config: AuditConfig) -> None:
    files, what, n_rows = _files(annotations), _what(annotations), 0
    below = f"WHERE starts_with(image_id, {quoted(_prefix(config))})" if config.within else ""
    for at in range(0, len(files), _FILES_AT_ONCE):
        source = f"read_parquet([{', '.join(files[at : at + _FILES_AT_ONCE])}])"
        # The number is only a key, shorter than a name; nothing depends on which image has which.
        rows = (
            f"SELECT {n_rows} + row_number() OVER () AS no, image_id, status, reason, width, "
            f"height, sha256, regions FROM {source} {below}"
        )
        database.read(f"INSERT INTO found {rows}" if at else f"CREATE TABLE found AS {rows}", what)
        ((n_more,),) = database.read(f"SELECT count(*) FROM {source}", what)
        n_rows += n_more
    _check_n_rows(annotations, n_rows)
    (n_found, n_names) = database.row("SELECT count(*), count(DISTINCT image_id) FROM found")
    if not n_found:
        raise AnnotationError(
            f"No image of the annotation set {annotations.folder} lies below {config.within!r}. "
            f"Its first image is {next(annotations.image_ids())!r}. Give a folder that its names "
            "begin with."
        )
    if n_found != n_names:
        raise AnnotationError(
            f"The annotation set {annotations.folder} names an image twice. It is damaged: make it "
            "again."
        )


def _what(annotations: AnnotationSet) -> str:
    return f"The annotation set {annotations.folder} is damaged: a file of it"


def _empty(annotations: AnnotationSet) -> AnnotationError:
    return AnnotationError(
        f"The annotation set {annotations.folder} holds no image, so there is nothing to count. "
        "Run detect on a folder with images, or import a set."
    )


def _prefix(config: AuditConfig) -> str:
    return config.within.strip("/") + "/"


def _first_id(database: Database, table: str) -> str:
    (first,) = database.row(f"SELECT min(image_id) FROM {table}")
    return str(first)


def _join_photos(
    database: Database, annotations: AnnotationSet, photos: Reader, config: AuditConfig
) -> tuple[int, int]:
    """Keep the images that the data set has; add those that the annotation set lacks."""
    database.run("CREATE TABLE listed (image_id VARCHAR)")
    names = (record.image_id for shard in photos.shards(_NAMES_AT_ONCE) for record in shard.records)
    if config.within:
        names = (name for name in names if name.startswith(_prefix(config)))
    while batch := list(islice(names, _NAMES_AT_ONCE)):
        database.add("listed", pa.table({"image_id": batch}))
    database.run("CREATE TABLE gone AS SELECT no FROM found ANTI JOIN listed USING (image_id)")
    n_gone, n_found = database.row(
        "SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM found)"
    )
    if n_gone == n_found:
        (n_listed,) = database.row("SELECT count(*) FROM listed")
        shown = f"the first is {_first_id(database, 'listed')!r}" if n_listed else "it has none"
        raise AnnotationError(
            f"The data set and the annotation set {annotations.folder} have no image in common: "
            f"of the images that are asked for, in the data set {shown}, in the annotation set "
            f"{_first_id(database, 'found')!r}. Give the folder that the set was made from."
        )
    database.run(
        "CREATE TABLE unnamed AS SELECT image_id FROM listed ANTI JOIN found USING (image_id)"
    )
    if n_gone:
        database.run("DELETE FROM found WHERE no IN (SELECT no FROM gone)")
    database.run(
        "INSERT INTO found SELECT -row_number() OVER (), image_id, 'not_looked', '', 0, 0, '', [] "
        "FROM unnamed"
    )
    (n_not_in_set,) = database.row("SELECT count(*) FROM unnamed")
    for table in ("listed", "gone", "unnamed"):
        database.run(f"DROP TABLE {table}")
    return n_not_in_set, n_gone


def _make_regions(database: Database, config: AuditConfig) -> None:
    """Make the table of regions, with the pixels that each touches (``boxes.outer_pixels``)."""
    database.run(
        """
        CREATE TABLE regions AS
        WITH each AS (
            SELECT no, width, height, unnest(regions) AS region FROM found
            WHERE status = 'looked' AND len(regions) > 0
        ), flat AS (
            SELECT no, width, height, region.x0 AS x0, region.y0 AS y0, region.x1 AS x1,
                region.y1 AS y1, region.kind AS kind, region.score AS score,
                region.origin AS origin, region.attributes AS attributes
            FROM each
        )
        SELECT *,
            least(greatest(floor(x0), 0), width)::INTEGER AS px0,
            least(greatest(floor(y0), 0), height)::INTEGER AS py0,
            least(greatest(greatest(ceil(x1), floor(x0) + 1), 0), width)::INTEGER AS px1,
            least(greatest(greatest(ceil(y1), floor(y0) + 1), 0), height)::INTEGER AS py1,
            least(x1 - x0, y1 - y0) AS shorter_px
        FROM flat
        """
    )
    database.run(
        "CREATE VIEW counted AS SELECT *, (px1 - px0)::BIGINT * (py1 - py0) AS n_pixels "
        f"FROM regions WHERE kind = {quoted(config.kind)} "
        # As ``Region.passes``: what people decided counts whatever the detector thought.
        f"AND (score IS NULL OR origin = 'reviewed' OR score >= {config.min_score!r}::DOUBLE)"
    )


def _make_covered(database: Database) -> None:
    """Make the table of pixels under the union of the counted regions of each image.

    The image is cut into slabs at every left and right edge. In a slab the regions are
    intervals; sorted by their upper end, each adds what reaches below all before it.
    """
    database.run(
        """
        CREATE TABLE covered AS
        WITH per_image AS (
            SELECT no, count(*) AS n_regions, sum(n_pixels)::BIGINT AS n_pixels
            FROM counted GROUP BY no
        ), many AS (
            SELECT no, px0, py0, px1, py1
            FROM counted SEMI JOIN (FROM per_image WHERE n_regions > 1) USING (no)
            WHERE px0 < px1 AND py0 < py1
        ), edges AS (
            SELECT DISTINCT no, unnest([px0, px1]) AS x FROM many
        ), slabs AS (
            SELECT no, x AS left_x,
                lead(x) OVER (PARTITION BY no ORDER BY x) AS right_x
            FROM edges
        ), pieces AS (
            SELECT no, left_x, right_x, py0, py1,
                max(py1) OVER (
                    PARTITION BY no, left_x ORDER BY py0, py1
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS reached
            FROM slabs JOIN many USING (no)
            WHERE px0 <= left_x AND px1 >= right_x
        ), unions AS (
            SELECT no, sum(
                (right_x - left_x)::BIGINT
                * greatest(0, py1 - greatest(py0, coalesce(reached, py0)))
            )::BIGINT AS n_pixels
            FROM pieces GROUP BY no
        )
        SELECT no, n_regions::INTEGER AS n_regions,
            coalesce(unions.n_pixels, if(n_regions > 1, 0, per_image.n_pixels)) AS n_pixels
        FROM per_image LEFT JOIN unions USING (no)
        """
    )


def _make_images(database: Database, category: str) -> None:
    """Make the table of images; shares are null where nobody looked or the size is unknown."""
    database.run(
        f"""
        CREATE TABLE images AS
        WITH joined AS (
            SELECT no, image_id, status, reason, sha256, {category} AS category,
                nullif(width::BIGINT * height, 0) AS area,
                coalesce(covered.n_regions, 0) AS n_regions,
                coalesce(covered.n_pixels, 0) AS covered_pixels
            FROM found LEFT JOIN covered USING (no)
        )
        SELECT no, image_id, status, reason, sha256, category, area,
            if(status = 'looked', n_regions, NULL) AS n_regions,
            if(status = 'looked' AND area > 0, covered_pixels, NULL) AS covered_pixels,
            if(status = 'looked',
               round({PARTS_PER_SHARE}::DOUBLE * covered_pixels / area)::BIGINT, NULL)
                AS covered_parts
        FROM joined
        """
    )
    for table in ("found", "covered"):
        database.run(f"DROP TABLE {table}")
