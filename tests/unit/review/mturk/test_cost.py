# SPDX-License-Identifier: Apache-2.0
"""What work costs, to the cent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.errors import ConfigError
from veilset.review.mturk.cost import cost_notice, estimate_cost, fee_cents


@pytest.mark.parametrize(
    ("reward", "per_hit", "fee"),
    [
        (1, 1, 1),
        (4, 1, 1),
        (7, 1, 1),
        (8, 1, 2),
        (100, 9, 20),
        (100, 10, 40),
        (2, 10, 1),
        (0, 1, 0),
    ],
)
def test_fees_are_those_of_the_page(reward: int, per_hit: int, fee: int) -> None:
    assert fee_cents(reward, per_hit=per_hit) == fee


@given(st.integers(0, 10**5), st.integers(1, 10**4), st.integers(1, 20))
def test_the_total_is_the_sum_over_assignments(n_hits: int, reward: int, per_hit: int) -> None:
    cost = estimate_cost(n_hits, reward, per_hit=per_hit)
    assert cost.total_cents == n_hits * per_hit * (reward + fee_cents(reward, per_hit=per_hit))
    assert cost.n_assignments == n_hits * per_hit


@pytest.mark.parametrize("numbers", [(-1, 5, 1), (1, 0, 1), (1, 5, 0)])
def test_numbers_that_make_no_sense_are_refused(numbers: tuple[int, int, int]) -> None:
    n_hits, reward, per_hit = numbers
    with pytest.raises(ConfigError, match="whole numbers"):
        estimate_cost(n_hits, reward, per_hit=per_hit)


def test_the_notice_says_what_is_spent_and_that_the_service_has_closed() -> None:
    notice = cost_notice(estimate_cost(1000, 150), is_sandbox=False, balance_cents=5)
    assert "1,000 HITs of $1.50 each: $1,500.00 for workers and $300.00 for Amazon" in notice
    assert "$1,800.00 together" in notice
    assert "The account holds $0.05" in notice
    assert "closed Mechanical Turk for good on 30 September 2026" in notice
    assert "sandbox" not in notice
    assert "sandbox: nobody is paid" in cost_notice(estimate_cost(1, 1), is_sandbox=True)
