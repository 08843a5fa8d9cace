# SPDX-License-Identifier: Apache-2.0
"""Ages and genders, as far as regions carry estimates of them, with what is uncertain in them.

Regions may have the attributes ``age`` in years, ``age_low`` and ``age_high`` around it,
``gender`` and ``gender_score``, the probability of that gender in [0, 1]. Whoever estimates
them, a model or people, writes them; this only counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from veilset.audit.database import Database
from veilset.audit.people_by_category import count_by_category
from veilset.audit.shares import Clusters, as_json, clustered_share

AGE_EDGES = (0, 3, 10, 20, 30, 40, 50, 60, 70)
"""First year of each age group: those of FairFace (Karkkainen and Joo, 2021)."""

MAX_GENDERS = 12
"""More different texts than this are no genders; the rest is counted together."""


def age_group(edges: Sequence[int], index: int) -> str:
    """Name an age group.

    Example:
        >>> age_group(AGE_EDGES, 0), age_group(AGE_EDGES, 8)
        ('0 to 2', '70 and over')
    """
    if index + 1 == len(edges):
        return f"{edges[index]} and over"
    return f"{edges[index]} to {edges[index + 1] - 1}"


def number_of(attribute: str) -> str:
    """Give an attribute as a number of SQL, null where a region has none."""
    return f"try_cast(json_extract_string(attributes, '$.{attribute}') AS DOUBLE)"


def text_of(attribute: str) -> str:
    """Give an attribute as a text of SQL, null where a region has none."""
    return f"nullif(trim(json_extract_string(attributes, '$.{attribute}')), '')"


def age_group_sql(age: str) -> str:
    """Give the age group as an expression of SQL, null without an age."""
    cases = " ".join(
        f"WHEN {age} < {end} THEN '{age_group(AGE_EDGES, i)}'"
        for i, end in enumerate(AGE_EDGES[1:])
    )
    return (
        f"CASE WHEN {age} IS NULL OR NOT isfinite({age}) OR {age} < 0 THEN NULL {cases} "
        f"ELSE '{age_group(AGE_EDGES, len(AGE_EDGES) - 1)}' END"
    )


def describe_people(database: Database, n_listed: int) -> dict[str, Any]:
    """Give the distributions of age and gender, None for what no region carries.

    The shares have intervals in which each image counts once. Beside the number of
    regions whose estimate lies in an age group stand those of which that is sure
    (``age_low`` to ``age_high`` lies inside) and possible (it reaches inside; without a
    range, the estimate alone); beside the number of each gender its mean probability.

    Args:
        database: Has the tables ``images`` and ``categories``; it gets ``age_by_category``
            and ``gender_by_category`` if there is what they count.
        n_listed: How many categories are told, those with the most estimates.
    """
    database.run(
        f"""
        CREATE TABLE people AS
        SELECT no, category, {number_of("age")} AS age, {text_of("gender")} AS gender,
            {number_of("age_low")} AS age_low, {number_of("age_high")} AS age_high,
            {number_of("gender_score")} AS gender_score,
            {age_group_sql("age")} AS age_group
        FROM counted JOIN images USING (no)
        """
    )
    (n_regions,) = database.row("SELECT count(*) FROM people")
    people = {"n_regions": n_regions, "age": _ages(database), "gender": _genders(database)}
    for name, column in (("age", "age_group"), ("gender", "gender")):
        if people[name]:
            labels = [each["group"] for each in people[name]["groups"]]
            people[name]["by_category"] = count_by_category(
                database, name, column, labels, n_listed
            )
    database.run("DROP TABLE people")
    return people


def _ages(database: Database) -> dict[str, Any] | None:
    sums = clusters_by(database, "people", "age_group")
    n = sum(each.h for each in sums.values())
    if not n:
        return None
    groups = []
    for i, first in enumerate(AGE_EDGES):
        last = AGE_EDGES[i + 1] if i + 1 < len(AGE_EDGES) else 10_000
        name = age_group(AGE_EDGES, i)
        n_sure, n_possible = database.row(
            "SELECT count(*) FILTER (age_low >= $1 AND age_high < $2), "
            "count(*) FILTER (coalesce(age_high, age) >= $1 AND coalesce(age_low, age) < $2) "
            "FROM people WHERE age_group IS NOT NULL",
            [first, last],
        )
        found = sums.get(name) or _none_of(next(iter(sums.values())))
        groups.append(
            {
                "group": name,
                "n": found.h,
                "share": as_json(clustered_share(f"age {name}", found)),
                "n_sure": n_sure,
                "n_possible": n_possible,
            }
        )
    (n_ranged,) = database.row(
        "SELECT count(*) FROM people WHERE age_group IS NOT NULL AND age_low IS NOT NULL "
        "AND age_high IS NOT NULL"
    )
    return {"n": n, "n_ranged": n_ranged, "groups": groups}


def _genders(database: Database) -> dict[str, Any] | None:
    sums = clusters_by(database, "people", "gender")
    if not sums:
        return None
    n = sum(each.h for each in sums.values())
    groups = []
    for name in sorted(sums, key=lambda each: (-sums[each].h, each))[:MAX_GENDERS]:
        n_scored, parts = database.row(
            "SELECT count(gender_score), coalesce(sum(round(1e6 * gender_score)::BIGINT), 0) "
            "FROM people WHERE gender = $1 AND gender_score BETWEEN 0 AND 1",
            [name],
        )
        groups.append(
            {
                "group": name,
                "n": sums[name].h,
                "share": as_json(clustered_share(f"gender {name}", sums[name])),
                "n_scored": n_scored,
                "mean_score": int(parts) / 1e6 / n_scored if n_scored else None,
            }
        )
    return {"n": n, "n_other": n - sum(each["n"] for each in groups), "groups": groups}


def _none_of(sums: Clusters) -> Clusters:
    return Clusters(sums.images, 0, sums.n, 0, 0, sums.nn)


def clusters_by(database: Database, table: str, column: str) -> dict[str, Clusters]:
    """Give the sums over images for the share of each value of a column among those not null.

    Args:
        database: Has the table.
        table: With the column ``no``, the number of the image.
        column: A text.
    """
    rows = database.rows(
        f"""
        WITH per_image AS (
            SELECT no, count(*) AS n FROM {table} WHERE {column} IS NOT NULL GROUP BY no
        ), everything AS (
            SELECT count(*) AS images, sum(n) AS n, sum(n * n) AS nn FROM per_image
        ), per_value AS (
            SELECT no, {column} AS value, count(*) AS h FROM {table}
            WHERE {column} IS NOT NULL GROUP BY no, {column}
        ), sums AS (
            SELECT value, sum(h) AS h, sum(h * h) AS hh, sum(h * n) AS hn
            FROM per_value JOIN per_image USING (no) GROUP BY value
        )
        SELECT value, images, h, n, hh, hn, nn FROM sums CROSS JOIN everything ORDER BY value
        """
    )
    return {value: Clusters(*(int(each) for each in row)) for value, *row in rows}
