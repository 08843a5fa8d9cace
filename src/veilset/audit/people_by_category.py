# SPDX-License-Identifier: Apache-2.0
"""Ages and genders by category: who the estimates see where, with what is uncertain in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from veilset.audit.database import Database
from veilset.audit.shares import Clusters, as_json, clustered_share

COLUMNS = (
    "category", "name", "label", "n_regions", "n_estimates", "n_images_estimated", "share", "low",
    "high",
)  # fmt: skip
"""Of the tables ``age_by_category`` and ``gender_by_category``: a row for each group."""

_SCHEMA = pa.schema(
    [
        ("place", pa.int64()),
        *((name, pa.string()) for name in COLUMNS[:3]),
        *((name, pa.int64()) for name in COLUMNS[3:6]),
        *((name, pa.float64()) for name in COLUMNS[6:]),
    ]
)
_SQL_TYPES = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE"}


def count_by_category(
    database: Database, name: str, column: str, labels: Sequence[str], n_listed: int
) -> dict[str, Any] | None:
    """Make the table ``NAME_by_category``, a row for each group of each category.

    Shares are of the regions of a category that have an estimate. Their intervals know that
    the regions of one image are alike, as those over the whole data set do. A group that a
    category lacks has a row too, so that the rows of a category add up.

    Args:
        database: Has the tables ``people`` and ``categories``.
        name: ``age`` or ``gender``.
        column: Column of ``people`` that holds the group.
        labels: Groups in their order; others have no row, and count among the estimates.
        n_listed: How many categories are told, those with the most estimates.

    Returns:
        How many categories have estimates, and the shares of those with most; None if none
        has any.
    """
    sums = _sums_by_category(database, column)
    if not sums:
        return None
    names: dict[str, str] = dict(database.rows("SELECT category, name FROM categories"))
    rows: dict[str, list[Any]] = {field: [] for field in _SCHEMA.names}
    shares = {category: _shares(found, labels) for category, found in sums.items()}
    for category, found in shares.items():
        for label, (share, h, whole) in found.items():
            cells = (len(rows["place"]), category, names[category], label, h, whole.n,
                     whole.images, share["value"], share["low"], share["high"])  # fmt: skip
            for field, cell in zip(_SCHEMA.names, cells, strict=True):
                rows[field].append(cell)
    columns = ", ".join(f"{field.name} {_SQL_TYPES[field.type]}" for field in _SCHEMA)
    database.run(f"CREATE TABLE {name}_by_category ({columns})")
    database.add(f"{name}_by_category", pa.table(rows, schema=_SCHEMA))
    totals = {category: next(iter(found.values())) for category, found in sums.items()}
    most = sorted(totals, key=lambda each: (-totals[each].n, each))[:n_listed]
    return {
        "n_categories": len(sums),
        "labels": list(labels),
        "most": [
            {
                "category": category,
                "name": names[category],
                "n": totals[category].n,
                "n_images": totals[category].images,
                "shares": [shares[category][label][0] for label in labels],
            }
            for category in most
        ],
    }


def _shares(
    found: Mapping[str, Clusters], labels: Sequence[str]
) -> dict[str, tuple[dict[str, Any], int, Clusters]]:
    """Give the share of each group of one category, how many it holds, and the sums behind it."""
    whole = next(iter(found.values()))
    none = Clusters(whole.images, 0, whole.n, 0, 0, whole.nn)
    shares = {}
    for label in labels:
        sums = found.get(label, none)
        # Every category here has estimates, so that there is a share.
        share: dict[str, Any] = as_json(clustered_share(label, sums)) or {}
        shares[label] = (share, sums.h, sums)
    return shares


def _sums_by_category(database: Database, column: str) -> dict[str, dict[str, Clusters]]:
    """Give, for each category, the sums over its images for each group that it has."""
    rows = database.rows(
        f"""
        WITH known AS (
            SELECT no, category, {column} AS label FROM people
            WHERE category IS NOT NULL AND {column} IS NOT NULL
        ), per_image AS (
            SELECT no, category, count(*) AS n FROM known GROUP BY no, category
        ), everything AS (
            SELECT category, count(*) AS images, sum(n) AS n, sum(n * n) AS nn
            FROM per_image GROUP BY category
        ), per_label AS (
            SELECT no, label, count(*) AS h FROM known GROUP BY no, label
        ), sums AS (
            SELECT category, label, sum(h) AS h, sum(h * h) AS hh, sum(h * n) AS hn
            FROM per_label JOIN per_image USING (no) GROUP BY category, label
        )
        SELECT category, label, images, h, n, hh, hn, nn
        FROM sums JOIN everything USING (category) ORDER BY category, label
        """
    )
    found: dict[str, dict[str, Clusters]] = {}
    for category, label, *numbers in rows:
        found.setdefault(category, {})[label] = Clusters(*(int(each) for each in numbers))
    return found
