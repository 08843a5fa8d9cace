# SPDX-License-Identifier: Apache-2.0
"""Average precision of attributes and of objects, against hand-worked cases and others' code."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import average_precision_score

from veilset.errors import DatasetError
from veilset.study.transfer.coco_metric import coco_precision
from veilset.study.transfer.data.voc import CATEGORIES, Scene
from veilset.study.transfer.metrics import FoundObjects, attribute_precision, voc07_precisions

PERSON, DOG = CATEGORIES.index("person"), CATEGORIES.index("dog")
A, B, FAR = (0, 0, 10, 10), (20, 20, 30, 30), (50, 50, 60, 60)


def _scene(*objects: tuple[tuple[int, ...], int, bool], name: str = "a") -> Scene:
    boxes, categories, difficult = zip(*objects, strict=True) if objects else ((), (), ())
    return Scene(
        name,
        (100, 100),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(categories, dtype=np.int64),
        np.array(difficult, dtype=np.bool_),
    )


def _found(*objects: tuple[tuple[float, ...], int, float], name: str = "a") -> FoundObjects:
    boxes, categories, scores = zip(*objects, strict=True) if objects else ((), (), ())
    return FoundObjects(
        name,
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(categories, dtype=np.int64),
        np.array(scores, dtype=np.float64),
    )


PAIR = _scene((A, PERSON, False), (B, PERSON, False))


@pytest.mark.parametrize(
    ("scene", "found", "expected"),
    [
        # Both found, first: precision 1 at every recall.
        (PAIR, _found((A, PERSON, 0.9), (B, PERSON, 0.8)), 1.0),
        # Right, wrong, right: 1 up to recall .5 (six points), 2/3 above (five points).
        (
            PAIR,
            _found((A, PERSON, 0.9), (FAR, PERSON, 0.8), (B, PERSON, 0.7)),
            (6 * 1 + 5 * 2 / 3) / 11,
        ),
        # Half of the objects: 1 at six points, 0 at five.
        (PAIR, _found((B, PERSON, 0.1)), 6 / 11),
        # The second detection of one object is wrong.
        (
            PAIR,
            _found((A, PERSON, 0.9), (A, PERSON, 0.8), (B, PERSON, 0.7)),
            (6 + 5 * 2 / 3) / 11,
        ),
        # The category counts.
        (PAIR, _found((A, DOG, 0.9), (B, DOG, 0.8)), 0.0),
        (PAIR, _found(), 0.0),
        # 10 x 5 of 10 x 10: an IoU of exactly 0.5 is enough; a hair less is not.
        (_scene((A, PERSON, False)), _found(((0, 0, 10, 5), PERSON, 0.9)), 1.0),
        (_scene((A, PERSON, False)), _found(((0, 0, 10, 4.99), PERSON, 0.9)), 0.0),
        # Difficult: neither found nor missed, however often it is detected.
        (
            _scene((A, PERSON, True), (B, PERSON, False)),
            _found((A, PERSON, 0.9), (A, PERSON, 0.8), (B, PERSON, 0.7)),
            1.0,
        ),
        # It belongs to the object it overlaps most, which is taken: wrong, although it overlaps
        # the other one by 2/3 too.
        (
            _scene((A, PERSON, False), ((0, 2, 10, 12), PERSON, False)),
            _found((A, PERSON, 0.9), (A, PERSON, 0.8)),
            6 / 11,
        ),
    ],
)  # fmt: skip
def test_voc07_by_hand(scene: Scene, found: FoundObjects, expected: float) -> None:
    mean, each = voc07_precisions([scene], [found])
    assert mean == pytest.approx(expected, abs=1e-12)
    assert each[PERSON] == pytest.approx(expected, abs=1e-12)
    assert each[DOG] is None


def test_voc07_ranks_over_all_pictures() -> None:
    scenes = [_scene((A, PERSON, False)), _scene(name="b"), _scene((B, DOG, True), name="c")]
    found = [_found((A, PERSON, 0.5)), _found((A, PERSON, 0.6), name="b"), _found(name="c")]
    # The stronger one, on an empty picture, is wrong: precision 1/2 at every recall.
    mean, each = voc07_precisions(scenes, found)
    assert mean == 0.5
    # Only a difficult dog: nothing to find.
    assert each[DOG] is None


def test_rows_of_other_pictures_are_refused() -> None:
    with pytest.raises(DatasetError, match="not those of the test pictures"):
        voc07_precisions([PAIR], [_found(name="b")])
    with pytest.raises(DatasetError, match="No category occurs"):
        voc07_precisions([_scene((A, DOG, True))], [_found()])


def _random_case(seed: int) -> tuple[list[Scene], list[FoundObjects]]:
    generator = np.random.default_rng(seed)
    scenes, found = [], []
    for number in range(12):
        n = int(generator.integers(0, 5))
        low = generator.integers(0, 60, (n, 2))
        boxes = np.concatenate([low, low + generator.integers(8, 40, (n, 2))], axis=1)
        categories = generator.choice([PERSON, DOG, 3], n)
        difficult = generator.random(n) < 0.25
        objects = [
            (tuple(b), int(c), bool(d))
            for b, c, d in zip(boxes.tolist(), categories, difficult, strict=True)
        ]
        scenes.append(_scene(*objects, name=f"{number}"))
        shifted = np.repeat(boxes, 2, axis=0) + generator.normal(0, 3, (2 * n, 4))
        shifted[:, 2:] = np.maximum(shifted[:, 2:], shifted[:, :2] + 1)
        rows = [
            (tuple(b), int(c), float(s))
            for b, c, s in zip(
                shifted.tolist(),
                np.repeat(categories, 2),
                generator.random(2 * n).round(2),
                strict=True,
            )
        ]
        found.append(_found(*rows, name=f"{number}"))
    return scenes, found


def _reference_voc07(scenes: list[Scene], found: list[FoundObjects], category: int) -> float:
    """The evaluation of the development kit, written as it is there: one loop, boxes from 1."""
    npos = 0
    ground: dict[str, list[list[float]]] = {}
    for scene in scenes:
        ground[scene.image_id] = []
        for box, c, d in zip(scene.boxes_xyxy, scene.categories, scene.difficult, strict=True):
            if c == category:
                ground[scene.image_id].append([box[0] + 1, box[1] + 1, box[2], box[3], d, 0])
                npos += not d
    lines = [
        (s, row.image_id, [b[0] + 1, b[1] + 1, b[2], b[3]])
        for row in found
        for b, c, s in zip(row.boxes_xyxy, row.categories, row.scores, strict=True)
        if c == category
    ]
    tp: list[int] = []
    fp: list[int] = []
    for _, image_id, bb in sorted(lines, key=lambda line: -line[0]):
        ovmax, best = -1.0, None
        for gt in ground[image_id]:
            iw = min(bb[2], gt[2]) - max(bb[0], gt[0]) + 1
            ih = min(bb[3], gt[3]) - max(bb[1], gt[1]) + 1
            if iw > 0 and ih > 0:
                area = (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1)
                union = area + (gt[2] - gt[0] + 1) * (gt[3] - gt[1] + 1) - iw * ih
                if iw * ih / union > ovmax:
                    ovmax, best = iw * ih / union, gt
        is_right = best is not None and ovmax >= 0.5 and not best[4] and not best[5]
        is_ignored = best is not None and ovmax >= 0.5 and bool(best[4])
        tp.append(int(is_right))
        fp.append(int(not is_right and not is_ignored))
        if is_right and best is not None:
            best[5] = 1
    ap = 0.0
    for t in range(11):
        points = [
            sum(tp[: i + 1]) / max(1, sum(tp[: i + 1]) + sum(fp[: i + 1]))
            for i in range(len(tp))
            if sum(tp[: i + 1]) / npos >= t / 10
        ]
        ap += max(points, default=0.0) / 11
    return ap


@pytest.mark.parametrize("seed", range(8))
def test_voc07_equals_the_development_kit(seed: int) -> None:
    scenes, found = _random_case(seed)
    _, each = voc07_precisions(scenes, found)
    known = [category for category in range(20) if each[category] is not None]
    assert set(known) <= {PERSON, DOG, 3}
    assert known
    for category in known:
        assert each[category] == pytest.approx(_reference_voc07(scenes, found, category), abs=1e-12)


def _reference_coco(scenes: list[Scene], found: list[FoundObjects]) -> COCOeval:
    images = [{"id": number} for number in range(1, len(scenes) + 1)]
    objects: list[dict[str, object]] = []
    guesses: list[dict[str, object]] = []
    for number, (scene, row) in enumerate(zip(scenes, found, strict=True), 1):
        for (x0, y0, x1, y1), c, d in zip(
            scene.boxes_xyxy, scene.categories, scene.difficult, strict=True
        ):
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
            objects.append(
                {"id": len(objects) + 1, "image_id": number, "category_id": int(c)}
                | box
                | {"iscrowd": int(d)}
            )
        for (x0, y0, x1, y1), c, s in zip(
            row.boxes_xyxy.astype(np.float32), row.categories, row.scores, strict=True
        ):
            sides = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
            guesses.append(
                {"image_id": number, "category_id": int(c), "bbox": sides, "score": np.float32(s)}
            )
    categories = [{"id": c} for c in sorted({int(c) for s in scenes for c in s.categories})]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {}, "images": images, "annotations": objects, "categories": categories
        }  # fmt: skip
        truth.createIndex()
        judged = COCOeval(truth, truth.loadRes(guesses), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged


@pytest.mark.parametrize("seed", range(3))
def test_coco_equals_pycocotools(seed: int) -> None:
    scenes, found = _random_case(seed)
    ours = coco_precision(scenes, found)
    judged = _reference_coco(scenes, found)
    assert ours.mean == pytest.approx(judged.stats[0], abs=1e-9)
    assert ours.at_50 == pytest.approx(judged.stats[1], abs=1e-9)
    precision = judged.eval["precision"][0, :, :, 0, -1]
    for column, category in enumerate(judged.params.catIds):
        expected = precision[:, column].mean() if (precision[:, column] > -1).all() else None
        assert ours.each_at_50[category] == (
            expected if expected is None else pytest.approx(expected, abs=1e-6)
        )


def test_coco_where_a_category_is_only_difficult() -> None:
    scenes = [_scene((A, PERSON, False), (B, DOG, True))]
    ours = coco_precision(scenes, [_found((A, PERSON, 0.9), (B, DOG, 0.9))])
    assert (ours.at_50, ours.each_at_50[PERSON]) == pytest.approx((1.0, 1.0))
    assert ours.each_at_50[DOG] is None


def test_attributes_equal_scikit_learn() -> None:
    generator = np.random.default_rng(5)
    marks = generator.random((200, 6)) < 0.3
    marks[:, 4] = False
    scores = generator.normal(size=(200, 6)).round(1).astype(np.float32)
    mean, each = attribute_precision(marks, scores)
    expected = [average_precision_score(marks[:, a], scores[:, a]) for a in (0, 1, 2, 3, 5)]
    assert [each[a] for a in (0, 1, 2, 3, 5)] == pytest.approx(expected, abs=1e-12)
    assert each[4] is None
    assert mean == pytest.approx(np.mean(expected), abs=1e-12)
    with pytest.raises(DatasetError, match="No attribute occurs"):
        attribute_precision(marks[:, 4:5], scores[:, 4:5])
