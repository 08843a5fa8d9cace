# SPDX-License-Identifier: Apache-2.0
"""What each setting costs and buys: its worst attack beside what is left of the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from veilset.attack.config import (
    CLEAR,
    FILLED,
    PARROT_EMBEDDINGS,
    PARROT_NETWORK,
    PARROT_PIXELS,
    PARROT_STUDENT,
    RECOGNISE,
    RESTORE_KNOWN,
    RESTORE_LEARNED,
)
from veilset.attack.measuring import HITS
from veilset.attack.outcomes import Outcome, Row
from veilset.attack.resampling import Draws, paired_difference
from veilset.attack.similar_pictures import SIMILARITY
from veilset.types import Measurement

OF_FACES = (
    RECOGNISE, RESTORE_KNOWN, RESTORE_LEARNED, PARROT_EMBEDDINGS, PARROT_PIXELS, PARROT_NETWORK,
    PARROT_STUDENT,
)  # fmt: skip
"""Attacks that name one of all people on the same probes, so that they can be compared."""

RANK_1 = "rank-1"

MOST_BEYOND = 0.1
"""By so much more, as a share of photographs, a recommended setting may name people at most."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One setting: what attackers reach, and what is left of the pictures.

    Attributes:
        setting: Its name.
        worst: The row of the attack that names most people.
        by_attack: Rank-1 of each attack; the best of its protocols.
        beyond_filled: By how much the worst attack names more people than the worst attack on
            filled faces does, with its interval; None for ``filled`` itself.
        ssim: Mean structural similarity of the pictures; None for ``clear``.
        is_frontier: Whether no other setting protects as much and leaves more.
    """

    setting: str
    worst: Row
    by_attack: Mapping[str, Row]
    beyond_filled: Measurement | None
    ssim: Row | None
    is_frontier: bool = False

    @property
    def tells_no_more_than_filled(self) -> bool:
        """Whether the interval of the difference to filled faces begins at 0 or below and ends low.

        That it holds 0 is not enough: with few people it always does.
        """
        return (
            self.beyond_filled is not None
            and self.beyond_filled.low <= 0
            and self.beyond_filled.high <= MOST_BEYOND
        )

    @property
    def is_unresolved(self) -> bool:
        """Whether it may tell no more than filled faces, or much more: too little was seen."""
        return (
            self.beyond_filled is not None
            and self.beyond_filled.low <= 0
            and self.beyond_filled.high > MOST_BEYOND
        )


def rank_settings(outcomes: Sequence[Outcome], draws: Draws) -> list[Standing]:
    """Put the settings in order: ``clear``, ``filled``, then from the most protecting on.

    The worst attack of a setting, and that of ``filled``, are chosen on the probes on which they
    are then compared, and the interval of their difference takes them as given. What the choice
    adds is covered by its width (``paired_difference`` is never narrower than ``bounded_mean``).
    To choose anew in each draw of people would not do: the largest of several estimates lies
    above the largest truth, that of a draw as much above the estimate, and with seven attacks
    against one such intervals held the truth in two thirds of the cases.

    Args:
        outcomes: Of all attacks in all settings.
        draws: Of the people, for the differences.

    Returns:
        One for each setting in which an attack of ``OF_FACES`` was made.
    """
    names = list(dict.fromkeys(each.setting for each in outcomes))
    worst = {name: _worst(outcomes, name) for name in names}
    filled = _hits(outcomes, worst.get(FILLED))
    found = []
    for name in names:
        row = worst[name]
        if row is None:
            continue
        hits = _hits(outcomes, row)
        beyond = None
        if name != FILLED and hits is not None and filled is not None:
            beyond = paired_difference("rank-1 beyond filled faces", hits, filled, draws)
        found.append(Standing(name, row, _by_attack(outcomes, name), beyond, _ssim(outcomes, name)))
    return _with_frontier(sorted(found, key=_order))


def _order(standing: Standing) -> tuple[int, float, float]:
    first = {CLEAR: 0, FILLED: 1}.get(standing.setting, 2)
    return first, standing.worst.value or 0.0, -_value(standing.ssim)


def _value(row: Row | None) -> float:
    return row.value if row is not None and row.value is not None else 1.0


def _by_attack(outcomes: Sequence[Outcome], setting: str) -> dict[str, Row]:
    best: dict[str, Row] = {}
    for outcome in outcomes:
        if outcome.setting != setting or outcome.attack not in OF_FACES:
            continue
        for row in outcome.rows:
            if row.measure != RANK_1 or row.value is None:
                continue
            known = best.get(row.attack)
            if known is None or row.value > (known.value or 0.0):
                best[row.attack] = row
    return best


def _worst(outcomes: Sequence[Outcome], setting: str) -> Row | None:
    rows = _by_attack(outcomes, setting).values()
    return max(rows, key=lambda row: row.value or 0.0, default=None)


def _hits(outcomes: Sequence[Outcome], row: Row | None) -> list[float] | None:
    """Give the share of hits of each person in the attack that a row is of."""
    for outcome in outcomes:
        if row is not None and (outcome.setting, outcome.attack) == (row.setting, row.attack):
            kept = outcome.facts.get(HITS, {}).get(row.protocol)
            return None if kept is None else [np.nan if each is None else each for each in kept]
    return None


def _ssim(outcomes: Sequence[Outcome], setting: str) -> Row | None:
    for outcome in outcomes:
        if outcome.setting == setting and outcome.attack == SIMILARITY:
            return next((row for row in outcome.rows if row.measure == "SSIM"), None)
    return None


def _with_frontier(found: list[Standing]) -> list[Standing]:
    """Mark the settings that no other beats in both respects (Pareto)."""
    rivals = [each for each in found if each.setting not in (CLEAR, FILLED)]

    def is_beaten(one: Standing) -> bool:
        mine = (one.worst.value or 0.0, -_value(one.ssim))
        others = [(each.worst.value or 0.0, -_value(each.ssim)) for each in rivals]
        return any(
            other[0] <= mine[0] and other[1] <= mine[1] and other != mine for other in others
        )

    return [
        Standing(
            each.setting, each.worst, each.by_attack, each.beyond_filled, each.ssim,
            each in rivals and not is_beaten(each),
        )
        for each in found
    ]  # fmt: skip
