# SPDX-License-Identifier: Apache-2.0
"""How many people are in an image, as far as faces and regions of kind ``person`` tell.

Other ways of counting, with the faces of a second detector or with parts of bodies, were measured
against counts by eye and found no better: ``docs/audit.md``, ``benchmarks/people.py``.
"""

from __future__ import annotations

from typing import Any

from veilset.audit.config import AuditConfig
from veilset.audit.database import Database
from veilset.audit.shares import as_json, rate_of, share_of

FACE, PERSON = "face", "person"

ROWS = 5
"""Images with 0, 1, ... people have a share each; the last is of those with as many or more."""

HOW_WRONG = (
    "A count of faces is no count of people: people without a visible face are missed, and faces "
    "of animals, dolls and pictures count. With the faces of the default detector alone, on 240 "
    "photographs of ImageNet in which one person counted by eye, the number was right in 82.5 % "
    "(77.2 to 86.8 %), somebody was counted in 75.0 % (62.3 to 84.5 %) of those with people, and "
    "nobody in 92.4 % (87.6 to 95.4 %) of those without."
)
"""Measured by ``benchmarks/people.py``; told wherever people are counted."""


def count_people(database: Database, config: AuditConfig) -> dict[str, Any] | None:
    """Count the searched images by number of people.

    A region of kind ``person`` is a person, and so is a face whose centre lies in none of them.
    Where there are more faces than that, as of people behind each other in one box, the faces
    count.

    Args:
        database: Has the tables ``images`` and ``regions``.
        config: ``kind`` and ``min_score`` are used.

    Returns:
        JSON values: people, images by their number, and the shares of images with 0 to
        ``ROWS`` of them; None if the audit is about neither faces nor people, or no image
        was searched.
    """
    if config.kind not in (FACE, PERSON):
        return None
    rows = database.rows(
        f"""
        WITH all_seen AS (
            SELECT no, kind, x0, y0, x1, y1, row_number() OVER () AS place FROM regions
            WHERE kind IN ('{FACE}', '{PERSON}')
            -- As ``Region.passes``: what people decided counts whatever the detector thought.
            AND (score IS NULL OR origin = 'reviewed' OR score >= {config.min_score!r}::DOUBLE)
        ), persons AS (
            FROM all_seen WHERE kind = '{PERSON}'
        ), faces AS (
            SELECT no, place, (x0 + x1) / 2 AS x, (y0 + y1) / 2 AS y FROM all_seen
            WHERE kind = '{FACE}'
        ), inside AS (
            SELECT DISTINCT faces.no, faces.place FROM faces JOIN persons ON
                faces.no = persons.no AND x >= x0 AND x < x1 AND y >= y0 AND y < y1
        ), sums AS (
            SELECT no, count(*) FILTER (kind = '{FACE}') AS n_faces,
                count(*) FILTER (kind = '{PERSON}') AS n_persons
            FROM all_seen GROUP BY no
        ), hidden AS (
            SELECT no, count(*) AS n_inside FROM inside GROUP BY no
        ), people AS (
            SELECT no, greatest(n_faces, n_persons + n_faces - coalesce(n_inside, 0)) AS n_people
            FROM sums LEFT JOIN hidden USING (no)
        )
        SELECT coalesce(n_people, 0) AS n, count(*) FROM images LEFT JOIN people USING (no)
        WHERE status = 'looked' GROUP BY n ORDER BY n
        """
    )
    histogram: dict[int, int] = {int(n_people): n_images for n_people, n_images in rows}
    n_looked = sum(histogram.values())
    if not n_looked:
        return None
    (n_persons,) = database.row(f"SELECT count(*) FROM regions WHERE kind = '{PERSON}'")
    return {
        "n_people": sum(n_people * n for n_people, n in histogram.items()),
        "n_looked": n_looked,
        "has_person_regions": n_persons > 0,
        "images_by_people": [list(row) for row in sorted(histogram.items())],
        "mean": as_json(rate_of("people in an image", histogram, "people")),
        "shares": [_share(histogram, i, n_looked) for i in range(ROWS + 1)],
    }


def _share(histogram: dict[int, int], n_people: int, n_looked: int) -> dict[str, Any]:
    is_last = n_people == ROWS
    n_images = sum(
        n for each, n in histogram.items() if (each >= n_people if is_last else each == n_people)
    )
    name = f"{n_people} or more" if is_last else str(n_people)
    share = share_of(f"images with {name} people", n_images, n_looked)
    return {"people": name, "n_images": n_images, "share": as_json(share)}
