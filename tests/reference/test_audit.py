# SPDX-License-Identifier: Apache-2.0
"""The audit equals a computation in plain Python, and the published tables."""

from __future__ import annotations

import csv
import json
import math
import random
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.audit.drawn_set import face, failed, looked, not_looked, write_set
from veilset.audit.comparisons import GroupSums, compare
from veilset.audit.counts import AREA_SHARE_EDGES, COVERED_EDGES
from veilset.audit.hierarchy import read_hierarchy
from veilset.audit.matching import found_by, protected_by
from veilset.audit.shares import Clusters, clustered_share, mean_share, rate_of
from veilset.audit.skin_tone import lab_of
from veilset.audit.stage import AuditConfig, audit_dataset
from veilset.audit.supercategories import members_of
from veilset.boxes import union_mask
from veilset.intervals import bounded_mean, clustered_rate, wilson
from veilset.pages.histogram import FACE_SIZE_EDGES_PX
from veilset.types import Annotations, Origin, Status

WIDTH, HEIGHT = 37, 23

edge = st.floats(-10, 60).map(lambda value: round(value, 2))
boxes = st.tuples(edge, edge, edge, edge).map(
    lambda v: (min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3]))
)
regions = st.builds(
    face,
    boxes,
    st.one_of(st.none(), st.floats(0, 1)),
    st.sampled_from(list(Origin)),
    st.sampled_from(["face", "face", "plate"]),
)


@st.composite
def annotation_sets(draw: st.DrawFn) -> list[Annotations]:
    rows = []
    for number in range(draw(st.integers(1, 14))):
        name = f"{draw(st.sampled_from('abc'))}/{number}.jpg"
        kind = draw(st.integers(0, 9))
        if kind == 0:
            rows.append(not_looked(name))
        elif kind == 1:
            rows.append(failed(name, draw(st.sampled_from(["truncated", "missing"]))))
        else:
            few = draw(st.lists(regions, max_size=6))
            rows.append(looked(name, *few, width=WIDTH, height=HEIGHT))
    return rows


def bin_of(value: float, edges: tuple[float, ...]) -> int:
    """Give the bin of a value, the first and the last without an end."""
    inner = edges[1:-1]
    return sum(value >= each for each in inner)


