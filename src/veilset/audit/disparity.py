# SPDX-License-Identifier: Apache-2.0
"""Does protection differ between groups? Detections against regions that people reviewed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa

from veilset.audit.comparisons import Difference, GroupSums, compare
from veilset.audit.config import AuditConfig
from veilset.audit.database import Database
from veilset.audit.shares import Clusters, as_json, clustered_share
from veilset.audit.skin_tone import CLASSES
from veilset.audit.who import AGE_EDGES, age_group
from veilset.intervals import holm

OUTCOMES = ("found", "protected")

SIZE_EDGES_PX = (16, 32, 64, 128)

_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("grouping", "label", "outcome")),
        *((name, pa.int64()) for name in ("n_regions", "n_images")),
        *((name, pa.float64()) for name in (
            "share", "low", "high", "difference", "difference_low", "difference_high", "p",
            "p_corrected",
        )),
    ]
)  # fmt: skip
_SQL_TYPES = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE"}

_MISSING = {
    "age": "No reviewed region has the attribute 'age', so recall by age group is not known. "
    "Estimate ages on the reviewed set first.",
    "gender": "No reviewed region has the attribute 'gender', so recall by gender is not known. "
    "Estimate it on the reviewed set first.",
    "category": "No image has a category.",
    "skin tone": "No reviewed region is large enough for the skin tone proxy.",
}


_SIZES = (
    f"below {SIZE_EDGES_PX[0]} px",
    *(f"{low} to {high} px" for low, high in pairwise(SIZE_EDGES_PX)),
    f"{SIZE_EDGES_PX[-1]} px and over",
)
_ORDERS: dict[str, Sequence[str]] = {
    "size": _SIZES,
    "age": [age_group(AGE_EDGES, i) for i in range(len(AGE_EDGES))],
    "skin tone": [name for _, name in CLASSES],
}


def size_group_sql() -> str:
    """Give the size group of a region as an expression of SQL."""
    cases = " ".join(
        f"WHEN shorter_px < {edge} THEN '{name}'"
        for edge, name in zip(SIZE_EDGES_PX, _SIZES, strict=False)
    )
    return f"CASE {cases} ELSE '{_SIZES[-1]}' END"


def measure_disparity(database: Database, config: AuditConfig) -> dict[str, Any]:
    """Measure recall and protection by group.

    Args:
        database: Has the table ``judged``.
        config: Settings.

    Returns:
        Recall and protection of all reviewed regions, and of the groups of each grouping. A
        group with too few regions or images has its numbers, but is not compared.
    """
    groupings = [
        ("size", "Shorter side", "size_group"),
        ("age", "Age group", "age_group"),
        ("gender", "Gender", "gender"),
        ("category", "Category", "category"),
    ]
    if config.skin_tone:
        groupings.append(("skin tone", "Skin tone proxy", "tone"))
    columns = ", ".join(f"{field.name} {_SQL_TYPES[field.type]}" for field in _SCHEMA)
    database.run(f"CREATE TABLE disparity ({columns})")
    return {
        "overall": {outcome: as_json(_overall(database, outcome)) for outcome in OUTCOMES},
        "iou": config.iou,
        "covered": config.covered,
        "enlarge": config.enlarge,
        "min_faces": config.min_faces,
        "min_images": config.min_images,
        "groupings": [
            _grouping(database, config, name, title, column) for name, title, column in groupings
        ],
    }


def _overall(database: Database, outcome: str) -> Any:
    sums = database.row(
        f"""
        WITH per_image AS (
            SELECT count(*) FILTER ({outcome}) AS h, count(*) AS n FROM judged GROUP BY no
        )
        SELECT count(*), coalesce(sum(h), 0), coalesce(sum(n), 0), coalesce(sum(h * h), 0),
            coalesce(sum(h * n), 0), coalesce(sum(n * n), 0) FROM per_image
        """
    )
    return clustered_share(outcome, Clusters(*(int(each) for each in sums)))


def _grouping(
    database: Database, config: AuditConfig, name: str, title: str, column: str
) -> dict[str, Any]:
    by_outcome = {outcome: _group_sums(database, column, outcome) for outcome in OUTCOMES}
    order = _ORDERS.get(name, ())
    labels = sorted(
        by_outcome["found"],
        key=lambda each: (order.index(each) if each in order else len(order), each),
    )
    base = {"name": name, "title": title}
    if not labels:
        return base | {"missing": _MISSING.get(name, "No group."), "n_groups": 0, "groups": []}
    compared = [
        (label, outcome)
        for label in labels
        for outcome in OUTCOMES
        if _is_enough(by_outcome[outcome][label], config)
    ]
    # The rest of one of two groups is the other one: that is one test, not two.
    tested = [each for each in compared if len(labels) != 2 or each[0] == labels[0]]
    differences = {each: compare(by_outcome[each[1]][each[0]]) for each in compared}
    corrected = dict(zip(tested, holm([differences[each].p for each in tested]), strict=True))
    groups: list[dict[str, Any]] = []
    for label in labels:
        group: dict[str, Any] = {"label": label}
        for outcome in OUTCOMES:
            sums = by_outcome[outcome][label]
            share = clustered_share(outcome, sums.group)
            difference = differences.get((label, outcome))
            p = corrected.get((label, outcome), corrected.get((labels[0], outcome)))
            group["n_regions"], group["n_images"] = sums.group.n, sums.group.images
            group[outcome] = as_json(share)
            group[f"{outcome}_difference"] = _difference_json(difference, p)
        groups.append(group)
    _store(database, name, groups)
    return base | {
        "missing": "",
        "n_groups": len(labels),
        "n_tests": len(tested),
        "n_ungrouped": database.row(f"SELECT count(*) FROM judged WHERE {column} IS NULL")[0],
        "groups": groups,
    }


def _is_enough(sums: GroupSums, config: AuditConfig) -> bool:
    """Whether both the group and the rest have enough regions, in enough images."""
    return all(
        each.n >= config.min_faces and each.images >= config.min_images
        for each in (sums.group, sums.rest)
    )


def _difference_json(difference: Difference | None, p: float | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {
        "value": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p,
        "p_corrected": p,
    }


def _store(database: Database, name: str, groups: Sequence[dict[str, Any]]) -> None:
    rows = []
    for group in groups:
        for outcome in OUTCOMES:
            share, difference = group[outcome], group[f"{outcome}_difference"] or {}
            rows.append(
                {
                    "grouping": name,
                    "label": group["label"],
                    "outcome": outcome,
                    "n_regions": group["n_regions"],
                    "n_images": group["n_images"],
                    "share": share["value"],
                    "low": share["low"],
                    "high": share["high"],
                    "difference": difference.get("value"),
                    "difference_low": difference.get("low"),
                    "difference_high": difference.get("high"),
                    "p": difference.get("p"),
                    "p_corrected": difference.get("p_corrected"),
                }
            )
    database.add("disparity", pa.Table.from_pylist(rows, _SCHEMA))


def _group_sums(database: Database, column: str, outcome: str) -> dict[str, GroupSums]:
    """Give, for each group, its sums over images, those of everything, and their products.

    Everything are the regions that are in a group; those of which it is not known are in
    none, and are not the rest either.
    """
    rows = database.rows(
        f"""
        WITH known AS (
            SELECT no, {column} AS label, {outcome} AS hit FROM judged WHERE {column} IS NOT NULL
        ), whole AS (
            SELECT no, count(*) FILTER (hit) AS bh, count(*) AS bn FROM known GROUP BY no
        ), everything AS (
            SELECT count(*) AS images, sum(bh) AS h, sum(bn) AS n, sum(bh * bh) AS hh,
                sum(bh * bn) AS hn, sum(bn * bn) AS nn FROM whole
        ), part AS (
            SELECT no, label, count(*) FILTER (hit) AS h, count(*) AS n
            FROM known GROUP BY no, label
        )
        SELECT label,
            count(*), sum(part.h), sum(part.n), sum(part.h * part.h), sum(part.h * part.n),
            sum(part.n * part.n),
            sum(part.h * bh), sum(part.h * bn), sum(part.n * bh), sum(part.n * bn),
            count(*) FILTER (part.n = bn),
            any_value(everything.images), any_value(everything.h), any_value(everything.n),
            any_value(everything.hh), any_value(everything.hn), any_value(everything.nn)
        FROM part JOIN whole USING (no) CROSS JOIN everything
        GROUP BY label ORDER BY label
        """
    )
    found = {}
    for label, *numbers in rows:
        values = [int(each) for each in numbers]
        everything = Clusters(*values[11:17])
        # Images with regions of this group alone have none of the rest.
        images_rest = everything.images - values[10]
        h_all, h_n_all, n_h_all, n_all = values[6:10]
        group = Clusters(*values[:6])
        found[label] = GroupSums(group, everything, h_all, h_n_all, n_h_all, n_all, images_rest)
    return found
