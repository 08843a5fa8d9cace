# SPDX-License-Identifier: Apache-2.0
"""What people changed."""

from __future__ import annotations

import pytest

from veilset.errors import ReviewError
from veilset.review.job.drawings import Changes, as_shown, check_sources, compare, name_sources
from veilset.review.values import Drawing, Drawn
from veilset.types import BoxXyxy, Region

A: BoxXyxy = (0.0, 0.0, 40.0, 40.0)
B: BoxXyxy = (100.0, 0.0, 140.0, 40.0)
NEAR_A: BoxXyxy = (4.0, 0.0, 44.0, 40.0)
SHOWN = (Drawn(A, source=0), Drawn(B, source=1))


@pytest.mark.parametrize(
    ("drawn", "counts"),
    [
        (SHOWN, (0, 0, 0)),
        (SHOWN[::-1], (0, 0, 0)),
        ((), (0, 2, 0)),
        ((*SHOWN, Drawn((200.0, 0.0, 240.0, 40.0))), (1, 0, 0)),
        ((Drawn(NEAR_A, source=0), SHOWN[1]), (0, 0, 1)),
        ((Drawn(A, "nsfw", 0), SHOWN[1]), (0, 0, 1)),
        # Rounding on the way to the browser and back is no change.
        ((Drawn((0.0, 0.0, 40.0, 40.004), source=0), SHOWN[1]), (0, 0, 0)),
        # Deleted and drawn again at the same place: moved, nobody found anything.
        ((Drawn(NEAR_A), SHOWN[1]), (0, 0, 1)),
        # Two boxes drawn where one was: the second is new.
        ((Drawn(NEAR_A), Drawn(A), SHOWN[1]), (1, 0, 1)),
        # Dragged to where another face is: still the same box.
        ((Drawn((200.0, 0.0, 240.0, 40.0), source=0), SHOWN[1]), (0, 0, 1)),
    ],
)
def test_changes(drawn: Drawing, counts: tuple[int, int, int]) -> None:
    assert compare(SHOWN, drawn) == Changes(2, *counts)


def test_each_proposal_is_the_source_of_one_true_box() -> None:
    truth = (Drawn(NEAR_A), Drawn(A), Drawn((300.0, 0.0, 340.0, 40.0)))
    assert [each.source for each in name_sources(truth, SHOWN)] == [None, 0, None]
    assert name_sources((), SHOWN) == ()
    assert name_sources(truth, ()) == truth


def test_sources_must_have_been_shown_and_serve_once() -> None:
    check_sources(SHOWN, SHOWN)
    check_sources((Drawn(A), Drawn(A)), SHOWN)
    with pytest.raises(ReviewError, match=r"Box 1 .* region 2"):
        check_sources((Drawn(A, source=2),), SHOWN)
    with pytest.raises(ReviewError, match=r"Box 2 .* region 0"):
        check_sources((Drawn(A, source=0), Drawn(B, source=0)), SHOWN)


def test_shown_boxes_lie_in_the_image_and_have_area() -> None:
    regions = [
        Region((-9.0, -9.0, 5.0, 5.0)),
        Region((10.5, 3.2, 10.5, 8.0)),
        Region((0.0, 30.0, 20.0, 31.0)),
        Region((0.0, 0.0, 50.0, 50.0), "nsfw"),
    ]
    shown = as_shown(regions, (20, 20))
    assert [(each.box_xyxy, each.kind, each.source) for each in shown] == [
        ((0.0, 0.0, 5.0, 5.0), "face", 0),
        ((10.0, 3.0, 11.0, 8.0), "face", 1),
        ((0.0, 0.0, 20.0, 20.0), "nsfw", 3),
    ]
    assert as_shown([], (20, 20)) == ()
