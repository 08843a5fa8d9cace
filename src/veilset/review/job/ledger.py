# SPDX-License-Identifier: Apache-2.0
"""What every change leaves behind: events, and the sums of the dashboard."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, insert, text

from veilset.review.database.tables import event, tally

MINUTE_MS = 60_000

SUMS = tuple(column.name for column in tally.columns if column.name not in ("job_id", "minute_ms"))

# Both databases speak this dialect of INSERT.
_ADD = text(
    f"INSERT INTO tally (job_id, minute_ms, {', '.join(SUMS)}) "  # noqa: S608  names of columns
    f"VALUES (:job_id, :minute_ms, {', '.join(f':{name}' for name in SUMS)}) "
    "ON CONFLICT (job_id, minute_ms) DO UPDATE SET "
    + ", ".join(f"{name} = tally.{name} + excluded.{name}" for name in SUMS)
)
_NOTHING = dict.fromkeys(SUMS, 0)


def note(
    conn: Connection,
    job_id: int,
    what: str,
    now_ms: int,
    person_id: int | None = None,
    **detail: Any,
) -> None:
    """Record that something happened; never secrets, never what is in an image."""
    row = {
        "job_id": job_id, "person_id": person_id, "what": what,
        "detail": json.dumps(detail, sort_keys=True), "at_ms": now_ms,
    }  # fmt: skip
    conn.execute(insert(event), row)


def add_up(conn: Connection, job_id: int, now_ms: int, **sums: int) -> None:
    """Add to the sums of this minute. The last thing that a transaction does: everybody
    who writes waits for this row."""
    if any(sums.values()):
        row = {"job_id": job_id, "minute_ms": now_ms - now_ms % MINUTE_MS}
        conn.execute(_ADD, _NOTHING | row | sums)
