# SPDX-License-Identifier: Apache-2.0
"""Categories summed up by what they are kinds of: Table 2 of the ImageNet face study.

A category belongs to a supercategory when that synset is the category or one above it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from veilset.audit.database import Database
from veilset.audit.hierarchy import Hierarchy
from veilset.audit.shares import wilson_sql
from veilset.errors import ConfigError

_COLUMNS = (
    "synset", "name", "n_categories", "n_images", "n_looked", "n_with", "n_regions", "share",
    "low", "high",
)  # fmt: skip

MAX_UNKNOWN = 5


def members_of(hierarchy: Hierarchy, categories: Sequence[str]) -> dict[str, frozenset[str]]:
    """Give the categories under each synset that has some.

    Args:
        hierarchy: What is a kind of what.
        categories: Identifiers of synsets; those that it does not know are passed over.
    """
    members: defaultdict[str, set[str]] = defaultdict(set)
    for category in categories:
        if category in hierarchy:
            for synset in hierarchy.and_above(category):
                members[synset].add(category)
    return {synset: frozenset(inside) for synset, inside in members.items()}


def choose_synsets(
    hierarchy: Hierarchy,
    members: Mapping[str, frozenset[str]],
    wanted: Sequence[str],
    min_categories: int,
) -> list[str]:
    """Give the synsets to sum up: those asked for, and every one that is large enough.

    Of a chain of synsets that hold the same categories (``whole``, ``object``, ``entity``)
    only the most special is taken.

    Args:
        hierarchy: What is a kind of what.
        members: As ``members_of`` gives them.
        wanted: What somebody asked for, see ``Hierarchy.find``.
        min_categories: The least number of categories; 0 to take only what was asked for.

    Raises:
        ConfigError: If a wanted synset is unknown, or holds none of the categories.
    """
    chosen = []
    for text in wanted:
        synset = hierarchy.find(text, members)
        if synset not in members:
            raise ConfigError(
                f"The synset {synset} ({hierarchy.name(synset)}) holds none of the categories of "
                "this data set. Give one that does, or leave it out."
            )
        chosen.append(synset)
    if min_categories:
        large = {each for each, inside in members.items() if len(inside) >= min_categories}
        general = {
            above
            for synset in large
            for above in hierarchy.and_above(synset) - {synset}
            if above in large and members[above] == members[synset]
        }
        chosen += sorted(large - general, key=lambda each: (-len(members[each]), each))
    return list(dict.fromkeys(chosen))


def make_supercategories(
    database: Database, hierarchy: Hierarchy, wanted: Sequence[str], min_categories: int
) -> dict[str, Any]:
    """Make the table of supercategories, and sum it up.

    Args:
        database: Has the table ``categories``.
        hierarchy: What is a kind of what.
        wanted: See ``choose_synsets``.
        min_categories: See ``choose_synsets``.

    Returns:
        The rows of the table, how many categories the hierarchy knows, and the first of
        those that it does not. No rows if it knows none of them.
    """
    categories = [
        category for (category,) in database.rows("SELECT category FROM categories ORDER BY rank")
    ]
    unknown = [each for each in categories if each not in hierarchy]
    found: dict[str, Any] = {
        "n_known": len(categories) - len(unknown),
        "n_unknown": len(unknown),
        "unknown": unknown[:MAX_UNKNOWN],
        "rows": [],
    }
    if not found["n_known"]:
        # Names are still looked up, so that a slip of the pen is told.
        for text in wanted:
            hierarchy.find(text, ())
        return found
    members = members_of(hierarchy, categories)
    chosen = choose_synsets(hierarchy, members, wanted, min_categories)
    _fill(database, hierarchy, members, chosen)
    rows = database.rows(f"SELECT {', '.join(_COLUMNS)} FROM supercategories ORDER BY place")
    found["rows"] = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    return found


def _fill(
    database: Database,
    hierarchy: Hierarchy,
    members: Mapping[str, frozenset[str]],
    chosen: Sequence[str],
) -> None:
    links = [(synset, each) for synset in chosen for each in sorted(members[synset])]
    database.run("CREATE TABLE links (synset VARCHAR, category VARCHAR)")
    database.run("CREATE TABLE synsets (synset VARCHAR, name VARCHAR, place INTEGER)")
    if links:
        synsets, inside = zip(*links, strict=True)
        database.add("links", pa.table({"synset": synsets, "category": inside}))
        columns = {
            "synset": chosen,
            "name": [hierarchy.name(synset) for synset in chosen],
            "place": pa.array(range(len(chosen)), pa.int32()),
        }
        database.add("synsets", pa.table(columns))
    low, high = wilson_sql("n_with", "n_looked")
    database.run(
        f"""
        CREATE TABLE supercategories AS
        WITH sums AS (
            SELECT synset, count(*) AS n_categories, sum(n_images)::BIGINT AS n_images,
                sum(n_looked)::BIGINT AS n_looked, sum(n_with)::BIGINT AS n_with,
                sum(n_regions)::BIGINT AS n_regions
            FROM links JOIN categories USING (category) GROUP BY synset
        )
        SELECT synset, name, n_categories, n_images, n_looked, n_with, n_regions,
            n_with / nullif(n_looked, 0) AS share, {low} AS low, {high} AS high, place
        FROM sums JOIN synsets USING (synset)
        """
    )
