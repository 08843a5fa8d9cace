# SPDX-License-Identifier: Apache-2.0
"""The rate that verification publishes."""

from __future__ import annotations

from veilset.types import Direction
from veilset.verify.estimate import missed_face_rate


def test_measurement_says_what_it_is() -> None:
    rate = missed_face_rate("untouched", 2, 50, {"record": "ab"})
    assert rate.name == "untouched images with a missed face"
    assert (rate.value, rate.n, rate.direction) == (0.04, 50, Direction.LOWER)
    assert rate.low < 0.04 < rate.high
    assert rate.inputs == {"record": "ab"}
