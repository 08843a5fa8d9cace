# SPDX-License-Identifier: Apache-2.0
"""Gold: what passes, what does not, and why."""

from __future__ import annotations

import numpy as np
import pytest

from veilset.review.rules.gold import score_gold, spoil
from veilset.review.settings import JobSettings
from veilset.review.values import Drawing, Drawn, boxes_of
from veilset.unions import covered_areas, visible_boxes

SIZE = (400, 300)
COVERAGE = JobSettings()
UNION = JobSettings(gold_rule="union-iou")
FACE = Drawn((100, 100, 140, 150))
NEIGHBOUR = Drawn((140, 100, 180, 150))
WHOLE = Drawn((0, 0, 400, 300))


def problems(truth: Drawing, drawn: Drawing, settings: JobSettings = COVERAGE) -> list[str]:
    return [problem.what for problem in score_gold(truth, drawn, SIZE, settings).problems]


@pytest.mark.parametrize(
    ("truth", "drawn", "expected"),
    [
        ((), (), []),
        ((), (FACE,), ["stray"]),
        ((FACE,), (), ["missed"]),
        ((FACE, NEIGHBOUR), (Drawn((100, 100, 180, 150)),), []),  # one box over faces that touch
        ((FACE, NEIGHBOUR), (WHOLE,), ["stray"]),
        ((Drawn((0, 0, 200, 240)),), (WHOLE,), ["stray"]),  # though 40 % of it are a face
        ((Drawn((20, 10, 340, 290)),), (WHOLE,), []),  # a face that fills the picture
        ((FACE,), (FACE, Drawn((300, 200, 340, 250))), ["stray"]),
        ((FACE,), (Drawn((101, 101, 128, 149)),), ["missed"]),  # 65 % of the face
        ((FACE,), (Drawn((102, 102, 138, 149)),), []),  # 85 %
        ((FACE,), (Drawn((80, 75, 160, 175)),), []),  # twice the sides: a quarter, and 4 px
        ((FACE,), (Drawn((60, 50, 180, 200)),), ["stray"]),  # three times the sides
        ((FACE,), (Drawn(FACE.box_xyxy, "nsfw"),), []),
        ((Drawn((10, 10, 11, 11)),), (Drawn((8, 8, 14, 14)),), []),  # 1 px, hit with a margin
        ((Drawn((10, 10, 10, 10)),), (Drawn((9, 9, 12, 12)),), []),  # a point
        ((Drawn((10, 10, 10, 10)),), (Drawn((12, 12, 14, 14)),), ["missed"]),
    ],
)  # fmt: skip
def test_coverage_asks_for_each_face(truth, drawn, expected) -> None:
    assert problems(truth, drawn) == expected


def test_the_small_face_beside_a_large_one_counts_under_coverage_only() -> None:
    large, small = Drawn((0, 0, 200, 200)), Drawn((300, 100, 312, 115))
    assert problems((large, small), (large,), UNION) == []
    assert problems((large, small), (large,)) == ["missed"]


def test_the_papers_rule_names_the_worst_box() -> None:
    wide = Drawn((100, 100, 240, 150))
    verdict = score_gold((FACE,), (wide,), SIZE, UNION)
    assert [(each.what, each.box_xyxy) for each in verdict.problems] == [("overlap", wide.box_xyxy)]
    assert verdict.union_iou == pytest.approx(40 / 140)
    assert problems((FACE, NEIGHBOUR), (FACE,), UNION) == ["overlap"]
    assert problems((), (FACE,), UNION) == ["stray"]


def test_the_papers_threshold_is_the_limit() -> None:
    truth = (Drawn((0, 0, 100, 100)),)
    assert problems(truth, (Drawn((0, 0, 72, 100)),), UNION) == []
    assert problems(truth, (Drawn((0, 0, 71.9, 100)),), UNION) == ["overlap"]


def test_counts_are_there_for_recall_and_precision() -> None:
    verdict = score_gold((FACE, Drawn((10, 10, 30, 30))), (FACE, WHOLE), SIZE, UNION)
    assert (verdict.n_true, verdict.n_found, verdict.n_drawn, verdict.n_right) == (2, 2, 2, 1)


def test_overlapping_covers_count_once() -> None:
    # The middle third is covered twice; without the union the face would seem covered.
    truth = (Drawn((0, 0, 90, 10)),)
    twice = (Drawn((0, 0, 45, 10)), Drawn((15, 0, 60, 10)))
    assert covered_areas(boxes_of(truth), boxes_of(twice)).tolist() == [600.0]
    assert problems(truth, twice) == ["missed"]


def test_float_sides_are_exact() -> None:
    thirds = [(i / 3, 0.1, (i + 1) / 3, 0.7) for i in range(30)]
    assert covered_areas([(0, 0, 10, 1)], thirds)[0] == pytest.approx(6.0, abs=1e-12)


def test_many_boxes_agree_with_a_raster() -> None:
    rng = np.random.default_rng(7)

    def boxes(n: int) -> np.ndarray:
        corner = rng.integers(0, 200, (n, 2))
        return np.concatenate([corner, corner + rng.integers(1, 40, (n, 2))], axis=1)

    # More than one chunk of boxes, so that their seams are seen too.
    ours, covers = boxes(600), boxes(300)
    mask = np.zeros((240, 240), dtype=bool)
    for x0, y0, x1, y1 in covers:
        mask[y0:y1, x0:x1] = True
    expected = [mask[y0:y1, x0:x1].sum() for x0, y0, x1, y1 in ours]
    assert covered_areas(ours, covers).tolist() == pytest.approx(expected)


def test_a_box_at_the_frame_keeps_its_part_inside() -> None:
    assert visible_boxes([(-5, -5, 5, 5), (400, 0, 400, 10)], SIZE)[0].tolist() == [0, 0, 5, 5]
    assert len(visible_boxes([(401, 0, 402, 10)], SIZE)) == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (640, 480)])
@pytest.mark.parametrize("seed", range(20))
def test_wrong_gold_without_a_face_is_a_stray_box(size: tuple[int, int], seed: int) -> None:
    (stray,) = spoil((), size, seed, JobSettings(kinds=("plate", "face")))
    assert stray.kind == "plate"
    assert not score_gold((), (stray,), size, COVERAGE).is_passed


def test_wrong_gold_is_varied_and_looks_like_boxes() -> None:
    truth = tuple(Drawn((20 + 90 * i, 60, 60 + 90 * i, 110)) for i in range(4))
    many = [spoil(truth, SIZE, seed) for seed in range(200)]
    sizes = [len(wrong) for wrong in many]
    assert len(set(many)) == 200
    # Empty ones would give gold away, as would none with a box where no face is.
    assert sum(size == 0 for size in sizes) < 20
    strays = sum(
        any(not covered_areas([box.box_xyxy], boxes_of(truth))[0] for box in wrong)
        for wrong in many
    )
    assert 40 < strays < 160
    sides = np.concatenate([boxes_of(wrong) for wrong in many])
    shapes = (sides[:, 2] - sides[:, 0]) / (sides[:, 3] - sides[:, 1])
    assert shapes.min() > 0.3
    assert shapes.max() < 1.8
