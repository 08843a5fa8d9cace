# SPDX-License-Identifier: Apache-2.0
"""Review jobs of drawn crowds: round faces at known places, no photograph of a person."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.files import sha256_hex
from veilset.protocols import Shard, ShardReport
from veilset.review.database.connect import Database
from veilset.review.job import people
from veilset.review.job.filling import Sources
from veilset.review.job.jobs import find_job, open_job
from veilset.review.settings import JobSettings
from veilset.review.values import Role
from veilset.runs import Run
from veilset.types import Annotations, BoxXyxy, ImageRecord, Origin, Region, Status

SKINS = ((241, 205, 178), (214, 161, 122), (160, 108, 76), (110, 72, 50), (248, 220, 200))


@dataclass(frozen=True)
class Crowd:
    """A picture: where its faces are, and where a detector said they were."""

    name: str
    faces: tuple[BoxXyxy, ...]
    proposals: tuple[BoxXyxy, ...]
    size_wh: tuple[int, int] = (960, 640)


def few_faces(number: int) -> Crowd:
    """Three faces; the detector moved one, missed one and fired on a lamp."""
    shift = number % 7 * 12
    faces = (
        (120.0 + shift, 180.0, 250.0 + shift, 340.0),
        (420.0, 200.0 + shift, 500.0, 300.0 + shift),
        (700.0, 260.0, 752.0, 324.0),
    )
    moved = (140.0 + shift, 150.0, 270.0 + shift, 320.0)
    return Crowd(f"crowd-{number:03d}.jpg", faces, (moved, faces[1], (30.0, 30.0, 90.0, 90.0)))


def thousand_faces() -> Crowd:
    """A stadium: 40 rows of 25."""
    corners = [(8.0 + 76 * column + row % 2 * 20, 8.0 + 31 * row)
               for row in range(40) for column in range(25)]  # fmt: skip
    boxes = tuple((x, y, x + 24, y + 26) for x, y in corners)
    return Crowd("stadium.jpg", boxes, boxes, (1960, 1280))


def jpeg(crowd: Crowd) -> bytes:
    """Draw a crowd."""
    width, height = crowd.size_wh
    rows = np.linspace(0, 1, height)[:, None, None]
    sky = np.array([168, 190, 205]) * (1 - rows) + np.array([96, 104, 92]) * rows
    image = Image.fromarray(np.broadcast_to(sky, (height, width, 3)).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    pen.ellipse((30, 30, 90, 90), fill=(250, 226, 140))
    for number, (x0, y0, x1, y1) in enumerate(crowd.faces):
        draw_person(pen, (x0, y0, x1, y1), number)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return stream.getvalue()


def draw_person(pen: ImageDraw.ImageDraw, box: BoxXyxy, number: int) -> None:
    """Draw shoulders, a head and what belongs to it."""
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    coat = ((38, 70, 110), (120, 44, 52), (58, 90, 64), (90, 80, 120))[number % 4]
    pen.rounded_rectangle((x0 - wide * 0.5, y1 - high * 0.05, x1 + wide * 0.5, y1 + high * 1.3),
                          radius=wide * 0.5, fill=coat)  # fmt: skip
    pen.ellipse((x0, y0 - high * 0.08, x1, y0 + high * 0.7), fill=(52, 40, 34))
    pen.ellipse((x0 + wide * 0.05, y0, x1 - wide * 0.05, y1), fill=SKINS[number % len(SKINS)])
    for side in (0.32, 0.68):
        middle, level = x0 + wide * side, y0 + high * 0.45
        across, down = wide * 0.06, high * 0.04
        pen.ellipse(
            (middle - across, level - down, middle + across, level + down), fill=(30, 24, 22)
        )
    pen.arc((x0 + wide * 0.3, y0 + high * 0.55, x1 - wide * 0.3, y0 + high * 0.8), 20, 160,
            fill=(120, 50, 46), width=max(1, int(wide * 0.03)))  # fmt: skip


@dataclass
class CrowdSite:
    """A job in a SQLite database; its links were not used yet."""

    url: str
    owner: str
    workers: list[str]


def make_crowd_site(
    folder: Path,
    ordinary: Sequence[Crowd],
    gold: Sequence[Crowd],
    settings: JobSettings,
    n_workers: int = 2,
) -> CrowdSite:
    """Draw pictures, annotate them, open a job and invite people."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    drawn = {crowd.name: jpeg(crowd) for crowd in (*ordinary, *gold)}
    for name, data in drawn.items():
        (photos / name).write_bytes(data)
    proposed = _annotated(folder / "annotations", [*ordinary, *gold], drawn, is_truth=False)
    truth = _annotated(folder / "gold", gold, drawn, is_truth=True) if gold else None
    url = f"sqlite:///{folder / 'review.sqlite'}"
    now_ms = time.time_ns() // 1_000_000
    with Database.open(url, create=True) as database:
        database.run(
            lambda conn: open_job(conn, "faces", Sources(photos, proposed, truth), settings, now_ms)
        )
        job = database.look(lambda conn: find_job(conn, None))
        owner = database.run(lambda conn: people.owner_link(conn, job, 24, now_ms).token)
        invited = database.run(
            lambda conn: people.invite(conn, job, Role.WORKER, n_workers, 24, now_ms)
        )
    return CrowdSite(url, owner, [each.token for each in invited])


def _annotated(
    folder: Path, crowds: Sequence[Crowd], drawn: dict[str, bytes], *, is_truth: bool
) -> AnnotationSet:
    rows = [
        Annotations(
            image_id=crowd.name, status=Status.LOOKED,
            width=crowd.size_wh[0], height=crowd.size_wh[1],
            regions=tuple(
                Region(box, score=0.9, origin=Origin.DETECTED)
                for box in (crowd.faces if is_truth else crowd.proposals)
            ),
            sha256=sha256_hex(drawn[crowd.name]), n_bytes=len(drawn[crowd.name]),
        )
        for crowd in crowds
    ]  # fmt: skip
    with Run.open(folder, "detect", {}, {}) as run:
        shard = Shard(0, tuple(ImageRecord(crowd.name) for crowd in crowds))
        for each in run.missing([shard]):
            digest = write_annotations(folder, each.index, rows)
            run.commit(ShardReport(each.index, len(rows), digest=digest))
        run.finish()
    return AnnotationSet(folder)
