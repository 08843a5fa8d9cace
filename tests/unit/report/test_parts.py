# SPDX-License-Identifier: Apache-2.0
"""Wording and memory of the report."""

from __future__ import annotations

import tracemalloc

import pytest

from veilset.errors import DecodeError
from veilset.metadata.policy import POLICIES as KNOWN_POLICIES
from veilset.records.verdicts import ImageVerdict, Verdict
from veilset.report.facts import without_folders
from veilset.report.gather import Limits, Scrub, search_facts, verdict_facts
from veilset.report.wording import POLICIES, REASONS
from veilset.types import Annotations, Region, Status


def test_every_reason_has_a_meaning_and_advice() -> None:
    # An image can also fail with the sample that it belongs to.
    assert set(REASONS) == {*DecodeError.REASONS, "sample"}


def test_every_metadata_policy_is_described() -> None:
    assert set(POLICIES) == set(KNOWN_POLICIES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("either/or and 3/4", "either/or and 3/4"),
        ("'/srv/x y/a.jpg' is gone", "'…/x y/a.jpg' is gone"),
        ("see file:///home/ann/a", "see file:///home/ann/a"),
        ("/home/ann/set", "…/set"),
        ("s3://bucket/set/a.jpg is gone", "…/a.jpg is gone"),
        ("https://example.org/a/b", "https://example.org/a/b"),
    ],
)
def test_places_are_taken_out_of_texts(text: str, expected: str) -> None:
    assert without_folders(text) == expected


def test_memory_does_not_grow_with_the_images() -> None:
    def peak(n: int) -> int:
        face = Region((0, 0, 20, 30), score=0.8)
        rows = (Annotations(f"{i}.jpg", Status.LOOKED, (face,), 90, 90) for i in range(n))
        verdicts = (
            ImageVerdict(f"{i}.jpg", Verdict.PASSED, (), 1, "0" * 64, 9, "touched")
            for i in range(n)
        )
        limits = Limits(200, 48)
        tracemalloc.start()
        search_facts(rows, Scrub(), limits)
        verdict_facts(verdicts, Scrub(), limits)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    few, many = peak(500), peak(20_000)
    assert many < few + 20_000
