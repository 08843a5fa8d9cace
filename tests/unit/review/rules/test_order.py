# SPDX-License-Identifier: Apache-2.0
"""The order of work: what makes an image come earlier."""

from __future__ import annotations

import pytest

from veilset.errors import ConfigError
from veilset.review.rules.order import expected_errors, priority, work_order
from veilset.types import Annotations, Region, Status


def image(*regions: Region) -> Annotations:
    return Annotations("a/1.jpg", Status.LOOKED, regions)


def face(x0: float, score: float | None, side: float = 100, kind: str = "face") -> Region:
    return Region((x0, 0, x0 + side, side), kind, score)


SURE, UNSURE = face(0, 0.99), face(0, 0.35)
PERSON = Region((0, 0, 300, 600), "person", 0.9)

EARLIER = [
    (image(UNSURE), image(SURE)),
    (image(UNSURE, UNSURE), image(UNSURE)),
    (image(face(0, 0.9, side=10)), image(face(0, 0.9))),  # others as small were missed
    (image(*[face(20 * i, 0.95, side=10) for i in range(30)]), image(face(0, 0.9, side=10))),
    (image(PERSON), image(PERSON, SURE)),
    (image(SURE), image()),
    (image(SURE), image(face(0, None, kind="plate"))),
]


@pytest.mark.parametrize(("first", "second"), EARLIER)
def test_more_doubt_comes_first(first: Annotations, second: Annotations) -> None:
    assert 0 <= priority(second, None) < priority(first, None) < 1


def test_what_is_below_the_threshold_is_doubtful_near_it_only() -> None:
    near, far = image(face(0, 0.48)), image(face(0, 0.02))
    assert priority(near, 0.5) > priority(far, 0.5)
    assert expected_errors(near, 0.5) == pytest.approx((0.0, 0.48))


def test_a_face_that_another_set_has_is_expected_to_be_missing() -> None:
    ours, theirs = image(SURE), image(SURE, face(200, 0.8))
    alone, both = (expected_errors(ours, None, others) for others in ((), (theirs,)))
    assert both[1] - alone[1] == pytest.approx(0.8)
    # What two sets have is one face, not two.
    assert expected_errors(ours, None, (theirs, theirs)) == pytest.approx(both)


def test_a_face_that_no_other_set_has_is_doubted() -> None:
    false, _ = expected_errors(image(SURE), None, (image(),))
    assert false == pytest.approx(1 - 0.99 * 0.75)
    agreed, _ = expected_errors(image(SURE), None, (image(SURE),))
    assert agreed == pytest.approx(0.01)


def test_a_set_that_could_not_look_says_nothing() -> None:
    silent = Annotations("a/1.jpg", Status.COULD_NOT_LOOK)
    assert expected_errors(image(SURE), None, (silent,)) == expected_errors(image(SURE), None)


def test_people_of_another_set_count_once() -> None:
    people = image(PERSON)
    once, twice = (priority(image(), None, [people] * n) for n in (1, 2))
    assert once == twice > 0
    assert priority(image(SURE), None, [people]) < priority(image(face(400, 0.99)), None, [people])


@pytest.mark.parametrize("status", [Status.NOT_LOOKED, Status.COULD_NOT_LOOK])
def test_what_nobody_searched_comes_first(status: Status) -> None:
    assert priority(Annotations("a/1.jpg", status), None) == 1.0


def test_crowds_do_not_all_end_at_the_same_place() -> None:
    crowds = [image(*[face(0, 0.3)] * n) for n in (100, 200, 2000)]
    ranked = [priority(crowd, None) for crowd in crowds]
    assert ranked == sorted(set(ranked))
    assert ranked[-1] < 1


def test_orders_of_a_job() -> None:
    names = [f"{place}.jpg" for place in range(1000)]
    by_place = [work_order("dataset", 0.5, seq, name, 0) for seq, name in enumerate(names)]
    assert by_place == sorted(set(by_place), reverse=True)
    assert work_order("uncertain", 0.7, 3, "a", 0) == 0.7
    one, again, other = (
        [work_order("random", 0.5, seq, name, seed) for seq, name in enumerate(names)]
        for seed in (1, 1, 2)
    )
    assert one == again
    assert len(set(one)) == 1000
    assert 0 <= min(one) < 0.05 < 0.95 < max(one) < 1
    assert sorted(names, key=dict(zip(names, one, strict=True)).__getitem__) != sorted(
        names, key=dict(zip(names, other, strict=True)).__getitem__
    )
    with pytest.raises(ConfigError, match="Known"):
        work_order("sorted", 0.5, 0, "a", 0)


def test_an_order_tells_a_hundred_million_images_apart() -> None:
    assert work_order("dataset", 0, 10**8, "a", 0) > work_order("dataset", 0, 10**8 + 1, "a", 0)
