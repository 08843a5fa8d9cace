# SPDX-License-Identifier: Apache-2.0
"""The rules of review for any drawing: gold, wrong gold, unions of boxes and consensus."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from veilset.boxes import clip, union_mask
from veilset.review.rules.consensus import merge_replicas, quorum_votes
from veilset.review.rules.gold import score_gold, spoil
from veilset.review.settings import GOLD_RULES, JobSettings
from veilset.review.values import Drawn, boxes_of
from veilset.unions import covered_areas, covered_shares, union_area, union_iou

SIZE = (80, 60)
COVERAGE = JobSettings()
UNION = JobSettings(gold_rule="union-iou")


@st.composite
def drawn(draw, kinds=("face",), least=1, size=SIZE):
    x0 = draw(st.integers(0, size[0] - least))
    y0 = draw(st.integers(0, size[1] - least))
    x1 = draw(st.integers(x0 + least, size[0]))
    y1 = draw(st.integers(y0 + least, size[1]))
    source = draw(st.none() | st.integers(0, 5))
    return Drawn((x0, y0, x1, y1), draw(st.sampled_from(kinds)), source)


drawings = st.lists(drawn(), max_size=6).map(tuple)
some = st.lists(drawn(), min_size=1, max_size=6).map(tuple)
both_rules = st.sampled_from([COVERAGE, UNION])


def halves(box: Drawn) -> tuple[Drawn, Drawn]:
    x0, y0, x1, y1 = box.box_xyxy
    middle = (x0 + x1) / 2
    return Drawn((x0, y0, middle, y1)), Drawn((middle, y0, x1, y1))


@given(drawings, drawings)
def test_areas_of_unions_are_those_of_masks(a, b) -> None:
    first, second = union_mask(boxes_of(a), SIZE), union_mask(boxes_of(b), SIZE)
    assert union_area(boxes_of(a)) == pytest.approx(first.sum())
    expected = [union_mask([box], SIZE)[second].sum() for box in boxes_of(a)]
    assert covered_areas(boxes_of(a), boxes_of(b)).tolist() == pytest.approx(expected)
    either = (first | second).sum()
    share = (first & second).sum() / either if either else 1.0
    assert union_iou(boxes_of(a), boxes_of(b)) == pytest.approx(share)


@given(drawings, both_rules)
def test_the_truth_itself_passes(truth, settings) -> None:
    strict = replace(settings, min_coverage=1.0, min_inside=1.0, min_union_iou=1.0, tolerance_px=0)
    verdict = score_gold(truth, truth, SIZE, strict)
    assert verdict.is_passed
    assert verdict.n_found == verdict.n_true == verdict.n_drawn == verdict.n_right == len(truth)


@given(some, st.data(), both_rules)
def test_a_thing_missing_fails_unless_the_rest_covers_it(truth, data, settings) -> None:
    place = data.draw(st.integers(0, len(truth) - 1))
    rest = truth[:place] + truth[place + 1 :]
    verdict = score_gold(truth, rest, SIZE, settings)
    if settings is COVERAGE:
        share = covered_shares([truth[place].box_xyxy], boxes_of(rest))[0]
        assert verdict.is_passed == (share >= settings.min_coverage - 1e-9)
    elif not rest:
        assert not verdict.is_passed


@given(some, drawings, drawn())
def test_one_more_box_never_uncovers_a_face(truth, answer, more) -> None:
    before = score_gold(truth, answer, SIZE, COVERAGE)
    after = score_gold(truth, (*answer, more), SIZE, COVERAGE)
    assert after.n_found >= before.n_found
    assert after.n_right >= before.n_right
    missed = {problem.box_xyxy for problem in after.problems if problem.what == "missed"}
    assert missed <= {problem.box_xyxy for problem in before.problems}


@given(some, drawings, st.floats(0.05, 1), st.floats(0.05, 1))
def test_a_stricter_rule_passes_less(truth, answer, one, other) -> None:
    low, high = sorted([one, other])
    for name in ("min_coverage", "min_inside"):
        strict = score_gold(truth, answer, SIZE, replace(COVERAGE, **{name: high}))
        lax = score_gold(truth, answer, SIZE, replace(COVERAGE, **{name: low}))
        assert lax.is_passed or not strict.is_passed
    strict = score_gold(truth, answer, SIZE, replace(UNION, min_union_iou=high))
    assert score_gold(truth, answer, SIZE, replace(UNION, min_union_iou=low)).is_passed or (
        not strict.is_passed
    )


@given(drawings, drawings, both_rules, st.randoms(use_true_random=False))
def test_order_and_kinds_do_not_matter(truth, answer, settings, random) -> None:
    verdict = score_gold(truth, answer, SIZE, settings)
    turned = [replace(box, kind="nsfw") for box in answer]
    random.shuffle(turned)
    again = score_gold(truth[::-1], tuple(turned), SIZE, settings)
    assert again.is_passed == verdict.is_passed
    assert (again.n_found, again.n_right) == (verdict.n_found, verdict.n_right)
    assert again.union_iou == pytest.approx(verdict.union_iou)
    if settings is COVERAGE:
        assert sorted(again.problems, key=str) == sorted(verdict.problems, key=str)


@given(some, some, st.data())
def test_a_box_in_two_halves_covers_the_same(truth, answer, data) -> None:
    place = data.draw(st.integers(0, len(answer) - 1))
    cut = answer[:place] + halves(answer[place]) + answer[place + 1 :]
    whole, split = (score_gold(truth, each, SIZE, COVERAGE) for each in (answer, cut))
    assert split.n_found == whole.n_found
    assert split.union_iou == pytest.approx(whole.union_iou)
    assert score_gold(truth, answer, SIZE, UNION).is_passed == (
        score_gold(truth, cut, SIZE, UNION).is_passed
    )


@given(drawings, drawings)
def test_what_lies_outside_the_image_does_not_count(truth, answer) -> None:
    beyond = Drawn((200, 0, 220, 20))
    verdict = score_gold((*truth, beyond), (*answer, beyond), SIZE, COVERAGE)
    assert verdict == score_gold(truth, answer, SIZE, COVERAGE)


@given(st.data(), st.integers(0, 2**40), st.integers(1, 120), st.integers(1, 120))
def test_wrong_gold_fails_under_every_rule(data, seed, width, height) -> None:
    size = (width, height)
    truth = tuple(data.draw(st.lists(drawn(size=size), max_size=5)))
    wrong = spoil(truth, size, seed)
    assert wrong == spoil(truth, size, seed)
    for rule in GOLD_RULES:
        assert not score_gold(truth, wrong, size, JobSettings(gold_rule=rule)).is_passed
    boxes = boxes_of(wrong)
    np.testing.assert_array_equal(boxes, clip(boxes, size))
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert [box.source for box in wrong] == list(range(len(wrong)))
    assert wrong or truth


@given(some, st.integers(0, 100), st.floats(0.02, 1), st.floats(0.02, 1), st.floats(0.02, 1))
def test_wrong_gold_fails_whatever_the_thresholds(truth, seed, coverage, inside, overlap) -> None:
    settings = JobSettings(min_coverage=coverage, min_inside=inside, min_union_iou=overlap)
    wrong = spoil(truth, SIZE, seed, settings)
    for rule in GOLD_RULES:
        assert not score_gold(truth, wrong, SIZE, replace(settings, gold_rule=rule)).is_passed


replicas = st.lists(
    st.lists(drawn(kinds=("face", "nsfw")), max_size=4).map(tuple), min_size=1, max_size=5
)
shares = st.floats(0.05, 1)


@given(replicas, shares, shares, st.randoms(use_true_random=False))
def test_merging_does_not_ask_for_an_order(made, quorum, least, random) -> None:
    settings = JobSettings(quorum=quorum, same_region_iou=least)
    turned = [tuple(random.sample(drawing, len(drawing))) for drawing in made]
    random.shuffle(turned)
    one, other = merge_replicas(made, settings), merge_replicas(turned, settings)
    assert one.is_disputed == other.is_disputed
    assert set(one.merged) == set(other.merged)
    if len(made) > 1:
        assert one == other


@given(replicas, shares, shares)
def test_every_box_is_one_vote_of_one_region(made, quorum, least) -> None:
    settings = JobSettings(quorum=quorum, same_region_iou=least)
    consensus = merge_replicas(made, settings)
    assert sum(each.votes for each in consensus.merged) == sum(map(len, made))
    # Boxes of one person never merge, so nobody's boxes are fewer than before.
    for drawing in made:
        assert len(consensus.merged) >= len(drawing)
    wanted = quorum_votes(len(made), quorum)
    for each in consensus.merged:
        assert 1 <= each.votes <= len(made)
        assert each.is_agreed == (each.votes >= wanted)
        assert each.is_agreed or consensus.is_disputed


@given(st.lists(drawn(), max_size=5).map(tuple), st.integers(1, 5))
def test_people_who_say_the_same_agree(drawing, n) -> None:
    assume(len({box.box_xyxy for box in drawing}) == len(drawing))
    consensus = merge_replicas([drawing] * n, JobSettings(quorum=1.0))
    assert not consensus.is_disputed
    assert sorted(box.box_xyxy for box in consensus.drawing) == sorted(
        box.box_xyxy for box in drawing
    )


margins = st.tuples(*[st.integers(0, 10)] * 4)


@given(st.lists(margins, min_size=2, max_size=6))
def test_a_merged_side_is_never_inside_the_median(made) -> None:
    # All hold a square of 20 px and none is above 40 px, so that every IoU is at least 0.25.
    boxes = [(30.0 - a, 30.0 - b, 50.0 + c, 50.0 + d) for a, b, c, d in made]
    (merged,) = merge_replicas(
        [(Drawn(box),) for box in boxes], JobSettings(same_region_iou=0.2)
    ).merged
    assert merged.votes == len(boxes)
    outward = np.array([-1, -1, 1, 1])
    side = merged.drawn.box_xyxy * outward
    assert (side >= np.median(boxes, axis=0) * outward).all()
    # And it is the side of somebody: nothing lies further out than what was drawn.
    assert all(
        value in column
        for value, column in zip(merged.drawn.box_xyxy, zip(*boxes, strict=True), strict=True)
    )
