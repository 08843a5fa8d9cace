# SPDX-License-Identifier: Apache-2.0
"""How long an audit of an annotation set of ImageNet's size takes, and how much memory.

    python benchmarks/audit.py make SET [--hierarchy BREEDS/wordnet] [--photos PHOTOS] [--people]
    python benchmarks/audit.py run SET [--hierarchy BREEDS/wordnet] [--photos PHOTOS] [--cores 2]

``make`` draws a set like that of the ImageNet face study: 1,431,093 images, of which
243,198 hold 562,626 faces, in 1,000 categories of which 106 have faces in more than half of
their images and 216 in more than a quarter. No picture is made. With ``--people`` every face
carries an age, its range, and a gender. ``run`` audits it in a process of its own, and checks
the counts against those that were drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from veilset.annotations.store import SCHEMA
from veilset.files import sha256_file
from veilset.protocols import Shard, ShardReport
from veilset.runs import Run
from veilset.tables import table_path
from veilset.types import ImageRecord

N_IMAGES, N_WITH_FACES, N_FACES, N_CATEGORIES = 1_431_093, 243_198, 562_626, 1_000
SHARD_SIZE, CAP = 1024, 100
SYNSETS = ("clothing", "wheeled vehicle", "musical instrument", "bird", "insect")


def category_names(hierarchy: Path | None) -> list[str]:
    """Give 1,000 names of categories, those of ImageNet if the hierarchy is at hand."""
    if hierarchy is None:
        return [f"n{10_000_000 + i}" for i in range(N_CATEGORIES)]
    classes = json.loads((hierarchy / "dataset_class_info.json").read_text())
    return sorted(wnid for _, wnid, _ in classes)


def images_with_faces(sizes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw how many images of each category have faces: the curve of the study's Figure 2."""
    ranks = np.arange(1, N_CATEGORIES + 1)
    # The points of the curve that the study states; between them, straight in the log.
    shares = np.exp(np.interp(ranks, [1, 106, 216], np.log([0.975, 0.5001, 0.2501])))
    tail = ranks > 216
    along = (ranks[tail] - 216) / (N_CATEGORIES - 216)
    wanted_in_tail = N_WITH_FACES - (shares * sizes)[~tail].sum()
    low, high = 0.01, 10.0
    for _ in range(60):
        bend = (low + high) / 2
        shares[tail] = 0.249 * (0.001 / 0.249) ** (along**bend)
        low, high = (bend, high) if (shares * sizes)[tail].sum() < wanted_in_tail else (low, bend)
    wanted = shares * sizes
    counts = np.floor(wanted).astype(int)
    first = np.argsort(counts - wanted)[: N_WITH_FACES - counts.sum()]
    counts[first] += 1
    return generator.permutation(counts)


def faces_per_image(generator: np.random.Generator) -> np.ndarray:
    """Draw 1 to 100 faces for each image that has some; exactly 562,626 in all."""
    # As skewed as the study says: 90.1 % of the images with faces have fewer than 5.
    counts = np.minimum(1 + generator.lognormal(-0.287, 1.3, N_WITH_FACES).astype(int), CAP)
    while (excess := int(counts.sum()) - N_FACES) != 0:
        able = np.flatnonzero(counts > 1 if excess > 0 else counts < CAP)
        some = generator.choice(able, min(abs(excess), able.size), replace=False)
        counts[some] -= np.sign(excess)
    return counts


def draw_people(n: int, generator: np.random.Generator) -> list[str]:
    """Draw the attributes of ``n`` faces as an estimator writes them."""
    ages = generator.gamma(6, 6, n).clip(0.3, 80).round(1)
    spreads = generator.exponential(3, (n, 2)).round(1)
    scores = (1 - 0.5 * generator.random(n) ** 4).round(4)
    genders = np.where(generator.random(n) < 0.5, "female", "male")
    return [
        json.dumps(
            {"age": age, "age_high": age + more, "age_low": max(0.2, age - less),
             "gender": gender, "gender_score": score}
        )
        for age, (less, more), gender, score in zip(
            ages.tolist(), spreads.tolist(), genders.tolist(), scores.tolist(), strict=True
        )
    ]  # fmt: skip


