# SPDX-License-Identifier: Apache-2.0
"""What work on Mechanical Turk costs. Pure; all amounts are whole US cents."""

from __future__ import annotations

from dataclasses import dataclass

from veilset.errors import ConfigError

FEE_PERCENT = 20
"""Of the reward, and of a bonus."""

CROWD_PERCENT = 20
"""Of the reward besides, for a HIT with ``CROWD`` assignments or more."""

CROWD = 10
LEAST_FEE_CENTS = 1
SOURCE = "https://www.mturk.com/pricing, as transcribed on 2026-10-07"
CLOSED = (
    "Amazon closed Mechanical Turk for good on 30 September 2026, says its documentation "
    "(https://docs.aws.amazon.com/AWSMechTurk/latest/AWSMturkAPI/Welcome.html)."
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What some HITs cost if all work is approved. Work that is rejected costs nothing.

    Attributes:
        n_hits: HITs.
        n_assignments: Assignments of all of them.
        reward_cents: Reward of one assignment.
        rewards_cents: Rewards of all.
        fees_cents: Amazon's fees on these.
    """

    n_hits: int
    n_assignments: int
    reward_cents: int
    rewards_cents: int
    fees_cents: int

    @property
    def total_cents(self) -> int:
        """What leaves the account."""
        return self.rewards_cents + self.fees_cents


def fee_cents(paid_cents: int, *, per_hit: int = 1) -> int:
    """Give Amazon's fee on a reward or a bonus.

    ``max(1 cent, 20 % of what is paid)``, and 20 % more for a HIT with 10 assignments or
    more; rounded half up to whole cents, as Amazon's page said.

    Args:
        paid_cents: What the worker gets.
        per_hit: Assignments of the HIT; 1 for a bonus.

    Example:
        >>> fee_cents(100), fee_cents(100, per_hit=10), fee_cents(1)
        (20, 40, 1)
    """
    if not paid_cents:
        return 0
    percent = FEE_PERCENT + (CROWD_PERCENT if per_hit >= CROWD else 0)
    return max(LEAST_FEE_CENTS, (paid_cents * percent + 50) // 100)


def estimate_cost(n_hits: int, reward_cents: int, *, per_hit: int = 1) -> Cost:
    """Estimate what HITs cost: ``n_hits x per_hit x (reward + fee)``.

    Args:
        n_hits: HITs.
        reward_cents: What a worker gets for an assignment.
        per_hit: Assignments of each HIT; Veilset publishes one.

    Raises:
        ConfigError: If a number makes no sense.

    Example:
        >>> estimate_cost(10, 150).total_cents
        1800
    """
    if n_hits < 0 or per_hit < 1 or reward_cents < 1:
        raise ConfigError(
            f"{n_hits} HITs of {per_hit} assignments for {reward_cents} cents cannot be. Give "
            "whole numbers; the least reward is 1 cent."
        )
    n_assignments = n_hits * per_hit
    fees = n_assignments * fee_cents(reward_cents, per_hit=per_hit)
    return Cost(n_hits, n_assignments, reward_cents, n_assignments * reward_cents, fees)


def dollars(cents: int) -> str:
    """Write an amount.

    Example:
        >>> dollars(123456)
        '$1,234.56'
    """
    return f"${cents // 100:,}.{cents % 100:02d}"


def cost_notice(cost: Cost, *, is_sandbox: bool, balance_cents: int | None = None) -> str:
    """Say for people what publishing costs, before anything is spent."""
    lines = [
        CLOSED,
        f"{cost.n_hits:,} HITs of {dollars(cost.reward_cents)} each: "
        f"{dollars(cost.rewards_cents)} for workers and {dollars(cost.fees_cents)} for Amazon, "
        f"{dollars(cost.total_cents)} together ({SOURCE}: check it).",
    ]
    if is_sandbox:
        lines.append("This is the sandbox: nobody is paid, and nothing is spent.")
    if balance_cents is not None:
        lines.append(f"The account holds {dollars(balance_cents)}.")
    return " ".join(lines)
