# SPDX-License-Identifier: Apache-2.0
"""Merging what several people drew: boxes, votes, sources and disputes."""

from __future__ import annotations

import pytest

from veilset.errors import ReviewError
from veilset.review.rules.consensus import merge_replicas, quorum_votes
from veilset.review.settings import JobSettings
from veilset.review.values import Drawn

MAJORITY = JobSettings(quorum=0.6)


def box(x0: float, side: float = 10, kind: str = "face", source: int | None = None) -> Drawn:
    return Drawn((x0, 0, x0 + side, side), kind, source)


def test_of_two_the_outer_sides_are_kept() -> None:
    consensus = merge_replicas([(box(0),), (box(2),)], MAJORITY)
    assert consensus.drawing == (Drawn((0, 0, 12, 10)),)
    assert not consensus.is_disputed


def test_of_four_the_outer_of_the_middle_sides() -> None:
    consensus = merge_replicas([(box(x),) for x in (0, 1, 2, 3)], MAJORITY)
    assert consensus.drawing[0].box_xyxy == (1, 0, 12, 10)


def test_of_three_a_careless_one_decides_nothing() -> None:
    consensus = merge_replicas([(box(0),), (box(0),), (box(0, 14),)], MAJORITY)
    assert consensus.drawing[0].box_xyxy == (0, 0, 10, 10)


def test_a_box_of_one_of_three_is_disputed_and_still_listed() -> None:
    consensus = merge_replicas([(box(0), box(50)), (box(0),), (box(0),)], MAJORITY)
    assert consensus.is_disputed
    assert [(each.votes, each.is_agreed) for each in consensus.merged] == [(3, True), (1, False)]
    assert consensus.drawing == (box(0),)


def test_boxes_of_one_person_stay_apart() -> None:
    twin = (box(0), box(1))
    consensus = merge_replicas([twin, twin], MAJORITY)
    assert [each.votes for each in consensus.merged] == [2, 2]
    assert not consensus.is_disputed


def test_a_chain_is_not_one_region() -> None:
    # Neighbours overlap by 0.43, the ends of the chain by 0.11.
    chain = [(box(0),), (box(4),), (box(8),)]
    consensus = merge_replicas(chain, MAJORITY)
    assert sorted(each.votes for each in consensus.merged) == [1, 2]
    assert consensus.is_disputed


def test_kinds_do_not_merge_and_rival() -> None:
    lenient = JobSettings(quorum=0.5)
    consensus = merge_replicas([(box(0),), (box(0, kind="nsfw"),)], lenient)
    assert all(each.is_agreed for each in consensus.merged)
    assert consensus.is_disputed
    # Who draws both means both.
    both = (box(0), box(0, kind="nsfw"))
    assert not merge_replicas([both, both], lenient).is_disputed


def test_a_wide_and_a_tight_box_rival_where_one_vote_is_a_quorum() -> None:
    lenient = JobSettings(quorum=0.5)
    assert merge_replicas([(box(0, 40),), (box(5),)], lenient).is_disputed
    assert not merge_replicas([(box(0),), (box(50),)], lenient).is_disputed


def test_the_source_is_kept_where_all_name_it() -> None:
    same = merge_replicas([(box(0, source=4),), (box(1, source=4),)], MAJORITY)
    assert same.drawing[0].source == 4
    other = merge_replicas([(box(0, source=4),), (box(1),)], MAJORITY)
    assert other.drawing[0].source is None


def test_no_source_is_given_out_twice() -> None:
    moved = [(box(0, source=1),), (box(0, source=1),), (box(60, source=1),)]
    consensus = merge_replicas(moved, MAJORITY)
    assert [(each.votes, each.drawn.source) for each in consensus.merged] == [(2, 1), (1, None)]


def test_an_untouched_box_comes_back_as_it_was() -> None:
    point = Drawn((3.25, 4.5, 3.25, 4.5), source=0)
    consensus = merge_replicas([(point,), (point,), (point,)], MAJORITY)
    assert consensus.drawing == (point,)


def test_a_single_answer_is_the_answer() -> None:
    answer = (box(50), box(0, kind="nsfw"), box(1))
    consensus = merge_replicas([answer], JobSettings())
    assert consensus.drawing == answer
    assert not consensus.is_disputed


def test_nothing_drawn_by_anybody_is_agreement() -> None:
    assert merge_replicas([(), (), ()], MAJORITY) == merge_replicas([()], MAJORITY)


def test_without_an_answer_there_is_nothing_to_merge() -> None:
    with pytest.raises(ReviewError, match="no answer"):
        merge_replicas([], JobSettings())


@pytest.mark.parametrize(("n", "quorum", "votes"), [(10, 0.7, 7), (3, 1.0, 3), (3, 0.01, 1)])
def test_quorum_is_a_ceiling_that_rounding_does_not_lift(n, quorum, votes) -> None:
    assert quorum_votes(n, quorum) == votes


def test_many_stacked_boxes_come_apart_person_by_person() -> None:
    stack = tuple(Drawn((i / 100, 0, 200 + i / 100, 200)) for i in range(300))
    consensus = merge_replicas([stack, stack, stack], MAJORITY)
    assert [each.votes for each in consensus.merged] == [3] * 300