@given(annotation_sets(), st.sampled_from([0.0, 0.5]))
@settings(max_examples=15)
def test_counts_equal_plain_python(rows: list[Annotations], min_score: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_set(folder / "set", rows)
        audit_dataset(None, folder / "set", folder / "audit", AuditConfig(min_score=min_score),
                      workers=2)  # fmt: skip
        found = json.loads((folder / "audit" / "audit.json").read_bytes())
        with (folder / "audit" / "tables" / "categories.csv").open() as stream:
            table = list(csv.DictReader(stream))
    searched = [row for row in rows if row.status is Status.LOOKED]
    counted = {
        row.image_id: [
            each for each in row.regions if each.kind == "face" and each.passes(min_score)
        ]
        for row in searched
    }
    per_image = Counter(len(each) for each in counted.values())
    assert found["per_image"]["images_by_regions"] == [[k, per_image[k]] for k in sorted(per_image)]
    flat = [each for some in counted.values() for each in some]
    assert found["regions"]["origins"] == dict(Counter(each.origin.value for each in flat))
    statuses = Counter(row.status.value for row in rows)
    assert {k: v for k, v in found["images"]["statuses"].items() if v} == dict(statuses)
    check_sizes(found["sizes"], counted)
    check_categories(table, rows, counted)


def check_sizes(found: dict[str, Any], counted: dict[str, list[Any]]) -> None:
    """Compare sizes and areas: the union is painted pixel by pixel."""
    sides, areas, covered = [], [], []
    for some in counted.values():
        masks = [union_mask([each.box_xyxy], (WIDTH, HEIGHT)) for each in some]
        areas += [mask.sum() / (WIDTH * HEIGHT) for mask in masks]
        sides += [min(e.box_xyxy[2] - e.box_xyxy[0], e.box_xyxy[3] - e.box_xyxy[1]) for e in some]
        covered.append(int(np.any(masks, axis=0).sum()) if masks else 0)
    shorter = Counter(bin_of(side, FACE_SIZE_EDGES_PX) for side in sides)
    assert found["shorter_px"]["counts"] == [shorter[i] for i in range(26)]
    shares = Counter(bin_of(area, AREA_SHARE_EDGES) for area in areas)
    assert found["area_share"]["counts"] == [shares[i] for i in range(9)]
    n_pixels = WIDTH * HEIGHT
    assert found["covered"]["n_covered_pixels"] == sum(covered)
    assert found["covered"]["n_pixels"] == n_pixels * len(covered)
    parts = Counter(bin_of(each / n_pixels, COVERED_EDGES) for each in covered if each)
    assert found["covered"]["counts"] == [parts[i] for i in range(5)]
    if covered:
        low, high = bounded_mean([each / n_pixels for each in covered])
        mean = found["covered"]["mean"]
        assert mean["value"] == pytest.approx(sum(covered) / n_pixels / len(covered), abs=2e-9)
        assert (mean["low"], mean["high"]) == pytest.approx((low, high), abs=1e-7)


def check_categories(
    table: list[dict[str, str]], rows: list[Annotations], counted: dict[str, list[Any]]
) -> None:
    """Compare the table of categories, its order and its intervals."""
    images: dict[str, list[Annotations]] = defaultdict(list)
    for image in rows:
        images[image.image_id.partition("/")[0]].append(image)
    expected = []
    for category, inside in images.items():
        n = sum(each.status is Status.LOOKED for each in inside)
        k = sum(bool(counted.get(each.image_id)) for each in inside)
        expected.append((-k / n if n else 1.0, -n, category, len(inside), k))
    expected.sort()
    assert [row["category"] for row in table] == [each[2] for each in expected]
    for row, (share, minus_n, _, n_images, k) in zip(table, expected, strict=True):
        n = -minus_n
        assert (int(row["n_images"]), int(row["n_looked"]), int(row["n_with"])) == (n_images, n, k)
        if n:
            ends = (-share, *wilson(k, n))
            got = (float(row["share"]), float(row["low"]), float(row["high"]))
            assert got == pytest.approx(ends, abs=1e-12)
        else:
            assert row["share"] == row["low"] == ""


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_rates_and_means_from_sums_equal_those_from_values(values: list[int]) -> None:
    rate = rate_of("", Counter(values), "")
    assert rate is not None
    assert (rate.low, rate.high) == pytest.approx(clustered_rate(values, len(values)))
    shares = [value / 9 for value in values]
    mean = mean_share("", len(shares), sum(shares), sum(each * each for each in shares))
    assert mean is not None
    assert (mean.low, mean.high) == pytest.approx(bounded_mean(shares))


def test_clustered_share_of_one_face_for_each_image_is_wilsons() -> None:
    share = clustered_share("", Clusters(100, 40, 100, 40, 40, 100))
    assert share is not None
    low, high = wilson(40, 100)
    # The variance of a sample divides by 99, Wilson's by 100.
    assert (share.low, share.high) == pytest.approx((low, high), abs=1e-3)


def clusters(hits: np.ndarray, sizes: np.ndarray) -> Clusters:
    """Give the sums over images; those without any are not images of the group."""
    kept = sizes > 0
    h, n = hits[kept], sizes[kept]
    return Clusters(len(h), *(int(each) for each in (h.sum(), n.sum(), (h * h).sum(),
                                                     (h * n).sum(), (n * n).sum())))  # fmt: skip


def group_sums(h: np.ndarray, n: np.ndarray, h_all: np.ndarray, n_all: np.ndarray) -> GroupSums:
    """Give the sums of a group among everything."""
    hh, hn, nh, nn = (
        int((a * b).sum()) for a, b in ((h, h_all), (h, n_all), (n, h_all), (n, n_all))
    )
    n_rest = int((n_all > n).sum())
    return GroupSums(clusters(h, n), clusters(h_all, n_all), hh, hn, nh, nn, n_rest)


def draw_two_groups(generator: np.random.Generator, *, effect: float) -> GroupSums:
    """Draw images of alike faces of two groups, of which one is found more often."""
    n_images = 150
    ease = generator.beta(4, 1.5, n_images)
    n1, n2 = generator.poisson(1.5, n_images), generator.poisson(3, n_images)
    h1 = generator.binomial(n1, np.clip(ease + effect, 0, 1))
    h2 = generator.binomial(n2, ease)
    return group_sums(h1, n1, h1 + h2, n1 + n2)


def test_the_rest_is_everything_less_the_group() -> None:
    generator = np.random.default_rng(3)
    n1, n2 = generator.poisson(1, 40), generator.poisson(2, 40)
    h1, h2 = generator.binomial(n1, 0.5), generator.binomial(n2, 0.5)
    assert group_sums(h1, n1, h1 + h2, n1 + n2).rest == clusters(h2, n2)


def test_the_comparison_rejects_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    p_values = [compare(draw_two_groups(generator, effect=0)).p for _ in range(1500)]
    rejected = sum(p < 0.05 for p in p_values) / len(p_values)
    # Faces of an image are alike: taken for independent, 5 % would become far more.
    assert 0.03 <= rejected <= 0.075
    found = [compare(draw_two_groups(generator, effect=0.15)).p < 0.05 for _ in range(200)]
    assert sum(found) / len(found) > 0.8


def test_the_interval_of_the_difference_holds_it_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    inside = 0
    for _ in range(600):
        found = compare(draw_two_groups(generator, effect=0))
        inside += found.low <= 0 <= found.high
    assert inside / 600 >= 0.92


def brute_found(truth: list[Any], ours: list[Any], least: float) -> list[bool]:
    """Match one after the other, in plain Python."""

    def iou(a: Any, b: Any) -> float:
        w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
        return w * h / union if union > 0 else 0.0

    taken = [False] * len(truth)
    for box in ours:
        best, best_iou = -1, 0.0
        for i, each in enumerate(truth):
            if not taken[i] and iou(box, each) > best_iou:
                best, best_iou = i, iou(box, each)
        if best >= 0 and best_iou >= least:
            taken[best] = True
    return taken


@given(st.lists(boxes, max_size=6), st.lists(boxes, max_size=6))
def test_matching_equals_plain_python(truth: list[Any], ours: list[Any]) -> None:
    a, b = np.array(truth).reshape(-1, 4), np.array(ours).reshape(-1, 4)
    assert found_by(a, b, 0.5).tolist() == brute_found(truth, ours, 0.5)
    mask = union_mask(b, (WIDTH, HEIGHT))
    for box, got in zip(truth, protected_by(a, b, (WIDTH, HEIGHT), 0.9), strict=True):
        own = union_mask([box], (WIDTH, HEIGHT))
        expected = own.any() and mask[own].mean() >= 0.9
        assert bool(got) == bool(expected)


def test_lab_equals_scikit_image() -> None:
    from skimage.color import rgb2lab

    pixels = np.random.default_rng(1).integers(0, 256, (500, 3), dtype=np.uint8)
    ours = np.stack(lab_of(pixels), axis=1)
    assert np.abs(ours - rgb2lab(pixels[None] / 255.0)[0]).max() < 0.01


BREEDS = Path("imagenet_meta") / "breeds" / "imagenet_class_hierarchy" / "wordnet"

# Yang et al. 2022, "A Study of Face Obfuscation in ImageNet", Table 2.
TABLE_2 = {
    "clothing": 49, "wheeled vehicle": 44, "musical instrument": 26, "bird": 59, "insect": 27,
}  # fmt: skip


@pytest.mark.real
def test_supercategories_of_imagenet_hold_as_many_categories_as_published(real_data: Path) -> None:
    hierarchy = read_hierarchy(real_data / BREEDS)
    classes = json.loads((real_data / BREEDS / "dataset_class_info.json").read_text())
    members = members_of(hierarchy, [wnid for _, wnid, _ in classes])
    found = {name: len(members[hierarchy.find(name, members)]) for name in TABLE_2}
    assert found == TABLE_2


@pytest.mark.real
def test_table_2_of_a_set_of_all_categories(tmp_path: Path, real_data: Path) -> None:
    classes = json.loads((real_data / BREEDS / "dataset_class_info.json").read_text())
    random_ = random.Random(0)
    rows = [
        looked(f"train/{wnid}/{wnid}_{i}.JPEG", *[face()] * (random_.random() < 0.3))
        for _, wnid, _ in classes
        for i in range(5)
    ]
    write_set(tmp_path / "set", rows, shard_size=1024)
    config = AuditConfig(synsets=tuple(TABLE_2))
    audit_dataset(None, tmp_path / "set", tmp_path / "audit", config,
                  hierarchy=real_data / BREEDS)  # fmt: skip
    found = json.loads((tmp_path / "audit" / "audit.json").read_bytes())["supercategories"]
    parents: dict[str, set[str]] = defaultdict(set)
    for line in (real_data / BREEDS / "class_hierarchy.txt").read_text().splitlines():
        parent, child = line.split()
        parents[child].add(parent)

    def is_a(synset: str, wanted: str) -> bool:
        return synset == wanted or any(is_a(each, wanted) for each in parents[synset])

    for row in found["rows"]:
        inside = [each for each in rows if is_a(each.image_id.split("/")[1], row["synset"])]
        k = sum(bool(each.regions) for each in inside)
        assert row["n_categories"] == TABLE_2[row["name"]]
        assert (row["n_images"], row["n_with"]) == (len(inside), k)
        assert math.isclose(row["share"], k / len(inside))
