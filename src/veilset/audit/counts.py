# SPDX-License-Identifier: Apache-2.0
"""How many regions in how many images, where, how large: exact counts and shares of images.

Shares are of images that were searched. Those that were not, or could not be, stand beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa

from veilset.audit.database import Database
from veilset.audit.hierarchy import Hierarchy
from veilset.audit.shares import as_json, mean_share, rate_of, share_of, wilson_sql
from veilset.audit.tables import PARTS_PER_SHARE
from veilset.pages.histogram import FACE_SIZE_EDGES_PX, SCORE_EDGES
from veilset.types import Status

AREA_SHARE_EDGES = (0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""A region's share of its image."""

COVERED_EDGES = (0.0, 0.01, 0.02, 0.04, 0.08, 1.0)
"""Share of an image under the union of its regions: the classes of the ImageNet face study."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

THRESHOLDS = (0.5, 0.25)
"""Categories are counted that have regions in more than this share of their images."""

_CATEGORY_COLUMNS = (
    "category", "name", "n_images", "n_looked", "n_with", "n_regions", "share", "low", "high",
    "mean_covered",
)  # fmt: skip


def count_images(database: Database) -> dict[str, Any]:
    """Count images by status, and why some could not be searched."""
    statuses = {status.value: 0 for status in Status}
    statuses |= dict(database.rows("SELECT status, count(*) FROM images GROUP BY status"))
    reasons = database.rows(
        "SELECT reason, count(*) FROM images WHERE status = 'could_not_look' GROUP BY reason "
        "ORDER BY count(*) DESC, reason"
    )
    return {"statuses": statuses, "reasons": dict(reasons)}


def count_per_image(database: Database) -> dict[str, Any]:
    """Count the searched images by number of regions; give the share that has some."""
    rows = database.rows(
        "SELECT n_regions, count(*) FROM images WHERE status = 'looked' "
        "GROUP BY n_regions ORDER BY n_regions"
    )
    histogram: dict[int, int] = dict(rows)
    n_looked = sum(histogram.values())
    n_with = n_looked - histogram.get(0, 0)
    n_few = sum(times for count, times in rows if 0 < count < 5)
    return {
        "n_looked": n_looked,
        "n_with": n_with,
        "n_regions": sum(count * times for count, times in rows),
        "images_by_regions": [list(row) for row in rows],
        "share_with": as_json(share_of("images with a region", n_with, n_looked)),
        "share_few": as_json(share_of("images with 1 to 4, of those with a region", n_few, n_with)),
        "mean": as_json(rate_of("regions in an image", histogram, "regions")),
    }


def count_regions(database: Database) -> dict[str, Any]:
    """Count all regions by kind, and the counted ones by origin and score."""
    kinds = database.rows(
        "SELECT kind, count(*), count(DISTINCT no) FROM regions GROUP BY kind ORDER BY kind"
    )
    origins = database.rows("SELECT origin, count(*) FROM counted GROUP BY origin ORDER BY origin")
    (n_unscored,) = database.row("SELECT count(*) FROM counted WHERE score IS NULL")
    return {
        "kinds": [
            {"kind": kind, "n_regions": n, "n_images": n_images} for kind, n, n_images in kinds
        ],
        "origins": dict(origins),
        "score": {
            "edges": SCORE_EDGES,
            "counts": _binned(database, "counted", "score", SCORE_EDGES),
        },
        "n_without_score": n_unscored,
    }


def measure_sizes(database: Database) -> dict[str, Any]:
    """Tell how large regions are, and how much of the images they cover."""
    database.run(
        "CREATE OR REPLACE TEMP VIEW sized AS SELECT shorter_px, "
        "n_pixels / nullif(width::BIGINT * height, 0) AS area_share FROM counted"
    )
    shorter = _binned(database, "sized", "shorter_px", FACE_SIZE_EDGES_PX)
    area = _binned(database, "sized", "area_share", AREA_SHARE_EDGES)
    return {
        "shorter_px": {
            "edges": FACE_SIZE_EDGES_PX,
            "counts": shorter,
            "quantiles": _quantiles(database, "sized", "shorter_px"),
        },
        "area_share": {
            "edges": AREA_SHARE_EDGES,
            "counts": area,
            "quantiles": _quantiles(database, "sized", "area_share"),
        },
        "covered": _measure_covered(database),
    }


def _measure_covered(database: Database) -> dict[str, Any]:
    n, total, squares, pixels, covered = database.row(
        "SELECT count(covered_parts), coalesce(sum(covered_parts), 0), "
        "coalesce(sum(covered_parts * covered_parts), 0), "
        "coalesce(sum(area) FILTER (covered_pixels IS NOT NULL), 0), "
        "coalesce(sum(covered_pixels), 0) FROM images"
    )
    # Exact shares, not the rounded billionths, decide on which side of an edge an image lies.
    database.run(
        "CREATE OR REPLACE TEMP VIEW covering AS SELECT covered_pixels / area AS share "
        "FROM images WHERE covered_pixels > 0"
    )
    (n_unsized,) = database.row(
        "SELECT count(*) FROM images WHERE status = 'looked' AND covered_pixels IS NULL"
    )
    mean = mean_share(
        "share of an image that regions cover",
        n,
        int(total) / PARTS_PER_SHARE,
        int(squares) / PARTS_PER_SHARE**2,
    )
    return {
        "mean": as_json(mean),
        "n_pixels": int(pixels),
        "n_covered_pixels": int(covered),
        "n_unsized": n_unsized,
        "edges": COVERED_EDGES,
        "counts": _binned(database, "covering", "share", COVERED_EDGES),
        "quantiles": _quantiles(database, "covering", "share"),
    }


def make_categories(
    database: Database, hierarchy: Hierarchy | None, labels: Mapping[str, str]
) -> None:
    """Make the table of categories, those with the largest share first.

    Args:
        database: Has the table ``images``.
        hierarchy: Gives their names for people.
        labels: Gives the names of others; what neither knows is named by itself.
    """
    database.run("CREATE TABLE names_of (category VARCHAR, name VARCHAR)")
    if hierarchy is not None or labels:
        rows = database.rows("SELECT DISTINCT category FROM images WHERE category IS NOT NULL")
        found = [category for (category,) in rows]
        names = [labels.get(category) for category in found]
        if hierarchy is not None:
            names = [
                hierarchy.name(category) if category in hierarchy else name
                for category, name in zip(found, names, strict=True)
            ]
        columns = {"category": pa.array(found, pa.string()), "name": pa.array(names, pa.string())}
        database.add("names_of", pa.table(columns))
    low, high = wilson_sql("n_with", "n_looked")
    database.run(
        f"""
        CREATE TABLE categories AS
        WITH sums AS (
            SELECT category, count(*) AS n_images,
                count(*) FILTER (status = 'looked') AS n_looked,
                count(*) FILTER (n_regions > 0) AS n_with,
                coalesce(sum(n_regions), 0)::BIGINT AS n_regions,
                sum(covered_parts) AS covered, count(covered_parts) AS n_covered
            FROM images WHERE category IS NOT NULL GROUP BY category
        )
        SELECT category, coalesce(name, category) AS name, n_images, n_looked, n_with,
            n_regions, n_with / nullif(n_looked, 0) AS share, {low} AS low, {high} AS high,
            covered::DOUBLE / {PARTS_PER_SHARE} / nullif(n_covered, 0) AS mean_covered,
            row_number() OVER (
                ORDER BY n_with / nullif(n_looked, 0) DESC NULLS LAST, n_looked DESC, category
            ) AS rank
        FROM sums LEFT JOIN names_of USING (category)
        """
    )


def count_categories(database: Database, n_listed: int) -> dict[str, Any]:
    """Sum up the table of categories: how many are above a half and a quarter, which are most.

    Args:
        database: Has the table ``categories``.
        n_listed: How many are listed as most, and as least.
    """
    n, n_judged = database.row("SELECT count(*), count(share) FROM categories")
    (n_without,) = database.row("SELECT count(*) FROM images WHERE category IS NULL")
    above = []
    for threshold in THRESHOLDS:
        counts = database.row(
            "SELECT count(*) FILTER (share > $1), count(*) FILTER (low > $1), "
            "count(*) FILTER (high > $1) FROM categories",
            [threshold],
        )
        keys = ("n_above", "n_surely_above", "n_possibly_above")
        above.append({"threshold": threshold, **dict(zip(keys, counts, strict=True))})
    columns = ", ".join(_CATEGORY_COLUMNS)
    # Among equal shares, those of more images say more.
    query = f"SELECT {columns} FROM categories WHERE share IS NOT NULL ORDER BY"
    return {
        "n_categories": n,
        "n_judged": n_judged,
        "n_images_without": n_without,
        "above": above,
        "most": _listed(database, f"{query} rank LIMIT {n_listed}"),
        "least": _listed(database, f"{query} share, n_looked DESC, category LIMIT {n_listed}"),
    }


def _listed(database: Database, query: str) -> list[dict[str, Any]]:
    return [dict(zip(_CATEGORY_COLUMNS, row, strict=True)) for row in database.rows(query)]


def _binned(database: Database, table: str, column: str, edges: Sequence[float]) -> list[int]:
    """Count values in bins as ``pages.histogram`` does: the first and the last have no end."""
    ends = [None, *edges[1:-1], None]
    filters = [
        " AND ".join(
            [f"{column} IS NOT NULL"]
            + ([f"{column} >= {low!r}::DOUBLE"] if low is not None else [])
            + ([f"{column} < {high!r}::DOUBLE"] if high is not None else [])
        )
        for low, high in pairwise(ends)
    ]
    counts = ", ".join(f"count(*) FILTER ({each})" for each in filters)
    return list(database.row(f"SELECT {counts} FROM {table}"))


def _quantiles(database: Database, table: str, column: str) -> dict[str, float | None]:
    """Give quantiles: values that occur, so that they do not depend on how one interpolates."""
    wanted = ", ".join(f"quantile_disc({column}, {each})" for each in QUANTILES)
    values = database.row(f"SELECT {wanted} FROM {table}")
    return {f"{each:g}": value for each, value in zip(QUANTILES, values, strict=True)}
