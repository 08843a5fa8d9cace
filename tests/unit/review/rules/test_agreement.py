# SPDX-License-Identifier: Apache-2.0
"""Agreement of people: pairs, sizes, images without a face."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.intervals import bounded_mean
from veilset.review.rules.agreement import agreement, agreement_by_person, pair_f1
from veilset.review.rules.match import match_boxes
from veilset.review.values import Drawing, Drawn, boxes_of


def faces(*corners: float, side: float = 20) -> Drawing:
    return tuple(Drawn((x, 0, x + side, side)) for x in corners)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((), (), 1.0),
        (faces(0), (), 0.0),
        (faces(0), faces(0), 1.0),
        (faces(0, 100), faces(0), 2 / 3),
        (faces(0), faces(6), 1.0),  # IoU 0.54
        (faces(0), faces(7), 0.0),  # 0.48
        (faces(0, 1), faces(0), 2 / 3),  # one box pairs once
        (faces(0), (Drawn((0, 0, 20, 20), "nsfw"),), 0.0),
    ],
)
def test_f1_of_two_people(a: Drawing, b: Drawing, expected: float) -> None:
    assert pair_f1(a, b) == pair_f1(b, a) == pytest.approx(expected)


box = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 8)] * 2).map(
    lambda each: Drawn((each[0], each[1], each[0] + each[2], each[1] + each[3]))
)
boxes = st.lists(box, max_size=8).map(tuple)


@given(boxes, boxes, st.floats(0.1, 1), st.randoms(use_true_random=False))
def test_pairs_are_one_to_one_and_free_of_order(a, b, least, random) -> None:
    pairs = match_boxes(boxes_of(a), boxes_of(b), least)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    shuffled = tuple(random.sample(a, len(a)))
    assert pair_f1(a, b, least) == pair_f1(shuffled, b, least) == pair_f1(b, a, least)


def test_matching_is_the_same_across_chunks() -> None:
    rng = np.random.default_rng(0)
    places = rng.permutation(1200)
    grid = np.stack([places * 10, places * 0, places * 10 + 8, places * 0 + 8], axis=1)
    assert sorted(match_boxes(grid, grid)) == [(place, place) for place in range(1200)]


def test_an_image_counts_once_whatever_its_people_and_faces() -> None:
    crowd = {"ann": faces(*range(0, 3000, 30)), "bob": (), "cat": ()}
    lone = {"ann": faces(0), "bob": faces(0)}
    found = agreement([crowd, lone, {"ann": faces(0)}])
    assert found.overall is not None
    # The pairs of the crowd agree by 0, 0 and 1.
    assert found.overall.value == pytest.approx((1 / 3 + 1) / 2)
    assert (found.overall.low, found.overall.high) == bounded_mean([1 / 3, 1.0])
    assert (found.n_images, found.overall.n) == (2, 2)


def test_images_on_which_nobody_drew_are_told_apart() -> None:
    empty = {"ann": (), "bob": ()}
    found = agreement([empty] * 8 + [{"ann": faces(0), "bob": faces(100)}] * 2)
    assert found.overall is not None
    assert found.where_drawn is not None
    assert (found.overall.value, found.where_drawn.value) == (0.8, 0.0)
    assert (found.n_images, found.n_empty) == (10, 8)
    none = agreement([empty])
    assert none.where_drawn is None
    assert none.by_size == {}


def test_sizes_are_those_of_the_shorter_side() -> None:
    small, edge = Drawn((0, 0, 15.9, 500)), Drawn((600, 0, 616, 16))
    large = Drawn((1000, 0, 1200, 96))
    found = agreement([{"ann": (small, edge, large), "bob": (edge,)}])
    values = {name: each.value for name, each in found.by_size.items()}
    assert values == {"<16": 0.0, "16-32": 1.0, ">=96": 0.0}


def test_who_stands_apart_is_seen() -> None:
    same, other = faces(0), faces(200)
    found = agreement_by_person([{"ann": same, "bob": same, "cat": other}] * 5)
    assert [found[name].value for name in ("ann", "bob", "cat")] == [0.5, 0.5, 0.0]
    assert found["cat"].n == 5


def test_without_two_people_nothing_is_known() -> None:
    found = agreement([{"ann": faces(0)}])
    assert (found.overall, found.n_images) == (None, 0)
    assert agreement_by_person([{"ann": faces(0)}]) == {}
