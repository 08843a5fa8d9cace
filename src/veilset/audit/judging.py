# SPDX-License-Identifier: Apache-2.0
"""Each reviewed region, judged: was it found, would it be protected, which groups is it in."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from veilset.annotations.store import AnnotationSet
from veilset.audit.config import AuditConfig
from veilset.audit.database import Database, Row, quoted
from veilset.audit.disparity import size_group_sql
from veilset.audit.matching import found_by, protected_by
from veilset.audit.skin_tone import class_of, typology_angle
from veilset.audit.tables import read_shards
from veilset.audit.who import age_group_sql, number_of, text_of
from veilset.boxes import check_boxes_xyxy, enlarge
from veilset.engine.threads import ordered_map
from veilset.errors import AnnotationError, DecodeError
from veilset.images.decode import decode_image
from veilset.protocols import Reader
from veilset.types import FloatBoxes, ImageRecord

log = logging.getLogger(__name__)

_SCHEMA = pa.schema(
    [
        ("no", pa.int64()),
        ("place", pa.int32()),
        ("found", pa.bool_()),
        ("protected", pa.bool_()),
        ("tone", pa.string()),
    ]
)
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Judged:
    """What was compared with what.

    Attributes:
        n_images: Searched images with reviewed regions.
        n_regions: Their reviewed regions of the kind.
        n_not_reviewed: Regions of the reference that no person has reviewed: left out.
        n_changed: Images whose file is another one in the two sets: left out.
        n_undecoded: Images that could not be opened for the skin tone proxy.
    """

    n_images: int
    n_regions: int
    n_not_reviewed: int
    n_changed: int
    n_undecoded: int


def judge_reference(
    database: Database,
    annotations: AnnotationSet,
    reference: AnnotationSet,
    photos: Reader | None,
    config: AuditConfig,
    n_threads: int,
) -> Judged:
    """Make the table ``judged``: a row for each reviewed region.

    Args:
        database: Has the tables ``images`` and ``counted``.
        annotations: The set whose detections are judged.
        reference: The reviewed set. Only its regions of origin ``reviewed`` or ``imported``
            count: what no person saw is no truth.
        photos: The data set; needed for the skin tone proxy only.
        config: Settings.
        n_threads: Threads that decode images.

    Raises:
        AnnotationError: If the reference is the set itself, or shares no reviewed region
            with it.
        DatasetError: If a file of the reference is missing or damaged.
    """
    require_other_set(annotations, reference)
    read_shards(database, reference, "reference")
    n_not_reviewed, n_changed = _make_truth(database, config)
    (n_regions, n_images) = database.row("SELECT count(*), count(DISTINCT no) FROM truth")
    if not n_regions:
        raise AnnotationError(
            f"No searched image has a region of kind {config.kind!r} in the reference "
            f"{reference.folder} that people reviewed ({n_not_reviewed:,} are of a detector only, "
            f"{n_changed:,} images are of other files). Give the set that 'veilset review' "
            "exports, or an imported one."
        )
    database.run(
        "CREATE TABLE verdicts (no BIGINT, place INTEGER, found BOOLEAN, protected BOOLEAN, "
        "tone VARCHAR)"
    )
    n_undecoded = _judge_all(database, photos if config.skin_tone else None, config, n_threads)
    database.run(
        f"""
        CREATE TABLE judged AS
        SELECT no, found, protected, tone, category, shorter_px, gender,
            {size_group_sql()} AS size_group, {age_group_sql("age")} AS age_group
        FROM truth JOIN verdicts USING (no, place)
        """
    )
    return Judged(n_images, n_regions, n_not_reviewed, n_changed, n_undecoded)


def require_other_set(annotations: AnnotationSet, reference: AnnotationSet) -> None:
    """Refuse a reference that is what is judged.

    Raises:
        AnnotationError: If the two sets are one.
    """
    if reference.manifest.get("outputs_sha256") == annotations.manifest.get("outputs_sha256"):
        raise AnnotationError(
            "The reference is the annotation set itself, so that everything would be found. "
            "Give the set of the detector, and as reference the one that people reviewed."
        )


def _make_truth(database: Database, config: AuditConfig) -> tuple[int, int]:
    """Make the table of reviewed regions of searched images, numbered within each image."""
    database.run(
        """
        CREATE TABLE both_sets AS
        SELECT images.no, images.image_id, category, theirs.width, theirs.height, regions,
            images.sha256 != '' AND theirs.sha256 != '' AND images.sha256 != theirs.sha256
                OR images.area IS NOT NULL AND theirs.width > 0
                AND images.area != theirs.width::BIGINT * theirs.height AS is_changed
        FROM images JOIN reference AS theirs USING (image_id)
        WHERE images.status = 'looked' AND theirs.status = 'looked'
        """
    )
    (n_changed,) = database.row("SELECT count(*) FILTER (is_changed) FROM both_sets")
    database.run(
        f"""
        CREATE TEMP VIEW of_kind AS
        SELECT no, image_id, category, width, height, region.x0 AS x0, region.y0 AS y0,
            region.x1 AS x1, region.y1 AS y1, region.origin AS origin,
            region.attributes AS attributes
        FROM (SELECT *, unnest(regions) AS region FROM both_sets WHERE NOT is_changed)
        WHERE region.kind = {quoted(config.kind)}
        """
    )
    (n_not_reviewed,) = database.row("SELECT count(*) FROM of_kind WHERE origin = 'detected'")
    database.run(
        f"""
        CREATE TABLE truth AS
        SELECT no, image_id, category, width, height, x0, y0, x1, y1,
            row_number() OVER (PARTITION BY no ORDER BY x0, y0, x1, y1)::INTEGER AS place,
            least(x1 - x0, y1 - y0) AS shorter_px,
            {number_of("age")} AS age, {text_of("gender")} AS gender
        FROM of_kind WHERE origin IN ('reviewed', 'imported')
        """
    )
    return n_not_reviewed, n_changed


def _judge_all(
    database: Database, photos: Reader | None, config: AuditConfig, n_threads: int
) -> int:
    """Judge image by image; give the number of images that could not be opened."""
    rows = database.stream(
        """
        WITH theirs AS (
            SELECT no, any_value(image_id) AS image_id, any_value(width) AS width,
                any_value(height) AS height,
                list([x0, y0, x1, y1] ORDER BY place) AS reviewed
            FROM truth GROUP BY no
        ), ours AS (
            SELECT no, list([x0, y0, x1, y1] ORDER BY score DESC NULLS FIRST, x0, y0, x1, y1)
                AS detected
            FROM counted SEMI JOIN theirs USING (no) GROUP BY no
        )
        SELECT no, image_id, width, height, reviewed, coalesce(detected, []) AS detected
        FROM theirs LEFT JOIN ours USING (no)
        """
    )
    n_undecoded = 0
    with ExitStack() as stack:
        work: Iterator[Verdicts] = (_judge(row, None, config) for row in rows)
        if photos is not None:
            # Threads help where images are decoded; boxes alone are quicker without.
            threads = stack.enter_context(ThreadPoolExecutor(n_threads))
            window = 4 * n_threads
            work = ordered_map(
                threads, lambda row: _judge(row, photos, config), rows, window=window
            )
        for batch in _batches(work):
            n_undecoded += sum(undecoded for _, undecoded in batch)
            columns = [
                [value for found, _ in batch for value in found[i]] for i in range(len(_SCHEMA))
            ]
            database.add("verdicts", pa.table(columns, schema=_SCHEMA))
    return n_undecoded


Verdicts = tuple[tuple[Sequence[Any], ...], bool]
"""The columns of ``_SCHEMA`` for an image, and whether it could not be opened."""


def _batches(work: Iterator[Verdicts]) -> Iterator[list[Verdicts]]:
    batch: list[Verdicts] = []
    for each in work:
        batch.append(each)
        if len(batch) == _ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _judge(row: Row, photos: Reader | None, config: AuditConfig) -> Verdicts:
    no, image_id, width, height, reviewed, detected = row
    truth, ours = check_boxes_xyxy(reviewed), check_boxes_xyxy(detected)
    found = found_by(truth, ours, config.iou)
    hidden = enlarge(ours, config.enlarge)
    protected = protected_by(truth, hidden, (width, height), config.covered)
    tones, undecoded = _tones(image_id, truth, photos) if photos else ([None] * len(truth), False)
    n = len(truth)
    columns = ([no] * n, range(1, n + 1), found.tolist(), protected.tolist(), tones)
    return columns, undecoded


def _tones(image_id: str, truth: FloatBoxes, photos: Reader) -> tuple[list[str | None], bool]:
    try:
        image, _ = decode_image(photos.read(ImageRecord(image_id)))
    except DecodeError as error:
        log.warning("%s: no skin tone proxy (%s)", image_id, error.reason)
        return [None] * len(truth), True
    tones: list[str | None] = []
    for x0, y0, x1, y1 in truth:
        angle = typology_angle(image, (float(x0), float(y0), float(x1), float(y1)))
        tones.append(None if angle is None else class_of(angle))
    return tones, False
