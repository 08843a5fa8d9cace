# SPDX-License-Identifier: Apache-2.0
"""Merging for any looks: free of order, without doubles, changing nothing when repeated."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from veilset.boxes import iou
from veilset.detect.candidates import Candidates
from veilset.detect.merge import SAME_FACE_IOU, merge

BOX = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 30), st.integers(1, 30))
ROW = st.tuples(BOX, st.floats(0.01, 0.99))


@st.composite
def looks(draw: st.DrawFn) -> list[Candidates]:
    """Up to four looks of up to eight boxes; a score occurs once, so that order is defined."""
    rows = draw(
        st.lists(st.lists(ROW, max_size=8), min_size=1, max_size=4).filter(
            lambda each: len({s for look in each for _, s in look}) == sum(map(len, each))
        )
    )
    made = []
    for look in rows:
        table = np.array(
            [(x, y, x + w, y + h, s) for (x, y, w, h), s in look], dtype=np.float64
        ).reshape(-1, 5)
        points = np.repeat(table[:, None, :2], 5, axis=1)
        made.append(Candidates(table[:, :4], table[:, 4], points))
    return made


def equal(a: Candidates, b: Candidates) -> None:
    np.testing.assert_array_equal(a.boxes_xyxy, b.boxes_xyxy)
    np.testing.assert_array_equal(a.scores, b.scores)
    np.testing.assert_array_equal(a.landmarks_xy, b.landmarks_xy)


@given(looks(), st.randoms(use_true_random=False))
def test_order_of_looks_and_of_candidates_does_not_matter(made, random) -> None:
    order = list(range(len(made)))
    random.shuffle(order)
    turned = []
    for place in order:
        rows = list(range(len(made[place])))
        random.shuffle(rows)
        turned.append(made[place].pick(np.array(rows, dtype=np.int64)))
    equal(merge(made), merge(turned))


@given(looks())
def test_no_two_results_are_the_same_face(made) -> None:
    boxes = merge(made).boxes_xyxy
    overlaps = iou(boxes, boxes)
    np.fill_diagonal(overlaps, 0.0)
    assert overlaps.max(initial=0.0) <= SAME_FACE_IOU


@given(looks())
def test_merging_again_changes_nothing(made) -> None:
    once = merge(made)
    equal(once, merge([once]))


@given(looks())
def test_the_strongest_sighting_never_gets_weaker(made) -> None:
    merged = merge(made)
    seen = np.concatenate([look.scores for look in made])
    assert (len(merged) > 0) == (len(seen) > 0)
    if len(seen):
        assert merged.scores[0] >= seen.max()


@given(looks())
def test_results_stay_within_what_was_seen(made) -> None:
    merged = merge(made)
    if len(merged):
        all_boxes = np.concatenate([look.boxes_xyxy for look in made])
        assert (merged.boxes_xyxy >= all_boxes.min(axis=0) - 1e-9).all()
        assert (merged.boxes_xyxy <= all_boxes.max(axis=0) + 1e-9).all()
        assert (merged.scores <= 1).all()
        assert (merged.scores >= 0).all()