def draw_regions(
    n: int, sizes_wh: np.ndarray, generator: np.random.Generator, has_people: bool
) -> pa.StructArray:
    """Draw ``n`` boxes, one for each row of ``sizes_wh``; many overlap where there are many."""
    sides = np.exp(generator.normal(3.6, 0.9, n)).clip(4, 0.9 * sizes_wh.min(axis=1))
    corner = generator.random((n, 2)) * (sizes_wh - sides[:, None])
    columns = {
        "x0": corner[:, 0],
        "y0": corner[:, 1],
        "x1": corner[:, 0] + 0.8 * sides,
        "y1": corner[:, 1] + sides,
        "kind": pa.array(["face"] * n),
        "score": generator.random(n) ** 0.3,
        "origin": pa.array(["detected"] * n),
        "landmarks_xy": pa.array([[]] * n, pa.list_(pa.float64())),
        "attributes": pa.array(draw_people(n, generator) if has_people else ["{}"] * n),
    }
    kinds = SCHEMA.field("regions").type.value_type
    return pa.StructArray.from_arrays(
        [pa.array(columns[field.name], field.type) for field in kinds], fields=list(kinds)
    )


def make(folder: Path, hierarchy: Path | None, has_people: bool) -> None:
    """Write the set, and beside it ``drawn.json``: how much of what it holds."""
    generator = np.random.default_rng(7)
    names = category_names(hierarchy)
    sizes = np.full(N_CATEGORIES, N_IMAGES // N_CATEGORIES)
    sizes[: N_IMAGES - sizes.sum()] += 1
    with_faces = images_with_faces(sizes, generator)
    per_image = np.zeros(N_IMAGES, dtype=int)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    at = np.concatenate(
        [
            start + generator.choice(size, n, replace=False)
            for start, size, n in zip(starts, sizes, with_faces, strict=False)
        ]
    )
    per_image[at] = faces_per_image(generator)
    ids = [
        f"{name}/{name}_{i:05d}.JPEG"
        for name, size in zip(names, sizes, strict=True)
        for i in range(size)
    ]
    wh = generator.choice([(500, 375), (375, 500), (500, 333), (640, 480)], N_IMAGES)
    with Run.open(folder, "detect", {"made_by": "benchmarks/audit.py"}, {}) as run:
        starts = range(0, N_IMAGES, SHARD_SIZE)
        shards = (
            Shard(i, tuple(ImageRecord(each) for each in ids[first : first + SHARD_SIZE]))
            for i, first in enumerate(starts)
        )
        for shard in run.missing(shards):
            rows = slice(shard.index * SHARD_SIZE, shard.index * SHARD_SIZE + len(shard.records))
            run.commit(write_shard(folder, shard, per_image[rows], wh[rows], generator, has_people))
        run.finish()
    drawn = {
        "n_images": N_IMAGES,
        "n_with_faces": int((per_image > 0).sum()),
        "n_faces": int(per_image.sum()),
        "categories": {
            name: [int(size), int(n)]
            for name, size, n in zip(names, sizes, with_faces, strict=True)
        },
    }
    folder.with_suffix(".drawn.json").write_text(json.dumps(drawn))


def write_shard(
    folder: Path,
    shard: Shard,
    per_image: np.ndarray,
    wh: np.ndarray,
    generator: np.random.Generator,
    has_people: bool,
) -> ShardReport:
    """Write one shard straight from columns: rows one by one would take minutes."""
    n = len(shard.records)
    offsets = pa.array(np.concatenate([[0], np.cumsum(per_image)]), pa.int32())
    sizes_wh = np.repeat(wh, per_image, axis=0)
    regions = draw_regions(len(sizes_wh), sizes_wh, generator, has_people)
    ids = [record.image_id for record in shard.records]
    columns = [
        pa.array(ids), pa.array(["looked"] * n), pa.array(wh[:, 0], pa.int32()),
        pa.array(wh[:, 1], pa.int32()), pa.array([110_000] * n, pa.int64()),
        pa.array(["0" * 64] * n), pa.array([""] * n), pa.array([""] * n),
        pa.ListArray.from_arrays(offsets, regions),
    ]  # fmt: skip
    span = {"first_id": ids[0], "last_id": ids[-1]}
    schema = SCHEMA.with_metadata({**(SCHEMA.metadata or {}), **span})
    path = table_path(folder, shard.index)
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")
    return ShardReport(shard.index, n, {"looked": n}, {}, sha256_file(path), ids[0], ids[-1])


def make_photos(folder: Path, root: Path) -> None:
    """Make an empty file for each image of the set: an audit lists names and opens none."""
    for index in range(-(-N_IMAGES // SHARD_SIZE)):
        for name in pq.read_table(table_path(folder, index), columns=["image_id"])["image_id"]:
            path = root / str(name)
            if not path.parent.exists():
                path.parent.mkdir(parents=True)
            path.touch()


def audit(folder: Path, photos: Path | None, hierarchy: Path | None) -> None:
    """Audit the set in this process and print what it took, as JSON."""
    from veilset.audit.stage import AuditConfig, audit_dataset

    config = AuditConfig(synsets=SYNSETS if hierarchy else ())
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        audit_dataset(photos, folder, Path(out) / "audit", config, hierarchy=hierarchy)
        found = json.loads((Path(out) / "audit" / "audit.json").read_bytes())
        files = [path for path in (Path(out) / "audit").rglob("*") if path.is_file()]
        n_bytes = sum(path.stat().st_size for path in files)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    drawn = json.loads(folder.with_suffix(".drawn.json").read_text())
    check(found, drawn)
    half, quarter = (each["n_above"] for each in found["categories"]["above"])
    result = {
        "images": found["per_image"]["n_looked"],
        "regions": found["per_image"]["n_regions"],
        "above_half": half,
        "above_quarter": quarter,
        "few": round(found["per_image"]["share_few"]["value"], 4),
        "photos_listed": photos is not None,
        "categories_with_ages": _n_with_ages(found),
        "supercategories": {
            row["name"]: row["n_categories"] for row in found["supercategories"]["rows"]
        },
        "seconds": round(seconds, 1),
        "peak_mib": round(peak),
        "output_mb": round(n_bytes / 1e6, 1),
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(result))


def _n_with_ages(found: dict[str, object]) -> int:
    ages = found["people"]["age"]
    return ages["by_category"]["n_categories"] if ages else 0


def check(found: dict[str, object], drawn: dict[str, object]) -> None:
    """Stop if the audit does not count what was drawn."""
    counted = found["per_image"]
    expected = [drawn["n_images"], drawn["n_with_faces"], drawn["n_faces"]]
    if [counted["n_looked"], counted["n_with"], counted["n_regions"]] != expected:
        raise SystemExit(f"counted {counted}, drawn {expected}")
    for row in [*found["categories"]["most"], *found["categories"]["least"]]:
        if [row["n_images"], row["n_with"]] != drawn["categories"][row["category"]]:
            raise SystemExit(f"counted {row}, drawn {drawn['categories'][row['category']]}")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=["make", "run", "audit"])
    parser.add_argument("set", type=Path)
    parser.add_argument("--hierarchy", type=Path)
    parser.add_argument("--photos", type=Path, help="make empty files there, and list them")
    parser.add_argument("--people", action="store_true", help="draw ages and genders")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    if options.verb == "make":
        make(options.set, options.hierarchy, options.people)
        if options.photos:
            make_photos(options.set, options.photos)
    elif options.verb == "audit":
        audit(options.set, options.photos, options.hierarchy)
    else:
        cores = sorted(os.sched_getaffinity(0))[: options.cores]
        os.sched_setaffinity(0, cores)
        arguments = ["audit" if each == "run" else each for each in sys.argv[1:]]
        subprocess.run([sys.executable, __file__, *arguments], check=True)


if __name__ == "__main__":
    main()
